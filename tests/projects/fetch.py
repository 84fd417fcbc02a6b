"""Get the sources of real projects from PyPI's source distributions, once, into a cache directory.

Owns: which projects, which versions, where they are kept.  Also a command: `python tests/projects/fetch.py z3 DIRECTORY` unpacks one there.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Project:
    """A real project inside a source distribution."""

    name: str
    distribution: str
    version: str
    sha256: str
    folder: str  # of the CMake project, below the archive's top directory
    options: tuple[str, ...]  # for cmake
    targets: tuple[str, ...]  # for ninja: enough translation units for the purpose


LIBUV = Project(
    "libuv", "uvloop", "0.23.0", "28d160f51ab4da3b187063652e643dea6831072add4adc1e6d62afbe73b6be27", "vendor/libuv",
    ("-DBUILD_TESTING=OFF", "-DLIBUV_BUILD_SHARED=OFF"), ("uv_a",),
)  # fmt: skip
Z3 = Project(
    "z3", "z3-solver", "4.12.6.0", "9a0f30e9648ee2649adc301dbf91470bc1600f34112ffeaf1063f8a8075e1a48", "core",
    # The git options would have every commit, and every touch of a file, change a generated header.
    ("-DZ3_ENABLE_EXAMPLE_TARGETS=OFF", "-DZ3_BUILD_LIBZ3_SHARED=OFF", "-DZ3_INCLUDE_GIT_HASH=OFF", "-DZ3_INCLUDE_GIT_DESCRIBE=OFF"),
    ("util", "polynomial"),
)  # fmt: skip
LIGHTGBM = Project(
    "lightgbm", "lightgbm", "4.6.0", "cb1c59720eb569389c0ba74d14f52351b573af489f230032a1c9f314f8bab7fe", "", (), (),
)  # fmt: skip
PROJECTS = {project.name: project for project in (LIBUV, Z3, LIGHTGBM)}


class FetchError(Exception):
    """The sources could not be had; the text says what to do."""


def cache_dir() -> Path:
    """Where downloads are kept: SCCACHE_TEST_DOWNLOADS or below the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("SCCACHE_TEST_DOWNLOADS") or Path(base) / "pysccache-downloads")


def archive(project: Project) -> Path:
    """The downloaded archive, checked."""
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{project.distribution}-{project.version}.tar.gz"
    if not kept.exists():
        _download(project, kept)
    found = hashlib.sha256(kept.read_bytes()).hexdigest()
    if found != project.sha256:
        kept.unlink()
        raise FetchError(f"{kept.name} has SHA-256 {found}, not {project.sha256}; it was removed, try again")
    return kept


def _download(project: Project, kept: Path) -> None:
    scratch = kept.with_suffix(f".{os.getpid()}")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--no-binary={project.distribution}", "--dest", str(scratch)]
    done = subprocess.run([*pip, f"{project.distribution}=={project.version}"], capture_output=True, text=True, check=False, timeout=600)
    found = list(scratch.glob("*.tar.gz")) if scratch.exists() else []
    if done.returncode != 0 or not found:
        shutil.rmtree(scratch, ignore_errors=True)
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise FetchError(f"cannot download {project.distribution}=={project.version} from the package index (is there a network?): {last}")
    found[0].rename(kept)
    shutil.rmtree(scratch)


def unpack(project: Project, into: Path) -> Path:
    """Unpack below `into`; return the CMake project's directory."""
    with tarfile.open(archive(project)) as tar:
        top = tar.getnames()[0].split("/")[0]
        tar.extractall(into, filter="data")
    source = into / top / project.folder
    (source / ".git").unlink(missing_ok=True)  # a submodule's pointer to where it came from
    return source


if __name__ == "__main__":
    print(unpack(PROJECTS[sys.argv[1]], Path(sys.argv[2])))
