"""pysccache: a compiler cache, drop-in for sccache.  Must import nothing."""

__version__ = "1.0.0"
