"""Parts of the Python launcher: programs (what is where), child (running one), start (getting a daemon)."""
