"""What the tests of hashing share: both tables of stamps, a clock past all stamps, changes that show."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sccache.hashing import stamps
from sccache.hashing.files import FileMemory

try:
    from sccache import _native
except ImportError:
    NATIVE = pytest.param(None, id="native", marks=pytest.mark.skip(reason="the C extension is not built: scripts/build-native"))
else:
    NATIVE = pytest.param(_native.StampTable, id="native")


@pytest.fixture(params=[pytest.param(stamps.StampTable, id="python"), NATIVE])
def table_type(request: pytest.FixtureRequest) -> type[stamps.StampTable]:
    found: type[stamps.StampTable] = request.param
    return found


def late_clock_ns() -> int:
    """A minute after now: everything that a test has written is settled."""
    return time.time_ns() + 60_000_000_000


@pytest.fixture
def memory(table_type: type[stamps.StampTable]) -> FileMemory:
    return FileMemory(clock_ns=late_clock_ns, table=table_type)


def until_it_shows(path: Path, change: Callable[[], object]) -> None:
    """Change what is behind a path, again until the kernel's coarse clock (4 ms) has ticked and the stamp shows it."""
    before = stamps.look(str(path))
    change()
    while stamps.look(str(path)) == before:
        change()


@pytest.fixture
def write() -> Callable[[Path, bytes], None]:
    """Write a file so that its stamp shows it."""
    return lambda path, data: until_it_shows(path, lambda: path.write_bytes(data))


@pytest.fixture
def create() -> Callable[[Path], None]:
    """Create a file so that its directory's stamp shows it."""

    def create_file(path: Path) -> None:
        def again() -> None:
            path.unlink(missing_ok=True)
            path.touch()

        until_it_shows(path.parent, again)

    return create_file
