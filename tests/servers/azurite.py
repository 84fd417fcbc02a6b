"""Azure Blob Storage by Azurite, which verifies shared keys and shared access signatures, and by our own server for Entra ID."""

import base64
import contextlib
import datetime as dt
import functools
import hashlib
import hmac
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from tests.servers.place import Address
from tests.servers.process import ServerProcess, free_port, listens

AZURITE = Path(__file__).with_name("node") / "node_modules" / ".bin" / "azurite-blob"
SERVICE = Path(__file__).with_name("azure_service.py")
CONTAINER = "sccache-test"
ACCOUNT = "builders"
KEY = base64.b64encode(hashlib.sha512(b"the key of the test").digest()).decode()
WRONG_KEY = base64.b64encode(hashlib.sha512(b"another key").digest()).decode()
TENANT, CLIENT, SECRET = "6f1d-tenant", "6f1d-client", "cl1ent+secret/of=the~test"


class AzuritePlace:
    """A container in Azurite, with its account's key or a signature for the container."""

    backend: ClassVar[str] = "azure"
    max_object_bytes: ClassVar[int] = 200 << 20
    is_immutable: ClassVar[bool] = False

    def __init__(self, process: ServerProcess, port: int, *, is_signed: bool, permissions: str = "rcw") -> None:
        self.address: Address = ("127.0.0.1", port)
        self._process = process
        self._is_signed = is_signed
        self._permissions = permissions

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        return self._environment(KEY, address)

    def wrong_environment(self) -> Mapping[str, str] | None:
        return self._environment(WRONG_KEY)

    def _environment(self, key: str, address: Address | None = None) -> Mapping[str, str]:
        host, port = address or self.address
        fields = {"BlobEndpoint": f"http://{host}:{port}/{ACCOUNT}"}
        if self._is_signed:
            fields["SharedAccessSignature"] = shared_access_signature(key, self._permissions)
        else:
            fields |= {"AccountName": ACCOUNT, "AccountKey": key}
        text = ";".join(f"{name}={value}" for name, value in fields.items())
        return {"SCCACHE_AZURE_BLOB_CONTAINER": CONTAINER, "SCCACHE_AZURE_CONNECTION_STRING": text}

    def stop(self) -> None:
        self._process.stop()

    def start(self) -> None:
        self._process.start()
        _make_container(self.address[1])


class EntraPlace:
    """A container in our own server, for a service principal."""

    backend: ClassVar[str] = "azure"
    max_object_bytes: ClassVar[int] = 100 << 20
    is_immutable: ClassVar[bool] = False

    def __init__(self, process: ServerProcess, port: int, folder: Path) -> None:
        self.address: Address = ("127.0.0.1", port)
        self.folder = folder
        """Its file `log` has a line for each token that was given out, `life` how many seconds they live, `revoked` refuses all so far."""
        self._process = process

    def place_environment(self, address: Address | None = None) -> Mapping[str, str]:
        """Without a source of tokens."""
        host, port = address or self.address
        return {
            "SCCACHE_AZURE_BLOB_CONTAINER": CONTAINER, "SCCACHE_AZURE_ENDPOINT": f"http://{host}:{port}/{ACCOUNT}",
            "AZURE_AUTHORITY_HOST": f"http://{host}:{port}/",
        }  # fmt: skip

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        client = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET}
        return {**self.place_environment(address), **client}

    def wrong_environment(self) -> Mapping[str, str] | None:
        return {**self.environment(), "AZURE_CLIENT_SECRET": "wr0ng~secret"}

    def stop(self) -> None:
        self._process.stop()

    def start(self) -> None:
        self._process.start()


def shared_access_signature(key: str, permissions: str = "rcw") -> str:
    """For all blobs of the container, for a day (https://learn.microsoft.com/rest/api/storageservices/create-service-sas)."""
    now = dt.datetime.now(dt.UTC)
    start, end = ((now + dt.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (-1, 24))
    version = "2020-12-06"
    parts = [permissions, start, end, f"/blob/{ACCOUNT}/{CONTAINER}", "", "", "", version, "c", "", "", "", "", "", "", ""]
    digest = hmac.digest(base64.b64decode(key), "\n".join(parts).encode(), hashlib.sha256)
    fields = {"sv": version, "sr": "c", "sp": permissions, "st": start, "se": end, "sig": base64.b64encode(digest).decode()}
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())


@contextlib.contextmanager
def azurite(folder: Path, *, is_signed: bool = False, permissions: str = "rcw") -> Iterator[AzuritePlace]:
    """Azurite with an empty container."""
    if not AZURITE.exists():
        raise RuntimeError("azurite is not installed: run scripts/setup")
    port = free_port()
    argv = [str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder / "data"), "--silent",
            "--skipApiVersionCheck", "--disableTelemetry"]  # fmt: skip
    process = ServerProcess(argv, folder, functools.partial(listens, port), {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"})
    place = AzuritePlace(process, port, is_signed=is_signed, permissions=permissions)
    place.start()
    try:
        yield place
    finally:
        place.stop()


@contextlib.contextmanager
def azurite_signed(folder: Path) -> Iterator[AzuritePlace]:
    """The same for a shared access signature."""
    with azurite(folder, is_signed=True) as place:
        yield place


@contextlib.contextmanager
def entra(folder: Path) -> Iterator[EntraPlace]:
    """Our own server."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    process = ServerProcess([sys.executable, str(SERVICE), "127.0.0.1", str(port), str(folder)], folder, functools.partial(listens, port))
    process.start()
    try:
        yield EntraPlace(process, port, folder)
    finally:
        process.stop()


def _make_container(port: int) -> None:
    """Signed as the documentation has it, not by the code under test."""
    path = f"/{ACCOUNT}/{CONTAINER}"
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2020-12-06"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{headers[name]}" for name in sorted(headers)), f"/{ACCOUNT}{path}", "restype:container"]
    digest = hmac.digest(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}?restype=container", b"", headers, method="PUT")
    request.remove_header("Content-type")
    with contextlib.suppress(urllib.error.HTTPError):  # 409: it is there
        urllib.request.build_opener(_NoContentType).open(request).close()


class _NoContentType(urllib.request.HTTPHandler):
    """The standard library adds a Content-Type to every body, which would have to be signed."""

    def do_request_(self, request: urllib.request.Request) -> urllib.request.Request:
        request.data = None
        request = super().do_request_(request)
        request.add_unredirected_header("Content-length", "0")
        return request

    http_request = do_request_
