"""What a wrapper adds to a command line shows in the driver's listing, and nothing that changes by itself."""

import subprocess
from pathlib import Path

import pytest

from sccache.compilers.listings import added, listing_command

needs_real = pytest.mark.parametrize("compiler", ["gcc", "clang"])


def listed(cwd: Path, program: str, *args: str) -> str:
    argv = (program, *args)
    done = subprocess.run([program, *listing_command(argv)], cwd=cwd, capture_output=True, text=True, check=True)
    return added(done.stderr, argv)


@needs_real
def test_same_command_same_words(tmp_path: Path, compiler: str) -> None:
    """Temporary names do not count."""
    (tmp_path / "a.c").write_text("int x;\n")
    first, second = (listed(tmp_path, compiler, "-c", "a.c", "-o", "a.o", "-MD") for _ in range(2))
    assert first == second
    assert "cc1" in first
    assert not (tmp_path / "a.o").exists()
    assert not (tmp_path / "a.d").exists()


@needs_real
def test_outputs_are_places(tmp_path: Path, compiler: str) -> None:
    """The directory that the object goes to changes nothing that counts."""
    (tmp_path / "a.c").write_text("int x;\n")
    for place in ("", f"{tmp_path}/"):
        for name in ("one", "two"):
            (tmp_path / name).mkdir(exist_ok=True)
        assert len({listed(tmp_path, compiler, "-c", "a.c", "-o", f"{place}{name}/a.o") for name in ("one", "two")}) == 1


@needs_real
def test_what_is_added_counts(tmp_path: Path, compiler: str) -> None:
    """Also what stands in the command line already."""
    (tmp_path / "a.c").write_text("int x;\n")
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *rel.o*) set -- "$@" -O1;; esac\nexec {compiler} "$@"\n')
    wrapper.chmod(0o755)
    debug, release = (listed(tmp_path, str(wrapper), "-O1", "-O2", "-c", "a.c", "-o", name) for name in ("dbg.o", "rel.o"))
    assert debug != release


def test_messages_are_no_commands() -> None:
    """Only lines of commands begin with a space."""
    assert (
        added('Using built-in specs.\nTarget: x\n "cc1" "-quiet" "a.c" "-o" "/tmp/ccAbCdEf.s"\n', ("gcc", "a.c")) == "cc1 -quiet <0 0> -o"
    )
