"""A step of an nvcc compile for a farm: its text has all that the preprocessor put together, so there is little more to send.

Owns: what such a step may read.  Must not know: the order of steps, the wire, how reports are checked.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import msgspec

from sccache.model import Output
from sccache.stages import distributed_observed
from sccache.stages.distributed_observed import Reach
from sccache.stages.distribution import Compiler, Work

if TYPE_CHECKING:
    from sccache.compilers.nvcc.dryrun import Step
    from sccache.stages.bench import Memories
    from sccache.stages.observed_results import Attempt

_VARIABLES = re.compile(r"NVVM.*|CICC.*|CUDA.*|NVCC.*|_[A-Z_]+_")
"""What the plan sets for its steps, and what the tools are known to ask for."""

_LOOKED_INTO = ("../lib", "../lib64", "../nvvm/lib64", "../nvvm/libdevice", "../../bin", "../../lib", "../../lib64")
"""Directories of the toolkit in which its programs' libraries are looked for."""


def work(attempt: Attempt, step: Step, folder: str, memories: Memories) -> Work | str:
    """This step for a farm; or why it cannot go there.  `folder`: the compile's own scratch directory."""
    job = attempt.job
    kept = {output.path for output in job.outputs}
    outputs = tuple(Output(role, path, required=path in kept) for role, path in step.outputs)
    made = msgspec.structs.replace(attempt, job=msgspec.structs.replace(job, outputs=outputs))
    ((_, digest),) = job.program.files

    def reach() -> Reach:
        made_before = [word for arg in step.args for word in (arg, arg.partition("=")[2]) if word.startswith(folder + "/")]
        places = {os.path.dirname(path) for path in (step.source, *made_before, *(path for _, path in step.outputs))}
        own = {path for _, path in step.outputs}
        wanted = [path for path in (step.source, *made_before) if os.path.isfile(path) and path not in own]
        beside = [os.path.join(os.path.dirname(job.program.path), name) for name in _LOOKED_INTO]
        return Reach(wanted, [*sorted(places), *beside], frozenset(), _VARIABLES)

    return distributed_observed.work(made, Compiler(job.program.path, step.kind.value, digest), reach, memories)
