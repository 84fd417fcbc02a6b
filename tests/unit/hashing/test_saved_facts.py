"""The file in which a memory of digests survives the daemon."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.errors import DamagedError
from sccache.hashing.saved_facts import SavedFile, decode_saved, encode_saved

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
PATHS = st.text(st.characters(exclude_characters="\0", max_codepoint=0xD7FF), min_size=1, max_size=9)
FILES = st.builds(SavedFile, PATHS, st.tuples(INT64, INT64, INT64, INT64, INT64), st.binary(min_size=32, max_size=32), st.integers(0, 255))


@given(st.lists(FILES, max_size=5, unique_by=lambda file: file.path))
def test_what_was_saved_comes_back(files: list[SavedFile]) -> None:
    """Every file, each once, whole or one by one."""
    saved = decode_saved(encode_saved(files))
    assert list(saved.rest()) == files
    for file in files:
        assert saved.take(file.path) == file
        assert saved.take(file.path) is None
    assert len(saved) == 0


@given(st.data())
def test_damage_is_noticed(data: st.DataObject) -> None:
    """A changed byte anywhere, or a missing end, is an error and not another memory."""
    whole = encode_saved([SavedFile("/f", (1, 2, 3, 4, 5), bytes(32), 0)])
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.integers(1, 255))
    for damaged in (whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :], whole[:at]):
        with pytest.raises(DamagedError):
            decode_saved(damaged)


def test_ten_thousand_headers_are_a_megabyte() -> None:
    """The size that the daemon writes at its end."""
    files = [
        SavedFile(f"/usr/include/some/library/header{n}.h", (5, n, 900, n << 40, n << 41), n.to_bytes(4) * 8, 0) for n in range(10_000)
    ]
    assert len(encode_saved(files)) < 1_500_000
