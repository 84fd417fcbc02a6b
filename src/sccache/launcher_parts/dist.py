"""The command `sccache-dist`, as the launcher runs it.

Owns: where its command line is.  Must not know: distribution.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run one command line."""
    from sccache.dist.cli import main as command

    return command(argv)
