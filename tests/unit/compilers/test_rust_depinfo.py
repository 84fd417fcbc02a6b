"""rustc's dependency file: the grammar, and the real thing."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.unit.compilers.test_rust_cases import compiler_or_skip

from sccache.compilers.rust import depinfo
from sccache.compilers.rust.depinfo import DepInfo

WEIRD_NAMES = (
    "plain.txt",
    "a file.txt",
    "back\\slash.txt",
    "hash#.txt",
    "dollar$.txt",
    "colon:.txt",
    "é.txt",
    "two  blanks.txt",
    "ends\\.txt",
    "a: b.txt",
)
WEIRD_VALUES = ("", "x", "a\nb", "c\rd", "back\\slash", "\\n", "=", " ", "# x", "é", "a:b")


def test_outputs_share_their_prerequisites() -> None:
    """The first rule has them all; the phony rules that follow add nothing."""
    text = "out/a.d: src/lib.rs src/m.rs\n\nout/liba.rlib: src/lib.rs src/m.rs\n\nsrc/lib.rs:\nsrc/m.rs:\n"
    assert depinfo.parse(text) == DepInfo(("src/lib.rs", "src/m.rs"), ())


def test_variables() -> None:
    """A variable without a value was not set; an empty one was."""
    found = depinfo.parse("a.d: a.rs\n\na.rs:\n\n# env-dep:A=1\n# env-dep:B\n# env-dep:C=\n# env-dep:D=x=y\\nz\\\\n\n")
    assert found is not None
    assert found.env == (("A", "1"), ("B", None), ("C", ""), ("D", "x=y\nz\\n"))


def test_other_comments_are_passed_over() -> None:
    """Checksums and whatever comes later tell nothing that is needed."""
    text = "# future\na.d: a.rs\n\n# checksum:blake3=00 file_len:1 a.rs\n# env-dep:A\n"
    assert depinfo.parse(text) == DepInfo(("a.rs",), (("A", None),))


@pytest.mark.parametrize("text", ["", "\n", "# env-dep:A\n", "no rule\n"])
def test_what_is_no_dependency_file(text: str) -> None:
    """Is not taken for one without inputs."""
    assert depinfo.parse(text) is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is told as such."""
    assert depinfo.read(str(tmp_path / "a.d")) is None


def test_names_as_rustc_writes_them(tmp_path: Path) -> None:
    """Every file name comes back."""
    rustc = compiler_or_skip()
    for name in WEIRD_NAMES:
        (tmp_path / name).write_text("x")
    mentions = "".join(f"pub const _: &str = include_str!({_literal(name)});\n" for name in WEIRD_NAMES)
    (tmp_path / "lib.rs").write_text(mentions.replace("pub const _", "const _"))
    _compile(rustc, tmp_path, {})
    found = depinfo.read(str(tmp_path / "a b.d"))
    assert found is not None
    assert found.inputs == ("lib.rs", *WEIRD_NAMES)


def test_values_as_rustc_writes_them(tmp_path: Path) -> None:
    """Every value comes back, and so does its absence."""
    rustc = compiler_or_skip()
    values = {f"WEIRD_{position}": value for position, value in enumerate(WEIRD_VALUES)}
    (tmp_path / "lib.rs").write_text("".join(f'const _: Option<&str> = option_env!("{name}");\n' for name in (*values, "NOT_SET")))
    _compile(rustc, tmp_path, values)
    found = depinfo.read(str(tmp_path / "a b.d"))
    assert found is not None
    assert dict(found.env) == {**values, "NOT_SET": None}


def _literal(name: str) -> str:
    return f'r#"{name}"#'


def _compile(rustc: str, root: Path, env: dict[str, str]) -> None:
    words = [rustc, "--crate-name=a", "--crate-type=lib", "--emit=metadata=m.rmeta,dep-info=a b.d", "lib.rs"]
    ran = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False, env={**os.environ, **env})
    assert ran.returncode == 0, ran.stderr
