"""Builds in containers, by the docker client: where there is no bubblewrap, or the docker daemon is another machine's.

    toolchain ─import─▶ image ─create, cp tree, commit─▶ image of this build ─create, start─▶ container: no network, no capability
                                                                                             └▶ sccache-enter ─▶ the command

What the build wrote is what `docker diff` tells between its image and its container, and is fetched as tar: nothing of it is ever on a
path of the host.  A build costs some tenths of a second more than in bubblewrap.
Sources: docker-run(1), docker-cp(1), docker-diff(1).

Owns: these command lines, images and containers with our label.  Must not know: jobs, what is compiled.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence

from sccache.dist import removal
from sccache.dist.messages import OWN_DIRECTORY
from sccache.dist.sandbox.base import Build, Limits, Made, Outcome, SandboxError
from sccache.dist.sandbox.bubblewrap import ENTER, specification

IMAGE = "sccache-worker"
WATCH_S = 2.0
ROUNDS = 5
"""In which what an earlier life left is removed: a build's image is made from a toolchain's."""
COMMAND_S = 300.0
"""For any one command of the client."""
log = logging.getLogger(__name__)
_PASSING = (b"/tmp/", OWN_DIRECTORY + b"/")
_TAR = ("tar", "--create", "--file=-", "--owner=0", "--group=0", "--numeric-owner", "--hard-dereference", "--format=posix")


class Docker:
    """Sandboxes by the docker client; DOCKER_HOST says where the daemon is, as ever."""

    def __init__(self, build_dir: str, docker: str = "docker") -> None:
        """`build_dir`: a private directory of this worker's; its name is also what tells our containers from another worker's."""
        self._directory, self._docker = build_dir, docker
        self._label = f"sccache-worker={os.path.realpath(build_dir)}"
        self._images: dict[str, str] = {}
        """Directory of a toolchain → its image."""
        self._importing = asyncio.Lock()

    async def check(self) -> None:
        """Ask the daemon, and remove what an earlier life left."""
        for program in (ENTER, shutil.which("tar") or "tar"):
            if not os.access(program, os.X_OK):
                raise SandboxError(f"{program} is missing")
        await asyncio.to_thread(os.makedirs, self._directory, 0o700, exist_ok=True)
        await asyncio.to_thread(self._clear)

    async def run(self, build: Build) -> "FinishedContainer":
        """Run a build; cancelled, its container is removed."""
        if build.columns:
            raise SandboxError("docker gives a command no terminal for its messages alone")
        image = await self._image(build.toolchain)
        place = await asyncio.to_thread(tempfile.mkdtemp, prefix="build-", dir=self._directory)
        made = FinishedContainer(self._docker, place)
        try:
            preparing = asyncio.ensure_future(asyncio.to_thread(self._prepare, build, image, made))
            try:
                await asyncio.shield(preparing)
            except asyncio.CancelledError:
                await asyncio.gather(preparing, return_exceptions=True)
                raise
            await self._run(build, made)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(made.remove))
            raise
        return made

    def _clear(self) -> None:
        ours = ("--filter", f"label={self._label}", "--quiet")
        containers = _say(self._docker, "ps", "--all", *ours).split()
        if containers:
            _say(self._docker, "rm", "--force", "--volumes", *containers)
        for _ in range(ROUNDS):
            images = _say(self._docker, "images", "--all", *ours).split()
            if not images:
                return
            with contextlib.suppress(SandboxError):  # one that another is made from goes after that one
                _say(self._docker, "rmi", "--force", *dict.fromkeys(images))
        log.warning("docker keeps images of an earlier life of this worker: %s", " ".join(images))

    async def _image(self, toolchain: str) -> str:
        async with self._importing:
            if toolchain not in self._images:
                self._images[toolchain] = await asyncio.to_thread(self._import, toolchain)
            return self._images[toolchain]

    def _import(self, toolchain: str) -> str:
        """Make the image, and remove those of toolchains that are no longer kept."""
        for gone in [one for one in self._images if not os.path.isdir(one)]:
            with contextlib.suppress(SandboxError):  # a build may use it yet
                _say(self._docker, "rmi", "--force", self._images[gone])
            del self._images[gone]
        name = f"{IMAGE}:{os.path.basename(toolchain).lower()[:100]}"
        with _tar("--directory", toolchain, ".") as archive:
            return _say(self._docker, "import", "--change", f"LABEL {self._label}", "-", name, stdin=archive).strip()

    def _prepare(self, build: Build, image: str, made: "FinishedContainer") -> None:
        """The container of one build, with its tree in an image below it."""
        own = os.path.join(made.place, "own")
        inside = os.path.join(own, os.fsdecode(OWN_DIRECTORY[1:]))
        os.makedirs(inside)
        shutil.copy(ENTER, os.path.join(inside, "enter"))
        with open(os.path.join(inside, "specification"), "wb") as file:
            file.write(specification(build))
        for bind in build.binds:
            target = os.path.join(own, os.fsdecode(bind.inside).lstrip("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(bind.path, target)
        empty = _say(self._docker, "create", "--label", self._label, image, "none").strip()
        try:
            with _tar("--directory", build.tree, ".", "--directory", own, ".") as archive:
                _say(self._docker, "cp", "--archive", "-", f"{empty}:/", stdin=archive)
            made.image = _say(self._docker, "commit", "--change", f"LABEL {self._label}", empty).strip()
        finally:
            _say(self._docker, "rm", "--force", "--volumes", empty)
        made.container = _say(self._docker, "create", *self._options(build.limits), made.image, *_arguments()).strip()

    def _options(self, limits: Limits) -> list[str]:
        memory = ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)] if limits.memory_bytes else []
        return [
            *("--label", self._label, "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--hostname", "worker", "--user", "0:0", "--workdir", "/", "--log-driver", "none", "--ulimit", "core=0"),
            *("--pids-limit", str(limits.processes or -1), *memory, "--entrypoint", os.fsdecode(OWN_DIRECTORY) + "/enter"),
        ]

    async def _run(self, build: Build, made: "FinishedContainer") -> None:
        start_ns = time.monotonic_ns()
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            self._docker, "start", "--attach", made.container, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        guard = _Guard(self._docker, made.container, build.limits)
        watching = asyncio.ensure_future(guard.watch())
        try:
            said = await asyncio.gather(guard.read(process.stdout), guard.read(process.stderr))
            code = await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # first: the daemon does not end a container whose output nobody takes
            await asyncio.shield(asyncio.to_thread(guard.kill))
            raise
        finally:
            watching.cancel()
            await asyncio.gather(watching, process.wait(), *guard.killing, return_exceptions=True)
        made.outcome = await asyncio.to_thread(_outcome, made, said, code, guard.trouble, time.monotonic_ns() - start_ns)


class FinishedContainer:
    """A build that has ended, or is about to be made."""

    def __init__(self, docker: str, place: str) -> None:
        self.place = place
        self.image = self.container = ""
        self.outcome = Outcome(0, b"", b"", 0, 0, "it was not run")
        self._docker = docker
        self._changes: dict[bytes, bytes] | None = None

    def read(self, paths: Sequence[bytes], below: Sequence[bytes], max_bytes: int) -> list[Made]:
        """See sandbox.base.Finished."""
        prefixes = tuple(place.rstrip(b"/") + b"/" for place in below)
        there = [path for path, kind in self.changes().items() if kind in b"AC" and path.startswith(prefixes)] if below else []
        found: list[Made] = []
        for path in dict.fromkeys([*paths, *there]):
            one = self._fetch(path, max_bytes) if self.changes().get(path, b"D") in b"AC" else None
            if one is not None:
                max_bytes -= len(one.data)
                found.append(one)
        return found

    def left(self, known: Sequence[bytes], max_names: int) -> tuple[bytes, ...]:
        """See sandbox.base.Finished."""
        expected = {*known}
        names = []
        for path, kind in self.changes().items():
            if path in expected or path.startswith(_PASSING) or (kind != b"D" and self._is_directory(path)):
                continue
            names.append(path)
            if len(names) == max_names:
                break
        return tuple(names)

    def own(self, name: bytes, max_bytes: int) -> bytes:
        """See sandbox.base.Finished."""
        made = self._fetch(OWN_DIRECTORY + b"/" + name, max_bytes)
        return made.data if made else b""

    def remove(self) -> None:
        """Delete all that it wrote."""
        for words in (("rm", "--force", "--volumes", self.container), ("rmi", "--force", self.image)):
            if words[-1]:
                with contextlib.suppress(SandboxError):
                    _say(self._docker, *words)
        removal.remove(self.place)

    def changes(self) -> dict[bytes, bytes]:
        """Name → A, C or D; a name with a line end in it is none that anybody asks for, but it is one that is left."""
        if self._changes is None:
            said = os.fsencode(_say(self._docker, "diff", self.container))
            lines = [line for line in said.split(b"\n") if line]
            self._changes = {(line[2:] if line[1:3] == b" /" else line): line[:1] for line in lines}
        return self._changes

    def _is_directory(self, path: bytes) -> bool:
        prefix = path + b"/"
        if any(other.startswith(prefix) for other in self.changes()):
            return True
        member = next(self._members(path), None)
        return member is not None and member[0].isdir()

    def _fetch(self, path: bytes, max_bytes: int) -> Made | None:
        for member, archive in self._members(path):
            if not member.isreg():
                return None
            if member.size > max_bytes:
                raise SandboxError(f"{os.fsdecode(path)} and the other outputs are too large")
            file = archive.extractfile(member)
            data = file.read() if file is not None else b""
            return Made(path, data, bool(member.mode & 0o111))
        return None

    def _members(self, path: bytes) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
        """What `docker cp` gives of a name: a link itself, and a directory before what is in it."""
        words = [self._docker, "cp", f"{self.container}:{os.fsdecode(path)}", "-"]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                    for member in archive:
                        yield member, archive
            except tarfile.TarError:
                return  # there is no such name
            finally:
                process.kill()


class _Guard:
    """Ends a build that goes beyond its limits."""

    def __init__(self, docker: str, container: str, limits: Limits) -> None:
        self.trouble = ""
        self.killing: list[asyncio.Future[None]] = []
        self._docker, self._container, self._limits = docker, container, limits

    async def watch(self) -> None:
        """Look now and then, until the build ends."""
        ends_at = time.monotonic() + self._limits.seconds
        while not self.trouble:
            await asyncio.sleep(min(WATCH_S, max(0.0, ends_at - time.monotonic())))
            if time.monotonic() >= ends_at:
                self.end(f"it took longer than {self._limits.seconds:g} seconds")
            elif await asyncio.to_thread(self._written) > self._limits.output_bytes:
                self.end(f"it wrote more than {self._limits.output_bytes} bytes")

    def _written(self) -> int:
        with contextlib.suppress(SandboxError, ValueError):
            return int(_say(self._docker, "inspect", "--size", "--format", "{{.SizeRw}}", self._container))
        return 0

    async def read(self, stream: asyncio.StreamReader | None) -> bytes:
        """All of a stream, up to the limit; what comes while it is killed is taken and dropped."""
        found = bytearray()
        while stream is not None and (data := await stream.read(1 << 16)):
            if len(found) + len(data) > self._limits.stream_bytes:
                self.end("it says too much")
            else:
                found += data
        return bytes(found)

    def end(self, trouble: str) -> None:
        """End it, for this reason."""
        if not self.trouble:
            self.trouble = trouble
            self.killing.append(asyncio.ensure_future(asyncio.to_thread(self.kill)))

    def kill(self) -> None:
        """Kill it with all its processes."""
        with contextlib.suppress(SandboxError):
            _say(self._docker, "kill", self._container)


def _arguments() -> tuple[str, str]:
    own = os.fsdecode(OWN_DIRECTORY)
    return f"{own}/specification", f"{own}/status"


def _outcome(made: FinishedContainer, said: Sequence[bytes], code: int, trouble: str, wall_ns: int) -> Outcome:
    if trouble:
        return Outcome(code, said[0], said[1], wall_ns, 0, trouble)
    words = made.own(b"status", 1 << 10).split()[:2]
    if not words:
        raise SandboxError(f"the container ended with {code}: {said[1][:1000].decode(errors='replace').strip()}")
    try:
        number, cpu_ns = (int(word) for word in words)
    except ValueError as e:
        raise SandboxError("the sandbox's own notes were changed") from e
    return Outcome(number, said[0], said[1], wall_ns, cpu_ns)


@contextlib.contextmanager
def _tar(*words: str) -> Iterator[int]:
    """Directories as an archive that can be read from this descriptor."""
    with subprocess.Popen([*_TAR, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        if process.stdout is None:
            raise SandboxError("tar has no output")
        try:
            yield process.stdout.fileno()
        except BaseException:
            process.kill()
            raise
        process.stdout.close()
        if process.wait(COMMAND_S):
            raise SandboxError("the tree could not be packed")


def _say(docker: str, *words: str, stdin: int = subprocess.DEVNULL) -> str:
    """What the docker client answers; SandboxError with what it complains about."""
    try:
        done = subprocess.run([docker, *words], stdin=stdin, capture_output=True, check=False, timeout=COMMAND_S)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise SandboxError(f"{docker} {words[0]} cannot be run: {e}") from e
    if done.returncode:
        raise SandboxError(f"{docker} {words[0]}: {done.stderr[:1000].decode(errors='replace').strip()}")
    return os.fsdecode(done.stdout)
