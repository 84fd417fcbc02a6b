"""Builds in bubblewrap, over an overlay of toolchain and tree; as root or, by user namespaces, as anybody.

    sh: mount -t overlay (tree over toolchain, writes apart)          in a mount namespace, which goes with its last process
     └▶ bwrap: no network, own processes, own users, no capability
         └▶ sccache-enter: directory, name, environment, limits ─▶ the command

The tree's files may be hard links to a store: a lower layer of an overlay is never written, whatever the build does to its names.
Sources: bwrap(1), mount(8), unshare(1), user_namespaces(7), the kernel's documentation of overlayfs ("userxattr", 5.11).

Owns: these command lines, ending what takes too long or writes too much.  Must not know: jobs, what is compiled.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import struct
import tempfile
import termios
import time
from collections.abc import Sequence

from sccache.dist.messages import OWN_DIRECTORY
from sccache.dist.sandbox import written
from sccache.dist.sandbox.base import Build, Limits, Made, Outcome, SandboxError

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENTER = os.path.join(_PACKAGE, "sccache-enter")
OLDEST = (0, 3)
NO_NAMESPACES_SINCE = (0, 8)
"""bwrap can forbid builds to make user namespaces of their own."""
_VERSION = re.compile(r"bubblewrap (\d+)\.(\d+)")
_SCRIPT = 'mount -t overlay overlay -o "$1" merged && shift && exec "$@"'
_MAP_TO_ROOT = ("--user", "--map-root-user")
_ROWS = 24
WATCH_S = 0.5
END_S = 10.0
CHECK_S = 20.0
"""For the trial at the start."""


class Bubblewrap:
    """Sandboxes by the system's bwrap."""

    def __init__(self, build_dir: str, bwrap: str = "bwrap", *, rootless: bool) -> None:
        """`build_dir`: for what builds write; a private directory of this worker's, whose name has neither `,` nor `:`."""
        self._directory = build_dir
        self._bwrap = bwrap
        self._rootless = rootless
        self._hardening: tuple[str, ...] = ()

    async def check(self) -> None:
        """Look for what is needed, and run something."""
        if not self._rootless and os.geteuid() != 0:
            raise SandboxError('not running as root: an overlay builder needs it; use `type = "rootless"` in [builder]')
        if set(",:\\") & set(self._directory):
            raise SandboxError(f"the name of the build directory {self._directory} has a `,`, a `:` or a backslash")
        if not os.access(ENTER, os.X_OK):
            raise SandboxError(f"{ENTER} is missing: install a C compiler, then reinstall pysccache")
        await self._check_version()
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="check-", dir=self._directory) as place:
            for name in ("toolchain", "tree"):
                os.mkdir(os.path.join(place, name))
            shutil.copy(ENTER, os.path.join(place, "tree", "trial"))
            trial = Build(
                toolchain=os.path.join(place, "toolchain"),
                tree=os.path.join(place, "tree"),
                executable=b"/trial",
                argv=(b"trial",),
                environment=(),
                cwd=b"/",
                umask=0o022,
                limits=Limits(seconds=CHECK_S),
            )
            finished = await self.run(trial)
            await asyncio.to_thread(finished.remove)

    async def _check_version(self) -> None:
        try:
            asked = await asyncio.create_subprocess_exec(self._bwrap, "--version", stdout=asyncio.subprocess.PIPE)
            said, _ = await asyncio.wait_for(asked.communicate(), CHECK_S)
        except (OSError, TimeoutError) as e:
            raise SandboxError(f"bubblewrap 0.3.0 or later is required, {self._bwrap} cannot be run: {e}") from e
        version = _VERSION.match(said.decode(errors="replace"))
        if version is None or (int(version[1]), int(version[2])) < OLDEST:
            raise SandboxError(f"bubblewrap 0.3.0 or later is required, {self._bwrap} is {said.decode(errors='replace').strip()!r}")
        if (int(version[1]), int(version[2])) >= NO_NAMESPACES_SINCE:
            self._hardening = ("--disable-userns",)

    async def run(self, build: Build) -> "FinishedBuild":
        """Run a build."""
        place = await asyncio.to_thread(self._prepare, build)
        try:
            return FinishedBuild(place, await self._run(build, place))
        except BaseException:
            await asyncio.shield(asyncio.to_thread(written.remove, place))
            raise

    def _prepare(self, build: Build) -> str:
        """The directory of one build: what it writes, and its specification."""
        place = tempfile.mkdtemp(prefix="build-", dir=self._directory)
        try:
            for name in ("upper", "work", "merged"):
                os.mkdir(os.path.join(place, name), 0o755)
            for name in written.OUR_OWN:  # what toolchain or tree have there may be a link, which bwrap would follow out of the sandbox
                os.mkdir(os.path.join(place, "upper", name), 0o755)
            os.symlink(build.tree, os.path.join(place, "tree"))
            os.symlink(build.toolchain, os.path.join(place, "toolchain"))
            with open(os.path.join(place, "specification"), "wb") as file:
                file.write(specification(build))
        except SandboxError:
            written.remove(place)
            raise
        except OSError as e:
            written.remove(place)
            raise SandboxError(f"no build can be prepared: {e}") from e
        return place

    def _command(self, build: Build, place: str, told: int) -> list[str]:
        options = "lowerdir=tree:toolchain,upperdir=upper,workdir=work" + (",userxattr" if self._rootless else "")
        own = os.fsdecode(OWN_DIRECTORY)
        binds = [(ENTER, f"{own}/enter"), (os.path.join(place, "specification"), f"{own}/specification")]
        binds += [(bind.path, os.fsdecode(bind.inside)) for bind in build.binds]
        return [
            *("unshare", *(_MAP_TO_ROOT if self._rootless else ()), "--mount", "--propagation", "private", "--"),
            *("sh", "-c", _SCRIPT, "sh", options),
            *(self._bwrap, "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "worker"),
            *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *(*self._hardening, "--info-fd", str(told)),
            *("--bind", "merged", "/", "--proc", "/proc", "--dev", "/dev", "--clearenv", "--chdir", "/"),
            *(word for path, inside in binds for word in ("--ro-bind", path, inside)),
            *("--", f"{own}/enter", f"{own}/specification", f"{own}/status"),
        ]

    async def _run(self, build: Build, place: str) -> Outcome:
        start_ns = time.monotonic_ns()
        master, slave = _terminal(build.columns) if build.columns else (-1, -1)
        tells, told = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(build, place, told),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=slave if build.columns else asyncio.subprocess.PIPE,
                cwd=place,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,
                pass_fds=(told,),
                limit=1 << 20,
            )
        except OSError as e:
            _close(master, slave, tells, told)
            raise SandboxError(f"no sandbox can be started: {e}") from e
        _close(slave, told)
        guard = _Guard(build.limits, os.path.join(place, "upper"), process)
        watching = asyncio.ensure_future(guard.watch())
        try:
            stderr = _read_terminal(master, guard) if build.columns else _read_pipe(process.stderr, guard)
            out, err = await asyncio.gather(_read_pipe(process.stdout, guard), stderr)
            code = await process.wait()
        finally:
            watching.cancel()
            guard.kill()
            # asyncio sees the end of a process only after that of its pipes: what is left in them is read and forgotten.
            leftovers = (_drain(process.stdout), _drain(process.stderr))
            await asyncio.gather(watching, process.wait(), *leftovers, return_exceptions=True)
            await _end_of_all(tells)
        return _outcome(place, (out, err), code, guard.trouble, time.monotonic_ns() - start_ns)


class FinishedBuild:
    """A build that has ended."""

    def __init__(self, place: str, outcome: Outcome) -> None:
        self.outcome = outcome
        self._place = place
        self._upper = os.path.join(place, "upper")

    def read(self, paths: Sequence[bytes], below: Sequence[bytes], max_bytes: int) -> list[Made]:
        """See sandbox.base.Finished."""
        return written.read(self._upper, paths, below, max_bytes)

    def left(self, known: Sequence[bytes], max_names: int) -> tuple[bytes, ...]:
        """See sandbox.base.Finished."""
        return written.left(self._upper, known, max_names)

    def own(self, name: bytes, max_bytes: int) -> bytes:
        """A file that the observer wrote in the worker's own directory; empty if there is none."""
        made = written.read(self._upper, (OWN_DIRECTORY + b"/" + name,), (), max_bytes)
        return made[0].data if made else b""

    def remove(self) -> None:
        """Delete all that it wrote."""
        written.remove(self._place)


class _Guard:
    """Ends a build that goes beyond its limits."""

    def __init__(self, limits: Limits, upper: str, process: asyncio.subprocess.Process) -> None:
        self.trouble = ""
        self.limits = limits
        self._upper = upper
        self._process = process

    async def watch(self) -> None:
        """Look now and then, until the build ends."""
        ends_at = time.monotonic() + self.limits.seconds
        while True:
            await asyncio.sleep(min(WATCH_S, max(0.0, ends_at - time.monotonic())))
            if time.monotonic() >= ends_at:
                self.end(f"it took longer than {self.limits.seconds:g} seconds")
            elif await asyncio.to_thread(self._writes_too_much):
                self.end(f"it wrote more than {self.limits.output_bytes} bytes, or too many files")
            elif self.limits.processes and await asyncio.to_thread(_family, self._process.pid) > self.limits.processes:
                self.end(f"it started more than {self.limits.processes} processes")  # root is exempt from RLIMIT_NPROC

    def _writes_too_much(self) -> bool:
        try:
            return written.size_of(self._upper) > self.limits.output_bytes
        except SandboxError:
            return True

    def end(self, trouble: str) -> None:
        """End it, for this reason."""
        self.trouble = self.trouble or trouble
        self.kill()

    def kill(self) -> None:
        """Kill it with all its processes: those of a pid namespace die with its first."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _family(pid: int) -> int:
    """How many processes descend from this one: proc_tid_children(5)."""
    pending, count = [pid], 0
    while pending:
        here = pending.pop()
        count += 1
        with contextlib.suppress(OSError), open(f"/proc/{here}/task/{here}/children", encoding="ascii") as file:
            pending += [int(word) for word in file.read().split()]
    return count


async def _end_of_all(tells: int) -> None:
    """Wait until nothing runs in the sandbox any more: bwrap itself ends a little before the first process of its namespace does."""
    try:
        first = json.loads(os.read(tells, 1 << 12) or b"{}").get("child-pid")
        descriptor = os.pidfd_open(first) if isinstance(first, int) else -1
    except (OSError, ValueError):
        return  # it is gone
    finally:
        os.close(tells)
    if descriptor >= 0:
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_readable(descriptor), END_S)
        finally:
            os.close(descriptor)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


async def _read_pipe(stream: asyncio.StreamReader | None, guard: _Guard) -> bytes:
    found = bytearray()
    while stream is not None and (data := await stream.read(1 << 16)):
        found += data
        if len(found) > guard.limits.stream_bytes:
            guard.end("it says too much")
            await _drain(stream)
    return bytes(found)


async def _drain(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(1 << 16):
        pass


async def _read_terminal(master: int, guard: _Guard) -> bytes:
    """Until the last process has closed the other end, which reads as an error (EIO)."""
    loop = asyncio.get_running_loop()
    os.set_blocking(master, False)
    found = bytearray()
    ended: asyncio.Future[None] = loop.create_future()

    def take() -> None:
        try:
            data = os.read(master, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        found.extend(data)
        if len(found) > guard.limits.stream_bytes:
            guard.end("it says too much")
            data = b""
        if not data and not ended.done():
            ended.set_result(None)

    loop.add_reader(master, take)
    try:
        await ended
    finally:
        loop.remove_reader(master)
        _close(master)
    return bytes(found)


def _terminal(columns: int) -> tuple[int, int]:
    """A terminal of this width that changes nothing of what is written to it."""
    master, slave = os.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    return master, slave


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def specification(build: Build) -> bytes:
    """As native/enter.c reads it."""
    limits = build.limits
    numbers = (f"{build.umask:o}", str(limits.memory_bytes), str(limits.output_bytes), str(limits.processes))
    words = [*(number.encode() for number in numbers), build.cwd, build.executable, str(len(build.argv)).encode(), *build.argv]
    words += [name + b"=" + value for name, value in build.environment]
    if any(b"\0" in word for word in words) or any(b"=" in name for name, _ in build.environment):
        raise SandboxError("a word of the command has a NUL, or a variable's name a `=`")
    return b"".join(word + b"\0" for word in words)


def _outcome(place: str, said: tuple[bytes, bytes], code: int, trouble: str, wall_ns: int) -> Outcome:
    status = written.read(os.path.join(place, "upper"), (OWN_DIRECTORY + b"/status",), (), 1 << 10)
    if not status and not trouble:
        raise SandboxError(f"the sandbox ended with {code}: {said[1][:1000].decode(errors='replace').strip()}")
    try:
        number, cpu_ns = (int(word) for word in status[0].data.split()[:2]) if status else (code, 0)
    except ValueError as e:  # what runs in the sandbox can write there, too
        raise SandboxError("the sandbox's own notes were changed") from e
    return Outcome(number, *said, wall_ns, cpu_ns, trouble)
