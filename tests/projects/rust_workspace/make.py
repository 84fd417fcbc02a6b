"""Make a cargo workspace that builds without a network: our own members (`tree/`), everything else from Debian's `librust-*-dev` packages.

    python tests/projects/rust_workspace/make.py DIRECTORY      then: cd DIRECTORY && cargo build

About a hundred calls of rustc: libraries, procedural macros, build scripts (one writes code, one makes a static library in C), cdylib,
staticlib, programs, unit and integration tests, an example, a bench.  scripts/setup installs the packages.

Owns: what the workspace is made of, and the environment that keeps a build of it apart from the user's own cargo.  Must not know: who
builds it, with which cache.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REGISTRY = Path("/usr/share/cargo/registry")
TREE = Path(__file__).parent / "tree"
CONFIG = f"""\
[source.crates-io]
replace-with = "debian"

[source.debian]
directory = "{REGISTRY}"

[net]
offline = true
"""


class NotPossibleError(Exception):
    """The workspace cannot be made here; the text says what is missing."""


def cargo() -> Path:
    """Find cargo: on the PATH, or where rustup puts it."""
    found = shutil.which("cargo", path=f"{os.environ.get('PATH', '')}:{os.path.expanduser('~/.cargo/bin')}")
    if found is None:
        raise NotPossibleError("needs cargo and rustc, which are not installed")
    return Path(found)


def environment(home: Path) -> dict[str, str]:
    """What a build needs, and nothing of the user's: cargo's own directory is below `home`, toolchains are where they are.

    Incremental compilation is off, as it must be for any cache to see whole crates.
    """
    rustup = os.environ.get("RUSTUP_HOME") or os.path.expanduser("~/.rustup")
    where = {"RUSTUP_HOME": rustup} if os.path.isdir(rustup) else {}
    toolchain = {"RUSTUP_TOOLCHAIN": os.environ["RUSTUP_TOOLCHAIN"]} if "RUSTUP_TOOLCHAIN" in os.environ else {}
    return {
        **where, **toolchain, "CARGO_HOME": str(home / "cargo-home"), "HOME": str(home), "LC_ALL": "C",
        "PATH": f"{cargo().parent}:/usr/bin:/bin", "CARGO_INCREMENTAL": "0", "CARGO_TERM_COLOR": "never",
    }  # fmt: skip


def make(into: Path, env: Mapping[str, str]) -> Path:
    """Write the workspace to the new directory `into` and lock its dependencies; files have the time of now, as after a checkout."""
    if not REGISTRY.is_dir():
        raise NotPossibleError(f"needs Debian's librust-*-dev packages below {REGISTRY}: run scripts/setup as root")
    shutil.copytree(TREE, into, copy_function=shutil.copy)
    (into / ".cargo").mkdir()
    (into / ".cargo" / "config.toml").write_text(CONFIG)
    done = subprocess.run(["cargo", "generate-lockfile"], cwd=into, env=dict(env), capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise NotPossibleError(f"cargo finds no versions for the workspace; run scripts/setup as root.  It says: {done.stderr.strip()}")
    return into


if __name__ == "__main__":
    print(make(Path(sys.argv[1]), {**os.environ, "PATH": f"{cargo().parent}:{os.environ.get('PATH', '')}"}))
