"""Start-up time is a promise: what the launcher imports is watched."""

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"
HEAVY = ["asyncio", "logging", "argparse", "dataclasses", "msgspec", "typing", "subprocess", "re", "ctypes", "tempfile", "json"]


def test_the_launcher_imports_nothing_heavy():
    """In a fresh interpreter; each of these costs milliseconds on every compile."""
    code = f"import sys; sys.path.insert(0, {str(SRC)!r}); import sccache.launcher; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
