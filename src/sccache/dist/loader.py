"""Which shared libraries a program needs, and what the dynamic loader needs to find them in a directory tree that has nothing else.

The program's own loader is asked as `ldd` does (ld.so(8), LD_TRACE_LOADED_OBJECTS); the program itself does not run.  Libraries that are
found by means of /etc/ld.so.cache only need a cache there too: one with these entries and no others, so that it says nothing about the
machine.
Sources: elf(5), ld.so(8), ldconfig(8), the declarations in glibc's dl-cache.h.

Owns: reading ELF headers, asking the loader, the extract of its cache.  Must not know: compilers, archives.
"""

import os
import re
import struct
import subprocess
from collections.abc import Iterable, Mapping

from msgspec import Struct

CACHE_PATH = "/etc/ld.so.cache"
DEADLINE_S = 30.0
_MAGIC = b"\x7fELF"
_PT_DYNAMIC, _PT_INTERP = 2, 3
_MAX_PATH_BYTES = 4096
_FOUND = re.compile(r"^\s+(?:(\S+) => )?(/.*) \(0x[0-9a-f]+\)$", re.MULTILINE)
_LOST = re.compile(r"^\s+(\S+) => not found$", re.MULTILINE)
_MUSL = "ld-musl-"
_PLAIN = ("--glibc-hwcaps-mask", "none")
"""Libraries for this very processor would not run on every other."""


class Elf(Struct, frozen=True):
    """What an ELF file says about loading it."""

    interpreter: str
    """Its loader; empty for libraries and for static programs."""
    is_dynamic: bool


class Libraries(Struct, frozen=True):
    """What a program needs beside itself."""

    paths: tuple[str, ...]
    """The loader too."""
    by_cache: Mapping[str, str] = {}
    """Name → path of those that the loader finds by its cache only."""


class LoaderError(Exception):
    """A program's libraries are not all there; the message is a sentence."""


def read_elf(path: str) -> Elf | None:
    """The headers of an ELF file; None if it is something else, or damaged."""
    try:
        with open(path, "rb") as file:
            start = file.read(64)
            if start[:4] != _MAGIC or len(start) < 52:
                return None
            wide, order = start[4] == 2, "<" if start[5] == 1 else ">"
            at, size, count = (
                (*struct.unpack_from(order + "Q", start, 32), *struct.unpack_from(order + "HH", start, 54))
                if wide
                else (*struct.unpack_from(order + "I", start, 28), *struct.unpack_from(order + "HH", start, 42))
            )
            file.seek(at)
            table = file.read(size * count)
            interpreter, is_dynamic = "", False
            for number in range(count):
                kind = struct.unpack_from(order + "I", table, number * size)[0]
                is_dynamic |= kind == _PT_DYNAMIC
                if kind == _PT_INTERP:
                    form, offset = (order + "QQQQ", 8) if wide else (order + "IIII", 4)
                    where, _, _, length = struct.unpack_from(form, table, number * size + offset)
                    file.seek(where)
                    interpreter = os.fsdecode(file.read(min(length, _MAX_PATH_BYTES)).partition(b"\0")[0])
            return Elf(interpreter, is_dynamic)
    except (OSError, struct.error, OverflowError, ValueError):
        return None


def libraries(path: str, loader: str = "") -> Libraries:
    """All that the ELF file at `path` needs; `loader` is for libraries, which name none.  LoaderError if something is missing."""
    real = os.path.realpath(path)  # $ORIGIN is where the kernel finds the program, behind all links
    elf = read_elf(real)
    if elf is None:
        if not os.access(real, os.R_OK):
            raise LoaderError(f"{path} cannot be read by this user")
        raise LoaderError(f"{path} is no program that this machine's loader understands")
    loader = elf.interpreter or (loader if elf.is_dynamic else "")
    if not loader:
        return Libraries(())
    found = _ask(loader, real, ())
    without_cache = _ask(loader, real, ("--inhibit-cache",)) if os.path.exists(CACHE_PATH) else found
    by_cache = {name: where for name, where in found.items() if without_cache.get(name) != where}
    return Libraries((loader, *dict.fromkeys([*found.values(), *_beside(loader)])), by_cache)


def extract(cache: bytes, wanted: Mapping[str, str]) -> bytes:
    """A loader's cache with those entries of `cache` only that lead from the wanted names to the wanted paths; empty if one has none."""
    start = cache.find(_CACHE_MAGIC)
    if start < 0:
        return b""
    cache = cache[start:]
    try:
        count, _, flags = struct.unpack_from("=IIB", cache, 20)
        entries = list(struct.iter_unpack(_ENTRY, cache[_HEADER_BYTES : _HEADER_BYTES + count * _ENTRY_BYTES]))
    except struct.error:
        return b""
    kept, found = [], set()
    for flag, name_at, path_at, _, hwcap in entries:
        name, path = _string(cache, name_at), _string(cache, path_at)
        if wanted.get(name) == path and not hwcap and name not in found:
            kept.append((flag, name, path))
            found.add(name)
    return _cache(kept, flags) if found == set(wanted) else b""


_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER_BYTES, _ENTRY_BYTES = 48, 24
_ENTRY = "=iIIIQ"


def _cache(entries: Iterable[tuple[int, str, str]], flags: int) -> bytes:
    """The order of entries is ldconfig's own, by which the loader searches."""
    entries = list(entries)
    strings, table = b"", b""
    base = _HEADER_BYTES + _ENTRY_BYTES * len(entries)
    for flag, name, path in entries:
        name_at = base + len(strings)
        strings += os.fsencode(name) + b"\0"
        table += struct.pack(_ENTRY, flag, name_at, base + len(strings), 0, 0)
        strings += os.fsencode(path) + b"\0"
    return _CACHE_MAGIC + struct.pack("=IIB", len(entries), len(strings), flags).ljust(_HEADER_BYTES - 20, b"\0") + table + strings


def _string(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : at + _MAX_PATH_BYTES].partition(b"\0")[0])


def _ask(loader: str, path: str, options: tuple[str, ...]) -> dict[str, str]:
    """Name → path, as the loader prints them for `ldd`; libraries named by their paths are their own names."""
    is_musl = os.path.basename(loader).startswith(_MUSL)
    environment = {"LC_ALL": "C"} if is_musl else {"LC_ALL": "C", "LD_TRACE_LOADED_OBJECTS": "1"}
    for words in [("--list",)] if is_musl else [(*_PLAIN, *options), options]:  # before glibc 2.33 there was no such mask
        ran = subprocess.run(
            [loader, *words, path], capture_output=True, timeout=DEADLINE_S, check=False, cwd="/", env=environment, stdin=subprocess.DEVNULL
        )
        if ran.returncode == 0 or is_musl:
            break
    else:
        raise LoaderError(f"{loader} does not tell the libraries of {path}: {ran.stderr.decode(errors='replace').strip()}")
    text = os.fsdecode(ran.stdout)
    if (lost := _LOST.search(text)) and "--inhibit-cache" not in options:
        raise LoaderError(f"the library {lost[1]} of {path} is found by a variable only, or not at all")
    found: dict[str, str] = {}
    for name, where in _FOUND.findall(text):
        found[name or where] = where
        if name.startswith("/"):
            found[name] = name
    return found


def _beside(loader: str) -> tuple[str, ...]:
    """The loader of musl reads where to look from a file that is named after it."""
    name = os.path.basename(loader)
    path = f"/etc/{name.rpartition('.so')[0]}.path"
    return (path,) if name.startswith(_MUSL) and os.path.isfile(path) else ()
