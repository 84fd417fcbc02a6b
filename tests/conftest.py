"""What every test may rely on, however the run was started; and the rule that CI accepts no skip it did not expect."""

import fnmatch
import os
import signal
from pathlib import Path

import hypothesis
import pytest

# No test asserts a time: on a loaded machine an example may take seconds.
hypothesis.settings.register_profile("loaded", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("loaded")

EXPECTED_SKIPS = Path(__file__).parent / "expected_skips.txt"
_unexpected: list[str] = []

# A run in the background of a shell or under nohup inherits ignored signals, and so would every compiler that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notice skips that CI does not expect."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        expected = [line for line in EXPECTED_SKIPS.read_text().splitlines() if line and not line.startswith("#")]
        if not any(fnmatch.fnmatchcase(f"{report.nodeid}: {reason}", pattern) for pattern in expected):
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
