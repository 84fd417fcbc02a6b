"""The wheel's native parts: compiled here where that is possible, left out with one sentence where it is not.

Owns: what goes into the wheel beside the package.  Must not know: compilers and flags (native/compile.py).
"""

import hashlib
import importlib.util
import os
import re
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HINT = "Install a C compiler and Python's headers, then reinstall pysccache, for full speed."
IN_PYTHON = "Python takes its place"
NO_WORKER = "sccache-dist server cannot run here"
UNOBSERVED = "Rust crates that are linked or use procedural macros are compiled and not cached"


class NativeBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's parameter is of no use to us
    """Put commands and extension module into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling what to pack."""
        root = Path(self.root)
        self._work = tempfile.TemporaryDirectory(prefix="pysccache-build-")
        work = Path(self._work.name)
        native = _load(root / "native" / "compile.py")
        is_editable = version == "editable"
        build_id = "source" if is_editable else _digest(root)  # the source tree's own _build.py says so
        missing: list[str] = []

        launcher = work / "launcher"
        text = f"{_package_version(root)}+{build_id}"
        has_launcher = _try(native, lambda: native.compile_launcher(launcher, text), "the native launcher", IN_PYTHON, missing)
        command = launcher if has_launcher else root / "native" / "launcher-script"
        for name, source in [("sccache", command), ("sccache-dist", command), ("sccache-python", root / "native" / "sccache-python")]:
            script = work / name
            script.write_bytes(source.read_bytes())
            script.chmod(0o755)  # not every way here keeps modes
            build_data["shared_scripts"][str(script)] = name
        module = work / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
        has_module = _try(native, lambda: native.compile_module(module), "the native module", IN_PYTHON, missing)
        if has_module and not is_editable:  # scripts/build-native puts it into the source tree
            build_data["force_include"][str(module)] = f"sccache/{module.name}"
        program, shim = work / "sccache-observe", work / "libsccache-observe.so"
        has_observer = _try(native, lambda: native.compile_observer(program, shim), "the observer of Rust compiles", UNOBSERVED, missing)
        if has_observer and not is_editable:
            for path in (program, shim):
                build_data["force_include"][str(path)] = f"sccache/{path.name}"

        enter = work / "sccache-enter"
        has_enter = _try(native, lambda: native.compile_enter(enter), "the last step of a worker's sandbox", NO_WORKER, [])
        if has_enter and not is_editable:
            build_data["force_include"][str(enter)] = f"sccache/{enter.name}"

        if not is_editable:
            facts = work / "_build.py"
            source = (root / "src/sccache/_build.py").read_text()
            note = _note(missing, is_slower=not (has_launcher and has_module), is_blind=not has_observer)
            facts.write_text(_facts(source, build_id, note, NATIVE_LAUNCHER=has_launcher, NATIVE_MODULE=has_module))
            build_data["force_include"][str(facts)] = "sccache/_build.py"
        build_data["pure_python"] = not (has_launcher or has_module or has_observer or has_enter)
        if has_module:
            build_data["infer_tag"] = True
        elif has_launcher or has_observer or has_enter:
            build_data["tag"] = f"py3-none-{_platform()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Take the compiled files away."""
        self._work.cleanup()


def _try(native: ModuleType, build: Any, what: str, instead: str, missing: list[str]) -> bool:
    try:
        build()
    except native.CannotCompile as e:
        missing.append(f"{what} could not be built ({e})")
        sys.stderr.write(f"pysccache: {missing[-1]}; {instead}\n")
        return False
    return True


def _note(missing: list[str], *, is_slower: bool, is_blind: bool) -> str:
    """Say what is missing, what that costs, and what helps: a compiler does not give another system an observer."""
    said = [f"{' and '.join(missing)}."] if missing else []
    if is_blind:
        said.append(f"{UNOBSERVED}.")
    if is_slower:
        said.append(HINT)
    return " ".join(said)


def _facts(source: str, build_id: str, note: str, **built: bool) -> str:
    """Fill in the source tree's _build.py."""
    values = {"BUILD_ID": build_id, "NOTE": note, **built}
    for name, value in values.items():
        source, count = re.subn(rf"^{name} = .*$", lambda _, name=name, value=value: f"{name} = {value!r}", source, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"_build.py has {count} lines that set {name}")
    return source


def _digest(root: Path) -> str:
    """Launcher and daemon of one build know each other by this; two builds of the same sources may work together."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([*root.glob("src/sccache/**/*.py"), *root.glob("native/*")]):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _package_version(root: Path) -> str:
    match = re.search(r'^__version__ = "(.+)"$', (root / "src/sccache/__init__.py").read_text(), re.MULTILINE)
    if match is None:
        raise ValueError("src/sccache/__init__.py does not set __version__")
    return match[1]


def _platform() -> str:
    return os.environ.get("_PYTHON_HOST_PLATFORM", sysconfig.get_platform()).replace("-", "_").replace(".", "_")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("native_compile", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
