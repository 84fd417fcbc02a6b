"""Fixtures of the scenarios, and the rule that CI accepts no skip it did not expect."""

import fnmatch
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arena import Arena
from arena.products import chosen

EXPECTED_SKIPS = Path(__file__).parent / "expected_skips.txt"
_unexpected: list[str] = []


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


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notice skips that CI does not expect."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        expected = [line for line in EXPECTED_SKIPS.read_text().splitlines() if line and not line.startswith("#")]
        if not any(fnmatch.fnmatch(f"{report.nodeid}: {reason}", pattern) for pattern in expected):
            _unexpected.append(f"{report.nodeid}: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List them."""
    if _unexpected:
        terminalreporter.section("skips that CI does not expect")
        for line in _unexpected:
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip that nobody expected is a failure: a missing install step must not look green."""
    if _unexpected and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
