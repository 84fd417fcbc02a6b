"""Variables that Rust sources name: every way to write it, and what is remembered."""

import os
from pathlib import Path

from sccache.hashing.files import FileMemory
from sccache.stages import rust_variables

LONG_AGO_NS = 1_600_000_000 * 10**9


def source(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return str(path)


def test_all_ways_to_write_it(tmp_path: Path) -> None:
    """Delimiters, raw strings, paths, blanks, nested in other macros; no other macro, and nothing that no variable can be called."""
    text = """
    env!("PLAIN"); option_env!["BRACKETS"]; std::env!{ "PATHED" }; core::option_env ! ("BLANKS");
    concat!(env!("NESTED", "is missing"), env!(
        r#"RAW"#)); env!(concat!("PUT", "_TOGETHER")); my_env!("ANOTHER_MACRO"); env!("EQUALS=SIGN"); std::env::var("AT_RUN_TIME");
    """
    found = rust_variables.named([source(tmp_path, "a.rs", text)], FileMemory(), {})
    assert found == {"PLAIN", "BRACKETS", "PATHED", "BLANKS", "NESTED", "RAW"}


def test_sources_are_read_once(tmp_path: Path) -> None:
    """What is included counts as well; data, directories and what is not there do not."""
    remembered: dict[bytes, frozenset[str]] = {}
    files = FileMemory()
    paths = [source(tmp_path, "a.rs", 'env!("A")'), source(tmp_path, "b.inc", 'env!("B")'), source(tmp_path, "c.txt", 'env!("C")')]
    paths += [str(tmp_path / "gone.rs"), str(tmp_path)]
    assert rust_variables.named(paths, files, remembered) == {"A", "B"}
    assert sorted(map(sorted, remembered.values())) == [["A"], ["B"]]
    remembered.update(dict.fromkeys(remembered, frozenset({"KEPT"})))
    assert rust_variables.named(paths, files, remembered) == {"KEPT"}


def test_the_memory_has_a_bound(tmp_path: Path, monkeypatch) -> None:
    """The oldest half goes."""
    monkeypatch.setattr(rust_variables, "MAX_REMEMBERED", 4)
    remembered: dict[bytes, frozenset[str]] = {}
    for number in range(9):
        path = source(tmp_path, f"{number}.rs", f'env!("V{number}")')
        assert rust_variables.named([path], FileMemory(), remembered) == {f"V{number}"}
        assert len(remembered) <= 4
