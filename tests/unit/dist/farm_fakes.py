"""A scheduler and workers for tests of the client: real HTTP, real TLS, on 127.0.0.1; what they answer is told by the test.

Owns: the wire's other end, written down once more without the product's own framing.  Must not know: the client.
"""

import datetime as dt
import hashlib
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import zstandard
from aiohttp import web
from blake3 import blake3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sccache.config.schema import Config, DiskConfig, DistConfig
from sccache.dist.messages import Allocate, Failed, File, Granted, JobAnswer, JobHeader, Missing, OutputFile, Refused, Result

TOKEN = "the-client's"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def settings(dist: DistConfig, cached_conf: str = "") -> Config:
    return Config(disk=DiskConfig("/nowhere"), dist=dist, cached_conf=cached_conf)


def digest(data: bytes) -> bytes:
    return blake3(data).digest()


@cache
def certificate(name: str) -> tuple[bytes, str]:
    """Key and certificate as PEM, and the certificate's SHA-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    der = made.public_bytes(serialization.Encoding.DER)
    return private + made.public_bytes(serialization.Encoding.PEM), hashlib.sha256(der).hexdigest()


def tls(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as place:
        path = Path(place) / "both.pem"
        path.write_bytes(certificate(name)[0])
        context.load_cert_chain(path)
    return context


@asynccontextmanager
async def serving(app: web.Application, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Its `127.0.0.1:port`."""
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class FakeScheduler:
    """Grants the workers in turn, without those that the client does not want."""

    workers: list[tuple[str, str]] = field(default_factory=list)
    """Address, certificate."""
    asked: list[Allocate] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)
    answer: Handler | None = None
    """In place of a grant."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Config]:
        app = web.Application()
        app.router.add_post("/api/v2/allocate", self._allocate)
        async with serving(app) as address:
            yield settings(DistConfig(f"http://{address}/", {"type": "token", "token": TOKEN}))

    async def _allocate(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(msgspec.json.decode(await request.read(), type=Allocate))
        self.tokens.append(request.headers["Authorization"])
        self.connections.add(request.transport)
        if self.answer is not None:
            return await self.answer(request)
        left = [worker for worker in self.workers if worker[0] not in self.asked[-1].without]
        if not left:
            return said(Refused("nobody is left"))
        address, certificate = left[len(self.asked) % len(left)]
        return said(Granted(f"{len(self.asked):032x}", address, "the-right", certificate, has_toolchain=False))


def said(value: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def refused(status: int, sentence: str = "no") -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=json.dumps({"error": sentence}), status=status)

    return answer


@dataclass
class FakeWorker:
    """Upper-cases its inputs; a list of handlers may stand before that, one a request."""

    name: str = "a"
    before: list[Handler] = field(default_factory=list)
    requests: list[JobHeader] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)
    store: dict[bytes, bytes] = field(default_factory=dict)
    toolchains: dict[str, bytes] = field(default_factory=dict)
    has_all_toolchains: bool = True
    address: str = ""

    @property
    def named(self) -> tuple[str, str]:
        """As the scheduler knows it."""
        return self.address, certificate(self.name)[1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeWorker"]:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/api/v2/jobs/{job}/run", self._run)
        app.router.add_put("/api/v2/toolchains/{id}", self._toolchain)
        async with serving(app, tls(self.name)) as self.address:
            yield self

    async def _run(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers["Authorization"])
        self.connections.add(request.transport)
        if self.before:
            return await self.before.pop(0)(request)
        header = self.take(await request.read())
        missing = tuple(file.digest for file in header.files if file.digest not in self.store)
        lacks_toolchain = not self.has_all_toolchains and header.toolchain not in self.toolchains
        if missing or lacks_toolchain:
            return answered(Missing(missing, lacks_toolchain))
        return answered(*self.compile(header))

    async def _toolchain(self, request: web.Request) -> web.StreamResponse:
        if self.before:
            return await self.before.pop(0)(request)
        data = await request.read()
        if blake3(data).hexdigest() != request.match_info["id"]:
            return web.Response(status=422, text=json.dumps({"error": "that is another archive"}))
        self.toolchains[request.match_info["id"]] = data
        return web.Response(status=204)

    def take(self, body: bytes) -> JobHeader:
        """Read a request, and keep what was sent with it."""
        end = 4 + int.from_bytes(body[:4], "little")
        header = msgspec.msgpack.decode(zstandard.decompress(body[4:end]), type=JobHeader)
        data = zstandard.ZstdDecompressor().decompressobj().decompress(body[end:])
        sizes = {file.digest: file.size for file in header.files}
        for one in header.sent:
            content, data = data[: sizes[one]], data[sizes[one] :]
            assert digest(content) == one
            self.store[one] = content
        assert data == b""
        self.requests.append(header)
        return header

    def compile(self, header: JobHeader) -> tuple[JobAnswer, bytes]:
        """The result of the command."""
        data = b"".join(self.store[file.digest] for file in header.files).upper()
        made = tuple(OutputFile(path, len(data), digest(data)) for path in header.outputs)
        return Result(status=0, stdout=b"", stderr=b"ready", outputs=made), data * len(made)


def framed(answer: JobAnswer, contents: bytes = b"") -> bytes:
    text = zstandard.compress(msgspec.msgpack.encode(answer))
    return b"..R" + len(text).to_bytes(4, "little") + text + zstandard.compress(contents)


def answered(answer: JobAnswer, contents: bytes = b"") -> web.Response:
    return web.Response(body=framed(answer, contents))


def always(body: bytes, status: int = 200) -> Handler:
    """The request is read, and whatever it is gets this answer."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, status=status)

    return answer


FAILED = framed(Failed("the disk is full\nreally"))


def job(*files: Path, toolchain: str = "0" * 64) -> tuple[JobHeader, dict[bytes, str]]:
    """What a compile of these files is."""
    contents = {digest(path.read_bytes()): str(path) for path in files}
    header = JobHeader(
        toolchain=toolchain, executable=b"/bin/cc", argv=(b"cc",), environment=(), cwd=b"/w", umask=0o22, directories=(b"/w",), links=(),
        files=tuple(File(bytes(path), digest(path.read_bytes()), path.stat().st_size) for path in files), outputs=(b"/w/x.o",),
    )  # fmt: skip
    return header, contents
