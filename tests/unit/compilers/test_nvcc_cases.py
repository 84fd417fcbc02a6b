"""Case files under tests/cases/nvcc/ and tests/cases/cuda_steps/: each command line is parsed, compared, and run by the real program.

    <case>   ::= args, [env], [runs = false], [fails = true], <expect>
    <expect> ::= any field of ObservedArguments | reason | not_compilation | absent fields are not compared

The files made must be exactly those predicted; one that is not `required` may be missing, and further ones may lie in `made_in`.
`$PWD` is the test's directory, `$GNU` the host compiler as cudafe++ wants it said.
"""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest

from sccache.compilers import cuda_steps, nvcc
from sccache.compilers.nvcc.words import rows
from sccache.compilers.observed import ObservedArguments, ParseResult
from sccache.compilers.options import nvcc as options
from sccache.model import CannotCache, NotCompilation

CASES = Path(__file__).resolve().parents[2] / "cases"
HOST = "int f(void) { return 1; }\n"
FILES = {
    "a.cu": '#include "h.h"\nstatic __global__ void k(int *p) { p[0] = H; }\nvoid f(int *p) { k<<<1, 1>>>(p); }\n',
    "h.h": "#define H 1\n",
    "sub/b.c.cu": "__global__ void k(int *p) { p[0] = 1; }\n",
    "noending": "__global__ void k(int *p) { p[0] = 1; }\n",
    "p.ptx": ".version 7.0\n.target sm_75\n.address_size 64\n.visible .entry k() { ret; }\n",
    **dict.fromkeys(("b.cpp", "c.c", "d.cxx", "e.ii", "f.i", "B.CU", "b.C"), HOST),
    "g.s": ".globl f\nf: ret\n",
    "include.rsp": "-Isub -isystem sub\n",
    "outer.rsp": '-optf inner.rsp\n-D"X=a b"\n',
    "inner.rsp": "-DINNER -o out/r.ptx",
    "plain.rsp": "-DPLAIN",
    "out/.keep": "",
}
STEP_SOURCES = ("a.cpp1.ii", "a.cpp4.ii", "a.module_id", "a.ptx")


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """What a case says in words."""

    reason: str | None = None
    not_compilation: bool = False
    sources: list[str] | None = None
    outputs: list[str] | None = None
    """role=path, `?` behind an optional one."""
    made_in: list[str] | None = None
    key_args: list[str] | None = None
    colour: str | None = None
    native_cpu: bool | None = None
    hides_paths: bool | None = None
    statistics_name: str | None = None
    advanced_name: str | None = None


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One row of a case file."""

    args: list[str]
    expect: Expected = msgspec.field(default_factory=Expected)
    env: dict[str, str] = {}
    runs: bool = True
    fails: bool = False
    """nvcc is expected to refuse it."""


class CaseFile(msgspec.Struct, forbid_unknown_fields=True):
    case: list[Case]


def every_case(family: str) -> Iterator[object]:
    for path in sorted((CASES / family).glob("*.toml")):
        for position, case in enumerate(msgspec.convert(tomllib.loads(path.read_text()), CaseFile).case):
            yield pytest.param(case, id=f"{path.stem}-{position}-{' '.join(case.args)}")


@cache
def toolkit() -> str:
    """The real toolkit's directory; empty where there is none.  nvcc on the PATH may be a script."""
    found = shutil.which("nvcc")
    if found is None:
        return ""
    dry = subprocess.run([found, "--dryrun", "-c", "-x", "cu", os.devnull], capture_output=True, text=True, check=False)
    top = re.search(r"^#\$ TOP=(.*)$", dry.stderr, re.MULTILINE)
    return os.path.normpath(top[1]) if top else ""


@cache
def gnu_version() -> str:
    """The host compiler's version in cudafe++'s way."""
    ran = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=False)
    major, minor, patch = (*ran.stdout.strip().split("."), "0", "0")[:3] if ran.stdout.strip() else ("0", "0", "0")
    return f"{int(major)}{int(minor):02}{int(patch):02}"


def toolkit_or_skip() -> str:
    if not toolkit():
        pytest.skip("nvcc is not installed")
    return toolkit()


def prepare(root: Path) -> None:
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


def here(case: Case, root: Path) -> Case:
    """The case, in this directory."""
    text = msgspec.json.encode(case).replace(b"$PWD", str(root).encode()).replace(b"$GNU", gnu_version().encode())
    return msgspec.json.decode(text, type=Case)


@pytest.mark.parametrize("case", list(every_case("nvcc")))
def test_a_command_line_of_nvcc_means_what_nvcc_makes_of_it(case: Case, tmp_path: Path) -> None:
    """Parsing predicts every file that nvcc makes, and says what the case says; what nvcc refuses is not cached."""
    prepare(tmp_path)
    case = here(case, tmp_path)
    parsed = nvcc.parse(("nvcc", *case.args), str(tmp_path), case.env)
    compare(parsed, case.expect)
    if isinstance(parsed, ObservedArguments) and case.runs:
        run_and_compare([f"{toolkit_or_skip()}/bin/nvcc", *case.args], case.env, parsed, tmp_path)
    elif case.fails:
        assert run([f"{toolkit_or_skip()}/bin/nvcc", *case.args], case.env, tmp_path).returncode != 0


@cache
def step_sources(folder: Path) -> Path:
    """A directory with what nvcc's steps work on."""
    root = folder / "steps"
    root.mkdir()
    prepare(root)
    ran = run([f"{toolkit_or_skip()}/bin/nvcc", "-c", "--keep", "a.cu"], {}, root)
    assert ran.returncode == 0, ran.stderr
    return root


@pytest.mark.parametrize("case", list(every_case("cuda_steps")))
def test_a_command_line_of_a_step_means_what_the_program_makes_of_it(
    case: Case, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same for cudafe++, cicc and ptxas."""
    case = here(case, tmp_path)
    parsed = cuda_steps.parse(tuple(case.args), str(tmp_path), case.env)
    compare(parsed, case.expect)
    if not isinstance(parsed, ObservedArguments) or not case.runs:
        return
    top = toolkit_or_skip()
    made = step_sources(tmp_path_factory.getbasetemp())
    prepare(tmp_path)
    for name in STEP_SOURCES:
        shutil.copy(made / name, tmp_path)
    program = os.path.basename(case.args[0])
    path = f"{top}/nvvm/bin/{program}" if program == "cicc" else f"{top}/bin/{program}"
    run_and_compare([path, *case.args[1:]], {"NVVMIR_LIBRARY_DIR": f"{top}/nvvm/libdevice"}, parsed, tmp_path)


def compare(parsed: ParseResult, expect: Expected) -> None:
    if isinstance(parsed, CannotCache):
        assert parsed.reason == expect.reason, parsed
        return
    if isinstance(parsed, NotCompilation):
        assert expect.not_compilation, parsed
        return
    assert (expect.reason, expect.not_compilation) == (None, False), parsed
    found = msgspec.to_builtins(parsed)
    found["outputs"] = [f"{o.role}={o.path}{'' if o.required else '?'}" for o in parsed.outputs]
    for name in Expected.__struct_fields__[2:]:
        wanted = getattr(expect, name)
        if wanted is not None:
            assert msgspec.json.decode(msgspec.json.encode(found[name])) == wanted, name


def run(command: list[str], env: dict[str, str], root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env={**os.environ, **env}
    )


def snapshot(root: Path) -> set[str]:
    return {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names}


def run_and_compare(command: list[str], env: dict[str, str], parsed: ObservedArguments, root: Path) -> None:
    before = snapshot(root)
    ran = run(command, env, root)
    assert ran.returncode == 0, ran.stderr
    made = snapshot(root) - before
    predicted = {os.path.relpath(root / output.path, root): output.required for output in parsed.outputs}
    folders = {os.path.normpath(name) for name in parsed.made_in}
    further = {name for name in made - predicted.keys() if os.path.normpath(os.path.dirname(name)) not in folders}
    assert not further, "made without being predicted"
    assert {name for name, required in predicted.items() if required} <= made, "predicted but not made"
    assert bool(made - predicted.keys()) == bool(folders), "made_in without need"


def test_the_table_has_every_option_that_nvcc_tells_of() -> None:
    """Names of `nvcc --help`, both spellings; where it shows a value (it forgets some), one belongs to the option."""
    told = run([f"{toolkit_or_skip()}/bin/nvcc", "--help"], {}, Path("/")).stdout
    listed = re.findall(r"^(--[\w-]+)(?: (\S.*?))? +\(?(--?[\w+-]+)\)? *$", told, re.MULTILINE)
    assert len(listed) > 100
    found = rows()
    for long, value, short in listed:
        assert {long, short} <= found.keys()
        assert found[long] is found[short]
        assert found[long].takes_value or not value, long


@pytest.mark.parametrize("takes_value", [True, False])
def test_options_are_what_nvcc_takes_them_for(takes_value: bool, tmp_path: Path) -> None:
    """Each name at the end of a command line: nvcc knows it, and misses a value if one belongs to it."""
    program = f"{toolkit_or_skip()}/bin/nvcc"
    names = [name for name, row in rows().items() if row.takes_value == takes_value]
    telling = {name for name, row in rows().items() if row.role is options.Role.NOT_COMPILATION}
    wrong = []
    for name in names:
        said = run([program, "-c", name], {}, tmp_path).stderr
        knows = "Unknown option" not in said and ("argument expected after" in said) == takes_value
        wrong += [] if knows or name in telling or name in UNCLEAR else [(name, said)]
    assert not wrong


UNCLEAR = frozenset({"-Ofc", "--Ofast-compile", "-hls", "--host-linker-script", "--export-dir", "--extern-mode", "--intern-mode"})
"""nvcc says something else about a missing value of these."""
