"""sizes.py: sizes for readers."""

import pytest

from sccache.util.sizes import human_size


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (10 << 30, "10 GiB"), (1536, "2 KiB"), (7 << 40, "7 TiB"), (1 << 64, "16 EiB")],
)
def test_human_size(size: int, shown: str):
    """Binary units without decimals."""
    assert " ".join(human_size(size)) == shown
