"""What stands behind -Wa, and -Xassembler, and how clang reads -Wp,-MD.

Sources: `as --help` and the GNU assembler's manual ("Command-Line Options").
Owns: the assembler options that matter to a cache.  Must not know: keys.
"""

from collections.abc import Sequence

from msgspec import Struct


class ForAssembler(Struct, frozen=True):
    """What a list of assembler options means to a cache."""

    listing: str = ""
    debug_info: bool = False
    refused: str = ""


_REFUSED = ("--MD", "-MD", "-o", "--statistics", "--dump-config", "@")
_SEPARATE = frozenset(("-I", "--defsym", "--debug-prefix-map", "-MCPU"))


def assembler(words: Sequence[str]) -> ForAssembler:
    """Read the options of one command line for the assembler, in order."""
    listing = ""
    debug_info = False
    waiting = iter(words)
    for word in waiting:
        if word in _SEPARATE:
            next(waiting, None)
            continue
        refused = next((name for name in _REFUSED if word.startswith(name)), "")
        letters, _, path = word[2:].partition("=")
        if word.startswith("-a") and (not letters or letters.isalpha()):
            # "g" asks for general information, which has the time of the run; the last file name given counts
            refused = "-ag" if "g" in letters else ""
            listing = path or listing
        elif word.startswith(("-g", "--g")):
            debug_info = True
        elif not word.startswith("-") and word:
            refused = "input"
        if refused:
            return ForAssembler(refused=f"-Wa,{refused}")
    return ForAssembler(listing, debug_info)
