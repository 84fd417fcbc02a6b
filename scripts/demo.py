"""Build a real project twice through the cache and tell what happened.  Run by scripts/demo."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "projects"))

import fetch  # noqa: E402 -- the path above makes it importable

SCCACHE = Path(sys.prefix) / "bin" / "sccache"
TARGETS = fetch.Z3.targets


def run(*argv: str, env: dict[str, str], cwd: Path) -> str:
    """Run a command; stop the demo with its words when it fails."""
    done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"demo: {' '.join(argv)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def build(source: Path, folder: Path, env: dict[str, str]) -> float:
    """Configure and build with progress; the build's wall time."""
    shutil.rmtree(folder, ignore_errors=True)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    launchers = [f"-DCMAKE_{lang}_COMPILER_LAUNCHER={SCCACHE}" for lang in ("C", "CXX")]
    run(
        "cmake",
        *generator,
        "-S",
        str(source),
        "-B",
        str(folder),
        "-DCMAKE_BUILD_TYPE=Release",
        *fetch.Z3.options,
        *launchers,
        env=env,
        cwd=source,
    )
    started = time.monotonic()
    command = ["cmake", "--build", str(folder), f"-j{os.cpu_count() or 2}", "--target", *TARGETS]
    with subprocess.Popen(command, env=env, cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        last = show_progress(process.stdout)
    if process.returncode != 0:
        sys.exit(f"demo: the build failed: {last}")
    return time.monotonic() - started


def show_progress(lines: "object") -> str:
    """One line that moves on a terminal; every tenth one elsewhere."""
    last = ""
    for number, line in enumerate(lines):  # type: ignore[call-overload,var-annotated,arg-type]
        last = line.strip()
        if sys.stdout.isatty():
            print(f"\r   {last[:100]:100}", end="", flush=True)
        elif number % 10 == 0:
            print(f"   {last[:100]}", flush=True)
    if sys.stdout.isatty():
        print()
    return last


def counted(env: dict[str, str]) -> tuple[int, int]:
    """Hits and misses so far."""
    stats = json.loads(run(str(SCCACHE), "--show-stats", "--stats-format=json", env=env, cwd=ROOT))["stats"]
    return sum(stats["cache_hits"]["counts"].values()), sum(stats["cache_misses"]["counts"].values())


def main() -> None:
    """Tell the story in five lines."""
    folder = Path(tempfile.mkdtemp(prefix="sccache-demo-"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCCACHE_")}
    env = {**kept, "SCCACHE_DIR": str(folder / "cache"), "SCCACHE_SERVER_UDS": str(folder / "sock")}
    try:
        print("2. Fetching the sources of the Z3 solver from PyPI", flush=True)
        source = fetch.unpack(fetch.Z3, folder / "src")
        print(f"3. First build of {', '.join(TARGETS)} with CMAKE_CXX_COMPILER_LAUNCHER={SCCACHE}", flush=True)
        cold = build(source, folder / "build", env)
        hits, misses = counted(env)
        print(f"   {cold:.1f} s: {hits} hits, {misses} misses")
        print("4. Second build, from an empty build directory", flush=True)
        warm = build(source, folder / "build", env)
        more_hits, more_misses = counted(env)
        print(f"   {warm:.1f} s: {more_hits - hits} hits, {more_misses - misses} misses")
        print(f"5. Time won: {cold - warm:.1f} s of {cold:.1f} s; the second build was {cold / warm:.0f} times as fast.\n")
        print(run(str(SCCACHE), "--show-stats", env=env, cwd=ROOT))
    except fetch.FetchError as e:
        sys.exit(f"demo: {e}")
    finally:
        subprocess.run([SCCACHE, "--stop-server"], env=env, capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
