"""How nvcc's words are divided, in variables, options files and lists; the real nvcc is asked, too."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from tests.unit.compilers.test_nvcc_cases import toolkit_or_skip

from sccache.compilers import cuda_steps
from sccache.compilers.nvcc.host import judge
from sccache.compilers.nvcc.words import listed, rows, split
from sccache.compilers.options.cuda_steps import CICC, CUDAFE, PTXAS
from sccache.compilers.options.cuda_steps import Role as StepRole
from sccache.compilers.options.nvcc import Role
from sccache.model import CannotCache, NotCompilation

PAGE = Path(__file__).resolve().parents[3] / "docs" / "compilers" / "cuda.md"

IN_VARIABLES = [
    ('-DX="a b"', ['X="a b"']),
    ("-DX\t-DY", ["X", "Y"]),
    ("  -DX=#a   -DY ", ["X=#a", "Y"]),
    ("-DX=a'b -DY", ["X=a'b", "Y"]),
    ('-DX=""', ['X=""']),
    ("-DX=$HOME", ["X=$HOME"]),
    ("", []),
]
IN_FILES = [
    ('-DX="a b"', ["X=a b"]),
    ("-DX=a\\ b -DY", ["X=a b", "Y"]),
    ("-DX\n-DY\r\n", ["X", "Y"]),
    ('"-DX=1" -DY', ["X=1", "Y"]),
    ('"-DX=1 -DY"', ["X=1 -DY"]),
    ("-DX=a\\nb", ["X=anb"]),
]


def macros(argv: list[str], folder: Path, env: dict[str, str]) -> list[str]:
    """What we think is defined."""
    words = split(argv, str(folder), env)
    assert not isinstance(words, CannotCache)
    return [word.value for word in words if word.row is not None and word.row.short == "D"]


def told_macros(argv: list[str], folder: Path, env: dict[str, str]) -> list[str]:
    """What nvcc defines for the host compiler: `-D "NAME=…"`."""
    (folder / "a.cu").touch()
    command = [f"{toolkit_or_skip()}/bin/nvcc", "--dryrun", "-c", "a.cu", *argv]
    said = subprocess.run(command, cwd=folder, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, check=True).stderr
    line = next(line for line in said.splitlines() if " -E " in line)
    return [shlex.split(value, posix=True)[0] for value in re.findall(r'-D ("(?:[^"\\]|\\.)*")', line)]


@pytest.mark.parametrize(("text", "wanted"), IN_VARIABLES)
def test_words_of_a_variable(text: str, wanted: list[str], tmp_path: Path) -> None:
    """Blanks and tabs divide outside double quotes, which stay."""
    env = {"NVCC_APPEND_FLAGS": text}
    assert macros([], tmp_path, env) == wanted
    assert told_macros([], tmp_path, env) == wanted


@pytest.mark.parametrize(("text", "wanted"), IN_FILES)
def test_words_of_an_options_file(text: str, wanted: list[str], tmp_path: Path) -> None:
    """Lines divide, too, and quotes go."""
    (tmp_path / "o.rsp").write_text(text)
    assert macros(["-optf", "o.rsp"], tmp_path, {}) == wanted
    assert told_macros(["-optf", "o.rsp"], tmp_path, {}) == wanted


def test_an_options_file_that_names_itself(tmp_path: Path) -> None:
    """nvcc would never come to an end, or say so; we give up."""
    (tmp_path / "o.rsp").write_text("-optf o.rsp")
    assert isinstance(split(["-optf", "o.rsp"], str(tmp_path), {}), CannotCache)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("-Wall,-O2", ["-Wall", "-O2"]),
        ("-Wall -O2", ["-Wall", "-O2"]),
        ("'-fPIC'", ["-fPIC"]),
        ('-DX="a,b"', ["-DX=a,b"]),
        ("-DA=a\\,b", ["-DA=a,b"]),
        ("", []),
    ],
)
def test_words_for_another_tool(value: str, words: list[str]) -> None:
    """Commas divide, and blanks, because a shell sees them."""
    assert listed(value) == words


def test_no_words_for_the_host_compiler_say_nothing() -> None:
    """Nor does a last option that misses its value: the host compiler will complain."""
    assert judge([]).refusal is None
    assert judge(["-Wall", "-include"]).refusal is None


def test_every_option_that_is_not_cached_is_listed() -> None:
    """An option's name is its reason: docs/compilers/cuda.md has them all."""
    listed_names = set(re.findall(r"`(-[\w-]+)`", PAGE.read_text(encoding="utf-8")))
    assert {row.name for row in rows().values() if row.role is Role.TOO_HARD} <= listed_names
    steps = {row.name for tool in (CUDAFE, CICC, PTXAS) for row in tool.rows.values() if row.role is StepRole.TOO_HARD}
    assert steps <= listed_names


def test_a_step_by_another_name_is_nobody_we_know() -> None:
    """The program's name is all that says which it is."""
    assert isinstance(cuda_steps.parse(("fatbinary", "x"), "/", {}), NotCompilation)
