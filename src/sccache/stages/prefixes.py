"""Programs that a command puts before the compiler and that only decide where it runs: `sccache distcc gcc -c a.c`.

Who the compiler is, what it reads and what it is asked are found out without them, of the compiler itself; only the compile goes
through them.  Results are kept apart from those of the compiler alone: another machine may have another compiler.

Sources: distcc(1), icecc(1), ccache(1).
Owns: which programs these are.  Must not know: compilers, keys.
"""

import itertools
import os
from typing import Self

import msgspec
from msgspec import Struct

from sccache.compilers import detect
from sccache.model import CompileRequest
from sccache.stages.hands import Command, Hands, Ran

PREFIXES = frozenset({"ccache", "distcc", "icecc"})
_CHOOSE_COMPILERS = frozenset(
    {"CCACHE_CC", "CCACHE_COMPILER", "CCACHE_PATH", "CCACHE_PREFIX", "CCACHE_PREFIX_CPP", "ICECC_CC", "ICECC_CXX", "ICECC_VERSION"}
)
"""Variables by which one of these programs runs something else than the command says; then it is passed through as it is."""
_GENERIC = {"cc": "gcc", "gcc": "gcc", "c++": "g++", "g++": "g++"}


class Prefix(Struct, frozen=True):
    """What stands before the compiler."""

    executable: str
    words: tuple[str, ...]
    """As spelled; several where one runs another."""
    request: CompileRequest
    """The command without it."""

    @property
    def programs(self) -> tuple[str, ...]:
        """Their names, for keys."""
        return tuple(os.path.basename(word) for word in self.words)

    @classmethod
    def find(cls, request: CompileRequest) -> Self | None:
        """What stands before the compiler of this command; None where nothing does, or something that chooses the compiler itself."""
        if request.executable or os.path.basename(request.argv[0]) not in PREFIXES or _CHOOSE_COMPILERS & request.env.keys():
            return None
        words = tuple(itertools.takewhile(lambda word: os.path.basename(word) in PREFIXES, request.argv))
        found = [_executable(word, request) for word in request.argv[: len(words) + 1]]
        if len(found) == len(words) or "" in found:  # what follows is an option or a source: there is no compiler's name
            return None
        if any(os.path.basename(os.path.realpath(path)) not in PREFIXES for path in found[:-1]):
            return None
        if "distcc" in map(os.path.basename, words) and _is_rewritten(request.argv[len(words)], found[-1], request):
            return None
        return cls(found[0], words, msgspec.structs.replace(request, argv=request.argv[len(words) :]))


def _is_rewritten(name: str, path: str, request: CompileRequest) -> bool:
    """Whether distcc takes another program: it says x86_64-linux-gnu-gcc for gcc where there is one, for the sake of other machines."""
    if name not in _GENERIC or "DISTCC_NO_REWRITE_CROSS" in request.env:
        return False
    full = _executable(f"{os.uname().machine}-linux-gnu-{_GENERIC[name]}", request)
    return bool(full) and os.path.realpath(full) != os.path.realpath(path)


def _executable(name: str, request: CompileRequest) -> str:
    located = detect.locate(name, request.cwd, request.env.get("PATH", os.defpath), sees_caches=True)
    return located.path if located is not None else ""


class PrefixedHands:
    """The launcher, for compiles that go through a prefix."""

    def __init__(self, hands: Hands, prefix: Prefix) -> None:
        self._hands = hands
        self._prefix = prefix

    async def run(self, command: Command) -> Ran:
        """Run one command; the compile itself with all that stands before it."""
        if not command.is_compile:
            return await self._hands.run(command)
        first, *more = self._prefix.words
        args = (*more, command.name or command.executable, *command.args)
        return await self._hands.run(msgspec.structs.replace(command, executable=self._prefix.executable, args=args, name=first))

    async def gone(self) -> None:
        """Return once the launcher is no longer there."""
        await self._hands.gone()
