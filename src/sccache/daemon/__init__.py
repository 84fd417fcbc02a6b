"""The local daemon: lifetime (start, stop, one per address), server (answers launchers)."""
