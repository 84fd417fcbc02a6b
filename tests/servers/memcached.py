"""Real memcached servers: over TCP, over a unix socket, with SASL, and with the text protocol only."""

import contextlib
import os
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from tests.servers.place import Address
from tests.servers.process import ServerProcess, free_port, listens

ITEM_MB = 128
MEMORY_MB = 512
REALM = "test"
USERNAME, PASSWORD = f"builder@{REALM}", "pa:ss wörd/%"
SASL_CONF = """
mech_list: plain
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/sasldb
"""


class MemcachedPlace:
    """One of the servers.  Its data is lost when it stops."""

    backend: ClassVar[str] = "memcached"
    max_object_bytes: ClassVar[int] = (ITEM_MB - 1) << 20
    is_immutable: ClassVar[bool] = False

    def __init__(self, process: ServerProcess, address: Address, endpoint: str, credentials: Mapping[str, str]) -> None:
        self.address: Address = address
        self._process = process
        self._endpoint = endpoint
        self._credentials = credentials

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        endpoint = f"tcp://{address[0]}:{address[1]}" if address else self._endpoint
        return {"SCCACHE_MEMCACHED_ENDPOINT": endpoint, **self._credentials}

    def wrong_environment(self) -> Mapping[str, str] | None:
        if not self._credentials:
            return None
        return {**self.environment(), "SCCACHE_MEMCACHED_PASSWORD": f"{PASSWORD}x"}

    def stop(self) -> None:
        self._process.stop()

    def start(self) -> None:
        self._process.start()


@contextlib.contextmanager
def memcached_tcp(folder: Path, *options: str) -> Iterator[MemcachedPlace]:
    """Without credentials; `options` are added to the server's command line."""
    port = free_port()
    process = ServerProcess(_command("-l", "127.0.0.1", "-p", str(port), *options), folder, lambda: listens(port))
    with _running(process):
        yield MemcachedPlace(process, ("127.0.0.1", port), f"127.0.0.1:{port}", {})


@contextlib.contextmanager
def memcached_sasl(folder: Path) -> Iterator[MemcachedPlace]:
    """User name and password, kept in a database of Cyrus SASL."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memcached.conf").write_text(SASL_CONF.format(folder=folder))
    program = _program("saslpasswd2")
    command = [program, "-p", "-c", "-a", "memcached", "-u", REALM, "-f", str(folder / "sasldb"), USERNAME.partition("@")[0]]
    subprocess.run(command, input=PASSWORD.encode(), check=True, timeout=60)
    env = {"SASL_CONF_PATH": str(folder)}
    process = ServerProcess(_command("-S", "-l", "127.0.0.1", "-p", str(port)), folder, lambda: listens(port), env)
    credentials = {"SCCACHE_MEMCACHED_USERNAME": USERNAME, "SCCACHE_MEMCACHED_PASSWORD": PASSWORD}
    with _running(process):
        yield MemcachedPlace(process, ("127.0.0.1", port), f"tcp://127.0.0.1:{port}", credentials)


@contextlib.contextmanager
def memcached_unix(folder: Path) -> Iterator[MemcachedPlace]:
    """A unix socket, in a folder with a short name; for a proxy a relay makes a TCP address of it."""
    with tempfile.TemporaryDirectory(prefix="sccache-memcached-") as name:
        path = Path(name) / "s"
        process = ServerProcess(_command("-s", str(path)), folder, lambda: _accepts(path))
        with _running(process), _relayed(path) as address:
            yield MemcachedPlace(process, address, f"unix://{path}", {})


def _command(*options: str) -> list[str]:
    """In the foreground, large enough for large objects; memcached refuses to be root unless told to."""
    user = ["-u", "root"] if os.geteuid() == 0 else []
    return [_program("memcached"), *user, "-I", f"{ITEM_MB}m", "-m", str(MEMORY_MB), *options]


def _program(name: str) -> str:
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/bin:/usr/sbin")
    assert program is not None, f"{name} is not installed; scripts/setup installs it"
    return program


@contextlib.contextmanager
def _running(process: ServerProcess) -> Iterator[None]:
    process.start()
    try:
        yield
    finally:
        process.stop()


@contextlib.contextmanager
def _relayed(path: Path) -> Iterator[Address]:
    """A TCP address that leads to the unix socket."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
                server.connect(str(path))
                back = threading.Thread(target=_pump, args=(server, self.request))
                back.start()
                _pump(self.request, server)
                back.join()

    class Relays(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

    with Relays(("127.0.0.1", 0), Relay) as relays:
        thread = threading.Thread(target=relays.serve_forever, args=(0.05,))
        thread.start()
        yield ("127.0.0.1", relays.server_address[1])
        relays.shutdown()
        thread.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Forward until one side ends; then end both."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 18):
            sink.sendall(data)
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0
