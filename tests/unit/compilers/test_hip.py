"""hipcc's questions to the machine, and what of its words reaches the key."""

import re
from pathlib import Path

import pytest

from sccache.compilers import families, hipcc
from sccache.compilers.observed import ObservedArguments
from sccache.model import CannotCache

ONE = "--offload-arch=gfx906"


def key(*words: str, **env: str) -> tuple[str, ...]:
    parsed = hipcc.parse(("hipcc", *words), "/nowhere", env)
    assert isinstance(parsed, ObservedArguments)
    return parsed.key_args


@pytest.mark.parametrize("place", ["rocm/bin", "rocm", "path"])
def test_without_architecture_the_machine_is_asked(tmp_path: Path, place: str) -> None:
    """Where hipcc finds the program that lists GPUs it asks it; where there is none, clang's own choice holds."""
    for folder in ("rocm/bin", "rocm/hip/bin", "path"):
        (tmp_path / folder).mkdir(parents=True)
    program = tmp_path / "rocm/hip/bin/hipcc"
    program.touch()
    argv = (str(program), "-c", "a.hip")
    env = {"PATH": str(tmp_path / "path")} | ({"ROCM_PATH": str(tmp_path / "rocm")} if place == "rocm" else {})
    assert isinstance(hipcc.parse(argv, "/", env), ObservedArguments) or Path("/opt/rocm/bin/rocm_agent_enumerator").exists()
    (tmp_path / ("rocm/bin" if place == "rocm" else place) / "rocm_agent_enumerator").touch()
    refused = hipcc.parse(argv, "/", env)
    assert isinstance(refused, CannotCache)
    assert refused.reason == "no --offload-arch"
    assert isinstance(hipcc.parse((*argv, ONE), "/", env), ObservedArguments)
    assert isinstance(hipcc.parse(argv, "/", env | {"HCC_AMDGPU_TARGET": "gfx906"}), ObservedArguments)


def test_the_key_has_all_that_changes_the_code() -> None:
    """Every one of these words makes another key; a number of jobs does not."""
    plain = key(ONE, "-c", "a.hip")
    others = (
        key(ONE, "--offload-arch=gfx1030", "-c", "a.hip"),
        key("--offload-arch=gfx1030", "-c", "a.hip"),
        key(ONE, "-c", "a.hip", "--hipcc-func-supp"),
        key(ONE, "-c", "a.hip", "--amdhsa-code-object-version=5"),
        key(ONE, "-c", "a.hip", "-fgpu-rdc"),
        key(ONE, "-c", "a.hip", "--cuda-host-only"),
        key(ONE, "-c", "a.hip", HIPCC_COMPILE_FLAGS_APPEND="-DX"),
        key(ONE, "-c", "a.hip", "-Xarch_device", "-DX"),
        key(ONE, "-c", "a.hip", "-parallel-jobs=2"),
        key(ONE, "-c", "a.hip", "--rocm-path=/opt/rocm-6"),
    )
    assert len({plain, *others}) == len(others) + 1
    assert key(ONE, "-c", "a.hip", "-parallel-jobs=2") == key(ONE, "-c", "a.hip", "-parallel-jobs=16")


def test_variables_that_a_script_reads_are_in_the_key() -> None:
    """All that hipcc's script names, and nothing of other programs."""
    env = {"HIP_PATH": "a", "HIPCC_VERBOSE": "1", "ROCM_PATH": "b", "HSA_PATH": "c", "DEVICE_LIB_PATH": "d", "HOME": "/", "CXX": "x"}
    listed = families.variables(families.FAMILIES["hipcc"], env)
    assert listed == ("DEVICE_LIB_PATH=d", "HIPCC_VERBOSE=1", "HIP_PATH=a", "HSA_PATH=c", "ROCM_PATH=b")


@pytest.mark.skipif(not Path("/usr/bin/hipvars.pm").exists(), reason="hipcc is not installed")
def test_every_variable_of_debians_hipcc_is_listed() -> None:
    """By the text of its two scripts."""
    names: set[str] = set()
    for script in ("hipcc.pl", "hipvars.pm"):
        names.update(re.findall(r"\$ENV\{'?(\w+)'?\}", Path("/usr/bin", script).read_text()))
    assert len(names) > 10
    listed = families.variables(families.FAMILIES["hipcc"], dict.fromkeys(names, "x"))
    assert {row.partition("=")[0] for row in listed} == names


def test_several_sources_are_divided_where_all_are_hip(tmp_path: Path) -> None:
    """hipcc adds the options for C++ to a command as a whole, so C beside HIP stays whole."""
    for name in ("a.hip", "b.hip", "b.cpp", "c.cpp", "c.c"):
        (tmp_path / name).touch()

    def parts(*words: str, **env: str) -> list[str]:
        return [" ".join(part[1:]) for part in hipcc.split(("hipcc", *words), str(tmp_path), env)]

    assert parts(ONE, "-c", "a.hip", "-O1", "b.hip") == [f"{ONE} -c a.hip -O1", f"{ONE} -c -O1 b.hip"]
    assert parts(ONE, "-c", "b.cpp", "c.cpp") == [f"{ONE} -c b.cpp", f"{ONE} -c c.cpp"]
    assert parts(ONE, "-c", "b.cpp", "c.cpp", HIP_COMPILE_CXX_AS_HIP="0") == []
    assert parts(ONE, "-c", "a.hip", "c.c") == []
    assert parts(ONE, "-c", "a.hip", "b.hip", "-o", "x.o") == []
    assert parts(ONE, "-c", "a.hip", "missing.hip") == []
    assert parts(ONE, "-c", "a.hip", "b.hip", HIPCC_VERBOSE="1") == []
    assert parts(ONE, "-c", "a.hip", "@b.rsp") == []
