"""Which file has which content, remembered by stamp; and whether all inputs of a compile are still what they were.

A *stamp* is (device, inode, size, mtime, ctime).  A content's *number* is a small integer that stands for its digest; a
directory's number stands for one stamp of it and is never used again.  A *watch* is a list of (path id, number) pairs: if the
table of stamps has these numbers and the disk these stamps, everything is as it was.  That is one call into C.

A stamp is remembered only if the file was last changed longer ago than the clock's granularity when we began to read it: a
later change then always shows.  Files and directories that changed just now are looked at again each time.

Owns: the memory of digests and directory stamps, and when a stamp can be trusted.  Must not know: manifests, compilers.
Thread-safe: files are read without the lock.
"""

import errno
import os
import stat
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from struct import Struct as Layout

from sccache.hashing.reading import read_facts
from sccache.hashing.saved_facts import SavedFile, SavedFiles, decode_saved, encode_saved, read_saved, write_saved
from sccache.hashing.stamps import ANY, NOTHING, Stamp, is_settled, look
from sccache.model import FileFacts

try:
    from sccache._native import StampTable
except ImportError:  # no C compiler where this was installed
    from sccache.hashing.stamps import StampTable

# A Linux kernel tree with its build is 90,000 files.
MAX_FILES = 200_000
_ABSENT = 0
_UNSETTLED = ANY - 1
"""A number that no row has."""

_pair = Layout("=II")


class Kind(Enum):
    """What is behind a path that names are looked for in."""

    DIRECTORY = "directory"
    OTHER = "other"
    MISSING = "missing"


class Watch:
    """What must still hold for a variant of a manifest to apply.  Made and kept up by FileMemory."""

    __slots__ = ("generation", "names", "pairs")

    def __init__(self, generation: int, pairs: bytearray, names: "dict[int, array[int]]") -> None:
        self.generation = generation
        self.pairs = pairs
        """(id, number) pairs, see StampTable.mismatches."""
        self.names = names
        """Index of a pair that is an existing directory → numbers of the paths in it that must not be files."""


class FileMemory:
    """Facts about files by path.  Paths are absolute, `str` with surrogateescape."""

    def __init__(
        self,
        clock_ns: Callable[[], int] = time.time_ns,
        max_files: int = MAX_FILES,
        table: Callable[[], StampTable] = StampTable,
    ) -> None:
        self._clock_ns = clock_ns
        self._max_files = max_files
        self._new_table = table
        self._lock = threading.RLock()
        self._loaded = SavedFiles()
        self._generation = 0
        self._start_empty()

    def facts(self, path: str) -> FileFacts | None:
        """What is known about the regular file at `path`, read if need be; None if there is no readable regular file."""
        id_ = self._id(path)
        known = self._facts.get(id_)
        if known is not None and not self._table.mismatches(_pair.pack(id_, ANY)):
            return known
        return self._read(id_, path)

    def facts_many(self, paths: Sequence[str]) -> list[FileFacts | None]:
        """`facts` of each path; those that are known and unchanged cost one call for all."""
        with self._lock:
            self._make_room(len(paths))
            ids = [self._id(path) for path in paths]
        wrong = set(self._table.mismatches(b"".join([_pair.pack(id_, ANY) for id_ in ids])))
        found = []
        for index, (id_, path) in enumerate(zip(ids, paths, strict=True)):
            known = None if index in wrong else self._facts.get(id_)
            found.append(known if known is not None else self._read(id_, path))
        return found

    def trusted_digest(self, path: str, size: int, mtime_ns: int, ctime_ns: int) -> bytes | None:
        """For `file_stat_matches`: the digest to watch `path` by if its stat equals what was recorded, without reading it.

        A time of 0 was not recorded: an mtime of 0 matches nothing, a ctime of 0 is not compared.
        """
        stamp = look(path)
        if not stamp or stamp == NOTHING or not mtime_ns or stamp[2:4] != (size, mtime_ns) or ctime_ns not in (0, stamp[4]):
            return None
        with self._lock:
            id_ = self._id(path)
            known = self._facts.get(id_)
            if known is not None and self._table.stamp(id_) == stamp:
                return known.digest
            # No digest: a number for exactly this stamp.
            unread = b"unread" + repr((id_, stamp)).encode()
            self._set(id_, self._number(unread), stamp)
            return unread

    def watch(self, inputs: Iterable[tuple[str, bytes]], absent: Mapping[str, Sequence[str]]) -> Watch | None:
        """Watch that the inputs have these digests, and that in each directory no file has one of the names.

        None: this is not so now.  A directory with a name such as a header's is not a file.
        """
        inputs = list(inputs)
        watch = self._new_watch(inputs, absent)
        if self.holds(watch):
            return watch
        if not self._forget_appeared(absent):
            return None
        watch = self._new_watch(inputs, absent)
        return watch if self.holds(watch) else None

    def holds(self, watch: Watch) -> bool:
        """Is everything still so?  False also when this watch can no longer tell: then make a new one."""
        if watch.generation != self._generation:
            return False
        wrong = self._table.mismatches(watch.pairs)
        return not wrong or all(self._still_holds(watch, index) for index in wrong)

    def load(self, path: str) -> None:
        """Take in what `save` wrote; a missing or damaged file is an empty one."""
        saved = read_saved(path)
        with self._lock:
            for known in self._ids:
                saved.take(known)
            self._loaded = saved

    def save(self, path: str) -> None:
        """Write what is known, the files of this life of the daemon first, for the next."""
        with self._lock:
            files = [*self._settled_files(), *self._loaded.rest()]
        write_saved(path, files[: self._max_files])

    def _new_watch(self, inputs: Sequence[tuple[str, bytes]], absent: Mapping[str, Sequence[str]]) -> Watch:
        """A watch of which nothing is checked yet."""
        with self._lock:
            self._make_room(len(inputs) + 2 * len(absent))
            ids, numbers = self._ids, self._numbers
            flat: list[int] = []
            for path, wanted in inputs:  # hundreds, for each compile: written out, it takes a third
                id_ = ids.get(path)
                number = numbers.get(wanted)
                flat.append(self._new_id(path) if id_ is None else id_)
                flat.append(self._number(wanted) if number is None else number)
            watch = Watch(self._generation, bytearray(array("I", flat).tobytes()), {})
            self._add_directories(watch, absent)
            return watch

    # -- the table

    def _start_empty(self) -> None:
        self._generation += 1
        self._table = self._new_table()
        self._ids: dict[str, int] = {}
        self._paths: list[str] = []
        self._facts: dict[int, FileFacts] = {}
        self._names: list[str] = []
        """Paths that must be absent somewhere; watches hold indexes: thousands of watches name the same paths."""
        self._name_numbers: dict[str, int] = {}
        self._absent_in: dict[int, set[int]] = {}
        """Directory → names that were absent when it had its present stamp."""
        self._gone: dict[str, str] = {}
        """Directory that did not exist → its topmost missing parent, or itself.  As long as that is missing, so is the directory."""
        self._numbers: dict[bytes, int] = {}
        self._last_number = _ABSENT

    def _make_room(self, count: int) -> None:
        """Where the table or the numbers grow past their bound, begin again with the younger half of the files."""
        contents = max(self._last_number, len(self._names))
        if len(self._table) + count <= 2 * self._max_files and contents < 4 * self._max_files:
            return
        young = self._settled_files()[-self._max_files // 2 :]
        self._start_empty()
        self._loaded = decode_saved(encode_saved(young))

    def _settled_files(self) -> list[SavedFile]:
        rows = ((id_, facts, self._table.stamp(id_)) for id_, facts in self._facts.items())
        return [SavedFile(self._paths[id_], stamp, facts.digest, facts.time_macros) for id_, facts, stamp in rows if stamp]

    def _id(self, path: str) -> int:
        id_ = self._ids.get(path)
        return id_ if id_ is not None else self._new_id(path)

    def _new_id(self, path: str) -> int:
        with self._lock:
            if path in self._ids:
                return self._ids[path]
            id_ = self._table.add(os.fsencode(path))
            saved = self._loaded.take(path)
            if saved is not None:
                self._table.set(id_, self._number(saved.digest), saved.stamp)
                self._facts[id_] = saved.facts()
            self._paths.append(path)
            self._ids[path] = id_
            return id_

    def _set(self, id_: int, number: int, stamp: Stamp, facts: FileFacts | None = None) -> None:
        if facts is None:
            self._facts.pop(id_, None)
        else:
            self._facts[id_] = facts
        self._absent_in.pop(id_, None)
        self._table.set(id_, number, stamp)

    def _forget(self, id_: int) -> None:
        self._facts.pop(id_, None)
        self._absent_in.pop(id_, None)
        self._table.forget(id_)

    def _number(self, content: bytes) -> int:
        """The number of a digest."""
        number = self._numbers.get(content)
        if number is None:
            number = self._numbers[content] = self._fresh_number()
        return number

    def _fresh_number(self) -> int:
        self._last_number += 1
        return self._last_number

    # -- files

    def _read(self, id_: int, path: str) -> FileFacts | None:
        generation, began_ns = self._generation, self._clock_ns()
        read = read_facts(path)
        with self._lock:
            if generation != self._generation:
                return read[1] if read else None
            if read is None:
                self._forget(id_)
                return None
            stamp, facts = read
            if is_settled(stamp, began_ns):
                self._set(id_, self._number(facts.digest), stamp, facts)
            else:
                self._forget(id_)
            return facts

    def _still_holds(self, watch: Watch, index: int) -> bool:
        """Look closer at one pair that is not as the table says; bring table and watch up to date if it holds."""
        id_, wanted = _pair.unpack_from(watch.pairs, 8 * index)
        path = self._paths[id_]
        if index in watch.names:
            return self._directory_still_holds(watch, index, id_, path)
        if wanted == _ABSENT:
            return self._is_absent(id_, path)
        facts = self.facts(path)
        return facts is not None and self._numbers.get(facts.digest) == wanted

    # -- directories

    def _add_directories(self, watch: Watch, absent: Mapping[str, Sequence[str]]) -> None:
        """Extend a watch by directories; a missing one by its topmost missing parent."""
        kinds: dict[str, Kind] = {}
        gone: set[str] = set()
        for directory, names in absent.items():
            known = self._gone.get(directory)
            if known is not None:  # whether it is still so, the check of the watch will tell
                gone.add(known)
                continue
            match _kind(directory, kinds):
                case Kind.DIRECTORY:
                    self._add_existing(watch, directory, names)
                case Kind.MISSING:
                    top = self._gone[directory] = _topmost_missing(directory, kinds)
                    gone.add(top)
                case Kind.OTHER:
                    gone.add(directory + "/.")  # is there only if the file becomes a directory
        for path in sorted(gone):
            id_ = self._id(path)
            self._set(id_, _ABSENT, NOTHING)
            watch.pairs += _pair.pack(id_, _ABSENT)

    def _forget_appeared(self, absent: Mapping[str, Sequence[str]]) -> bool:
        """Forget which of these directories were missing and may be no more; whether there are any."""
        with self._lock:
            tops = {directory: self._gone[directory] for directory in absent if directory in self._gone}
            there = {top for top in set(tops.values()) if look(top) != NOTHING}
            for directory, top in tops.items():
                if top in there:
                    del self._gone[directory]
        return bool(there)

    def _add_existing(self, watch: Watch, directory: str, names: Sequence[str]) -> None:
        prefix = directory if directory == "/" else directory + "/"
        known_names, paths = self._name_numbers, [prefix + name for name in names]
        numbers = [self._name_number(path) if (number := known_names.get(path)) is None else number for path in paths]
        id_ = self._id(directory)
        _, known = self._directory(id_, directory)
        # What a link leads to can appear without this directory changing: it is watched for itself.
        links = {number for number in numbers if number not in known and os.path.islink(self._names[number])}
        for number in sorted(links):
            self._add_directory(watch, self._id(self._names[number]), ())
        self._add_directory(watch, id_, [number for number in numbers if number not in links] if links else numbers)

    def _add_directory(self, watch: Watch, id_: int, names: Sequence[int]) -> None:
        watch.names[len(watch.pairs) // 8] = array("I", names)
        watch.pairs += _pair.pack(id_, _UNSETTLED)  # so the first check looks at the names

    def _name_number(self, path: str) -> int:
        number = self._name_numbers.get(path)
        if number is None:
            number = self._name_numbers[path] = len(self._names)
            self._names.append(path)
        return number

    def _directory_still_holds(self, watch: Watch, index: int, id_: int, path: str) -> bool:
        if _kind(path, {}) is Kind.OTHER:
            return False
        number, known = self._directory(id_, path)
        names = self._names
        unknown = [name for name in watch.names[index] if name not in known]
        if watch.generation != self._generation or any(_is_there(names[name]) for name in unknown):
            return False
        with self._lock:
            known.update(unknown)
            _pair.pack_into(watch.pairs, 8 * index, id_, number)
        return True

    def _directory(self, id_: int, path: str) -> tuple[int, set[int]]:
        """The number that stands for a directory's stamp, and the names known to be absent at that stamp.

        As long as it cannot be told from a later stamp, the number is one that never matches and the names do not last.
        """
        began_ns = self._clock_ns()
        stamp = look(path)
        with self._lock:
            if stamp is None or not is_settled(stamp, began_ns):
                self._forget(id_)
                return _UNSETTLED, set()
            if self._table.stamp(id_) != stamp or id_ not in self._absent_in:
                self._set(id_, _ABSENT if stamp == NOTHING else self._fresh_number(), stamp)
                self._absent_in[id_] = set()
            return self._table.number(id_), self._absent_in[id_]

    def _is_absent(self, id_: int, path: str) -> bool:
        if look(path) != NOTHING:
            return False
        with self._lock:
            self._set(id_, _ABSENT, NOTHING)
        return True


def _is_there(path: str) -> bool:
    """Is there something that the compiler could open, or could come to open behind a link?  With a slash at its end: anything at all?"""
    if path.endswith("/"):
        return os.path.lexists(path[:-1])
    try:
        return not stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError as e:
        return e.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def _kind(path: str, kinds: dict[str, Kind]) -> Kind:
    known = kinds.get(path)
    if known is None:
        try:
            known = Kind.DIRECTORY if stat.S_ISDIR(os.stat(path).st_mode) else Kind.OTHER
        except OSError as e:
            known = Kind.MISSING if e.errno in (errno.ENOENT, errno.ENOTDIR) else Kind.OTHER
        kinds[path] = known
    return known


def _topmost_missing(path: str, kinds: dict[str, Kind]) -> str:
    while (parent := os.path.dirname(path)) != path and _kind(parent, kinds) is Kind.MISSING:
        path = parent
    return path
