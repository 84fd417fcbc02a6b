"""The scheduler without sockets and clocks stays without them."""

import ast
from pathlib import Path

import pytest

DIST = Path(__file__).resolve().parents[3] / "src" / "sccache" / "dist"
PURE = ["scheduler", "fleet", "waiting", "scheduler_checks", "messages"]
IMPURE = {
    "asyncio",
    "socket",
    "subprocess",
    "time",
    "datetime",
    "random",
    "secrets",
    "os",
    "threading",
    "logging",
    "aiohttp",
    "jwt",
    "pathlib",
}


@pytest.mark.parametrize("module", PURE)
def test_imports(module):
    """Nothing that knows the time, chance or the world outside; whole days of it can be simulated."""
    tree = ast.parse((DIST / f"{module}.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            own = node.module or ""
            found.add(own.partition(".")[0])
            assert not own.startswith("sccache") or own.rpartition(".")[2] in PURE
    assert found & IMPURE == set()
