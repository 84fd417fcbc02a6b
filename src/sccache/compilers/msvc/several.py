"""Make of one clang-cl or cl command with several sources (also with /MP) as many commands with one source each.

clang-cl compiles one source after the other; `/Fo` must then name a directory.  Where `CL` or `_CL_` have words, every part would get
them again, sources among them: such a command stays whole.
Owns: `split_clang_cl`, `split_cl`.  Must not know: what is done with the parts.   I/O: reads @files, looks whether the sources exist.
"""

from collections.abc import Mapping

from sccache.compilers.msvc import response_files
from sccache.compilers.msvc.command import cl, clang_cl
from sccache.compilers.msvc.words import Word, split
from sccache.compilers.options.msvc import Role
from sccache.compilers.several import Commands, are_separate
from sccache.model import CannotCache

MAX_SOURCES = 200
_SOURCES = frozenset({Role.SOURCE_C, Role.SOURCE_CXX})
_SHARED = frozenset({Role.PDB, Role.PCH_MAKE, Role.LISTING_PATH, Role.SOURCE_DEPENDENCIES, Role.TO_DRIVER})
"""One file for all sources, or an option (`/clang:-MF…`) that may name one."""


def split_clang_cl(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> Commands:
    """The commands that do the same as this one, in its order; none where it cannot be divided."""
    return _split(argv, cwd, env, clang=True)


def split_cl(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> Commands:
    """The same for cl, with /MP: by one process it says once for all sources that it generates code."""
    return _split(argv, cwd, env, clang=False)


def _split(argv: tuple[str, ...], cwd: str, env: Mapping[str, str], *, clang: bool) -> Commands:
    expanded = response_files.expand(argv[1:], cwd, clang=clang)
    words = split(expanded.words, clang=clang)
    if expanded.unreadable or isinstance(words, CannotCache) or any(env.get(name) for name in ("CL", "_CL_")):
        return ()
    if any(word.startswith("@") for word in expanded.words):
        return ()  # of cl, which expands no @ in a file, but would in a part
    if not clang and not any(_has_processes(word) for word in words):
        return ()
    sources = [position for position, word in enumerate(words) if _is_source(word)]
    if not 1 < len(sources) <= MAX_SOURCES or any(_is_shared(word) for word in words):
        return ()
    options = [part for word in words if not _is_source(word) for part in word.spelled]
    last = ("--",) if clang else ()  # a path may begin with the sign of an option
    parts = tuple((argv[0], *options, *(() if words[at].name else last), *words[at].spelled) for at in sources)
    parse = clang_cl if clang else cl
    return parts if are_separate([parse(part, cwd, env) for part in parts], cwd) else ()


def _has_processes(word: Word) -> bool:
    return word.name == "/MP" and word.value != "1"


def _is_source(word: Word) -> bool:
    return not word.name or word.role in _SOURCES


def _is_shared(word: Word) -> bool:
    return word.role in _SHARED or (word.role is Role.OUTPUT and not word.value.endswith(("/", "\\")))
