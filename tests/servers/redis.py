"""Real redis-servers without persistence: single with a password, open, an ACL user, TLS, a unix socket, a cluster of three nodes."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from tests.servers.place import Address
from tests.servers.process import ServerProcess, free_port, listens

PASSWORD, WRONG = "correct-horse-battery", "wrong-horse-battery"
USERNAME = "builder"
COMMON = ("--save", "", "--appendonly", "no", "--daemonize", "no", "--maxclients", "500", "--loglevel", "warning")
CLUSTER_SLOTS = 16384
CLUSTER_TIMEOUT_S = 60.0


class RedisPlace:
    """One or several redis-servers."""

    backend: ClassVar[str] = "redis"
    max_object_bytes: ClassVar[int] = 512 << 20
    is_immutable: ClassVar[bool] = False

    def __init__(
        self, servers: list[ServerProcess], address: Address, variables: Mapping[str, str], wrong: Mapping[str, str] | None
    ) -> None:
        self.servers = servers
        self.address = address
        self._variables = variables
        self._wrong = wrong
        self.ports: list[int] = []
        self.is_joined = False
        """The servers have formed a cluster, and will again."""

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        """With the port of `address`, except for a unix socket, which no proxy stands before."""
        old, new = f"{self.address[0]}:{self.address[1]}", f"{address[0]}:{address[1]}" if address else ""
        return {name: value.replace(old, new) if new else value for name, value in self._variables.items()}

    def wrong_environment(self) -> Mapping[str, str] | None:
        """With credentials that must be refused."""
        return None if self._wrong is None else {**self._variables, **self._wrong}

    def stop(self) -> None:
        """Kill all."""
        for server in self.servers:
            server.stop()

    def start(self) -> None:
        """Start all again, empty."""
        for server in self.servers:
            server.start()
        if self.is_joined:
            wait_for_cluster(self.ports)


def server(folder: Path, port: int, *options: str, is_ready: bool = False) -> ServerProcess:
    """A redis-server on a port of 127.0.0.1 (0: none)."""
    argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), *COMMON, *options]
    return ServerProcess(argv, folder, lambda: is_ready or listens(port))


@contextlib.contextmanager
def _running(place: RedisPlace) -> Iterator[RedisPlace]:
    try:
        place.start()
        yield place
    finally:
        place.stop()


@contextlib.contextmanager
def redis_single(folder: Path) -> Iterator[RedisPlace]:
    """One server with a password."""
    port = free_port()
    variables = {"SCCACHE_REDIS_ENDPOINT": f"redis://127.0.0.1:{port}", "SCCACHE_REDIS_PASSWORD": PASSWORD}
    place = RedisPlace([server(folder, port, "--requirepass", PASSWORD)], ("127.0.0.1", port), variables, {"SCCACHE_REDIS_PASSWORD": WRONG})
    with _running(place):
        yield place


@contextlib.contextmanager
def redis_open(folder: Path) -> Iterator[RedisPlace]:
    """One server that asks for nothing, by the deprecated address."""
    port = free_port()
    with _running(
        RedisPlace([server(folder, port)], ("127.0.0.1", port), {"SCCACHE_REDIS": f"redis://127.0.0.1:{port}/?db=3"}, None)
    ) as place:
        yield place


@contextlib.contextmanager
def redis_acl(folder: Path) -> Iterator[RedisPlace]:
    """A user who may only GET and SET below one prefix; nobody else may anything."""
    port = free_port()
    variables = {
        "SCCACHE_REDIS_ENDPOINT": f"tcp://127.0.0.1:{port}",
        "SCCACHE_REDIS_USERNAME": USERNAME,
        "SCCACHE_REDIS_PASSWORD": PASSWORD,
        "SCCACHE_REDIS_KEY_PREFIX": "team",
        "SCCACHE_REDIS_EXPIRATION": "3600",
    }
    options = ("--user", "default", "off", "--user", USERNAME, "on", f">{PASSWORD}", "~team*", "~other*", "+get", "+set", "+select")
    place = RedisPlace([server(folder, port, *options)], ("127.0.0.1", port), variables, {"SCCACHE_REDIS_PASSWORD": WRONG})
    with _running(place):
        yield place


@contextlib.contextmanager
def redis_tls(folder: Path) -> Iterator[RedisPlace]:
    """TLS with a certificate of an authority of our own, which SSL_CERT_FILE names."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    make_certificates(folder)
    files = ("--tls-cert-file", "server.crt", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.crt")
    process = ServerProcess(
        ["redis-server", "--bind", "127.0.0.1", "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", "--dir", str(folder),
         "--requirepass", PASSWORD, *files, *COMMON], folder, lambda: listens(port),
    )  # fmt: skip
    variables = {
        "SCCACHE_REDIS_ENDPOINT": f"rediss://127.0.0.1:{port}",
        "SCCACHE_REDIS_PASSWORD": PASSWORD,
        "SSL_CERT_FILE": str(folder / "ca.crt"),
    }
    with _running(RedisPlace([process], ("127.0.0.1", port), variables, {"SCCACHE_REDIS_PASSWORD": WRONG})) as place:
        yield place


def make_certificates(folder: Path) -> None:
    """An authority (ca.crt) and a certificate for 127.0.0.1 (server.crt, server.key)."""

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", "server.crt",
        "-extfile", "names",
    )  # fmt: skip


@contextlib.contextmanager
def redis_unix(folder: Path) -> Iterator[RedisPlace]:
    """A unix socket; a TCP port beside it, for nobody."""
    short = Path(tempfile.mkdtemp(prefix="rs-"))  # a socket's path has 107 bytes
    path = short / "redis.sock"
    process = ServerProcess(
        ["redis-server", "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", str(short), *COMMON],
        folder,
        lambda: _accepts(path),
    )
    try:
        with _running(RedisPlace([process], ("127.0.0.1", 0), {"SCCACHE_REDIS_ENDPOINT": f"unix://{path}"}, None)) as place:
            yield place
    finally:
        shutil.rmtree(short, ignore_errors=True)


def _accepts(path: Path) -> bool:
    """A killed server leaves its socket's file."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


@contextlib.contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisPlace]:
    """Three nodes that share the slots, with a password."""
    ports = [_cluster_port() for _ in range(3)]
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")
    secret = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
    servers = [server(folder / str(port), port, *options, *secret) for port in ports]
    endpoints = ",".join(f"redis://127.0.0.1:{port}" for port in ports)
    variables = {"SCCACHE_REDIS_CLUSTER_ENDPOINTS": endpoints, "SCCACHE_REDIS_PASSWORD": PASSWORD}
    with _running(RedisPlace(servers, ("127.0.0.1", ports[0]), variables, {"SCCACHE_REDIS_PASSWORD": WRONG})) as place:
        _join(ports)
        place.ports, place.is_joined = ports, True
        yield place


@contextlib.contextmanager
def redis_loading(folder: Path) -> Iterator[RedisPlace]:
    """A server that reads its database for half a minute."""
    port = free_port()
    first = server(folder, port)
    first.start()
    try:
        for number in range(60):
            cli(port, "set", f"key-{number}", os.urandom(2000).hex())  # it looks for clients once in 1024 bytes
        cli(port, "save")
    finally:
        first.stop()
    second = server(folder, port, "--key-load-delay", "500000", "--loading-process-events-interval-bytes", "1024")
    with _running(RedisPlace([second], ("127.0.0.1", port), {"SCCACHE_REDIS_ENDPOINT": f"127.0.0.1:{port}"}, None)) as place:
        yield place


def _cluster_port() -> int:
    """A port whose bus port (10,000 above) is possible, too."""
    while True:
        port = free_port()
        if port < 55_000 and not listens(port + 10_000):
            return port


def _join(ports: list[int]) -> None:
    nodes = [f"127.0.0.1:{port}" for port in ports]
    env = {**os.environ, "REDISCLI_AUTH": PASSWORD}
    subprocess.run(
        ["redis-cli", "--cluster", "create", *nodes, "--cluster-replicas", "0", "--cluster-yes"], env=env, check=True, capture_output=True
    )
    wait_for_cluster(ports)


def wait_for_cluster(ports: list[int]) -> None:
    """Until all nodes agree."""
    deadline = time.monotonic() + CLUSTER_TIMEOUT_S
    while not all(b"cluster_state:ok" in cli(port, "cluster", "info") for port in ports):
        if time.monotonic() > deadline:
            raise RuntimeError("the cluster does not come together")
        time.sleep(0.1)  # other processes agree: looked for, with a deadline


def cli(port: int, *words: str) -> bytes:
    """What redis-cli says to a command."""
    env = {**os.environ, "REDISCLI_AUTH": PASSWORD}
    return subprocess.run(["redis-cli", "-p", str(port), *words], env=env, check=True, capture_output=True).stdout
