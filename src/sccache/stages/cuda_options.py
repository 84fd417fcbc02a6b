"""Which options of nvcc keep it from being run step by step, and which say how.

Owns: these tables.  Must not know: steps.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence

_NOT_BY_STEPS = re.compile(
    r"--?keep(?:-dir)?|--?save-temps"  # the user wants nvcc's own intermediate files
    r"|--?dryrun|--verbose|-v"  # it prints its commands
    r"|--?time|--?fdevice-time-trace"  # it measures its steps
    r"|--objdir-as-tempdir|-objtemp"  # it has its files elsewhere
    r"|--clean-targets|-clean|--run|-run"
)
"""Options, before any `=`."""
_FOR_OTHERS = re.compile(r"-X\w+|--\w+-options")
"""Their values are for the host compiler, ptxas and so on."""
_THREADS = re.compile(r"(?:--threads|-t)(?:=(\d+))?")
_PLAIN = re.compile(r"/[\w./+@~-]*", re.ASCII)


def is_plain(path: str) -> bool:
    """Whether a path needs no quoting anywhere."""
    return _PLAIN.fullmatch(path) is not None


def allow_steps(args: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether steps can stand for the command."""
    words = _all_words(args, env)
    if words is None:
        return False
    for before, word in zip(["", *words], words, strict=False):
        if _FOR_OTHERS.fullmatch(before):
            continue
        if _NOT_BY_STEPS.fullmatch(word.split("=", 1)[0]):
            return False
    return True


def threads(args: Sequence[str], env: Mapping[str, str]) -> int:
    """How many steps may run at a time: --threads; 0 means as many as there are processors."""
    words = _all_words(args, env) or []
    found = 1
    for index, word in enumerate(words):
        match = _THREADS.fullmatch(word)
        if match is None:
            continue
        value = match[1] or (words[index + 1] if index + 1 < len(words) else "")
        if value.isdecimal():
            found = int(value) or os.cpu_count() or 1
    return found


def _all_words(args: Sequence[str], env: Mapping[str, str]) -> list[str] | None:
    """The arguments with those that nvcc takes from variables."""
    try:
        before, after = (shlex.split(env.get(name, "")) for name in ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"))
    except ValueError:
        return None
    return [*before, *args, *after]
