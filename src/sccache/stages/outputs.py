"""Read what a compile produced, and write it again on a hit.

Owns: side files that appeared or not, dependency files re-emitted for this command line, /dev/null.
Must not know: keys, manifests, storage.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from sccache.compilers import depfiles
from sccache.entry import Entry
from sccache.hashing.digest import digest
from sccache.model import Depfile, Diagnostics, Output, ProducedFile
from sccache.util.output_files import write_all

if TYPE_CHECKING:  # jobs use what is here
    from sccache.stages.job import Job

VERBATIM = "d."
"""Role prefix of a dependency file kept as it was, for exactly the same targets: rendering one anew takes 0.5 ms."""

Stamp = tuple[int, int, int, int]


class Produced(Struct, frozen=True):
    """The outputs of one successful compile."""

    files: tuple[ProducedFile, ...]
    depends: tuple[str, ...]
    """Prerequisites as the compiler spelled them; empty when unknown."""

    def contains(self, job: Job, diagnostics: Diagnostics) -> bool:
        """Whether the result names one of the job's roots, or may do so out of sight."""
        if job.hides_paths():
            return True
        streams = (diagnostics.stdout, diagnostics.stderr)
        return any(job.roots.occur_in(data) for data in (*streams, *(file.data for file in self.files)))


def stamps(job: Job) -> dict[str, Stamp | None]:
    """What stands at the outputs' places before the compile."""
    return {output.path: stamp_of_file(job.path(output.path)) for output in job.parsed.outputs}


def stamp_of_file(path: str) -> Stamp | None:
    """What tells a file from another that stands in its place later; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def read(job: Job, before: Mapping[str, Stamp | None], depends: tuple[str, ...]) -> Produced | None:
    """The outputs of a compile that just succeeded; None where they are not what a cache may keep.

    A file counts only when this compile made or changed it: a stale side file of an earlier build is not ours.
    """
    files: list[ProducedFile] = []
    for output in job.parsed.outputs:
        path = job.path(output.path)
        after = stamp_of_file(path)
        if after is None or after == before[output.path]:
            if output.required:
                return None
            continue
        produced = _read_file(output, path)
        if produced is None or (output.required and job.parsed.assembles and not produced.data):
            return None
        files.append(produced)
    if job.parsed.depfile is None:
        return Produced(tuple(files), depends)
    return _with_depfile(job, job.parsed.depfile, files)


def _read_file(output: Output, path: str) -> ProducedFile | None:
    try:
        with open(path, "rb", buffering=0) as file:
            info = os.fstat(file.fileno())
            return ProducedFile(output.role, file.readall(), bool(info.st_mode & 0o111))
    except OSError:
        return None


def _with_depfile(job: Job, depfile: Depfile, files: list[ProducedFile]) -> Produced | None:
    try:
        with open(job.path(depfile.path), "rb") as file:
            data = file.read()
    except OSError:
        return None
    text = os.fsdecode(data)
    names = depfiles.parse(text)
    is_ours = depfiles.render(job.driver.family, depfile.targets, names, phony=depfile.phony) == text
    if job.roots.home and is_ours:  # the file names this checkout, its list need not
        return Produced(tuple(files), names)
    return Produced((*files, ProducedFile(_verbatim_role(depfile), data)), names if is_ours else ())


def _verbatim_role(depfile: Depfile) -> str:
    shape = "\0".join((*depfile.targets, str(depfile.phony), str(depfile.system_headers)))
    return VERBATIM + digest(os.fsencode(shape)).hex()[:16]


def can_restore(job: Job, entry: Entry) -> bool:
    """Whether the entry has all that this command line asks for."""
    if not all(entry.has(output.role) for output in job.parsed.outputs if output.required):
        return False
    depfile = job.parsed.depfile
    return depfile is None or bool(entry.header.depends) or entry.has(_verbatim_role(depfile))


def restore(job: Job, entry: Entry) -> None:
    """Write the entry's files where this command line wants them; raises DamagedError, StorageError or OSError."""
    visit = job.places.enter(job.output_paths())
    try:
        _write_all(job, entry, ~job.request.umask)
    finally:
        job.places.leave(visit)


def _write_all(job: Job, entry: Entry, mask: int) -> None:
    """The dependency file first, as compilers do: where that fails they leave no object."""
    depfile = job.parsed.depfile
    if depfile is not None:
        write_text_file(job.path(depfile.path), _depfile_data(job, depfile, entry), 0o666 & mask)
    for output in job.parsed.outputs:
        if entry.has(output.role):
            base = 0o777 if entry.is_executable(output.role) else 0o666
            entry.write(output.role, _place(job, output.path), base & mask)


def _place(job: Job, name: str) -> str:
    """Where the compiler would put this output: GNU as writes through a link that leads nowhere, all else is replaced."""
    path = job.path(name)
    if job.driver.family == "gcc" and os.path.islink(path) and not os.path.exists(path):
        return os.path.realpath(path)
    return path


def _depfile_data(job: Job, depfile: Depfile, entry: Entry) -> bytes:
    verbatim = _verbatim_role(depfile)
    if entry.has(verbatim):
        return entry.read(verbatim)
    names = job.roots.local(entry.header.depends)
    return os.fsencode(depfiles.render(job.driver.family, depfile.targets, names, phony=depfile.phony))


def write_text_file(path: str, data: bytes, mode: int) -> None:
    """Write as the compiler does: through an existing file or link, a new file with the caller's umask.

    Not emptied first: what is written after that, ext4 brings to the disk when the file is closed, which took 0.5 ms of a hit.
    """
    fresh = not os.path.exists(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        if fresh:
            os.fchmod(descriptor, mode)
        write_all(descriptor, data)
        if not fresh and os.fstat(descriptor).st_size > len(data):
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
