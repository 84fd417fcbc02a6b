"""Several processes on one cache directory: no torn blobs, honest sizes, limits kept, kill -9 survived."""

import hashlib
import multiprocessing
import os
import random
import signal
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from sccache.errors import StorageError
from sccache.storage.base import Kind
from sccache.storage.disk import DiskStorage

OPERATIONS = 1500
PROCESSES = multiprocessing.get_context("spawn")


def blob_of(seed: random.Random) -> bytes:
    """A blob that says itself whether it is whole."""
    body = bytes([seed.randrange(256)]) * seed.randrange(20_000)
    return hashlib.sha256(body).digest() + body


def is_whole(blob: bytes) -> bool:
    return hashlib.sha256(blob[32:]).digest() == blob[:32]


def keys() -> list[str]:
    return [hashlib.sha256(b"%d" % number).hexdigest() for number in range(400)]


def operate(root: str, number: int, limit: int) -> None:
    """Random puts, gets, drops and evictions; exit code 1 if a blob was torn."""
    seed = random.Random(number)
    names = keys()
    storage = DiskStorage(root, limit)
    for _ in range(OPERATIONS):
        key, kind = seed.choice(names), seed.choice(list(Kind))
        chance = seed.random()
        if chance < 0.5:
            storage.put_nowait(key, kind, blob_of(seed))
        elif chance < 0.9:
            blob = storage.get_nowait(key, kind)
            if blob is not None and not is_whole(blob):
                os._exit(1)
        elif chance < 0.99:
            storage.drop(key, kind)
        else:
            storage.keep_house()
    storage.close()


def put_for_ever(root: str, started: Event) -> None:
    """Write until killed."""
    seed = random.Random(1)
    storage = DiskStorage(root, 1 << 30)
    while True:
        storage.put_nowait(seed.choice(keys()), Kind.ENTRY, blob_of(seed))
        started.set()


def bytes_there(root: Path) -> int:
    return sum(path.lstat().st_size for path in root.rglob("?" * 64))


def test_random_operations_of_two_processes(tmp_path: Path) -> None:
    """After thousands of operations with evictions between them, the known size is the real one and no blob is torn."""
    root, limit = tmp_path / "cache", 2 << 20
    workers = [PROCESSES.Process(target=operate, args=(str(root), number, limit)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    storage = DiskStorage(str(root), limit)
    assert storage.used_bytes() == bytes_there(root) > limit // 2
    storage.keep_house()
    assert storage.used_bytes() == bytes_there(root) <= limit
    assert not [name for name in os.listdir(root) if name.startswith(".sccachetmp")]
    storage.close()


def test_a_killed_writer_costs_less_than_one_percent(tmp_path: Path) -> None:
    """Kill -9 in the middle of writing: sizes stay honest, others go on at once, every blob left is whole."""
    root = tmp_path / "cache"
    started = PROCESSES.Event()
    writers = [PROCESSES.Process(target=put_for_ever, args=(str(root), started)) for _ in range(2)]
    for writer in writers:
        writer.start()
    assert started.wait(120)
    storage = DiskStorage(str(root), 1 << 30)
    for number, writer in enumerate(writers):
        while (storage.used_bytes() or 0) < (number + 1) << 20:
            pass
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join(30)
    real = bytes_there(root)
    assert abs((storage.used_bytes() or 0) - real) <= max(2 * 20_032, real // 100)  # one file in flight each
    storage.put_nowait("ab" * 32, Kind.ENTRY, b"still works")
    assert all(is_whole(blob) for key in keys() if (blob := storage.get_nowait(key, Kind.ENTRY)) is not None)
    storage.close()


def test_the_background_thread_keeps_the_limit(tmp_path: Path) -> None:
    """Nobody calls for housekeeping: the thread evicts by itself, and stops when told to."""
    root = tmp_path / "cache"
    storage = DiskStorage(str(root), 100_000)
    for key in keys():
        storage.put_nowait(key, Kind.ENTRY, b"x" * 1000)
    patience = threading.Event()
    for _ in range(200):
        if (storage.used_bytes() or 0) <= 100_000:
            break
        patience.wait(0.05)  # another thread's work: waited for, with a deadline
    assert bytes_there(root) <= 100_000
    storage.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "sccache-disk-keeper"]


def test_two_storages_of_one_directory_agree(tmp_path: Path) -> None:
    """What one daemon writes or removes, another sees at once, size included; each keeps its own limit."""
    root = tmp_path / "cache"
    one, two = DiskStorage(str(root), 10_000), DiskStorage(str(root), 500)
    for key in keys()[:5]:
        one.put_nowait(key, Kind.ENTRY, b"x" * 100)
    assert (one.used_bytes(), two.used_bytes()) == (500, 500)
    assert two.get_nowait(keys()[0], Kind.ENTRY) == b"x" * 100
    two.drop(keys()[0], Kind.ENTRY)
    assert one.get_nowait(keys()[0], Kind.ENTRY) is None
    assert one.used_bytes() == 400
    with pytest.raises(StorageError, match="File too large"):
        two.put_nowait(keys()[9], Kind.ENTRY, b"x" * 501)
    one.close()
    two.close()
