"""Sources to compile on a farm: many small units that take as long as a test wants, and everything a user sees of their compiles.

Owns: the sources, compiling them side by side, comparing.  Must not know: the product.
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.farm.harness.farm import Client

HEADER = """#pragma once
#include <map>
#include <string>
#include <vector>
template <int N> struct Steps {
    static constexpr unsigned run() { unsigned sum = 0; for (unsigned i = 0; i < N * 100000u; i++) sum = sum * 3 + i; return sum; }
};
inline int unused_everywhere(int given) { int forgotten = given; return given; }
"""
UNIT = """#include "common.h"
#include <algorithm>
constexpr unsigned checked = Steps<{work}>::run();
std::map<std::string, std::vector<long>> table_{n} = {{{{"unit", {{{n}, checked}}}}}};
int total_{n}(std::vector<int> v) {{
    std::sort(v.begin(), v.end(), [](int a, int b) {{ return a > b; }});
    int result = __LINE__ + sizeof(__FILE__); for (auto i : v) result += i; return result; }}
"""
BROKEN = '#include "common.h"\nint broken() { return undeclared; }\n'
FLAGS = ("-std=c++17", "-O1", "-g", "-Wall", "-Wextra")
PATIENCE = {
    "g++": ("-fconstexpr-ops-limit=2000000000", "-fconstexpr-loop-limit=2000000000"),
    "clang++": ("-fconstexpr-steps=2000000000",),
}


@dataclass(frozen=True)
class Built:
    """What a user sees of one compile."""

    status: int
    stdout: bytes
    stderr: bytes
    files: Mapping[str, bytes]


class Running:
    """Compiles on their way."""

    def __init__(self, units: "Units", names: Sequence[str], futures: Sequence[Future[Built]], pool: ThreadPoolExecutor) -> None:
        """`futures` are those of `names`."""
        self._units, self._names, self._futures, self._pool = units, names, futures, pool

    def results(self) -> dict[str, Built]:
        """All of them, when they have ended."""
        done = dict(zip(self._names, [future.result() for future in self._futures], strict=True))
        self._pool.shutdown()
        return done


class Units:
    """A folder of sources, compiled where they lie."""

    def __init__(self, folder: Path, count: int, *, work: int = 0, broken: bool = False) -> None:
        """`work`: hundreds of thousands of steps that the compiler is to make for each; `broken`: one has an error."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "include").mkdir(exist_ok=True)
        (folder / "out").mkdir(exist_ok=True)
        (folder / "out").chmod(0o777)
        (folder / "include" / "common.h").write_text(HEADER)
        self.names = [f"unit{n}" for n in range(count)]
        for n, name in enumerate(self.names):
            (folder / f"{name}.cc").write_text(UNIT.format(n=n, work=work))
        if broken:
            self.names.append("broken")
            (folder / "broken.cc").write_text(BROKEN)
        self._settle()

    def _settle(self) -> None:
        """Sources as old as the file clock is fine are not trusted."""
        end = time.time() + 0.03
        while time.time() < end:
            time.sleep(0.005)  # not for a state of another process: the clock itself

    def start(self, client: Client, *, cached: bool, jobs: int = 4, compiler: str = "g++", names: Sequence[str] = ()) -> Running:
        """Compile all, some at a time; through the product or plainly."""
        wanted = names or self.names
        pool = ThreadPoolExecutor(jobs)
        return Running(self, wanted, [pool.submit(self._compile, client, name, compiler, cached=cached) for name in wanted], pool)

    def build(self, client: Client, *, cached: bool, jobs: int = 4, compiler: str = "g++") -> dict[str, Built]:
        """Compile all to the end."""
        return self.start(client, cached=cached, jobs=jobs, compiler=compiler).results()

    def _compile(self, client: Client, name: str, compiler: str, *, cached: bool) -> Built:
        front = [str(client.command)] if cached else []
        outputs = [self.folder / "out" / f"{name}{ending}" for ending in (".o", ".d")]
        for path in outputs:
            path.unlink(missing_ok=True)
        words = [
            *front,
            compiler,
            *FLAGS,
            *PATIENCE[compiler],
            "-Iinclude",
            "-MD",
            "-MF",
            f"out/{name}.d",
            "-c",
            f"{name}.cc",
            "-o",
            f"out/{name}.o",
        ]
        done: subprocess.CompletedProcess[bytes] = client.run(words, self.folder)
        files = {path.name: path.read_bytes() for path in outputs if path.exists()}
        assert done.returncode == (1 if name == "broken" else 0), done.stderr[-2000:]
        return Built(done.returncode, done.stdout, done.stderr, files)


def differing(want: Mapping[str, Built], have: Mapping[str, Built]) -> dict[str, str]:
    """Where two builds part, in words."""
    found = {}
    for name in want.keys() | have.keys():
        a, b = want[name], have[name]
        if a != b:
            files = [file for file in a.files.keys() | b.files.keys() if a.files.get(file) != b.files.get(file)]
            found[name] = f"status {a.status} {b.status}, files {files}, stderr {a.stderr[-300:]!r} {b.stderr[-600:]!r}"
    return found
