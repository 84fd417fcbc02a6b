"""A run of rustc as an observed job.

Owns: what of a command line and a compiler goes into the keys, Rust's messages.  Must not know: storage, how a run is observed.
"""

import os

from sccache.compilers import environment
from sccache.compilers.rust import RustArguments, notices
from sccache.hashing.cpu import processor
from sccache.hashing.digest import digest
from sccache.model import CompileRequest, Diagnostics, Terminal
from sccache.stages.bench import Bench
from sccache.stages.named_files import contents, extra_files
from sccache.stages.observed_job import ObservedJob, Program, Records
from sccache.stages.observed_roots import ObservedRoots, find
from sccache.stages.rust_inputs import RULES, Crates
from sccache.stages.rust_toolchains import RustDriver

_TRACKED_NOTICES = ("artifacts", "future-incompat")
"""Words of --json that reach the crate's hash."""


class RustMessages:
    """Messages, and notices of outputs, by which cargo starts what waits for one of them."""

    def __init__(self, parsed: RustArguments) -> None:
        """Of this command line."""
        self._parsed = parsed

    def is_of_one_run(self, stderr: bytes) -> bool:
        """Whether they name what only this run made."""
        return notices.is_of_this_run(stderr)

    def kept(self, job: ObservedJob, stdout: bytes, stderr: bytes) -> Diagnostics:
        """Roots marked; where that was nothing but notices of outputs, they are made anew for who asks."""
        if not stderr or (self._parsed.has_artifacts and notices.is_only(stderr, self._parsed)):
            return Diagnostics(b"" if not stdout else job.context, stdout, b"")
        return Diagnostics(job.context, stdout, job.roots.text(stderr))

    def told(self, job: ObservedJob, diagnostics: Diagnostics) -> tuple[bytes, bytes]:
        """Naming this checkout; where rustc had nothing to say, the notices of what is there now."""
        stderr = job.roots.local(diagnostics.stderr)
        if not stderr and self._parsed.has_artifacts:
            stderr = notices.make(self._parsed)
        return diagnostics.stdout, stderr


def make(request: CompileRequest, driver: RustDriver, parsed: RustArguments, bench: Bench) -> ObservedJob | None:
    """The job for a parsed request; None when the source or a file that the user names cannot be read."""
    sources = contents((parsed.source,) if parsed.source else (), request, bench)
    extra = extra_files(request, bench)
    if sources is None or extra is None:
        return None
    roots = find(bench.config.basedirs, request.cwd, os.path.join(request.cwd, parsed.out_dir) if parsed.out_dir else "")
    return ObservedJob(
        request=request,
        label=parsed.crate_name,
        names=("Rust", "rust"),
        program=_program(driver),
        rules=RULES,
        messages=RustMessages(parsed),
        libraries=Crates(parsed, request.cwd, driver.sysroot),
        sources=sources,
        spelled=(parsed.source,) if parsed.source else (),
        outputs=parsed.outputs,
        hides_paths=parsed.hides_paths,
        knows_processor=parsed.native_cpu,
        records=_records(request, driver, parsed, roots),
        extra=extra,
        roots=roots,
        places=bench.memories.places,
        preprocessor=bench.config.disk.preprocessor,
        context=_messages_context(request, parsed),
        trail=parsed.out_dir,
    )


def _program(driver: RustDriver) -> Program:
    return Program(
        path=driver.path,
        name=driver.name,
        args=((driver.inner,) if driver.inner else ()) + driver.argv,
        own=(driver.path, driver.real, driver.inner),
        files=driver.files,
        absent=driver.absent,
        transparent=driver.transparent,
        made_by=f"rustc {driver.version}",
    )


def _records(request: CompileRequest, driver: RustDriver, parsed: RustArguments, roots: ObservedRoots) -> Records:
    records: list[tuple[str, bytes | str | tuple[str, ...]]] = [
        ("family", "rust"),
        ("compiler", driver.identity),
        ("wrapped", driver.inner),
        ("arguments", roots.words(parsed.key_args)),
        ("notices", tuple(word for word in _TRACKED_NOTICES if any(word in arg for arg in parsed.context_args))),
        ("loader", roots.words(environment.pick(request.env, environment.LOADER))),
    ]
    if parsed.native_cpu:
        records.append(("processor", processor()))
    return tuple(records)


def _messages_context(request: CompileRequest, parsed: RustArguments) -> bytes:
    """Digest of all that changes the wording of messages but no output."""
    words = list(parsed.context_args)
    if parsed.human and request.terminal & Terminal.STDERR:
        words += [f"terminal, {request.columns} wide", *environment.pick(request.env, environment.TERMINAL)]
    return digest("\0".join((*words, *environment.pick(request.env, environment.DIAGNOSTICS))).encode("utf-8", "surrogateescape"))
