"""Measure this cache beside its peers on a real C++ project: interleaved rounds in one run, medians and ratios.

    scripts/bench [--rounds N] [--cold-rounds N] [--only NAMES] [--parts PARTS] [--entries N] [--save]

Owns: what is measured and how it is told.  Must not know: how a cache is called (peers.py).
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests" / "projects")]

import fetch  # noqa: E402 -- the path above makes it importable
from peers import Peer, available, do_nothing  # noqa: E402

TARGETS = ("util", "polynomial", "ast", "rewriter", "model")  # 168 translation units of about 300 headers each
Timings = dict[str, dict[str, list[float]]]


class Bench:
    """One run: a work directory, the peers, and what was measured so far."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        """`work` is wiped by the caller."""
        self.options, self.work = options, work
        self.peers = [p for p in available(options.ours, options.peers, work) if not options.only or p.name in options.only]
        self.times: Timings = defaultdict(lambda: defaultdict(list))
        self.facts: dict[str, object] = {}

    def note(self, what: str, peer: str, value: float) -> None:
        """Keep a measurement, and show it."""
        self.times[what][peer].append(value)
        print(f"  {what:28} {peer:12} {value:10.3f}", flush=True)

    # -- the project

    def configure(self) -> None:
        """Unpack and configure once per peer: the launcher is part of the build files, so each has its own build directory."""
        source = fetch.unpack(fetch.Z3, self.work / "src")
        for peer in self.peers:
            front = [f"-DCMAKE_CXX_COMPILER_LAUNCHER={peer.front[0]}"] if peer.front else []
            subprocess.run(
                ["cmake", "-G", "Ninja", "-S", source, "-B", self.work / "build" / peer.name, "-DCMAKE_BUILD_TYPE=Debug", *fetch.Z3.options,
                 f"-DCMAKE_CXX_FLAGS_DEBUG={self.options.flags}", "-DCMAKE_CXX_COMPILER=g++", *front],
                env={**os.environ, "PATH": "/usr/bin:/bin"}, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def objects(self, peer: Peer) -> list[Path]:
        """The objects of its last build."""
        return sorted(p for p in (self.work / "build" / peer.name / "src").rglob("*.o"))

    def build(self, peer: Peer) -> float:
        """Remove the objects and build; the wall time."""
        for path in self.objects(peer):
            path.unlink()
        started = time.perf_counter()
        command = ["ninja", "-C", self.work / "build" / peer.name, f"-j{self.options.jobs}", *self.options.targets]
        subprocess.run(command, env=peer.environment(), check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    def cold(self) -> None:
        """Cold builds, interleaved."""
        for _ in range(self.options.cold_rounds):
            for peer in self.peers:
                if peer.caches:
                    peer.empty()
                    peer.start()
                self.note("cold build s", peer.name, self.build(peer))
        self.facts["translation units"] = len(self.objects(self.peers[0]))

    def warm(self) -> None:
        """Warm builds, interleaved; the objects must equal the plain build's."""
        caching = [peer for peer in self.peers if peer.caches]
        for peer in caching:
            peer.start()
            self.build(peer)  # the first warm build after a cold one still fills manifests
        for _ in range(self.options.rounds):
            for peer in caching:
                self.note("warm build s", peer.name, self.build(peer))
        self._check_objects(caching)

    def _check_objects(self, caching: Sequence[Peer]) -> None:
        plain = next((p for p in self.peers if p.name == "plain"), None)
        if plain is None or not self.objects(plain):
            return
        count = len(self.objects(plain))
        for peer in caching:
            wrong = sum(a.read_bytes() != b.read_bytes() for a, b in zip(self.objects(plain), self.objects(peer), strict=True))
            print(f"  {peer.name}: {count - wrong} of {count} objects equal the plain build's")

    # -- single hits

    def hits(self) -> None:
        """The wall time of one hit above a program that does nothing, started in the same way."""
        nothing = do_nothing(self.work / "nothing")
        folder = self.work / "hit"
        folder.mkdir(exist_ok=True)
        headers = "".join(
            f"#include <{h}>\n" for h in ("vector", "string", "map", "memory", "algorithm", "functional", "iostream", "regex")
        )
        (folder / "a.cpp").write_text(headers + "int f(const std::string &s) { return (int)s.size(); }\n")
        command = ["g++", "-O1", "-MD", "-c", "a.cpp", "-o", "a.o"]
        runners = [nothing, *(p for p in self.peers if p.caches)]
        for peer in runners:
            for _ in range(3):
                _spawn([*peer.front, *command], folder, peer.environment())
        per_round = 100
        for _ in range(self.options.rounds):
            for peer in runners:
                env = peer.environment()
                spent = [_spawn([*peer.front, *command], folder, env) for _ in range(per_round)]
                self.note("one hit ms", peer.name, statistics.median(spent) * 1000)

    def big_object(self) -> None:
        """A hit of a debug object of about 50 MB."""
        folder = self.work / "big"
        folder.mkdir(exist_ok=True)
        _write_big_source(folder / "big.cpp")
        command = ["g++", "-g", "-O0", "-c", "big.cpp", "-o", "big.o"]
        caching = [peer for peer in self.peers if peer.caches and peer.name != "ours-depend"]
        for peer in caching:
            for _ in range(2):
                _spawn([*peer.front, *command], folder, peer.environment())
        self.facts["big object bytes"] = (folder / "big.o").stat().st_size
        for _ in range(self.options.rounds):
            for peer in caching:
                (folder / "big.o").unlink()
                self.note("50 MB object hit ms", peer.name, _spawn([*peer.front, *command], folder, peer.environment()) * 1000)

    # -- the daemon

    def daemon(self) -> None:
        """Memory after a thousand hits, time to be ready with many entries, time of --show-stats."""
        for peer in self.peers:
            if not peer.env.get("SCCACHE_SERVER_UDS") or peer.name == "ours-depend":
                continue
            peer.start()
            self._thousand_hits(peer)
            for _ in range(self.options.rounds):
                self.note("show-stats ms", peer.name, _spawn([*peer.front, "--show-stats"], self.work, peer.environment()) * 1000)
            self._ready(peer)

    def _thousand_hits(self, peer: Peer) -> None:
        folder = self.work / "thousand"
        folder.mkdir(exist_ok=True)
        for number in range(50):
            (folder / f"s{number}.cpp").write_text(f"#include <vector>\n#include <string>\nint f{number}() {{ return {number}; }}\n")
        for _ in range(21):
            for number in range(50):
                _spawn([*peer.front, "g++", "-c", f"s{number}.cpp", "-o", f"s{number}.o"], folder, peer.environment())
        pid = peer.daemon_pid()
        if pid:
            status = Path(f"/proc/{pid}/status").read_text()
            kib = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
            self.note("daemon memory MB", peer.name, kib / 1024)

    def _ready(self, peer: Peer) -> None:
        """Fill the cache directory with small files in its own layout; then start."""
        peer.stop()
        _fill(Path(peer.env["SCCACHE_DIR"]), self.options.entries)
        for _ in range(min(self.options.rounds, 3)):
            took = _spawn([*peer.front, "--start-server"], self.work, peer.environment(), check=False) * 1000
            self.note(f"ready ms, {self.options.entries} entries", peer.name, took)
            peer.stop()

    # -- telling

    def report(self) -> dict[str, object]:
        """Print medians and ratios; return everything."""
        medians = {what: {peer: statistics.median(values) for peer, values in row.items()} for what, row in self.times.items()}
        print()
        for what, row in medians.items():
            best_peer = min((v for p, v in row.items() if p in {"ccache", "ccache-new", "sccache", "zccache"}), default=None)
            print(f"{what} (median of {len(next(iter(self.times[what].values())))})")
            for peer, value in row.items():
                ratio = f"   {value / best_peer:5.2f} x the fastest peer" if best_peer and peer.startswith("ours") else ""
                print(f"  {peer:12} {value:10.3f}{ratio}")
        _print_derived(medians, self.facts)
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()}
        return {"medians": medians, "all": self.times, "facts": self.facts, "machine": machine, "flags": self.options.flags}


def _print_derived(medians: dict[str, dict[str, float]], facts: dict[str, object]) -> None:
    cold, hit, warm = (medians.get(name, {}) for name in ("cold build s", "one hit ms", "warm build s"))
    for name in ("ours", "ours-depend"):
        if "plain" in cold and name in cold:
            print(f"cold {name}: {cold[name] / cold['plain']:.3f} x no cache")
    if "plain" in cold and "ours" in warm:
        print(f"warm ours: {cold['plain'] / warm['ours']:.1f} times as fast as no cache")
    for name, value in hit.items():
        if name != "do-nothing":
            print(f"one hit of {name}: {value - hit['do-nothing']:.2f} ms above a launcher that does nothing")
    print(f"facts: {facts}")


def _spawn(argv: Sequence[str], cwd: Path, env: dict[str, str], *, check: bool = True) -> float:
    """Run by posix_spawn (as cheap as starting can be from here); the wall time in seconds."""
    here = os.getcwd()
    os.chdir(cwd)
    try:
        sink = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
        started = time.perf_counter()
        pid = os.posix_spawnp(argv[0], argv, env, file_actions=sink)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        took = time.perf_counter() - started
    finally:
        os.chdir(here)
    if check and status != 0:
        raise RuntimeError(f"{argv} exited {status}")
    return took


def _write_big_source(path: Path) -> None:
    """A source whose debug object has about 50 MB: many instances of many templates."""
    lines = ["#include <map>\n#include <string>\n#include <vector>\n#include <functional>\n"]
    lines.extend(_heavy_type(number) if number < 60 else _big_type(number) for number in range(2400))
    lines.append("extern const unsigned char table[] = {" + ",".join(str((n * 2654435761 >> 13) & 255) for n in range(1_000_000)) + "};\n")
    path.write_text("".join(lines))


def _heavy_type(number: int) -> str:
    """One whose containers are instantiated."""
    name = f"T{number}"
    return (
        f"struct {name} {{ int a[{number + 1}]; std::string s; bool operator<(const {name} &o) const {{ return a[0] < o.a[0]; }} }};\n"
        f"int f{number}() {{ std::map<{name}, std::vector<{name}>> m; return (int)m[{name}()].size(); }}\n"
    )


def _big_type(number: int) -> str:
    """One with much data."""
    body = f'static char d[] = "{_noise(number)}"; return d[v[0] & 7];'
    return (
        f"struct S{number} {{ long v[{number}]; int g{number}() {{ {body} }} }};\n"
        f"int h{number}() {{ S{number} s{{}}; return s.g{number}(); }}\n"
    )


def _noise(number: int) -> str:
    """Text that compresses about as well as debug information does."""
    return hashlib.shake_128(str(number).encode()).hexdigest(1500) * 5


def _fill(folder: Path, count: int) -> None:
    """Many files with names like keys."""
    for number in range(count):
        key = f"{(number * 0x9E3779B97F4A7C15) & (2**128 - 1):064x}"[::-1]
        parent = folder / key[0] / key[1]
        if number < 256 * 16:
            parent.mkdir(parents=True, exist_ok=True)
        with open(parent / key, "wb") as file:
            file.write(b"x")


PARTS: dict[str, Callable[[Bench], None]] = {
    "cold": Bench.cold, "warm": Bench.warm, "hits": Bench.hits, "big": Bench.big_object, "daemon": Bench.daemon,
}  # fmt: skip


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ours", type=Path, default=Path(sys.prefix) / "bin" / "sccache")
    parser.add_argument("--peers", type=Path, default=Path("/nonexistent"), help="directory with the peers' programs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold-rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--flags", default="-O1")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--only", nargs="+", help="names of peers")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/project.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(options, Path(folder))
        try:
            if {"cold", "warm"} & set(options.parts):
                bench.configure()
            for peer in bench.peers:
                peer.home.mkdir(parents=True, exist_ok=True)
            for part in options.parts:
                print(f"{part}:")
                PARTS[part](bench)
            result = bench.report()
        finally:
            for peer in bench.peers:
                peer.stop()
    if options.save:
        target = Path(__file__).parent / "results" / "project.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(result, indent=1) + "\n")
        print(f"written: {target}")


if __name__ == "__main__":
    main()
