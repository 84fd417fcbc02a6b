"""Digests, keys, base directories, and the memory of which file has which content."""
