"""The worker's store of inputs: what is in it is what its digest says, and there is not more of it than allowed."""

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from sccache.dist.contents import Contents
from sccache.dist.messages import FILE_TIME_S, File, JobHeader, Missing
from sccache.dist.sandbox.base import Limits
from sccache.dist.worker_job import Runner
from sccache.errors import DamagedError

HELLO = b"hello"


def add(store: Contents, data: bytes) -> bytes:
    digest = blake3(data).digest()
    store.add(digest, len(data), [data[:2], data[2:]])
    return digest


def files(place: Path) -> list[str]:
    return sorted(path.name for path in place.rglob("*") if path.is_file())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "contents"


@pytest.fixture
def store(place: Path) -> Contents:
    return Contents(str(place), 1000)


def test_what_is_missing(store):
    """Each once, in the order of asking."""
    known = add(store, HELLO)
    other, third = b"o" * 32, b"t" * 32
    assert store.missing([third, known, other, third]) == (third, other)
    assert store.missing([]) == ()


def test_a_name_in_a_tree(store, tmp_path):
    """Of the mode and time that a job is to see; private where it is kept."""
    digest = add(store, HELLO)
    for name, executable, mode in (("plain", False, 0o444), ("program", True, 0o555)):
        path = tmp_path / name
        store.link(digest, executable=executable, path=str(path))
        found = path.stat()
        assert path.read_bytes() == HELLO
        assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (mode, FILE_TIME_S)
    assert stat.S_IMODE((tmp_path / "contents").stat().st_mode) == 0o700


def test_plain_and_executable_are_two_files(store, tmp_path):
    """One inode has one mode; both count."""
    digest = add(store, HELLO)
    assert store.total_bytes == 5
    for name, executable in (("a", True), ("b", True), ("c", False)):
        store.link(digest, executable=executable, path=str(tmp_path / name))
    assert os.path.samefile(tmp_path / "a", tmp_path / "b")
    assert not os.path.samefile(tmp_path / "a", tmp_path / "c")
    assert store.total_bytes == 10


@pytest.mark.parametrize(("data", "size"), [(b"hellO", 5), (b"hell", 5), (b"hello", 4), (b"hello!", 5), (b"", 5)])
def test_false_contents(store, place, data, size):
    """Refused whatever is wrong with them; nothing stays."""
    with pytest.raises(DamagedError):
        store.add(blake3(HELLO).digest(), size, [data])
    assert files(place) == []
    assert store.missing([blake3(HELLO).digest()])
    assert store.total_bytes == 0


def test_contents_that_are_cut_off(store, place):
    """Nothing stays of them."""

    def pieces():
        yield b"he"
        raise OSError("cut off")

    with pytest.raises(OSError, match="cut off"):
        store.add(blake3(HELLO).digest(), 5, pieces())
    assert files(place) == []


def test_empty_content(store, tmp_path):
    """A file of no bytes is one."""
    digest = blake3(b"").digest()
    store.add(digest, 0, [])
    store.link(digest, executable=False, path=str(tmp_path / "empty"))
    assert (tmp_path / "empty").read_bytes() == b""


def test_again(store, place):
    """The same content twice is kept once."""
    add(store, HELLO)
    add(store, HELLO)
    assert store.total_bytes == 5
    assert len(files(place)) == 1


def test_the_least_recently_used_goes(store, place, tmp_path):
    """With its twin; trees that have it keep it."""
    one, two = add(store, b"1" * 300), add(store, b"2" * 300)
    store.link(one, executable=True, path=str(tmp_path / "tree"))
    assert store.total_bytes == 900
    store.missing([two])
    add(store, b"3" * 300)
    assert store.missing([one, two]) == (one,)
    assert store.total_bytes == 600
    assert not [name for name in files(place) if name.startswith(one.hex())]
    assert (tmp_path / "tree").read_bytes() == b"1" * 300


def test_asking_is_using(store):
    """What a job is about to need is not the next to go."""
    one, two = add(store, b"1" * 400), add(store, b"2" * 400)
    store.missing([one])
    add(store, b"3" * 400)
    assert store.missing([one, two]) == (two,)


def test_one_that_is_larger_than_all(store):
    """It is there for the job that sent it."""
    digest = add(store, b"x" * 5000)
    assert store.missing([digest]) == ()
    add(store, HELLO)
    assert store.missing([digest]) == (digest,)


def test_gone_behind_our_back(store, place, tmp_path):
    """KeyError, and from then on it is missing; the count is right."""
    digest = add(store, HELLO)
    for path in place.rglob("*"):
        if path.is_file():
            path.unlink()
    for executable in (False, True):
        with pytest.raises(KeyError):
            store.link(digest, executable=executable, path=str(tmp_path / "x"))
    assert store.missing([digest]) == (digest,)
    assert store.total_bytes == 0
    assert files(place) == []


def test_after_a_restart(store, place, tmp_path):
    """All is there, with its twins; what was being written is not, nor is what has no such name."""
    digest = add(store, HELLO)
    store.link(digest, executable=True, path=str(tmp_path / "x"))
    (place / "new-abc").write_bytes(b"half")
    (place / digest.hex()[:2] / "README").write_bytes(b"what")
    again = Contents(str(place), 1000)
    assert again.missing([digest]) == ()
    assert again.total_bytes == 10
    assert files(place) == [digest.hex(), digest.hex() + "-x"]


def test_after_a_restart_with_less_room(store, place):
    """The next content makes it so."""
    for number in range(3):
        add(store, bytes([number]) * 300)
    again = Contents(str(place), 500)
    kept = add(again, b"x" * 300)
    assert again.total_bytes <= 500
    assert again.missing([kept]) == ()


@pytest.mark.parametrize("room", [1000, 100])
def test_many_threads(place, tmp_path, room):
    """The same and other contents at once, with and without room for all: the numbers are right in the end, no content is another's."""
    store = Contents(str(place), room)
    datas = [bytes([number % 10]) * 20 for number in range(300)]
    gone: list[bytes] = []

    def work(name: str) -> None:
        for number, data in enumerate(datas):
            path = tmp_path / f"{name}-{number}"
            try:
                store.link(add(store, data), executable=number % 3 == 0, path=str(path))
            except KeyError as error:
                gone.append(error.args[0])
                continue
            assert path.read_bytes() == data

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not gone or room == 100
    assert store.total_bytes == sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    assert store.total_bytes == Contents(str(place), room).total_bytes <= room


def test_what_was_damaged_comes_again(store, place, tmp_path):
    """Cut off on disk while the worker runs: forgotten, and taken anew."""
    digest = add(store, HELLO)
    (name,) = (path for path in place.rglob("*") if path.is_file())
    os.truncate(name, 2)
    store.discard_if_damaged(digest, 2)
    assert store.missing([digest]) == (digest,)
    assert files(place) == []
    assert store.total_bytes == 0
    add(store, HELLO)
    store.link(digest, executable=False, path=str(tmp_path / "name"))
    assert (tmp_path / "name").read_bytes() == HELLO


def test_what_was_damaged_before_the_start_is_replaced(store, place, tmp_path):
    """Its size then is what the disk says; what comes with the right digest counts more, for its executable twin too."""
    digest = add(store, HELLO)
    store.link(digest, executable=True, path=str(tmp_path / "before"))
    for path in place.rglob("*"):
        if path.is_file():
            os.truncate(path, 2)
    again = Contents(str(place), 1000)
    add(again, HELLO)
    for executable in (False, True):
        again.link(digest, executable=executable, path=str(tmp_path / f"name-{executable}"))
        assert (tmp_path / f"name-{executable}").read_bytes() == HELLO
    assert again.total_bytes == 2 * len(HELLO)


def test_a_wrong_size_in_a_job_costs_nobody_a_content(store, tmp_path):
    """A client that knows a digest and lies about its size gets nothing, and the others keep what they have sent."""
    digest = add(store, HELLO)
    (tmp_path / "tree").mkdir()
    header = JobHeader(
        toolchain="0" * 64, executable=b"/cc", argv=(b"cc",), environment=(), cwd=b"/", umask=0, directories=(), links=(),
        files=(File(b"/w/x.h", digest, len(HELLO) + 1),), outputs=(),
    )  # fmt: skip
    runner = Runner(None, store, str(tmp_path / "tree"), Limits())  # type: ignore[arg-type]
    answer, _ = asyncio.run(runner.run(header, "/nowhere"))
    assert answer == Missing((digest,))
    assert store.missing([digest]) == ()
