"""GitHub Actions in both versions of its cache service, over a strict server of the public protocol."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing
from pathlib import Path

import pytest
from tests.contracts.backend_contract import BackendContract
from tests.servers.gha import TOKEN, GhaPlace, gha_v1, gha_v2
from tests.servers.place import Place

from sccache.config.load import load
from sccache.errors import StorageError, Trouble
from sccache.storage.base import CHECK_NAME
from sccache.storage.gha import GhaBackend

KEY = "0123456789abcdef" * 4
ENTRY = f"0/1/2/{KEY}"
MANIFEST = f"preprocessor/{ENTRY}"
WRITE = {
    "gha_v1": ["POST caches", "PATCH caches", "POST caches"],
    "gha_v2": ["CreateCacheEntry", "PUT blob", "FinalizeCacheEntryUpload"],
}
READ = {"gha_v1": ["GET cache", "GET blob"], "gha_v2": ["GetCacheEntryDownloadURL", "GET blob"]}

Server = Callable[[Path], AbstractContextManager[GhaPlace]]


class TestVersion1(BackendContract):
    """As GitHub Enterprise Server has it."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return gha_v1(folder)

    def other_prefix(self, place: Place) -> Mapping[str, str]:
        """The version separates where others have a prefix."""
        return {**place.environment(), "SCCACHE_GHA_VERSION": "other"}


class TestVersion2(TestVersion1):
    """As github.com has it."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return gha_v2(folder)


class Case:
    """A running server, and backends for it."""

    def __init__(self, server: Server, place: GhaPlace) -> None:
        self.place = place
        self.write = WRITE[server.__name__]
        self.read = READ[server.__name__]

    def run(self, body: Callable[[GhaBackend], Awaitable[None]], env: Mapping[str, str] | None = None) -> None:
        async def main() -> None:
            async with aclosing(self.made(env)) as backend:
                await body(backend)

        asyncio.run(main())

    def made(self, env: Mapping[str, str] | None = None) -> GhaBackend:
        (remote,) = load({"SCCACHE_CONF": "/nonexistent", **self.place.environment(), **(env or {})}, "/").remotes
        return GhaBackend(remote.settings, remote.ambient)

    def fresh(self) -> list[str]:
        """The requests since the last call."""
        requests = self.place.requests()
        self.place.control()
        return requests


@pytest.fixture(params=[gha_v1, gha_v2], ids=lambda server: server.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with request.param(tmp_path / "server") as place:
        yield Case(request.param, place)


def test_few_requests(case: Case) -> None:
    """Three to write, two to read, one for a miss; one to learn that an object is there already."""

    async def body(backend: GhaBackend) -> None:
        assert await backend.read(ENTRY) is None
        assert case.fresh() == case.read[:1]
        await backend.write(ENTRY, b"first")
        assert case.fresh() == case.write
        async with aclosing(case.made()) as other:
            await other.write(ENTRY, b"second")
            assert case.fresh() == case.write[:1]
        assert await backend.read(ENTRY) == b"first"
        assert case.fresh() == case.read

    case.run(body)


def test_a_damaged_result_is_made_anew(case: Case) -> None:
    """Who has read a result and writes it again means another one: from then on everybody reads that."""

    async def body(backend: GhaBackend) -> None:
        await backend.write(ENTRY, b"damaged")
        async with aclosing(case.made()) as other:
            assert await other.read(ENTRY) == b"damaged"
            await other.write(ENTRY, b"good")
        assert await backend.read(ENTRY) == b"good"
        await backend.write(ENTRY, b"better")
        assert await backend.read(ENTRY) == b"better"

    case.run(body)


def test_the_check_is_written_once(case: Case) -> None:
    """Each daemon reads and writes it; it must not use up the limit of uploads."""

    async def body(backend: GhaBackend) -> None:
        await backend.write(CHECK_NAME, b"Hello, World!")
        for _ in range(2):
            assert await backend.read(CHECK_NAME) == b"Hello, World!"
            case.fresh()
            await backend.write(CHECK_NAME, b"Hello, World!")
            assert case.fresh() == case.write[:1]

    case.run(body)


def test_a_manifest_can_be_replaced(case: Case) -> None:
    """Entries are immutable, but what was written last is read; the same once more is one request."""

    async def body(backend: GhaBackend) -> None:
        assert await backend.read(MANIFEST) is None
        for blob in (b"one variant", b"two variants", b"three variants"):
            await backend.write(MANIFEST, blob)
            assert await backend.read(MANIFEST) == blob
        case.fresh()
        await backend.write(MANIFEST, b"three variants")
        assert case.fresh() == case.write[:1]
        assert await backend.read(MANIFEST) == b"three variants"
        assert case.fresh() == case.read

    case.run(body)


def test_a_longer_name_is_another_object(case: Case) -> None:
    """The service finds keys by their beginning, too; we do not."""

    async def body(backend: GhaBackend) -> None:
        await backend.write(f"{ENTRY}0", b"x")
        await backend.write(f"{MANIFEST}0", b"y")
        assert await backend.read(ENTRY) is None
        assert await backend.read(MANIFEST) is None

    case.run(body)


def test_versions_share_nothing(case: Case) -> None:
    """SCCACHE_GHA_VERSION separates."""

    async def body(backend: GhaBackend) -> None:
        async with aclosing(case.made({"SCCACHE_GHA_VERSION": "other, with a comma"})) as other:
            await other.write(ENTRY, b"other")
            assert await backend.read(ENTRY) is None
            await backend.write(ENTRY, b"ours")
            assert await other.read(ENTRY) == b"other"

    case.run(body)


def test_large_objects_come_in_pieces_where_they_must(case: Case) -> None:
    """Version 1 takes 32 MiB at a time."""
    blob = bytes(range(251)) * 280_000

    async def body(backend: GhaBackend) -> None:
        await backend.write(ENTRY, blob)
        count = sum(name in {"PATCH caches", "PUT blob"} for name in case.fresh())
        assert count == (3 if "PATCH caches" in case.write else 1)
        assert await backend.read(ENTRY) == blob

    case.run(body)


@pytest.mark.parametrize(("status", "retry_after"), [(429, "7"), (403, "7"), (503, "7"), (429, None)])
def test_rate_limits(case: Case, status: int, retry_after: str | None) -> None:
    """Wherever the limit strikes, it is known as one, with the time that the service names."""
    headers = {"Retry-After": retry_after} if retry_after else {}

    async def limited(name: str, use: Awaitable[object]) -> None:
        case.place.control(limit={"name": name, "status": status, "headers": headers, "times": 1})
        with pytest.raises(StorageError) as caught:
            await use
        assert caught.value.trouble is Trouble.RATE_LIMITED
        assert caught.value.retry_after_s == (7 if retry_after else None)

    async def body(backend: GhaBackend) -> None:
        await backend.write(ENTRY, b"x")
        for name in case.read:
            await limited(name, backend.read(ENTRY))
        for number, name in enumerate(case.write):
            await limited(name, backend.write(f"{ENTRY}{number}", b"y"))
            await backend.write(f"{ENTRY}{number}", b"y")
            assert await backend.read(f"{ENTRY}{number}") == b"y"

    case.run(body)


@pytest.mark.parametrize(
    ("message", "trouble"),
    [
        ("cache write denied: the event is not trusted", Trouble.READ_ONLY),
        ("insufficient usage to create the entry", Trouble.READ_ONLY),
        ("no", Trouble.DENIED),
    ],
)
def test_a_job_that_may_only_read(case: Case, message: str, trouble: Trouble) -> None:
    """What the service says tells that from a token that is not valid."""

    async def body(backend: GhaBackend) -> None:
        case.place.control(limit={"name": case.write[0], "status": 403, "headers": {}, "times": 1, "message": message})
        with pytest.raises(StorageError, match=message) as caught:
            await backend.write(ENTRY, b"x")
        assert caught.value.trouble is trouble
        assert ("ACTIONS_RUNTIME_TOKEN" in str(caught.value)) == (trouble is Trouble.DENIED)

    case.run(body)


@pytest.mark.parametrize(
    ("mode", "reads", "writes"),
    [
        ("none", Trouble.DENIED, Trouble.READ_ONLY),
        ("read", None, Trouble.READ_ONLY),
        ("write-only", None, None),
        (" Write ", None, None),
        ("else", None, None),
    ],
)
def test_what_the_runner_allows(case: Case, mode: str, reads: Trouble | None, writes: Trouble | None) -> None:
    """ACTIONS_CACHE_MODE is kept to, and what it forbids is not even tried."""

    async def trouble_of(use: Awaitable[object]) -> Trouble | None:
        try:
            await use
        except StorageError as e:
            return e.trouble
        return None

    async def body(backend: GhaBackend) -> None:
        case.fresh()
        assert await trouble_of(backend.read(ENTRY)) is reads
        assert await trouble_of(backend.write(ENTRY, b"x")) is writes
        expected = ([] if reads or mode == "write-only" else case.read[:1]) + ([] if writes else case.write)
        assert case.fresh() == expected

    case.run(body, {"ACTIONS_CACHE_MODE": mode})


def test_an_upload_that_failed_is_taken_up_again(case: Case) -> None:
    """The entry is reserved, so only who reserved it can fill it; until then nobody finds it, and others let it be."""

    async def body(backend: GhaBackend) -> None:
        case.place.control(limit={"name": case.write[1], "status": 500, "headers": {}, "times": 1})
        with pytest.raises(StorageError):
            await backend.write(ENTRY, b"x")
        async with aclosing(case.made()) as other:
            assert await other.read(ENTRY) is None
            await other.write(ENTRY, b"other")
            assert await other.read(ENTRY) is None
        case.fresh()
        await backend.write(ENTRY, b"x")
        assert case.fresh() == case.write[1:]
        assert await backend.read(ENTRY) == b"x"

    case.run(body)


def test_an_upload_that_was_cancelled_is_taken_up_again(case: Case) -> None:
    """A deadline ends it at any moment; the next try works."""

    async def body(backend: GhaBackend) -> None:
        for number in range(30):
            name, steps = f"{ENTRY}{number}", 0
            task = asyncio.create_task(backend.write(name, b"x"))
            while steps < number and not task.done():
                await asyncio.sleep(0)
                steps += 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await backend.write(name, b"x")

    case.run(body)


def test_a_signed_address_that_has_expired(case: Case) -> None:
    """That is no denial of our token; and the signature is in no message."""

    async def body(backend: GhaBackend) -> None:
        await backend.write(ENTRY, b"x")
        case.place.control(expire_urls=True)
        with pytest.raises(StorageError, match="signed address was refused") as caught:
            await backend.read(ENTRY)
        assert caught.value.trouble is Trouble.ERROR
        assert "sig=" not in str(caught.value)

    case.run(body)


def test_a_token_that_has_expired(case: Case) -> None:
    """It is denied, the sentence names the variable, and nothing secret."""

    async def body(backend: GhaBackend) -> None:
        await backend.write(ENTRY, b"x")
        case.place.control(token="the next job's")
        for use in (backend.read(ENTRY), backend.write(f"{ENTRY}1", b"y")):
            with pytest.raises(StorageError, match="ACTIONS_RUNTIME_TOKEN") as caught:
                await use
            assert caught.value.trouble is Trouble.DENIED
            assert TOKEN not in str(caught.value)
            assert "s3cret" not in str(caught.value)

    case.run(body)
