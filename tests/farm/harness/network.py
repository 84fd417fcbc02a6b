"""Hosts of a farm: network namespaces with cables that can be pulled and slowed, or plain loopback where nobody may make those.

Names hold the process id of the test run.  A watchdog outside pytest's session ends everything when the run does, however it ends.
Owns: addresses, cables, the command line that runs something on a host, what is left behind.  Must not know: the product.
"""

import contextlib
import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

LIMIT_S = 30.0
ORDINARY_USER = 65534
_CLONE_NEWNET = 0x40000000
_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)

_WATCHDOG = """
cat >/dev/null
for turn in 1 2 3 4 5 6 7 8 9 10; do
    pids=$(for name in {names}; do ip netns pids $name 2>/dev/null; done)
    [ -n "$pids" ] || break
    kill -9 $pids 2>/dev/null
    sleep 0.05
done
for name in {names}; do ip netns del $name 2>/dev/null; done
rm -rf {folder}
"""

_OPEN_THE_WAY = """
kept=$(mktemp -d) && mount -t tmpfs tmpfs "$kept" && n=0
for path in {wanted}; do n=$((n+1)); mkdir "$kept/$n"; mount --bind "$path" "$kept/$n"; done
for path in {closed}; do mount -t tmpfs tmpfs "$path"; chmod 755 "$path"; done
n=0
for path in {wanted}; do n=$((n+1)); mkdir -p "$path"; mount --move "$kept/$n" "$path"; done
umount "$kept" && rmdir "$kept"
exec "$@"
"""
"""Private directories on the way to the interpreter (root's home) are replaced by empty ones with what is wanted, for one process only."""


class Host(Protocol):
    """A machine of the farm."""

    name: str
    address: str
    """IPv4, of the farm's own network."""

    def command(self, argv: Sequence[str], *, is_ordinary: bool = False) -> list[str]:
        """The command line that runs `argv` there, for an ordinary user if wanted; the process that is started becomes that program."""
        ...

    def socket(self) -> socket.socket:
        """A TCP socket that lives there."""
        ...


@dataclass
class LoopbackHost:
    """This machine."""

    name: str
    address: str = "127.0.0.1"

    def command(self, argv: Sequence[str], *, is_ordinary: bool = False) -> list[str]:
        """It ends with the test run, which may be killed."""
        front = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        if is_ordinary and os.geteuid() == 0:
            return becoming_ordinary([*front, *argv])
        return [*front, *argv]

    def socket(self) -> socket.socket:
        """An ordinary one."""
        return socket.socket()


@dataclass
class NamespaceHost:
    """A network namespace with one cable to the switch."""

    name: str
    address: str
    namespace: str
    switch: str

    def command(self, argv: Sequence[str], *, is_ordinary: bool = False) -> list[str]:
        """Enter, then become that program."""
        front = ["nsenter", f"--net=/run/netns/{self.namespace}", "--"]
        return [*front, *(becoming_ordinary(argv) if is_ordinary else argv)]

    def socket(self) -> socket.socket:
        """Made by a thread that goes there and ends: a socket stays in the namespace it was made in."""
        made: list[socket.socket | OSError] = []

        def make() -> None:
            with open(f"/run/netns/{self.namespace}") as place:
                if _libc.setns(place.fileno(), _CLONE_NEWNET) != 0:
                    made.append(OSError(ctypes.get_errno(), "setns"))
                    return
            made.append(socket.socket())

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def cut(self) -> None:
        """Pull the cable: nothing arrives, nobody is told."""
        _run("ip", "-n", self.switch, "link", "set", "dev", self.name, "down")

    def mend(self) -> None:
        """Put it back."""
        _run("ip", "-n", self.switch, "link", "set", "dev", self.name, "up")

    def slow(self, rate: str) -> None:
        """Let no more than `rate` (as tc writes it: `20mbit`) through, in both directions."""
        for namespace, device in ((self.namespace, "eth0"), (self.switch, self.name)):
            queue = ("root", "tbf", "rate", rate, "burst", "64kb", "latency", "200ms")
            _run("tc", "-n", namespace, "qdisc", "replace", "dev", device, *queue)

    def full_speed(self) -> None:
        """No limit any more."""
        for namespace, device in ((self.namespace, "eth0"), (self.switch, self.name)):
            subprocess.run(["tc", "-n", namespace, "qdisc", "del", "dev", device, "root"], check=False, capture_output=True)


@dataclass
class Network:
    """Hosts that reach each other, and a folder for their files, gone at the end."""

    folder: Path
    hosts: dict[str, Host] = field(default_factory=dict)
    is_real: bool = False
    """Hosts have addresses of their own, and cables."""

    def host(self, name: str) -> Host:
        """By name."""
        return self.hosts[name]

    def cable(self, name: str) -> NamespaceHost:
        """The host, whose cable is to be worked on."""
        host = self.hosts[name]
        assert isinstance(host, NamespaceHost), "loopback has no cables"
        return host


def _run(*argv: str, text: str | None = None) -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


def becoming_ordinary(argv: Sequence[str]) -> list[str]:
    """Run as nobody in particular, with no capability, who can reach this interpreter and the product all the same."""
    ends = ["--reuid", str(ORDINARY_USER), "--regid", str(ORDINARY_USER), "--clear-groups", "--inh-caps=-all"]
    user = ["setpriv", *ends, *argv]
    wanted = [Path(sys.base_prefix).resolve(), Path(sys.prefix)]
    closed = {_closed_ancestor(path): None for path in wanted}
    ways = [str(path) for path in closed if path]
    if not ways:
        return user
    inside = [str(path) for path in wanted if _closed_ancestor(path)]
    script = _OPEN_THE_WAY.format(wanted=" ".join(inside), closed=" ".join(ways))
    return ["unshare", "--mount", "sh", "-euc", script, "sh", *user]


def _closed_ancestor(path: Path) -> Path | None:
    """The topmost directory on the way that others may not pass."""
    return next((place for place in reversed([path, *path.parents]) if not place.stat().st_mode & 0o001), None)


def can_make_namespaces() -> bool:
    """Whether this user may make network namespaces with cables and limits here."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "tc", "nsenter", "setpriv"))):
        return False
    name = f"scf-{os.getpid()}-try"
    batch = f"link add {name[:9]} type bridge\n"
    try:
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False, timeout=LIMIT_S)
        if done.returncode != 0:
            return False
        tried = subprocess.run(["ip", "-n", name, "-batch", "-"], input=batch.encode(), capture_output=True, check=False, timeout=LIMIT_S)
        return tried.returncode == 0
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False, timeout=LIMIT_S)


@contextlib.contextmanager
def namespaces(names: Sequence[str], folder: Path) -> Iterator[Network]:
    """Hosts around one switch, with addresses 10.77.0.1 and so on; skips where that is not allowed."""
    if not can_make_namespaces():
        pytest.skip("needs root and network namespaces")
    front = f"scf-{os.getpid()}-{next(_numbers)}"
    switch = f"{front}-switch"
    spaces = {name: f"{front}-{name}" for name in names}
    with _watchdog([switch, *spaces.values()], folder):
        for space in (switch, *spaces.values()):
            _run("ip", "netns", "add", space)
        lines = ["link add bridge type bridge", "link set bridge up"]
        for name, space in spaces.items():
            lines += [f"link add name {name} type veth peer name eth0 netns {space}", f"link set dev {name} master bridge up"]
        _run("ip", "-n", switch, "-batch", "-", text="\n".join(lines) + "\n")
        network = Network(folder, is_real=True)
        for number, (name, space) in enumerate(spaces.items(), 1):
            address = f"10.77.0.{number}"
            batch = f"addr add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n"
            _run("ip", "-n", space, "-batch", "-", text=batch)
            network.hosts[name] = NamespaceHost(name, address, space, switch)
        yield network


@contextlib.contextmanager
def loopback(names: Sequence[str], folder: Path) -> Iterator[Network]:
    """All hosts are this one; what tells them apart is the port."""
    with _watchdog([], folder):
        yield Network(folder, {name: LoopbackHost(name) for name in names})


@contextlib.contextmanager
def _watchdog(spaces: Sequence[str], folder: Path) -> Iterator[None]:
    """A shell that waits for its input to end, which it does with this process, and cleans up."""
    script = _WATCHDOG.format(names=" ".join(spaces) or "''", folder=folder)
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True) as watchdog:
        try:
            yield
        finally:
            assert watchdog.stdin is not None
            watchdog.stdin.close()
            watchdog.wait(LIMIT_S)
