"""Play a scenario with the plain compiler and again through the cache, and compare everything a user could see.

Owns: the words that scenarios are written in.  Must not know: anything inside the product; it is only a command here.
"""

from arena.needs import needs, needs_gcc_plugin_headers
from arena.play import Arena, MismatchError, scenario
from arena.world import ANY, BY_MANIFEST, HIT, MISS, RECOMPILE, UNCACHED, World

__all__ = [
    "ANY", "BY_MANIFEST", "HIT", "MISS", "RECOMPILE", "UNCACHED",
    "Arena", "MismatchError", "World", "needs", "needs_gcc_plugin_headers", "scenario",
]  # fmt: skip
