"""What messages are kept apart by: everything that changes how a compiler words them, and nothing else."""

import pytest

from sccache.compilers import c_family
from sccache.model import CompileRequest, ParsedArguments, Terminal
from sccache.stages.job import diagnostics_context

STDERR = Terminal.STDERR
ALL = Terminal.STDIN | Terminal.STDERR


def context(*options: str, cc: str = "gcc", on: Terminal = Terminal.NONE, columns: int = 0, **env: str) -> bytes:
    request = CompileRequest(argv=(cc, *options, "-c", "a.c"), cwd="/", env=env, umask=0o22, terminal=on, columns=columns)
    parsed = c_family.parse(cc, request.argv, "/", env, plusplus=False)
    assert isinstance(parsed, ParsedArguments)
    return diagnostics_context(cc, request, parsed)


def test_without_a_terminal_its_variables_do_not_count() -> None:
    """COLUMNS and TERM are looked at for terminals only, and colour that depends on one is off."""
    assert context(COLUMNS="60", TERM="xterm", COLORTERM="truecolor") == context("-fdiagnostics-color=never")
    assert context("-fdiagnostics-color=always") != context()


@pytest.mark.parametrize(
    "name", ["TERM", "COLORTERM", "COLUMNS", "NO_COLOR", "TERMINFO", "LANG", "LC_ALL", "GCC_COLORS", "GCC_URLS", "TERM_URLS"]
)
def test_on_a_terminal_its_variables_count(name: str) -> None:
    """Each is asked for by one compiler or the other."""
    assert context(on=STDERR, **{name: "1"}) != context(on=STDERR, **{name: "2"}) != context(on=STDERR)


def test_gcc_asks_stdin_for_the_width() -> None:
    """A job of make that has no terminal on stdin finds no width, whatever stderr's is."""
    assert context(on=STDERR, columns=80) == context(on=STDERR, columns=90)
    assert context(on=ALL, columns=80) != context(on=ALL, columns=90)
    assert context(on=ALL, columns=80) != context(on=STDERR, columns=80)


def test_others_ask_stderr_for_the_width() -> None:
    """What stdin is makes no difference to clang."""
    assert context(cc="clang", on=STDERR, columns=80) == context(cc="clang", on=ALL, columns=80)
    assert context(cc="clang", on=STDERR, columns=80) != context(cc="clang", on=STDERR, columns=90)


@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_COLUMNS_comes_first(cc: str) -> None:
    """With it no terminal is asked; without a number in it one is."""
    assert context(cc=cc, on=ALL, columns=80, COLUMNS="70") == context(cc=cc, on=STDERR, columns=90, COLUMNS="70")
    assert context(cc=cc, on=ALL, columns=80, COLUMNS="") != context(cc=cc, on=ALL, columns=90, COLUMNS="")
