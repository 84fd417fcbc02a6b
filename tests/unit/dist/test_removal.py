"""Deleting what somebody else has made."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sccache.dist import removal
from sccache.dist.config import InsecureAuth, WorkerConfig
from sccache.dist.contents import Contents
from sccache.dist.toolchain_store import Toolchains
from sccache.dist.worker_service import _places
from sccache.hashing.digest import digest

ORDINARY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if os.geteuid() == 0 else []


def deep(top: Path, levels: int) -> None:
    """Deeper than any path may be long."""
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("directory", dir_fd=here)
        inner = os.open("directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_as_deep_as_they_like(tmp_path: Path) -> None:
    """With few descriptors."""
    deep(tmp_path / "top", 1500)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        removal.remove(str(tmp_path / "top"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_as_wide_as_they_like(tmp_path: Path) -> None:
    """Directories of the same name in each of many."""
    for outer in range(10):
        for inner in range(10):
            (tmp_path / "top" / str(outer) / str(inner) / "x").mkdir(parents=True)
    removal.remove(str(tmp_path / "top"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", [0o000, 0o100, 0o400, 0o500, 0o1777])
def test_as_closed_as_they_like(tmp_path: Path, mode: int) -> None:
    """By an ordinary user, who owns them."""
    script = (
        "import os, sys\n"
        "from sccache.dist import removal\n"
        f"top = {str(tmp_path)!r} + '/open/top'\n"
        "os.makedirs(top + '/a/b/c')\n"
        "open(top + '/a/b/file', 'w').close()\n"
        f"for path in ('/a/b/c', '/a/b', '/a', ''): os.chmod(top + path, {mode})\n"
        "removal.remove(top)\n"
        "sys.exit(os.path.lexists(top))\n"
    )
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and os.geteuid() == 0 and parent != Path("/") and parent != Path("/tmp"):
            parent.chmod(0o755)
    env = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.environ["PATH"]}
    ran = subprocess.run([*ORDINARY, sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither at the top nor inside; what they lead to stays as it is."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "file").write_text("kept")
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(outside)
    (top / "file").symlink_to(outside / "file")
    os.mkfifo(top / "pipe")
    removal.remove(str(top))
    top.symlink_to(outside)
    removal.remove(str(top))
    assert not os.path.lexists(top)
    assert (outside / "file").read_text() == "kept"


def test_what_is_not_there(tmp_path: Path) -> None:
    """Nothing to do."""
    removal.remove(str(tmp_path / "nothing"))
    (tmp_path / "file").write_text("")
    removal.remove(str(tmp_path / "file"))
    assert os.listdir(tmp_path) == []


def test_after_a_crash_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A content or toolchain may be there under its name without its bytes: nothing of before is believed."""
    auth = InsecureAuth()
    config = WorkerConfig(cache_dir=str(tmp_path / "cache"), public_addr="127.0.0.1:1", scheduler_url="http://a", scheduler_auth=auth)
    content = b"#define X 1\n"

    def started() -> tuple[int, tuple[str, ...]]:
        places = _places(config)
        contents = Contents(places["contents"], 1 << 20)
        found = contents.total_bytes, Toolchains(places["tc"], 1 << 20).ids()
        contents.add(digest(content), len(content), [content])
        os.makedirs(os.path.join(places["tc"], "ab" * 32), exist_ok=True)
        return found

    assert started() == (0, ())
    assert started() == (len(content), ("ab" * 32,))
    other = tmp_path / "boot_id"
    other.write_text("another\n")
    monkeypatch.setattr(removal, "_BOOT_ID", str(other))
    assert started() == (0, ())
    assert started() == (len(content), ("ab" * 32,))
