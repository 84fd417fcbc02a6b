"""What the rules for nvcc rest on, asked of the real one: which outputs are alike, and where a directory's name is hidden."""

import subprocess
from pathlib import Path

import pytest
from tests.unit.compilers.test_nvcc_cases import toolkit_or_skip

OWN = "namespace { __device__ int v; __global__ void k(int *p) { p[0] = v; } }\nvoid f(int *p) { k<<<1, 1>>>(p); }\n"
"""With entities that no other file knows."""
NAMES_FILE = "extern __device__ void g(const char *);\n__global__ void k() { g(__FILE__); }\n"


def compile_in(folder: Path, source: str, *args: str, name: str = "a.cu") -> bytes:
    """What nvcc makes of a source."""
    folder.mkdir(exist_ok=True)
    (folder / "a.cu").write_text(source)
    command = [f"{toolkit_or_skip()}/bin/nvcc", *args, name, "-o", "made"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "made").read_bytes()


@pytest.mark.parametrize("mode", ["-ptx", "-cubin", "-fatbin"])
def test_device_code_is_the_same_each_time_but_knows_its_place(mode: str, tmp_path: Path) -> None:
    """Its own entities are called after the source's real path, so such a result serves one checkout."""
    first = compile_in(tmp_path / "1", OWN, mode)
    assert first == compile_in(tmp_path / "1", OWN, mode)
    assert first != compile_in(tmp_path / "2", OWN, mode)
    assert str(tmp_path).encode() not in first


def test_a_plain_object_differs_in_the_name_of_a_temporary_file_only(tmp_path: Path) -> None:
    """Nothing else distinguishes two runs: restoring an older one loses nothing."""
    one, other = (compile_in(tmp_path / "1", OWN, "-c") for _ in range(2))
    assert len(one) == len(other)
    start = one.index(b"tmpxft_")
    end = one.index(b"_00000000-", start)
    assert [place for place in range(len(one)) if one[place] != other[place] and not start <= place < end] == []


def test_a_relocatable_object_names_its_module_after_its_place(tmp_path: Path) -> None:
    """Two of them with one number could not be linked: a global symbol has it."""
    names = []
    for folder in ("1", "2"):
        compile_in(tmp_path / folder, OWN, "-dc")
        told = subprocess.run(["nm", str(tmp_path / folder / "made")], capture_output=True, text=True, check=True).stdout
        names.append({line.split()[-1] for line in told.splitlines() if " U " in line and "RegisterLinkedBinary" in line})
    assert all(names)
    assert names[0].isdisjoint(names[1])


def test_ptx_writes_the_name_of_a_file_as_numbers(tmp_path: Path) -> None:
    """So it is not found by searching."""
    made = compile_in(tmp_path / "1", NAMES_FILE, "-ptx", "-rdc=true", name=str(tmp_path / "1" / "a.cu"))
    assert str(tmp_path).encode() not in made
    assert ", ".join(str(byte) for byte in str(tmp_path).encode()).encode() in made


@pytest.mark.parametrize("threads", ["1", "4", "0"])
def test_threads_change_nothing(threads: str, tmp_path: Path) -> None:
    """--threads and --jobserver are not in the key."""
    several = ("-fatbin", "-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90,code=sm_90")
    plain = compile_in(tmp_path / "1", OWN, *several)
    assert plain == compile_in(tmp_path / "1", OWN, *several, "-t", threads, "-jobserver")
