"""Whether an output of gcc or clang can hold names of directories in a form in which they are not found.

Such a result serves its place only.

Owns: that judgement by the command line.  Must not know: keys, what is in an output.
"""

from collections.abc import Iterable, Sequence

_PACKED_ROLES = frozenset({"pch", "module"})
_PACKING = (
    *("-flto", "-gz", "-fembed-bitcode", "-fthinlto", "-emit-llvm", "--compress-debug-sections", "-Wa,--compress-debug"),
    "-funique-internal-linkage-names",  # a digest of the source's name is in symbols
)
_MICROSOFT = ("windows-msvc", "-win32")
"""Targets where a digest of the source's name is in the symbols of unnamed namespaces."""


def hides_paths(roles: Iterable[str], args: Sequence[str]) -> bool:
    """Of outputs with these roles, made with these arguments."""
    if not _PACKED_ROLES.isdisjoint(roles):
        return True
    return any(arg.startswith(_PACKING) or any(name in arg for name in _MICROSOFT) for arg in args)
