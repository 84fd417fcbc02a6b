"""Say what a scenario cannot do without; lacking it skips the test with the reason, never silently."""

import shutil
import subprocess
from pathlib import Path

import pytest


def needs(*programs: str) -> None:
    """Skip the running test when one of `programs` is not installed."""
    for program in programs:
        if shutil.which(program, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin") is None:
            pytest.skip(f"needs {program}, which is not installed")


def needs_gcc_plugin_headers() -> Path:
    """Return gcc's plugin include directory, or skip."""
    needs("gcc")
    said = subprocess.run(["gcc", "-print-file-name=plugin"], capture_output=True, text=True, check=True, timeout=20)
    include = Path(said.stdout.strip()) / "include"
    if not (include / "gcc-plugin.h").exists():
        pytest.skip("needs gcc's plugin headers (gcc-12-plugin-dev), which are not installed")
    return include


def needs_hip() -> None:
    """Skip without HIP's headers and device libraries where Debian has them."""
    for path in ("/usr/include/hip/hip_runtime.h", "/usr/lib/x86_64-linux-gnu/amdgcn/bitcode"):
        if not Path(path).exists():
            pytest.skip(f"needs {path} (libamdhip64-dev, rocm-device-libs), which is not installed")
