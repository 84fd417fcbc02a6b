"""Which variables Rust sources name in env!(…) and option_env!(…): who compiles them elsewhere needs their values.

Build scripts set such variables (`cargo:rustc-env`), and nothing on the command line tells their names.  Names that a macro puts together
are not found: rustc asks for them under the observer, which shows.

Owns: finding the names.  Must not know: which of them may be sent, what a farm is.
"""

import re
from collections.abc import Iterable
from itertools import islice

from sccache.hashing.files import FileMemory

MAX_REMEMBERED = 20_000
MAX_SOURCE_BYTES = 8 << 20
"""Generated tables may be larger; they have no use for variables."""
_ENDINGS = (".rs", ".inc", ".in")
"""What is included is named like that."""
_NAMED = re.compile(rb'\b(?:option_)?env\s*!\s*[(\[{]\s*r?#*"([^"\\\0=]{1,200})"')


def named(paths: Iterable[str], files: FileMemory, remembered: dict[bytes, frozenset[str]]) -> frozenset[str]:
    """All names in those of these files that are sources.  Blocking."""
    sources = list(dict.fromkeys(path for path in paths if path.endswith(_ENDINGS)))
    found: set[str] = set()
    for path, facts in zip(sources, files.facts_many(sources), strict=True):
        if facts is None or facts.size > MAX_SOURCE_BYTES:
            continue
        names = remembered.get(facts.digest)
        if names is None:
            _make_room(remembered)
            names = remembered[facts.digest] = _names(path)
        found |= names
    return frozenset(found)


def _names(path: str) -> frozenset[str]:
    try:
        with open(path, "rb") as file:
            return frozenset(name.decode("utf-8", "surrogateescape") for name in _NAMED.findall(file.read()))
    except OSError:  # it is gone again, or nobody may read it: the compiler says so
        return frozenset()


def _make_room(remembered: dict[bytes, frozenset[str]]) -> None:
    if len(remembered) >= MAX_REMEMBERED:
        for digest in list(islice(remembered, MAX_REMEMBERED // 2)):
            remembered.pop(digest, None)  # another thread may have done it
