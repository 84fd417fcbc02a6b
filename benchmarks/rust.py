"""Measure a cargo workspace of a hundred crates beside the peers: interleaved rounds in one run, medians, ratios, share of calls served.

    scripts/bench --rust [--rounds N] [--cold-rounds N] [--only NAMES] [--actions ACTIONS] [--jobs N] [--save]

Each round removes cargo's target directory; "cold" empties the cache as well, "elsewhere" is a warm build of a second checkout that the
cache has not seen.  "Served" counts the calls of rustc that the cache answered, against those that cargo makes.

Owns: what is measured and how it is told.  Must not know: how a cache is called (peers.py), what the workspace is made of (tests/projects).
"""

import argparse
import functools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests" / "projects")]

from peers import Peer, available  # noqa: E402 -- the path above makes it importable
from rust_workspace import make  # noqa: E402

NAMES = ("plain", "ours", "sccache", "zccache")  # those that know Rust
ACTIONS: dict[str, tuple[str, ...]] = {
    "build": ("build", "--workspace"),
    "release": ("build", "--workspace", "--release"),
    "dist": ("build", "--workspace", "--profile", "dist"),
    "check": ("check", "--workspace", "--all-targets"),
    "test": ("test", "--workspace", "--no-run"),
}
Row = dict[str, list[float]]


class Bench:
    """One run: a workspace for each peer, and what was measured so far."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        """`work` is wiped by the caller."""
        self.options, self.work = options, work
        wanted = options.only or NAMES
        self.peers = [peer for peer in available(options.ours, options.peers, work) if peer.name in NAMES and peer.name in wanted]
        self.caching = [peer for peer in self.peers if peer.caches]
        self.times: dict[str, Row] = defaultdict(lambda: defaultdict(list))
        self.served: dict[str, dict[str, str]] = defaultdict(dict)

    def prepare(self) -> None:
        """Give each peer a workspace of its own, and a second checkout."""
        home = self.work / "home"
        home.mkdir()
        for peer in self.peers:
            peer.home.mkdir(parents=True, exist_ok=True)
            for place in ("first", "elsewhere"):
                make.make(self.folder(peer, place), make.environment(home))

    def folder(self, peer: Peer, place: str) -> Path:
        """A workspace of its; all paths are equally long, as they are part of what is written."""
        return self.work / place.ljust(9, "-") / peer.name.ljust(9, "-")

    def build(self, peer: Peer, action: str, place: str = "first") -> float:
        """Remove what cargo made and have it made again; the wall time in seconds."""
        folder = self.folder(peer, place)
        shutil.rmtree(folder / "target", ignore_errors=True)
        started = time.perf_counter()
        self.cargo(peer, action, folder)
        return time.perf_counter() - started

    def cargo(self, peer: Peer, action: str, folder: Path, *options: str) -> str:
        """Run cargo; what it said."""
        env = make.environment(self.work / "home") | dict(peer.env)
        if peer.front:
            env["RUSTC_WRAPPER"] = peer.front[0]
        command = ["cargo", *ACTIONS[action], *options, f"-j{self.options.jobs}"]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=1800)
        if done.returncode != 0:
            raise RuntimeError(f"{peer.name}: {command} exited {done.returncode}: {done.stderr[-2000:]}")
        return done.stderr

    def note(self, what: str, peer: Peer, value: float) -> None:
        """Keep a measurement, and show it."""
        self.times[what][peer.name].append(value)
        print(f"  {what:24} {peer.name:10} {value:8.2f} s", flush=True)

    def measure(self, action: str) -> None:
        """Cold, elsewhere and warm."""
        for _ in range(self.options.cold_rounds):
            for peer in self.peers:
                if peer.caches:
                    peer.empty()
                    peer.start()
                self.note(f"{action} cold", peer, self.build(peer, action))
            for peer in self.caching:
                self.counted(f"{action} elsewhere", peer, action, "elsewhere")
        for peer in self.caching:
            self.build(peer, action)  # the first warm build after a cold one may still learn something
        for _ in range(self.options.rounds):
            for peer in self.caching:
                self.counted(f"{action} warm", peer, action, "first")

    def counted(self, what: str, peer: Peer, action: str, place: str) -> None:
        """Measure a build; the first time, also how many of cargo's calls were answered."""
        before = None if peer.name in self.served[what] else served(peer)
        self.note(what, peer, self.build(peer, action, place))
        if before is not None:
            gained = (served(peer) or 0) - before
            self.served[what][peer.name] = f"{gained} of {self.calls(action)}"
            print(f"  {what:24} {peer.name:10} {self.served[what][peer.name]} calls of rustc served", flush=True)

    @functools.cache  # noqa: B019 -- one instance a run
    def calls(self, action: str) -> int:
        """How often cargo calls rustc: asked of a build without any cache."""
        folder = make.make(self.work / f"counting-{action}", make.environment(self.work / "home"))
        said = self.cargo(Peer("none", (), home=self.work, caches=False), action, folder, "-v")
        shutil.rmtree(folder)
        return len(re.findall(r"^ +Running `.*--crate-name", said, re.MULTILINE))

    def report(self) -> dict[str, object]:
        """Print medians and ratios; return everything."""
        medians = {what: {name: statistics.median(values) for name, values in row.items()} for what, row in self.times.items()}
        for what, row in medians.items():
            print(f"\n{what} (median of {len(next(iter(self.times[what].values())))})")
            none = medians.get(f"{what.split()[0]} cold", {}).get("plain")
            fastest = min((value for name, value in row.items() if name in {"sccache", "zccache"}), default=None)
            for name, value in row.items():
                against_none = f"   {value / none:6.3f} x no cache" if none and name != "plain" else ""
                against_peer = f"   {value / fastest:5.2f} x the fastest peer" if fastest and name == "ours" else ""
                calls = self.served.get(what, {}).get(name)
                print(f"  {name:10} {value:8.2f} s{against_none}{f'   {calls} calls served' if calls else ''}{against_peer}")
        rustc = subprocess.run(["rustc", "-V"], env=make.environment(self.work), capture_output=True, text=True, check=False).stdout.strip()
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release(), "rustc": rustc}
        return {"medians": medians, "all": self.times, "served": self.served, "machine": machine, "jobs": self.options.jobs}


def served(peer: Peer) -> int | None:
    """How many calls of rustc it has answered since its daemon was started, as it counts them; None where it does not tell."""
    if peer.name == "zccache":
        status = subprocess.run([*peer.front, "status"], env=peer.environment(), capture_output=True, text=True, check=False, timeout=60)
        found = re.search(r"(\d+) cached", status.stdout)
        return int(found[1]) if found else None
    command = [*peer.front, "--show-stats", "--stats-format=json"]
    stats = subprocess.run(command, env=peer.environment(), capture_output=True, text=True, check=False, timeout=60)
    counts: dict[str, int] = json.loads(stats.stdout)["stats"]["cache_hits"]["counts"]
    return counts.get("Rust", 0)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ours", type=Path, default=Path(sys.prefix) / "bin" / "sccache")
    parser.add_argument("--peers", type=Path, default=Path("/nonexistent"), help="directory with the peers' programs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold-rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--actions", nargs="+", choices=[*ACTIONS], default=["build", "check"])
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/rust.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-rust-") as folder:
        bench = Bench(options, Path(folder))
        try:
            bench.prepare()
            for action in options.actions:
                print(f"{action}: cargo {' '.join(ACTIONS[action])}", flush=True)
                bench.measure(action)
            result = bench.report()
        except make.NotPossibleError as why:
            sys.exit(f"bench: {why}")
        finally:
            for peer in bench.peers:
                peer.stop()
    if options.save:
        target = Path(__file__).parent / "results" / "rust.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(result, indent=1) + "\n")
        print(f"written: {target}")


if __name__ == "__main__":
    main()
