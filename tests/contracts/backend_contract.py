"""What every backend of remote storage promises, over a real server: one test body for all of them.

class TestNginx(BackendContract):
    def place(self, folder):
        return nginx_basic(folder)

The server is started once a class (once for each process that runs tests of it).  Backends are made as the daemon makes them:
variables of the place, `config.load`, the factory.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from tests.contracts.remote_contract import RemoteContract
from tests.contracts.with_backend import PATIENCE_S, make_backend, new_name, with_loop
from tests.servers.place import Place
from tests.servers.proxy import FaultProxy

from sccache.config.load import BY_ENV
from sccache.entry import open_entry, pack
from sccache.errors import DamagedError, StorageError, Trouble
from sccache.model import Diagnostics, ProducedFile
from sccache.storage.base import CHECK_NAME, Backend, Kind

IMPATIENCE_S = 0.3
"""A deadline that passes: nothing answers before."""
LARGE_BYTES = 100 << 20
MANY = 64


@asynccontextmanager
async def opened(env: Mapping[str, str]) -> AsyncIterator[Backend]:
    """A backend, closed at the end."""
    async with aclosing(make_backend(env)) as backend:
        yield backend


def secrets_in(env: Mapping[str, str]) -> set[str]:
    """The values in `env` that nobody may see: passwords, tokens, keys, also those inside addresses and connection strings."""
    secrets: set[str] = set()
    for name, value in env.items():
        setting = BY_ENV.get(name)
        is_secret = setting.secret if setting else bool(re.search(r"(SECRET|TOKEN|PASSWORD|SECRET_KEY|ACCESS_KEY)$", name))
        if not is_secret:
            continue
        if "://" in value and ";" not in value:
            secrets.add(urlsplit(value.split(",")[0]).password or "")
        elif ";" in value:
            secrets.update(re.findall(r"(?:AccountKey|SharedAccessSignature|sig)=([^;&]+)", value))
        else:
            secrets.add(value)
    return secrets - {""}


def a_result() -> bytes:
    """A real entry of a megabyte that does not compress."""
    outputs = [ProducedFile("object", random.Random(1).randbytes(1_000_000)), ProducedFile("depfile", b"a.o: a.c\n")]
    return pack(outputs, [Diagnostics(b"", b"", b"a.c:1: warning\n")], ["a.c"], "test", b"", 3)


def is_taken_for_good(blob: bytes) -> bool:
    """Whether a reader of the cache would use this entry."""
    try:
        entry = open_entry(blob)
        for output in entry.header.outputs:
            entry.read(output.role)
    except DamagedError:
        return False
    return True


class BackendContract(RemoteContract):
    """Subclass it with `place`."""

    is_proxied: ClassVar[bool] = True
    """Whether all traffic goes through the address that a backend is given (not so with a cluster's nodes)."""

    def place(self, folder: Any) -> AbstractContextManager[Place]:
        """A running server with an empty store that may use `folder`."""
        raise NotImplementedError

    def other_prefix(self, place: Place) -> Mapping[str, str]:
        """The place's variables, but such that nothing is shared with users of the unchanged ones."""
        table = "S3" if place.backend == "s3" else place.backend.upper()
        return {**place.environment(), f"SCCACHE_{table}_KEY_PREFIX": "other/prefix"}

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
        """The place, kept running for the tests of a class."""
        with cls().place(tmp_path_factory.mktemp("server")) as place:
            yield place

    @pytest.fixture
    def proxy(self, server: Place) -> Iterator[FaultProxy]:
        """A proxy before the server that passes everything for now."""
        with FaultProxy(server.address) as proxy:
            yield proxy

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @with_loop
    async def test_what_was_never_written_is_absent(self, server: Place) -> None:
        """None, and not an error."""
        async with opened(server.environment()) as backend:
            assert await backend.read(new_name()) is None
            assert await backend.read(new_name(Kind.MANIFEST)) is None

    @with_loop
    async def test_names_of_all_shapes(self, server: Place) -> None:
        """Entries, manifests and the object of the check come back as they were written, each its own."""
        names = [new_name(), new_name(Kind.MANIFEST), CHECK_NAME]
        blobs = [bytes(range(256)) * 40, b"manifest\r\n\0\n", b"Hello, World!"]
        async with opened(server.environment()) as backend:
            for name, blob in zip(names, blobs, strict=True):
                await backend.write(name, blob)
            for name, blob in zip(names, blobs, strict=True):
                assert await backend.read(name) == blob

    @with_loop
    async def test_a_second_write(self, server: Place) -> None:
        """Replaces the first; where objects are immutable, it is a success that leaves the first."""
        name = new_name()
        async with opened(server.environment()) as backend:
            await backend.write(name, b"first and longer")
            await backend.write(name, b"second")
            assert await backend.read(name) == (b"first and longer" if server.is_immutable else b"second")

    @with_loop
    async def test_an_empty_object_is_not_an_absent_one(self, server: Place) -> None:
        """Zero bytes are a value."""
        name = new_name()
        async with opened(server.environment()) as backend:
            await backend.write(name, b"")
            assert await backend.read(name) == b""

    @with_loop
    async def test_a_large_object(self, server: Place) -> None:
        """100 MB, or as much as the server takes."""
        blob = random.Random(2).randbytes(min(LARGE_BYTES, server.max_object_bytes))
        name = new_name()
        async with opened(server.environment()) as backend:
            await backend.write(name, blob)
            assert await backend.read(name) == blob

    @with_loop
    async def test_many_objects_at_once(self, server: Place) -> None:
        """Concurrent writes and reads do not mix."""
        names = [new_name() for _ in range(MANY)]
        blobs = [random.Random(number).randbytes(1000 * number) for number in range(MANY)]
        async with opened(server.environment()) as backend:
            assert await asyncio.gather(*(backend.read(name) for name in names)) == [None] * MANY
            await asyncio.gather(*(backend.write(name, blob) for name, blob in zip(names, blobs, strict=True)))
            assert await asyncio.gather(*(backend.read(name) for name in names)) == blobs

    @with_loop
    async def test_one_object_by_many_at_once(self, server: Place) -> None:
        """A reader gets one writer's whole blob."""
        name = new_name()
        blobs = [bytes([number]) * 50_000 for number in range(MANY)]
        async with opened(server.environment()) as backend:
            await backend.write(name, blobs[0])
            writes = (backend.write(name, blob) for blob in blobs)
            reads = (backend.read(name) for _ in blobs)
            seen = await asyncio.gather(*(work for pair in zip(writes, reads, strict=True) for work in pair), return_exceptions=True)
            # Services that store an object once let only one of two writers at a time do it: the others may be told so.
            assert all(one is None or one in blobs or (server.is_immutable and isinstance(one, StorageError)) for one in seen)
            assert await backend.read(name) in blobs

    # ── places and prefixes ──────────────────────────────────────────────────────────────────────────────────────────

    @with_loop
    async def test_two_machines_share(self, server: Place) -> None:
        """What one wrote the other reads."""
        name = new_name()
        async with opened(server.environment()) as one, opened(server.environment()) as other:
            assert await other.read(name) is None
            await one.write(name, b"shared")
            assert await other.read(name) == b"shared"

    @with_loop
    async def test_another_prefix_shares_nothing(self, server: Place) -> None:
        """Two users of one server that do not want to meet do not."""
        name = new_name()
        async with opened(server.environment()) as one, opened(self.other_prefix(server)) as other:
            await one.write(name, b"one")
            assert await other.read(name) is None
            await other.write(name, b"other")
            assert await one.read(name) == b"one"
            assert await other.read(name) == b"other"

    @with_loop
    async def test_its_location(self, server: Place) -> None:
        """Begins with its type, ends with the prefix, and gives no secret away."""
        env = self.other_prefix(server)
        async with opened(env) as backend:
            assert re.fullmatch(rf"{backend.type_name}, name: .*, prefix: /.*", backend.location())
            assert not [secret for secret in secrets_in(env) if secret in backend.location()]

    # ── troubles ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @with_loop
    async def test_wrong_credentials(self, server: Place) -> None:
        """Are told from an absent object, for reading and for writing, in words that do not repeat them."""
        env = server.wrong_environment()
        if env is None:
            return  # a server that asks for no credentials refuses none
        async with opened(env) as backend:
            await expect({Trouble.DENIED}, backend.read(new_name()), env)
            await expect({Trouble.DENIED}, backend.write(new_name(), b"x"), env)

    @with_loop
    async def test_a_server_that_goes_and_comes(self, server: Place) -> None:
        """While it is away requests end as unreachable; the same backend serves once it is back, on every connection."""
        env = server.environment()
        async with opened(env) as backend:
            await asyncio.gather(*(backend.write(new_name(), b"x" * 10_000) for _ in range(8)))
            server.stop()
            try:
                await expect({Trouble.UNREACHABLE}, backend.read(new_name()), env)
                await expect({Trouble.UNREACHABLE}, backend.write(new_name(), b"x"), env)
            finally:
                server.start()
            names = [new_name() for _ in range(16)]
            await asyncio.gather(*(backend.write(name, name.encode()) for name in names))
            assert await asyncio.gather(*(backend.read(name) for name in names)) == [name.encode() for name in names]

    @with_loop
    async def test_a_server_that_nobody_finds(self, server: Place, proxy: FaultProxy) -> None:
        """A connection that is refused from the beginning is an unreachable server, too."""
        env = server.environment(proxy.address)
        proxy.refuse()
        async with opened(env) as backend:
            await expect({Trouble.UNREACHABLE}, backend.read(new_name()), env)
            proxy.pass_through()
            assert await backend.read(new_name()) is None

    @with_loop
    async def test_connections_that_break(self, server: Place, proxy: FaultProxy) -> None:
        """All connections reset while requests are under way: each ends as it should or fails, and later ones succeed."""
        names = [new_name() for _ in range(16)]
        async with opened(server.environment(proxy.address)) as backend:
            await asyncio.gather(*(backend.write(name, name.encode()) for name in names))
            proxy.delay(0.05)
            reads = asyncio.gather(*(backend.read(name) for name in names), return_exceptions=True)
            await asyncio.sleep(0.01)
            proxy.drop_connections()
            for name, outcome in zip(names, await reads, strict=True):
                assert outcome == name.encode() or isinstance(outcome, StorageError), outcome
            proxy.pass_through()
            assert await asyncio.gather(*(backend.read(name) for name in names)) == [name.encode() for name in names]

    @with_loop
    async def test_a_silent_server(self, server: Place, proxy: FaultProxy) -> None:
        """The caller's deadline ends the wait, and late answers reach nobody."""
        names = [new_name() for _ in range(8)]
        async with opened(server.environment(proxy.address)) as backend:
            await asyncio.gather(*(backend.write(name, name.encode()) for name in names))
            for _ in range(2):
                proxy.be_silent()
                for outcome in await asyncio.gather(*(impatient(backend.read(name)) for name in names)):
                    assert isinstance(outcome, TimeoutError) or (isinstance(outcome, StorageError) and outcome.trouble is Trouble.TIMED_OUT)
                proxy.pass_through()
                assert await asyncio.gather(*(backend.read(name) for name in names)) == [name.encode() for name in names]

    @with_loop
    async def test_requests_that_are_cancelled(self, server: Place, proxy: FaultProxy) -> None:
        """Whenever that happens, nobody gets another's answer."""
        chance = random.Random(3)
        blobs = {new_name(): chance.randbytes(chance.choice([10, 1000, 200_000])) for _ in range(32)}
        async with opened(server.environment(proxy.address)) as backend:
            await asyncio.gather(*(backend.write(name, blob) for name, blob in blobs.items()))
            proxy.delay(0.002)
            for _ in range(12):
                pairs = [(name, chance.uniform(0, 0.03) if chance.random() < 0.7 else PATIENCE_S) for name in blobs]
                outcomes = await asyncio.gather(*(impatient(backend.read(name), deadline_s) for name, deadline_s in pairs))
                for (name, deadline_s), outcome in zip(pairs, outcomes, strict=True):
                    assert outcome == blobs[name] or (deadline_s < 1 and isinstance(outcome, TimeoutError)), outcome
                name = chance.choice(list(blobs))
                await impatient(backend.write(name, blobs[name]), chance.uniform(0, 0.02))

    @pytest.mark.parametrize("count", [0, 1, 50, 300, 20_000, 700_000])
    @with_loop
    async def test_an_answer_that_ends_early(self, server: Place, proxy: FaultProxy, count: int) -> None:
        """Is an error, never a shorter object and never an absent one."""
        name = new_name()
        blob = a_result()
        async with opened(server.environment(proxy.address)) as backend:
            await backend.write(name, blob)
            proxy.cut_after(count)
            outcome = await impatient(backend.read(name), PATIENCE_S)
            assert proxy.struck or not self.is_proxied
            assert isinstance(outcome, StorageError) or (not self.is_proxied and outcome == blob), outcome
            proxy.pass_through()
            assert await backend.read(name) == blob

    @pytest.mark.parametrize("count", [3, 40, 200, 20_000, 700_000, 1_000_150])
    @with_loop
    async def test_an_answer_with_a_changed_bit(self, server: Place, proxy: FaultProxy, count: int) -> None:
        """Whatever comes of it, no reader of the cache takes it for a result, and the backend is as good as before."""
        name = new_name()
        blob = a_result()
        async with opened(server.environment(proxy.address)) as backend:
            await backend.write(name, blob)
            proxy.flip_after(count)
            outcome = await impatient(backend.read(name), 10 * IMPATIENCE_S)  # a changed length may be waited for
            assert proxy.struck or not self.is_proxied
            assert outcome is None or outcome == blob or isinstance(outcome, (StorageError, TimeoutError)) or not is_taken_for_good(outcome)
            proxy.pass_through()
            assert await backend.read(name) == blob


async def expect(troubles: set[Trouble], request: Awaitable[object], env: Mapping[str, str]) -> None:
    """`request` must fail so, within a reasonable time, and give no secret of `env` away."""
    with pytest.raises(StorageError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await request
    assert caught.value.trouble in troubles, caught.value
    assert str(caught.value)
    assert not [secret for secret in secrets_in(env) if secret in str(caught.value)]


async def impatient(request: Awaitable[Any], deadline_s: float = IMPATIENCE_S) -> Any:
    """What came of `request`: its value, its StorageError, or TimeoutError if it was cancelled at the deadline."""
    try:
        async with asyncio.timeout(deadline_s):
            return await request
    except (StorageError, TimeoutError) as e:
        return e
