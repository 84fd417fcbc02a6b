"""What drivers print about themselves is understood, for the real drivers of this machine."""

import os
import subprocess
from pathlib import Path

import pytest

from sccache.compilers import c_family, toolchain
from sccache.model import ParsedArguments


def _parsed(family: str, *argv: str) -> ParsedArguments:
    parsed = c_family.parse(family, argv, "/", {}, argv[0].endswith("++"))
    assert isinstance(parsed, ParsedArguments)
    return parsed


def _stderr(command: str, args: tuple[str, ...], cwd: Path) -> str:
    env = {**os.environ, "LC_ALL": "C"}
    return subprocess.run([command, *args], cwd=cwd, env=env, check=True, capture_output=True, text=True).stderr


@pytest.mark.parametrize(
    ("family", "command", "tools"),
    [("gcc", "gcc", ["cc1", "as"]), ("gcc", "g++", ["cc1plus", "as"]), ("clang", "clang", ["clang"])],
)
def test_programs_behind_a_driver(tmp_path: Path, family: str, command: str, tools: list[str]) -> None:
    """The driver of gcc runs a compiler proper and an assembler; clang runs itself."""
    parsed = _parsed(family, command, "-O2", "-c", "a.c")
    stderr = _stderr(command, toolchain.programs_command(parsed), tmp_path)
    found = toolchain.read_programs(stderr, str(tmp_path), os.environ["PATH"])
    assert found is not None
    assert [os.path.basename(path) for path in found.paths] == tools
    assert all(os.path.isabs(path) and os.path.exists(path) for path in found.paths)


def test_an_assembler_in_a_prefix_directory_is_the_one(tmp_path: Path) -> None:
    """-B names a directory whose `as` wins; without one there, its appearing would matter."""
    directory = tmp_path / "tools"
    directory.mkdir()
    parsed = _parsed("gcc", "gcc", f"-B{directory}", "-c", "a.c")
    before = toolchain.read_programs(_stderr("gcc", toolchain.programs_command(parsed), tmp_path), str(tmp_path), os.environ["PATH"])
    assert before is not None
    assert "as" in before.absent.get(str(directory), [])
    tool = directory / "as"
    tool.write_text('#!/bin/sh\nexec /usr/bin/as "$@"\n')
    tool.chmod(0o755)
    after = toolchain.read_programs(_stderr("gcc", toolchain.programs_command(parsed), tmp_path), str(tmp_path), os.environ["PATH"])
    assert after is not None
    assert str(tool) in after.paths


@pytest.mark.parametrize(("family", "command"), [("gcc", "gcc"), ("clang", "clang")])
def test_header_directories(tmp_path: Path, family: str, command: str) -> None:
    """The directories come in search order, those that do not exist apart."""
    for name in ("quoted", "first", "system"):
        (tmp_path / name).mkdir()
    parsed = _parsed(family, command, "-iquote", "quoted", "-Ifirst", "-Imissing", "-isystem", "system", "-c", "a.c")
    path = toolchain.read_search_path(_stderr(command, toolchain.search_command(parsed), tmp_path))
    assert path.quote == ("quoted",)
    assert path.bracket[:2] == ("first", "system")
    assert "/usr/include" in path.bracket
    assert "missing" in path.missing


def test_shared_libraries_without_the_c_library() -> None:
    """The libraries that a compiler is made of belong to its identity; libc does not."""
    output = subprocess.run(["ldd", "/usr/bin/as"], check=True, capture_output=True).stdout
    names = [os.path.basename(path) for path in toolchain.read_libraries(output)]
    assert any(name.startswith("libbfd") for name in names)
    assert "libc.so.6" not in names
