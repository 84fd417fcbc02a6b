"""dryrun.py: what nvcc would do, as steps whose names do not depend on each other's architectures; read from nvcc itself."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from sccache.compilers.nvcc import dryrun
from sccache.compilers.nvcc.dryrun import Kind, Plan, Step, Unsuitable

NVCC = shutil.which("nvcc") or ""
K = "/nowhere/keep"
A80 = "-gencode arch=compute_80,code=sm_80"
A90 = "-gencode arch=compute_90,code=[sm_90,compute_90]"
HOST = "cudafe++ preprocess cicc"


def _plan(folder: Path, options: str) -> Plan | Unsuitable:
    if not NVCC:
        pytest.skip("nvcc is not installed")
    (folder / "a.cu").touch()
    words = (NVCC, *dryrun.FLAGS, K, *shlex.split(options), "a.cu")
    return dryrun.parse(subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False).stderr, K)


def _steps(plan: Plan | Unsuitable, kind: Kind) -> list[Step]:
    assert isinstance(plan, Plan), plan
    return [step for step in plan.steps if step.kind is kind]


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ("-c", f"preprocess {HOST} ptxas fatbinary compile"),
        ("-dc", f"preprocess {HOST} ptxas fatbinary compile"),
        ("-dw", f"preprocess {HOST} ptxas fatbinary compile"),
        ("-c -rdc=true", f"preprocess {HOST} ptxas fatbinary compile"),
        ("-c -ewp", f"preprocess {HOST} ptxas fatbinary compile"),
        ("-c -g -G", f"preprocess {HOST} ptxas fatbinary compile"),
        ("-c --split-compile=2", f"preprocess {HOST} ptxas fatbinary compile"),
        ("-c -ccbin g++", f"preprocess {HOST} ptxas fatbinary compile"),
        ("-c -arch=sm_80 -dlto", f"preprocess {HOST} fatbinary compile"),
        ("-dc -gencode arch=compute_80,code=lto_80", f"preprocess {HOST} fatbinary compile"),
        ("-dc -gencode arch=compute_80,code=lto_80 -gencode arch=compute_80,code=sm_80", f"preprocess {HOST} ptxas fatbinary compile"),
        ("-c -gencode arch=compute_80,code=sm_80 -gencode arch=compute_80,code=sm_86", f"preprocess {HOST} ptxas ptxas fatbinary compile"),
        (f"-c {A80} {A90}", f"preprocess {HOST} ptxas preprocess cicc ptxas fatbinary compile"),
        (f"-c {A80} {A90} -MD", "preprocess preprocess preprocess cudafe++ cicc ptxas cicc ptxas fatbinary compile"),
        ("-ptx", "preprocess cicc"),
        ("-optix-ir", "preprocess cicc"),
        ("-cubin", "preprocess cicc ptxas"),
        ("-fatbin", "preprocess cicc ptxas fatbinary"),
        ("-x cu -c -Xptxas -v -DX=1 '-DF(x)=x' '-DS=\"a b\"'", f"preprocess {HOST} ptxas fatbinary compile"),
    ],
)
def test_kinds_of_steps(tmp_path: Path, options: str, kinds: str) -> None:
    """In nvcc's order; all that is read was made by an earlier step."""
    plan = _plan(tmp_path, options)
    assert isinstance(plan, Plan), plan
    assert " ".join(step.kind.value for step in plan.steps) == kinds
    assert not plan.messages
    made: set[str] = set()
    for step in plan.steps:
        made |= {path for _, path in step.outputs}
        assert step.kind is Kind.FATBINARY or step.source in made


@pytest.mark.parametrize("options", ["-c", "-dc", "-cubin", "-fatbin"])
def test_an_architectures_steps_are_its_own(tmp_path: Path, options: str) -> None:
    """Whichever others there are, however the one is asked for."""
    alone = _plan(tmp_path, f"{options} {A80}")
    if options != "-cubin":
        beside = _plan(tmp_path, f"{options} {A90} {A80}")
        assert _steps(alone, Kind.CICC)[0] in _steps(beside, Kind.CICC)
        assert _steps(alone, Kind.PTXAS)[0] in _steps(beside, Kind.PTXAS)
        assert _steps(alone, Kind.CUDAFE) == _steps(beside, Kind.CUDAFE)
    assert _steps(alone, Kind.PTXAS) == _steps(_plan(tmp_path, f"{options} -arch=sm_80"), Kind.PTXAS)


@pytest.mark.parametrize("options", [f"-c {A80} {A90}", f"-fatbin {A80} {A90}", f"-c {A80} {A90} --threads 3"])
def test_levels(tmp_path: Path, options: str) -> None:
    """A level needs only what lower ones make; with --threads nvcc's order is another one each time."""
    plan = _plan(tmp_path, options)
    assert isinstance(plan, Plan), plan
    made = {path: step.level for step in plan.steps for _, path in step.outputs}
    for step in plan.steps:
        own = {path for _, path in step.outputs}
        assert all(made[path] < step.level for path in made.keys() - own if any(path in word for word in step.args))
    ciccs = len({step.level for step in _steps(plan, Kind.CICC)})
    assert ciccs == (2 if "-fatbin" in options else 1), "one of them makes the module's identity"


def test_files_and_names(tmp_path: Path) -> None:
    """Who makes what, what is copied to the user's place, which variables are set."""
    plan = _plan(tmp_path, f"-c {A80} {A90} -o out/b.o -MD -MF out/b.d")
    assert isinstance(plan, Plan), plan
    assert plan.links == ((f"{K}/compute_90/a.cudafe1.stub.c", f"{K}/host/a.cudafe1.stub.c"),)
    assert (plan.depfile, plan.target, plan.copies) == ("out/b.d", "out/b.o", ())
    assert plan.variables["CICC_PATH"].endswith("/nvvm/bin")
    (cudafe,) = _steps(plan, Kind.CUDAFE)
    assert cudafe.source == f"{K}/host/a.cpp4.ii"
    assert dict(cudafe.outputs) == {"cpp": f"{K}/host/a.cudafe1.cpp", "module_id": f"{K}/host/a.module_id"}
    first, second = _steps(plan, Kind.CICC)
    assert first.program.endswith("/nvvm/bin/cicc")
    assert first.source == f"{K}/compute_80/a.cpp1.ii"
    assert dict(second.outputs) == {
        "c": f"{K}/compute_90/a.cudafe1.c",
        "stub": f"{K}/compute_90/a.cudafe1.stub.c",
        "gpu": f"{K}/compute_90/a.cudafe1.gpu",
        "out": f"{K}/compute_90/a.ptx",
    }
    assert [dict(step.outputs) for step in _steps(plan, Kind.PTXAS)] == [
        {"out": f"{K}/compute_80/a.sm_80.cubin"},
        {"out": f"{K}/compute_90/a.sm_90.cubin"},
    ]
    (last,) = _steps(plan, Kind.COMPILE)
    assert last.args[-2:] == ("-o", "out/b.o")
    copied = _plan(tmp_path, "-cubin -arch=sm_80 -o out/b.cubin")
    assert isinstance(copied, Plan)
    assert copied.copies == ((f"{K}/compute_80/a.sm_80.cubin", "out/b.cubin"),)


def test_words_are_a_shells(tmp_path: Path) -> None:
    """Definitions with quotes, blanks and brackets arrive as they were given."""
    plan = _plan(tmp_path, "-c '-DF(x)=x' '-DS=\"a b\"' \"-DQ='c'\"")
    args = _steps(plan, Kind.PREPROCESS)[0].args
    assert {"F(x)=x", 'S="a b"', "Q='c'"} <= set(args)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("", "an unknown step: nvlink"),
        ("-dlink", "an unknown step: nvlink"),
        ("-E", "an unknown step: gcc"),
        ("-x c++ -c", "not one compile for devices"),
        ("-M", "an unknown step: --"),
        ("-c -DX=$HOME", "a variable of a shell: HOME"),
        ("-c '-DX=`id`'", "a command for a shell"),
        ("-c --no-such-option", "not one compile for devices"),
    ],
)
def test_what_is_no_plan(tmp_path: Path, options: str, reason: str) -> None:
    """Each with its reason."""
    assert _plan(tmp_path, options) == Unsuitable(reason)


VARIABLE = "#$ CICC_PATH=/cuda/nvvm/bin\n"
HEAD = VARIABLE + '#$ gcc -E -x c++ "a.cu" -o "/nowhere/keep/a.cpp1.ii" \n'
CICC = (
    '#$ "$CICC_PATH/cicc" -arch compute_80 --gen_module_id_file --module_id_file_name "/nowhere/keep/a.module_id" '
    '"/nowhere/keep/a.cpp1.ii" -o "a.ptx"\n'
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not one compile for devices"),
        (HEAD + CICC + CICC, "one architecture twice"),
        (VARIABLE + CICC, "cicc reads what no step makes"),
        (HEAD + CICC.replace("a.module_id", "a b.module_id"), "the source's name"),
        (HEAD + CICC.replace("-arch compute_80", ""), "cicc without an architecture or a source"),
        (
            HEAD + CICC + '#$ ptxas -arch=sm_80 "/nowhere/keep/other.ptx" -o "a.cubin"\n',
            "an unknown intermediate file: /nowhere/keep/other.ptx",
        ),
        (HEAD + CICC + "#$ gcc -c 'unended -o x.o\n", "a command for a shell"),
        (HEAD + CICC + "#$ gcc -c x.c -o x.o | tee log\n", "a command for a shell"),
        (HEAD + CICC + "#$ strip x.o\n", "an unknown step: strip"),
    ],
)
def test_what_no_nvcc_has_printed(text: str, reason: str) -> None:
    """Nothing is guessed."""
    assert dryrun.parse(text, K) == Unsuitable(reason)


def test_messages_are_nvccs_own() -> None:
    """Lines that are no commands are passed on."""
    plan = dryrun.parse("nvcc warning : so\n" + HEAD + CICC + "#$ rm x_dlink.reg.c\n", K)
    assert isinstance(plan, Plan)
    assert plan.messages == "nvcc warning : so\n"
    assert plan.copies == (("/nowhere/keep/compute_80/a.ptx", "a.ptx"),)
