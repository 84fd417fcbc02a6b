"""One command with several sources: each source is looked up, and compiled if need be, as if it stood alone.

    command ─▶ parts ─▶ each its own request ─▶ all went well and the driver itself said nothing ─▶ their messages, in order
                                             └▶ otherwise ─▶ the whole command, as it is

What the whole command would do is thus never guessed: where a part fails, or where the driver complains (of some things once for the
command, of others once for each source), the compiler gets the whole command, and makes all files and messages anew.  For the same reason
no part is "the compile" of the command: when the daemon is lost, the launcher runs all of it.
Owns: the way from parts to one answer.  Must not know: how a part is answered.
"""

import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from sccache.compilers import hipcc, several
from sccache.compilers.msvc import several as msvc
from sccache.compilers.nvcc import several as nvcc
from sccache.model import CannotCache, CompileRequest
from sccache.stages.hands import Answer, Command, Exec, Finish, Hands, Ran, Replay
from sccache.stages.toolchains import Driver, OtherDriver
from sccache.stats import Stats

log = logging.getLogger(__name__)

MAX_WHOLE = 1000  # commands whose driver has something to say

Compile = Callable[[CompileRequest, Hands], Awaitable[Answer]]
Splitter = Callable[[tuple[str, ...], str, Mapping[str, str]], several.Commands]

SPLITTERS: Mapping[str, Splitter] = {"nvcc": nvcc.split, "hipcc": hipcc.split, "clang-cl": msvc.split_clang_cl, "msvc": msvc.split_cl}
"""For families beside gcc and clang.  Some others take several sources as one compile with several outputs."""

_ESCAPES = re.compile(rb"\x1b\[[0-9;]*[mK]")
_DRIVERS = rb"(?:[\w.+-]*-)?(?:cc|c\+\+|gcc|g\+\+|clang|clang\+\+)(?:-[\d.]+)?|nvcc"
_DRIVER_SAYS = re.compile(rb"^(?:%s)(?:| warning *| error *| fatal *| info *): " % _DRIVERS, re.MULTILINE)
_UNUSED = re.compile(rb"^clang[\w.+-]*: warning: .*\[-Wunused-command-line-argument\]\s*$")


class SeveralSources:
    """Answers commands with several sources for one pipeline."""

    def __init__(self, stats: Stats, compile_one: Compile) -> None:
        self._stats = stats
        self._compile_one = compile_one
        self._whole: set[tuple[str, tuple[str, ...]]] = set()
        """Known to be said something about by the driver."""

    async def answer(
        self, request: CompileRequest, driver: Driver | OtherDriver, refusal: CannotCache, untouched: Exec, hands: Hands
    ) -> Answer | None:
        """The answer to a refused command, if it was refused for its several sources only and can be divided."""
        if not several.is_refused_for_this(refusal) or "SCCACHE_NO_CACHE" in request.env or (request.cwd, request.argv) in self._whole:
            return None
        commands = _split(request, driver)
        if not commands:
            return None
        self._stats.count("compile_requests", -1)  # its parts count instead
        return await self._answer(request, driver, commands, hands) or untouched

    async def _answer(
        self, request: CompileRequest, driver: Driver | OtherDriver, commands: several.Commands, hands: Hands
    ) -> Finish | None:
        out, err = b"", b""
        by_driver: bytes | None = None
        for argv in commands:
            part = msgspec.structs.replace(request, argv=argv, identity=(*request.identity, argv))
            ended = await self._one(part, hands)
            if ended is None or ended.exit_code != 0:
                log.debug("%s: a part failed; all is compiled by one command", " ".join(argv))
                return None
            once, rest = _split_messages(ended.stderr)
            by_driver = once if by_driver is None else by_driver
            if once != by_driver or _driver_speaks(rest, driver):
                log.debug("%s: the driver has something to say; all is compiled by one command", " ".join(argv))
                self._leave_whole(request)
                return None
            out += ended.stdout
            err += rest
        return Finish(0, out, (by_driver or b"") + err)

    def _leave_whole(self, request: CompileRequest) -> None:
        if len(self._whole) >= MAX_WHOLE:
            self._whole.clear()
        self._whole.add((request.cwd, request.argv))

    async def _one(self, part: CompileRequest, hands: Hands) -> Finish | None:
        ours = _PartHands(hands)
        answer = await self._compile_one(part, ours)
        match answer:
            case Finish():
                return answer
            case Replay() if ours.last is not None:
                return Finish(ours.last.status, bytes(ours.last.stdout), bytes(ours.last.stderr))
            case _:
                return None


class _PartHands:
    """The launcher as a part sees it: nothing that it runs is the answer yet, and nothing is shown before all is known."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self.last: Ran | None = None

    async def run(self, command: Command) -> Ran:
        """Run a command of a part."""
        self.last = await self._hands.run(msgspec.structs.replace(command, is_compile=False, streamed=False))
        return self.last

    async def gone(self) -> None:
        """Return once the launcher is no longer there."""
        await self._hands.gone()


def _split(request: CompileRequest, driver: Driver | OtherDriver) -> several.Commands:
    if isinstance(driver, Driver):
        if not driver.transparent:
            return ()  # a script may do anything once for each command
        return several.split(driver.family, request.argv, request.cwd, request.env, driver.plusplus)
    splitter = SPLITTERS.get(driver.family)
    return splitter(request.argv, request.cwd, request.env) if splitter is not None else ()


def _split_messages(stderr: bytes) -> tuple[bytes, bytes]:
    """What clang's driver says, before anything is compiled, of options that nothing used, and the rest.

    Of the whole command it says once what it says of every part.
    """
    lines = stderr.splitlines(keepends=True)
    count = next((number for number, line in enumerate(lines) if not _UNUSED.search(_ESCAPES.sub(b"", line))), len(lines))
    return b"".join(lines[:count]), b"".join(lines[count:])


def _driver_speaks(stderr: bytes, driver: Driver | OtherDriver) -> bool:
    """Whether a line comes from the driver itself: `gcc: warning: …`; cc1's, the assembler's and the source's are each part's own."""
    if not stderr:
        return False
    text = _ESCAPES.sub(b"", stderr)
    names = {os.path.basename(path) for path in (driver.path, os.path.realpath(driver.path), driver.name) if path}
    starts = tuple(os.fsencode(name) + b": " for name in names)
    return _DRIVER_SAYS.search(text) is not None or any(line.startswith(starts) for line in text.splitlines())
