"""The command `sccache-dist`: there, so that scripts which call it get a sentence; what it does comes with the package `dist`.

Owns: that sentence.  Must not know: distribution.
"""

from __future__ import annotations

import importlib.util
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_NOT_THERE = 2


def main(argv: Sequence[str]) -> int:
    """Run the distribution's command line if this version has one."""
    if importlib.util.find_spec("sccache.dist") is None:
        sys.stderr.write("sccache-dist: error: this version of pysccache cannot distribute compiles yet\n")
        return EXIT_NOT_THERE
    from sccache.dist.cli import main as command  # type: ignore[import-not-found,unused-ignore]

    return int(command(list(argv)))
