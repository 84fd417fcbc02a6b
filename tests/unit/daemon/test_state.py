"""state.py: where a daemon leaves what outlives it."""

from sccache.config.load import load
from sccache.daemon import state
from sccache.protocol.address import from_env


def test_apart_by_address():
    """Daemons of different addresses that share a cache have statistics of their own, and one memory of files."""
    envs = [{"HOME": "/h"}, {"HOME": "/h", "SCCACHE_SERVER_PORT": "4300"}, {"HOME": "/h", "SCCACHE_SERVER_UDS": "/s"}]
    paths = [state.stats_path(load(env, "/"), from_env(env)) for env in envs]
    assert len(set(paths)) == len(paths)
    assert all(path.startswith("/h/.cache/sccache/daemon/") for path in paths)
    assert len({state.files_path(load(env, "/")) for env in envs}) == 1


def test_with_the_cache():
    """Another cache directory has another's statistics."""
    env = {"HOME": "/h", "SCCACHE_DIR": "/other"}
    assert state.stats_path(load(env, "/"), from_env(env)).startswith("/other/")
