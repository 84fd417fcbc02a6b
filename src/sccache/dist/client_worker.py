"""The client's way to workers: a job and what it needs go there, its answer comes back.

A worker shows a certificate that the scheduler has named; no other is believed.  Contents that a worker has seen are not sent again: the
client remembers which, and the worker corrects it.

Owns: connections to workers, what each of them has, deadlines.  Must not know: the scheduler, where a compile goes instead.
"""

import asyncio
import importlib
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from sccache import __version__
from sccache.dist.client_body import READ_BYTES, Answer, Answered, Bounds, InputChangedError, job_pieces, plain, sentence_of
from sccache.dist.messages import Failed, Granted, JobHeader, Missing, Result
from sccache.errors import ProtocolError

if TYPE_CHECKING:
    import aiohttp

KEEPALIVE_S = 60.0
AT_ONCE_BYTES = 64 << 10
"""Unknown contents up to this are sent with the first request; for more the worker is asked what it lacks: others may have sent it."""
INLINE_BYTES = 256 << 10
"""A request or answer up to this is put together in one go."""
MAX_ROUNDS = 5
"""Requests for one job: without contents, after the toolchain, with contents, and twice more if the worker dropped some meanwhile."""
MAX_WORKERS = 256
MAX_KNOWN = 200_000
"""Contents remembered of a worker: 20 MB."""
MAX_NOTE_BYTES = 4 << 10

T = TypeVar("T")


class Deadlines(Struct, frozen=True):
    """Seconds."""

    connect_s: float = 5.0
    silence_s: float = 15.0
    """Nothing goes and nothing comes: workers send a byte every five seconds."""
    stored_s: float = 60.0
    """From a toolchain's last byte to the word that it is stored."""
    job_s: float = 3600.0
    """All of it: then the compile is better done here."""


class WorkerError(Exception):
    """A worker did not do what it was asked; the sentence says why, and is fit for a log."""

    def __init__(self, reason: str, *, is_lost: bool = False) -> None:
        super().__init__(reason)
        self.is_lost = is_lost
        """It cannot be reached, or is not what it should be: the next job fares no better."""


class Workers:
    """All workers that grants name.  Made without I/O."""

    def __init__(self, deadlines: Deadlines | None = None, bounds: Bounds | None = None) -> None:
        """With what is waited for, and how much is accepted."""
        self._deadlines = deadlines or Deadlines()
        self._bounds = bounds or Bounds()
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._peers: OrderedDict[tuple[str, str], _Peer] = OrderedDict()

    async def run(
        self, granted: Granted, header: JobHeader, contents: Mapping[bytes, str], archive: str
    ) -> tuple[Result, tuple[bytes, ...]]:
        """How the command ended, and the contents of its outputs; WorkerError, InputChangedError."""
        session = await self._open()
        peer = self._peer(granted)
        try:
            async with asyncio.timeout(self._deadlines.job_s):
                return await _Delivery(session, peer, granted, self._deadlines, self._bounds).run(header, contents, archive)
        except TimeoutError as e:
            raise WorkerError(f"it is still at it after {self._deadlines.job_s:.0f} s") from e

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _peer(self, granted: Granted) -> "_Peer":
        key = granted.worker, granted.certificate
        peer = self._peers.get(key)
        if peer is None:
            peer = self._peers[key] = _Peer(granted.certificate)
            if len(self._peers) > MAX_WORKERS:
                self._peers.popitem(last=False)
        self._peers.move_to_end(key)
        return peer

    async def _open(self) -> "aiohttp.ClientSession":
        async with self._opening:
            if self._session is None:
                library = await asyncio.to_thread(importlib.import_module, "aiohttp")
                self._session = library.ClientSession(
                    connector=library.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
                    cookie_jar=library.DummyCookieJar(),
                    timeout=library.ClientTimeout(total=None, sock_connect=self._deadlines.connect_s),
                    headers={"User-Agent": f"sccache/{__version__}", "Accept-Encoding": "identity"},
                    auto_decompress=False,
                    read_bufsize=READ_BYTES,
                )
        return self._session


class _Peer:
    """What is known of one worker in one life: with another certificate it is another."""

    def __init__(self, certificate: str) -> None:
        import aiohttp

        try:
            # One object for all its connections: the pool tells them apart by it.
            self.fingerprint = aiohttp.Fingerprint(bytes.fromhex(certificate))
        except ValueError as e:
            raise WorkerError("the scheduler names a certificate that cannot be one", is_lost=True) from e
        self._has: dict[bytes, None] = {}

    def lacks(self, digests: Iterable[bytes]) -> list[bytes]:
        """Those that it has not been seen to have."""
        return [one for one in digests if one not in self._has]

    def add(self, digests: Iterable[bytes]) -> None:
        """It has these."""
        self._has.update(dict.fromkeys(digests))
        while len(self._has) > MAX_KNOWN:
            del self._has[next(iter(self._has))]

    def remove(self, digests: Iterable[bytes]) -> None:
        """It has these no more."""
        for one in digests:
            self._has.pop(one, None)


class _Stir:
    """A deadline that each sign of life puts off."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self.timeout = asyncio.timeout(silence_s)

    def __call__(self, silence_s: float | None = None) -> None:
        try:
            self.timeout.reschedule(asyncio.get_running_loop().time() + (silence_s or self._silence_s))
        except RuntimeError:  # it is over: a request's body may be asked for its next piece once more
            return


class _Delivery:
    """One job on one worker."""

    def __init__(
        self, session: "aiohttp.ClientSession", peer: _Peer, granted: Granted, deadlines: Deadlines, bounds: Bounds
    ) -> None:  # fmt: skip
        self._session = session
        self._peer = peer
        self._granted = granted
        self._deadlines = deadlines
        self._bounds = bounds
        self._changed: InputChangedError | None = None

    async def run(self, header: JobHeader, contents: Mapping[bytes, str], archive: str) -> tuple[Result, tuple[bytes, ...]]:
        sizes = {file.digest: file.size for file in header.files}
        lacking = self._peer.lacks(sizes)
        sent = tuple(lacking) if sum(sizes[one] for one in lacking) <= AT_ONCE_BYTES else ()
        may_upload = True
        for _ in range(MAX_ROUNDS):
            header = msgspec.structs.replace(header, sent=sent)
            answered = await self._ask(header, contents)
            match answered.answer:
                case Result() as result:
                    self._peer.add(sizes)
                    return result, answered.contents
                case Failed(reason):
                    raise WorkerError(f"it could not run the command: {plain(reason)}")
                case Missing(missing, toolchain):
                    self._peer.add(sizes)
                    self._peer.remove(missing)
                    sent = missing
                    if toolchain and not may_upload:
                        raise WorkerError("it asks for a toolchain again that it was just given")
                    if toolchain:
                        may_upload = False
                        await self._upload(header.toolchain, archive)
        raise WorkerError("it asks for contents again that it was just given")

    async def _ask(self, header: JobHeader, contents: Mapping[bytes, str]) -> Answered:
        try:
            return await self._guarded(lambda stir: self._post(header, contents, stir))
        except (WorkerError, ProtocolError):
            if self._changed is not None:  # the request was cut off for it
                raise self._changed from None
            raise

    async def _post(self, header: JobHeader, contents: Mapping[bytes, str], stir: _Stir) -> Answered:
        pieces = job_pieces(header, contents)
        first = await asyncio.to_thread(next, pieces)
        sizes = {file.digest: file.size for file in header.files}
        is_short = sum(sizes[one] for one in header.sent) <= INLINE_BYTES
        body = first + b"".join(await asyncio.to_thread(list, pieces)) if is_short else self._stream(first, pieces, stir)
        stir()
        url = f"https://{self._granted.worker}/api/v2/jobs/{self._granted.job}/run"
        headers = {"Authorization": f"Bearer {self._granted.token}", "Content-Type": "application/octet-stream"}
        answer = Answer(self._bounds)
        async with self._session.post(url, data=body, headers=headers, ssl=self._peer.fingerprint, allow_redirects=False) as response:
            await _check_status(response)
            async for piece in response.content.iter_any():
                stir()
                answer.feed(piece)
        return answer.read(header) if len(answer) <= INLINE_BYTES else await asyncio.to_thread(answer.read, header)

    async def _stream(self, first: bytes, pieces: Iterator[bytes], stir: _Stir) -> AsyncIterator[bytes]:
        yield first
        try:
            while piece := await asyncio.to_thread(next, pieces, b""):
                stir()
                yield piece
        except InputChangedError as e:
            self._changed = e
            raise
        stir()

    async def _upload(self, toolchain: str, archive: str) -> None:
        await self._guarded(lambda stir: self._put(toolchain, archive, stir))

    async def _put(self, toolchain: str, archive: str, stir: _Stir) -> None:
        url = f"https://{self._granted.worker}/api/v2/toolchains/{toolchain}"
        headers = {"Authorization": f"Bearer {self._granted.token}", "Content-Type": "application/octet-stream"}
        try:
            file = await asyncio.to_thread(open, archive, "rb", 0)
        except OSError as e:
            raise WorkerError(f"the packed toolchain is gone here: {e.strerror}") from e

        async def body() -> AsyncIterator[bytes]:
            while piece := await asyncio.to_thread(file.read, READ_BYTES):
                stir()
                yield piece
            stir(self._deadlines.stored_s)

        try:
            headers["Content-Length"] = str(os.fstat(file.fileno()).st_size)
            async with self._session.put(url, data=body(), headers=headers, ssl=self._peer.fingerprint, allow_redirects=False) as response:
                await _check_status(response)
        finally:
            file.close()

    async def _guarded(self, exchange: Callable[[_Stir], Awaitable[T]]) -> T:
        """One exchange, once more if its connection was closed while it was idle; all that can happen to it becomes a WorkerError."""
        import aiohttp

        for is_last in (False, True):
            stir = _Stir(self._deadlines.silence_s)
            try:
                async with stir.timeout:
                    return await exchange(stir)
            except ProtocolError as e:
                raise WorkerError(str(e), is_lost=True) from e
            except aiohttp.ServerFingerprintMismatch as e:
                raise WorkerError("it shows another certificate than the scheduler names", is_lost=True) from e
            except TimeoutError as e:
                raise WorkerError("it gives no sign of life", is_lost=True) from e
            except (aiohttp.ClientError, OSError) as e:
                was_cut = isinstance(e, aiohttp.ServerDisconnectedError | OSError) and not isinstance(e, aiohttp.ClientConnectorError)
                if self._changed is None and was_cut and not is_last:
                    continue
                raise WorkerError(f"the connection to it failed ({type(e).__name__})", is_lost=True) from e
        raise AssertionError  # the last round returns or raises


async def _check_status(response: "aiohttp.ClientResponse") -> None:
    """WorkerError if it is not success."""
    if response.status not in {200, 204}:
        raise WorkerError(f"it answers {response.status}{sentence_of(await response.content.read(MAX_NOTE_BYTES))}")
