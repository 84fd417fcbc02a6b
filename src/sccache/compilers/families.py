"""The families of compilers whose compiles are observed: who understands their command lines, and what they do of themselves.

Owns: the table.  Must not know: how a compiler is recognised, how observing works.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec
from msgspec import Struct

from sccache.compilers import diab, hipcc, nvcc, nvhpc, tasking
from sccache.compilers.observed import ParseResult, Rules
from sccache.compilers.options import clang_offload
from sccache.compilers.options import diab as options_diab
from sccache.compilers.options import hipcc as options_hipcc
from sccache.compilers.options import nvcc as options_nvcc
from sccache.compilers.options import nvhpc as options_nvhpc
from sccache.compilers.options import observed as common
from sccache.compilers.options import taskingvx as options_tasking

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


def rules_of(tools: str, harmless: Mapping[str, str] = MappingProxyType({}), *, asks_licences: bool = False) -> Rules:
    """The rules of a family that runs these programs, and has these harmless variables, beside those of all."""
    return Rules(
        tools=re.compile("|".join(part for part in (common.TOOLS, tools) if part)),
        harmless={**common.HARMLESS, **harmless},
        asks_licences=asks_licences,
        finding=common.FINDING,
        clock="compile reads the clock",
        network="compile uses the network",
        writes="compile writes further files",
        sources_have_dates=True,
        asks_for_names=_ASKS_FOR_NAMES,
        dated=(".pch", ".pcm"),
        finding_options=common.FINDING_OPTIONS,
        visits_temporary=True,
    )


C_LIKE = {
    "gcc": rules_of(""),
    "clang": msgspec.structs.replace(rules_of(clang_offload.TOOLS), conceals=clang_offload.CONCEALS),
}
"""Of commands that are understood as C compiles are and have to be observed all the same."""

_FAMILIES = (
    Family("nvcc", nvcc.parse, rules_of(options_nvcc.TOOLS), options_nvcc.VARIABLES),
    Family("nvhpc", nvhpc.parse, rules_of(options_nvhpc.TOOLS, options_nvhpc.HARMLESS), options_nvhpc.VARIABLES),
    Family(
        "hipcc",
        hipcc.parse,
        msgspec.structs.replace(rules_of(options_hipcc.TOOLS), conceals=clang_offload.CONCEALS, known_script=re.compile(rb"\bhipcc\.pl\b")),
        options_hipcc.VARIABLES,
    ),
    Family("diab", diab.parse, rules_of(options_diab.TOOLS, options_diab.HARMLESS, asks_licences=True), options_diab.VARIABLES),
    Family(
        "taskingvx", tasking.parse, rules_of(options_tasking.TOOLS, options_tasking.HARMLESS, asks_licences=True), options_tasking.VARIABLES
    ),
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in _FAMILIES}

NAMES: Mapping[str, str] = {"hipcc": "hipcc", "cudafe++": "cudafe++", "cicc": "cicc", "ptxas": "ptxas"}
"""Programs that are known by their names: they cannot be asked, or say that they are somebody else."""


def variables(family: Family, env: Mapping[str, str]) -> tuple[str, ...]:
    """`NAME=value` of the family's own variables, sorted."""
    exact = {name for name in family.variables if not name.endswith("*")}
    beginnings = tuple(name[:-1] for name in family.variables if name.endswith("*"))
    return tuple(sorted(f"{name}={value}" for name, value in env.items() if name in exact or (beginnings and name.startswith(beginnings))))
