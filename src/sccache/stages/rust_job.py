"""One run of rustc with all that its keys need.

rustc has no preprocessor, so there is one way to a hit: the manifest.  Its key has what is known before anything is read: compiler,
arguments, the root source's content.  Its variants have what an observed run read: files, variables, directories, and what it
looked for in vain (docs/decisions/0015).

Owns: RustJob, its keys, restoring.  Must not know: storage, the launcher, how a run is observed.
"""

import errno
import os
from collections.abc import Mapping, Sequence

from msgspec import Struct

from sccache.compilers import environment
from sccache.compilers.rust import RustArguments, notices
from sccache.config.schema import PreprocessorConfig
from sccache.entry import Entry
from sccache.hashing.cpu import processor
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.hashing.keys import KeyBuilder
from sccache.hashing.listing import still_holds
from sccache.model import CompileRequest, Diagnostics, Terminal
from sccache.preprocessor_cache.manifest import Variant
from sccache.stages.outputs import write_text_file
from sccache.stages.places import Places
from sccache.stages.rust_environment import differences, is_remembered
from sccache.stages.rust_roots import RustRoots
from sccache.stages.rust_toolchains import RustDriver

DEPINFO_ROLE = "d"
"""Kept with its roots marked, unlike other outputs."""
_LOADER = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES")
"""What the dynamic loader reads before any program runs: ld.so(8), dyld(1)."""
_TRACKED_NOTICES = ("artifacts", "future-incompat")
"""Words of --json that reach the crate's hash."""


class RustJob(Struct, frozen=True):
    """A parsed request whose compiler and root source are known."""

    request: CompileRequest
    parsed: RustArguments
    driver: RustDriver
    source: str
    """Absolute path; empty where rustc is only asked something."""
    source_digest: bytes
    extra: bytes
    """Digest of the files that the user names as inputs (SCCACHE_EXTRAFILES)."""
    roots: RustRoots
    places: Places
    preprocessor: PreprocessorConfig
    context: bytes

    @property
    def label(self) -> str:
        """What it is called in the log."""
        return self.parsed.crate_name

    @property
    def home(self) -> tuple[str, ...]:
        """The roots, in the order of their numbers."""
        return self.roots.names

    @property
    def is_transparent(self) -> bool:
        """Whether files alone tell what the driver runs."""
        return self.driver.transparent

    def path(self, name: str) -> str:
        """`name` as seen from the job's working directory."""
        return os.path.join(self.request.cwd, name)

    def output_paths(self) -> list[str]:
        """Absolute paths of all files that the compile writes."""
        return [os.path.normpath(self.path(output.path)) for output in self.parsed.outputs]

    def watched(self) -> tuple[tuple[str, bytes], ...]:
        """The source and the compiler's files."""
        source = ((self.source, self.source_digest),) if self.source else ()
        return (*source, *self.driver.files)

    def watched_absences(self) -> Mapping[str, Sequence[str]]:
        """Names that would lead to another compiler."""
        return self.driver.absent

    def statistics_names(self) -> tuple[str, str]:
        """How it is counted."""
        return "Rust", "rust"

    def is_direct(self) -> bool:
        """Whether results may be looked for: there is no other way than the manifest."""
        return True

    def manifest_key(self) -> str:
        """Key of the manifest."""
        key = KeyBuilder("rust").add("compiler", self.driver.identity).add("wrapped", self.driver.inner)
        key.add("arguments", self.roots.words(self.parsed.key_args))
        key.add("source", self.roots.word(self.source)).add("source as spelled", self.roots.word(self.parsed.source))
        key.add("source content", self.source_digest)
        key.add("directory", self.roots.word(self.request.cwd))
        key.add("outputs", [f"{output.role} {self.roots.word(self.path(output.path))}" for output in self.parsed.outputs])
        key.add("extra files", self.extra)
        key.add("notices", [word for word in _TRACKED_NOTICES if any(word in arg for arg in self.parsed.context_args)])
        key.add("loader", self.roots.words(environment.pick(self.request.env, _LOADER)))
        if self.parsed.native_cpu:
            key.add("processor", processor())
        return key.key()

    def result_key(self, variant: Variant) -> str:
        """Key of the result that was made in these circumstances."""
        key = KeyBuilder("rust result").add("manifest", self.manifest_key()).add("checkout", variant.bound_to)
        rows = sorted((self.roots.word(known.path), known.digest.hex()) for known in variant.inputs)
        key.add("inputs", [word for row in rows for word in row])
        rows = sorted((self.roots.word(known.path), known.digest.hex()) for known in variant.optional)
        key.add("optional inputs", [word for row in rows for word in row])
        for place in sorted(variant.absent):
            key.add("absent in", self.roots.word(place)).add("names", sorted(variant.absent[place]))
        key.add("environment", [word for row in sorted(variant.environment) for word in row])
        for place, names in sorted(variant.listings):
            key.add("names in", self.roots.word(place)).add("listing", names)
        return key.key()

    def trail_key(self) -> str:
        """Key of what compiles in this directory use one after the other."""
        return (
            KeyBuilder("trail")
            .add("directory", self.roots.word(self.request.cwd))
            .add("target", self.roots.word(self.parsed.out_dir))
            .key()
        )

    def checkouts(self) -> tuple[bytes, ...]:
        """What results may be bound to that serve here: one of the roots, or all of them."""
        return tuple(bound_to(names) for names in dict.fromkeys([*((name,) for name in self.roots.names), self.roots.names]))

    def differences(self, variant: Variant) -> list[str]:
        """Which variables have another value than recorded."""
        return differences(variant.environment, self.request.env, self.roots)

    def still_applies(self, variant: Variant, files: FileMemory) -> bool:  # noqa: ARG002 -- other tasks need the files
        """Whether the directories that were listed have the same names in them."""
        return all(still_holds(path, names) for path, names in variant.listings)

    def is_watchable(self, variant: Variant) -> bool:
        """Whether files and the request's bytes are all that counts; a directory's names cannot be watched."""
        return not variant.listings and is_remembered(variant.environment)

    def can_restore(self, entry: Entry) -> bool:
        """Whether the entry has all that this command line asks for."""
        return all(entry.has(output.role) for output in self.parsed.outputs if output.required)

    def restore(self, entry: Entry) -> None:
        """Write the entry's files; OSError where rustc would refuse to: it says why."""
        mask = ~self.request.umask
        for path in self.output_paths():
            if os.path.lexists(path) and os.path.exists(path) and not os.stat(path).st_mode & 0o222:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        visit = self.places.enter(self.output_paths())
        try:
            for output in reversed(self.parsed.outputs):  # what others wait for comes last
                if entry.has(output.role):
                    self._write(entry, output.role, self.path(output.path), mask)
        finally:
            self.places.leave(visit)

    def _write(self, entry: Entry, role: str, path: str, mask: int) -> None:
        if role == DEPINFO_ROLE:  # written through a link, which other outputs replace
            write_text_file(path, self.roots.local(entry.read(role)), 0o666 & mask)
        else:
            entry.write(role, path, (0o777 if entry.is_executable(role) else 0o666) & mask)

    def told(self, diagnostics: Diagnostics) -> tuple[bytes, bytes]:
        """The streams, naming this checkout; where rustc had nothing to say, the notices of what is there now."""
        stderr = self.roots.local(diagnostics.stderr)
        if not stderr and self.parsed.has_artifacts:
            stderr = notices.make(self.parsed)
        return diagnostics.stdout, stderr


def bound_to(names: Sequence[str]) -> bytes:
    """Digest of the roots that a result names; empty where it names none."""
    return bytes.fromhex(KeyBuilder("checkout").add("roots", names).key()) if names else b""


def messages_context(request: CompileRequest, parsed: RustArguments) -> bytes:
    """Digest of all that changes the wording of messages but no output."""
    words = list(parsed.context_args)
    if parsed.human and request.terminal & Terminal.STDERR:
        words += [f"terminal, {request.columns} wide", *environment.pick(request.env, environment.TERMINAL)]
    return digest("\0".join((*words, *environment.pick(request.env, environment.DIAGNOSTICS))).encode("utf-8", "surrogateescape"))
