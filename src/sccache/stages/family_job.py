"""A compile of an observed family as a job.

Owns: what of its command line and compiler goes into the keys.  Must not know: storage, how a run is observed.
"""

import os

from sccache.compilers import environment, families
from sccache.compilers.observed import ObservedArguments
from sccache.hashing.cpu import processor
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.model import Colour, CompileRequest, Terminal
from sccache.stages.bench import Bench
from sccache.stages.named_files import contents, extra_files
from sccache.stages.observed_inputs import Found
from sccache.stages.observed_job import ObservedJob, Program, Records
from sccache.stages.observed_roots import ObservedRoots, find
from sccache.stages.toolchains import Driver, OtherDriver

NOT_OBSERVED = "compile not observed"


def make(request: CompileRequest, driver: Driver | OtherDriver, parsed: ObservedArguments, bench: Bench) -> ObservedJob | None:
    """The job for a parsed request; None when a source or a file that the user names cannot be read."""
    sources = contents(parsed.sources, request, bench)
    extra = extra_files(request, bench)
    if sources is None or extra is None:
        return None
    roots = find(bench.config.basedirs, request.cwd, "")
    family = families.FAMILIES.get(parsed.family)
    variables = families.variables(family, request.env) if family else environment.pick(request.env, environment.RESULT)
    return ObservedJob(
        request=request,
        label=parsed.outputs[0].path,
        names=(parsed.statistics_name, parsed.advanced_name),
        program=_program(request, driver),
        rules=family.rules if family else families.C_LIKE[parsed.family],
        sources=sources,
        spelled=parsed.sources,
        outputs=parsed.outputs,
        made_in=tuple(os.path.normpath(os.path.join(request.cwd, name)) for name in parsed.made_in),
        continued=parsed.continued,
        hides_paths=parsed.hides_paths,
        knows_processor=parsed.native_cpu,
        records=_records(request, driver, parsed, roots, variables),
        extra=extra,
        roots=roots,
        places=bench.memories.places,
        preprocessor=bench.config.disk.preprocessor,
        context=_messages_context(request, parsed),
        trail="",
    )


def unobserved(job: ObservedJob, files: FileMemory, start_ns: int) -> Found | str:  # noqa: ARG001 -- every family's has these
    """What is known of a run that was not observed: nothing."""
    return NOT_OBSERVED


def _program(request: CompileRequest, driver: Driver | OtherDriver) -> Program:
    return Program(
        path=driver.path,
        name=driver.name,
        args=request.argv[1:],
        own=(driver.path, os.path.realpath(driver.path)),
        files=((driver.path, driver.digest),),
        absent=driver.absent,
        transparent=True,
        made_by=driver.family,
    )


def _records(
    request: CompileRequest, driver: Driver | OtherDriver, parsed: ObservedArguments, roots: ObservedRoots, variables: tuple[str, ...]
) -> Records:
    records: list[tuple[str, bytes | str | tuple[str, ...]]] = [
        ("family", parsed.family),
        ("compiler", driver.digest),
        ("compiler's name", os.path.basename(request.argv[0])),
        ("language", parsed.advanced_name),
        ("arguments", roots.arguments(parsed.key_args)),
        ("variables", roots.words(variables)),
        ("loader", roots.words(environment.pick(request.env, environment.LOADER))),
    ]
    if parsed.native_cpu:
        records.append(("processor", processor()))
    if parsed.numbers_source:
        records.append(("numbers", _numbers(request, parsed)))
    return tuple(records)


def _numbers(request: CompileRequest, parsed: ObservedArguments) -> tuple[str, ...]:
    """Devices and inodes of the sources: objects with kernels that are named alike would be linked into one wrong program."""
    found = (os.stat(os.path.join(request.cwd, name)) for name in parsed.sources)
    return tuple(f"{status.st_dev:x} {status.st_ino:x}" for status in found)


def _messages_context(request: CompileRequest, parsed: ObservedArguments) -> bytes:
    """Digest of all that changes the look of messages but no output."""
    words = list(parsed.context_args)
    if request.terminal & Terminal.STDERR:
        words += [parsed.colour.value, f"terminal, {request.columns} wide", *environment.pick(request.env, environment.TERMINAL)]
    elif parsed.colour is Colour.ALWAYS:
        words.append(parsed.colour.value)
    return digest("\0".join((*words, *environment.pick(request.env, environment.DIAGNOSTICS))).encode("utf-8", "surrogateescape"))
