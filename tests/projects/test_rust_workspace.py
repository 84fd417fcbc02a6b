"""A cargo workspace, developed plain and cached: the same files, messages and rebuilt crates at each step; nothing compiled when warm."""

import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "scenarios")]

from arena.needs import needs  # noqa: E402 -- the path above makes it importable
from arena.products import Product, chosen  # noqa: E402
from arena.world import wait_until  # noqa: E402
from rust_workspace import make  # noqa: E402

COMPILERS = re.compile(r"(rustc|clippy-driver|cc1|cc1plus|as|ld|collect2|lto1|rust-lld|[\w-]*-?(gcc|clang)(-\d+)?|cc|sccache-observe)$")
"""Programs that a build which is served does not run; the last runs the others."""
OWN = re.compile(r"rustc (ws_\w+|build_script_build)")
"""Crates of the workspace itself."""
OF_CARGO = {".fingerprint", ".rustc_info.json", ".cargo-lock", "invoked.timestamp", "output"}
"""Cargo's own notes: they hold times, name files in an order that differs from build to build, and keep what build scripts say (the crate
cc tells which commands it runs, the cache's name among them)."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command of cargo came to."""

    messages: list[str]
    """The compiler's, as JSON; sorted, as crates are compiled side by side."""
    built: list[str]
    """What was not fresh."""
    files: Mapping[str, str]
    """Everything below `target`: mode and digest."""


class Workspace:
    """A checkout, and what a developer does in it."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """Make it."""
        self.folder, self.env = make.make(folder, env), {**env, "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1"}  # 3 takes twice as long
        self._changed: dict[Path, str] = {}

    def cargo(self, *words: str, trace: Path | None = None) -> Outcome:
        """Run cargo, if wanted under strace, which writes `trace`."""
        newest = time.time()
        wait_until(lambda: time.time() > newest + 0.03, "files just written are older than the file clock's granularity")
        front = ["strace", "-f", "-e", "trace=execve", "-s", "300", "-o", str(trace)] if trace else []
        done = subprocess.run(
            [*front, "cargo", *words, "--message-format=json"], cwd=self.folder, env=self.env, capture_output=True, text=True,
            check=False, timeout=1500, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stderr[-6000:]}"
        lines = [(line, json.loads(line)) for line in done.stdout.splitlines()]
        return Outcome(
            sorted(line for line, it in lines if it["reason"] == "compiler-message"),
            sorted(_target(it) for _, it in lines if it["reason"] == "compiler-artifact" and not it["fresh"]),
            self._files(),
        )

    def _files(self) -> dict[str, str]:
        found = {}
        for path in sorted((self.folder / "target").rglob("*")):
            relative = path.relative_to(self.folder / "target")
            if path.is_file() and not OF_CARGO & set(relative.parts):
                with path.open("rb") as file:
                    found[str(relative)] = f"{path.stat().st_mode:o} {hashlib.file_digest(file, 'blake2b').hexdigest()[:16]}"
        return found

    def clean(self) -> None:
        """Remove all that cargo made."""
        shutil.rmtree(self.folder / "target", ignore_errors=True)

    def touch(self) -> None:
        """Give every source a new modification time."""
        for path in self.folder.rglob("*"):
            if path.suffix in {".rs", ".toml", ".txt", ".c", ".h"} and "target" not in path.relative_to(self.folder).parts:
                os.utime(path)

    def append(self, name: str, text: str) -> None:
        """Change a file."""
        path = self.folder / name
        self._changed.setdefault(path, path.read_text())
        path.write_text(path.read_text() + text)

    def take_back(self) -> None:
        """Undo the changes; the files are newer than before all the same."""
        for path, text in self._changed.items():
            path.write_text(text)
        self._changed.clear()


def _target(artifact: Mapping[str, object]) -> str:
    """Name an artifact by what tells it from all others: the files that it consists of."""
    return " ".join(artifact["filenames"]) + (" test" if artifact["profile"]["test"] else "")  # type: ignore[attr-defined, index]


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that a developer does: change something, call cargo."""

    words: tuple[str, ...]
    before: Callable[[Workspace], None] = lambda _: None


def _edit(name: str, text: str, words: tuple[str, ...]) -> Step:
    return Step(words, functools.partial(Workspace.append, name=name, text=text))


BUILD, RELEASE = ("build", "--workspace"), ("build", "--workspace", "--release")
ADDED_MACRO = "\n#[proc_macro]\npub fn added(input: TokenStream) -> TokenStream { input }\n"
DAYS: dict[str, dict[str, Step]] = {
    "debug": {
        "build": Step(BUILD),
        "build again": Step(BUILD),
        "check": Step(("check", "--workspace", "--all-targets")),
        "clippy": Step(("clippy", "--workspace", "--all-targets")),
        "test": Step(("test", "--workspace", "--no-run")),
        "all touched": Step(BUILD, Workspace.touch),
        "library edited": _edit("records/src/query.rs", "\npub fn added() {}\nfn unused() {}\n", BUILD),
        "file that a macro reads edited": _edit("records/src/text/stop-words.txt", "or\n", BUILD),
        "file that a build script reads edited": _edit("generated/data/units.txt", "inch 0.0254\n", BUILD),
        "header edited": _edit("native-sys/c/checksum.h", "#define WS_ADDED 1\n", BUILD),
        "macro edited": _edit("macros/src/lib.rs", ADDED_MACRO, BUILD),
        "edits taken back": Step(BUILD, Workspace.take_back),
        "nothing left to do": Step(BUILD),
    },
    "release": {
        "build": Step(RELEASE),
        "build again": Step(RELEASE),
        "library edited": _edit("records/src/query.rs", "\npub fn added() {}\n", RELEASE),
        "edits taken back": Step(RELEASE, Workspace.take_back),
    },
}
IDLE = {"build again", "nothing left to do"}


def live(w: Workspace, day: str, traces: Path | None = None) -> dict[str, Outcome]:
    """Go through a day from an empty `target`; under strace where there is a folder for its reports."""
    w.clean()
    outcomes = {}
    for name, step in DAYS[day].items():
        step.before(w)
        outcomes[name] = w.cargo(*step.words, trace=traces / name if traces else None)
    return outcomes


def compiled(trace: Path) -> list[str]:
    """What compilers did according to strace.

    Not those that failed: build scripts try whether something compiles, and failures are not cached.  Nor what build scripts ask of rustc
    itself, past cargo's wrapper: its version, and whether a line compiles (autocfg's probes).
    """
    running: dict[str, str] = {}
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        pid, event = line.split(maxsplit=1)
        if (start := re.match(r'execve\("([^"]*)", \[(.*)', event)) and " = -1 " not in event:
            running[pid] = _deed(start[1], start[2])
        elif event == "+++ exited with 0 +++" and (deed := running.pop(pid, "")):
            found.append(deed)
    return found


def _deed(program: str, arguments: str) -> str:
    """Nothing for programs that do not compile."""
    name = os.path.basename(program)
    if not COMPILERS.fullmatch(name) or '"--version"' in arguments:
        return ""
    crate = re.search(r'"--crate-name", "([^"]*)"', arguments)
    if crate and re.fullmatch(r"probe\d+", crate[1]):
        return ""
    return f"{name} {crate[1] if crate else arguments}"


def expect_same(have: Mapping[str, Outcome], want: Mapping[str, Outcome], when: str) -> None:
    """Each step's outcome is that of the plain build."""
    for step, plain in want.items():
        mine = have[step]
        assert mine.built == plain.built, f"{when}: {step}: rebuilt"
        assert mine.messages == plain.messages, f"{when}: {step}: messages"
        pairs = {name: (mine.files.get(name), plain.files.get(name)) for name in mine.files.keys() | plain.files.keys()}
        assert {name: pair for name, pair in pairs.items() if pair[0] != pair[1]} == {}, f"{when}: {step}: files"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder short enough for a socket's path."""
    needs("strace", "gcc")
    folder = Path(tempfile.mkdtemp(prefix="sc-"))
    try:
        make.cargo()
        yield folder
    except make.NotPossibleError as why:
        pytest.skip(str(why))
    finally:
        shutil.rmtree(folder)


def _with(product: Product, place: Path) -> dict[str, str]:
    log = {"SCCACHE_LOG": "debug", "SCCACHE_ERROR_LOG": str(place / "log")}
    return {**product.environment(place), **log, "RUSTC_WRAPPER": str(product.command)}


@pytest.fixture
def product(place: Path) -> Iterator[Product]:
    """The cache; its daemon runs before any build that is watched."""
    made = chosen(place / "bin")
    yield made
    made.stop(_with(made, place) | make.environment(place))


@pytest.mark.parametrize("day", DAYS)
def test_workspace(place: Path, product: Product, day: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Cold and warm each step gives what it gives without a cache; what is up to date stays so; warm nothing is compiled."""
    w = Workspace(place / "w", make.environment(place))
    plain = live(w, day)
    assert all(plain[step].built == [] for step in IDLE & plain.keys())

    w.env |= _with(product, place)
    expect_same(live(w, day), plain, "cold")
    cold = product.settled_counts(w.env)
    traces = place / "traces"
    traces.mkdir()
    expect_same(live(w, day, traces), plain, "warm")
    warm = product.settled_counts(w.env)
    with capsys.disabled():
        print(f"\n{day}: {len(plain)} steps equal; cold {cold}; warm {warm}", end="")
    if product.name == "ours":
        assert {step: deeds for step in plain if (deeds := compiled(traces / step))} == {}
        assert warm.misses == cold.misses


@pytest.mark.parametrize("day", DAYS)
def test_second_checkout(place: Path, product: Product, day: str) -> None:
    """Another checkout gets what it would have got without a cache, with all crates that are not its own from the first one's builds."""
    command = DAYS[day]["build"].words
    first = Workspace(place / "first", {**make.environment(place), **_with(product, place)})
    first.cargo(*command)
    product.settled_counts(first.env)

    second = Workspace(place / "elsewhere" / "second", make.environment(place))
    plain = second.cargo(*command)
    second.clean()
    second.env |= _with(product, place)
    trace = place / "trace"
    expect_same({"build": second.cargo(*command, trace=trace)}, {"build": plain}, "second checkout")
    if product.name == "ours":
        assert [deed for deed in compiled(trace) if deed.startswith("rustc ") and not OWN.fullmatch(deed)] == []
