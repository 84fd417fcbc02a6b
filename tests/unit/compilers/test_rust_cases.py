"""Case files under tests/cases/rustc/: each command line is parsed, compared, and run by the real rustc.

    <case>   ::= args, [env], [nightly = true], [runs = false], [compiles = false], [linked = false], <expect>
    <expect> ::= any field of RustArguments or RustQuery | reason | not_compilation | query | absent fields are not compared

Whatever is not expected in words is checked by running it: the files that rustc makes must be exactly those predicted (one that
is not `required` may be missing), its notices must be those that notices.make makes, and its dep-file must be understood.
"""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest

from sccache.compilers import rust
from sccache.compilers.rust import RustArguments, RustQuery, depinfo, notices
from sccache.model import CannotCache, NotCompilation

CASES = Path(__file__).resolve().parents[2] / "cases" / "rustc"
FILES = {
    "src/lib.rs": "mod m;\npub fn f() -> u32 { m::M }\n",
    "src/m.rs": "pub const M: u32 = 1;\n",
    "src/main.rs": 'fn main() { println!("x") }\n',
    "src/says.rs": '#![crate_type = "lib"]\npub fn f() {}\n',
    "src/warns.rs": "fn unused() {}\npub fn f() {}\n",
    "src/macro.rs": "extern crate proc_macro;\n",
    "src/with space.rs": "pub fn f() {}\n",
    "args.txt": "--crate-name\na\n--crate-type\nlib\n",
    "more.txt": "--emit=link\n--out-dir=out",
    "crlf.txt": "--crate-name\r\na\r\n--crate-type\r\nlib\r\n",
    "outer.txt": "@args.txt\n",
    "blank.txt": "--crate-name\na\n\n",
    "untrimmed.txt": " --crate-name\na\n",
    "bare.json": '{"llvm-target": "x86_64-unknown-none", "exe-suffix": ".bare", "dll-prefix": "", "dll-suffix": ".dyn"}',
    "windows.json": '{"is-like-windows": true}',
    "named.json": "{}",
    "out/.keep": "",
}


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """What a case says in words."""

    reason: str | None = None
    not_compilation: bool = False
    query: bool = False
    crate_name: str | None = None
    source: str | None = None
    out_dir: str | None = None
    extra_filename: str | None = None
    crate_types: list[str] | None = None
    emit: list[str] | None = None
    outputs: list[str] | None = None
    """role=path, `?` behind an optional one."""
    depinfo: str | None = None
    links: bool | None = None
    externs: list[list[str]] | None = None
    crate_dirs: list[str] | None = None
    native_dirs: list[str] | None = None
    native_libs: list[str] | None = None
    argument_files: list[str] | None = None
    named_files: list[str] | None = None
    linker: str | None = None
    target: str | None = None
    key_args: list[str] | None = None
    context_args: list[str] | None = None
    has_artifacts: bool | None = None
    human: bool | None = None
    colour: str | None = None
    native_cpu: bool | None = None
    hides_paths: bool | None = None
    writes_more: list[str] | None = None
    reads_stdin: bool | None = None


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One row of a case file."""

    args: list[str]
    expect: Expected = msgspec.field(default_factory=Expected)
    env: dict[str, str] = {}
    nightly: bool = False
    runs: bool = True
    compiles: bool = True
    """False: rustc is expected to refuse it."""
    linked: bool = True
    """False: SCCACHE_RUST_CACHE_LINKED=false."""


class CaseFile(msgspec.Struct, forbid_unknown_fields=True):
    case: list[Case]


def every_case() -> Iterator[object]:
    for path in sorted(CASES.glob("*.toml")):
        for position, case in enumerate(msgspec.convert(tomllib.loads(path.read_text()), CaseFile).case):
            yield pytest.param(case, id=f"{path.stem}-{position}-{' '.join(case.args)}")


@cache
def compiler(channel: str) -> str:
    """The real rustc, behind rustup's proxy if that is there; empty where there is none."""
    found = shutil.which("rustc", path=f"{os.environ.get('PATH', '')}:{os.path.expanduser('~/.cargo/bin')}")
    if found is None:
        return ""
    words = [found, f"+{channel}"] if channel else [found]
    ran = subprocess.run([*words, "--print=sysroot"], capture_output=True, text=True, check=False)
    return f"{ran.stdout.strip()}/bin/rustc" if ran.returncode == 0 else ""


def compiler_or_skip(*, nightly: bool = False) -> str:
    found = compiler("nightly" if nightly else "")
    if not found:
        pytest.skip("no nightly rustc is installed" if nightly else "rustc is not installed")
    return found


@pytest.mark.parametrize("case", list(every_case()))
def test_a_command_line_means_what_rustc_makes_of_it(case: Case, tmp_path: Path) -> None:
    """Parsing predicts every file that rustc makes, and says what the case says."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    args = [word.replace("$PWD", str(tmp_path)) for word in case.args]
    parsed = rust.parse(args, str(tmp_path), case.env, cache_linked=case.linked)
    compare(parsed, case.expect, str(tmp_path))
    if not case.runs:
        return
    if isinstance(parsed, RustArguments) or not case.compiles:
        run_and_compare(case, args, parsed, tmp_path)
    elif isinstance(parsed, RustQuery):
        ask(case, args, parsed, tmp_path)


def compare(parsed: object, expect: Expected, cwd: str) -> None:
    if isinstance(parsed, CannotCache):
        assert parsed.reason == expect.reason, parsed
        return
    if isinstance(parsed, NotCompilation):
        assert expect.not_compilation, parsed
        return
    assert isinstance(parsed, RustArguments | RustQuery)
    assert (expect.reason, expect.not_compilation) == (None, False), parsed
    assert isinstance(parsed, RustQuery) == expect.query
    found = msgspec.to_builtins(parsed)
    if isinstance(parsed, RustArguments):
        found["outputs"] = [f"{o.role}={o.path}{'' if o.required else '?'}" for o in parsed.outputs]
    for name in Expected.__struct_fields__[3:]:
        wanted = getattr(expect, name)
        if wanted is not None:
            assert msgspec.json.decode(msgspec.json.encode(found[name])) == here(wanted, cwd), name


def here(wanted: object, cwd: str) -> object:
    """What a case says, in this directory."""
    return msgspec.json.decode(msgspec.json.encode(wanted).replace(b"$PWD", cwd.encode()))


def snapshot(root: Path) -> dict[str, int]:
    return {
        os.path.relpath(os.path.join(folder, name), root): os.stat(os.path.join(folder, name)).st_mtime_ns
        for folder, _, names in os.walk(root)
        for name in names
    }


def run(case: Case, args: list[str], root: Path) -> subprocess.CompletedProcess[bytes]:
    command = [compiler_or_skip(nightly=case.nightly), *args]
    return subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, check=False, env={**os.environ, **case.env})


def run_and_compare(case: Case, args: list[str], parsed: object, root: Path) -> None:
    before = snapshot(root)
    ran = run(case, args, root)
    assert (ran.returncode == 0) == case.compiles, ran.stderr.decode()
    if not case.compiles:
        return
    assert isinstance(parsed, RustArguments)
    made = {name for name, mtime in snapshot(root).items() if before.get(name) != mtime}
    predicted = {os.path.relpath(root / output.path, root): output.required for output in parsed.outputs}
    assert made <= predicted.keys(), "made without being predicted"
    assert {name for name, required in predicted.items() if required} <= made, "predicted but not made"
    told, rest = notices.split(ran.stderr)
    assert told == (notices.make(parsed) if parsed.has_artifacts else b"")
    assert notices.is_only(ran.stderr, parsed) == (parsed.has_artifacts and not rest)
    if parsed.depinfo:
        listed = depinfo.read(str(root / parsed.depinfo))
        assert listed is not None
        assert listed.inputs[0] == parsed.source


def ask(case: Case, args: list[str], parsed: RustQuery, root: Path) -> None:
    """A question makes no file and, where it reads nothing else, is answered alike in any directory."""
    before = snapshot(root)
    ran = run(case, args, root)
    assert (ran.returncode == 0) == case.compiles, ran.stderr.decode()
    assert snapshot(root) == before
    if not parsed.named_files:
        assert run(case, args, root / "out").stdout == ran.stdout
