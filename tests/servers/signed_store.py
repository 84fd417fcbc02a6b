"""What the strict servers of OSS and COS share: one bucket with objects, and requests that must be signed.

Neither service can be had outside of its cloud, so these are written from its public documents.  A service is a module with a
`check(request)` that raises Refused, and `serve(check, …)` when it is run.

The bucket is the first label of the host name.  Tests have no name service for `<bucket>.<host>`: the bucket is called `127`
and the endpoint's host is `0.0.1`, so that the bucket's host is an address of this machine.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import ClassVar

from aiohttp import web
from msgspec import Struct
from tests.servers.place import Address
from tests.servers.process import ServerProcess, free_port, listens

BUCKET, ENDPOINT_HOST = "127", "0.0.1"
MAX_BYTES = 120 << 20
KEY_ID, SECRET = "AKIDtestPermanent", "s3cret/of+the=test"
TEMPORARY_ID, TEMPORARY_SECRET, TOKEN = "STS.testTemporary", "temporary/s3cret+of=it", "CAIS/token+of/the==test"
ROOT = Path(__file__).parents[2]


class RefusedError(Exception):
    """An answer other than success: its status and the service's code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


Check = Callable[[web.Request], None]


def secret_of(key_id: str, token: str) -> str:
    """The secret of a known key; a temporary one is good with its token only."""
    if key_id == KEY_ID and not token:
        return SECRET
    if key_id == TEMPORARY_ID:
        if token != TOKEN:
            raise RefusedError(403, "InvalidSecurityToken", "The security token you provided is invalid.")
        return TEMPORARY_SECRET
    raise RefusedError(403, "InvalidAccessKeyId", "The access key Id you provided does not exist in our records.")


class _Store:
    """One bucket, whose objects are files; public where the folder says so."""

    def __init__(self, check: Check, folder: Path, request_id: str) -> None:
        self._check = check
        self._folder = folder
        self._request_id = request_id

    async def answer(self, request: web.Request) -> web.Response:
        try:
            self._admit(request)
            status, body = await self._do(request)
        except RefusedError as refused:
            status, body = refused.status, _error_body(refused.code, str(refused), request)
        headers = {self._request_id: "5C3D9175B6FC201293AD****", "Date": formatdate(usegmt=True)}
        if status == 200:
            headers["ETag"] = f'"{hashlib.md5(body).hexdigest().upper()}"'
        return web.Response(status=status, body=body, headers=headers, content_type="application/xml" if status >= 300 else None)

    def _admit(self, request: web.Request) -> None:
        bucket = request.headers["Host"].partition(".")[0]
        if bucket != BUCKET or not self._folder.is_dir():
            raise RefusedError(404, "NoSuchBucket", "The specified bucket does not exist.")
        if not self._is_open(request):
            self._check(request)

    def _is_open(self, request: web.Request) -> bool:
        """Whether anybody may do it, so that an unsigned request is as good as a signed one."""
        is_anonymous = "Authorization" not in request.headers
        is_public = (self._folder / "public").exists() and request.method == "GET"
        return is_anonymous and (is_public or (self._folder / "public-write").exists())

    async def _do(self, request: web.Request) -> tuple[int, bytes]:
        path = self._folder / hashlib.sha256(request.path.encode()).hexdigest()
        if request.method == "GET":
            if not path.exists():
                raise RefusedError(404, "NoSuchKey", "The specified key does not exist.")
            return 200, await asyncio.to_thread(path.read_bytes)
        if request.method != "PUT":
            raise RefusedError(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        if request.content_length is None:
            raise RefusedError(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        body = await request.read()
        await asyncio.to_thread(_replace, path, body)
        return 200, b""


def _replace(path: Path, body: bytes) -> None:
    part = path.with_suffix(f".{os.urandom(8).hex()}")
    part.write_bytes(body)
    part.replace(path)


def _error_body(code: str, message: str, request: web.Request) -> bytes:
    resource = f"<Resource>{request.path}</Resource><HostId>{request.headers.get('Host', '')}</HostId>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n  <Code>{code}</Code>\n  <Message>{message}</Message>\n  {resource}\n'
        "  <RequestId>5C3D9175B6FC201293AD****</RequestId>\n</Error>\n"
    ).encode()


def serve(check: Check, request_id: str) -> None:
    """The program: `<port> <folder>`."""
    port, folder = sys.argv[1:]
    application = web.Application(client_max_size=MAX_BYTES)
    application.router.add_route("*", "/{path:.*}", _Store(check, Path(folder), request_id).answer)
    web.run_app(application, host="127.0.0.1", port=int(port), print=None, access_log=None)


class Names(Struct, frozen=True):
    """How one service's variables are called."""

    key_id: str
    secret: str
    token: str


class SignedStorePlace:
    """One of the services; its objects outlive a stop."""

    backend: ClassVar[str]
    names: ClassVar[Names]
    max_object_bytes: ClassVar[int] = MAX_BYTES
    is_immutable: ClassVar[bool] = False

    def __init__(self, process: ServerProcess, port: int, folder: Path, *, is_temporary: bool) -> None:
        self.address: Address = ("127.0.0.1", port)
        self.folder = folder
        """The bucket: without it there is none; a file `public` in it lets everybody read, `public-write` write."""
        self._process = process
        names = self.names
        self._credentials = {names.key_id: KEY_ID, names.secret: SECRET}
        if is_temporary:
            self._credentials = {names.key_id: TEMPORARY_ID, names.secret: TEMPORARY_SECRET, names.token: TOKEN}

    def anonymous_environment(self, address: Address | None = None) -> Mapping[str, str]:
        """The same without credentials."""
        _, port = address or self.address
        table = f"SCCACHE_{self.backend.upper()}"
        return {f"{table}_BUCKET": BUCKET, f"{table}_ENDPOINT": f"http://{ENDPOINT_HOST}:{port}"}

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        return {**self.anonymous_environment(address), **self._credentials}

    def wrong_environment(self) -> Mapping[str, str] | None:
        return {**self.environment(), self.names.secret: "wr0ng/s3cret"}

    def stop(self) -> None:
        self._process.stop()

    def start(self) -> None:
        self._process.start()


@contextlib.contextmanager
def running(kind: type[SignedStorePlace], folder: Path, *, is_temporary: bool = False) -> Iterator[SignedStorePlace]:
    """The module of `kind` as a server with an empty bucket."""
    port = free_port()
    bucket = folder / "bucket"
    bucket.mkdir(parents=True)
    argv = [sys.executable, "-m", kind.__module__, str(port), str(bucket)]
    process = ServerProcess(argv, folder, lambda: listens(port), {"PYTHONPATH": str(ROOT)})
    process.start()
    try:
        yield kind(process, port, bucket, is_temporary=is_temporary)
    finally:
        process.stop(signal.SIGTERM)
