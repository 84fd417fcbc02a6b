"""One job on a worker: its tree is laid out, its command run in a sandbox, what it made is read.

Owns: trees on disk, the observer in the sandbox, results.  Must not know: clients, tokens, how a sandbox is made.
"""

import asyncio
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

from sccache.dist import removal
from sccache.dist.messages import FILE_TIME_S, OWN_DIRECTORY, Failed, JobHeader, Missing, OutputFile, Result
from sccache.dist.sandbox.base import Bind, Build, Finished, Limits, Sandbox, SandboxError
from sccache.hashing.digest import digest

if TYPE_CHECKING:
    from sccache.dist.contents import Contents

MAX_OUTPUT_BYTES = 1 << 30
"""As much as a client accepts."""
MAX_REPORT_BYTES = 32 << 20
MAX_LEFT = 1000
REPORT = b"report"

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OBSERVER, _SHIM = os.path.join(_PACKAGE, "sccache-observe"), os.path.join(_PACKAGE, "libsccache-observe.so")

Ended = tuple[Result | Failed | Missing, list[bytes]]
"""The answer, with the contents of its outputs."""


class Runner:
    """Runs jobs in a sandbox."""

    def __init__(self, sandbox: Sandbox, contents: "Contents", directory: str, limits: Limits) -> None:
        """Trees are laid out in `directory`, which is on the file system of `contents`."""
        self._sandbox, self._contents, self._directory, self._limits = sandbox, contents, directory, limits
        self._removals: set[asyncio.Future[None]] = set()

    async def aclose(self) -> None:
        """Wait until what jobs have left is deleted."""
        await asyncio.gather(*self._removals, return_exceptions=True)

    def _remove_later(self, remove: Callable[[], None], *after: asyncio.Future[tuple[bytes, ...]]) -> None:
        """Delete without letting the client wait, once `after` is done.

        It cannot fall behind for long: the next tree is laid out by the same threads, after it.
        """

        async def removed() -> None:
            await asyncio.gather(*after, return_exceptions=True)
            await asyncio.to_thread(remove)

        removing = asyncio.ensure_future(removed())
        self._removals.add(removing)
        removing.add_done_callback(self._removals.discard)

    async def run(self, header: JobHeader, toolchain: str) -> Ended:
        """How it ended; `toolchain` is the unpacked one's directory.  Cancelled, all its processes are killed."""
        if header.observe and not os.access(_OBSERVER, os.X_OK):
            return Failed("this worker has no observer"), []
        tree = await asyncio.to_thread(tempfile.mkdtemp, prefix="tree-", dir=self._directory)
        laying_out = asyncio.ensure_future(asyncio.to_thread(_lay_out, header, self._contents, tree))
        try:
            gone = await asyncio.shield(laying_out)  # a thread goes on when its job is killed
            if gone:
                return Missing(gone), []
            finished = await self._sandbox.run(_build(header, toolchain, tree, self._limits))
            try:
                return await asyncio.to_thread(_ended, header, finished)
            finally:
                self._remove_later(finished.remove)
        except (SandboxError, OSError) as e:
            return Failed(str(e)), []
        finally:
            self._remove_later(lambda: removal.remove(tree), laying_out)


def _lay_out(header: JobHeader, contents: "Contents", tree: str) -> tuple[bytes, ...]:
    """Make the tree; gives digests whose contents are gone.  Names were checked (job_checks.py): they stay inside."""
    root = os.fsencode(tree)
    os.chmod(tree, 0o755)  # noqa: S103 -- its parent is private
    made = {b"/"}
    parents = (path.rpartition(b"/")[0] for path in (*(link.path for link in header.links), *(file.path for file in header.files)))
    for directory in sorted({*header.directories, *parents}):
        if directory not in made:
            os.makedirs(root + directory, 0o755, exist_ok=True)
            made.add(directory)
    for link in header.links:
        os.symlink(link.target, root + link.path)
    gone: set[bytes] = set()
    laid: set[bytes] = set()
    for file in header.files:
        name = os.fsdecode(root + file.path)
        try:
            contents.link(file.digest, executable=file.executable, path=name)
        except KeyError:
            gone.add(file.digest)
            continue
        size = os.lstat(name).st_size
        if size != file.size:  # a damaged disk, where what is missing at the end shows at once; or the client does not tell the truth
            os.unlink(name)
            contents.discard_if_damaged(file.digest, size)
            gone.add(file.digest)
        elif file.digest in laid:
            _make_own(name)
        laid.add(file.digest)
    for place, _, _ in os.walk(tree):
        os.utime(place, (FILE_TIME_S, FILE_TIME_S))
    return tuple(sorted(gone))


def _make_own(name: str) -> None:
    """Give a file an inode that no other of its tree has: clang takes two names of one file for one header."""
    with open(name, "rb") as content:
        mode = stat.S_IMODE(os.fstat(content.fileno()).st_mode)
        os.unlink(name)
        with open(name, "xb") as own:
            shutil.copyfileobj(content, own)
    os.chmod(name, mode)
    os.utime(name, (FILE_TIME_S, FILE_TIME_S))


def _build(header: JobHeader, toolchain: str, tree: str, limits: Limits) -> Build:
    executable, argv = header.executable, header.argv
    binds: tuple[Bind, ...] = ()
    if header.observe:
        observer, shim = Bind(_OBSERVER, OWN_DIRECTORY + b"/observe"), Bind(_SHIM, OWN_DIRECTORY + b"/observe.so")
        report = OWN_DIRECTORY + b"/" + REPORT
        executable, argv = observer.inside, (observer.inside, report, shim.inside, executable, *argv)
        binds = (observer, shim)
    return Build(
        toolchain=toolchain, tree=tree, executable=executable, argv=argv, environment=header.environment, cwd=header.cwd,
        umask=header.umask, columns=header.columns, binds=binds, limits=limits,
    )  # fmt: skip


def _ended(header: JobHeader, finished: Finished) -> Ended:
    outcome = finished.outcome
    if outcome.trouble:
        return Failed(outcome.trouble), []
    made = finished.read(header.outputs, header.output_directories, MAX_OUTPUT_BYTES)
    observed = header.observe
    result = Result(
        status=outcome.status,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        outputs=tuple(OutputFile(one.path, len(one.data), digest(one.data), one.executable) for one in made),
        report=finished.own(REPORT, MAX_REPORT_BYTES) if observed else b"",
        left=finished.left([one.path for one in made], MAX_LEFT) if observed else (),
        wall_ns=outcome.wall_ns,
        cpu_ns=outcome.cpu_ns,
    )
    return result, [one.data for one in made]
