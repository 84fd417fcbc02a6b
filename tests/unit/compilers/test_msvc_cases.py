"""Case files under tests/cases/msvc/ and tests/cases/clang_cl/: each command line is parsed, compared, and run by the real clang-cl.

    <case>   ::= args, [env], [runs = false], [files], <expect>
    <expect> ::= any field of ObservedArguments | reason | not_compilation | absent fields are not compared

clang-cl's cases are run by clang in its cl mode: the files made must be exactly those predicted.  cl's are only parsed.
"""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sccache.compilers import msvc
from sccache.compilers.observed import ObservedArguments
from sccache.model import CannotCache, NotCompilation

CASES = Path(__file__).resolve().parents[2] / "cases"
FILES = {
    "a.c": b'#include "h.h"\nint f(void) { return H; }\n',
    "a.b.cpp": b'#include "h.h"\nint f() { return H; }\n',
    "h.h": b"#define H 1\n",
    "pch.h": b'#include "h.h"\n',
    "sub/b.c": b"int g(void) { return 2; }\n",
    "out/.keep": b"",
    "windows.rsp": b'/c "a.c"\r\n"/DX=\\"a b\\""\r\n/Foout/r.obj',
    "utf8.rsp": b"\xef\xbb\xbf/c a.c",
    "utf16le.rsp": b"\xff\xfe" + "/c a.c /DÄ=1".encode("utf-16-le"),
    "utf16be.rsp": b"\xfe\xff" + "/c a.c /DÄ=1".encode("utf-16-be"),
    "cp1252.rsp": b"/c a.c /D\xc4=1",
    "quotes.rsp": rb'/c "/DX=C:\d\\" /DY=\"z\" "/DZ=a""b" a.c',
    "lines.rsp": b"/c\ra.c\n\n/DX\r\n",
    "outer.rsp": b"/c @inner.rsp",
    "deep.rsp": b"@outer.rsp /DDEEP",
    "cut.rsp": b"\xff\xfe/",
    "inner.rsp": b"a.c",
}


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """What a case says in words."""

    reason: str | None = None
    not_compilation: bool = False
    source: str | None = None
    outputs: list[str] | None = None
    """role=path, `?` behind an optional one."""
    key_args: list[str] | None = None
    context_args: list[str] | None = None
    continued: list[str] | None = None
    hides_paths: bool | None = None
    native_cpu: bool | None = None
    colour: str | None = None
    advanced_name: str | None = None


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One row of a case file."""

    args: list[str]
    expect: Expected = msgspec.field(default_factory=Expected)
    env: dict[str, str] = {}
    runs: bool = True


class CaseFile(msgspec.Struct, forbid_unknown_fields=True):
    case: list[Case]


def every_case(family: str) -> Iterator[object]:
    for path in sorted((CASES / family).glob("*.toml")):
        for position, case in enumerate(msgspec.convert(tomllib.loads(path.read_text()), CaseFile).case):
            yield pytest.param(case, id=f"{path.stem}-{position}-{' '.join(case.args)}")


def prepare(root: Path) -> None:
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)


@pytest.mark.parametrize("case", list(every_case("msvc")))
def test_a_command_line_of_cl_means_what_microsoft_documents(case: Case, tmp_path: Path) -> None:
    """Parsing says what the case says."""
    prepare(tmp_path)
    compare(msvc.parse(case.args, str(tmp_path), case.env, clang=False), case.expect)


@pytest.mark.parametrize("case", list(every_case("clang_cl")))
def test_a_command_line_of_clang_cl_means_what_the_compiler_makes_of_it(case: Case, tmp_path: Path) -> None:
    """Parsing predicts every file that the real compiler makes, and says what the case says."""
    prepare(tmp_path)
    parsed = msvc.parse(case.args, str(tmp_path), case.env, clang=True)
    compare(parsed, case.expect)
    if case.runs and isinstance(parsed, ObservedArguments):
        run_and_compare(case, parsed, tmp_path)


def compare(parsed: object, expect: Expected) -> None:
    if isinstance(parsed, CannotCache):
        assert parsed.reason == expect.reason, parsed
        return
    if isinstance(parsed, NotCompilation):
        assert expect.not_compilation, parsed
        return
    assert isinstance(parsed, ObservedArguments)
    assert (expect.reason, expect.not_compilation) == (None, False), parsed
    found = msgspec.to_builtins(parsed)
    found["source"] = parsed.sources[0]
    found["outputs"] = [f"{o.role}={o.path}{'' if o.required else '?'}" for o in parsed.outputs]
    for name in Expected.__struct_fields__[2:]:
        wanted = getattr(expect, name)
        if wanted is not None:
            assert msgspec.json.decode(msgspec.json.encode(found[name])) == wanted, name


def snapshot(root: Path) -> set[str]:
    return {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names}


def run_and_compare(case: Case, parsed: ObservedArguments, root: Path) -> None:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed")
    before = snapshot(root)
    command = [clang, "--driver-mode=cl", *case.args]
    env = {**os.environ, **case.env}
    ran = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 0, ran.stderr
    made = snapshot(root) - before
    predicted = {os.path.relpath(root / output.path, root) for output in parsed.outputs}
    assert made == predicted
