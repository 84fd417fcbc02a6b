"""The size ledger: never a crash, honest again after one round."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sccache.storage.base import Kind
from sccache.storage.disk import DiskStorage
from sccache.storage.disk_ledger import LEDGER_NAME, SLOTS, UNKNOWN, Ledger, slot_of

KEYS = [f"{number:02x}" * 32 for number in range(256)]


@settings(max_examples=20, deadline=None)
@given(st.one_of(st.binary(max_size=5000), st.binary(max_size=50).map(lambda tail: b"sccsizes\1\0\0\0" + tail)))
def test_any_bytes_as_a_ledger(junk: bytes) -> None:
    """Whatever stands in the file, storing works and the size is right after housekeeping."""
    with tempfile.TemporaryDirectory() as root:
        Path(f"{root}/.sccache-sizes").write_bytes(junk)
        storage = DiskStorage(root, 1 << 20)
        for key in KEYS[:5]:
            storage.put_nowait(key, Kind.ENTRY, b"x" * 10)
        storage.drop(KEYS[0], Kind.ENTRY)
        storage.keep_house()
        assert storage.used_bytes() == 40
        storage.close()


def test_one_slot_counts_one_leaf(tmp_path: Path) -> None:
    """A key's first two digits say which."""
    assert [slot_of(key) for key in KEYS] == list(range(SLOTS))
    ledger = Ledger(str(tmp_path), read_only=False)
    with ledger.locked():
        ledger.add(7, 100)
        ledger.add(7, -30)
        ledger.add(8, -1)
    assert ledger.total_bytes() == 70
    ledger.close()


def test_a_stale_count_is_not_recorded(tmp_path: Path) -> None:
    """A slot that changed while it was counted keeps what its writers said."""
    ledger = Ledger(str(tmp_path), read_only=False)
    changes = ledger.changes(3)
    with ledger.locked():
        ledger.add(3, 50)
    assert not ledger.settle(3, 1000, changes)
    assert ledger.total_bytes() == 50
    assert ledger.settle(3, 60, ledger.changes(3))
    assert ledger.total_bytes() == 60
    ledger.close()


def test_an_uncounted_directory_is_estimated(tmp_path: Path) -> None:
    """Files that were there before the ledger: unknown, then estimated from the counted slots, then exact."""
    (tmp_path / "a").mkdir()
    ledger = Ledger(str(tmp_path), read_only=False)
    assert ledger.total_bytes() is None
    with ledger.locked():
        ledger.add(0, 10)  # an unknown slot stays unknown
    assert len(ledger.uncounted()) == SLOTS
    for slot in range(SLOTS // 2):
        assert ledger.settle(slot, 100, ledger.changes(slot))
    assert ledger.total_bytes() == SLOTS * 100
    assert ledger.uncounted() == list(range(SLOTS // 2, SLOTS))
    ledger.close()
    assert UNKNOWN == 2**64 - 1


def test_a_link_is_no_ledger(tmp_path: Path) -> None:
    """Whoever may write into the directory could have a file elsewhere made, or written over."""
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / LEDGER_NAME).symlink_to(elsewhere)
    for read_only in (False, True):
        with pytest.raises(OSError, match="symbolic links"):
            Ledger(str(tmp_path), read_only=read_only)
    assert not elsewhere.exists()
