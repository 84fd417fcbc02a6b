"""Tokens are shared, renewed before their end, and kept while a renewal fails."""

import asyncio
import time

import pytest

from sccache.errors import StorageError, Trouble
from sccache.storage.tokens import Token, TokenKeeper


class Source:
    """Gives numbered tokens of the lives that it was told, or fails."""

    def __init__(self, *lives_s: float | None) -> None:
        self.lives_s = list(lives_s)
        self.count = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> Token:
        self.count += 1
        await self.gate.wait()
        life_s = self.lives_s.pop(0)
        if life_s is None:
            raise StorageError("gone", Trouble.UNREACHABLE)
        return Token(f"token{self.count}", time.time() + life_s)


def test_it_is_fetched_once_while_it_lives() -> None:
    """However many ask, now and later."""

    async def run() -> None:
        source = Source(3600)
        keeper = TokenKeeper(source.fetch)
        assert await asyncio.gather(*(keeper.get() for _ in range(5))) == ["token1"] * 5
        assert await keeper.get() == "token1"
        keeper.drop("another")
        assert await keeper.get() == "token1"

    asyncio.run(run())


@pytest.mark.parametrize("life_s", [0, -5])
def test_one_at_its_end_is_replaced(life_s: float) -> None:
    """By the next request."""

    async def run() -> None:
        keeper = TokenKeeper(Source(life_s, 3600).fetch)
        assert [await keeper.get(), await keeper.get()] == ["token1", "token2"]

    asyncio.run(run())


def test_a_dropped_one_is_replaced() -> None:
    """The service refused it, whatever its end says."""

    async def run() -> None:
        keeper = TokenKeeper(Source(3600, 3600).fetch)
        keeper.drop(await keeper.get())
        assert await keeper.get() == "token2"

    asyncio.run(run())


def test_an_old_one_serves_while_renewing_fails() -> None:
    """And the source is left alone for a while."""

    async def run() -> None:
        source = Source(3600, None)
        keeper = TokenKeeper(source.fetch)
        await keeper.get()
        keeper._renew_at_s = 0.0
        assert [await keeper.get(), await keeper.get()] == ["token1", "token1"]
        assert source.count == 2

    asyncio.run(run())


def test_who_stops_waiting_leaves_it_to_the_others() -> None:
    """A cancelled request does not end the fetch."""

    async def run() -> None:
        source = Source(3600)
        source.gate.clear()
        keeper = TokenKeeper(source.fetch)
        first, second = (asyncio.ensure_future(keeper.get()) for _ in range(2))
        while not source.count:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        source.gate.set()
        assert await second == "token1"
        assert source.count == 1

    asyncio.run(run())


def test_a_failure_reaches_all_who_wait_and_is_forgotten() -> None:
    """The next request asks again."""

    async def run() -> None:
        keeper = TokenKeeper(Source(None, 3600).fetch)
        outcomes = await asyncio.gather(keeper.get(), keeper.get(), return_exceptions=True)
        assert all(isinstance(outcome, StorageError) for outcome in outcomes)
        assert await keeper.get() == "token2"

    asyncio.run(run())
