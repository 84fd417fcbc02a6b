"""The world in which a scenario's steps happen: a tree of files, an environment, and a compiler with or without the cache.

Every step that runs something records what a user could see.  The same steps run twice, so a step must not depend on
chance; `World.cached` tells which of the two runs this is, for steps that only make sense with a cache (kill its daemon).
"""

import contextlib
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from arena import snapshot
from arena.products import Counts, Product

STEP_DEADLINE_S = 120.0  # nothing here takes ten seconds; more is a hang
SETTLED_AFTER_NS = 30_000_000  # a change is trusted when it is older than the file clock's granularity, twice 10 ms
FIRST_MTIME_S = 1_700_000_000  # sources are old: the guard against files newer than the clock is not under test here

# What a step promises about the cache.
HIT = "hit"
MISS = "miss"
UNCACHED = "uncached"  # passed through with a named reason
RECOMPILE = "recompile"  # a miss or passed through: anything but a hit
ANY = "any"
BY_MANIFEST = MISS if os.environ.get("SCCACHE_TEST_MODE") == "indirect" else HIT
"""A hit that only a manifest can find: what the assembler reads is in no preprocessed text."""


@dataclass(frozen=True)
class Step:
    """What a user could see of one command."""

    label: str
    exit_code: int
    stdout: bytes
    stderr: bytes
    tree: snapshot.Snapshot


@dataclass
class World:
    """See the module's text."""

    root: Path
    home: Path
    product: Product | None
    settings: Mapping[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Lay out the empty tree."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        self._writes = 0
        self._counts: Counts | None = None  # as after the last step, when nothing has happened since
        self.env: dict[str, str] = {
            "PATH": "/usr/bin:/bin", "HOME": str(self.home), "TMPDIR": str(self.home / "tmp"), "LC_ALL": "C", "TERM": "dumb",
            **({} if self.product is None else self.product.environment(self.home)), **self.settings,
        }  # fmt: skip

    # -- files

    @property
    def cached(self) -> bool:
        """Whether this run goes through the cache."""
        return self.product is not None

    def path(self, name: str | bytes) -> Path:
        """The absolute path of a name in the tree."""
        return self.root / os.fsdecode(name)

    def write(self, name: str | bytes, text: str | bytes, *, mode: int = 0o644) -> Path:
        """Write a file in place, with a modification time in the past that no other write shares."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        self._writes += 1
        os.utime(path, (FIRST_MTIME_S + self._writes, FIRST_MTIME_S + self._writes))
        return path

    def script(self, name: str, body: str) -> Path:
        """Write an executable shell script."""
        return self.write(name, f"#!/bin/sh\n{body}\n", mode=0o755)

    def rewrite_unseen(self, name: str, text: str | bytes) -> None:
        """Rewrite a file in place keeping its size and modification time, as rsync -t or nix do."""
        path = self.path(name)
        before = path.stat()
        data = text if isinstance(text, bytes) else text.encode()
        if len(data) != before.st_size:
            raise AssertionError(f"{name}: the new text has another size")
        with path.open("r+b") as file:
            file.write(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove(self, *names: str | bytes) -> None:
        """Remove files that are there."""
        for name in names:
            self.path(name).unlink()

    def rename(self, old: str, new: str) -> None:
        """Rename within the tree."""
        self.path(old).rename(self.path(new))

    def mkdir(self, name: str) -> Path:
        """Make a directory."""
        self.path(name).mkdir(parents=True, exist_ok=True)
        return self.path(name)

    def symlink(self, name: str, target: str) -> None:
        """Make or retarget a symlink."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    # -- commands

    def compiler(self, *command: str | bytes | Path) -> list[str | bytes]:
        """A command line with the cache in front of it, or without in the plain run."""
        front: list[str | bytes] = [] if self.product is None else [str(self.product.command)]
        return [*front, *(os.fspath(word) for word in command)]

    def run(
        self, *command: str | bytes | Path, expect: str = ANY, cwd: str = ".", env: Mapping[str, str | None] | None = None,
        stdin: bytes = b"", umask: int = 0o022, tty: bool = False, compare: bool = True,
    ) -> Step:  # fmt: skip
        """Run a compiler command (through the cache in the cached run), record it, check the promise `expect`."""
        return self._record(self.compiler(*command), expect, cwd, env, stdin, umask, tty, compare)

    def tool(
        self, *command: str | Path, expect: str = ANY, cwd: str = ".", env: Mapping[str, str | None] | None = None,
        compare: bool = True,
    ) -> Step:  # fmt: skip
        """Run a command as it is (make, cmake); `self.front` is what to put before a compiler in it."""
        return self._record([os.fspath(word) for word in command], expect, cwd, env, b"", 0o022, False, compare)

    @property
    def front(self) -> str:
        """`sccache ` in the cached run, nothing in the plain one: to put before a compiler."""
        return "" if self.product is None else f"{self.product.command} "

    def environment(self, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The step's environment: None removes a name."""
        merged: dict[str, str | None] = {**self.env, **(changes or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def _record(
        self, argv: Sequence[str | bytes], expect: str, cwd: str, env: Mapping[str, str | None] | None, stdin: bytes,
        umask: int, tty: bool, compare: bool,
    ) -> Step:  # fmt: skip
        environment = self.environment(env)
        self.settle()
        before = (self._counts or self.product.settled_counts(environment)) if self.product and expect != ANY else None
        self._counts = None
        run = _run_on_terminal if tty else _run
        done = run(argv, environment, self.path(cwd), stdin, umask)
        shown = " ".join(os.fsdecode(word)[:80] for word in argv[:14])
        tree = snapshot.take(self.root) if compare else {}
        step = Step(f"step {len(self.steps) + 1}: {shown}", done.returncode, done.stdout, done.stderr, tree)
        self.steps.append(step)
        if self.product and before is not None:
            after = self._counts = self.product.settled_counts(environment)
            gained = (after.hits - before.hits, after.misses - before.misses, after.uncached - before.uncached)
            if not _keeps_promise(expect, *gained) and self.product.name != "zccache":
                self.complaints.append(f"{step.label}: wanted {expect}, got hits, misses, uncached {gained}")
        return step

    def settle(self) -> None:
        """Let the file clock tick past the last change, so that no file is too new to be trusted."""
        marker = self.home / "clock"
        start = time.time_ns()
        while True:
            marker.touch()
            if marker.stat().st_mtime_ns > start + SETTLED_AFTER_NS:
                return
            time.sleep(0.001)

    # -- the daemon (nothing happens in the plain run)

    def daemon_pid(self) -> int | None:
        """The daemon's process id."""
        return self.product.daemon_pid(self.environment()) if self.product else None

    def kill_daemon(self) -> None:
        """Kill -9 the daemon, and wait until it is gone."""
        pid = self.daemon_pid()
        self._counts = None
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not is_alive(pid), f"daemon {pid} is gone")

    def stop_daemon(self) -> None:
        """Stop the daemon in the documented way."""
        self._counts = None
        if self.product:
            self.product.stop(self.environment())

    def cache_files(self) -> list[Path]:
        """Every regular file of the cache directory."""
        if self.product is None:
            return []
        return sorted(p for p in self.product.cache_dir(self.environment()).rglob("*") if p.is_file() and not p.is_symlink())


def _keeps_promise(expect: str, hits: int, misses: int, uncached: int) -> bool:
    return {
        HIT: hits >= 1 and misses == 0 and uncached == 0,
        MISS: hits == 0 and misses >= 1,
        UNCACHED: hits == 0 and misses == 0,
        RECOMPILE: hits == 0,
    }[expect]


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until(true: "object", what: str, deadline_s: float = 120.0) -> None:
    """Poll until `true()`; the deadline is for what hangs, not for what is slow."""
    give_up = time.monotonic() + deadline_s
    while not true():  # type: ignore[operator]
        if time.monotonic() > give_up:
            raise AssertionError(f"after {deadline_s} s: not so: {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def _killed_after(process: subprocess.Popen[bytes]) -> Iterator[None]:
    timer = threading.Timer(STEP_DEADLINE_S, lambda: os.killpg(process.pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _start(argv: Sequence[str | bytes], env: Mapping[str, str], cwd: Path, umask: int, **streams: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, env=dict(env), cwd=cwd, umask=umask, start_new_session=True, **streams)  # type: ignore[call-overload,no-any-return]


def _run(argv: Sequence[str | bytes], env: Mapping[str, str], cwd: Path, stdin: bytes, umask: int) -> subprocess.CompletedProcess[bytes]:
    pipe = subprocess.PIPE
    process = _start(argv, env, cwd, umask, stdin=pipe, stdout=pipe, stderr=pipe)
    with _killed_after(process):
        out, err = process.communicate(stdin)
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def _run_on_terminal(
    argv: Sequence[str | bytes], env: Mapping[str, str], cwd: Path, stdin: bytes, umask: int
) -> subprocess.CompletedProcess[bytes]:
    """Like _run with standard error on a terminal; what came out of it is `stderr`."""
    ours, theirs = pty.openpty()
    process = _start(argv, env, cwd, umask, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    chunks: list[bytes] = []

    def drain() -> None:
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    with _killed_after(process):
        out, _ = process.communicate(stdin)
    reader.join(5)
    os.close(ours)
    return subprocess.CompletedProcess(argv, process.returncode, out, b"".join(chunks))
