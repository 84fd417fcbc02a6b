"""What a compiler consists of: all that has to be where it is here, so that it runs where nothing else is.

Names lead in the archive where they lead here: links on the way are packed as links.  Headers are no part of it, a job brings those that
it reads; nor is what only links programs (ld, lto1, collect2, start files, libraries for a target), for compiles never run it.  gcc and
g++, or clang and clang++, of one directory are one toolchain under all their names there, so a project needs one upload.

Sources: GCC manual "Overall Options", "Developer Options", "Spec Files"; clang's command line reference; rustc book "Codegen options",
rustc --print sysroot; man pages ld.so(8), iconv(3).  Owns: which files those are.  Must not know: archives, caches, settings.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct

from sccache.compilers import detect
from sccache.dist import loader
from sccache.dist.loader import LoaderError
from sccache.dist.tree import Gathering, Tree
from sccache.errors import ConfigError

DEADLINE_S = 60.0
MAX_FILES = 100_000
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Not the user's, so that a toolchain is the same for all."""
_GCC_PROGRAMS = ("cc1", "cc1plus", "g++-mapper-server", "as", "objcopy")
"""A job of a rarer language brings its program along (33 MB): it is not for every upload."""
_GCC_FILES = ("specs", "liblto_plugin.so", "libgomp.spec", "libitm.spec", "libsanitizer.spec", "nano.specs", "nosys.specs", "rdimon.specs")
_CLANG_PROGRAMS = ("as", "objcopy")
_CLANG_CONFIG = re.compile(r"^Configuration file: (/.+)$", re.MULTILINE)
_DRIVER = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|clang|clang\+\+|clang-cl|clang-cpp)(-?[\d.]+)?")
_TWINS = MappingProxyType({"gcc": "g++", "g++": "gcc", "clang": "clang++", "clang++": "clang"})
_NO_RESOURCES = ("include", "lib", "bin")
"""Parts of clang's resource directory that are headers, or for linking."""


class Plan(Struct, frozen=True):
    """What to pack."""

    tree: Tree
    names: frozenset[str]
    """Its files by the names that the compiler and its loader know them by: libraries in /lib, which is a link, for instance."""
    made: Mapping[str, bytes]
    """Files with contents of our own."""
    stamped: tuple[str, ...]
    """What tells by its stamps that the compiler is another one: files, links, and directories whose files are many and small."""


class NotDistributable(Struct, frozen=True):
    """A compiler that can only work here."""

    reason: str
    """A sentence without a full stop."""


class _UnfitError(Exception):
    """A compiler cannot be packed; the message becomes a reason."""


class _Plan:
    """Collects what is needed."""

    def __init__(self, its_loader: str) -> None:
        self._loader = its_loader
        self._gathering = Gathering()
        self._watched: set[str] = set()
        self._watched_files: set[bytes] = set()
        self._by_cache: dict[str, str] = {}
        self._programs: set[str] = set()
        self._names: set[str] = set()

    def file(self, path: str) -> None:
        """A file as it is."""
        self._names.add(path)
        if len(self._names) > MAX_FILES:
            raise _UnfitError(f"it has more than {MAX_FILES} files")
        self._gathering.add_file(path, b"", os.stat(path).st_size)

    def program(self, path: str) -> None:
        """A program or library that this machine runs, with all libraries that it needs."""
        self.file(path)
        real = os.path.realpath(path)
        if real in self._programs:
            return
        self._programs.add(real)
        needed = loader.libraries(real, self._loader)
        for library in needed.paths:
            self.file(library)
        self._by_cache.update(needed.by_cache)

    def helper(self, path: str) -> None:
        """A program that may run or not: a script would need more than can be known, and is left out; what nobody can tell is not."""
        if os.path.isfile(path) and (loader.read_elf(path) is not None or not os.access(path, os.R_OK)):
            self.program(path)

    def directory(self, top: str, leave_out: Callable[[str], bool] = lambda _path: False) -> None:
        """All files below a directory; only the directory is looked at to know that they are the same."""
        self.watch(top)
        self._gathering.add_directory(top)
        with os.scandir(top) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if leave_out(entry.path):
                continue
            if entry.is_dir(follow_symlinks=False):
                self.directory(entry.path, leave_out)
            elif entry.is_file():
                self.file(entry.path)
                self._watched_files.add(os.fsencode(os.path.realpath(entry.path)))

    def empty_directory(self, path: str) -> None:
        """A directory without what is in it."""
        if os.path.isabs(path) and os.path.isdir(path):
            self._gathering.add_directory(path)

    def watch(self, directory: str) -> None:
        """Notice what appears there."""
        self._watched.add(os.path.realpath(directory))

    def finished(self) -> Plan:
        """All of it."""
        made = {}
        if self._by_cache:
            with open(loader.CACHE_PATH, "rb") as file:
                made[loader.CACHE_PATH] = loader.extract(file.read(), self._by_cache)
            if not made[loader.CACHE_PATH]:
                raise _UnfitError(f"its loader finds {min(self._by_cache)} by a cache of unknown form")
        tree = self._gathering.tree()
        stamped = self._watched.union(os.fsdecode(link.path) for link in tree.links)
        stamped.update(os.fsdecode(file.path) for file in tree.files if file.path not in self._watched_files)
        return Plan(tree, frozenset(self._names), made, tuple(sorted(stamped)))


def plan(executable: str, family: str) -> Plan | NotDistributable:
    """What to pack for the compiler at `executable`.  Blocking; runs the compiler to ask it."""
    try:
        return _plan(executable, family)
    except (_UnfitError, LoaderError) as e:
        why = str(e)
    except subprocess.TimeoutExpired:
        why = "it does not answer"
    except OSError as e:
        why = f"{e.filename}: {e.strerror}"
    return NotDistributable(f"{executable} cannot be packed: {why}")


def _plan(executable: str, family: str) -> Plan:
    pack = _FAMILIES.get(family)
    if pack is None:
        raise _UnfitError(f"nothing is known about the parts of compilers of the family {family!r}")
    if not os.path.isabs(executable):
        raise _UnfitError("its path is not absolute")
    elf = loader.read_elf(executable)
    if elf is None:
        is_secret = os.path.isfile(executable) and not os.access(executable, os.R_OK)
        raise _UnfitError("it cannot be read by this user" if is_secret else "it is a script, or no program of this machine")
    collected = _Plan(elf.interpreter)
    pack(collected, executable)
    return collected.finished()


def _gcc(collected: _Plan, executable: str) -> None:
    drivers = _drivers(executable)
    for path in drivers:
        collected.program(path)
    for name in _GCC_PROGRAMS:
        collected.helper(_program(executable, name))
    for name in _GCC_FILES:
        path = _answer(executable, f"-print-file-name={name}")
        if os.path.isabs(path) and os.path.isfile(path):
            collected.program(path) if loader.read_elf(path) is not None else collected.file(path)
    front_end = _program(executable, "cc1")
    if not os.path.isfile(front_end):
        raise _UnfitError("it names no cc1")
    collected.watch(os.path.dirname(front_end))
    collected.empty_directory(_answer(executable, "-print-file-name=include"))  # cc1 wants to have a place for headers, even an empty one
    _add_conversions(collected, front_end)


def _clang(collected: _Plan, executable: str) -> None:
    for path in _drivers(executable):
        collected.program(path)
    for name in _CLANG_PROGRAMS:
        collected.helper(_program(executable, name))
    resources = _answer(executable, "-print-resource-dir")
    if not os.path.isdir(resources):
        raise _UnfitError("it names no resource directory")
    collected.directory(resources, lambda path: os.path.dirname(path) == resources and os.path.basename(path) in _NO_RESOURCES)
    for path in _CLANG_CONFIG.findall(_run(executable, "-v").stderr):
        collected.file(path)


def _rust(collected: _Plan, executable: str) -> None:
    sysroot = _answer(executable, "--print=sysroot")
    compiler, libraries = os.path.join(sysroot, "bin/rustc"), os.path.join(sysroot, "lib/rustlib")
    if not os.path.isabs(sysroot) or not os.path.isfile(compiler):
        raise _UnfitError("it names no directory with bin/rustc")
    collected.program(executable)
    collected.program(compiler)
    collected.watch(libraries)
    for target in sorted(os.listdir(libraries)):
        for part in ("lib", "codegen-backends"):
            top = os.path.join(libraries, target, part)
            if os.path.isdir(top):
                collected.directory(top)
        if os.path.isfile(target_file := os.path.join(libraries, target, "target.json")):
            collected.file(target_file)
    sources = os.path.join(libraries, "src/rust/library")
    if os.path.isdir(sources):  # messages quote them, and rustc looks if they are there
        collected.directory(sources)


def _alone(collected: _Plan, executable: str) -> None:
    collected.program(executable)


_FAMILIES: Mapping[str, Callable[[_Plan, str], None]] = {
    "gcc": _gcc,
    "clang": _clang,
    "clang-cl": _clang,
    "rust": _rust,
    "cicc": _alone,
    "ptxas": _alone,
    "cudafe++": _alone,
}


def recognise(executable: str) -> tuple[str, str]:
    """The compiler behind a path and its family, by its name and by what it says; an empty family if it is none of ours.

    For who names a compiler by hand: a proxy of rustup stands for the rustc that it would run in this directory.
    ConfigError with a sentence if it cannot be asked.
    """
    try:
        return _recognise(executable)
    except OSError as e:
        raise ConfigError(f"{e.filename or executable}: {e.strerror}") from e
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{executable} does not answer") from None


def _recognise(executable: str) -> tuple[str, str]:
    name = os.path.basename(executable)
    if name in ("cicc", "ptxas", "cudafe++"):
        return executable, name
    if loader.read_elf(executable) is None:
        with open(executable, "rb"):  # OSError if nobody may read it
            return executable, ""
    if os.path.basename(os.path.realpath(executable)) == "rustup":
        asked = subprocess.run([executable, "--print=sysroot"], capture_output=True, timeout=DEADLINE_S, check=False)
        if asked.returncode != 0:
            said = os.fsdecode(asked.stderr).strip().splitlines() or [f"it ended with status {asked.returncode}"]
            raise ConfigError(f"{executable} does not name a compiler: {said[0]}")
        executable = os.path.join(os.fsdecode(asked.stdout).strip(), "bin", name)
    text = _answer(executable, "--version")
    if text.startswith(("rustc ", "clippy ")):
        return executable, "rust"
    if not detect.is_transparent(executable):
        return executable, ""
    return executable, "clang" if "clang version" in text else "gcc" if "Free Software Foundation" in text else ""


def _drivers(executable: str) -> list[str]:
    """All names in its directory of a compiler and of its twin for C or C++; only those that are drivers themselves, no wrappers."""
    if not detect.is_transparent(executable):
        raise _UnfitError("it may be a wrapper, which chooses what to run by means of its own")
    directory, real = os.path.dirname(executable), os.path.realpath(executable)
    files = {_file_id(path) for path in (real, *_twin(real))}
    paths = (os.path.join(directory, name) for name in os.listdir(directory) if _DRIVER.fullmatch(name))
    return sorted({executable, *(path for path in paths if os.path.isfile(path) and _file_id(path) in files)})


def _file_id(path: str) -> tuple[int, int]:
    """Names may be hard links, too."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _twin(real: str) -> Iterator[str]:
    directory, name = os.path.split(real)
    match = _DRIVER.fullmatch(name)
    if match is not None and match[2] in _TWINS:
        twin = os.path.join(directory, (match[1] or "") + _TWINS[match[2]] + (match[3] or ""))
        if os.path.exists(twin):
            yield os.path.realpath(twin)


def _add_conversions(collected: _Plan, front_end: str) -> None:
    """What iconv(3) reads for -finput-charset and -fexec-charset: the C library's modules lie beside it."""
    for library in loader.libraries(front_end).paths:
        modules = os.path.join(os.path.dirname(os.path.realpath(library)), "gconv")
        if os.path.basename(library) == "libc.so.6" and os.path.isdir(modules):
            collected.directory(modules)


def _program(executable: str, name: str) -> str:
    """The path of a program that a driver runs; one that it would look for in PATH comes from the system's own directories."""
    answer = _answer(executable, f"-print-prog-name={name}")
    if os.path.isabs(answer):
        return answer
    for directory in SYSTEM_PATH.split(":"):
        path = os.path.join(directory, answer)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def _answer(executable: str, *words: str) -> str:
    return _run(executable, *words).stdout.removesuffix("\n")


class _Ran(Struct, frozen=True):
    stdout: str
    stderr: str


def _run(executable: str, *words: str) -> _Ran:
    ran = subprocess.run(
        [executable, *words],
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
        cwd="/",
        stdin=subprocess.DEVNULL,
        env={"LC_ALL": "C", "PATH": SYSTEM_PATH},
    )
    return _Ran(os.fsdecode(ran.stdout), os.fsdecode(ran.stderr))
