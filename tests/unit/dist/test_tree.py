"""The client's side of a job's tree."""

import os
import stat
from pathlib import Path

import pytest

from sccache.dist.tree import Gathering, Tree

DIGEST = b"d" * 32


def lay_out(tree: Tree, root: Path) -> None:
    """What a worker does, without its care."""
    for path in tree.directories:
        (root / os.fsdecode(path)[1:]).mkdir(parents=True, exist_ok=True)
    for link in tree.links:
        place = root / os.fsdecode(link.path)[1:]
        place.symlink_to(os.fsdecode(link.target))
    for file in tree.files:
        (root / os.fsdecode(file.path)[1:]).write_text("here")


def reads(root: Path, name: str) -> bool:
    """Whether a name leads to a file, seen from inside the root (with links that are relative, or start at the root)."""
    walked, parts = "/", [part for part in name.split("/") if part]
    while parts:
        part = parts.pop(0)
        if part == "..":
            walked = os.path.dirname(walked)
            continue
        place = root / (walked + "/" + part).lstrip("/")
        if place.is_symlink():
            target = os.readlink(place)
            walked = "/" if target.startswith("/") else walked
            parts = [piece for piece in target.split("/") if piece] + parts
            continue
        if not place.exists():
            return False
        walked = walked.rstrip("/") + "/" + part
    return stat.S_ISREG((root / walked[1:]).lstat().st_mode)


def test_every_directory_on_the_way_is_there(tmp_path: Path) -> None:
    """`..` in a name needs the directory before it."""
    (tmp_path / "lib/gcc/12").mkdir(parents=True)
    (tmp_path / "include").mkdir()
    (tmp_path / "include/a.h").touch()
    name = f"{tmp_path}/lib/gcc/12/../../../include/./a.h"
    gathering = Gathering()
    gathering.add_file(name, DIGEST, 0)
    tree = gathering.tree()
    assert os.fsencode(tmp_path / "lib/gcc/12") in tree.directories
    assert [file.path for file in tree.files] == [os.fsencode(tmp_path / "include/a.h")]
    assert tree.contents == {DIGEST: str(tmp_path / "include/a.h")}
    other = tmp_path / "worker"
    lay_out(tree, other)
    assert reads(other, name)


@pytest.mark.parametrize("target", ["real", "./real/", "../{name}/real", "{root}/real"])
def test_links_are_links(tmp_path: Path, target: str) -> None:
    """A directory that is a link, and a file that is one, lead where they lead here."""
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/deep/a.h").touch()
    (tmp_path / "real/deep/b.h").symlink_to("a.h")
    (tmp_path / "link").symlink_to(target.format(name=tmp_path.name, root=tmp_path))
    gathering = Gathering()
    names = [f"{tmp_path}/link/deep/b.h", f"{tmp_path}/link/deep/../deep/a.h"]
    for name in names:
        gathering.add_file(name, DIGEST, 0)
    tree = gathering.tree()
    assert [file.path for file in tree.files] == [os.fsencode(tmp_path / "real/deep/a.h")]
    assert len(tree.links) == 2
    other = tmp_path / "worker"
    lay_out(tree, other)
    assert all(reads(other, name) for name in names)


def test_parent_of_a_link_is_the_parent_of_where_it_leads(tmp_path: Path) -> None:
    """As the kernel sees it, not as it is spelled."""
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "far/x.h").touch()
    (tmp_path / "link").symlink_to("far/away")
    gathering = Gathering()
    gathering.add_file(f"{tmp_path}/link/../x.h", DIGEST, 0)
    assert [file.path for file in gathering.tree().files] == [os.fsencode(tmp_path / "far/x.h")]


def test_programs_stay_programs(tmp_path: Path) -> None:
    """A plugin or a tool has to be executable there too."""
    (tmp_path / "tool").touch(mode=0o755)
    (tmp_path / "text").touch(mode=0o644)
    gathering = Gathering()
    gathering.add_file(str(tmp_path / "tool"), DIGEST, 0)
    gathering.add_file(str(tmp_path / "text"), DIGEST, 0)
    assert [file.executable for file in gathering.tree().files] == [False, True]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Loops, pipes, directories, names below files, and what is not there."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    gathering = Gathering()
    for name in ("a", "a/x", "pipe", "file/x", "nowhere/x", "gone", "."):
        with pytest.raises(OSError):  # noqa: PT011 -- which one is the kernel's choice
            gathering.add_file(f"{tmp_path}/{name}", DIGEST, 0)
    assert gathering.tree().files == ()


def test_a_directory_may_be_empty(tmp_path: Path) -> None:
    """A search directory without anything to read in it exists all the same."""
    (tmp_path / "empty").mkdir()
    gathering = Gathering()
    assert gathering.add_directory(f"{tmp_path}/empty/.") == f"{tmp_path}/empty"
    assert os.fsencode(tmp_path / "empty") in gathering.tree().directories
