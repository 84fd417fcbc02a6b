"""Which nvcc commands can be run step by step, and what of their options counts for that.

Owns: this choice.  Must not know: steps, how options are written.
"""

import os
from collections.abc import Mapping, Sequence

from msgspec import Struct

from sccache.compilers.nvcc.words import Word, split
from sccache.compilers.options.nvcc import Role
from sccache.model import CannotCache
from sccache.stages.cuda_depfile import Style

_NOT_BY_STEPS = frozenset({Role.KEEP, Role.KEEP_DIRECTORY, Role.NOT_COMPILATION, Role.TOO_HARD})
"""The user wants nvcc's own intermediate files, words or measurements."""
_ELSEWHERE = "--objdir-as-tempdir"
"""nvcc has its intermediate files elsewhere."""
_ALL = "--generate-dependencies-with-compile"


class Options(Struct, frozen=True):
    """What counts."""

    threads: int
    """How many steps may run at a time."""
    dependencies: Style | None
    """The form of the dependency file; None where there is none, or its form cannot be told."""


def read(args: Sequence[str], cwd: str, env: Mapping[str, str]) -> Options | None:
    """The options of a command, those in files and variables among them; None where steps cannot stand for it."""
    words = split(args, cwd, env)
    if isinstance(words, CannotCache) or any(word.name == _ELSEWHERE or (word.row and word.row.role in _NOT_BY_STEPS) for word in words):
        return None
    return Options(_threads(words), _dependencies(words))


def _threads(words: Sequence[Word]) -> int:
    """The last --threads; 0 means as many as there are processors."""
    values = [word.value for word in words if word.row and word.row.role is Role.THREADS and word.value.isdecimal()]
    return int(values[-1]) or os.cpu_count() or 1 if values else 1


def _dependencies(words: Sequence[Word]) -> Style | None:
    kinds = {word.name for word in words if word.row and word.row.role is Role.DEPENDENCIES}
    targets = [word.value for word in words if word.name == "--dependency-target-name"]
    roles = {word.row.role for word in words if word.row}
    if len(kinds) != 1 or len(targets) > 1 or {Role.OUTPUT, Role.DIRECTORY} <= roles:  # -odir and -o: the target is put together of both
        return None
    return Style("".join(targets), _ALL in kinds, any(word.name == "--generate-dependency-targets" for word in words))
