"""Measure remote storage beside the peers: a generated C++ project, a warm server, nothing local; interleaved rounds, ratios.

    scripts/bench --remote [--rounds N] [--cold-rounds N] [--parts PARTS] [--units N] [--save]

Parts: `redis` and `memcached` on loopback; `redis-5ms` and `redis-30ms` through a proxy that adds that much to each round trip; `cold`
(building while results are written to Redis, against no cache); `down` (a server that is down from the start, behind the local disk,
against the local disk alone).

Owns: the project, the servers, what is compared with what.  Must not know: how a cache is called (peers.py).
"""

import argparse
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from peers import Peer, remote_peers  # noqa: E402 -- the path above makes it importable
from tests.servers.process import ServerProcess, free_port, listens  # noqa: E402
from tests.servers.proxy import FaultProxy  # noqa: E402

HEADERS = 60
STANDARD = ("algorithm", "functional", "map", "memory", "string", "unordered_map", "vector")
FLAGS = "-O1 -g -std=c++17 -Iinclude"


class Project:
    """A tree of sources; each builder has its own build file and objects in it."""

    def __init__(self, folder: Path, units: int) -> None:
        """Write `units` sources, which include all of the headers by way of each other."""
        self.folder, self.units = folder, units
        (folder / "include").mkdir(parents=True)
        for number in range(HEADERS):
            (folder / "include" / f"h{number}.hpp").write_text(_header(number))
        for number in range(units):
            (folder / f"u{number}.cpp").write_text(_source(number))

    def prepare(self, peer: Peer) -> Path:
        """Its build file; the folder of its objects."""
        objects = self.folder / f"out-{peer.name}"
        command = " ".join([*peer.front, "g++", FLAGS, "-MD -MF $out.d -c $in -o $out"])
        lines = [
            f"rule cxx\n  command = {command}\n  depfile = $out.d\n  deps = gcc\n",
            f"builddir = {objects.name}\n",
            *(f"build {objects.name}/u{number}.o: cxx u{number}.cpp\n" for number in range(self.units)),
        ]
        (self.folder / f"{peer.name}.ninja").write_text("".join(lines))
        return objects

    def build(self, peer: Peer, jobs: int) -> float:
        """From no objects to all; the wall time in seconds."""
        objects = self.prepare(peer)
        shutil.rmtree(objects, ignore_errors=True)
        objects.mkdir()
        command = ["ninja", "-C", self.folder, "-f", f"{peer.name}.ninja", f"-j{jobs}"]
        started = time.perf_counter()
        subprocess.run(command, env=peer.environment(), check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    def count_equal(self, one: Peer, other: Peer) -> int:
        """How many objects of their last builds are the same."""
        names = [f"u{number}.o" for number in range(self.units)]
        folders = (self.folder / f"out-{one.name}", self.folder / f"out-{other.name}")
        return sum(len({(folder / name).read_bytes() for folder in folders}) == 1 for name in names)


def _header(number: int) -> str:
    """A template, and those of two earlier headers."""
    includes = "".join(f'#include "h{number // 2 + step}.hpp"\n' for step in (0, 1) if number // 2 + step < number)
    standard = "".join(f"#include <{name}>\n" for name in STANDARD) if number == 0 else ""
    return (
        f"#pragma once\n{standard}{includes}"
        f"template <class T> struct Box{number} {{ std::vector<T> v; std::map<std::string, T> m;\n"
        f"  T sum() const {{ T s{{}}; for (auto &x : v) s += x; for (auto &p : m) s += p.second; return s + T({number}); }} }};\n"
    )


def _source(number: int) -> str:
    """Uses a handful of them."""
    chosen = sorted({(number * 7 + step * 13) % HEADERS for step in range(6)})
    uses = " + ".join(f"(long)Box{n}<{'int' if number % 2 else 'long'}>{{}}.sum()" for n in chosen)
    includes = "".join(f'#include "h{n}.hpp"\n' for n in range(HEADERS - 4, HEADERS)) + "".join(f'#include "h{n}.hpp"\n' for n in chosen)
    return f"{includes}\nlong unit{number}(const std::string &s) {{ return {uses} + (long)s.size() + {number}; }}\n"


class Bench:
    """One run: the project, and what was measured so far."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        """`work` is an empty folder."""
        self.options, self.work = options, work
        self.project = Project(work / "project", options.units)
        self.times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.plain = Peer("plain", (), home=work / "plain", caches=False)
        self._stack = contextlib.ExitStack()
        self._filled_redis = ""

    def __enter__(self) -> Self:
        """Servers are started when they are first needed."""
        return self

    def __exit__(self, *_error: object) -> None:
        """And stopped here."""
        self._stack.close()

    def filled_redis(self) -> str:
        """The address of a Redis with everybody's results, the same for all parts."""
        if not self._filled_redis:
            self._filled_redis = self._stack.enter_context(redis(self.work / "redis"))
            self.fill(f"redis://{self._filled_redis}")
        return self._filled_redis

    def peers(self, endpoint: str) -> list[Peer]:
        """All that can use this server."""
        found = remote_peers(self.options.ours, self.options.peers, self.work, endpoint)
        return [peer for peer in found if not self.options.only or peer.name in self.options.only]

    def time_build(self, what: str, peer: Peer, *, label: str = "") -> float:
        """Forget everything local, start the daemon, build, stop it: what was not yet uploaded then is."""
        peer.empty()
        try:
            peer.start()
            took = self.project.build(peer, self.options.jobs)
        finally:
            peer.stop()
        if what:
            self.times[what][label or peer.name].append(took)
            print(f"  {what:24} {label or peer.name:16} {took:8.3f}", flush=True)
        return took

    def fill(self, endpoint: str) -> None:
        """Build twice with each peer: the second build writes what the first could not know yet."""
        for peer in self.peers(endpoint):
            for _ in range(2):
                self.time_build("", peer)

    def warm(self, what: str, endpoint: str) -> None:
        """Everything is in the server at `endpoint`, nothing is local; the objects must equal the plain build's."""
        peers = self.peers(endpoint)
        for _ in range(self.options.rounds):
            for peer in peers:
                self.time_build(what, peer)
        if not (self.project.folder / "out-plain").exists():
            self.project.build(self.plain, self.options.jobs)
        for peer in peers:
            print(f"  {peer.name}: {self.project.count_equal(self.plain, peer)} of {self.project.units} objects equal the plain build's")

    def cold(self) -> None:
        """No cache, and ours with an empty Redis, in turns."""
        for _ in range(self.options.cold_rounds):
            self.times["cold"]["plain"].append(self.project.build(self.plain, self.options.jobs))
            print(f"  {'cold':24} {'plain':16} {self.times['cold']['plain'][-1]:8.3f}", flush=True)
            with redis(self.work / "redis-cold") as address:
                for peer in self.peers(f"redis://{address}"):
                    self.time_build("cold", peer)
            shutil.rmtree(self.work / "redis-cold", ignore_errors=True)

    def down(self) -> None:
        """Cold builds of ours on the local disk: alone, and with a dead Redis behind it; refused, and silent."""
        with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes connections, and nobody answers
            dead = {"refused": free_port(), "silent": silent.getsockname()[1]}
            for _ in range(self.options.cold_rounds):
                (ours,) = (peer for peer in self.peers("") if peer.name == "ours")
                self.time_build("down", ours, label="no remote")
                for label, port in dead.items():
                    (ours,) = (peer for peer in self.peers(f"redis://127.0.0.1:{port}") if peer.name == "ours")
                    self.time_build("down", with_chain(ours), label=label)

    def report(self) -> dict[str, object]:
        """Print medians and ratios."""
        medians = {what: {name: statistics.median(values) for name, values in row.items()} for what, row in self.times.items()}
        for what, row in medians.items():
            print(f"\n{what} (median of {min(len(values) for values in self.times[what].values())}, {self.project.units} units)")
            for name, value in row.items():
                ratios = [f"{value / base:6.3f} x {other}" for other, base in row.items() if other != name]
                print(f"  {name:16} {value:8.3f} s   {'  '.join(ratios)}")
        return {"medians": medians, "all": self.times, "units": self.project.units, "cores": os.cpu_count()}


def with_chain(peer: Peer) -> Peer:
    """The same with the local disk before its server."""
    return Peer(peer.name, peer.front, {**peer.env, "SCCACHE_MULTILEVEL_CHAIN": "disk,redis"}, peer.stop_command, peer.home)


@contextlib.contextmanager
def _server(argv: Sequence[str], port: int, folder: Path) -> Iterator[str]:
    process = ServerProcess(argv, folder, lambda: listens(port))
    process.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.stop(signal.SIGTERM)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """An empty Redis that keeps everything in memory; its address."""
    port = free_port()
    with _server(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], port, folder) as address:
        yield address


@contextlib.contextmanager
def memcached(folder: Path) -> Iterator[str]:
    """An empty memcached that takes large items."""
    port = free_port()
    user = ["-u", "root"] if os.geteuid() == 0 else []
    with _server(["memcached", *user, "-l", "127.0.0.1", "-p", str(port), "-I", "128m", "-m", "2048"], port, folder) as address:
        yield address


@contextlib.contextmanager
def delayed(address: str, seconds: float) -> Iterator[str]:
    """A proxy in a process of its own that adds `seconds` to each round trip, half in each direction."""
    command = [sys.executable, __file__, "--delay-proxy", address, str(seconds / 2)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def run_proxy(address: str, delay_s: float) -> None:
    """The process of `delayed`: until its standard input ends."""
    host, _, port = address.rpartition(":")
    with FaultProxy((host, int(port))) as proxy:
        proxy.delay(delay_s)
        print(f"{proxy.address[0]}:{proxy.address[1]}", flush=True)
        sys.stdin.read()


def _redis_part(bench: Bench, delay_ms: int = 0) -> None:
    address = bench.filled_redis()
    if not delay_ms:
        bench.warm("redis", f"redis://{address}")
        return
    with delayed(address, delay_ms / 1000) as proxy:
        bench.warm(f"redis +{delay_ms} ms", f"redis://{proxy}")


def _memcached_part(bench: Bench) -> None:
    with memcached(bench.work / "memcached") as address:
        bench.fill(f"tcp://{address}")
        bench.warm("memcached", f"tcp://{address}")


PARTS: dict[str, Callable[[Bench], None]] = {
    "redis": _redis_part,
    "redis-5ms": functools.partial(_redis_part, delay_ms=5),
    "redis-30ms": functools.partial(_redis_part, delay_ms=30),
    "memcached": _memcached_part,
    "cold": Bench.cold,
    "down": Bench.down,
}


def main() -> None:
    """Measure what is asked for."""
    if sys.argv[1:2] == ["--delay-proxy"]:
        run_proxy(sys.argv[2], float(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ours", type=Path, default=Path(sys.prefix) / "bin" / "sccache")
    parser.add_argument("--peers", type=Path, default=Path("/nonexistent"), help="directory with the peers' programs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold-rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--units", type=int, default=160)
    parser.add_argument("--only", nargs="+", help="names of peers")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/remote.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-remote-") as folder:
        with Bench(options, Path(folder)) as bench:
            for part in options.parts:
                print(f"{part}:", flush=True)
                PARTS[part](bench)
        result = bench.report()
    if options.save:
        target = Path(__file__).parent / "results" / "remote.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(result, indent=1) + "\n")
        print(f"written: {target}")


if __name__ == "__main__":
    main()
