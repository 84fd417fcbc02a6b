"""Limits of a process are raised as far as is allowed, and never lowered."""

import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
TOLD = (
    "import resource, sys; from sccache.util.limits import raise_limit; "
    "raise_limit(resource.RLIMIT_CORE, *map(int, sys.argv[1:])); print(*resource.getrlimit(resource.RLIMIT_CORE))"
)


@pytest.mark.parametrize(
    ("before", "most", "soft"),
    [
        ("100:4000", (), 4000),
        ("100:4000", (300,), 300),
        ("100:4000", (9000,), 4000),
        ("500:4000", (300,), 500),
        ("4000:4000", (), 4000),
        ("0:4000", (300,), 300),
    ],
)
def test_raised(before: str, most: tuple[int, ...], soft: int) -> None:
    """Of the size of cores, which any number may be."""
    argv = ["prlimit", f"--core={before}", sys.executable, "-c", TOLD, *map(str, most)]
    done = subprocess.run(argv, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(soft), "4000"]
