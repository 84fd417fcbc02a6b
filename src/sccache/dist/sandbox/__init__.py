"""Where a worker runs what others ask it to compile."""
