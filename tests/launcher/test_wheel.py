"""What `pip install` gets: commands and native parts where they can be built, Python where not."""

import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys; from hatchling.builders.wheel import WheelBuilder; print(*WheelBuilder(sys.argv[1]).build(directory=sys.argv[2]))"

OBSERVER = ("sccache/sccache-observe", "sccache/libsccache-observe.so", "sccache/sccache-enter")
OBSERVES = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")

pytest.importorskip("hatchling", reason="building a wheel needs hatchling (the dev extra)")


def build(tmp_path, **env):
    """Build in a process of its own, as pip does; give the wheel and what was said."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, ROOT, tmp_path], env=os.environ | env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    return zipfile.ZipFile(wheel), done.stderr


def scripts(wheel):
    return {name.rsplit("/", 1)[1]: wheel.read(name) for name in wheel.namelist() if ".data/scripts/" in name}


def facts(wheel):
    return dict(re.findall(r"^([A-Z_]+) = (.*)$", wheel.read("sccache/_build.py").decode(), re.MULTILINE))


def test_with_a_compiler(tmp_path):
    """The commands are the native launcher, the extension module is in the package, the tag names the platform."""
    wheel, _ = build(tmp_path)
    commands = scripts(wheel)
    assert set(commands) == {"sccache", "sccache-dist", "sccache-python"}
    assert commands["sccache"] == commands["sccache-dist"]
    assert commands["sccache"].startswith(b"\x7fELF")
    assert commands["sccache-python"].startswith(b"#!python\n")
    said = facts(wheel)
    assert (said["NATIVE_LAUNCHER"], said["NATIVE_MODULE"]) == ("True", "True")
    assert (said["NOTE"] == "''") == OBSERVES
    assert said["BUILD_ID"].strip("'").encode() in commands["sccache"], "launcher and package would take each other for strangers"
    assert any(re.fullmatch(r"sccache/_native\..*so", name) for name in wheel.namelist())
    assert wheel.namelist().count("sccache/_build.py") == 1
    if OBSERVES:
        assert all(wheel.read(name).startswith(b"\x7fELF") for name in OBSERVER)
        assert wheel.getinfo(OBSERVER[0]).external_attr >> 16 & 0o111 == 0o111, "it could not be run"
    assert "py3-none-any" not in wheel.filename


def test_without_a_compiler(tmp_path):
    """The wheel is pure; its commands are scripts for pip to complete; it says what is missing."""
    wheel, said = build(tmp_path, CC="/bin/false")
    commands = scripts(wheel)
    assert set(commands) == {"sccache", "sccache-dist", "sccache-python"}
    assert all(text.startswith(b"#!python\n") for text in commands.values())
    assert facts(wheel)["NATIVE_LAUNCHER"] == facts(wheel)["NATIVE_MODULE"] == "False"
    assert "the native launcher could not be built (/bin/false: exit code 1)" in facts(wheel)["NOTE"]
    assert "the native launcher could not be built" in said
    assert "the observer of Rust compiles could not be built" in facts(wheel)["NOTE"]
    assert "Rust crates that are linked or use procedural macros are compiled and not cached. Install" in facts(wheel)["NOTE"]
    (observer,) = (line for line in said.splitlines() if "observer" in line)
    assert observer.endswith("are compiled and not cached"), "Python does not take its place"
    assert wheel.filename.endswith("-py3-none-any.whl")
    assert not set(OBSERVER) & set(wheel.namelist())
    assert not any("_native" in name and name.endswith(".so") for name in wheel.namelist())


def test_scripts_are_executable(tmp_path):
    """Installers that keep modes, and those that do not, give commands that run."""
    wheel, _ = build(tmp_path, CC="/bin/false")
    modes = {info.filename: info.external_attr >> 16 & 0o111 for info in wheel.infolist() if ".data/scripts/" in info.filename}
    assert set(modes.values()) == {0o111}
