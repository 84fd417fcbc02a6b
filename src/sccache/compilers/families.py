"""The families of compilers whose compiles are observed: who understands their command lines, and what they do of themselves.

Owns: the table.  Must not know: how a compiler is recognised, how observing works.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec
from msgspec import Struct

from sccache.compilers import cuda_steps, diab, hipcc, msvc, nvcc, nvhpc, tasking
from sccache.compilers.observed import ParseResult, Rules
from sccache.compilers.options import clang, clang_offload, gcc
from sccache.compilers.options import clang_cl as clang_cl_options
from sccache.compilers.options import diab as diab_options
from sccache.compilers.options import hipcc as hipcc_options
from sccache.compilers.options import msvc as msvc_options
from sccache.compilers.options import nvcc as nvcc_options
from sccache.compilers.options import nvhpc as nvhpc_options
from sccache.compilers.options import observed as common
from sccache.compilers.options import taskingvx as tasking_options

Parse: TypeAlias = Callable[[tuple[str, ...], str, Mapping[str, str]], ParseResult]
"""Understands one command line: words from the compiler's name on, working directory, environment."""


class Family(Struct, frozen=True):
    """One family."""

    name: str
    parse: Parse
    rules: Rules
    variables: tuple[str, ...] = ()
    """Names, or beginnings of names with a star, of variables that parts of it read unseen: always in the key."""


_ASKS_FOR_NAMES = re.compile(rb"__FILE|__BASE_FILE|__builtin_FILE|source_location|__builtin_source|##")
"""The macros and their kin; a word pasted together may be one of them."""


def rules_of(tools: str = "", harmless: Mapping[str, str] = MappingProxyType({}), finding: tuple[str, ...] = (), **more: object) -> Rules:
    """The rules of a family: its programs, harmless variables, options that name files, beside those of all; `more`: further fields."""
    rules = Rules(
        tools=re.compile("|".join(part for part in (common.TOOLS, tools) if part)),
        harmless={**common.HARMLESS, **harmless},
        finding=common.FINDING,
        clock="compile reads the clock",
        network="compile uses the network",
        writes="compile writes further files",
        sources_have_dates=True,
        asks_for_names=_ASKS_FOR_NAMES,
        dated=(".pch", ".pcm"),
        finding_options=(*common.FINDING_OPTIONS, *finding),
        visits_temporary=True,
    )
    return msgspec.structs.replace(rules, **more)


C_LIKE = {
    "gcc": rules_of(remarks=gcc.REMARKS),
    "clang": rules_of(f"{clang_offload.TOOLS}|{clang.TOOLS}", conceals=clang_offload.CONCEALS, dated=(".pch",)),  # modules have no times
}
"""Of commands that are understood as C compiles are and have to be observed all the same."""

_HIPCC = rules_of(hipcc_options.TOOLS, conceals=clang_offload.CONCEALS, known_script=re.compile(rb"\bhipcc\.pl\b"))
_DIAB = rules_of(diab_options.TOOLS, diab_options.HARMLESS, diab_options.FINDING, asks_licences=True)
_TASKING = rules_of(tasking_options.TOOLS, tasking_options.HARMLESS, tasking_options.FINDING, asks_licences=True)
_CLANG_CL = rules_of(clang_cl_options.TOOLS, finding=msvc_options.FINDING, conceals=msvc_options.CONCEALS)
_MSVC = rules_of(msvc_options.TOOLS, finding=msvc_options.FINDING, conceals=msvc_options.CONCEALS)
_NVHPC = rules_of(nvhpc_options.TOOLS, nvhpc_options.HARMLESS, nvhpc_options.FINDING)
_FAMILIES = (
    Family("nvcc", nvcc.parse, rules_of(nvcc_options.TOOLS), nvcc_options.VARIABLES),
    *(Family(name, cuda_steps.parse, rules_of(nvcc_options.TOOLS)) for name in ("cudafe++", "cicc", "ptxas")),
    Family("clang-cl", msvc.clang_cl, _CLANG_CL, clang_cl_options.VARIABLES),
    Family("msvc", msvc.cl, _MSVC, msvc_options.VARIABLES),
    Family("nvhpc", nvhpc.parse, _NVHPC, nvhpc_options.VARIABLES),
    Family("hipcc", hipcc.parse, _HIPCC, hipcc_options.VARIABLES),
    Family("diab", diab.parse, _DIAB, diab_options.VARIABLES),
    Family("taskingvx", tasking.parse, _TASKING, tasking_options.VARIABLES),
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in _FAMILIES}

NAMES: Mapping[str, str] = {"hipcc": "hipcc", "cudafe++": "cudafe++", "cicc": "cicc", "ptxas": "ptxas"}
"""Programs that are known by their names: they cannot be asked, or say that they are somebody else."""


def variables(family: Family, env: Mapping[str, str]) -> tuple[str, ...]:
    """`NAME=value` of the family's own variables, sorted."""
    exact = {name for name in family.variables if not name.endswith("*")}
    beginnings = tuple(name[:-1] for name in family.variables if name.endswith("*"))
    return tuple(sorted(f"{name}={value}" for name, value in env.items() if name in exact or (beginnings and name.startswith(beginnings))))
