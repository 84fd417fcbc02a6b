"""A farm that a benchmark starts: scheduler, worker and a client's settings, of our product or of the real sccache-dist.

Owns: configuration, starting, asking, ending.  Must not know: what is measured.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CLIENT_TOKEN = "benchmark"  # noqa: S105 -- of a scheduler on 127.0.0.1 that lives for a minute


@dataclass
class Farm:
    """A scheduler, a worker and a client's settings."""

    name: str
    folder: Path
    sccache: Path
    worker_cores: tuple[int, ...] = ()
    """Those that the worker has to itself; none: it shares the client's."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the client, besides its configuration file."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    scheduler: str = ""

    @property
    def dist(self) -> Path:
        """The program of scheduler and worker."""
        return self.sccache.with_name("sccache-dist")

    def environment(self, **more: str) -> dict[str, str]:
        """Of the client and its compiles."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {
            **kept, "LC_ALL": "C", "SCCACHE_CONF": str(self.folder / "client.conf"), "SCCACHE_DIR": str(self.folder / "cache"),
            "SCCACHE_SERVER_UDS": str(self.folder / "sock"), "SCCACHE_IDLE_TIMEOUT": "0", **self.settings, **more,
        }  # fmt: skip

    def start(self) -> None:
        """Scheduler and worker, until the one knows the other."""
        self.folder.mkdir(parents=True)
        self.scheduler, worker = (f"127.0.0.1:{free_port()}" for _ in range(2))
        key = self._say("auth", "generate-jwt-hs256-key")
        token = self._say("auth", "generate-jwt-hs256-server-token", "--secret-key", key, "--server", worker)
        auth = f'type = "token"\ntoken = "{CLIENT_TOKEN}"\n'
        texts = {
            "scheduler.conf": f'public_addr = "{self.scheduler}"\n[client_auth]\n{auth}'
            f'[server_auth]\ntype = "jwt_hs256"\nsecret_key = "{key}"\n',
            "server.conf": f'cache_dir = "{self.folder}/server"\npublic_addr = "{worker}"\nscheduler_url = "http://{self.scheduler}"\n'
            f'[builder]\ntype = "overlay"\nbuild_dir = "{self.folder}/build"\nbwrap_path = "{shutil.which("bwrap")}"\n'
            f'[scheduler_auth]\ntype = "jwt_token"\ntoken = "{token}"\n',
            "client.conf": f'[dist]\nscheduler_url = "http://{self.scheduler}"\n'
            f'cache_dir = "{self.folder}/toolchains"\n[dist.auth]\n{auth}',
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text)
        for part in ("scheduler", "server"):
            with (self.folder / f"{part}.log").open("wb") as log:
                command = [self.dist, part, "--config", self.folder / f"{part}.conf"]
                if part == "server" and self.worker_cores:
                    command[:0] = ["taskset", "-c", ",".join(map(str, self.worker_cores))]
                env = {**os.environ, "SCCACHE_NO_DAEMON": "1", "SCCACHE_LOG": "warn"}
                self.processes[part] = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        until(lambda: self._status() == 1, f"{self.name}: the scheduler knows no worker; see {self.folder}")

    def _say(self, *words: str) -> str:
        return subprocess.run([self.dist, *words], capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    def _status(self) -> int:
        request = urllib.request.Request(f"http://{self.scheduler}/api/v1/scheduler/status", headers={"Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 -- same
                return int(json.load(answer)["num_servers"])
        except OSError:
            return 0

    def stop(self) -> None:
        """All that was started."""
        self.client("--stop-server", check=False)
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()

    def client(self, *words: str, check: bool = True) -> str:
        """The client's command."""
        run = subprocess.run([self.sccache, *words], env=self.environment(), capture_output=True, text=True, check=check, timeout=120)
        return run.stdout

    def forget(self) -> None:
        """A daemon anew, with an empty cache."""
        self.client("--stop-server", check=False)
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        self.client("--start-server")

    def counts(self) -> tuple[int, int]:
        """Compiles done by workers, and failures of that."""
        stats = json.loads(self.client("--show-stats", "--stats-format=json"))["stats"]
        return sum(stats["dist_compiles"].values()), stats["dist_errors"]

    def daemon_cpu_s(self) -> float:
        """Of the client's daemon and what it has run."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self.folder / "sock"))
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return _cpu_s(int.from_bytes(credentials[:4], sys.byteorder))


def _cpu_s(pid: int) -> float:
    """Of a process, its threads, and its children that have ended: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(word) for word in fields[11:15]) / TICKS


def free_port() -> int:
    """On 127.0.0.1."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def until(is_so: Callable[[], object], otherwise: str) -> None:
    """Poll for ten seconds; ends the run with `otherwise`."""
    for _ in range(40):
        if is_so():
            return
        time.sleep(0.25)
    sys.exit(f"bench: {otherwise}")
