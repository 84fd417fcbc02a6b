"""Every row of cl's and clang-cl's option tables: what its role promises, and what the real clang-cl makes of it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sccache.compilers import msvc
from sccache.compilers.arguments import Takes
from sccache.compilers.msvc.words import table
from sccache.compilers.observed import ObservedArguments
from sccache.compilers.options.msvc import Option, Role
from sccache.model import CannotCache, Colour, NotCompilation

VALUES = {
    "/clang:": "-O1",
    "-Xclang": "-fno-builtin",
    "-Xclang=": "-fno-builtin",
    "-mllvm": "-x",
    "/FI": "h.h",
    "/std:": "c11",
    "/Fd": "a.pdb",
}
VALUES |= {
    "/O": "2",
    "/Zc:": "inline",
    "/EH": "sc",
    "/arch:": "AVX2",
    "/guard:": "cf",
    "/fp:": "fast",
    "/Zp": "8",
    "/w1": "4005",
    "/wd": "4005",
}
VALUES |= {
    "-march=": "native",
    "-mcpu=": "native",
    "-mtune=": "native",
    "/tune:": "native",
    "/D": "X=1",
    "/U": "X",
    "/diagnostics:": "caret",
}
VALUES |= {"-target": "x86_64-pc-windows-msvc", "/execution-charset:": "utf-8", "/source-charset:": "utf-8", "/Yu": "h.h", "/Yc": "h.h"}
PLAIN = ("/c", "a.c")
NO_SOURCE = ("/c",)


def words(row: Option) -> tuple[str, ...]:
    """The option with a value, where it takes one."""
    value = VALUES.get(row.name, "v")
    if row.takes is Takes.NOTHING:
        return (row.name,)
    return (row.name, value) if row.takes is Takes.NEXT else (row.name + value,)


def parsed(*args: str, clang: bool) -> object:
    return msvc.parse(args, "/nowhere", {"v": "/more"}, clang=clang)


def is_in_key(have: ObservedArguments, plain: ObservedArguments, row: Option) -> bool:
    return any(word.startswith(row.name) for word in have.key_args) or row.name in plain.key_args


def has(role: str) -> Callable[[ObservedArguments, ObservedArguments, Option], bool]:
    """An output of this role is foreseen."""
    return lambda have, *_: any(output.role == role for output in have.outputs)


PROMISES: dict[Role, Callable[[ObservedArguments, ObservedArguments, Option], bool]] = {
    Role.KEY: is_in_key,
    Role.DROPPED: lambda have, plain, _: have == plain,
    Role.CONTEXT: lambda have, plain, _: have.key_args == plain.key_args and have.context_args != (),
    Role.COMPILE: is_in_key,
    Role.OUTPUT: lambda have, *_: have.outputs[0].path in ("v.obj", "v"),
    Role.PDB: is_in_key,
    Role.LISTING: has("asm"),
    Role.LISTING_PATH: has("asm"),
    Role.SOURCE_DEPENDENCIES: has("json"),
    Role.ALL_C: lambda have, *_: have.advanced_name.startswith("c ["),
    Role.ALL_CXX: lambda have, *_: have.advanced_name.startswith("c++ ["),
    Role.SOURCE_C: lambda have, *_: have.advanced_name.startswith("c ["),
    Role.SOURCE_CXX: lambda have, *_: have.advanced_name.startswith("c++ ["),
    Role.DEBUG_EMBEDDED: is_in_key,
    Role.DEBUG_PDB: is_in_key,
    Role.PCH_MAKE: has("pch"),
    Role.PCH_USE: is_in_key,
    Role.PCH_PATH: is_in_key,
    Role.PCH_OFF: is_in_key,
    Role.PACKS: lambda have, *_: have.hides_paths,
    Role.CPU: lambda have, *_: have.native_cpu,
    Role.VARIABLE: lambda have, *_: "v=/more" in have.key_args,
    Role.COLOUR_ALWAYS: lambda have, *_: have.colour is Colour.ALWAYS,
    Role.COLOUR_NEVER: lambda have, *_: have.colour is Colour.NEVER,
    Role.TO_DRIVER: is_in_key,
    Role.TO_FRONTEND: is_in_key,
    Role.TO_BACKEND: is_in_key,
}
CL_REFUSES = {Role.DEBUG_PDB: "shared pdb", Role.DEBUG_EDIT: "/ZI", Role.PCH_MAKE: "/Yc"}


@pytest.mark.parametrize("clang", [True, False])
def test_every_row_does_what_its_role_says(clang: bool) -> None:
    """Refused by its name, not a compile, or a compile with what the role promises."""
    plain = parsed(*PLAIN, clang=clang)
    assert isinstance(plain, ObservedArguments)
    for row in table(clang=clang).rows.values():
        is_source = row.role in (Role.SOURCE_C, Role.SOURCE_CXX)
        have = parsed(*(NO_SOURCE if is_source else PLAIN), *words(row), clang=clang)
        if row.role is Role.NOT_COMPILATION:
            assert isinstance(have, NotCompilation), row
        elif row.role is Role.TOO_HARD or (not clang and row.role in CL_REFUSES):
            assert isinstance(have, CannotCache), row
            assert have.reason == (CL_REFUSES.get(row.role) or row.name), row
        else:
            assert isinstance(have, ObservedArguments), (row, have)
            assert PROMISES[row.role](have, plain, row), (row, have)


def test_what_is_kept_is_all_that_the_real_clang_cl_makes(tmp_path: Path) -> None:
    """Where an option lets a compile pass, the files made are those foreseen."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed")
    passed = 0
    for number, row in enumerate(table(clang=True).rows.values()):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "a.c").write_text('#include "h.h"\nint x;\n')
        (place / "h.h").write_text("int y;\n")
        args = ("/c", *words(row)) if row.role in (Role.SOURCE_C, Role.SOURCE_CXX) else (*PLAIN, *words(row))
        have = msvc.parse(args, str(place), {}, clang=True)
        if not isinstance(have, ObservedArguments):
            continue
        command = [clang, "--driver-mode=cl", *args]
        ran = subprocess.run(command, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if ran.returncode == 0:
            passed += 1
            assert row.role is not Role.DROPPED or not ran.stderr, row
            made = set(os.listdir(place)) - {"a.c", "h.h"}
            assert made == {output.path for output in have.outputs}, (row, ran.stderr)
    assert passed > 150
