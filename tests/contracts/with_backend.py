"""What the contracts of remote storage share: a test with an event loop, names, a backend of variables.

Owns: how a backend is made of a place's variables.  Must not know: what is promised.
"""

import asyncio
import functools
import itertools
import random
from collections.abc import Callable, Coroutine, Mapping

from sccache.config.load import load
from sccache.config.schema import RemoteConfig
from sccache.storage.base import Backend, Kind, object_name
from sccache.storage.factory import open_backend

PATIENCE_S = 60.0
"""No request of these tests takes that long, unless it hangs."""

_numbers = itertools.count()
_run = random.SystemRandom().randbytes(6).hex()

Test = Callable[..., Coroutine[None, None, None]]


def with_loop(body: Test) -> Callable[..., None]:
    """Make a test of the coroutine `body`, in an event loop of its own; it may not take for ever."""

    @functools.wraps(body)
    def test(*arguments: object, **fixtures: object) -> None:
        async def run() -> None:
            async with asyncio.timeout(10 * PATIENCE_S):
                await body(*arguments, **fixtures)

        asyncio.run(run())

    return test


def new_name(kind: Kind = Kind.ENTRY) -> str:
    """The name of an object that no test has used, in the shape of real ones."""
    key = f"{next(_numbers):04x}{_run}".ljust(64, "e")
    return object_name(key[::-1], kind)


def remote_config(env: Mapping[str, str]) -> RemoteConfig:
    """The one remote storage that these variables configure."""
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", **env}, "/").remotes
    return remote


def make_backend(env: Mapping[str, str]) -> Backend:
    """What the daemon makes of these variables."""
    return open_backend(remote_config(env))
