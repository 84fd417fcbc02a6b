"""Compile the native parts; used by the wheel's build (hatch_build.py) and by the tests.

Owns: compilers, flags, the fallbacks between them.  Must not know: hatchling, pytest, wheels.
"""

import os
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
COMPILE_LIMIT_S = 120
_COMMON = ["-O2", "-Wall", "-Wextra"]


class CannotCompile(Exception):  # noqa: N818  # expected where there is no compiler: the build goes on without
    """No compiler made this; the message is one sentence."""


def compile_launcher(output: Path, version_text: str) -> None:
    """Make the launcher: static if the system can (a static program starts twice as fast), and stripped."""
    sources = [str(path) for path in sorted(NATIVE.glob("launcher*.c"))]
    common = [*_COMMON, "-std=c11", f'-DVERSION_TEXT="{version_text}"', *sources, "-o", str(output)]
    _try_each([["-static", "-s"], ["-s"], []], common, output)


def compile_module(output: Path) -> None:
    """Make the extension module sccache._native."""
    include = sysconfig.get_paths()["include"]
    if not (Path(include) / "Python.h").exists():
        raise CannotCompile(f"there is no Python.h in {include}")
    common = [*_COMMON, "-shared", "-fPIC", "-I", include, str(NATIVE / "_native.c"), "-o", str(output)]
    mac = ["-undefined", "dynamic_lookup"]
    _try_each([[], mac] if sysconfig.get_platform().startswith("macosx") else [[]], common, output)


def _try_each(variants: Sequence[Sequence[str]], common: Sequence[str], output: Path) -> None:
    why = "there is no C compiler"
    for compiler in _compilers():
        for variant in variants:
            command = [*compiler, *variant, *common]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)
            except (OSError, subprocess.TimeoutExpired) as e:
                why = f"{compiler[0]}: {e}"
                break
            if done.returncode == 0 and output.exists():
                return
            why = f"{compiler[0]} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
    raise CannotCompile(why)


def _compilers() -> Iterator[list[str]]:
    """$CC alone if it is set, as the user said so; else the usual names."""
    chosen = os.environ.get("CC")
    if chosen:
        yield shlex.split(chosen)
        return
    yield from (["cc"], ["gcc"], ["clang"])
