"""Find out which compiler a command names.

Owns: the search along PATH, the probe source and the reading of its output.  Must not know: how a probe is run.
"""

import os
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

WRAPPER_NAMES = frozenset({"ccache", "sccache"})
"""Compiler caches: a compiler that is a link to one of them is looked for further along PATH."""

PROBE_SOURCE = """\
#if defined(__NVCC__)
sccache_compiler nvcc
#elif defined(_MSC_VER) && defined(__clang__)
sccache_compiler clang-cl
#elif defined(_MSC_VER)
sccache_compiler msvc
#elif defined(__NVCOMPILER)
sccache_compiler nvhpc
#elif defined(__DCC__)
sccache_compiler diab
#elif defined(__TASKING__) || defined(__CTC__)
sccache_compiler taskingvx
#elif defined(__clang__) && defined(__cplusplus)
sccache_compiler clang plusplus
#elif defined(__clang__)
sccache_compiler clang
#elif defined(__GNUC__) && defined(__cplusplus)
sccache_compiler gcc plusplus
#elif defined(__GNUC__)
sccache_compiler gcc
#endif
sccache_version __VERSION__
"""
"""The order matters: others say that they are gcc or clang, too.

Preprocessed as a `.c` file; g++ and clang++ take that for C++ and so tell that they are C++ drivers.
"""

SUPPORTED = frozenset({"gcc", "clang"})
_ELF = b"\x7fELF"
_DRIVERS = re.compile(
    r"(?!(?:afl|hfuzz)-)(?:.*-)?(?:e?gcc|g\+\+|cc|c\+\+|\w*clang(?:\+\+|-cl)?|nvcc|nvc|nvc\+\+|pgcc|pgc\+\+)"
    r"(?:-?\d[\d.]*)?(?:-posix|-win32)?(?:\.exe)?"
    r"|cl(?:\.exe)?|dcc|dplus|cctc|ctc|cptc|carm|cparm|cmcs|carc|cpcp|c51"
)
"""Names of drivers that choose nothing by what is not in their command line.  Not distcc, icecc, mpicc, gomacc, afl-cc: they run a compiler
by variables and settings of their own."""


class Identity(Struct, frozen=True):
    """What a probe said: the family ("gcc", "clang" …), whether it drives C++, and its version text."""

    family: str
    plusplus: bool
    version: str


class Located(Struct, frozen=True):
    """An executable that was found, and the PATH candidates before it that did not exist."""

    path: str
    """Absolute."""
    absent: Mapping[str, Sequence[str]]
    passed_over: bool = False
    """A link to a compiler cache stood where the name leads: gcc, run under that name, would look for cc1 beside the link."""


def read_probe(stdout: bytes) -> Identity | None:
    """The identity printed by PROBE_SOURCE, or None when the output is not that of a preprocessor."""
    family, plusplus, version = "", False, ""
    for line in stdout.decode("utf-8", "replace").splitlines():
        words = line.split(maxsplit=1)
        if len(words) < 2:
            continue
        if words[0] == "sccache_compiler":
            family, _, rest = words[1].strip().partition(" ")
            plusplus = rest.strip() == "plusplus"
        elif words[0] == "sccache_version":
            version = words[1].strip().strip('"')
    return Identity(family, plusplus, "" if version == "__VERSION__" else version) if family else None


def locate(name: str, cwd: str, search_path: str, *, sees_caches: bool = False) -> Located | None:
    """The executable that `name` runs, passing over links to compiler caches unless they are asked for; None when there is none."""
    if "/" in name:
        path = _plain(os.path.join(cwd, name))
        if not _is_executable(path):
            return None
        if sees_caches or not is_wrapper(path):
            return Located(path, {})
        return _search(os.path.basename(name), cwd, search_path, passed_over=True)
    return _search(name, cwd, search_path, sees_caches=sees_caches)


def _search(name: str, cwd: str, search_path: str, *, passed_over: bool = False, sees_caches: bool = False) -> Located | None:
    absent: dict[str, list[str]] = {}
    for entry in search_path.split(":"):
        directory = os.path.join(cwd, entry) if entry else cwd
        path = _plain(os.path.join(directory, name))
        if not _is_executable(path):
            absent.setdefault(directory, []).append(name)
        elif is_wrapper(path) and not sees_caches:
            passed_over = True
        else:
            return Located(path, absent, passed_over)
    return None


def _plain(path: str) -> str:
    """A path without "." and "//", as the observer of compiles spells it; ".." stays: what it leads to depends on links."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _is_executable(path: str) -> bool:
    return os.access(path, os.X_OK) and os.path.isfile(path)


def is_wrapper(path: str) -> bool:
    """Whether this is ccache or sccache under another name."""
    stem = os.path.basename(os.path.realpath(path)).lower().partition(".")[0]
    return stem in WRAPPER_NAMES


def is_transparent(path: str) -> bool:
    """Whether the file is a compiler driver itself: a native program with a driver's name.

    Anything else (a script, a front end of unknown name) may pick its compiler by means that we cannot see, so it is
    asked at every compile which programs it runs.
    """
    stem = os.path.basename(os.path.realpath(path)).lower()
    if not _DRIVERS.fullmatch(stem):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(4) == _ELF
    except OSError:
        return False
