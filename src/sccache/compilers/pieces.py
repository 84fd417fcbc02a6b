"""What stands behind -Wa, and -Xassembler.

Sources: `as --help` and the GNU assembler's manual ("Command-Line Options").
Owns: the assembler options that matter to a cache.  Must not know: keys.
"""

from collections.abc import Sequence

from msgspec import Struct


class ForAssembler(Struct, frozen=True):
    """What a list of assembler options means to a cache."""

    output_files: tuple[tuple[str, str], ...] = ()
    debug_info: bool = False
    refused: str = ""


_REFUSED = ("--MD", "-o", "-MD", "--statistics", "--dump-config", "--save-temps")


def assembler(words: Sequence[str]) -> ForAssembler:
    """Read the options of one -Wa, or -Xassembler."""
    listings: list[tuple[str, str]] = []
    debug_info = False
    for word in words:
        refused = next((name for name in _REFUSED if word.startswith(name)), "@" if word.startswith("@") else "")
        letters, _, path = word.removeprefix("-a").partition("=")
        if word.startswith("-a") and (letters.isalpha() or not letters):
            if "g" in letters:  # "general information": the time of the run
                refused = "-ag"
            if path:
                listings.append(("lst", path))
        elif word.startswith(("-g", "--gen-debug", "--gstabs", "--gdwarf")):
            debug_info = True
        if refused:
            return ForAssembler(refused=f"-Wa,{refused}")
    return ForAssembler(tuple(listings), debug_info)
