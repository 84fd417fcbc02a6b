"""Case files under tests/cases/<family>/: each command line is parsed, compared, and run by the real compiler.

    <case>   ::= args, [plusplus], [env], [needs = oldest major version], [runs = false], [compiles = false], <expect>
    <expect> ::= any field of ParsedArguments | reason | not_compilation | depfile table | absent fields are not compared

Whatever is not expected in words is checked by running it: the files that the compiler makes must be exactly those predicted
(a file that is not `required` may be missing), and the dep-file must be what depfiles.render writes for its own names.
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

from sccache.compilers import c_family, depfiles
from sccache.model import CannotCache, NotCompilation, ParsedArguments

CASES = Path(__file__).resolve().parents[2] / "cases"
FILES = {
    "src/a.c": '#include "h.h"\nint f(int a) { return a + h; }\n',
    "a.c": '#include "h.h"\nint f(int a) { return a + h; }\n',
    "a.b.c": "int f(int a) { return a; }\n",
    "noext": "int f(int a) { return a; }\n",
    "b.c": "int g(int a) { return a; }\n",
    "a.cpp": "int f(int a) { return a; }\n",
    "a.i": "int f(int a) { return a; }\n",
    "a.ii": "int f(int a) { return a; }\n",
    "a.s": "nop\n",
    "a.S": "#define X nop\nX\n",
    "a.cppm": "export module a;\nexport int f(int a) { return a; }\n",
    "with space.c": "int f(int a) { return a; }\n",
    "inc/h.h": "#pragma once\nstatic const int h = 1;\n",
    "inc/cxx.hpp": "#pragma once\nstatic const int h = 1;\n",
    "forced.h": "#define FORCED 1\n",
    "list.txt": "fun:f\n",
    "args.rsp": "-DX=1 -Iinc\n",
    "quoted.rsp": '\'-DX=a b\' "-DY=\\"q\\""\n',
    "outer.rsp": "@args.rsp -O2\n",
    "as.specs": "*asm:\n\n",
    "out/.keep": "",
    "prof/.keep": "",
}


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """What a case says in words."""

    reason: str | None = None
    not_compilation: bool = False
    language: str | None = None
    source: str | None = None
    output: str | None = None
    outputs: list[str] | None = None
    """role=path, `?` behind an optional one."""
    depfile: str | None = None
    targets: list[str] | None = None
    system_headers: bool | None = None
    phony: bool | None = None
    key_args: list[str] | None = None
    result_key_args: list[str] | None = None
    preprocess_args: list[str] | None = None
    search_args: list[str] | None = None
    input_files: list[str] | None = None
    absent_files: list[str] | None = None
    toolchain_files: list[str] | None = None
    forced_includes: list[str] | None = None
    colour: str | None = None
    plusplus: bool | None = None
    debug_info: bool | None = None
    output_in_key: bool | None = None
    native_cpu: bool | None = None
    assembles: bool | None = None
    needs_preprocessing: bool | None = None
    direct_mode: bool | None = None
    mtimes_matter: bool | None = None


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One row of a case file."""

    args: list[str]
    expect: Expected = msgspec.field(default_factory=Expected)
    plusplus: bool = False
    env: dict[str, str] = {}
    needs: int = 0
    runs: bool = True
    compiles: bool = True
    """False: the compiler of this machine is expected to refuse it."""


class CaseFile(msgspec.Struct, forbid_unknown_fields=True):
    case: list[Case]


def every_case() -> Iterator[object]:
    for path in sorted(CASES.glob("*/*.toml")):
        if path.parent.name not in {"gcc", "clang"}:
            continue
        for position, case in enumerate(msgspec.convert(tomllib.loads(path.read_text()), CaseFile).case):
            yield pytest.param(path.parent.name, case, id=f"{path.parent.name}-{path.stem}-{position}-{' '.join(case.args)}")


@cache
def major_version(family: str) -> int:
    """0 where the compiler is not installed."""
    if shutil.which(family) is None:
        return 0
    text = subprocess.run([family, "-dumpversion"], capture_output=True, text=True, check=True).stdout
    return int(text.split(".")[0])


def summary(parsed: ParsedArguments) -> dict[str, object]:
    """The parsed value in the words of a case file."""
    depfile = parsed.depfile
    found: dict[str, object] = {name: getattr(parsed, name) for name in Expected.__struct_fields__ if hasattr(parsed, name)}
    found |= {name: list(value) for name, value in found.items() if isinstance(value, tuple)}
    found |= {
        "language": parsed.language.value,
        "colour": parsed.colour.value,
        "outputs": [f"{o.role}={o.path}{'' if o.required else '?'}" for o in parsed.outputs],
        "depfile": depfile.path if depfile else "",
        "targets": list(depfile.targets) if depfile else [],
        "system_headers": depfile.system_headers if depfile else False,
        "phony": depfile.phony if depfile else False,
        "reason": None,
        "not_compilation": False,
    }
    return found


def snapshot(root: Path) -> dict[str, int]:
    return {
        os.path.relpath(os.path.join(folder, name), root): os.stat(os.path.join(folder, name)).st_mtime_ns
        for folder, _, names in os.walk(root)
        for name in names
    }


@pytest.mark.parametrize(("family", "case"), list(every_case()))
def test_a_command_line_means_what_the_compiler_makes_of_it(family: str, case: Case, tmp_path: Path) -> None:
    """Parsing predicts every file that the compiler makes, and says what the case says."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    args = [word.replace("$PWD", str(tmp_path)) for word in case.args]
    parsed = c_family.parse(family, (family, *args), str(tmp_path), case.env, case.plusplus)
    compare(parsed, case.expect, str(tmp_path))
    if case.runs and isinstance(parsed, ParsedArguments):
        if major_version(family) < max(case.needs, 1):
            pytest.skip(f"{family} {case.needs or 'of any version'} is not installed")
        run_preprocessor(family, case, parsed, tmp_path)
        run_and_compare(family, case, args, parsed, tmp_path)


def run_preprocessor(family: str, case: Case, parsed: ParsedArguments, root: Path) -> None:
    """`preprocess_args` make a preprocessor run that succeeds and leaves no file behind."""
    if not (parsed.needs_preprocessing and case.compiles):
        return
    before = snapshot(root)
    command = [driver(family, case), *c_family.preprocess_flags(family), *parsed.preprocess_args, parsed.source]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env={**os.environ, **case.env})
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
    assert snapshot(root) == before, "the preprocessor run writes files"


def driver(family: str, case: Case) -> str:
    return {"gcc": "g++", "clang": "clang++"}[family] if case.plusplus else family


def compare(parsed: object, expect: Expected, cwd: str) -> None:
    if isinstance(parsed, CannotCache):
        assert parsed.reason == expect.reason, parsed
        return
    if isinstance(parsed, NotCompilation):
        assert expect.not_compilation, parsed
        return
    assert isinstance(parsed, ParsedArguments)
    found = summary(parsed)
    for name in Expected.__struct_fields__:
        wanted = getattr(expect, name)
        if wanted is not None:
            wanted = (
                [w.replace("$PWD", cwd).replace("$MANGLED", cwd.replace("/", "#")) for w in wanted] if isinstance(wanted, list) else wanted
            )
            assert found[name] == wanted, name


def run_and_compare(family: str, case: Case, args: list[str], parsed: ParsedArguments, root: Path) -> None:
    before = snapshot(root)
    ran = subprocess.run(
        [driver(family, case), *args], cwd=root, capture_output=True, text=True, check=False, env={**os.environ, **case.env}
    )
    assert (ran.returncode == 0) == case.compiles, ran.stderr
    made = {name for name, mtime in snapshot(root).items() if before.get(name) != mtime}
    if not case.compiles:
        return
    predicted = {os.path.normpath(os.path.relpath(root / o.path, root)): o.required for o in parsed.outputs}
    if parsed.depfile:
        predicted[os.path.normpath(os.path.relpath(root / parsed.depfile.path, root))] = True
    predicted.pop("../" * (len(root.parts) - 1) + "dev/null", None)
    assert made <= predicted.keys(), "made without being predicted"
    assert {name for name, required in predicted.items() if required} <= made, "predicted but not made"
    if parsed.depfile:
        text = (root / parsed.depfile.path).read_text()
        names = depfiles.parse(re.sub(r"^.*?(?<!\\):(?= )", "x:", text, count=1, flags=re.DOTALL))
        assert text == depfiles.render(family, parsed.depfile.targets, names, phony=parsed.depfile.phony)
