"""WebDAV over nginx, Apache and a cache that knows only GET and PUT."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.contracts.backend_contract import BackendContract
from tests.servers.place import Place
from tests.servers.webdav import (
    PASSWORD,
    USERNAME,
    WebdavPlace,
    apache_basic,
    bazel,
    nginx_basic,
    nginx_bearer,
    nginx_log_in,
    nginx_open,
    nginx_read_only,
)

from sccache.config.load import load
from sccache.errors import StorageError, Trouble
from sccache.storage.webdav import WebdavBackend


class TestNginxOpen(BackendContract):
    """Without credentials."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return nginx_open(folder)


class TestNginxBasic(BackendContract):
    """User name and password, an address with a path."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return nginx_basic(folder)


class TestNginxBearer(BackendContract):
    """A token; folders must be made."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return nginx_bearer(folder)


class TestApache(BackendContract):
    """Another server of the protocol."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return apache_basic(folder)


class TestBazel(BackendContract):
    """Flat names, no folders, only GET and PUT."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return bazel(folder)

    def other_prefix(self, place: Place) -> Mapping[str, str]:
        """Its instances are what prefixes are elsewhere."""
        env = place.environment()
        return {**env, "SCCACHE_WEBDAV_ENDPOINT": env["SCCACHE_WEBDAV_ENDPOINT"].replace("/instance/", "/other/")}


def made(env: Mapping[str, str]) -> WebdavBackend:
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", **env}, "/").remotes
    return WebdavBackend(remote.settings, remote.ambient)


def run(env: Mapping[str, str], body: Callable[[WebdavBackend], Awaitable[None]]) -> None:
    async def main() -> None:
        async with aclosing(made(env)) as backend:
            await body(backend)

    asyncio.run(main())


def methods(place: WebdavPlace, count: int) -> list[str]:
    """What nginx was asked, `PUT /a/b`, sorted: it notes a request some time after its answer, so not always in their order."""
    give_up = time.monotonic() + 30.0
    lines: list[str] = []
    while len(lines) < count and time.monotonic() < give_up:
        lines = (place.folder / "access.log").read_text().splitlines()
        time.sleep(0.01)
    return sorted(" ".join(line.split('"')[1].split()[:2]) for line in lines)


def test_folders_are_made_only_where_they_are_missing(tmp_path: Path) -> None:
    """One MKCOL a folder; none once it is known."""

    async def body(backend: WebdavBackend) -> None:
        for name in ("a/b/c/1", "a/b/c/2", "a/b/d/3"):
            await backend.write(name, b"x")

    with nginx_bearer(tmp_path / "server") as place:
        run({**place.environment(), "SCCACHE_WEBDAV_KEY_PREFIX": "p q/"}, body)
        assert methods(place, 10) == [
            "MKCOL /p%20q/", "MKCOL /p%20q/a/", "MKCOL /p%20q/a/b/", "MKCOL /p%20q/a/b/c/", "MKCOL /p%20q/a/b/d/",
            *["PUT /p%20q/a/b/c/1"] * 2, "PUT /p%20q/a/b/c/2", *["PUT /p%20q/a/b/d/3"] * 2,
        ]  # fmt: skip


def test_folders_that_were_deleted(tmp_path: Path) -> None:
    """Somebody empties the server while we remember its folders: they are made again."""

    async def body(backend: WebdavBackend) -> None:
        await backend.write("a/b/c/1", b"x")
        shutil.rmtree(folder / "a")
        await backend.write("a/b/c/1", b"y")
        assert await backend.read("a/b/c/1") == b"y"

    with nginx_bearer(tmp_path / "server") as place:
        folder = place.folder / "data"
        run(place.environment(), body)


@pytest.mark.parametrize("server", [nginx_bearer, apache_basic])
def test_many_make_folders_at_once(server: Callable[..., object], tmp_path: Path) -> None:
    """Tasks and machines that meet in a new folder do not hinder each other."""

    async def body(backend: WebdavBackend) -> None:
        async with aclosing(made(env)) as other:
            names = [f"{number % 3}/{number % 4}/{number % 5}/{number}" for number in range(60)]
            await asyncio.gather(*(each.write(name, name.encode()) for name in names for each in (backend, other)))
            assert await asyncio.gather(*(other.read(name) for name in names)) == [name.encode() for name in names]

    with server(tmp_path / "server") as place:  # type: ignore[attr-defined]
        env = place.environment()
        run(env, body)


def test_a_server_without_put(tmp_path: Path) -> None:
    """It is read-only, and what it has is read."""

    async def body(backend: WebdavBackend) -> None:
        assert await backend.read("a/b") == b"there"
        with pytest.raises(StorageError) as caught:
            await backend.write("a/c", b"x")
        assert caught.value.trouble is Trouble.READ_ONLY

    with nginx_read_only(tmp_path / "server") as place:
        (place.folder / "data" / "a").mkdir()
        (place.folder / "data" / "a" / "b").write_bytes(b"there")
        run(place.environment(), body)


def test_a_page_is_no_object(tmp_path: Path) -> None:
    """A gateway that wants a log-in is told from a cache that has nothing."""

    async def body(backend: WebdavBackend) -> None:
        for use in (backend.read("a/b"), backend.write("a/b", b"x")):
            with pytest.raises(StorageError) as caught:
                await use
            assert caught.value.trouble is Trouble.WRONG_PLACE

    with nginx_log_in(tmp_path / "server") as place:
        run(place.environment(), body)


def test_credentials_inside_the_address(tmp_path: Path) -> None:
    """They are used, and in no message."""

    async def body(backend: WebdavBackend) -> None:
        await backend.write("a/b", b"x")
        assert await backend.read("a/b") == b"x"
        with pytest.raises(StorageError) as caught:
            await backend.write("large", bytes(place.max_object_bytes + 1))
        assert caught.value.trouble is Trouble.TOO_LARGE
        assert USERNAME not in str(caught.value)
        assert PASSWORD not in str(caught.value)

    with nginx_basic(tmp_path / "server") as place:
        url = place.environment()["SCCACHE_WEBDAV_ENDPOINT"]
        run({"SCCACHE_WEBDAV_ENDPOINT": url.replace("//", f"//{USERNAME}:{quote(PASSWORD, safe='')}@", 1)}, body)
