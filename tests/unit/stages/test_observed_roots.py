"""Where a Rust compile's two directories are found and marked."""

from pathlib import Path

import pytest

from sccache.stages.observed_roots import ObservedRoots, find


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "ws/target/debug/deps").mkdir(parents=True)
    (tmp_path / "ws/target/CACHEDIR.TAG").touch()
    return tmp_path / "ws"


def roots_of(workspace: Path, *settings: str) -> ObservedRoots:
    return find(settings, str(workspace), str(workspace / "target/debug/deps"))


def test_home_and_target(workspace: Path) -> None:
    """The working directory and the directory that cargo tagged."""
    assert roots_of(workspace).names == (str(workspace), str(workspace / "target"))


def test_a_base_directory_is_the_home(workspace: Path) -> None:
    """What the user set goes before the working directory."""
    assert roots_of(workspace, str(workspace.parent)).names[0] == str(workspace.parent)


def test_a_target_directory_of_another_build_system(tmp_path: Path) -> None:
    """Without cargo's tag there is no target directory."""
    assert find((), str(tmp_path), str(tmp_path / "out")).names == (str(tmp_path),)


def test_the_root_directory_is_no_home() -> None:
    """All paths are below it."""
    assert find((), "/", "/out").names == ()


def test_text_comes_back(workspace: Path) -> None:
    """Marked text has none of the names and is restored for another place."""
    here = roots_of(workspace)
    text = f'{workspace}/target/debug/x.d: src/lib.rs {workspace}/a.rs "{workspace}"'.encode()
    marked = here.text(text)
    assert str(workspace).encode() not in marked
    assert here.local(marked) == text
    there = ObservedRoots(("/else", "/products"), is_plain=True)
    assert there.local(marked) == b'/products/debug/x.d: src/lib.rs /else/a.rs "/else"'


@pytest.mark.parametrize("text", ["{0}-old/a", "/mnt{0}/a", "x{0}/a"])
def test_only_whole_names_are_marked(workspace: Path, text: str) -> None:
    """A longer name, or the end of another path, is something else."""
    data = text.format(workspace).encode()
    assert roots_of(workspace).text(data) == data


def test_names_that_are_escaped_somewhere(tmp_path: Path) -> None:
    """A directory with a space reads otherwise in a dependency file: text is kept as it is."""
    here = find((), str(tmp_path / "a b"), "")
    text = f"{tmp_path}/a b/x".encode()
    assert here.text(text) == text
    assert here.word(f"--out-dir={tmp_path}/a b/x") != f"--out-dir={tmp_path}/a b/x"


def test_text_that_could_be_mistaken(workspace: Path) -> None:
    """Bytes that look like a marker are kept as they are."""
    here = roots_of(workspace)
    text = b"\1home\1 " + str(workspace).encode()
    assert here.text(text) == text


def test_words(workspace: Path) -> None:
    """Arguments have directories after options' letters and equals signs."""
    here = roots_of(workspace)
    assert here.word(f"--remap-path-prefix={workspace}=/src") == "--remap-path-prefix=\1home\1=/src"
    assert here.word(f"dependency={workspace}/target/debug/deps") == "dependency=\1target\1/debug/deps"
