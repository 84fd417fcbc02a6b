"""Case files of HIP and CUDA with clang and of hipcc: each command line is parsed, compared, and run by the real compiler.

    <case>   ::= args, [env], [runs = false], [compiles = false], <expect>
    <expect> ::= reason | not_compilation | language, statistics, outputs (role=path, `?` behind an optional one), depfile, …

The files that the compiler makes are exactly those predicted (optional ones may be missing).
"""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sccache.compilers import c_family, c_observed, hipcc
from sccache.compilers.observed import ObservedArguments
from sccache.compilers.options import clang_offload
from sccache.model import CannotCache, NotCompilation, ParsedArguments

TESTS = Path(__file__).resolve().parents[2]
CUDA = Path("/usr/local/cuda-13.0/bin")
PLAIN = "int h(int a) { return a; }\n"
CODE = f"__attribute__((device)) int d(int a) {{ return a * 2; }}\n{PLAIN}"
SOURCES = dict.fromkeys(("a.hip", "a.cu", "src/a.hip", "src/a.cu", "b.cxx", "b.cc", "b.C", "b.cu", "b.cuh"), CODE)
FILES = {**SOURCES, "a.cpp": PLAIN, "b.c": PLAIN, "out/.keep": ""}
HIP_WORDS = ("--rocm-path=/usr", "-nogpulib", "-nogpuinc", "--hip-version=5.2.0")


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """What a case says in words."""

    reason: str | None = None
    not_compilation: bool = False
    language: str | None = None
    statistics: str | None = None
    outputs: list[str] | None = None
    depfile: str | None = None
    hides_paths: bool | None = None
    native_cpu: bool | None = None
    key_args: list[str] | None = None


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One row of a case file."""

    args: list[str]
    expect: Expected = msgspec.field(default_factory=Expected)
    env: dict[str, str] = {}
    runs: bool = True
    compiles: bool = True


class CaseFile(msgspec.Struct, forbid_unknown_fields=True):
    case: list[Case]


def every_case() -> Iterator[object]:
    for path in (*(TESTS / "cases" / "clang_offload" / name for name in ("hip.toml", "cuda.toml")), TESTS / "cases/hipcc/hipcc.toml"):
        for position, case in enumerate(msgspec.convert(tomllib.loads(path.read_text()), CaseFile).case):
            yield pytest.param(path.stem, case, id=f"{path.stem}-{position}-{' '.join(case.args)}")


def lay_out_cuda(root: Path) -> tuple[str, ...]:
    """A toolkit that clang 14 and CUDA 13's ptxas agree on; gives clang's words for it."""
    for folder in ("bin", "include", "lib64", "nvvm/libdevice"):
        (root / "cuda" / folder).mkdir(parents=True)
    (root / "cuda/include/cuda.h").write_text("#define CUDA_VERSION 11000\n")
    (root / "cuda/bin/ptxas").symlink_to(CUDA / "ptxas")
    shutil.copy(TESTS / "data/clang_cuda/fatbinary", root / "cuda/bin/fatbinary")
    return (f"--cuda-path={root}/cuda", "-nocudainc", "-nocudalib")


def parse(kind: str, argv: tuple[str, ...], cwd: str, env: dict[str, str]) -> object:
    """Both kinds in the words of observed families."""
    if kind == "hipcc":
        return hipcc.parse(argv, cwd, env)
    parsed = c_family.parse("clang", argv, cwd, env, plusplus=True)
    if not isinstance(parsed, ParsedArguments):
        return parsed
    assert parsed.needs_observing
    return c_observed.from_parsed("clang", parsed)


@pytest.mark.parametrize(("kind", "case"), list(every_case()))
def test_a_command_line_means_what_the_compiler_makes_of_it(kind: str, case: Case, tmp_path: Path) -> None:
    """Parsing predicts every file that the compiler makes, and says what the case says."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    compiler = {"hip": "clang++-15", "cuda": "clang++", "hipcc": "hipcc"}[kind]
    base = HIP_WORDS if kind == "hip" else lay_out_cuda(tmp_path) if kind == "cuda" else ("-nogpulib",)
    argv = (compiler, *base, *case.args)
    parsed = parse(kind, argv, str(tmp_path), case.env)
    compare(parsed, case.expect)
    if not (case.runs and isinstance(parsed, ObservedArguments)):
        return
    if shutil.which(compiler) is None or (kind == "cuda" and not (CUDA / "ptxas").exists()):
        pytest.skip(f"{compiler if kind != 'cuda' else 'clang++ or CUDA 13'} is not installed")
    before = snapshot(tmp_path)
    ran = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, **case.env})
    assert (ran.returncode == 0) == case.compiles, ran.stderr
    made = {name for name, mtime in snapshot(tmp_path).items() if before.get(name) != mtime}
    if case.compiles:
        predicted = {output.path: output.required for output in parsed.outputs}
        assert made <= predicted.keys(), "made without being predicted"
        assert {name for name, required in predicted.items() if required} <= made, "predicted but not made"


def compare(parsed: object, expect: Expected) -> None:
    if isinstance(parsed, CannotCache):
        assert parsed.reason == expect.reason, parsed
        return
    if isinstance(parsed, NotCompilation):
        assert expect.not_compilation, parsed
        return
    assert isinstance(parsed, ObservedArguments)
    roles = {output.role: f"{output.role}={output.path}{'' if output.required else '?'}" for output in parsed.outputs}
    depfile = next((output.path for output in parsed.outputs if output.role == "d"), "")
    listed = [text for role, text in roles.items() if role != "d" or expect.depfile is None]
    found = {
        "reason": None,
        "not_compilation": False,
        "language": parsed.advanced_name.partition(" [")[0],
        "statistics": parsed.statistics_name,
        "outputs": listed,
        "depfile": depfile,
        "hides_paths": parsed.hides_paths,
        "native_cpu": parsed.native_cpu,
        "key_args": list(parsed.key_args),
    }
    assert len(roles) == len(parsed.outputs), "two outputs of one role"
    for name in Expected.__struct_fields__:
        wanted = getattr(expect, name)
        if wanted is not None:
            assert found[name] == wanted, name


def snapshot(root: Path) -> dict[str, int]:
    return {
        os.path.relpath(os.path.join(folder, name), root): os.stat(os.path.join(folder, name)).st_mtime_ns
        for folder, _, names in os.walk(root)
        for name in names
    }


@pytest.mark.parametrize(
    ("output", "conceals"),
    [
        (b"\0__hip_cuid_c7e707307fd26923\0", True),
        (b"\x7fELF CCOB\x02\0\x01\0", True),
        (b"__hip_fatbin __hip_module_ctor __CLANG_OFFLOAD_BUNDLE__", False),
    ],
)
def test_newer_clangs_name_symbols_by_digests(output: bytes, conceals: bool) -> None:
    """Those of the source's real path bind an object to its checkout, and so does compressed code."""
    assert (clang_offload.CONCEALS.search(output) is not None) == conceals
