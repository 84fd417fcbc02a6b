"""One compile whose inputs are observed, with all that its keys need.

There is one way to a hit: the manifest.  Its key has what is known before anything is read: compiler, arguments, the sources' content.
Its variants have what an observed run read: files, variables, directories, and what it looked for in vain (docs/decisions/0015).

Owns: ObservedJob, its keys, restoring.  Must not know: storage, the launcher, how a run is observed, languages.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from sccache.compilers.observed import Rules
from sccache.config.schema import PreprocessorConfig
from sccache.entry import Entry
from sccache.errors import DamagedError
from sccache.hashing.files import FileMemory
from sccache.hashing.keys import KeyBuilder
from sccache.hashing.listing import still_holds
from sccache.model import CompileRequest, Diagnostics, Output
from sccache.preprocessor_cache.manifest import Input, Variant
from sccache.stages.observed_environment import differences, is_remembered
from sccache.stages.observed_roots import ObservedRoots
from sccache.stages.outputs import write_text_file
from sccache.stages.places import Places

TEXT_ROLES = frozenset({"d", "json"})
"""Outputs that are lists of files: kept with their roots marked, unlike others."""
FURTHER = "+"
"""Begins the role of an output that no command line names; the rest is its path."""

Records = tuple[tuple[str, bytes | str | tuple[str, ...]], ...]


class Program(Struct, frozen=True):
    """What a job runs."""

    path: str
    name: str
    """argv[0]."""
    args: tuple[str, ...]
    own: tuple[str, ...]
    """Names under which processes show the compiler itself."""
    files: tuple[tuple[str, bytes], ...]
    """Content on which the choice of this program rests, and its own."""
    absent: Mapping[str, Sequence[str]]
    """Directory → names that would lead to another program."""
    transparent: bool
    """Whether files and variables alone tell what runs."""
    made_by: str
    """Its name and version, for who looks into an entry."""


class Messages(Protocol):
    """What a family's messages are."""

    def is_of_one_run(self, stderr: bytes) -> bool:
        """Whether they tell about this very run, so that nobody else may get them."""

    def kept(self, job: "ObservedJob", stdout: bytes, stderr: bytes) -> Diagnostics:
        """As they are kept."""

    def told(self, job: "ObservedJob", diagnostics: Diagnostics) -> tuple[bytes, bytes]:
        """Stdout and stderr as this caller would have got them."""


class Libraries(Protocol):
    """Files that a compiler finds by something in them, whatever else is in the directory: Rust's crates."""

    def holds(self, directory: str) -> bool:
        """Whether such files are looked for in this directory (absolute, normalised)."""

    def is_one(self, path: str) -> bool:
        """Whether this is named like one, in such a directory."""

    def is_system(self, path: str) -> bool:
        """Whether this is in the compiler's own directories of them, whose names do not matter either."""

    def ambiguous(self, found: Sequence[Input]) -> tuple[Input, ...]:
        """Of those that were read, those of one name among several: only as long as they are there do they count."""

    def variables(self) -> tuple[str, ...] | None:
        """What the sources read of the environment, by the compiler's own list; None where it made none."""


class PlainMessages:
    """Messages that name files, and nothing else that differs from place to place."""

    def is_of_one_run(self, stderr: bytes) -> bool:  # noqa: ARG002
        """Never known to be."""
        return False

    def kept(self, job: "ObservedJob", stdout: bytes, stderr: bytes) -> Diagnostics:
        """Roots marked."""
        if not stdout and not stderr:
            return Diagnostics(b"", b"", b"")
        return Diagnostics(job.context, job.roots.text(stdout), job.roots.text(stderr))

    def told(self, job: "ObservedJob", diagnostics: Diagnostics) -> tuple[bytes, bytes]:
        """Naming this checkout."""
        return job.roots.local(diagnostics.stdout), job.roots.local(diagnostics.stderr)


class NoLibraries:
    """A compiler that finds no file by what is in it."""

    def holds(self, directory: str) -> bool:  # noqa: ARG002
        """Nowhere."""
        return False

    def is_one(self, path: str) -> bool:  # noqa: ARG002
        """None."""
        return False

    def is_system(self, path: str) -> bool:  # noqa: ARG002
        """None."""
        return False

    def ambiguous(self, found: Sequence[Input]) -> tuple[Input, ...]:  # noqa: ARG002
        """None."""
        return ()

    def variables(self) -> tuple[str, ...]:
        """Sources read no variables of themselves; what is left is the tools' reading, which is seen."""
        return ()


class ObservedJob(Struct, frozen=True, kw_only=True):
    """A parsed request whose compiler and sources are known."""

    request: CompileRequest
    label: str
    names: tuple[str, str]
    """The plain and the advanced name under which it is counted."""
    program: Program
    rules: Rules
    messages: Messages = PlainMessages()
    libraries: Libraries = NoLibraries()
    sources: tuple[tuple[str, bytes], ...]
    """Absolute paths with their content's digest; none where the compiler is only asked something."""
    spelled: tuple[str, ...]
    """Their names on the command line."""
    outputs: tuple[Output, ...]
    made_in: tuple[str, ...] = ()
    """Absolute directories in which further files may be made."""
    continued: tuple[str, ...] = ()
    """Outputs that must not be there before."""
    hides_paths: bool = False
    knows_processor: bool = False
    """The processor is in the key."""
    records: Records
    """What its manifest's key has beside what all have: arguments, the compiler's identity."""
    extra: tuple[tuple[str, bytes], ...]
    """Files that the user names as inputs (SCCACHE_EXTRAFILES), with their content's digest."""
    roots: ObservedRoots
    places: Places
    preprocessor: PreprocessorConfig
    context: bytes
    trail: str
    """A directory that groups what is compiled one after the other."""

    @property
    def home(self) -> tuple[str, ...]:
        """The roots, in the order of their numbers."""
        return self.roots.names

    @property
    def is_transparent(self) -> bool:
        """Whether files alone tell what runs."""
        return self.program.transparent

    def path(self, name: str) -> str:
        """`name` as seen from the job's working directory."""
        return os.path.join(self.request.cwd, name)

    def output_paths(self) -> list[str]:
        """Absolute paths of all files that the command line foresees."""
        return [os.path.normpath(self.path(output.path)) for output in self.outputs]

    def seen_outputs(self) -> frozenset[str]:
        """The same as the observer may spell them: ".." stays in a name, as behind a link it is not what stands before it."""
        spelled = ("/" + "/".join(part for part in self.path(output.path).split("/") if part not in ("", ".")) for output in self.outputs)
        return frozenset((*self.output_paths(), *spelled))

    def watched(self) -> tuple[tuple[str, bytes], ...]:
        """The sources, the compiler's files, and what the user names."""
        return (*self.sources, *self.program.files, *self.extra)

    def watched_absences(self) -> Mapping[str, Sequence[str]]:
        """Names that would lead to another compiler."""
        return self.program.absent

    def statistics_names(self) -> tuple[str, str]:
        """How it is counted."""
        return self.names

    def is_direct(self) -> bool:
        """Whether results may be looked for: there is no other way than the manifest."""
        return True

    def manifest_key(self) -> str:
        """Key of the manifest."""
        key = KeyBuilder("observed")
        for name, value in self.records:
            key.add(name, value)
        for (path, content), word in zip(self.sources, self.spelled, strict=True):
            key.add("source", self.roots.word(path)).add("source as spelled", self.roots.word(word))
            key.add("source content", content)
        key.add("directory", self.roots.word(self.request.cwd))
        key.add("outputs", [f"{output.role} {self.roots.word(self.path(output.path))}" for output in self.outputs])
        key.add("further outputs", self.roots.words(self.made_in))
        for _, content in self.extra:
            key.add("extra file", content)
        return key.key()

    def result_key(self, variant: Variant) -> str:
        """Key of the result that was made in these circumstances."""
        key = KeyBuilder("observed result").add("manifest", self.manifest_key()).add("checkout", variant.bound_to)
        for kind, inputs in (("inputs", variant.inputs), ("optional inputs", variant.optional)):
            rows = sorted((self.roots.word(known.path), known.digest.hex()) for known in inputs)
            key.add(kind, [word for row in rows for word in row])
        for place in sorted(variant.absent):
            key.add("absent in", self.roots.word(place)).add("names", sorted(variant.absent[place]))
        key.add("environment", [word for row in sorted(variant.environment) for word in row])
        for place, names in sorted(variant.listings):
            key.add("names in", self.roots.word(place)).add("listing", names)
        return key.key()

    def trail_key(self) -> str:
        """Key of what compiles in this directory use one after the other."""
        directory, target = self.roots.word(self.request.cwd), self.roots.word(self.trail)
        return KeyBuilder("trail").add("directory", directory).add("target", target).key()

    def checkouts(self) -> tuple[bytes, ...]:
        """What results may be bound to that serve here: one of the roots, or all of them."""
        return tuple(bound_to(names) for names in dict.fromkeys([*((name,) for name in self.roots.names), self.roots.names]))

    def differences(self, variant: Variant) -> list[str]:
        """Which variables have another value than recorded."""
        return differences(variant.environment, self.request.env, self.roots)

    def still_applies(self, variant: Variant, files: FileMemory) -> bool:
        """Whether the directories that were listed have the same names in them, and files the same times where those are compared."""
        if not all(still_holds(path, names) for path, names in variant.listings):
            return False
        return not self._is_dated(variant) or times_hold(self._timed(variant), files)

    def _timed(self, variant: Variant) -> list[Input]:
        """Inputs whose times are compared; a precompiled header's own is looked at only to be put into another one."""
        makes = any(output.path.endswith(self.rules.dated) for output in self.outputs)
        return [known for known in variant.inputs if makes or not known.path.endswith(".pch")]

    def _is_dated(self, variant: Variant) -> bool:
        """Whether something that holds its sources' times is read, or made: who reads it compares them."""
        names = (*(known.path for known in variant.inputs), *(output.path for output in self.outputs))
        return bool(self.rules.dated) and any(name.endswith(self.rules.dated) for name in names)

    def is_watchable(self, variant: Variant) -> bool:
        """Whether the request's identity holds all variables that count."""
        return is_remembered(variant.environment, self.request) and not self._is_dated(variant)

    def can_restore(self, entry: Entry) -> bool:
        """Whether the entry has all that this command line asks for."""
        return all(entry.has(output.role) for output in self.outputs if output.required)

    def restore(self, entry: Entry) -> None:
        """Write the entry's files; OSError where the compiler would refuse to: it says why."""
        mask = ~self.request.umask
        further = [(role, self.further_path(role)) for role in entry.roles() if role.startswith(FURTHER)]
        for path in (*self.output_paths(), *(path for _, path in further)):
            if os.path.lexists(path) and os.path.exists(path) and not os.stat(path).st_mode & 0o222:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            if os.path.islink(path) and not self.rules.replaces_links:
                raise OSError(errno.ELOOP, "only the compiler knows whether it writes through this link", path)
        visit = self.places.enter(self.output_paths())
        try:
            for role, path in further:
                _make_directories(os.path.dirname(path), mask)
                self._write(entry, role, path, mask)
            for output in reversed(self.outputs):  # what others wait for comes last
                if entry.has(output.role):
                    self._write(entry, output.role, self.path(output.path), mask)
        finally:
            self.places.leave(visit)

    def _write(self, entry: Entry, role: str, path: str, mask: int) -> None:
        if role in TEXT_ROLES:  # written through a link, which other outputs replace
            write_text_file(path, self.roots.local(entry.read(role)), 0o666 & mask)
        else:
            entry.write(role, path, (0o777 if entry.is_executable(role) else 0o666) & mask)

    def further_role(self, path: str) -> str:
        """The role under which a further output is kept."""
        return FURTHER + self.roots.word(path)

    def further_path(self, role: str) -> str:
        """Where a further output belongs; DamagedError where that is not in a directory that this command line names."""
        path = os.path.normpath(self.path(os.fsdecode(self.roots.local(os.fsencode(role[len(FURTHER) :])))))
        if not is_below(path, self.made_in):
            raise DamagedError(f"an output of the entry belongs elsewhere: {path}")
        return path

    def told(self, diagnostics: Diagnostics) -> tuple[bytes, bytes]:
        """The streams, naming this checkout."""
        return self.messages.told(self, diagnostics)


def _make_directories(path: str, mask: int) -> None:
    """With the modes that the compiler would give them: the daemon's own are stricter."""
    if not os.path.isdir(path):
        _make_directories(os.path.dirname(path), mask)
        with contextlib.suppress(FileExistsError):  # another compile was faster
            os.mkdir(path)
            os.chmod(path, 0o777 & mask)


def times_hold(inputs: Sequence[Input], files: FileMemory) -> bool:
    """Whether these inputs have the recorded modification times."""
    facts = files.facts_many([known.path for known in inputs])
    return all(have is not None and have.mtime_ns == known.mtime_ns for have, known in zip(facts, inputs, strict=True))


def is_below(path: str, directories: Iterable[str]) -> bool:
    """Whether a path is in one of these directories, at any depth."""
    return any(path.startswith(directory.rstrip("/") + "/") for directory in directories)


def bound_to(names: Sequence[str]) -> bytes:
    """Digest of the roots that a result names; empty where it names none."""
    return bytes.fromhex(KeyBuilder("checkout").add("roots", names).key()) if names else b""
