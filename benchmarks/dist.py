"""Measure a farm on one machine beside the real sccache-dist: one scheduler, one worker, cold C++ compiles, interleaved rounds.

    scripts/bench --dist [--rounds N] [--files N] [--jobs N] [--only NAMES] [--save]            as root: the real worker needs that

Every round empties the client's cache and compiles everything anew; toolchains stay where they are.  Told are wall time, compiles that
were not distributed, failures, and the client's CPU
seconds a compile: of callers, of its daemon, and of what these run.
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
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

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
TICKS = os.sysconf("SC_CLK_TCK")
CLIENT_TOKEN = "benchmark"  # noqa: S105 -- of a scheduler on 127.0.0.1 that lives for a minute
ALLOCATIONS, CONNECTIONS = 20_000, 16
Row = dict[str, list[float]]


@dataclass
class Farm:
    """A scheduler, a worker and a client's settings."""

    name: str
    folder: Path
    sccache: Path
    worker_cores: tuple[int, ...] = ()
    """Those that the worker has to itself; none: it shares the client's."""
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
            "SCCACHE_SERVER_UDS": str(self.folder / "sock"), "SCCACHE_IDLE_TIMEOUT": "0", **more,
        }  # fmt: skip

    def start(self) -> None:
        """Scheduler and worker, until the one knows the other."""
        self.folder.mkdir(parents=True)
        self.scheduler, worker = (f"127.0.0.1:{_free_port()}" for _ in range(2))
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
        _until(lambda: self._status() == 1, f"{self.name}: the scheduler knows no worker; see {self.folder}")

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


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        """`work` is wiped by the caller."""
        self.options, self.work = options, work
        programs = {"ours": options.ours, "sccache": options.peers / "sccache"}
        apart = tuple(options.worker_cores)
        self.farms = [
            Farm(name, work / name, program, apart) for name, program in programs.items() if program.exists() and name in options.only
        ]
        self.times: dict[str, Row] = defaultdict(lambda: defaultdict(list))
        self.facts: dict[str, float] = {}

    def run(self) -> None:
        """All of it."""
        _fill(self.work / "sources", self.options.files)
        try:
            for farm in self.farms:
                farm.start()
                self._first(farm)
            for number in range(self.options.rounds):
                turn = number % len(self.farms)
                for farm in self.farms[turn:] + self.farms[:turn]:
                    self._round(farm)
                    print(f"round {number + 1}: {farm.name} {self.times['wall s'][farm.name][-1]:.1f} s", file=sys.stderr)
        finally:
            for farm in self.farms:
                farm.stop()

    def _first(self, farm: Farm) -> None:
        """The compile that packs and sends the toolchain: not what the rounds are to measure."""
        farm.forget()
        self.times["first compile s"][farm.name].append(self._compile(farm, 0))
        _until(lambda: self._compile(farm, 0) >= 0 and farm.counts()[0] > 0, f"{farm.name} distributes nothing; see {farm.folder}")
        archives = [path for path in (farm.folder / "toolchains").rglob("*") if path.is_file() and path.stat().st_size > 1 << 20]
        self.times["toolchain MB"][farm.name].append(sum(path.stat().st_size for path in archives) / 1e6)

    def _round(self, farm: Farm) -> None:
        farm.forget()
        before_s = farm.daemon_cpu_s() + _children_s()
        started = time.perf_counter()
        with ThreadPoolExecutor(self.options.jobs) as pool:
            list(pool.map(lambda number: self._compile(farm, number), range(self.options.files)))
        wall_s = time.perf_counter() - started
        client_s = farm.daemon_cpu_s() + _children_s() - before_s
        distributed, failures = farm.counts()
        files = self.options.files
        told = {"wall s": wall_s, "not distributed": files - distributed, "failures": failures, "client CPU s a compile": client_s / files}
        for what, value in told.items():
            self.times[what][farm.name].append(value)

    def _compile(self, farm: Farm, number: int) -> float:
        more = {"SCCACHE_RECACHE": "1"} if number == 0 else {}
        command = [farm.sccache, "g++", "-O1", "-c", f"{number}.cpp", "-o", self.work / f"{farm.name}-{number}.o"]
        started = time.perf_counter()
        subprocess.run(command, cwd=self.work / "sources", env=farm.environment(**more), check=True, timeout=300, capture_output=True)
        return time.perf_counter() - started

    def packing(self) -> None:
        """`--package-toolchain`, each time anew."""
        for farm in self.farms:
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
        names = [farm.name for farm in self.farms]
        options = self.options
        print(f"\n{options.files} cold C++ compiles, -j{options.jobs} on {options.cores} cores, medians of {options.rounds} rounds\n")
        print(f"{'':28}" + "".join(f"{name:>12}" for name in names) + ("       ratio" if len(names) == 2 else ""))
        for what, row in medians.items():
            line = f"{what:28}" + "".join(f"{row.get(name, float('nan')):12.3f}" for name in names)
            if len(names) == 2 and len(row) == 2 and row[names[1]]:
                line += f"{row[names[0]] / row[names[1]]:12.2f}"
            print(line)
        for what, value in self.facts.items():
            print(f"{what:28}{value:12.0f}")
        return {"medians": medians, "facts": self.facts, "files": self.options.files, "jobs": self.options.jobs}


# ── our scheduler alone ──────────────────────────────────────────────────────────────────────────────────────────────


def allocations(ours: Path, folder: Path) -> float:
    """Places a second: a scheduler with a hundred workers that are made up, each with places enough; the client is this process."""
    farm = Farm("alone", folder, ours)
    folder.mkdir()
    address, key = f"127.0.0.1:{_free_port()}", secrets.token_urlsafe(32)
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


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _cpu_s(pid: int) -> float:
    """Of a process, its threads, and its children that have ended: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(word) for word in fields[11:15]) / TICKS


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _until(is_so, otherwise: str) -> None:
    for _ in range(40):
        if is_so():
            return
        time.sleep(0.25)
    sys.exit(f"bench: {otherwise}")


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
    parser.add_argument("--only", type=lambda text: text.split(","), default=["ours", "sccache"])
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
