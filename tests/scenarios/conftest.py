"""Fixtures of the scenarios."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arena import Arena
from arena.products import chosen


@pytest.fixture
def arena() -> Iterator[Arena]:
    """A place of its own for each test, short enough for a socket's path."""
    folder = Path(tempfile.mkdtemp(prefix="sc-"))
    place = Arena(folder, chosen(folder / "bin"))
    if not place.product.command.exists():
        shutil.rmtree(folder, ignore_errors=True)
        pytest.fail(f"no product to test: {place.product.command} does not exist (pip install . first)")
    yield place
    place.close()
