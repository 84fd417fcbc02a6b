"""The caches that can be put in front of a compiler: ours, and the peers that prove the scenarios can fail.

Owns: how each is called, isolated, counted and stopped.  Chosen by SCCACHE_TEST_PRODUCT (ours, sccache, ccache, zccache).
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTROL_DEADLINE_S = 120.0  # a control command that takes longer hangs
STORED_WITHIN_S = 3.0  # after that a miss is taken for one that is not stored
PEERS_BIN = Path(os.environ.get("SCCACHE_TEST_PEERS", "/tmp/peers/bin"))

MODES: dict[str, dict[str, str]] = {
    "": {},
    "depend": {"SCCACHE_DEPEND": "true"},
    "indirect": {"SCCACHE_DIRECT": "false"},
    "farm": {"SCCACHE_CONF": os.environ.get("SCCACHE_TEST_FARM_CONF", "")},
}
"""SCCACHE_TEST_MODE: the ways in which the product finds or makes results, each of which must play all scenarios.

`farm`: misses are compiled on a farm that runs already; SCCACHE_TEST_FARM_CONF is a client's configuration file, with
`dist.cache_dir` in it."""


@dataclass(frozen=True)
class Counts:
    """How often the cache could help."""

    hits: int = 0
    misses: int = 0
    uncached: int = 0
    pending_writes: int = 0


def tool(argv: list[str], env: Mapping[str, str], cwd: str = "/") -> subprocess.CompletedProcess[bytes]:
    """Run a control command."""
    return subprocess.run(
        argv, env=dict(env), cwd=cwd, capture_output=True, timeout=CONTROL_DEADLINE_S, check=False, stdin=subprocess.DEVNULL
    )  # fmt: skip


class Sccache:
    """Ours, and the original: they share their commands and variables."""

    has_daemon = True

    def __init__(self, name: str, command: Path) -> None:
        """`command` is the path of the launcher."""
        self.name = name
        self.command = command
        self._never_written = 0

    def environment(self, home: Path) -> dict[str, str]:
        """Settings that keep one test's cache and daemon apart from all others'."""
        mode = MODES[os.environ.get("SCCACHE_TEST_MODE", "")]
        return {"SCCACHE_DIR": str(home / "cache"), "SCCACHE_SERVER_UDS": str(home / "sock"), "SCCACHE_IDLE_TIMEOUT": "120", **mode}

    def cache_dir(self, env: Mapping[str, str]) -> Path:
        """Where entries are."""
        return Path(env["SCCACHE_DIR"])

    def stats(self, env: Mapping[str, str]) -> dict[str, Any]:
        """The whole statistics document."""
        done = tool([str(self.command), "--show-stats", "--stats-format=json"], env)
        if done.returncode != 0:
            raise AssertionError(f"--show-stats failed: {done.stderr!r}")
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed

    def counts(self, env: Mapping[str, str]) -> Counts:
        """Read hits and misses."""
        stats = self.stats(env)["stats"]
        misses = sum(stats["cache_misses"]["counts"].values())
        pending = misses - stats["cache_writes"] - stats["cache_write_errors"]
        return Counts(sum(stats["cache_hits"]["counts"].values()), misses, sum(stats["not_cached"].values()), pending)

    def settled_counts(self, env: Mapping[str, str]) -> Counts:
        """Read hits and misses once the entries are on disk (they are stored after the answer)."""
        give_up = time.monotonic() + STORED_WITHIN_S
        while (counts := self.counts(env)).pending_writes > self._never_written and time.monotonic() < give_up:
            time.sleep(0.02)
        self._never_written = max(counts.pending_writes, 0)  # misses that are not worth storing: do not wait for them again
        return counts

    def stop(self, env: Mapping[str, str]) -> None:
        """Stop the daemon if there is one."""
        tool([str(self.command), "--stop-server"], env)

    def daemon_pid(self, env: Mapping[str, str]) -> int | None:
        """Ask the kernel who listens on the socket."""
        address = env.get("SCCACHE_SERVER_UDS", "").replace("\\x00", "\0")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            try:
                peer.connect(address)
            except OSError:
                return None
            pid, _, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return int(pid)


class Ccache:
    """Ccache: no daemon."""

    has_daemon = False

    def __init__(self, name: str, command: Path) -> None:
        """`command` is the ccache program."""
        self.name = name
        self.command = command

    def environment(self, home: Path) -> dict[str, str]:
        """Its own directory, no user configuration."""
        return {"CCACHE_DIR": str(home / "cache"), "CCACHE_CONFIGPATH": str(home / "none.conf")}

    def cache_dir(self, env: Mapping[str, str]) -> Path:
        """Where entries are."""
        return Path(env["CCACHE_DIR"])

    def counts(self, env: Mapping[str, str]) -> Counts:
        """Read hits and misses."""
        done = tool([str(self.command), "--print-stats"], env)
        rows = dict(line.split("\t")[:2] for line in done.stdout.decode().splitlines())
        hits = int(rows["direct_cache_hit"]) + int(rows["preprocessed_cache_hit"])
        return Counts(hits, int(rows["cache_miss"]))

    def settled_counts(self, env: Mapping[str, str]) -> Counts:
        """Ccache stores before it exits."""
        return self.counts(env)

    def stop(self, env: Mapping[str, str]) -> None:
        """Nothing runs."""

    def daemon_pid(self, env: Mapping[str, str]) -> int | None:  # noqa: ARG002 -- same shape as the others
        """There is none."""
        return None


class Zccache(Sccache):
    """The newcomer with a daemon of its own; its hits are not counted here."""

    def environment(self, home: Path) -> dict[str, str]:
        """Its own directory and name for the daemon."""
        return {"ZCCACHE_CACHE_DIR": str(home / "cache"), "ZCCACHE_DIR": str(home / "cache")}

    def cache_dir(self, env: Mapping[str, str]) -> Path:
        """Where entries are."""
        return Path(env["ZCCACHE_DIR"])

    def counts(self, env: Mapping[str, str]) -> Counts:  # noqa: ARG002 -- same shape as the others
        """Not counted."""
        return Counts()

    def stop(self, env: Mapping[str, str]) -> None:
        """Stop its daemon."""
        tool([str(self.command), "stop"], env)

    def daemon_pid(self, env: Mapping[str, str]) -> int | None:  # noqa: ARG002 -- same shape as the others
        """Not known."""
        return None


Product = Sccache | Ccache | Zccache


def our_command() -> Path:
    """Find the installed `sccache`: SCCACHE_TEST_BIN, or beside the Python that runs the tests."""
    named = os.environ.get("SCCACHE_TEST_BIN")
    return Path(named) if named else Path(sys.prefix) / "bin" / "sccache"


def python_launcher(ours: Path, folder: Path) -> Path:
    """Lay out an installation as it is where no C compiler was found: the script in the launcher's place."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / "sccache-python"
    beside.write_bytes((ours.parent / "sccache-python").read_bytes())
    script = folder / "sccache"
    script.write_text(f"#!{ours.parent}/python\nfrom sccache.launcher import main\n\nmain()\n")
    for file in (beside, script):
        file.chmod(0o755)
    return script


def chosen(folder: Path) -> Product:
    """Make the product under test; `folder` may hold helper scripts."""
    name = os.environ.get("SCCACHE_TEST_PRODUCT", "ours")
    if name == "ours":
        command = our_command()
        if os.environ.get("SCCACHE_TEST_LAUNCHER", "c") == "python":
            command = python_launcher(command, folder)
        return Sccache(name, command)
    return peer(name)


def peer(name: str) -> Product:
    """Make a peer by name."""
    if name == "ccache":
        return Ccache(name, Path(shutil.which("ccache", path="/usr/bin:/usr/local/bin") or "/usr/bin/ccache"))
    if name == "sccache":
        return Sccache(name, PEERS_BIN / "sccache")
    if name == "zccache":
        return Zccache(name, PEERS_BIN / "zccache")
    raise ValueError(f"SCCACHE_TEST_PRODUCT={name!r} is none of ours, sccache, ccache, zccache")
