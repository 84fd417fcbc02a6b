"""Measure a farm on one machine beside the real sccache-dist: one scheduler, one worker, cold C++ compiles, interleaved rounds.

    scripts/bench --dist [--rounds N] [--files N] [--jobs N] [--only NAMES] [--save]            as root: the real worker needs that

`ours`, `depend` (ours with SCCACHE_DEPEND=1) and `sccache` are farms; `plain` is the compiler alone on the same cores: what no farm on
them can beat.  Every round empties the client's cache and compiles everything anew; toolchains stay where they are.  Told are wall time,
compiles that were not distributed, failures, and the client's CPU seconds a compile: of callers, of its daemon, and of what these run.
Then: places that our scheduler gives away in a second over kept-alive connections, and how long packing a toolchain takes.

Owns: what is measured and how it is told.  Must not know: how a farm works.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import resource
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.farm import CLIENT_TOKEN, Farm, free_port, until

SOURCE = """\
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>
"""
FUNCTION = """\
int function{file}_{n}(std::map<std::string, std::vector<int>> &m) {{
    m["{n}"].push_back({n});
    std::vector<int> v(m.size());
    std::sort(v.begin(), v.end(), [](int a, int b) {{ return a % {n}1 < b % {n}1; }});
    return v[0] + {file};
}}
"""
ALLOCATIONS, CONNECTIONS = 20_000, 16
PEER = "sccache"
Row = dict[str, list[float]]


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        """`work` is wiped by the caller."""
        self.options, self.work = options, work
        peer, apart = options.peers / "sccache", tuple(options.worker_cores)
        farms = [
            Farm("ours", work / "ours", options.ours, apart),
            Farm("depend", work / "depend", options.ours, apart, {"SCCACHE_DEPEND": "1"}),
            Farm(PEER, work / PEER, peer, apart),
        ]
        self.farms = [farm for farm in farms if farm.sccache.exists() and farm.name in options.only]
        self.times: dict[str, Row] = defaultdict(lambda: defaultdict(list))
        self.facts: dict[str, float] = {}

    def run(self) -> None:
        """All of it."""
        _fill(self.work / "sources", self.options.files)
        try:
            for farm in self.farms:
                farm.start()
                self._first(farm)
            players = [(farm.name, partial(self._round, farm)) for farm in self.farms]
            if "plain" in self.options.only:
                players.insert(0, ("plain", self._plain_round))
            for number in range(self.options.rounds):
                turn = number % len(players)
                for name, play in players[turn:] + players[:turn]:
                    play()
                    print(f"round {number + 1}: {name} {self.times['wall s'][name][-1]:.1f} s", file=sys.stderr)
        finally:
            for farm in self.farms:
                farm.stop()

    def _first(self, farm: Farm) -> None:
        """The compile that packs and sends the toolchain: not what the rounds are to measure."""
        farm.forget()
        self.times["first compile s"][farm.name].append(self._compile(farm, 0))
        until(lambda: self._compile(farm, 0) >= 0 and farm.counts()[0] > 0, f"{farm.name} distributes nothing; see {farm.folder}")
        archives = [path for path in (farm.folder / "toolchains").rglob("*") if path.is_file() and path.stat().st_size > 1 << 20]
        self.times["toolchain MB"][farm.name].append(sum(path.stat().st_size for path in archives) / 1e6)

    def _round(self, farm: Farm) -> None:
        farm.forget()
        before_s = farm.daemon_cpu_s() + _children_s()
        wall_s = self._all(lambda number: self._compile(farm, number))
        client_s = farm.daemon_cpu_s() + _children_s() - before_s
        distributed, failures = farm.counts()
        files = self.options.files
        told = {"wall s": wall_s, "not distributed": files - distributed, "failures": failures, "client CPU s a compile": client_s / files}
        for what, value in told.items():
            self.times[what][farm.name].append(value)

    def _plain_round(self) -> None:
        self.times["wall s"]["plain"].append(self._all(lambda number: self._run([], f"plain-{number}", number, dict(os.environ))))

    def _all(self, compile_one: Callable[[int], float]) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(self.options.jobs) as pool:
            list(pool.map(compile_one, range(self.options.files)))
        return time.perf_counter() - started

    def _compile(self, farm: Farm, number: int) -> float:
        more = {"SCCACHE_RECACHE": "1"} if number == 0 else {}
        return self._run([farm.sccache], f"{farm.name}-{number}", number, farm.environment(**more))

    def _run(self, wrapper: Sequence[Path], name: str, number: int, env: Mapping[str, str]) -> float:
        command = [*wrapper, "g++", "-O1", "-c", f"{number}.cpp", "-o", self.work / f"{name}.o"]
        started = time.perf_counter()
        subprocess.run(command, cwd=self.work / "sources", env=env, check=True, timeout=300, capture_output=True)
        return time.perf_counter() - started

    def packing(self) -> None:
        """`--package-toolchain`, each time anew."""
        for farm in self.farms:
            if farm.settings:
                continue
            for _ in range(self.options.rounds):
                out = self.work / f"{farm.name}.toolchain"
                out.unlink(missing_ok=True)
                started = time.perf_counter()
                packed = subprocess.run(
                    [farm.sccache, "--package-toolchain", shutil.which("g++") or "", out],
                    env=farm.environment(),
                    capture_output=True,
                    check=False,
                )
                if packed.returncode == 0:
                    self.times["packing s"][farm.name].append(time.perf_counter() - started)
                    self.times["packed MB"][farm.name].append(out.stat().st_size / 1e6)

    def report(self) -> dict[str, object]:
        """Medians."""
        medians = {what: {name: round(statistics.median(values), 3) for name, values in row.items()} for what, row in self.times.items()}
        names = list(dict.fromkeys(name for row in medians.values() for name in row))
        options = self.options
        print(f"\n{options.files} cold C++ compiles, -j{options.jobs} on {options.cores} cores, medians of {options.rounds} rounds\n")
        print(f"{'':28}" + "".join(f"{name:>18}" for name in names))
        for what, row in medians.items():
            print(f"{what:28}" + "".join(f"{_beside(row, name):>18}" for name in names))
        for what, value in self.facts.items():
            print(f"{what:28}{value:12.0f}")
        return {"medians": medians, "facts": self.facts, "files": self.options.files, "jobs": self.options.jobs}


def _beside(row: Mapping[str, float], name: str) -> str:
    """A figure, and its ratio to the peer's."""
    if name not in row:
        return "-"
    against = row.get(PEER)
    return f"{row[name]:.3f}" + (f" ({row[name] / against:.2f} x)" if against and name != PEER else "")


# ── our scheduler alone ──────────────────────────────────────────────────────────────────────────────────────────────


def allocations(ours: Path, folder: Path) -> float:
    """Places a second: a scheduler with a hundred workers that are made up, each with places enough; the client is this process."""
    farm = Farm("alone", folder, ours)
    folder.mkdir()
    address, key = f"127.0.0.1:{free_port()}", secrets.token_urlsafe(32)
    (folder / "scheduler.conf").write_text(
        f'public_addr = "{address}"\n[client_auth]\ntype = "token"\ntoken = "{CLIENT_TOKEN}"\n'
        f'[server_auth]\ntype = "token"\ntoken = "{key}"\n'
    )
    command = [farm.dist, "scheduler", "--config", folder / "scheduler.conf"]
    process = subprocess.Popen(command, env={**os.environ, "SCCACHE_NO_DAEMON": "1"})
    try:
        return asyncio.run(_allocations(address, key))
    finally:
        process.terminate()
        process.wait(20)


async def _allocations(address: str, key: str) -> float:
    import aiohttp

    async with aiohttp.ClientSession(f"http://{address}", connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        await _until_it_answers(session)
        for number in range(100):
            beat = {"nonce": "n", "cores": 64, "slots": 512, "job_key": key, "certificate": "ab" * 32}
            headers = {"Authorization": f"Bearer 127.0.0.1:{number + 1} {key}"}
            async with session.post("/api/v2/heartbeat", json=beat, headers=headers) as answer:
                answer.raise_for_status()
        return await _ask(session)


async def _until_it_answers(session: "aiohttp.ClientSession") -> None:  # noqa: F821
    import aiohttp

    for _ in range(200):
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get("/api/v2/status") as answer:
                answer.raise_for_status()
                return
        await asyncio.sleep(0.05)
    sys.exit("bench: the scheduler does not answer")


async def _ask(session: "aiohttp.ClientSession") -> float:  # noqa: F821
    body = json.dumps({"toolchain": "ab" * 32}).encode()
    granted = 0

    async def ask(count: int) -> None:
        nonlocal granted
        for _ in range(count):
            async with session.post("/api/v2/allocate", data=body, headers={"Authorization": f"Bearer {CLIENT_TOKEN}"}) as answer:
                granted += b'"granted"' in await answer.read()

    started = time.perf_counter()
    await asyncio.gather(*(ask(ALLOCATIONS // CONNECTIONS) for _ in range(CONNECTIONS)))
    wall_s = time.perf_counter() - started
    if granted != ALLOCATIONS:
        sys.exit(f"bench: only {granted} of {ALLOCATIONS} got a place")
    return granted / wall_s


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _fill(folder: Path, files: int) -> None:
    folder.mkdir()
    for number in range(files):
        text = SOURCE + "".join(FUNCTION.format(file=number, n=n) for n in range(1, 4))
        (folder / f"{number}.cpp").write_text(text)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def _work(keep: bool) -> Iterator[Path]:  # noqa: FBT001
    folder = Path(tempfile.mkdtemp(prefix="sccache-bench-dist-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=150)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--cores", type=int, default=2, help="that everything together may use")
    parser.add_argument("--apart", action="store_true", help="the worker has as many cores of its own, as if it were another machine")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["plain", "ours", "depend", PEER])
    parser.add_argument("--ours", type=Path, default=Path(sys.prefix) / "bin" / "sccache")
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers/bin"))
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/dist-<date>.json")
    parser.add_argument("--keep", action="store_true", help="leave logs and objects where they are")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        sys.exit("bench: run it as root: the real sccache-dist's worker needs that")
    cores = sorted(os.sched_getaffinity(0))
    options.worker_cores = cores[options.cores : 2 * options.cores] if options.apart else []
    os.sched_setaffinity(0, cores[: options.cores])
    with _work(options.keep) as work:
        bench = Bench(options, work)
        bench.run()
        bench.packing()
        if "ours" in options.only:
            bench.facts["places a second"] = allocations(options.ours, work / "alone")
        found = bench.report()
    if options.save:
        target = Path(__file__).parent / "results" / f"dist-{time.strftime('%Y-%m-%d')}.json"
        target.parent.mkdir(exist_ok=True)
        machine = {"machine": platform.platform(), "cores": options.cores}
        target.write_text(json.dumps({**machine, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
