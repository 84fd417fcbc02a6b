"""The worker's toolchains: believed by their digest, unpacked once, kept while they are used."""

import contextlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from blake3 import blake3
from tests.unit.dist.test_archive import a_file, info, packed

from sccache.dist.toolchain_store import Toolchains
from sccache.errors import DamagedError, StorageError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "tc"


@pytest.fixture
def store(place: Path) -> Toolchains:
    return Toolchains(str(place), 10_000)


def archive_of(tmp_path: Path, content: bytes) -> tuple[str, bytes]:
    """Id and bytes."""
    data = packed(tmp_path / "archive", a_file("/usr/bin/cc", content)).read_bytes()
    return blake3(data).hexdigest(), data


def give(store: Toolchains, name: str, data: bytes) -> None:
    receiving = store.receive(name)
    try:
        for start in range(0, len(data), 100):
            receiving.write(data[start : start + 100])
        receiving.finish()
    finally:
        receiving.discard()


def test_a_toolchain(store, place, tmp_path):
    """Is there as a directory; nothing else is left."""
    name, data = archive_of(tmp_path, b"compiler")
    assert not store.has(name)
    give(store, name, data)
    assert store.has(name)
    assert store.ids() == (name,)
    with store.lease(name) as directory:
        assert (Path(directory) / "usr/bin/cc").read_bytes() == b"compiler"
    assert os.listdir(place) == [name]
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_not_what_its_name_says(store, place, tmp_path):
    """Refused, and nothing stays: sccache keeps it."""
    name, data = archive_of(tmp_path, b"compiler")
    for wrong in (data + b"\0", data[:-1], b""):
        with pytest.raises(DamagedError, match="not what its name says"):
            give(store, name, wrong)
    assert not store.has(name)
    assert os.listdir(place) == []


def test_an_archive_that_leads_outside(place, tmp_path):
    """Its digest is right, and yet it is refused."""
    store = Toolchains(str(place), 1 << 20)
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as out:
        out.addfile(info("../../escaped", tarfile.SYMTYPE, "/etc"))
    data = path.read_bytes()
    name = blake3(data).hexdigest()
    with pytest.raises(DamagedError, match="refused"):
        give(store, name, data)
    assert os.listdir(place) == []
    assert not (tmp_path / "escaped").exists()


def test_more_than_there_is_room_for(store, place):
    """Cut off while it comes in."""
    receiving = store.receive("ab" * 32)
    for _ in range(10):
        receiving.write(bytes(1000))
    with pytest.raises(StorageError, match="toolchain_cache_size"):
        receiving.write(bytes(1000))
    receiving.discard()
    receiving.discard()
    assert os.listdir(place) == []


def test_a_small_archive_of_a_large_toolchain(place, tmp_path):
    """What it unpacks to counts as well."""
    store = Toolchains(str(place), 1 << 20)
    path = tmp_path / "large.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        large = info("large", tarfile.REGTYPE)
        large.size = 2 << 20
        out.addfile(large, io.BytesIO(bytes(large.size)))
    data = path.read_bytes()
    with pytest.raises(DamagedError, match="refused"):
        give(store, blake3(data).hexdigest(), data)
    assert os.listdir(place) == []


def test_twice(store, tmp_path):
    """The second is taken for what is there."""
    name, data = archive_of(tmp_path, b"compiler")
    give(store, name, data)
    give(store, name, data)
    assert store.ids() == (name,)


def test_the_least_recently_used_goes(store, place, tmp_path):
    """Not one that a build uses, nor the one that has just come."""
    names = []
    for number in range(2):
        name, data = archive_of(tmp_path, bytes([number]) * 4000)
        give(store, name, data)
        names.append(name)
    with store.lease(names[0]):
        pass
    name, data = archive_of(tmp_path, b"x" * 4000)
    give(store, name, data)
    assert set(store.ids()) == {names[0], name}
    assert set(os.listdir(place)) == {names[0], name}
    with store.lease(names[0]) as directory, store.lease(name):
        last, data = archive_of(tmp_path, b"y" * 9000)
        give(store, last, data)
        assert set(store.ids()) == {names[0], name, last}
        assert os.path.isdir(directory)


def test_those_in_use_are_not_more_than_twice_as_much(store, place, tmp_path):
    """Each job may name a toolchain of its own: what is in use stays, and what would be too much is not taken."""
    with contextlib.ExitStack() as leases:
        for number in range(2):
            name, data = archive_of(tmp_path, bytes([number]) * 8000)
            give(store, name, data)
            leases.enter_context(store.lease(name))
        there = set(store.ids())
        last, data = archive_of(tmp_path, b"y" * 8000)
        with pytest.raises(OSError, match="too many toolchains"):
            give(store, last, data)
        assert set(store.ids()) == there == set(os.listdir(place))
    give(store, last, data)
    assert store.has(last)


def test_archives_that_come_in_have_so_much_room(store, place):
    """All together, and what one gives back is the next one's."""
    coming = [store.receive(f"{number:064x}") for number in range(3)]
    for receiving in coming[:2]:
        receiving.write(bytes(10_000))
    with pytest.raises(OSError, match="too much is being received"):
        coming[2].write(b"x")
    coming[0].discard()
    coming[2].write(b"x")
    for receiving in coming:
        receiving.discard()
    assert store.room.left_bytes == 20_000
    assert os.listdir(place) == []


def test_a_lease_of_what_is_gone(store):
    """KeyError: the job is compiled elsewhere."""
    with pytest.raises(KeyError), store.lease("ab" * 32):
        pass


def test_after_a_restart(store, place, tmp_path):
    """What is whole is there with its size, halves and strangers are not."""
    name, data = archive_of(tmp_path, b"x" * 6000)
    give(store, name, data)
    (place / "new-half").mkdir()
    (place / "new-file").write_bytes(b"x")
    (place / "README").write_bytes(b"x")
    (place / ("ef" * 32)).symlink_to("/etc")
    again = Toolchains(str(place), 10_000)
    assert again.ids() == (name,)
    assert os.listdir(place) == [name]
    assert os.path.isdir("/etc")
    other, data = archive_of(tmp_path, b"y" * 6000)
    give(again, other, data)
    assert again.ids() == (other,)
