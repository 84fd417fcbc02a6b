"""Compilers are found and recognised as they are, whatever they are called."""

import os
import subprocess
from pathlib import Path

import pytest

from sccache.compilers import detect


@pytest.mark.parametrize(
    ("command", "family", "plusplus"),
    [("gcc", "gcc", False), ("g++", "gcc", True), ("clang", "clang", False), ("clang++", "clang", True)],
)
def test_real_compilers_are_recognised(tmp_path: Path, command: str, family: str, plusplus: bool) -> None:
    """The probe tells the family and whether the driver is for C++."""
    source = tmp_path / "probe.c"
    source.write_text(detect.PROBE_SOURCE)
    output = subprocess.run([command, "-E", str(source)], check=True, capture_output=True).stdout
    identity = detect.read_probe(output)
    assert identity is not None
    assert (identity.family, identity.plusplus) == (family, plusplus)
    assert any(character.isdigit() for character in identity.version)


@pytest.mark.parametrize("output", [b"", b"sccache_compiler\n", b"\xff\xfe", b"hello\nworld"])
def test_what_is_no_preprocessor_is_not_recognised(output: bytes) -> None:
    """Output without the marker is no compiler."""
    assert detect.read_probe(output) is None


def _executable(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_links_to_caches_are_passed_over(tmp_path: Path) -> None:
    """`gcc` that is a link to ccache or to us is not the compiler; the next on PATH is."""
    cache = _executable(tmp_path / "bin" / "ccache")
    (tmp_path / "links").mkdir()
    os.symlink(cache, tmp_path / "links" / "gcc")
    real = _executable(tmp_path / "real" / "gcc")
    located = detect.locate("gcc", "/", f"{tmp_path}/none:{tmp_path}/links:{tmp_path}/real")
    assert located is not None
    assert located.path == real
    assert located.absent == {f"{tmp_path}/none": ["gcc"]}
    by_path = detect.locate(f"{tmp_path}/links/gcc", "/", f"{tmp_path}/real")
    assert by_path is not None
    assert by_path.path == real


@pytest.mark.parametrize("name", ["./bin/gcc", "bin//gcc", ".//bin/./gcc"])
def test_paths_are_spelled_as_the_observer_spells_them(tmp_path: Path, name: str) -> None:
    """Else a wrapper script was not known for the program that had been observed, and its variables did not count."""
    expected = _executable(tmp_path / "bin" / "gcc")
    located = detect.locate(name, str(tmp_path), "/nowhere")
    assert located is not None
    assert located.path == expected
    located = detect.locate("gcc", str(tmp_path), f"{tmp_path}/.//bin/")
    assert located is not None
    assert located.path == expected
    assert detect.locate("../up/gcc", str(_up(tmp_path)), "/nowhere") == detect.Located(f"{tmp_path}/x/../up/gcc", {})


def _up(tmp_path: Path) -> Path:
    (tmp_path / "x").mkdir()
    _executable(tmp_path / "up" / "gcc")
    return tmp_path / "x"


def test_a_missing_compiler_is_none(tmp_path: Path) -> None:
    """Nothing is made up."""
    assert detect.locate("gcc", str(tmp_path), str(tmp_path)) is None
    assert detect.locate("./gcc", str(tmp_path), str(tmp_path)) is None


def test_only_native_drivers_are_transparent(tmp_path: Path) -> None:
    """A script may choose its compiler by anything, so it is asked each time."""
    assert detect.is_transparent("/usr/bin/gcc")
    assert not detect.is_transparent(_executable(tmp_path / "gcc"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("gcc", "g++", "cc", "c++", "clang", "clang++", "gcc-12", "clang-14", "x86_64-linux-gnu-g++-12")),
        *(
            (name, True)
            for name in ("arm-none-eabi-gcc-12.2.1", "i686-w64-mingw32-gcc-12-posix", "clang-cl", "cl.exe", "armclang", "nvc++")
        ),
        *((name, False) for name in ("distcc", "icecc", "mpicc", "gomacc", "afl-cc", "afl-clang-fast", "colorgcc", "gcc-ar", "clang-repl")),
    ],
)
def test_programs_that_run_compilers_are_not_transparent(tmp_path: Path, name: str, expected: bool) -> None:
    """distcc under gcc's name ran another gcc when PATH led to one, and the old object was taken for its."""
    path = tmp_path / name
    path.write_bytes(b"\x7fELF")
    assert detect.is_transparent(str(path)) is expected


def test_other_programs_are_not_transparent(tmp_path: Path) -> None:
    """Whatever they are."""
    assert not detect.is_transparent("/bin/true")
