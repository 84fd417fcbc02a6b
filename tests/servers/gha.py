"""The cache of GitHub Actions, as our own strict server of its public protocol: no real one can be had outside of GitHub."""

import contextlib
import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.gha_service import MAX_BYTES, REPOSITORY
from tests.servers.place import Address
from tests.servers.process import ServerProcess, free_port, listens

PROGRAM = Path(__file__).with_name("gha_service.py")
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0ZXN0In0.c2VjcmV0"


class GhaPlace:
    """The service in one of its versions, as a job sees it.  Its data is lost when it stops."""

    backend: ClassVar[str] = "gha"
    max_object_bytes: ClassVar[int] = MAX_BYTES
    is_immutable: ClassVar[bool] = True

    def __init__(self, process: ServerProcess, port: int, *, is_v2: bool) -> None:
        self.address: Address = ("127.0.0.1", port)
        self._process = process
        self._is_v2 = is_v2

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        host, port = address or self.address
        common = {"SCCACHE_GHA_ENABLED": "true", "ACTIONS_RUNTIME_TOKEN": TOKEN}
        if self._is_v2:
            url = f"http://{host}:{port}/"
            return {**common, "ACTIONS_RESULTS_URL": url, "ACTIONS_CACHE_SERVICE_V2": "True", "GITHUB_SERVER_URL": "https://github.com"}
        return {**common, "ACTIONS_CACHE_URL": f"http://{host}:{port}{REPOSITORY}/", "GITHUB_SERVER_URL": "https://ghes.example.com"}

    def wrong_environment(self) -> Mapping[str, str] | None:
        return {**self.environment(), "ACTIONS_RUNTIME_TOKEN": TOKEN.replace("c2VjcmV0", "d3Jvbmc")}

    def control(self, **wishes: Any) -> list[str]:
        """Make the service behave badly (see gha_service.py), and forget the requests so far."""
        return self._ask(json.dumps(wishes).encode())

    def requests(self) -> list[str]:
        """What was asked since the last `control`."""
        return self._ask(None)

    def stop(self) -> None:
        self._process.stop()

    def start(self) -> None:
        self._process.start()

    def _ask(self, body: bytes | None) -> list[str]:
        host, port = self.address
        with urllib.request.urlopen(f"http://{host}:{port}/_control", body, timeout=30) as answer:
            content: list[str] = json.load(answer)
            return content


@contextlib.contextmanager
def gha_v1(folder: Path) -> Iterator[GhaPlace]:
    """Version 1, as GitHub Enterprise Server has it."""
    with _service(folder, is_v2=False) as place:
        yield place


@contextlib.contextmanager
def gha_v2(folder: Path) -> Iterator[GhaPlace]:
    """Version 2, as github.com has it."""
    with _service(folder, is_v2=True) as place:
        yield place


@contextlib.contextmanager
def _service(folder: Path, *, is_v2: bool) -> Iterator[GhaPlace]:
    port = free_port()
    process = ServerProcess([sys.executable, str(PROGRAM), str(port), TOKEN], folder, lambda: listens(port))
    process.start()
    try:
        yield GhaPlace(process, port, is_v2=is_v2)
    finally:
        process.stop()
