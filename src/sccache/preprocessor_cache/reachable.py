"""Which files a compile may read, found without running a preprocessor: all that any name in any of them leads to.

A superset, as conditions are not understood: what Windows would include is looked for, too, and mostly not there.  Names that macros
make are those that macros are defined as, anywhere in these files.  It is complete if no condition asks for a name that is put together.

Owns: the walk from file to file.  Must not know: how names are looked for (absent.py), what the files are wanted for.
"""

from collections.abc import Callable, Sequence

import msgspec

from sccache.preprocessor_cache.absent import Compile, Listings, Search
from sccache.preprocessor_cache.includes import Includes

MAX_FILES = 4_000


def reachable(
    compiled: Compile, unnamed: Sequence[str], includes: Callable[[Sequence[str]], Sequence[Includes | None]], listings: Listings
) -> tuple[str, ...] | None:
    """Every file that the source may lead to, itself first; None where that cannot be told.

    `compiled` has the source as its one input; `unnamed`: names of headers that the compiler includes of itself; `includes`: the names
    in files, None for one that cannot be read.
    """
    search = Search(msgspec.structs.replace(compiled, inputs=(), precompiled=()), listings)
    ((source, names),) = compiled.inputs
    known: dict[str, Includes] = {}
    waiting: list[tuple[str, Includes | None]] = [(source, names)]
    for name in compiled.forced:
        search.look_quoted(compiled.cwd, name)
    for name in unnamed:
        search.look_bracketed(name)
    while waiting:
        for path, asked in waiting:
            if asked is None or asked.opaque:
                return None
            known[path] = asked
            search.look_for_names(path, asked)
        search.look_for_computed(known)
        new = [path for path in sorted(search.reached) if path not in known]
        if len(known) + len(new) > MAX_FILES:
            return None
        waiting = list(zip(new, includes(new), strict=True))
    return tuple(known)
