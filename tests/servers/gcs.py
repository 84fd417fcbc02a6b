"""Cloud Storage by Google's API as our own strict server has it, and by gcp-storage-emulator, which asks for no credentials."""

import contextlib
import functools
import http.client
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.servers.gcs_service import ACCOUNT, BUCKET, KEY_ID
from tests.servers.place import Address
from tests.servers.process import ServerProcess, free_port, listens

SERVICE = Path(__file__).with_name("gcs_service.py")
EMULATOR = "from gcp_storage_emulator.server import create_server; create_server('127.0.0.1', {port}, in_memory=True).run()"


class GcsPlace:
    """A bucket on this machine, for a service account's key if there is one in `folder`."""

    backend: ClassVar[str] = "gcs"
    max_object_bytes: ClassVar[int] = 100 << 20
    is_immutable: ClassVar[bool] = False

    def __init__(self, process: ServerProcess, port: int, folder: Path) -> None:
        self.address: Address = ("127.0.0.1", port)
        self.folder = folder
        self._process = process
        self._has_keys = (folder / "key.json").exists()

    def place_environment(self, address: Address | None = None) -> Mapping[str, str]:
        """Without credentials."""
        host, port = address or self.address
        return {"SCCACHE_GCS_BUCKET": BUCKET, "SCCACHE_GCS_RW_MODE": "READ_WRITE", "STORAGE_EMULATOR_HOST": f"{host}:{port}"}

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        env = self.place_environment(address)
        return {**env, "SCCACHE_GCS_KEY_PATH": str(self.folder / "key.json")} if self._has_keys else env

    def wrong_environment(self) -> Mapping[str, str] | None:
        return {**self.environment(), "SCCACHE_GCS_KEY_PATH": str(self.folder / "wrong.json")} if self._has_keys else None

    def stop(self) -> None:
        self._process.stop()

    def start(self) -> None:
        self._process.start()
        if not self._has_keys:
            _make_bucket(self.address[1])


@contextlib.contextmanager
def strict(folder: Path) -> Iterator[GcsPlace]:
    """Our own server, with a service account."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    write_key(folder / "key.json", port, folder / "public.pem")
    write_key(folder / "wrong.json", port)
    process = ServerProcess([sys.executable, str(SERVICE), "127.0.0.1", str(port), str(folder)], folder, functools.partial(listens, port))
    with _running(GcsPlace(process, port, folder)) as place:
        yield place


@contextlib.contextmanager
def emulator(folder: Path) -> Iterator[GcsPlace]:
    """gcp-storage-emulator with an empty bucket."""
    port = free_port()
    process = ServerProcess([sys.executable, "-c", EMULATOR.format(port=port)], folder, functools.partial(listens, port))
    with _running(GcsPlace(process, port, folder)) as place:
        yield place


def write_key(path: Path, port: int, public: Path | None = None) -> None:
    """A new key file, as the console gives it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    record = {
        "type": "service_account", "client_email": ACCOUNT, "private_key_id": KEY_ID, "private_key": text,
        "token_uri": f"http://127.0.0.1:{port}/token",
    }  # fmt: skip
    path.write_text(json.dumps(record))
    if public is not None:
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@contextlib.contextmanager
def _running(place: GcsPlace) -> Iterator[GcsPlace]:
    place.start()
    try:
        yield place
    finally:
        place.stop()


def _make_bucket(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/storage/v1/b?project=test", json.dumps({"name": BUCKET}), {"Content-Type": "application/json"})
        connection.getresponse().read()
    finally:
        connection.close()
