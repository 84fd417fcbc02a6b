"""Commands with several sources, divided; the real compilers say whether the parts do what the whole does.

<case> ::= args, [parts], [families]
"""

import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sccache.compilers import several
from sccache.compilers.nvcc import several as nvcc

CASES = Path(__file__).resolve().parents[2] / "cases" / "several"
FILES = {
    "a.c": "int a(void) { int unused; return 1; }\n#warning a\n",
    "b.c": '#include "h.h"\nint b(void) { return H; }\n#warning b\n',
    "b.cpp": "int b() { int unused; return 1; }\n",
    "s.c": "int s;\n",
    "s.s": "nop\n",
    "b.o": "",
    "README": "",
    "src/d.c": "int d(void) { return 2; }\n",
    "src/a.c": "int other;\n",
    "h.h": "#define H 3\n",
    "all.rsp": "-c a.c -O1 @more.rsp -DX\n",
    "more.rsp": "'b.c'\n",
    "a.cu": "__global__ void a() {}\n",
    "b.cu": "__global__ void b() {}\n",
    "c.cpp": "int c;\n",
    "words": "-O1\n",
}


def lay_out(place: Path) -> Path:
    for name, text in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


def cases(name: str) -> Iterator[Any]:
    for number, case in enumerate(tomllib.loads((CASES / name).read_text())["case"]):
        for family in case.get("families", ("gcc", "clang")):
            yield pytest.param(family, case, id=f"{family}-{number}-{' '.join(case['args'])}")


@pytest.mark.parametrize(("family", "case"), [*cases("divided.toml")])
def test_divided(tmp_path: Path, family: str, case: dict[str, Any]) -> None:
    """The parts are those expected, and do what the whole does."""
    place = lay_out(tmp_path / "x")
    parts = several.split(family, (family, *case["args"]), str(place), {}, plusplus=False)
    assert [" ".join(part) for part in parts] == [f"{family} {part}" for part in case["parts"]]
    if not shutil.which(family, path="/usr/bin:/bin"):
        pytest.skip(f"no {family} here")
    said, made = run((family, *case["args"]), place), made_in(place)
    shutil.rmtree(place)
    lay_out(place)
    assert b"".join(run(part, place) for part in parts) == said
    assert made_in(place) == made


def run(command: Sequence[str], place: Path) -> bytes:
    """What the compiler says."""
    done = subprocess.run(command, cwd=place, capture_output=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def made_in(place: Path) -> dict[str, bytes]:
    """The files made, and what is in them; gcc's precompiled headers differ from run to run."""
    found = (path for path in place.rglob("*") if path.is_file() and str(path.relative_to(place)) not in FILES)
    return {str(path.relative_to(place)): b"" if path.suffix == ".gch" else path.read_bytes() for path in found}


@pytest.mark.parametrize(("family", "case"), [*cases("whole.toml")])
def test_whole(tmp_path: Path, family: str, case: dict[str, Any]) -> None:
    """Nobody divides these."""
    assert several.split(family, (family, *case["args"]), str(lay_out(tmp_path)), {}, plusplus=False) == ()


def test_so_many(tmp_path: Path) -> None:
    """There is an end to it."""
    names = [f"s{number}.c" for number in range(several.MAX_SOURCES + 1)]
    for name in names:
        (tmp_path / name).touch()
    assert len(several.split("gcc", ("gcc", "-c", *names[1:]), str(tmp_path), {}, plusplus=False)) == several.MAX_SOURCES
    assert several.split("gcc", ("gcc", "-c", *names), str(tmp_path), {}, plusplus=False) == ()


def test_variables_that_name_further_files(tmp_path: Path) -> None:
    """With them no part can be cached."""
    environment = {"DEPENDENCIES_OUTPUT": "x.d"}
    assert several.split("gcc", ("gcc", "-c", "a.c", "b.c"), str(lay_out(tmp_path)), environment, plusplus=False) == ()


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ("-c a.cu b.cu c.cpp", ["-c a.cu", "-c b.cu", "-c c.cpp"]),
        (
            "-c -I inc a.cu -Idir --std=c++17 b.cu -MD -t 2",
            ["-c -I inc a.cu -Idir --std=c++17 -MD -t 2", "-c -I inc -Idir --std=c++17 b.cu -MD -t 2"],
        ),
        ("-dc -Xcompiler -O2,-g a.cu b.cu", ["-dc -Xcompiler -O2,-g a.cu", "-dc -Xcompiler -O2,-g b.cu"]),
        ("-c -o x.o a.cu b.cu", []),
        ("-c -MD -MF x.d a.cu b.cu", []),
        ("-c -keep a.cu b.cu", []),
        ("-c --options-file words a.cu b.cu", []),
        ("-c a.cu a.cu", []),
        ("-c a.cu none.cu", []),
        ("-c a.cu b.o", []),
        ("-c a.cu -", []),
        ("-c a.cu", []),
        ("a.cu b.cu", []),
        ("-c a.cu b.cu -o", []),
    ],
)
def test_nvcc(tmp_path: Path, args: str, parts: list[str]) -> None:
    """nvcc's grammar of options."""
    found = nvcc.split(("nvcc", *args.split()), str(lay_out(tmp_path)), {})
    assert [" ".join(part) for part in found] == [f"nvcc {part}" for part in parts]


def test_nvcc_with_a_source_in_a_variable(tmp_path: Path) -> None:
    """It would be in every part."""
    lay_out(tmp_path)
    assert nvcc.split(("nvcc", "-c", "a.cu", "b.cu"), str(tmp_path), {"NVCC_APPEND_FLAGS": "-O1"})
    assert nvcc.split(("nvcc", "-c", "a.cu", "b.cu"), str(tmp_path), {"NVCC_APPEND_FLAGS": "c.cpp"}) == ()
