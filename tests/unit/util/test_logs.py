"""logs.py: the filter's grammar and the line."""

import io
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.util import logs


@pytest.fixture
def quiet_root() -> Iterator[None]:
    """The root logger as it was before."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("text", "module", "level"),
    [
        ("debug", "anything", logging.DEBUG),
        ("DEBUG", "anything", logging.DEBUG),
        ("", "anything", logging.ERROR),
        ("1", "anything", logs.OFF),
        ("sccache=trace,warn", "sccache.daemon", logs.TRACE),
        ("sccache=trace,warn", "asyncio", logging.WARNING),
        ("sccache=trace", "asyncio", logs.OFF),
        ("sccache::daemon=debug,sccache=error", "sccache.daemon.server", logging.DEBUG),
        ("sccache::daemon=debug,sccache=error", "sccache.cli", logging.ERROR),
        ("sccache", "sccache.cli", logs.TRACE),
        ("sccache=loud", "sccache", logging.ERROR),
        ("off", "sccache", logs.OFF),
        ("sccacheX=debug", "sccache", logs.OFF),
    ],
)
def test_filters(text: str, module: str, level: int):
    """The longest module that fits decides, then the bare level."""
    assert logs.parse_filter(text).level(module) == level


@given(st.text(max_size=30))
def test_any_filter(text: str):
    """Any text is a filter."""
    assert logs.parse_filter(text).least() <= logs.OFF


def logged(text: str, *, milliseconds: bool = False) -> list[str]:
    stream = io.StringIO()
    logs.setup(text, milliseconds=milliseconds, stream=stream)
    log = logging.getLogger("sccache.test")
    log.debug("fine %s", "x")
    log.warning("odd")
    log.error("bad")
    return stream.getvalue().splitlines()


def test_line(quiet_root: None):
    """Time, level, module, message."""
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ DEBUG sccache\.test\] fine x", logged("debug")[0])


def test_milliseconds(quiet_root: None):
    """Exactly three digits, if wanted."""
    assert re.match(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z DEBUG ", logged("debug", milliseconds=True)[0])


def test_levels_named(quiet_root: None):
    """Levels have the names that the filter uses."""
    assert [line.split()[1] for line in logged("trace")] == ["DEBUG", "WARN", "ERROR"]
    assert len(logged("warn")) == 2
    assert logged("off") == []


def test_text_filter(quiet_root: None):
    """Behind a slash stands what a message must contain."""
    assert len(logged("debug/odd")) == 1


def test_again(quiet_root: None):
    """A second setup replaces the first."""
    logged("debug")
    assert len(logged("error")) == 1
