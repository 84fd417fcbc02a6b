"""flights.py: who waits for whose compile."""

import asyncio
from contextlib import suppress

from sccache.stages.flights import Flight, Flights


async def _waiting(flights: Flights, count: int) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.create_task(flights.joined("k")) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def test_nobody_waits_for_nothing() -> None:
    """Without a compile of the same key under way the answer comes at once."""

    async def main() -> None:
        flights = Flights()
        with flights.begin("other"):
            assert not await flights.joined("k")

    asyncio.run(main())


def test_all_look_again_once_it_is_kept() -> None:
    """The end of the compile is not enough: its result has to be found."""

    async def main() -> None:
        flights = Flights()
        with flights.begin("k") as flight:
            tasks = await _waiting(flights, 7)
            flight.keep_later()
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        flight.land(kept=True)
        assert await asyncio.gather(*tasks) == [True] * 7
        assert not await flights.joined("k")

    asyncio.run(main())


def test_all_go_on_when_it_fails() -> None:
    """None waits for another of those who waited with it, and the next time nobody waits for this key at all."""

    async def main() -> None:
        flights = Flights()
        with suppress(ConnectionResetError), flights.begin("k"):
            tasks = await _waiting(flights, 7)
            raise ConnectionResetError  # its launcher is gone
        assert await asyncio.gather(*tasks) == [False] * 7
        with flights.begin("k") as flight:
            assert not await flights.joined("k")
            flight.land(kept=True)
        with flights.begin("k") as flight:  # kept at last: worth waiting for again
            (task,) = await _waiting(flights, 1)
            flight.land(kept=True)
            assert await task

    asyncio.run(main())


def test_waiting_in_vain_is_not_repeated() -> None:
    """A result that was kept and did not help, such as one bound to another checkout."""

    async def main() -> None:
        flights = Flights()
        flights.was_in_vain("k")
        with flights.begin("k"):
            assert not await flights.joined("k")

    asyncio.run(main())


def test_waiting_ends_in_any_case() -> None:
    """A compile that takes longer than the limit is not waited for, and one who leaves takes nobody along."""

    async def main() -> None:
        flights = Flights(wait_limit_s=0.01)
        with flights.begin("k") as flight:
            assert not await flights.joined("k")
            patient = Flights()
            patient._flying = flights._flying
            stays, leaves = await _waiting(patient, 2)
            leaves.cancel()
            await asyncio.sleep(0)
            flight.land(kept=True)
            assert await stays

    asyncio.run(main())


def test_a_second_compile_of_the_key_changes_nothing() -> None:
    """Who waited in vain compiles beside the others; its landing is not theirs."""

    async def main() -> tuple[Flight, bool]:
        flights = Flights()
        with flights.begin("k") as first:
            with flights.begin("k") as second:
                pass
            assert second.landed.done()
            return first, flights._flying["k"] is first

    _, is_first = asyncio.run(main())
    assert is_first
