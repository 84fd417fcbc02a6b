"""S3 by moto, by s3rver and by our own strict server: the first two know more of S3, only the last checks signatures (version 4)."""

import contextlib
import functools
import http.client
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.place import Address
from tests.servers.process import ServerProcess, free_port
from tests.servers.s3_service import KEY_ID, SECRET

NODE_BIN = Path(__file__).with_name("node") / "node_modules" / ".bin"
BUCKET = "sccache-test"
S3RVER_KEY = "S3RVER"
"""Id and secret of the only key that s3rver knows."""
SERVICE = Path(__file__).with_name("s3_service.py")
TEST_ENVIRONMENT = {"AWS_EC2_METADATA_DISABLED": "true"}


class S3Place:
    """A bucket on this machine."""

    backend: ClassVar[str] = "s3"
    max_object_bytes: ClassVar[int] = 200 << 20
    is_immutable: ClassVar[bool] = False

    def __init__(self, process: ServerProcess, port: int, keys: tuple[str, str], wrong_keys: tuple[str, str] | None) -> None:
        self.address: Address = ("127.0.0.1", port)
        self._process = process
        self._keys = keys
        self._wrong_keys = wrong_keys

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        host, port = address or self.address
        return {
            "SCCACHE_BUCKET": BUCKET, "SCCACHE_REGION": "us-east-1", "SCCACHE_ENDPOINT": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": self._keys[0], "AWS_SECRET_ACCESS_KEY": self._keys[1],
        }  # fmt: skip

    def wrong_environment(self) -> Mapping[str, str] | None:
        if self._wrong_keys is None:
            return None
        return {**self.environment(), "AWS_ACCESS_KEY_ID": self._wrong_keys[0], "AWS_SECRET_ACCESS_KEY": self._wrong_keys[1]}

    def control(self, **wishes: Any) -> list[dict[str, Any]]:
        """Of the strict server: make it so (see s3_service.py), and give the requests so far."""
        log: list[dict[str, Any]] = json.loads(_request(self.address[1], "POST", "/_control", json.dumps(wishes))[1])
        return log

    def stop(self) -> None:
        self._process.stop()

    def start(self) -> None:
        self._process.start()
        _request(self.address[1], "PUT", f"/{BUCKET}")  # moto's data were in its process


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[S3Place]:
    """moto's server with an empty bucket; any key will do."""
    port = free_port()
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = ServerProcess(argv, folder, functools.partial(_answers, port), {"AWS_EC2_METADATA_DISABLED": "true"})
    with _running(S3Place(process, port, ("AKIDMOTO", "motoSecret"), None)) as running:
        yield running


@contextlib.contextmanager
def s3rver(folder: Path) -> Iterator[S3Place]:
    """s3rver with an empty bucket in `folder`; it knows a key by its id and does not look at version 4 signatures."""
    port = free_port()
    if not (NODE_BIN / "s3rver").exists():
        raise RuntimeError("s3rver is not installed: run scripts/setup")
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    argv = [str(NODE_BIN / "s3rver"), "-d", str(data), "-a", "127.0.0.1", "-p", str(port), "--service-endpoint", "localhost",
            "--silent", "--configure-bucket", BUCKET]  # fmt: skip
    process = ServerProcess(argv, folder, functools.partial(_answers, port))
    with _running(S3Place(process, port, (S3RVER_KEY, S3RVER_KEY), ("AKIDNOBODY", S3RVER_KEY))) as running:
        yield running


@contextlib.contextmanager
def strict(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[S3Place]:
    """Our own server, with `certificate` (and its key) if it shall stand for AWS's hosts as an HTTPS proxy."""
    port = free_port()
    files = [str(path) for path in certificate] if certificate else ["", ""]
    process = ServerProcess([sys.executable, str(SERVICE), str(port), *files], folder, functools.partial(_answers, port))
    with _running(S3Place(process, port, (KEY_ID, SECRET), (KEY_ID, "w5cLnUyGnzqd"))) as running:
        yield running


@contextlib.contextmanager
def _running(place: S3Place) -> Iterator[S3Place]:
    place.start()
    try:
        yield place
    finally:
        place.stop()


def _answers(port: int) -> bool:
    try:
        return _request(port, "GET", "/")[0] < 500
    except OSError:
        return False


def _request(port: int, method: str, path: str, body: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
