"""What a wrapper makes of a command line, out of the driver's own listing of the commands that it would run (`-###`).

A script may add options by the source, the output, a variable or the day.  What the caller wrote is known to the key by other means, and
names differ between checkouts and outputs, so it is replaced by its place in the command line; what is left was added behind it.

Owns: that form of a listing.  Must not know: how it was made, keys.
"""

import re
from collections.abc import Sequence

_TEMPORARY = re.compile(r".*/(?:cc\w{6}|[^/]*-[0-9a-f]{6})\.(?:s|S|o|i|ii|res)")
"""gcc's and clang's names for what goes from one program to the next."""


def listing_command(argv: Sequence[str]) -> tuple[str, ...]:
    """The caller's own arguments, printing what would be run instead of running it."""
    return (*argv[1:], "-###")


def added(listing: str, argv: Sequence[str]) -> str:
    """The listing without temporary names, the caller's words as their places."""
    return "\n".join(" ".join(_words(line, argv)) for line in listing.splitlines() if line.startswith(" "))


def _words(line: str, argv: Sequence[str]) -> list[str]:
    words = (word.strip('"') for word in line.split())
    return [_place(word, argv) for word in words if not _TEMPORARY.fullmatch(word)]


def _place(word: str, argv: Sequence[str]) -> str:
    for index, given in enumerate(argv[1:]):
        if word == given or ("/" in word and word in given):
            return f"<{index} {given.find(word)}>"
    return word
