"""The way to a scheduler: proxies of the environment, and sentences that say what is wrong."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from tests.unit.dist.farm_fakes import FakeScheduler, job, serving, settings, tls
from tests.unit.dist.farm_world import LONG_S, RULES, Packed, World, failure, play

from sccache.config.schema import DistConfig
from sccache.dist import farm_status
from sccache.dist.client import Farm, Finished
from sccache.dist.scheduler_way import Way, WayError


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def reason_for(url: str, folder: Path) -> str:
    """What a compile is told, and a person who asks."""
    source = folder / "x.c"
    source.write_text("int x;")
    config = settings(DistConfig(url + "/"))
    farm = Farm(config, RULES)
    try:
        reason = failure(await farm.run(*job(source), Packed()))
    finally:
        await farm.aclose()
    assert (await asyncio.to_thread(farm_status.ask, config)).reason == reason
    return reason


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(LONG_S):
            await body()

    asyncio.run(main())


def test_the_proxy_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler is asked through it, with its own credentials; workers are not."""
    seen: list[tuple[str, str, str]] = []

    async def scene(world: World) -> None:
        address, certificate = world.workers[0].named

        async def proxy(request: web.BaseRequest) -> web.StreamResponse:
            seen.append((str(request.url), request.headers.get("Proxy-Authorization", ""), request.headers["Authorization"]))
            return await FakeScheduler([(address, certificate)])._allocate(request)  # type: ignore[arg-type]

        server = await asyncio.get_running_loop().create_server(web.Server(proxy), "127.0.0.1", 0)
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@{place}")
        monkeypatch.setenv("HTTPS_PROXY", f"http://{place}")
        farm = Farm(settings(DistConfig("http://scheduler.invalid:10600/", {"type": "token", "token": "T"})), RULES)
        assert isinstance(await farm.run(*job(world.source, toolchain=world.packed.id), world.packed), Finished)
        await farm.aclose()
        # A new farm: what the environment says is read once.
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        assert isinstance(await world.run(), Finished)
        server.close()

    play(tmp_path, scene)
    basic = "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert seen == [("http://scheduler.invalid:10600/api/v2/allocate", basic, "Bearer T")]


def test_a_proxy_that_is_not_there_or_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentences name it, without its password, so that nobody looks for the trouble at the scheduler."""

    async def refuse(_: web.BaseRequest) -> web.Response:
        return web.Response(status=502)

    async def body() -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
        sentence = "The scheduler http://farm.invalid behind the proxy http://127.0.0.1:1 cannot be reached: "
        assert await reason_for("http://farm.invalid", tmp_path) == sentence + "the proxy has no connection for us (Connection refused)."
        server = await asyncio.get_running_loop().create_server(web.Server(refuse), "127.0.0.1", 0)
        place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("HTTP_PROXY", place)
        monkeypatch.setenv("HTTPS_PROXY", place)
        assert (
            await reason_for("http://farm.invalid", tmp_path) == f"The scheduler http://farm.invalid behind the proxy {place} answers 502."
        )
        assert "the proxy answers 502; NO_PROXY names" in await reason_for("https://farm.invalid", tmp_path)
        server.close()

    run(body)


def test_a_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and nothing is sent past it."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(WayError, match="a proxy of the kind socks5 is set"):
        Way("http://farm.invalid").options({})


def test_tls_that_nobody_signed(tmp_path: Path) -> None:
    """OpenSSL's reason, and not what its number means among the system's errors."""

    async def body() -> None:
        async with serving(web.Application(), tls("scheduler")) as place:
            assert (
                await reason_for(f"https://{place}", tmp_path)
                == f"The scheduler https://{place} cannot be trusted: self-signed certificate."
            )

    run(body)


def test_the_wrong_scheme(tmp_path: Path) -> None:
    """Each way round, the sentence leads to it."""

    async def body() -> None:
        async with serving(web.Application()) as place:
            assert "cannot be trusted: it does not speak TLS." in await reason_for(f"https://{place}", tmp_path)
        async with serving(web.Application(), tls("scheduler")) as place:
            assert "closes the connection without an answer: does it speak https?" in await reason_for(f"http://{place}", tmp_path)

    run(body)
