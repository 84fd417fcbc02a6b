"""A step of an nvcc compile as a job of its own.

Its manifest's key has the program's content, the arguments and the text that it works on; scratch names are marked as any root is, so
that they are the same in every run.  What else it reads is observed.

Owns: that job; what of its run may be left out of account.  Must not know: the order of steps, how they are run.
"""

import os
import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from sccache.compilers import environment
from sccache.compilers.nvcc.dryrun import Kind, Plan, Step
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.model import Output
from sccache.stages.observed_job import ObservedJob, Program
from sccache.stages.observed_results import Kept
from sccache.stages.observed_roots import ObservedRoots

SEEN = ".seen"
"""Ending of the file beside a step's main output that tells what the step read."""
NAMES: Mapping[Kind, tuple[str, str]] = {
    Kind.CUDAFE: ("CUDA (Device code)", "cuda [cudafe++]"),
    Kind.CICC: ("PTX", "ptx [cicc]"),
    Kind.PTXAS: ("CUBIN", "cubin [ptxas]"),
}
"""Kinds that are looked up and kept → how they are counted (reference 10.5)."""
_RANDOM = re.compile(rb"_[0-9a-f]{8}_\d+\s*$")
"""How such an identity ends: a checksum and a process's number."""
_SOURCE_PATH = "--orig_src_path_name"
_UNREAD = frozenset({"c", "gpu"})
"""Roles of what no later step reads."""
_DEVICE = frozenset({"out", "lto", "stub"})
"""Roles of what the result has compressed in it, or may have."""
_PACKED = (".ltoir", ".optixir")
_MODULE_ID = re.compile(rb"_([0-9a-f]{8,})_")


class StepJob(Struct, frozen=True):
    """A step that can be looked up."""

    step: Step
    job: ObservedJob
    seen: str
    """Where its kept report is."""


def find_program(step: Step, env: Mapping[str, str], cwd: str) -> tuple[str, list[str]]:
    """The program's path, as a shell would find it, empty if there is none; and paths at which it is looked for in vain before."""
    missed: list[str] = []
    for place in [""] if "/" in step.program else env.get("PATH", "").split(":"):
        path = os.path.join(cwd, place, step.program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path, missed
        if not os.path.lexists(path):
            missed.append(path)
    return "", []


def make(step: Step, whole: ObservedJob, env: Mapping[str, str], folder: str, files: FileMemory) -> StepJob | None:
    """The job for a step whose source is there; None where its program is not.  `env`: what the step will find."""
    path, _ = find_program(step, env, whole.request.cwd)
    program = files.facts(os.path.realpath(path)) if path else None
    if program is None:
        return None
    roots = ObservedRoots((*whole.roots.names[:1], folder), is_plain=whole.roots.is_plain)
    seen = dict(step.outputs)["out" if step.kind is not Kind.CUDAFE else "cpp"] + SEEN
    job = ObservedJob(
        request=msgspec.structs.replace(whole.request, env=env),
        label=os.path.relpath(step.outputs[-1][1], folder),
        names=NAMES[step.kind],
        program=Program(
            path=path,
            name=step.program,
            args=step.args,
            own=(path, os.path.realpath(path), os.path.normpath(path)),
            files=((os.path.realpath(path), program.digest),),
            absent={},
            transparent=True,
            made_by=step.kind.value,
        ),
        # All names and dates that a source can ask for are in the text, expanded or as line markers.
        rules=msgspec.structs.replace(whole.rules, sources_have_dates=False, asks_for_names=None),
        sources=(
            (os.path.realpath(path), program.digest),
        ),  # its text is no source: nobody else changes it, and watching it means scanning it
        spelled=(os.path.basename(path),),
        outputs=(*(Output(role, output) for role, output in step.outputs if role not in _UNREAD), Output("d", seen)),
        records=(
            ("step", step.kind.value),
            ("compiler", program.digest),
            ("arguments", roots.words(step.args)),
            ("place", _place(step)),
            ("text", digest(_content(step.source))),
            ("loader", roots.words(environment.pick(env, environment.LOADER))),
        ),
        extra=whole.extra,
        roots=roots,
        places=whole.places,
        preprocessor=whole.preprocessor,
        context=whole.context,
        trail=whole.trail,
    )
    return StepJob(step, job, seen)


def _place(step: Step) -> str:
    """The source's absolute path, where the step makes the module's identity: it is a checksum of that, whatever the text."""
    args = step.args
    return args[args.index(_SOURCE_PATH) + 1] if "--gen_module_id_file" in args and _SOURCE_PATH in args[:-1] else ""


def tidy(step: Step) -> None:
    """Take the scratch directory's name out of what a step has made: the stub has line markers with its own name."""
    for role, path in step.outputs:
        if role == "stub":
            with open(path, "rb+") as file:
                data = file.read()
                file.seek(0)
                file.write(data.replace(os.fsencode(os.path.dirname(path) + "/"), b""))
                file.truncate()


def storable(kept: Kept, folder: str) -> Kept | None:
    """What of a step's result may be kept; None for a result that is another one each time.

    cicc puts the module's identity (a checksum of the source's place, the first symbol's name) into names that must differ between modules,
    and into nothing else.  Where no output has it, the device code is the same in any place.  Packed outputs may hide it: there it counts.
    A source without a symbol for others has an identity of its own in each run, so that two objects of it can be linked together.
    """
    if any(file.role == "module_id" and _RANDOM.search(file.data) for file in kept.files):
        return None
    identities = [known for known in kept.observed.inputs if known.path.startswith(folder + "/") and known.path.endswith(".module_id")]
    if len(identities) != 1 or any(b"\0" in file.data for file in kept.files):
        return kept
    checksum = _checksum(identities[0].path)
    if not checksum or any(checksum in file.data for file in kept.files):
        return kept
    inputs = tuple(known for known in kept.observed.inputs if known is not identities[0])
    return msgspec.structs.replace(kept, observed=msgspec.structs.replace(kept.observed, inputs=inputs))


def names_module(plan: Plan, result: str) -> bool:
    """Whether the module's identity, which is made of the source's place, is in the result of all steps, at `result`."""
    made = [(role, path) for step in plan.steps for role, path in step.outputs]
    checksum = next((_checksum(path) for role, path in made if role == "module_id"), b"")
    if not checksum or any(path.endswith(_PACKED) for _, path in made):
        return True
    return any(checksum in _content(path) for path in (result, *(path for role, path in made if role in _DEVICE)))


def _checksum(path: str) -> bytes:
    """That of a module's identity; empty where there is none."""
    try:
        found = _MODULE_ID.match(_content(path))
    except OSError:
        return b""
    return found[1] if found else b""


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
