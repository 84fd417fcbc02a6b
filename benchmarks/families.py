"""Measure hits of CUDA, HIP and clang-cl compiles: ours beside the real sccache where it knows the family, and beside our hit of plain C++.

    scripts/bench --families [--rounds N] [--only NAMES] [--save]

Each round runs every command once, plain and through each cache, one after the other.  "One more architecture" counts the programs that
a compile starts after an architecture was added to nvcc's list.

Owns: the commands, what is measured, how it is told.  Must not know: how a cache is called (peers.py).
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from peers import Peer, available  # noqa: E402 -- the path above makes it importable

NAMES = ("plain", "ours", "sccache")
KERNELS = """\
#include {header}
#include <cassert>
#include <cstdio>
#include <vector>
template <typename T, int Step> __global__ void step(T *values, int count) {{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += Step * gridDim.x * blockDim.x)
        values[i] = values[i] * T(Step) + T(i);
}}
"""
KERNEL = """\
__global__ void kernel{n}(float *a, const float *b, int count) {{
    __shared__ float part[256];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    part[threadIdx.x] = i < count ? a[i] * b[i] + {n}.0f : 0.0f;
    __syncthreads();
    for (int width = blockDim.x / 2; width > 0; width /= 2) {{
        if (threadIdx.x < width) part[threadIdx.x] += part[threadIdx.x + width];
        __syncthreads();
    }}
    if (threadIdx.x == 0) a[blockIdx.x] = part[0];
}}
void host{n}(float *a, const float *b, int count) {{
    kernel{n}<<<(count + 255) / 256, 256>>>(a, b, count);
    step<float, {n} + 1><<<1, 256>>>(a, count);
}}
"""
PLAIN = """\
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>
"""
PLAIN_FUNCTION = """\
int function{n}(std::map<std::string, int> &m) {{
    m["{n}"] += {n};
    std::vector<int> v(m.size());
    std::sort(v.begin(), v.end());
    return v[0];
}}
"""
C_ONLY = '#include "local.h"\n' + "".join(f"int function{n}(int x) {{ return x * {n} + LOCAL; }}\n" for n in range(100))
STRACE = ("strace", "-f", "-qq", "-e", "trace=execve", "-o")
PROGRAMS = {"cicc", "ptxas", "cudafe++", "fatbinary", "nvlink", "cc1plus", "nvcc"}


@dataclass(frozen=True)
class Command:
    """A compile."""

    name: str
    source: str
    text: str
    words: tuple[str, ...]
    known_to: tuple[str, ...]
    """Caches that have such hits."""


def _kernels(header: str) -> str:
    return KERNELS.format(header=header) + "".join(KERNEL.format(n=n) for n in range(20))


def commands() -> list[Command]:
    """Those whose compiler is here."""
    plain = PLAIN + "".join(PLAIN_FUNCTION.format(n=n) for n in range(50))
    architectures = ("-gencode", "arch=compute_80,code=sm_80", "-gencode", "arch=compute_90,code=sm_90")
    both = ("ours", "sccache")
    found = [
        Command("c++", "plain.cpp", plain, ("g++", "-O2", "-c", "plain.cpp", "-o", "plain.o"), both),
        Command("nvcc", "x.cu", _kernels("<cuda_runtime.h>"), ("nvcc", "-O2", *architectures, "-c", "x.cu", "-o", "x.o"), both),
        Command(
            "hipcc",
            "x.hip",
            _kernels("<hip/hip_runtime.h>"),
            ("hipcc", "-O2", "--offload-arch=gfx906", "-c", "x.hip", "-o", "h.o"),
            ("ours",),
        ),
    ]
    clang_cl = next((name for name in ("clang-cl", "clang-cl-14") if shutil.which(name)), "clang-cl")
    found.append(Command("clang-cl", "local.c", C_ONLY, (clang_cl, "/O2", "/Brepro", "/c", "local.c", "/Folocal.obj"), both))
    return [command for command in found if shutil.which(command.words[0])]


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        """`work` is wiped by the caller."""
        self.options, self.work = options, work
        self.peers = [peer for peer in available(options.ours, options.peers, work) if peer.name in NAMES]
        self.commands = [command for command in commands() if not options.only or command.name in options.only]
        self.times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.programs: dict[str, list[str]] = {}

    def prepare(self) -> None:
        """Sources and empty caches."""
        (self.work / "sources").mkdir()
        (self.work / "sources" / "local.h").write_text("#define LOCAL 3\n")
        for command in self.commands:
            (self.work / "sources" / command.source).write_text(command.text)
        for peer in self.peers:
            peer.home.mkdir(parents=True, exist_ok=True)
            if peer.caches:
                peer.empty()
                peer.start()

    def run(self, peer: Peer, words: tuple[str, ...]) -> float:
        """One compile; its wall time in seconds."""
        started = time.perf_counter()
        done = subprocess.run(
            [*peer.front, *words],
            cwd=self.work / "sources",
            env=peer.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        took = time.perf_counter() - started
        if done.returncode != 0:
            raise RuntimeError(f"{peer.name}: {words} exited {done.returncode}: {done.stderr[-2000:]}")
        return took

    def measure(self) -> None:
        """Cold once, then warm, interleaved."""
        for command in self.commands:
            for peer in self.peers:
                if peer.name == "plain" or peer.name in command.known_to:
                    self.times[f"{command.name} cold"][peer.name].append(self.run(peer, command.words))
        time.sleep(1)  # until the results are kept
        for number in range(self.options.rounds + 2):
            for command in self.commands:
                for peer in self.peers:
                    if peer.caches and peer.name in command.known_to:
                        took = self.run(peer, command.words)
                        if number >= 2:  # the first warm ones still learn
                            self.times[f"{command.name} warm"][peer.name].append(took)

    def one_more(self, peer: Peer) -> None:
        """Which of nvcc's programs a further architecture starts."""
        command = next((command for command in self.commands if command.name == "nvcc"), None)
        if command is None or shutil.which("strace") is None:
            return
        words = (*command.words, "-gencode", "arch=compute_86,code=sm_86")
        trace = self.work / f"{peer.name}.trace"
        pid = peer.daemon_pid() if peer.caches else None
        wanted = ["-p", str(pid)] if pid else [*peer.front, *words]
        watched = subprocess.Popen([*STRACE, str(trace), *wanted], cwd=self.work / "sources", env=peer.environment())
        lines = ""
        if pid:
            time.sleep(1)
            launcher = self.work / f"{peer.name}.launcher"
            front = [*STRACE, str(launcher), *peer.front, *words]
            subprocess.run(front, cwd=self.work / "sources", env=peer.environment(), check=True, timeout=600)
            watched.terminate()
            lines = launcher.read_text()
        watched.wait(timeout=600)
        lines += trace.read_text()
        started = [Path(line.split('"')[1]).name for line in lines.splitlines() if 'execve("' in line and line.rstrip().endswith("= 0")]
        self.programs[peer.name] = sorted(name for name in started if name in PROGRAMS)

    def report(self) -> dict[str, object]:
        """Print medians and ratios; return everything."""
        medians = {what: {name: statistics.median(values) for name, values in row.items()} for what, row in self.times.items()}
        plain_hit = medians.get("c++ warm", {}).get("ours")
        for what, row in medians.items():
            print(f"\n{what} (median of {len(next(iter(self.times[what].values())))})")
            base, cold = row.get("sccache"), medians.get(f"{what.split()[0]} cold", {}).get("plain")
            for name, value in row.items():
                notes = f"   {value / cold:6.4f} x the compiler" if cold and name != "plain" else ""
                notes += f"   {value / base:6.4f} x sccache" if base and name == "ours" else ""
                notes += f"   {value / plain_hit:5.2f} x a plain C++ hit" if plain_hit and name == "ours" and what.endswith("warm") else ""
                print(f"  {name:10} {value * 1000:9.2f} ms{notes}")
        for name, started in self.programs.items():
            print(f"\none more architecture, {name}: {len(started)} programs: {' '.join(started)}")
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()}
        return {"medians": medians, "all": self.times, "one more architecture": self.programs, "machine": machine}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ours", type=Path, default=Path(sys.prefix) / "bin" / "sccache")
    parser.add_argument("--peers", type=Path, default=Path("/nonexistent"), help="directory with the peers' programs")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", nargs="+", help="some of c++, nvcc, hipcc, clang-cl")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/families.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-families-") as folder:
        bench = Bench(options, Path(folder))
        try:
            bench.prepare()
            bench.measure()
            for peer in bench.peers:
                bench.one_more(peer)
            result = bench.report()
        finally:
            for peer in bench.peers:
                peer.stop()
    if options.save:
        target = Path(__file__).parent / "results" / "families.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(result, indent=1) + "\n")
        print(f"written: {target}")


if __name__ == "__main__":
    main()
