"""An observed compile as a work order, and the check of what the worker's observer saw.

What a command may read is guessed; the worker runs it under its observer.  If that saw anything which would have been otherwise here (a
file looked for in vain that is here, a directory with other names in it, a variable that was not sent), the result is thrown away and the
compile is done here.  After that the report is judged and kept like one of a local run.

Owns: trees of observed compiles, that check.  Must not know: languages, the wire, how a farm is reached.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from sccache.compilers.environment import VOLATILE
from sccache.dist.messages import OWN_DIRECTORY, JobHeader
from sccache.dist.tree import Gathering
from sccache.stages.distribution import Again, Compiler, Place, Work, WorkOrder
from sccache.stages.observed_job import TEXT_ROLES

if TYPE_CHECKING:
    from sccache.dist.client_toolchains import Packed
    from sccache.stages.bench import Memories
    from sccache.stages.observed_job import ObservedJob
    from sccache.stages.observed_results import Attempt

MAX_FILES = 5_000
MAX_GUESSED = 500
KERNEL = ("/proc/", "/sys/", "/dev/")
_SENT = re.compile(r"PATH|PWD|HOME|LANG|LANGUAGE|LC_.*|TZ|TERM|COLORTERM|NO_COLOR|CLICOLOR.*|LD_LIBRARY_PATH|SOURCE_DATE_EPOCH|TMPDIR")
"""Variables that go to a worker for each compile."""
_NOT_SENT = re.compile(r".*(?:TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY).*")
"""But no secret, whatever a family asks for."""
_ALWAYS_SENT = ("/etc/localtime",)
"""Programs look at it, whatever they do."""
_LOADERS_CACHE = "/etc/ld.so.cache"
"""No toolchain has it: it tells where libraries are, and those that are read are in the report."""
_PRELOADED = ("LD_PRELOAD", "LD_AUDIT")


class Reach(Struct, frozen=True):
    """What a command may read, as far as can be guessed."""

    files: Iterable[str] = ()
    """Absolute; what is no file is passed over: the report tells if that mattered."""
    directories: Iterable[str] = ()
    """Absolute; those that exist."""
    whole: frozenset[str] = frozenset()
    """Directories of which all names are among `files`."""
    variables: re.Pattern[str] = re.compile(r"(?!)")
    """Sent beside those that are always sent."""
    names: frozenset[str] = frozenset()
    """So are these."""


def work(attempt: Attempt, compiler: Compiler, reach: Callable[[], Reach], memories: Memories) -> Work | str:
    """An observed compile for a farm; or why it cannot go there.  `reach` is blocking."""
    job = attempt.job
    checks = (
        (not attempt.report, "nothing can be observed here"),
        (job.knows_processor, "the result depends on this machine's processor"),
        (bool(job.made_in) or not job.sources, "its outputs are not known before"),
        (any(job.request.env.get(name) for name in _PRELOADED), "LD_PRELOAD or LD_AUDIT is set"),
    )
    reason = next((reason for is_so, reason in checks if is_so), "")
    return reason or Work(job.label, compiler, _Order(attempt, reach, memories), job.request.umask)


class _Order:
    """Makes the work order once the toolchain is known."""

    def __init__(self, attempt: Attempt, reach: Callable[[], Reach], memories: Memories) -> None:
        self._attempt = attempt
        self._job = attempt.job
        self._reach = reach
        self._memories = memories

    def __call__(self, packed: Packed) -> WorkOrder | str:
        job, command, reach = self._job, self._job.program, self._reach()
        tree = Gathering()
        sent = self._add_files(
            tree, dict.fromkeys(path for path in (*reach.files, *_ALWAYS_SENT, *self._memories.guessed) if path not in packed.paths)
        )
        if sent is None:
            return f"more than {MAX_FILES} files would have to be sent"
        for name in (job.request.cwd, *reach.directories, job.request.env.get("PWD", ""), job.request.env.get("TMPDIR", "")):
            if os.path.isabs(name) and os.path.isdir(name):
                tree.add_directory(name)
        places = self._places(tree)
        environment = {name: value for name, value in job.request.env.items() if _is_sent(name, reach)}
        gathered = tree.tree()
        header = JobHeader(
            toolchain=packed.id,
            executable=os.fsencode(command.path),
            argv=tuple(map(os.fsencode, (command.name or command.path, *command.args))),
            environment=tuple((os.fsencode(name), os.fsencode(value)) for name, value in environment.items()),
            cwd=os.fsencode(job.request.cwd),
            umask=job.request.umask,
            directories=gathered.directories,
            links=gathered.links,
            files=gathered.files,
            outputs=tuple(places),
            observe=True,
            columns=(job.request.columns or 80) if self._attempt.command.on_terminal else 0,
        )
        required = {job.path(output.path) for output in job.outputs if output.required}
        needed = tuple(name for name, place in places.items() if place.path in required)
        accept = _Acceptance(job, sent, environment, reach, self._memories)
        return WorkOrder(header, gathered.contents, places, needed, accept=accept, lacked=accept.lacked, report=self._attempt.report)

    def _add_files(self, tree: Gathering, wanted: Mapping[str, None]) -> dict[str, bytes] | None:
        if len(wanted) > MAX_FILES:
            return None
        sent: dict[str, bytes] = {}
        for path, facts in zip(wanted, self._memories.files.facts_many(list(wanted)), strict=True):
            if facts is not None:
                tree.add_file(path, facts.digest, facts.size)
                sent[path] = facts.digest
        return sent

    def _places(self, tree: Gathering) -> dict[bytes, Place]:
        """Outputs by the names that they have when all links are followed; what others wait for comes last."""
        places: dict[bytes, Place] = {}
        for output in reversed(self._job.outputs):
            path = self._job.path(output.path)
            directory, base = os.path.split(os.path.normpath(path))
            if os.path.islink(path) or path.startswith(KERNEL):
                raise OSError(0, "is no plain output", path)
            places[os.fsencode(os.path.join(tree.add_directory(directory), base))] = Place(path, output.role in TEXT_ROLES)
        return places


def _is_sent(name: str, reach: Reach) -> bool:
    wanted = name in reach.names or _SENT.fullmatch(name) or reach.variables.fullmatch(name)
    return bool(wanted) and name not in VOLATILE and not _NOT_SENT.fullmatch(name)


def _unusable(what: str) -> str:
    return f"it did what cannot be compared: {what}"


def _is_complete(records: Sequence[bytes]) -> bool:
    return b"." in records[-3:]


class _Acceptance:
    """Whether what the worker's observer saw is what it would have seen here; then the report, with the stamps of this machine."""

    def __init__(
        self, job: ObservedJob, sent: Mapping[str, bytes], environment: Mapping[str, str], reach: Reach, memories: Memories
    ) -> None:
        self._job = job
        self._sent = sent
        self._environment = environment
        self._whole = frozenset(reach.whole)
        self._files = memories.files
        self._guessed = memories.guessed
        self._outputs = job.seen_outputs()
        self._made: set[str] = set()
        self._lacking: list[str] = []
        self._checks: dict[bytes, Callable[[str], bytes | str | None]] = {
            b"r": self._read,
            b"s": self._looked,
            b"a": self._absent,
            b"d": self._listed,
            b"e": self._variable,
            b"t": self._variable,
            b"E": self._all_variables,
            b"w": self._written,
            b"x": self._program,
            b"n": _unusable,
            b"u": _unusable,
            b"!": _unusable,
        }
        """Kind of record → a new record, None if it stands, nothing if it is left out, or what is wrong."""

    def __call__(self, report: bytes, left: Iterable[bytes]) -> bytes | str | Again:
        records = report.split(b"\0")
        if not _is_complete(records):
            return "the observer's report was cut short"
        others = [name for name in left if os.fsdecode(name) not in self._outputs]
        if others:
            return f"it left {os.fsdecode(others[0])} behind"
        made: list[bytes] = []
        own = OWN_DIRECTORY + b"/"
        for record in records:
            check = self._checks.get(record[:1])
            path = record.split(b" ", 5)[-1] if record[:1] in b"rs" else record[1:]
            if path.startswith(own):
                continue
            if check is None:
                made.append(record)
                continue
            new = check(os.fsdecode(path))
            if isinstance(new, str):
                return new
            if new != b"":
                made.append(record if new is None else new)
        if self._lacking:
            self._guessed.update(dict.fromkeys(self._lacking[:MAX_GUESSED]))
            while len(self._guessed) > MAX_GUESSED:
                del self._guessed[next(iter(self._guessed))]
            return Again(f"{self._lacking[0]} is here, and was not sent")
        return b"\0".join(made)

    def lacked(self, report: bytes) -> str | Again:
        """Why a compile that failed there may not fail here; empty if it had all that it asked for, or the report does not tell."""
        judged = self(report, ()) if _is_complete(report.split(b"\0")) else b""
        return "" if isinstance(judged, bytes) else judged

    def _file(self, kind: bytes, path: str) -> bytes | str:
        """With the stamp that it has here, if it has that content here."""
        if path.startswith(KERNEL) or path in self._outputs or self._is_made(path):
            return kind + b"0 0 0 0 0 " + os.fsencode(path)
        facts = self._files.facts(path)
        digest = self._sent.get(path)
        if facts is None or (digest is not None and digest != facts.digest):
            return f"{path} is another file here"
        found = os.stat(path)
        stamp = f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} "
        return kind + stamp.encode() + os.fsencode(path)

    def _is_made(self, path: str) -> bool:
        """Whether the run has made this before it came to it, or what it is in."""
        while len(path) > 1:
            if path in self._made:
                return True
            path = os.path.dirname(path)
        return False

    def _written(self, path: str) -> None:
        self._made.add(path)

    def _read(self, path: str) -> bytes | str:
        return self._file(b"r", path)

    def _looked(self, path: str) -> bytes | str:
        return self._file(b"s", path)

    def _absent(self, path: str) -> bytes | str | None:
        if path == _LOADERS_CACHE:
            return b""
        is_here = not path.startswith(KERNEL) and path not in self._outputs and not self._is_made(path) and os.path.lexists(path)
        if is_here and path not in self._sent and os.path.isfile(path):
            self._lacking.append(path)
            return None
        return f"{path} is here, and was not sent" if is_here else None

    def _listed(self, path: str) -> str | None:
        name = os.path.normpath(path)
        libraries = self._job.libraries
        known = path.startswith(KERNEL) or self._is_made(name) or name in self._whole or libraries.holds(name) or libraries.is_system(name)
        return None if known else f"the names in {path} were asked for"

    def _variable(self, name: str) -> str | None:
        if name in VOLATILE or name in self._job.rules.harmless:
            return None
        is_kept_back = name in self._job.request.env and name not in self._environment
        return f"the variable {name} was asked for, which is not sent" if is_kept_back else None

    def _all_variables(self, program: str) -> str | None:
        return f"{program} could read all variables" if len(self._environment) < len(self._job.request.env) else None

    def _program(self, path: str) -> str | None:
        return None if os.path.exists(path) else f"{path} was run, which is not here"
