"""The client's toolchains: each packed once, kept within a size, packed anew when the compiler changes.

`<dist.cache_dir>/client/tc` has the archives, named by their ids; `…/client/known` tells for a compiler which archive is its own, with the
stamps of all files that were packed: a compiler that was updated in place has others.  Several daemons may use one directory: packing
and removing happen under a lock file.

Owns: that directory, which toolchains the settings name.  Must not know: what compilers consist of, schedulers, workers.
"""

import contextlib
import fcntl
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from typing import BinaryIO, cast

import msgspec
from msgspec import Struct

from sccache.config.locations import default_cache_dir
from sccache.config.schema import DistConfig
from sccache.dist import archive, packaging
from sccache.dist.archive import ArchiveError, PackedMember
from sccache.dist.packaging import NotDistributable, Plan
from sccache.dist.tar import Kind
from sccache.errors import ConfigError
from sccache.hashing.digest import hex_digest

__all__ = ["ClientToolchains", "NotDistributable", "Packed", "package"]

log = logging.getLogger(__name__)

TRY_AGAIN_S = 300.0
"""A compiler that could not be packed, for a full disk for instance, is asked again after that, not at each compile."""
FORMAT = 1
"""Of what is kept about compilers, and of which files are packed: another one packs anew."""

Stamp = tuple[str, int, int, int, int]
"""Path, size, modification and change time in ns, inode."""


class Packed(Struct, frozen=True):
    """A toolchain in an archive."""

    id: str
    """BLAKE3 of the archive, hex."""
    path: str
    """The archive.  It may be gone when it is opened: then there has been no room for it."""
    executable: str
    """The compiler, where it is in the sandbox."""
    paths: frozenset[str] = frozenset()
    """All names in it, absolute, and other names that lead to its files: what a job need not bring."""


class _Known(Struct, frozen=True):
    """What is kept about a compiler."""

    id: str
    stamps: tuple[Stamp, ...]
    paths: tuple[str, ...]
    format: int = FORMAT


class ClientToolchains:
    """Finds the archive for a compiler.  All methods block, and may be called by many threads."""

    def __init__(self, config: DistConfig, cache_dir: str = "") -> None:
        """ConfigError with a sentence if the settings name a toolchain twice.  `cache_dir` counts where the settings name none."""
        self._disabled, self._overrides = _choices(config.toolchains)
        root = os.path.join(config.cache_dir or cache_dir or default_cache_dir(os.environ) + "-dist-client", "client")
        self._archives, self._about, self._lock_path = (os.path.join(root, name) for name in ("tc", "known", "lock"))
        self._most_bytes = config.toolchain_cache_size_bytes
        self._packing: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._memory: dict[str, tuple[_Known, frozenset[str]]] = {}
        self._refused: dict[str, tuple[float, NotDistributable]] = {}

    def find(self, executable: str, family: str, identity: bytes) -> Packed | NotDistributable:
        """The toolchain of a compiler, packed if it has to be; `identity` changes with the compiler.  Raises nothing."""
        if self._is_disabled(executable):
            return NotDistributable(f"toolchain distribution for {executable} is disabled")
        override = self._override(executable)
        key = hex_digest(b"\0".join((os.fsencode(override[0] if override else executable), family.encode(), identity)))
        with self._alone(key):
            refusal = self._known_refusal(key)
            if refusal is not None:
                return refusal
            try:
                found = (
                    self._overridden(key, *override) if override else self._known(key, executable) or self._pack(key, executable, family)
                )
            except ArchiveError as e:
                found = NotDistributable(f"the toolchain of {executable} cannot be used: {e}")
            except OSError as e:
                found = NotDistributable(f"the toolchain of {executable} cannot be packed: {e.filename}: {e.strerror}")
            if isinstance(found, NotDistributable):
                log.warning("%s", found.reason)
                self._refused[key] = time.monotonic() + TRY_AGAIN_S, found
            return found

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One thread at a time for each compiler: the first packs, the others find what it has packed."""
        with self._guard:
            lock = self._packing.setdefault(key, threading.Lock())
        with lock:
            yield

    # -- what the settings say

    def _is_disabled(self, executable: str) -> bool:
        """Under any of its names: who keeps a compiler at home does not list what links lead to it."""
        if not self._disabled:
            return False
        real = os.path.realpath(executable)
        return executable in self._disabled or any(os.path.realpath(path) == real for path in self._disabled)

    def _override(self, executable: str) -> tuple[str, str] | None:
        """By the name as it is called: a driver acts by it.  The directory may be reached by a link, as /bin is by one of /usr/bin."""
        if not self._overrides or executable in self._overrides:
            return self._overrides.get(executable)
        place = _plain_directory(executable)
        return next((override for path, override in self._overrides.items() if _plain_directory(path) == place), None)

    # -- what is known

    def _known(self, key: str, executable: str) -> Packed | None:
        remembered = self._memory.get(key)
        if remembered is None:
            known = _read(os.path.join(self._about, key))
            if known is None:
                return None
            remembered = self._memory[key] = (known, frozenset(known.paths))
        known, paths = remembered
        if any(_stamp(stamp[0]) != stamp for stamp in known.stamps):
            del self._memory[key]
            return None
        path = os.path.join(self._archives, known.id)
        try:
            os.utime(path)  # the least recently used goes first
        except FileNotFoundError:
            return None
        return Packed(known.id, path, executable, paths)

    def _known_refusal(self, key: str) -> NotDistributable | None:
        until, refusal = self._refused.get(key, (0.0, None))
        return refusal if time.monotonic() < until else None

    def _overridden(self, key: str, path: str, executable: str) -> Packed:
        """An archive that somebody made; it stays where it is."""
        remembered = self._memory.get(key)
        stamp = _stamp(os.path.realpath(path))
        if stamp is None:
            raise ArchiveError(f"there is no {path}")
        if remembered is None or remembered[0].stamps != (stamp,):
            remembered = self._memory[key] = _Known(archive.digest_of(path), (stamp,), ()), archive.names(path)
        return Packed(remembered[0].id, path, executable, remembered[1])

    # -- packing

    def _pack(self, key: str, executable: str, family: str) -> Packed | NotDistributable:
        self._make_directories()
        with open(self._lock_path, "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self._known(key, executable)  # another daemon was faster
            if found is not None:
                return found
            plan = packaging.plan(executable, family)
            return plan if isinstance(plan, NotDistributable) else self._pack_plan(key, executable, plan)

    def _pack_plan(self, key: str, executable: str, plan: Plan) -> Packed:
        names = (executable, *plan.stamped)
        stamps = tuple(_stamp(path) for path in names)
        staged, identifier = self._staged(plan)
        if None in stamps or stamps != tuple(_stamp(path) for path in names):
            os.unlink(staged)
            raise ArchiveError("it changed while it was packed")
        path = os.path.join(self._archives, identifier)
        os.rename(staged, path)
        paths = tuple(sorted(plan.names.union(os.fsdecode(member.path) for member in members(plan))))
        known = _Known(identifier, cast("tuple[Stamp, ...]", stamps), paths)
        self._write(os.path.join(self._about, key), msgspec.msgpack.encode(known))
        self._memory[key] = known, frozenset(paths)
        log.info("packed the toolchain of %s: %s, %d bytes", executable, identifier, os.path.getsize(path))
        self._make_room(identifier)
        return Packed(identifier, path, executable, frozenset(paths))

    def _staged(self, plan: Plan) -> tuple[str, str]:
        """An archive that has no name yet, and its id."""
        with tempfile.NamedTemporaryFile(dir=self._archives, prefix=".", delete=False) as file:
            try:
                archive.pack(members(plan), cast("BinaryIO", file))
                file.flush()
                return file.name, archive.digest_of(file.name)
            except BaseException:
                os.unlink(file.name)
                raise

    def _make_room(self, newest: str) -> None:
        """Remove what was used longest ago until the rest fits; what has just been packed stays, what a crash has left goes."""
        with os.scandir(self._archives) as found:
            entries = sorted(
                (not entry.name.startswith("."), entry.stat().st_mtime_ns, entry.name, entry.stat().st_size) for entry in found
            )
        total = sum(size for _, _, _, size in entries)
        for is_whole, _, name, size in entries:
            if name != newest and (total > self._most_bytes or not is_whole):
                os.unlink(os.path.join(self._archives, name))
                total -= size
        for name in os.listdir(self._about):
            known = _read(os.path.join(self._about, name))
            if known is None or not os.path.exists(os.path.join(self._archives, known.id)):
                os.unlink(os.path.join(self._about, name))

    def _make_directories(self) -> None:
        for directory in (self._archives, self._about):
            os.makedirs(directory, mode=0o700, exist_ok=True)

    def _write(self, path: str, data: bytes) -> None:
        self._make_directories()
        with tempfile.NamedTemporaryFile(dir=self._about, prefix=".", delete=False) as staged:
            staged.write(data)
        os.rename(staged.name, path)


def package(executable: str, family: str, out: str) -> str | NotDistributable:
    """Pack a compiler into the file `out`; gives the archive's id.  OSError and ArchiveError as they come."""
    plan = packaging.plan(executable, family)
    if isinstance(plan, NotDistributable):
        return plan
    try:
        with open(out, "wb") as file:
            archive.pack(members(plan), file)
    except BaseException:
        if os.path.isfile(out):  # no device
            os.unlink(out)
        raise
    return archive.digest_of(out)


def members(plan: Plan) -> Iterator[PackedMember]:
    """What a plan says, for an archive."""
    for path in plan.tree.directories:
        yield PackedMember(path, Kind.DIRECTORY)
    for link in plan.tree.links:
        yield PackedMember(link.path, Kind.SYMLINK, target=link.target)
    for file in plan.tree.files:
        yield PackedMember(file.path, Kind.FILE, source=os.fsdecode(file.path), executable=file.executable)
    for name, content in plan.made.items():
        yield PackedMember(os.fsencode(name), Kind.FILE, content=content)


def _choices(toolchains: tuple[dict[str, str], ...]) -> tuple[frozenset[str], Mapping[str, tuple[str, str]]]:
    """Compilers that stay here; compiler → archive and the compiler's path in it."""
    disabled: set[str] = set()
    overrides: dict[str, tuple[str, str]] = {}
    for entry in toolchains:
        compiler = entry["compiler_executable"]
        if entry["type"] == "no_dist":
            if compiler in disabled:
                raise ConfigError(f"Disabled toolchain {compiler} multiple times")
            disabled.add(compiler)
        else:
            if compiler in overrides:
                raise ConfigError(f"Multiple toolchains for {compiler}")
            overrides[compiler] = entry["archive"], entry["archive_compiler_executable"]
    both = sorted(disabled & set(overrides))
    if both:
        raise ConfigError(f"Override for toolchain {both[0]} conflicts with it being disabled")
    return frozenset(disabled), overrides


def _plain_directory(path: str) -> str:
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _read(path: str) -> _Known | None:
    try:
        with open(path, "rb") as file:
            known = msgspec.msgpack.decode(file.read(), type=_Known)
    except (FileNotFoundError, msgspec.DecodeError):  # by another version, or cut off by a full disk
        return None
    return known if known.format == FORMAT else None
