"""rustc's option tables against themselves, and against the rustc of this machine."""

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.compilers.test_rust_cases import compiler_or_skip

from sccache.compilers import rust
from sccache.compilers.options.rustc import CODEGEN, HARMLESS_VARIABLES, PURE_PRINTS, ROWS, UNSTABLE, Option
from sccache.compilers.rust import RustArguments, targets
from sccache.compilers.rust.words import Word, spelled, split

GONE = {
    *("ls", "link-directives-only", "parse-only", "profile", "profile-emit", "print-llvm-stats", "save-analysis", "save-temps", "time"),
    *("time-precise-llvm-passes", "unstable-incremental"),
}
"""Of older compilers: kept for them."""
NO_OPTION = {"--env-set", "--pretty", "--unpretty"}
"""Not in --help."""
COMPILES_TOO = {"link-args", "native-static-libs"}
KINDS = {"bin": "bin", "dylib": "dylib", "cdylib": "cdylib", "staticlib": "staticlib", "proc-macro": "proc-macro"}
MAKES_MORE = re.compile(r"-msvc|-uwp-")


def told(rustc: str, *words: str) -> str:
    return subprocess.run([rustc, *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_reads_its_own_option(row: Option) -> None:
    """In all its forms, and one spelling comes out."""
    value = "v,=x"
    if not row.takes_value:
        assert split([row.name, "a.rs"]) == (Word(row.name, "", row), Word("", "a.rs"))
        return
    joined = f"{row.name}={value}" if row.name.startswith("--") else row.name + value
    expected = (Word(row.name, value, row), Word("", "a.rs"))
    assert split([row.name, value, "a.rs"]) == split([joined, "a.rs"]) == expected
    assert spelled(expected[0]) == ("-C" + value if row.name == "--codegen" else joined)


@pytest.mark.parametrize("nightly", [False, True])
def test_every_option_of_rustc_has_a_row(nightly: bool) -> None:
    """And takes a value where rustc says so."""
    text = told(compiler_or_skip(nightly=nightly), "--help", "-v").split("Additional help")[0]
    known = {row.name: row.takes_value for row in ROWS}
    found: dict[str, bool] = {}
    for letter, name, value in re.findall(r"^ {4}(-\w)?(?:, | {4})?(--[\w-]+)?(?: (\[?<))?", text, re.MULTILINE):
        found |= {word: bool(value) for word in (letter, name) if word}
    assert len(found) > 30
    assert {name: known.get(name) for name in found} == found
    assert known.keys() - found.keys() - {"-Z"} <= NO_OPTION


def test_codegen_and_unstable_options_exist() -> None:
    """No row is for a name that no compiler knows."""
    rustc = compiler_or_skip(nightly=True)
    codegen = set(re.findall(r"^ +-C +([\w-]+)=", told(rustc, "-C", "help"), re.MULTILINE))
    unstable = set(re.findall(r"^ +-Z +([\w-]+)=", told(rustc, "-Z", "help"), re.MULTILINE))
    assert CODEGEN.keys() <= codegen
    assert UNSTABLE.keys() - GONE <= unstable


def test_unstable_options_that_write_files_have_rows() -> None:
    """By their descriptions; a new one shows up here."""
    rustc = compiler_or_skip(nightly=True)
    options = re.findall(r"^ +-Z +([\w-]+)=val -- (.*)$", told(rustc, "-Z", "help"), re.MULTILINE)
    writing = {
        name
        for name, text in options
        if re.search(r"\b(?:dump|profiler and|trace file|to disk|in a file|into which|to a file|directory)\b", text)
    }
    harmless = {
        "incremental-ignore-spans",
        "dump-mir-exclude-alloc-bytes",
        "dump-mir-exclude-pass-number",
        "dump-mono-stats-format",
        "ignore-directory-in-diagnostics-source-blocks",
        "remap-cwd-prefix",
        "simulate-remapped-rust-src-base",
        "write-long-types-to-disk",
    }
    assert writing - UNSTABLE.keys() <= harmless


def test_what_print_tells_is_sorted_into_two() -> None:
    """Questions, and what comes with a compile."""
    text = told(compiler_or_skip(), "--help", "-v")
    kinds = set(re.search(r"INFO may be one of\s+<([^>]*)>", text)[1].replace("\n", "").replace(" ", "").split("|"))  # type: ignore[index]
    assert kinds - PURE_PRINTS == COMPILES_TOO


def test_every_harmless_variable_has_a_reason() -> None:
    """A row without one would be a guess."""
    assert all(HARMLESS_VARIABLES.values())
    assert "PATH" not in HARMLESS_VARIABLES


@pytest.mark.parametrize("name", sorted(HARMLESS_VARIABLES))
def test_a_harmless_variable_changes_nothing(name: str, tmp_path: Path) -> None:
    """Neither outputs nor messages, of a library or of what a linker makes, with a linker's temporary files and debug information."""
    rustc = compiler_or_skip()
    (tmp_path / "lib.rs").write_text("fn unused() {}\npub fn f() {}\n")
    (tmp_path / "temporary").mkdir()
    (tmp_path / "out").mkdir()
    value = {"RUST_MIN_STACK": "99999744", "MALLOC_CONF": "narenas:1", "_RJEM_MALLOC_CONF": "narenas:1"}.get(
        name, str(tmp_path / "temporary")
    )
    value = "-j3" if "MAKEFLAGS" in name or name == "MFLAGS" else value
    made: list[list[bytes]] = []
    for env in ({key: text for key, text in os.environ.items() if key != name}, {**os.environ, name: value}):
        ran = subprocess.run(
            [rustc, "--crate-name=a", "--crate-type=cdylib,lib", "-g", "--emit=link,metadata,dep-info", "lib.rs", "--out-dir=out"],
            cwd=tmp_path,
            capture_output=True,
            check=True,
            env=env,
        )
        made.append(
            [ran.stdout, ran.stderr, *((tmp_path / "out" / file).read_bytes() for file in ("liba.so", "liba.rlib", "liba.rmeta", "a.d"))]
        )
    assert made[0] == made[1]


def test_names_for_every_target(tmp_path: Path) -> None:
    """What rustc would call a linked file is what we predict, for every target that it knows, or we say that we are not sure."""
    rustc = compiler_or_skip()
    (tmp_path / "lib.rs").write_text("")
    names = told(rustc, "--print=target-list").split()
    with ThreadPoolExecutor(4) as pool:
        unsure = [
            name for name, is_sure in zip(names, pool.map(lambda name: _agrees(rustc, name, tmp_path), names), strict=True) if not is_sure
        ]
    assert not {"x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl", "aarch64-apple-darwin", "x86_64-pc-windows-gnu"} & set(unsure)
    assert len(unsure) < len(names) // 2, "unsure of too many"


def _agrees(rustc: str, target: str, root: Path) -> bool:
    """Whether we are sure; fails where we are, and wrong."""
    is_sure = targets.naming(target, str(root)) is not None
    for kind in ("bin", "rlib", "staticlib", "dylib", "cdylib", "proc-macro"):
        words = ["--crate-name=a", f"--crate-type={kind}", "lib.rs", f"--target={target}"]
        parsed = rust.parse([*words, "--emit=link", "--out-dir="], str(root), {})
        ran = subprocess.run([rustc, *words, "--print=file-names"], cwd=root, capture_output=True, text=True, check=False)
        if ran.returncode == 0 and ran.stdout and isinstance(parsed, RustArguments):
            assert parsed.outputs[0].path == ran.stdout.strip(), (target, kind)
    return is_sure


def test_a_description_without_names_has_rustcs_own(tmp_path: Path) -> None:
    """The defaults are those of a description that says nothing."""
    (tmp_path / "t.json").write_text(json.dumps({"llvm-target": "x86_64-unknown-none"}))
    assert targets.naming("t.json", str(tmp_path)) == targets.Naming()
    (tmp_path / "t.json").write_text(json.dumps({"exe-suffix": 1}))
    assert targets.naming("t.json", str(tmp_path)) is None
    (tmp_path / "t.json").write_text("[]")
    assert targets.naming("t.json", str(tmp_path)) is None
