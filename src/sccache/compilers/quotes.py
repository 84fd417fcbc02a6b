"""Which files a compiler's messages point at.

gcc reads the lines that it quotes when it prints them, from the file that a `#line` directive or a line marker names: no
dependency list has that file, and it may not even exist.  Must not know: which files are inputs.
"""

import os
import re
from collections.abc import Callable

_ESCAPES = re.compile(rb"\x1b\[[0-9;]*[mK]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_QUOTED_LINE = re.compile(rb"[ \t]*\d*[ \t]*\|")
_PLACE = re.compile(rb"([^\n:]+):\d+[:,]")


def points_elsewhere(messages: bytes, is_input: Callable[[str], bool]) -> bool:
    """Whether a message is about a line of a file that is no input; in doubt it is.

    Before the name there may be words in the user's language (`In file included from`), and names may hold blanks.
    """
    for line in _ESCAPES.sub(b"", messages).splitlines():
        place = None if _QUOTED_LINE.match(line) else _PLACE.match(line)
        if place is None or place[1].startswith(b"<"):
            continue
        words = os.fsdecode(place[1]).split(" ")
        if not any(is_input(" ".join(words[start:])) for start in range(len(words))):
            return True
    return False
