"""S3 by moto (checks no signatures) and by s3rver (checks SigV4)."""

import contextlib
import functools
import http.client
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from tests.servers.place import Address
from tests.servers.process import ServerProcess, free_port

NODE_BIN = Path(__file__).with_name("node") / "node_modules" / ".bin"
BUCKET = "sccache-test"
KEY_ID = SECRET = "S3RVER"
"""The only account that s3rver knows."""
TEST_ENVIRONMENT = {"AWS_EC2_METADATA_DISABLED": "true"}


class S3Place:
    """A bucket on this machine."""

    backend: ClassVar[str] = "s3"
    max_object_bytes: ClassVar[int] = 200 << 20
    is_immutable: ClassVar[bool] = False

    def __init__(self, process: ServerProcess, port: int, *, checks_signatures: bool) -> None:
        self.address: Address = ("127.0.0.1", port)
        self._process = process
        self._checks_signatures = checks_signatures

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        host, port = address or self.address
        return {
            "SCCACHE_BUCKET": BUCKET, "SCCACHE_REGION": "us-east-1", "SCCACHE_ENDPOINT": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET,
        }  # fmt: skip

    def wrong_environment(self) -> Mapping[str, str] | None:
        return {**self.environment(), "AWS_SECRET_ACCESS_KEY": "w5cLnUyGnzqd"} if self._checks_signatures else None

    def stop(self) -> None:
        self._process.stop()

    def start(self) -> None:
        self._process.start()
        if not self._checks_signatures:
            _request(self.address[1], "PUT", f"/{BUCKET}")  # moto's data were in the process


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[S3Place]:
    """moto's server with an empty bucket."""
    port = free_port()
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = ServerProcess(argv, folder, functools.partial(_answers, port), TEST_ENVIRONMENT)
    place = S3Place(process, port, checks_signatures=False)
    with _running(place) as running:
        yield running


@contextlib.contextmanager
def s3rver(folder: Path) -> Iterator[S3Place]:
    """s3rver with an empty bucket in `folder`; anonymous requests are let through, wrong signatures are not."""
    port = free_port()
    node = shutil.which("node")
    if node is None or not (NODE_BIN / "s3rver").exists():
        raise RuntimeError("s3rver is not installed: run scripts/setup")
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    argv = [str(NODE_BIN / "s3rver"), "-d", str(data), "-a", "127.0.0.1", "-p", str(port), "--service-endpoint", "localhost",
            "--silent", "--configure-bucket", BUCKET]  # fmt: skip
    process = ServerProcess(argv, folder, functools.partial(_answers, port))
    with _running(S3Place(process, port, checks_signatures=True)) as running:
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
        return _request(port, "GET", "/") < 500
    except OSError:
        return False


def _request(port: int, method: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()
