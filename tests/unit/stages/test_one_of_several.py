"""How parts become one answer."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sccache.model import CannotCache, CompileRequest
from sccache.stages.hands import Answer, Command, Exec, Finish, Hands, LauncherGone, Ran, Replay
from sccache.stages.several import SeveralSources
from sccache.stages.toolchains import Driver, OtherDriver
from sccache.stats import Stats

SEVERAL = CannotCache("multiple input files", "b.c")
UNTOUCHED = Exec("/usr/bin/gcc")
DRIVER = Driver("/usr/bin/gcc", "gcc", plusplus=False, version="", digest=b"", transparent=True, absent={}, name="gcc")


class Launcher:
    """Runs nothing, and notes what it was asked for."""

    def __init__(self, ran: Ran | None = None) -> None:
        self.commands: list[Command] = []
        self._ran = ran or Ran(0, 1, b"out\n", b"err\n")

    async def run(self, command: Command) -> Ran:
        self.commands.append(command)
        return self._ran


class Gone(Launcher):
    """The user pressed Ctrl-C."""

    async def run(self, command: Command) -> Ran:  # noqa: ARG002 -- it is that of every launcher
        raise LauncherGone


class Bench:
    """Parts are answered as the table says, by the source's name."""

    def __init__(self, place: Path, answers: Mapping[str, Answer]) -> None:
        for name in answers:
            (place / name).touch()
        self.place = place
        self.answers = answers
        self.asked: list[CompileRequest] = []
        self.stats = Stats()
        self.launcher = Launcher()
        self.several = SeveralSources(self.stats, self._compile)

    async def _compile(self, request: CompileRequest, hands: Hands) -> Answer:
        self.asked.append(request)
        self.stats.count("compile_requests")
        answer = self.answers[request.argv[-1]]
        if isinstance(answer, Replay):
            await hands.run(Command("/usr/bin/gcc", request.argv[1:], is_compile=True, streamed=True, on_terminal=True))
        return answer

    def answer(
        self,
        *words: str,
        refusal: CannotCache = SEVERAL,
        driver: Driver | OtherDriver = DRIVER,
        env: Mapping[str, str] | None = None,
        identity: Sequence[object] = ("me",),
    ) -> Answer | None:
        request = CompileRequest(("gcc", "-c", *(words or self.answers)), str(self.place), env or {}, 0o022, identity=tuple(identity))
        return asyncio.run(self.several.answer(request, driver, refusal, UNTOUCHED, self.launcher))


def test_all_known(tmp_path: Path) -> None:
    """Their messages, in order; each part is a request of its own, which can be remembered."""
    bench = Bench(tmp_path, {"a.c": Finish(0, b"A", b"a\n"), "b.c": Finish(0, b"B"), "c.c": Finish(0, b"", b"c\n")})
    assert bench.answer() == Finish(0, b"AB", b"a\nc\n")
    assert [part.argv for part in bench.asked] == [("gcc", "-c", name) for name in ("a.c", "b.c", "c.c")]
    assert [part.identity for part in bench.asked] == [("me", part.argv) for part in bench.asked]
    assert bench.launcher.commands == []


def test_each_part_counts_once(tmp_path: Path) -> None:
    """And the command, which was counted already, does not."""
    bench = Bench(tmp_path, {"a.c": Finish(0), "b.c": Finish(0)})
    bench.stats.count("compile_requests")
    bench.answer()
    assert bench.stats.compile_requests == 2


def test_compiled_ones_are_no_answer_yet(tmp_path: Path) -> None:
    """A launcher that loses the daemon must run the whole command: so no part is the compile, and nothing of it is shown early."""
    bench = Bench(tmp_path, {"a.c": Replay(), "b.c": Finish(0, b"", b"known\n"), "c.c": Replay()})
    assert bench.answer() == Finish(0, b"out\nout\n", b"err\nknown\nerr\n")
    assert [(command.is_compile, command.streamed, command.on_terminal) for command in bench.launcher.commands] == [
        (False, False, True)
    ] * 2


@pytest.mark.parametrize("second", [Finish(1, b"", b"x\n"), Exec(), Exec("/bin/other"), Finish(0, b"", b"gcc: warning: -lx unused\n")])
def test_the_whole_where_a_part_goes_wrong(tmp_path: Path, second: Answer) -> None:
    """The third is not even begun."""
    bench = Bench(tmp_path, {"a.c": Finish(0), "b.c": second, "c.c": Finish(0)})
    assert bench.answer() == UNTOUCHED
    assert len(bench.asked) == 2


@pytest.mark.parametrize("status", [1, -11, -1000])
def test_a_part_that_fails(tmp_path: Path, status: int) -> None:
    """By itself, by a signal, or because it cannot be started."""
    bench = Bench(tmp_path, {"a.c": Replay(), "b.c": Finish(0)})
    bench.launcher = Launcher(Ran(status, 1, b"", b""))
    assert bench.answer() == UNTOUCHED


@pytest.mark.parametrize(
    ("said", "by_driver"),
    [
        (b"gcc: warning: x\n", True),
        (b"a.c:1: warning: y\nclang: warning: x\n", True),
        (b"\x1b[1mclang-14: \x1b[0m\x1b[0;1;35mwarning: \x1b[0mx\n", True),
        (b"\x1b[01m\x1b[Kgcc:\x1b[m\x1b[K \x1b[01;35m\x1b[Kwarning: \x1b[m\x1b[Kx\n", True),
        (b"x86_64-linux-gnu-g++-12: Warnung: x\n", True),
        (b"nvcc warning : x\n", True),
        (b"cc1: warning: x\n", False),
        (b"a.c:1:2: warning: x\ngcc\n", False),
        (b"b.c: Assembler messages:\n", False),
        (b"ptxas info    : x\n", False),
    ],
)
def test_the_driver_says_it_once(tmp_path: Path, said: bytes, *, by_driver: bool) -> None:
    """The compiler gets the whole command, and the next time at once."""
    bench = Bench(tmp_path, {"a.c": Finish(0, b"", said), "b.c": Finish(0)})
    assert bench.answer() == (UNTOUCHED if by_driver else Finish(0, b"", said))
    assert (bench.answer() is None) == by_driver


UNUSED = b"clang: warning: -lx: 'linker' input unused [-Wunused-command-line-argument]\n"


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (UNUSED + b"a\n", UNUSED + b"b\n", UNUSED + b"a\nb\n"),
        (UNUSED * 2, UNUSED * 2, UNUSED * 2),
        (b"\x1b[1mclang: \x1b[0m" + UNUSED[7:], b"\x1b[1mclang: \x1b[0m" + UNUSED[7:], b"\x1b[1mclang: \x1b[0m" + UNUSED[7:]),
        (UNUSED, b"b\n", None),
        (b"a\n", UNUSED + b"b\n", None),
        (UNUSED, UNUSED * 2, None),
        (UNUSED + b"clang: warning: x\n", UNUSED + b"clang: warning: x\n", None),
        (b"a\n" + UNUSED, b"a\n" + UNUSED, None),
    ],
)
def test_unused_options(tmp_path: Path, first: bytes, second: bytes, together: bytes | None) -> None:
    """clang tells of options that no source used once, in front of all."""
    bench = Bench(tmp_path, {"a.c": Finish(0, b"", first), "b.c": Finish(0, b"", second)})
    assert bench.answer() == (UNTOUCHED if together is None else Finish(0, b"", together))


@pytest.mark.parametrize(
    "how",
    [
        {"refusal": CannotCache("-save-temps")},
        {"env": {"SCCACHE_NO_CACHE": "1"}},
        {"driver": Driver("/usr/bin/gcc", "gcc", plusplus=False, version="", digest=b"", transparent=False, absent={}, name="gcc")},
        {"driver": OtherDriver("/usr/bin/x", "x", "", b"", {})},
    ],
)
def test_not_divided(tmp_path: Path, how: dict[str, object]) -> None:
    """Refused for something else, not wanted, a script, a program that we do not know."""
    bench = Bench(tmp_path, {"a.c": Finish(0), "b.c": Finish(0)})
    assert bench.answer(**how) is None  # type: ignore[arg-type]
    assert bench.asked == []


def test_the_launcher_is_gone(tmp_path: Path) -> None:
    """Ctrl-C ends all of it."""
    bench = Bench(tmp_path, {"a.c": Replay(), "b.c": Finish(0)})
    bench.launcher = Gone()
    with pytest.raises(LauncherGone):
        bench.answer()
