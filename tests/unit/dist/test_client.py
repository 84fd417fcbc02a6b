"""What a client of a farm sends, against a scheduler and workers that speak the wire over real HTTP and TLS."""

import os
from pathlib import Path

import pytest
from tests.unit.dist.farm_fakes import (
    TOKEN,
    always,
    certificate,
    digest,
    framed,
    job,
)
from tests.unit.dist.farm_world import Packed, World, failure, play

from sccache.dist.client import Finished, Unavailable
from sccache.dist.client_worker import AT_ONCE_BYTES, INLINE_BYTES
from sccache.dist.messages import Missing, OutputFile


def test_a_job_is_done_and_its_outputs_come_back(tmp_path: Path) -> None:
    """One question, one request, on connections that are kept for the next."""

    async def scene(world: World) -> None:
        for _ in range(3):
            outcome = await world.run()
            assert isinstance(outcome, Finished)
            assert outcome.worker == world.workers[0].address
            assert outcome.result.stderr == b"ready"
            assert outcome.outputs == ((OutputFile(b"/w/x.o", 6, digest(b"INT X;")), b"INT X;"),)
        assert [len(header.sent) for header in world.workers[0].requests] == [1, 0, 0]
        assert set(world.scheduler.tokens) == {"Bearer " + TOKEN}
        assert set(world.workers[0].tokens) == {"Bearer the-right"}
        assert len(world.scheduler.connections) == len(world.workers[0].connections) == 1

    play(tmp_path, scene)


def test_much_that_is_unknown_is_asked_for_first(tmp_path: Path) -> None:
    """Another client may have sent it: only what the worker lacks goes over the wire, once."""
    big, known = tmp_path / "big.h", tmp_path / "known.h"
    big.write_bytes(os.urandom(AT_ONCE_BYTES + 1))
    known.write_bytes(b"known")

    async def scene(world: World) -> None:
        worker = world.workers[0]
        worker.store[digest(b"known")] = b"known"
        assert isinstance(await world.run(world.source, big, known), Finished)
        assert isinstance(await world.run(world.source, big, known), Finished)
        lacked = (digest(world.source.read_bytes()), digest(big.read_bytes()))
        assert [header.sent for header in worker.requests] == [(), lacked, ()]

    play(tmp_path, scene)


def test_long_inputs_are_streamed(tmp_path: Path) -> None:
    """They are not held in memory; the worker gets them whole."""
    long = tmp_path / "long.h"
    long.write_bytes(os.urandom(3 * INLINE_BYTES) + b"\0" * (4 << 20))

    async def scene(world: World) -> None:
        outcome = await world.run(long, world.source)
        assert isinstance(outcome, Finished)
        assert outcome.outputs[0][1] == (long.read_bytes() + world.source.read_bytes()).upper()

    play(tmp_path, scene)


def test_a_worker_that_dropped_contents_gets_them_again(tmp_path: Path) -> None:
    """What the client remembers of a worker is a guess."""

    async def scene(world: World) -> None:
        await world.run()
        world.workers[0].store.clear()
        assert isinstance(await world.run(), Finished)
        assert [len(header.sent) for header in world.workers[0].requests] == [1, 0, 1]

    play(tmp_path, scene)


def test_a_worker_that_drops_contents_always_is_given_up(tmp_path: Path) -> None:
    """No round trips without end."""

    async def scene(world: World) -> None:
        world.workers[0].before = [always(framed(Missing((digest(b"int x;"),))))] * 9
        assert "asks for contents again" in failure(await world.run())

    play(tmp_path, scene)


def test_another_certificate_is_another_worker(tmp_path: Path) -> None:
    """After a restart with a new certificate nothing is taken for known."""

    async def scene(world: World) -> None:
        await world.run()
        peers = world.farm._workers._peers
        assert [key[1] for key in peers] == [certificate("a")[1]]

    play(tmp_path, scene)


@pytest.mark.parametrize("content", [b"int y;", b"int x; // longer", b"int", None])
def test_an_input_that_has_changed_is_not_sent(tmp_path: Path, content: bytes | None) -> None:
    """The compile is done here, with what is there now; that is no failure of the farm."""

    async def scene(world: World) -> None:
        header, contents = job(world.source)
        world.source.unlink()
        if content is not None:
            world.source.write_bytes(content)
        outcome = await world.farm.run(header, contents, world.packed)
        assert outcome == Unavailable(f"{world.source} was changed while it was compiled", is_failure=False)
        assert world.workers[0].requests == []

    play(tmp_path, scene)


def test_a_long_input_that_has_changed_cuts_its_request_off(tmp_path: Path) -> None:
    """It is seen only when most of it has gone: the worker never gets the end."""
    long = tmp_path / "long.h"
    long.write_bytes(os.urandom(8 << 20))

    async def scene(world: World) -> None:
        header, contents = job(long)
        with long.open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"?")
        outcome = await world.farm.run(header, contents, world.packed)
        assert outcome == Unavailable(f"{long} was changed while it was compiled", is_failure=False)

    play(tmp_path, scene)


def test_an_input_that_became_a_pipe_blocks_nothing(tmp_path: Path) -> None:
    """Nobody writes into it."""

    async def scene(world: World) -> None:
        header, contents = job(world.source)
        world.source.unlink()
        os.mkfifo(world.source)
        assert isinstance(await world.farm.run(header, contents, world.packed), Unavailable)

    play(tmp_path, scene)


def test_a_toolchain_is_uploaded_when_the_worker_says_so(tmp_path: Path) -> None:
    """Then the job is sent again, with the token that it has."""
    archive = tmp_path / "toolchain"
    archive.write_bytes(os.urandom(3 << 20))

    async def scene(world: World) -> None:
        worker = world.workers[0]
        worker.has_all_toolchains = False
        world.packed = Packed(digest(archive.read_bytes()).hex(), str(archive))
        assert isinstance(await world.run(), Finished)
        assert isinstance(await world.run(), Finished)
        assert worker.toolchains == {world.packed.id: archive.read_bytes()}
        assert [asked.toolchain for asked in world.scheduler.asked] == [world.packed.id] * 2

    play(tmp_path, scene)


def test_a_toolchain_that_is_gone_here_is_a_failure(tmp_path: Path) -> None:
    """The size limit may have taken it; the worker is not to blame, but cannot work either."""

    async def scene(world: World) -> None:
        world.workers[0].has_all_toolchains = False
        assert "the packed toolchain is gone here" in failure(await world.run())
        assert world.farm._avoided == {}

    play(tmp_path, scene)


def test_a_toolchain_that_is_refused_or_asked_for_for_ever(tmp_path: Path) -> None:
    """Both end in a local compile, with the worker's words."""
    archive = tmp_path / "toolchain"
    archive.write_bytes(b"damaged")

    async def scene(world: World) -> None:
        world.workers[0].has_all_toolchains = False
        world.packed = Packed(path=str(archive))
        assert "it answers 422: that is another archive" in failure(await world.run())
        again = always(framed(Missing((), toolchain=True)))
        world.workers[0].before = [again, always(b"", 204), again]
        assert "asks for a toolchain again" in failure(await world.run())

    play(tmp_path, scene)
