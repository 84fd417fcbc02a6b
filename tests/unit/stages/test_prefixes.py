"""Programs before the compiler are told from compilers, and only the compile goes through them."""

import asyncio
import os
from pathlib import Path

import pytest

from sccache.model import CompileRequest
from sccache.stages.hands import Command, Ran
from sccache.stages.prefixes import Prefix, PrefixedHands


def request(tmp_path: Path, *argv: str, **env: str) -> CompileRequest:
    for name in ("distcc", "ccache", "gcc", "other"):
        path = tmp_path / name
        if not path.exists():
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
    if not (tmp_path / "links").exists():
        (tmp_path / "links").mkdir()
        os.symlink("../distcc", tmp_path / "links" / "gcc")
        os.symlink("../other", tmp_path / "links" / "icecc")
    return CompileRequest(argv, str(tmp_path), {"PATH": str(tmp_path), **env}, 0o022)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("distcc", "gcc", "-c", "a.c"), ("distcc",)),
        (("./distcc", "gcc", "-c", "a.c"), ("./distcc",)),
        (("ccache", "distcc", "gcc", "-c", "a.c"), ("ccache", "distcc")),
        (("distcc", "links/gcc", "-c", "a.c"), ("distcc",)),
    ],
)
def test_found(tmp_path: Path, argv: tuple[str, ...], words: tuple[str, ...]) -> None:
    """One or several, by any path, before a program that is there."""
    found = Prefix.find(request(tmp_path, *argv))
    assert found is not None
    assert found.words == words
    assert found.request.argv == argv[len(words) :]
    assert os.path.samefile(found.executable, tmp_path / os.path.basename(words[0]))


@pytest.mark.parametrize(
    "argv",
    [
        ("gcc", "-c", "a.c"),
        ("distcc",),
        ("distcc", "-c", "a.c"),
        ("distcc", "--version"),
        ("distcc", "a.c"),
        ("distcc", "no-such-compiler", "-c", "a.c"),
        ("links/gcc", "-c", "a.c"),
        ("links/icecc", "gcc", "-c", "a.c"),
        ("other", "gcc", "-c", "a.c"),
    ],
)
def test_not_found(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """A compiler, a command without one, a program of such a name that is another."""
    assert Prefix.find(request(tmp_path, *argv)) is None


def test_variables_that_choose_the_compiler(tmp_path: Path) -> None:
    """Then nobody knows who compiles."""
    assert Prefix.find(request(tmp_path, "ccache", "gcc", "-c", "a.c", CCACHE_COMPILER="clang")) is None


def test_distcc_that_takes_another_gcc(tmp_path: Path) -> None:
    """It looks for the name with the machine before it; where that is the same file all is well."""
    asked = request(tmp_path, "distcc", "gcc", "-c", "a.c")
    full = tmp_path / f"{os.uname().machine}-linux-gnu-gcc"
    full.symlink_to("gcc")
    assert Prefix.find(asked) is not None
    full.unlink()
    full.symlink_to("other")
    assert Prefix.find(asked) is None
    assert Prefix.find(request(tmp_path, "distcc", "gcc", "-c", "a.c", DISTCC_NO_REWRITE_CROSS="1")) is not None
    assert Prefix.find(request(tmp_path, "ccache", "gcc", "-c", "a.c")) is not None


class _Hands:
    """Writes down what it is to run."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    async def run(self, command: Command) -> Ran:
        self.commands.append(command)
        return Ran(0, 0, b"", b"")


def test_only_the_compile_goes_through(tmp_path: Path) -> None:
    """The compiler stands behind it as the user spelled it; questions go to the compiler itself."""
    prefix = Prefix.find(request(tmp_path, "ccache", "distcc", "gcc", "-c", "a.c"))
    assert prefix is not None
    hands = _Hands()
    question = Command(f"{tmp_path}/gcc", ("-###",), name="gcc")
    compile_it = Command(f"{tmp_path}/gcc", ("-c", "a.c"), is_compile=True, name="gcc", scratch=("x",))
    for command in (question, compile_it):
        asyncio.run(PrefixedHands(hands, prefix).run(command))
    assert hands.commands == [
        question,
        Command(f"{tmp_path}/ccache", ("distcc", "gcc", "-c", "a.c"), is_compile=True, name="ccache", scratch=("x",)),
    ]
