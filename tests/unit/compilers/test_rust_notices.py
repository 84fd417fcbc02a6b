"""rustc's notices of outputs: found, and made again byte for byte."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.unit.compilers.test_rust_cases import compiler_or_skip

from sccache.compilers import rust
from sccache.compilers.rust import RustArguments, notices

ARTIFACTS = ("--error-format=json", "--json=artifacts")
NOTICE = b'{"$message_type":"artifact","artifact":"out/liba.rlib","emit":"link"}\n'
MESSAGE = b'{"$message_type":"diagnostic","message":"{\\"$message_type\\":\\"artifact\\","}\n'


def test_notices_are_told_from_messages() -> None:
    """Each kind keeps its order, and nothing is lost."""
    assert notices.split(NOTICE + MESSAGE + NOTICE) == (NOTICE * 2, MESSAGE)
    assert notices.split(b"") == (b"", b"")
    assert notices.split(b"warning: x\r\nno newline") == (b"", b"warning: x\r\nno newline")


def test_an_older_compilers_notice_is_a_message() -> None:
    """It is kept and told as it was."""
    old = b'{"artifact":"out/liba.rlib","emit":"link"}\n'
    assert notices.split(old) == (b"", old)


@pytest.mark.parametrize(
    "words",
    [
        ["--crate-type=lib", "--emit=dep-info,metadata,link"],
        ["--crate-type=lib", "--emit=link,metadata,dep-info"],
        ["--crate-type=staticlib,cdylib,rlib", "--emit=link,metadata"],
        ["--crate-type=rlib,dylib,staticlib", "--emit=link"],
        ["--test", "--emit=dep-info,link,metadata"],
        ["--crate-type=lib", "--emit=metadata"],
        ["--crate-type=cdylib", "--emit=link", "-Csplit-debuginfo=packed", "-g"],
        ["--crate-type=lib", "--emit=link=x.rlib,dep-info=d"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("out_dir", ["out", "./out/", 'quo"te', "back\\slash", "é", "tab\t", "new\nline", "\x1b\x7f", "b\bf\f"])
def test_notices_are_made_as_rustc_makes_them(words: list[str], out_dir: str, tmp_path: Path) -> None:
    """Byte for byte, in rustc's order."""
    rustc = compiler_or_skip()
    (tmp_path / "lib.rs").write_text("pub fn f() {}\n")
    (tmp_path / out_dir).mkdir()
    args = ["--crate-name=a", "lib.rs", "--out-dir", out_dir, *ARTIFACTS, *words]
    parsed = rust.parse(args, str(tmp_path), {})
    assert isinstance(parsed, RustArguments)
    ran = subprocess.run([rustc, *args], cwd=tmp_path, capture_output=True, check=False, env=os.environ)
    assert (ran.returncode, ran.stderr) == (0, notices.make(parsed))
    assert notices.split(ran.stderr) == (ran.stderr, b"")
    assert notices.is_only(ran.stderr, parsed)


LONG_TYPE = """
type A = (i32, i32, i32, i32, i32, i32);
type B = (A, A, A, A, A, A);
#[must_use] pub struct M<T>(T);
pub fn m() -> M<(B, B, B, B)> { loop {} }
#[deprecated] pub fn f<T>() {}
pub fn n() { let x: &Option<(B, B, B, B)> = &None; std::mem::drop(x); m(); }
"""


def test_a_message_that_names_a_file_of_its_own(tmp_path: Path) -> None:
    """Is told from others, plain or as JSON."""
    rustc = compiler_or_skip()
    (tmp_path / "lib.rs").write_text(LONG_TYPE)
    for words in ([], ["--error-format=json"]):
        ran = subprocess.run(
            [rustc, "--crate-name=a", "--crate-type=lib", "--emit=metadata", "lib.rs", *words],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        assert list(tmp_path.glob("*long-type*")), "rustc does not do so any more"
        assert notices.is_of_this_run(ran.stderr)


def test_a_message_about_the_callers_job_server(tmp_path: Path) -> None:
    """Is told from others."""
    rustc = compiler_or_skip()
    (tmp_path / "lib.rs").write_text("fn unused() {}\n")
    words = [rustc, "--crate-name=a", "--crate-type=lib", "--emit=metadata", "lib.rs"]
    for flags in ("", "-j --jobserver-auth=77,78"):
        ran = subprocess.run(words, cwd=tmp_path, capture_output=True, check=True, env={**os.environ, "CARGO_MAKEFLAGS": flags})
        assert notices.is_of_this_run(ran.stderr) == bool(flags), ran.stderr
