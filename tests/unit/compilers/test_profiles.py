"""The profile that a compile reads is the one that we name."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sccache.compilers.c_family import parse
from sccache.model import ParsedArguments

COMMANDS = [
    "-fprofile-use -c src/a.c",
    "-fprofile-use -c src/a.c -o out/x.y.o",
    "-fprofile-use -c src/a.c -o $PWD/out/x.o",
    "-fprofile-use=prof -c src/a.c",
    "-fprofile-use=prof -c src/a.c -o out/x.o",
    "-fprofile-use=prof/ -c src/a.c -o out/../out/x.o",
    "-fprofile-use=prof -c src/a.c -o ./out/./x.o",
    "-fprofile-use=prof -c src/a.c -o $PWD/out/x.o",
    "-fprofile-use=$PWD/prof -c src/a.c -o out/x.o",
    "-fprofile-use=none -c src/a.c -o out/x.o",
    "-fprofile-use=prof/f.gcda -c src/a.c",
    "-fprofile-use -fprofile-dir=prof -c src/a.c -o out/x.o",
    "-fprofile-dir=prof -fprofile-use -c src/a.c -o out/x.o",
    "-fprofile-use=none -fprofile-use=prof -c src/a.c -o out/x.o",
    "-fprofile-use=prof -fprofile-use -c src/a.c -o out/x.o",
    "-fprofile-use=prof -fprofile-prefix-path=$PWD -c src/a.c -o out/x.o",
    "-fbranch-probabilities -c src/a.c -o out/x.o",
    "-fprofile-use -dumpbase foo -c src/a.c -o out/x.o",
    "-fprofile-use -dumpdir prof/foo- -c src/a.c -o out/x.y.o",
    "-fprofile-use -S src/a.c -o out/x.s",
]


def compile_in(root: Path, family: str, command: str) -> tuple[ParsedArguments, str]:
    if shutil.which(family) is None:
        pytest.skip(f"{family} is not installed")
    for name in ("src", "out", "prof"):
        (root / name).mkdir()
    (root / "src/a.c").write_text("int f(int a) { return a; }\n")
    argv = (family, *command.replace("$PWD", str(root)).split())
    parsed = parse(family, argv, str(root), {}, plusplus=False)
    assert isinstance(parsed, ParsedArguments)
    ran = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
    return parsed, ran.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_gcc_opens_the_file_that_must_stay_absent(command: str, tmp_path: Path) -> None:
    """Gcc's own warning names the file it looked for."""
    parsed, stderr = compile_in(tmp_path, "gcc", command)
    looked_for = re.search(r"'([^']*\.gcda)' profile count data file not found", stderr)
    assert looked_for
    assert parsed.absent_files == (looked_for[1],)


@pytest.mark.parametrize("command", [command for command in COMMANDS[:14] if "branch" not in command and "-dir" not in command])
def test_clang_opens_the_file_that_must_stay_absent(command: str, tmp_path: Path) -> None:
    """Clang's own error names the file it looked for."""
    parsed, stderr = compile_in(tmp_path, "clang", command)
    looked_for = re.search(r"Could not read profile (.*?): ", stderr)
    assert looked_for
    assert parsed.absent_files == (looked_for[1],)


def test_a_profile_that_is_there_is_an_input(tmp_path: Path) -> None:
    """Its content then is part of the key."""
    (tmp_path / "a.gcda").write_bytes(b"x")
    parsed, _ = compile_in(tmp_path, "gcc", "-fprofile-use -c src/a.c")
    assert parsed.input_files == (f"{tmp_path}/a.gcda",)
    assert parsed.absent_files == ()
