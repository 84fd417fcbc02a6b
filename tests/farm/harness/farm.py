"""A farm of the installed product: scheduler, workers and clients as a user would start them, from configuration files.

Owns: configuration, starting, asking, breaking, ending.  Must not know: anything inside the product; it is only commands here.
"""

import contextlib
import json
import os
import secrets
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.farm.harness import wire
from tests.farm.harness.network import ORDINARY_USER, Host, Network
from tests.servers.process import free_port

READY_S = 60.0
COMMAND_S = 300.0
BASE = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "SCCACHE_NO_DAEMON": "1", "SCCACHE_LOG": "debug"}


def until(true: Callable[[], object], what: str, log: Path | None = None) -> None:
    """Poll; the deadline is for what hangs."""
    give_up = time.monotonic() + READY_S
    while not true():
        if time.monotonic() > give_up:
            said = log.read_text(errors="replace")[-4000:] if log and log.exists() else ""
            raise AssertionError(f"after {READY_S} s: not so: {what}\n{said}")
        time.sleep(0.02)


def files_below(folder: Path) -> Iterator[Path]:
    """Regular files of a folder that lives: what goes while it is read (the directory of a job that ended) is left out."""
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


@dataclass
class Program:
    """Something that runs on a host, with its output in a file."""

    host: Host
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str]
    is_ordinary: bool = False
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.host.command(self.argv, is_ordinary=self.is_ordinary),
                env=dict(self.env), cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code; -9 and so on for signals."""
        assert self.process is not None
        return self.process.wait(COMMAND_S)

    def kill(self) -> None:
        """End it as a power cut would; nothing if it does not run."""
        if self.is_running:
            self.signal(signal.SIGKILL)
            self.wait()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process is not None and self.process.poll() is None

    def text(self) -> str:
        """What it said."""
        return self.log.read_text(errors="replace")


@dataclass
class Server:
    """A worker or the scheduler: its program, where it listens, what it keeps."""

    program: Program
    address: str
    folder: Path
    token: str = ""
    """What a worker shows to the scheduler."""

    def ask(self, host: Host, method: str, path: str, body: bytes = b"", **how: Any) -> wire.Answer:
        """A raw request from a host."""
        return wire.send(host, wire.parse(self.address), method, path, body, **how)


@dataclass
class Client:
    """A user's machine."""

    host: Host
    home: Path
    command: Path
    env: dict[str, str]
    is_ordinary: bool = False

    def start(self, argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start something there."""
        pipe = subprocess.PIPE
        words = self.host.command([os.fspath(word) for word in argv], is_ordinary=self.is_ordinary)
        merged = {**self.env, **(env or {})}
        return subprocess.Popen(words, cwd=cwd, env=merged, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True)

    def run(
        self, argv: Sequence[str | Path], cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run something there to its end."""
        process = self.start(argv, cwd or self.home, env)
        out, err = process.communicate(timeout=COMMAND_S)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def stats(self) -> dict[str, Any]:
        """The counters."""
        done = self.run([self.command, "--show-stats", "--stats-format=json"])
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["stats"]
        return found

    def counted(self) -> "Counted":
        """Those of distribution."""
        stats = self.stats()
        return Counted(dict(stats["dist_compiles"]), stats["dist_errors"], stats["requests_executed"])

    def forget(self) -> None:
        """Begin anew: no daemon, no cache, counters at zero; packaged toolchains stay."""
        self.stop()
        subprocess.run(["rm", "-rf", str(self.home / "cache")], check=True, timeout=COMMAND_S)

    def stop(self) -> None:
        """Stop the daemon."""
        self.run([self.command, "--stop-server"])

    def troubles(self) -> list[str]:
        """What its log says of compiles that a worker could not do."""
        return [line for line in self.log().splitlines() if "distributed compile" in line]

    def log(self) -> str:
        """The daemon's."""
        path = self.home / "log"
        return path.read_text(errors="replace") if path.exists() else ""


@dataclass(frozen=True)
class Counted:
    """What --show-stats says of distribution."""

    compiles: Mapping[str, int]
    """By worker."""
    errors: int
    requests: int

    @property
    def remote(self) -> int:
        """Compiled by any worker."""
        return sum(self.compiles.values())


@dataclass
class Farm:
    """See the module's text."""

    network: Network
    command: Path
    """The installed `sccache`."""
    is_ordinary: bool = False
    """All programs run as nobody in particular; workers without root."""
    client_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    secret_key: str = ""
    scheduler_url: str = ""
    folder: Path = field(init=False)
    """What its programs keep; also short, for sockets' paths."""
    scheduler: Server = field(init=False)
    workers: dict[str, Server] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Nothing runs yet, and nothing is left of another farm on the same hosts: not its caches, nor its counters."""
        self.network.folder.chmod(0o755)
        self.folder = Path(tempfile.mkdtemp(prefix="f", dir=self.network.folder))
        self.folder.chmod(0o755)
        self.dist = self.command.parent / "sccache-dist"
        self.secret_key = self.secret_key or self.tool("auth", "generate-jwt-hs256-key")

    # -- setting up

    def tool(self, *words: str) -> str:
        """What a command of sccache-dist prints."""
        done = subprocess.run([str(self.dist), *words], env=BASE, capture_output=True, text=True, check=False, timeout=COMMAND_S)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout.strip()

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        if self.is_ordinary and os.geteuid() == 0:
            os.chown(folder, ORDINARY_USER, ORDINARY_USER)
        return folder

    def _server(self, name: str, kind: str, port: int, config: str, address: str = "", front: Sequence[str] = ()) -> Server:
        host, folder = self.network.host(name), self._folder(name)
        path = folder / f"{kind}.conf"
        path.write_text(config)
        argv = [*front, str(self.dist), kind, "--config", str(path)]
        program = Program(host, argv, folder / "log", {**BASE, "HOME": str(folder), "TMPDIR": str(folder)}, self.is_ordinary)
        return Server(program, f"{address or host.address}:{port}", folder)

    def port(self, usual: int) -> int:
        """The usual one where hosts have addresses of their own."""
        return usual if self.network.is_real else free_port()

    def add_scheduler(self, name: str = "s", *, listens: str = "", client_auth: str = "", more: str = "") -> Server:
        """The scheduler; `listens` is an address other than the host's, for one behind a proxy."""
        port = self.port(10600)
        address = listens or self.network.host(name).address
        auth = client_auth or f'type = "token"\ntoken = "{self.client_token}"'
        config = (
            f'public_addr = "{address}:{port}"\n{more}\n[client_auth]\n{auth}\n'
            f'[server_auth]\ntype = "jwt_hs256"\nsecret_key = "{self.secret_key}"\n'
        )  # fmt: skip
        self.scheduler = self._server(name, "scheduler", port, config, address)
        self.scheduler_url = self.scheduler_url or f"http://{self.scheduler.address}"
        return self.scheduler

    def server_token(self, address: str) -> str:
        """A worker's."""
        if address not in self._tokens:
            self._tokens[address] = self._make_token(address)
        return self._tokens[address]

    def _make_token(self, address: str) -> str:
        return self.tool("auth", "generate-jwt-hs256-server-token", "--server", address, "--secret-key", self.secret_key)

    def add_worker(
        self,
        name: str,
        *,
        builder: str = "",
        cache_bytes: int = 1 << 30,
        space: str = "",
        more: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Server:
        """A worker; `space` (`200m`) gives it a file system of its own of that size, which only it sees."""
        host, folder = self.network.host(name), self._folder(name)
        port = self.port(10501)
        address = f"{host.address}:{port}"
        kind = builder or ("rootless" if self.is_ordinary or os.geteuid() != 0 else "overlay")
        kept = folder / "kept"
        given = self.server_token(address)
        config = (
            f'cache_dir = "{kept}/cache"\ntoolchain_cache_size = {cache_bytes}\npublic_addr = "{address}"\n'
            f'scheduler_url = "{self.scheduler_url}"\n{more}\n'
            f'[limits]\noutput = "256M"\n'
            f'[builder]\ntype = "{kind}"\nbuild_dir = "{kept}/build"\n[scheduler_auth]\ntype = "jwt_token"\ntoken = "{given}"\n'
        )  # fmt: skip
        script = f'mkdir -p {kept} && mount -t tmpfs -o size={space} tmpfs {kept} && exec "$@"'
        front = ("unshare", "--mount", "sh", "-euc", script, "sh") if space else ()
        worker = self._server(name, "server", port, config, front=front)
        worker.token = given
        worker.program.env = {**worker.program.env, **(env or {})}
        self.workers[name] = worker
        return worker

    def add_client(self, name: str, *, config: str = "", env: Mapping[str, str] | None = None, token: str | None = None) -> Client:
        """A user's machine, set up by its configuration file."""
        host, home = self.network.host(name), self._folder(name)
        (home / "tmp").mkdir(exist_ok=True)
        (home / "tmp").chmod(0o1777)
        text = (
            f'[dist]\nscheduler_url = "{self.scheduler_url}"\ncache_dir = "{home}/dist"\n{config}\n'
            f'[dist.auth]\ntype = "token"\ntoken = "{self.client_token if token is None else token}"\n'
        )  # fmt: skip
        (home / "config").write_text(text)
        own = {
            "HOME": str(home), "TMPDIR": str(home / "tmp"), "SCCACHE_CONF": str(home / "config"), "SCCACHE_DIR": str(home / "cache"),
            "SCCACHE_SERVER_UDS": str(home / "sock"), "SCCACHE_IDLE_TIMEOUT": "300", "SCCACHE_ERROR_LOG": str(home / "log"),
            "XDG_CACHE_HOME": str(home / "xdg"), "XDG_CONFIG_HOME": str(home / "xdg"), "TERM": "dumb",
        }  # fmt: skip
        made = {name: value for name, value in BASE.items() if name != "SCCACHE_NO_DAEMON"}
        client = Client(host, home, self.command, {**made, **own, **(env or {})}, self.is_ordinary)
        self.clients[name] = client
        return client

    # -- running

    def start(self) -> None:
        """Start all servers that do not run, and wait until the scheduler knows all workers."""
        servers = [self.scheduler, *self.workers.values()]
        for server in servers:
            if not server.program.is_running:
                server.program.start()
        for server in servers:
            until(lambda server=server: self._answers(server), f"{server.program.argv} answers", server.program.log)
        until(lambda: self.status()["num_servers"] == len(self.workers), "the scheduler knows all workers", self.scheduler.program.log)

    def _answers(self, server: Server) -> bool:
        assert server.program.is_running, server.program.text()[-4000:]
        with contextlib.suppress(OSError):
            return self.ask_status(server)["num_cpus"] is not None
        return False

    def ask_status(self, server: Server) -> dict[str, Any]:
        """GET /api/v2/status of a scheduler or worker, from its own host."""
        answer = server.ask(server.program.host, "GET", "/api/v2/status", tls=server in self.workers.values())
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json
        return found

    def status(self) -> dict[str, Any]:
        """The scheduler's."""
        return self.ask_status(self.scheduler)

    def running(self, worker: str) -> int:
        """How many jobs a worker has at this moment, by its own word."""
        found: int = self.ask_status(self.workers[worker])["in_progress"]
        return found

    def metrics(self, server: Server) -> dict[str, float]:
        """Everything that GET /metrics counts."""
        answer = server.ask(server.program.host, "GET", "/metrics", tls=server in self.workers.values())
        assert answer.status == 200, answer
        lines = [line for line in answer.body.decode().splitlines() if line and not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def close(self) -> None:
        """Stop everything; what does not stop is killed with its host."""
        for client in self.clients.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.stop()
        for server in [*self.workers.values(), self.scheduler]:
            if server.program.is_running:
                server.program.signal(signal.SIGCONT)
                server.program.kill()
