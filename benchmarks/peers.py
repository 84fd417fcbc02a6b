"""The caches that a benchmark compares, each with its own directory and daemon; and two that cache nothing.

Owns: how each is called, warmed, emptied, stopped.  Must not know: what is measured.
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DO_NOTHING = r"""
#include <unistd.h>
/* The cheapest launcher there can be: a static program that runs nothing and says so. */
int main(void) { return 0; }
"""


@dataclass
class Peer:
    """One way to call a compiler."""

    name: str
    front: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stop_command: tuple[str, ...] = ()
    home: Path = Path("/nonexistent")
    caches: bool = True

    def environment(self) -> dict[str, str]:
        """The environment of its compiles."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "LC_ALL": "C", **self.env}

    def empty(self) -> None:
        """Forget everything that is cached."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def stop(self) -> None:
        """Stop its daemon."""
        if self.stop_command:
            subprocess.run(self.stop_command, env=self.environment(), capture_output=True, check=False, timeout=60)
            self._end_leftovers()

    def _end_leftovers(self) -> None:
        """After a build of Rust zccache says that it stopped, and goes on watching files beside what is measured next."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                program = (folder / "cmdline").read_bytes().split(b"\0")[0]
                if program.startswith(os.fsencode(self.home) + b"/"):
                    os.kill(int(folder.name), signal.SIGTERM)

    def start(self) -> None:
        """Make sure that its daemon runs: starting one is not what is measured."""
        if self.caches:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "w.c").write_text("int x;\n")
                subprocess.run([*self.front, "gcc", "-c", "w.c", "-o", "w.o"], cwd=folder, env=self.environment(), check=True, timeout=60)

    def daemon_pid(self) -> int | None:
        """Who listens on its unix socket."""
        path = self.env.get("SCCACHE_SERVER_UDS")
        if not path:
            return None
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            return int(struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def _sccache(name: str, command: Path, home: Path, **more: str) -> Peer:
    env = {"SCCACHE_DIR": str(home / "cache"), "SCCACHE_SERVER_UDS": str(home / "sock"), "SCCACHE_IDLE_TIMEOUT": "0",
           "SCCACHE_CACHE_SIZE": "50G", **more}  # fmt: skip
    return Peer(name, (str(command),), env, (str(command), "--stop-server"), home)


def do_nothing(folder: Path) -> Peer:
    """A static program in the launcher's place: what no cache can be faster than."""
    folder.mkdir(parents=True, exist_ok=True)
    source, program = folder / "nothing.c", folder / "nothing"
    source.write_text(DO_NOTHING)
    subprocess.run(["gcc", "-O2", "-static", "-o", program, source], check=True, timeout=60)
    return Peer("do-nothing", (str(program),), home=folder, caches=False)


def available(ours: Path, peers_bin: Path, work: Path) -> list[Peer]:
    """Everything that is installed: the plain compiler first, then ours, then the others."""
    found = [Peer("plain", (), home=work / "plain", caches=False), _sccache("ours", ours, work / "ours"),
             _sccache("ours-depend", ours, work / "ours-depend", SCCACHE_DEPEND="true")]  # fmt: skip
    ccache = shutil.which("ccache", path="/usr/bin:/usr/local/bin")
    if ccache:
        env = {"CCACHE_DIR": str(work / "ccache"), "CCACHE_CONFIGPATH": str(work / "none.conf"), "CCACHE_MAXSIZE": "50G"}
        found.append(Peer("ccache", (ccache,), env, (), work / "ccache"))
    if (peers_bin / "ccache").exists():
        env = {"CCACHE_DIR": str(work / "ccache-new"), "CCACHE_CONFIGPATH": str(work / "none.conf"), "CCACHE_MAXSIZE": "50G"}
        found.append(Peer("ccache-new", (str(peers_bin / "ccache"),), env, (), work / "ccache-new"))
    if (peers_bin / "sccache").exists():
        found.append(_sccache("sccache", peers_bin / "sccache", work / "sccache"))
    if (peers_bin / "zccache").exists():
        home = work / "zccache"
        env = {"ZCCACHE_CACHE_DIR": str(home / "cache"), "ZCCACHE_DIR": str(home / "cache")}
        found.append(Peer("zccache", (str(peers_bin / "zccache"),), env, (str(peers_bin / "zccache"), "stop"), home))
    return found


def remote_peers(ours: Path, peers_bin: Path, work: Path, endpoint: str) -> list[Peer]:
    """Those that can use the server at `endpoint` (`redis://…` or `tcp://…` for memcached; empty: none), as their only storage."""
    scheme = endpoint.partition(":")[0]
    variable = {"redis": "SCCACHE_REDIS_ENDPOINT", "tcp": "SCCACHE_MEMCACHED_ENDPOINT"}.get(scheme)
    more = {variable: endpoint} if variable else {}
    found = [_sccache("ours", ours, work / "ours", **more)]
    if (peers_bin / "sccache").exists():
        found.append(_sccache("sccache", peers_bin / "sccache", work / "sccache", **more))
    if (peers_bin / "ccache").exists() and scheme == "redis":
        env = {"CCACHE_DIR": str(work / "ccache-new"), "CCACHE_CONFIGPATH": str(work / "none.conf"), "CCACHE_REMOTE_STORAGE": endpoint,
               "CCACHE_REMOTE_ONLY": "1"}  # fmt: skip
        found.append(Peer("ccache-new", (str(peers_bin / "ccache"),), env, (), work / "ccache-new"))
    return found
