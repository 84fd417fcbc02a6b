"""Compile the native parts; used by the wheel's build (hatch_build.py) and by the tests.

Owns: compilers, flags, the fallbacks between them.  Must not know: hatchling, pytest, wheels.
"""

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
COMPILE_LIMIT_S = 120
_COMMON = ["-O2", "-Wall", "-Wextra"]
_MODULE = ["-std=c11", "-D_GNU_SOURCE", "-Wno-cast-function-type", "-shared", "-fPIC"]
_WITHOUT_LIBC = [
    *("-DWITHOUT_LIBC", "-nostdlib", "-static", "-s", "-fno-builtin", "-fno-asynchronous-unwind-tables"),
    *("-fno-stack-protector", "-U_FORTIFY_SOURCE", "-fcf-protection=none"),  # what distributions add needs libc
]


class CannotCompile(Exception):  # noqa: N818  # expected where there is no compiler: the build goes on without
    """No compiler made this; the message is one sentence."""


def compile_launcher(output: Path, version_text: str, *, without_libc: bool = True) -> None:
    """Make the launcher: without libc if that works here (see launcher_x86_64.c), else static, else as the system likes it."""
    sources = [str(path) for path in sorted(NATIVE.glob("launcher*.c"))]
    common = [*_COMMON, "-std=c11", f'-DVERSION_TEXT="{version_text}"', *sources, "-o", str(output)]
    if without_libc and sys.platform == "linux" and platform.machine() == "x86_64" and _makes(_WITHOUT_LIBC, common, output):
        return
    _try_each([["-static", "-s"], ["-s"], []], common, output)


def _makes(variant: Sequence[str], common: Sequence[str], output: Path) -> bool:
    """Also run it: what replaces libc may link and still not start.  Where /tmp may not execute anything, libc is the safe choice."""
    try:
        _try_each([variant], common, output)
    except CannotCompile:
        return False
    return _passes_exit_codes_on(output)


def _passes_exit_codes_on(launcher: Path) -> bool:
    """Run it without a daemon that could answer: a program that links may still not start."""
    env = {"SCCACHE_SERVER_UDS": "/" + "x" * 200, "PATH": "/usr/bin:/bin"}
    command = ["sccache", "sh", "-c", "exit 7"]  # under another name it would look for a compiler of that name
    try:
        done = subprocess.run(command, executable=launcher, env=env, capture_output=True, timeout=COMPILE_LIMIT_S, check=False)
        return done.returncode == 7
    except (OSError, subprocess.TimeoutExpired):
        return False


def compile_module(output: Path) -> None:
    """Make the extension module sccache._native."""
    include = sysconfig.get_paths()["include"]
    if not (Path(include) / "Python.h").exists():
        raise CannotCompile(f"there is no Python.h in {include}")
    common = [*_COMMON, *_MODULE, "-I", include, str(NATIVE / "_native.c"), "-o", str(output)]
    mac = ["-undefined", "dynamic_lookup"]
    _try_each([[], mac] if sysconfig.get_platform().startswith("macosx") else [[]], common, output)


def compile_observer(program: Path, shim: Path) -> None:
    """Make the observer of compiles and the library that it preloads; Linux only."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise CannotCompile("it needs Linux on x86-64 or AArch64")
    common = [*_COMMON, "-std=c11", "-D_GNU_SOURCE"]
    sources = [str(NATIVE / name) for name in ("observe.c", "observe_calls.c", "observe_report.c")]
    _try_each([["-static", "-s"], ["-s"]], [*common, *sources, "-o", str(program)], program)
    _try_each([["-s"]], [*common, "-shared", "-fPIC", str(NATIVE / "observe_env.c"), "-o", str(shim), "-ldl"], shim)


def compile_enter(program: Path) -> None:
    """Make what a worker's sandbox ends in; static, as a sandbox has no libraries of ours.  Linux only."""
    if sys.platform != "linux":
        raise CannotCompile("it needs Linux")
    _try_each([["-static", "-s"]], [*_COMMON, "-std=c11", "-D_GNU_SOURCE", str(NATIVE / "enter.c"), "-o", str(program)], program)


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
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            why = f"{compiler[0]}: {said[-1]}"
    raise CannotCompile(why)


def _compilers() -> Iterator[list[str]]:
    """$CC alone if it is set, as the user said so; else the usual names."""
    chosen = os.environ.get("CC")
    if chosen:
        yield shlex.split(chosen)
        return
    yield from (["cc"], ["gcc"], ["clang"])


if __name__ == "__main__":  # python native/compile.py OUTPUT VERSION_TEXT: a launcher for work on a checkout
    compile_launcher(Path(sys.argv[1]), sys.argv[2])
