"""The observer, compiled from this tree, over real programs."""

import dataclasses
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sccache.stages.observation import Observation, Observer, read_report

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120
"""No test comes near it; an observer that hangs fails its test instead of stopping the run."""


def _native() -> ModuleType:
    spec = importlib.util.spec_from_file_location("native_compile", ROOT / "native" / "compile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def observer(tmp_path_factory: pytest.TempPathFactory) -> Observer:
    """Made without warnings: what a compiler doubts in code that runs inside every compile is looked at."""
    if sys.platform != "linux":
        pytest.skip("the observer is for Linux")
    native = _native()
    native._COMMON.append("-Werror")
    place = tmp_path_factory.mktemp("observer")
    made = Observer(str(place / "sccache-observe"), str(place / "libsccache-observe.so"))
    native.compile_observer(Path(made.program), Path(made.shim))
    return made


@dataclasses.dataclass
class Watch:
    """Run programs under observation, with `place` as their directory."""

    observer: Observer
    place: Path
    report: Path

    def command(self, argv: Sequence[str | bytes], *, argv0: str | None = None, shim: bool = True) -> list[str | bytes]:
        program, *rest = argv
        return [self.observer.program, str(self.report), self.observer.shim if shim else "", program, argv0 or program, *rest]

    def run(self, *argv: str | bytes, shim: bool = True, argv0: str | None = None, **more: Any) -> subprocess.CompletedProcess[bytes]:
        given: dict[str, Any] = {"cwd": self.place, "capture_output": True, "timeout": LIMIT_S} | more
        return subprocess.run(self.command(argv, argv0=argv0, shim=shim), check=False, **given)

    def seen(self, *argv: str | bytes, **more: Any) -> Observation:
        """What was noted of a run that must succeed."""
        done = self.run(*argv, **more)
        assert done.returncode == 0, done.stderr
        found = read_report(str(self.report))
        assert found.trouble == ""
        return found


@pytest.fixture
def watch(observer: Observer, tmp_path: Path) -> Watch:
    place = tmp_path / "place"
    place.mkdir()
    return Watch(observer, Path(os.path.realpath(place)), tmp_path / "report")


@pytest.fixture
def compiled(watch: Watch) -> Callable[..., str]:
    """Compile a C program or library; its path."""

    def compile_c(source: str, *options: str, name: str = "program") -> str:
        path = watch.place.parent / name
        subprocess.run(["cc", "-x", "c", "-", "-x", "none", "-o", str(path), *options], input=source.encode(), check=True, timeout=LIMIT_S)
        return str(path)

    return compile_c
