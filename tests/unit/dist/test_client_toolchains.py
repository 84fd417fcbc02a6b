"""The client's toolchains: packed once, packed anew when they change, kept within a size."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sccache.config.schema import DistConfig
from sccache.dist import archive, client_toolchains, loader, packaging
from sccache.dist.client_toolchains import ClientToolchains, NotDistributable, Packed
from sccache.errors import ConfigError

Count = list[str]


@pytest.fixture
def compiler(tmp_path: Path) -> str:
    """Some native program, which is packed as those of CUDA are: with its libraries."""
    path = tmp_path / "bin/ptxas"
    path.parent.mkdir()
    shutil.copy(shutil.which("true") or "", path)
    return str(path)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Count:
    """The compilers that were asked for their parts: each time means packing."""
    made: Count = []
    real = packaging.plan

    def plan(executable: str, family: str) -> packaging.Plan | NotDistributable:
        made.append(executable)
        return real(executable, family)

    monkeypatch.setattr(packaging, "plan", plan)
    return made


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., ClientToolchains]:
    def open_toolchains(**settings: object) -> ClientToolchains:
        return ClientToolchains(DistConfig(cache_dir=str(tmp_path / "cache"), **settings))

    return open_toolchains


def packed(toolchains: ClientToolchains, compiler: str, identity: bytes = b"1") -> Packed:
    found = toolchains.find(compiler, "ptxas", identity)
    assert isinstance(found, Packed), found
    return found


def refusal(toolchains: ClientToolchains, compiler: str, family: str = "ptxas") -> str:
    found = toolchains.find(compiler, family, b"1")
    assert isinstance(found, NotDistributable)
    return found.reason


def archives(tmp_path: Path) -> list[str]:
    return sorted(os.listdir(tmp_path / "cache/client/tc"))


def test_packed_once(opened: Callable[..., ClientToolchains], compiler: str, plans: Count) -> None:
    """By the first compile of the first daemon; the archive has the id that it is named by, and the names that it is said to have."""
    found = packed(opened(), compiler)
    toolchains = opened()
    assert packed(toolchains, compiler) == packed(toolchains, compiler) == found
    assert plans == [compiler]
    assert archive.digest_of(found.path) == found.id
    assert archive.names(found.path) <= found.paths
    libraries = loader.libraries(compiler).paths
    assert libraries
    assert {compiler, *libraries} <= found.paths
    assert found.executable == compiler


def test_many_threads_pack_once(opened: Callable[..., ClientToolchains], compiler: str, plans: Count) -> None:
    """The others wait for it."""
    toolchains, found = opened(), []
    threads = [threading.Thread(target=lambda: found.append(packed(toolchains, compiler))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 8
    assert plans == [compiler]


def test_a_changed_compiler_is_packed_anew(opened: Callable[..., ClientToolchains], compiler: str) -> None:
    """Also if its identity is the same: a part of it has changed, and the old archive has the old one."""
    toolchains = opened()
    before = packed(toolchains, compiler)
    shutil.copy(shutil.which("env") or "", compiler)
    after = packed(toolchains, compiler)
    assert after.id != before.id
    assert packed(opened(), compiler) == after
    assert packed(toolchains, compiler, identity=b"2").id == after.id


def test_a_new_file_beside_the_parts(
    opened: Callable[..., ClientToolchains], tmp_path: Path, compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that is packed whole is looked at itself."""
    (tmp_path / "resources/share").mkdir(parents=True)

    def pack(collected: packaging._Plan, executable: str) -> None:
        collected.program(executable)
        collected.directory(str(tmp_path / "resources"))

    monkeypatch.setitem(packaging._FAMILIES, "ptxas", pack)
    toolchains = opened()
    first = packed(toolchains, compiler)
    (tmp_path / "resources/share/new").touch()
    second = packed(toolchains, compiler)
    assert second.paths - first.paths == {f"{tmp_path}/resources/share/new"}
    assert second.id != first.id


def test_a_lost_archive_is_packed_anew(opened: Callable[..., ClientToolchains], compiler: str) -> None:
    """Removed by hand, or by another daemon for want of room."""
    toolchains = opened()
    found = packed(toolchains, compiler)
    os.unlink(found.path)
    assert packed(toolchains, compiler) == found
    assert archive.digest_of(found.path) == found.id


def test_a_damaged_note_is_no_note(opened: Callable[..., ClientToolchains], compiler: str, tmp_path: Path) -> None:
    """Of another version, or cut off."""
    found = packed(opened(), compiler)
    for note in (tmp_path / "cache/client/known").iterdir():
        note.write_bytes(note.read_bytes()[:-5])
    assert packed(opened(), compiler) == found


def test_the_least_recently_used_goes_first(opened: Callable[..., ClientToolchains], compiler: str, tmp_path: Path) -> None:
    """And what an interrupted daemon has left; the newest stays, however large it is."""
    others = [str(shutil.copytree(tmp_path / "bin", tmp_path / name) / "ptxas") for name in ("b", "c")]
    toolchains = opened()
    first, second = packed(toolchains, compiler), packed(toolchains, others[0])
    os.utime(first.path, (1, 1))
    os.utime(second.path, (2, 2))
    assert packed(toolchains, compiler) == first  # used again
    (tmp_path / "cache/client/tc/.left").touch()
    size = sum(os.path.getsize(path) for path in (first.path, second.path))
    third = packed(opened(toolchain_cache_size_bytes=size + 1000), others[1])
    assert archives(tmp_path) == sorted([first.id, third.id])
    last = packed(opened(toolchain_cache_size_bytes=1), others[0])
    assert archives(tmp_path) == [last.id]
    assert len(list((tmp_path / "cache/client/known").iterdir())) == 1


def test_only_the_owner_reads_it(opened: Callable[..., ClientToolchains], compiler: str, tmp_path: Path) -> None:
    """Nobody else may put a toolchain there."""
    packed(opened(), compiler)
    assert (tmp_path / "cache/client/tc").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "cache/client/known").stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_packed_is_not_tried_at_each_compile(
    opened: Callable[..., ClientToolchains], compiler: str, tmp_path: Path, plans: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only when the time for it has come."""
    (tmp_path / "cache").write_text("in the way")
    toolchains = opened()
    assert "cannot be packed" in refusal(toolchains, compiler)
    (tmp_path / "cache").unlink()
    assert "cannot be packed" in refusal(toolchains, compiler)
    later = client_toolchains.time.monotonic() + client_toolchains.TRY_AGAIN_S + 1
    monkeypatch.setattr(client_toolchains.time, "monotonic", lambda: later)
    packed(toolchains, compiler)
    assert plans == [compiler]


def test_a_compiler_that_changes_while_it_is_packed(
    opened: Callable[..., ClientToolchains], compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive of two halves is none."""
    real = archive.pack

    def pack(*args: object) -> None:
        real(*args)
        shutil.copy(shutil.which("env") or "", compiler)

    monkeypatch.setattr(archive, "pack", pack)
    assert "changed while it was packed" in refusal(opened(), compiler)
    assert archives(tmp_path) == []


def test_disabled(opened: Callable[..., ClientToolchains], compiler: str, plans: Count) -> None:
    """A compiler that the settings keep here."""
    toolchains = opened(toolchains=({"type": "no_dist", "compiler_executable": compiler},))
    assert refusal(toolchains, compiler) == f"toolchain distribution for {compiler} is disabled"
    assert plans == []


def test_disabled_under_any_name(opened: Callable[..., ClientToolchains], compiler: str, tmp_path: Path, plans: Count) -> None:
    """Which link the build calls it by is of no account: a compiler whose licence keeps it here stays here."""
    link = tmp_path / "cc"
    link.symlink_to(compiler)
    for named, called in ((compiler, str(link)), (str(link), compiler)):
        toolchains = opened(toolchains=({"type": "no_dist", "compiler_executable": named},))
        assert refusal(toolchains, called) == f"toolchain distribution for {called} is disabled"
    assert plans == []


def test_overridden_where_the_directory_is_a_link(opened: Callable[..., ClientToolchains], compiler: str, tmp_path: Path) -> None:
    """/bin/cc is /usr/bin/cc, but gcc is not g++, though both may be one file: the name says what a driver does."""
    made = tmp_path / "own.tar"
    subprocess.run(["tar", "cf", made, "-C", tmp_path, "bin"], check=True)
    (tmp_path / "link").symlink_to("bin")
    (tmp_path / "bin/other").symlink_to("ptxas")
    entry = {"type": "path_override", "compiler_executable": compiler, "archive": str(made), "archive_compiler_executable": "/bin/ptxas"}
    toolchains = opened(toolchains=(entry,))
    assert packed(toolchains, f"{tmp_path}/link/ptxas").path == str(made)
    assert packed(toolchains, f"{tmp_path}/bin/other").path != str(made)


def test_overridden(opened: Callable[..., ClientToolchains], compiler: str, tmp_path: Path, plans: Count) -> None:
    """An archive that an administrator made, of any form; changed, it is another toolchain; damaged or missing, there is none."""
    made = tmp_path / "own.tar.gz"
    subprocess.run(["tar", "czf", made, "-C", tmp_path, "bin"], check=True)
    entry = {"type": "path_override", "compiler_executable": "/opt/cc", "archive": str(made), "archive_compiler_executable": "/bin/ptxas"}
    toolchains = opened(toolchains=(entry,))
    found = packed(toolchains, "/opt/cc")
    assert (found.id, found.path, found.executable) == (archive.digest_of(str(made)), str(made), "/bin/ptxas")
    assert found.paths >= {"/bin", "/bin/ptxas"}
    assert packed(toolchains, "/opt/cc") == found
    subprocess.run(["tar", "cJf", made, "-C", tmp_path, "bin/ptxas"], check=True)
    assert packed(toolchains, "/opt/cc").id == archive.digest_of(str(made)) != found.id
    made.write_bytes(b"no archive" * 100)
    assert "no tar archive" in refusal(toolchains, "/opt/cc")
    made.unlink()
    assert "there is no" in refusal(opened(toolchains=(entry,)), "/opt/cc")
    assert plans == []


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        (["no_dist", "no_dist"], "Disabled toolchain /cc multiple times"),
        (["path_override", "path_override"], "Multiple toolchains for /cc"),
        (["path_override", "no_dist"], "Override for toolchain /cc conflicts with it being disabled"),
    ],
)
def test_settings_that_contradict_each_other(opened: Callable[..., ClientToolchains], kinds: list[str], sentence: str) -> None:
    """They are told at the start."""
    entry = {"compiler_executable": "/cc", "archive": "/a", "archive_compiler_executable": "/cc"}
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        opened(toolchains=tuple({**entry, "type": kind} for kind in kinds))


def test_the_default_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str) -> None:
    """Beside the cache of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    found = packed(ClientToolchains(DistConfig()), compiler)
    assert found.path == str(tmp_path / "xdg/sccache-dist-client/client/tc" / found.id)
