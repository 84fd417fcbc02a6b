"""Log lines `[2025-10-09T14:42:35Z DEBUG module] message` on standard error, chosen by a filter.

    <filter> ::= <directive> ("," <directive>)* ["/" <text>]
    <directive> ::= <level> | <module> | <module> "=" <level>
    <level> ::= off | error | warn | info | debug | trace      (either case)

A module covers those below it (`sccache::daemon` or `sccache.daemon`); the longest that fits counts; a bare level is for all
others; without one they are off, and an empty filter means `error`.  Only messages that contain <text> are shown.
Owns: that grammar and that line.  Must not know: who logs what.
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

from msgspec import Struct

TRACE = 5
OFF = logging.CRITICAL + 10
LEVELS = {
    "off": OFF,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
NAMES = {TRACE: "TRACE", logging.DEBUG: "DEBUG", logging.INFO: "INFO", logging.WARNING: "WARN"}  # all above are ERROR
ALL_MODULES = ""


class Filter(Struct, frozen=True):
    """What is shown."""

    levels: dict[str, int]
    """Least level by module; the empty name is for all others."""
    text: str = ""

    def level(self, module: str) -> int:
        """The least level that is shown of a module."""
        while module:
            if module in self.levels:
                return self.levels[module]
            module = module.rpartition(".")[0]
        return self.levels.get(ALL_MODULES, OFF)

    def least(self) -> int:
        """The least level that is shown of any module."""
        return min(self.levels.values(), default=OFF)


def parse_filter(text: str) -> Filter:
    """Read a filter; directives that say nothing sensible are passed over."""
    directives, _, wanted = text.partition("/")
    levels: dict[str, int] = {}
    for directive in (part.strip() for part in directives.split(",")):
        if not directive:
            continue
        module, equals, level = directive.partition("=")
        if not equals and module.lower() in LEVELS:
            levels[ALL_MODULES] = LEVELS[module.lower()]
        elif not equals or not level:
            levels[_dotted(module)] = TRACE
        elif level.lower() in LEVELS:
            levels[_dotted(module)] = LEVELS[level.lower()]
    return Filter(levels or {ALL_MODULES: logging.ERROR}, wanted)


def _dotted(module: str) -> str:
    return module.strip().replace("::", ".")


_hiding: list[Callable[[str], str]] = []  # at most one


def hide_with(hide: Callable[[str], str]) -> None:
    """Send each line through `hide` from now on: libraries log what they like, and tracebacks hold messages of theirs."""
    _hiding[:] = [hide]
    if logging.lastResort is not None:  # what shows warnings where nothing was set up
        logging.lastResort.setFormatter(_Bare())


def _hidden(text: str) -> str:
    for hide in _hiding:
        text = hide(text)
    return text


class _Bare(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _hidden(super().format(record))


class _Formatter(logging.Formatter):
    def __init__(self, *, milliseconds: bool) -> None:
        super().__init__()
        self._milliseconds = milliseconds

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        if self._milliseconds:
            stamp += f".{int(record.msecs):03}"
        name = NAMES.get(record.levelno, "ERROR")
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return f"[{stamp}Z {name} {record.name}] {_hidden(message)}"


class _Handler(logging.StreamHandler[TextIO]):
    def __init__(self, chosen: Filter, stream: TextIO, *, milliseconds: bool) -> None:
        super().__init__(stream)
        self._chosen = chosen
        self.setFormatter(_Formatter(milliseconds=milliseconds))

    def filter(self, record: logging.LogRecord) -> bool:
        shown = record.levelno >= self._chosen.level(record.name)
        return shown and self._chosen.text in record.getMessage()


def setup(filter_text: str, *, milliseconds: bool, stream: TextIO | None = None) -> None:
    """Log from now on, by default to standard error; calling it again replaces the former choice."""
    chosen = parse_filter(filter_text)
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    root.addHandler(_Handler(chosen, stream or sys.stderr, milliseconds=milliseconds))
    root.setLevel(chosen.least())
