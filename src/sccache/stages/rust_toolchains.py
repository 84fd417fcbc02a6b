"""Which Rust compiler a command runs and what it consists of, asked once and remembered.

    command ─▶ answered before, and nothing changed ─▶ driver
               └▶ program on PATH ─▶ rustup's proxy? what its choice rests on ─▶ record that holds ─▶ driver
                                                                                 └▶ ask rustup, rustc ─▶ record

A record is kept in memory and in the storage, under path and content of the program and all that rustup's choice rests on: other
daemons and machines with the same files start nothing.  It holds only while every file in it has the recorded content.

    <blob>   ::= as in records.py
    <record> ::= msgpack: array of RustRecord, the last one first

Owns: identification of Rust compilers, and the choice that rustup would make.
Must not know: sources, results, statistics.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from sccache.compilers import detect, rust_detect
from sccache.compilers.rust_detect import Choice, Words, is_rust
from sccache.errors import DamagedError, StorageError
from sccache.hashing.files import FileMemory, Watch
from sccache.hashing.keys import KeyBuilder
from sccache.model import CompileRequest
from sccache.stages import records
from sccache.stages.hands import Command, Hands, StoreSoon
from sccache.storage.base import Kind
from sccache.storage.levels import Found, Levels, Update

__all__ = ["RustDriver", "RustToolchains", "is_rust"]

MAX_REMEMBERED = 4096
"""Distinct commands by their first words, directory and environment: a directory for each crate of a few workspaces."""
MAX_MACHINES = 8
"""Records under one key; they differ where toolchains of one name do."""
PROBE_ENVIRONMENT = ("RUSTC_FORCE_RUSTC_VERSION", "RUSTC_LOG", "RUSTC_OVERRIDE_VERSION_STRING", "SYSROOT")
"""Environment changes under which rustc says who it is, and clippy-driver where its own sysroot is."""


class RustDriver(Struct, frozen=True):
    """A Rust compiler that we know."""

    path: str
    """What to run: never rustup's proxy, but the wrapper where there is one."""
    real: str
    """The compiler itself without symbolic links, as processes show it; not the wrapper."""
    inner: str
    """Its first argument where that names rustc (workspace wrappers, clippy-driver), as the caller wrote it; else empty."""
    argv: tuple[str, ...]
    """The arguments after that, and after a proxy's `+toolchain`."""
    identity: bytes
    """Digest of what the compiler says it is and of its programs and libraries; the sysroot's crates are not in it."""
    files: tuple[tuple[str, bytes], ...]
    """Content on which the choice of this compiler rests, and the compiler's own."""
    absent: Mapping[str, Sequence[str]]
    """Directory → names that would change the choice: toolchain files, programs earlier on PATH."""
    sysroot: str
    host: str
    version: str
    name: str
    """argv[0] to run it by."""
    transparent: bool
    """Whether files alone tell what runs; a script may pick its compiler by means that we cannot see."""


class RustRecord(Struct, frozen=True):
    """What was found out about a compiler."""

    path: str
    real: str
    """Where the path led, by symbolic links."""
    sysroot: str
    host: str
    version: str
    identity: bytes
    files: tuple[tuple[str, bytes], ...]


class _Compiler(Struct, frozen=True):
    """A compiler with what led to it."""

    record: RustRecord
    files: tuple[tuple[str, bytes], ...]
    absent: Mapping[str, Sequence[str]]
    name: str
    is_chosen: bool
    """By rustup."""
    transparent: bool


class _Answer(Struct, frozen=True):
    """A driver that was found, good while the watch holds; its arguments are another command's."""

    watch: Watch
    driver: RustDriver
    is_chosen: bool


class RustToolchains:
    """Identifies Rust compilers; one for each storage."""

    def __init__(self, files: FileMemory, storage: Levels, store_soon: StoreSoon) -> None:
        self._files = files
        self._storage = storage
        self._store_soon = store_soon
        self._answers: dict[tuple[object, ...], _Answer] = {}
        self._records: dict[str, RustRecord] = {}
        self._asking: dict[str, asyncio.Lock] = {}
        """A build begins with many compilers at once: one of them is asked, the others wait for what it says."""

    async def toolchain(self, request: CompileRequest, hands: Hands) -> RustDriver | None:
        """The compiler that this request runs; None where there is none, or where only running it would tell."""
        words = rust_detect.take_apart(request.argv, request.executable)
        if words.wrapper and _toolchain(words):
            return None  # meant for the proxy that the wrapper runs, or for the wrapper
        anywhere, here = _everywhere_key(words), _answer_key(words, request)
        for key in (anywhere, here):
            known = self._answers.get(key)
            if known is not None and self._files.holds(known.watch):
                return msgspec.structs.replace(known.driver, argv=_arguments(words, is_chosen=known.is_chosen))
        compiler = await self._compiler(words, request, hands)
        if compiler is None:
            return None
        driver = await self._driver(words, compiler, request, hands)
        watch = self._files.watch(driver.files, driver.absent) if driver is not None and driver.transparent else None
        if driver is not None and watch is not None:
            if len(self._answers) >= MAX_REMEMBERED:
                self._answers.clear()
            everywhere = anywhere if driver.path == words.compiler else ()
            self._answers[everywhere or here] = _Answer(watch, driver, compiler.is_chosen)
        return driver

    async def _driver(self, words: Words, compiler: _Compiler, request: CompileRequest, hands: Hands) -> RustDriver | None:
        record = compiler.record
        driver = RustDriver(
            path=record.path,
            real=record.real,
            inner=words.inner,
            argv=_arguments(words, is_chosen=compiler.is_chosen),
            identity=record.identity,
            files=compiler.files,
            absent=compiler.absent,
            sysroot=record.sysroot,
            host=record.host,
            version=record.version,
            name=compiler.name,
            transparent=compiler.transparent,
        )
        return await self._wrapped(driver, words, request, hands) if words.wrapper else driver

    async def _wrapped(self, driver: RustDriver, words: Words, request: CompileRequest, hands: Hands) -> RustDriver | None:
        located = detect.locate(words.wrapper, request.cwd, request.env.get("PATH", os.defpath))
        facts = self._files.facts(located.path) if located is not None else None
        if located is None or facts is None:
            return None
        is_native = rust_detect.is_native(located.path)
        identity = KeyBuilder("rust compiler behind a wrapper").add("compiler", driver.identity)
        identity.add("name", os.path.basename(located.path)).add_digest("wrapper", facts.digest)
        name = _name(located, words.wrapper, request)
        if not is_native:
            told = await hands.run(Command(located.path, (words.inner, "-vV"), environment=PROBE_ENVIRONMENT, name=name))
            if told.status != 0 or rust_detect.read_version(bytes(told.stdout)) is None:
                return None
            identity.add("says", bytes(told.stdout))
        return msgspec.structs.replace(
            driver,
            path=located.path,
            name=name,
            identity=bytes.fromhex(identity.key()),
            files=(*driver.files, (located.path, facts.digest)),
            absent=_together(driver.absent, located.absent),
            # Requests are told apart by all variables under cargo only (daemon/requests): without CARGO none is to be remembered.
            transparent=is_native and driver.transparent and "CARGO" in request.env,
        )

    async def _compiler(self, words: Words, request: CompileRequest, hands: Hands) -> _Compiler | None:
        located = detect.locate(words.compiler, request.cwd, request.env.get("PATH", os.defpath))
        facts = self._files.facts(located.path) if located is not None else None
        if located is None or facts is None:
            return None
        choice, is_native = None, rust_detect.is_native(located.path)
        if is_native and self._is_rustup(located.path, facts.digest):
            choice = rust_detect.choice(request.cwd, request.env, _toolchain(words))
            if choice is None:
                return None
        led = self._digests([located.path, *(choice.files if choice else ())])
        if led is None:
            return None
        if is_native:
            record = await self._record(_record_key(words.tool, led, choice), located.path, words, choice, hands)
        else:
            record = await self._ask(located.path, words, None, hands)
        if record is None:
            return None
        return _Compiler(
            record=record,
            files=tuple(dict([*led, *record.files]).items()),
            absent=_together(located.absent, choice.absent if choice else {}),
            name=record.path if choice else _name(located, words.compiler, request),
            is_chosen=choice is not None,
            transparent=is_native and _is_transparent(record),
        )

    def _is_rustup(self, path: str, content: bytes) -> bool:
        """Proxies are links to rustup; where links could not be made they are copies beside it."""
        if rust_detect.may_be_rustup(path):
            return True
        beside = self._files.facts(os.path.join(os.path.dirname(path), "rustup"))
        return beside is not None and beside.digest == content

    # -- what is remembered

    async def _record(self, key: str, path: str, words: Words, choice: Choice | None, hands: Hands) -> RustRecord | None:
        async with self._asking.setdefault(key, asyncio.Lock()):
            record = await self._known(key)
            if record is None:
                record = await self._ask(path, words, choice, hands)
                if record is not None and _is_transparent(record):
                    self._keep(key, record)
        return record

    async def _known(self, key: str) -> RustRecord | None:
        known = self._records.get(key)
        if known is not None and await self._holds(known):
            return known
        found = await self._storage.find(key, Kind.MANIFEST, _open, _merge)
        for record in found.value if isinstance(found, Found) else ():
            if await self._holds(record):
                self._remember(key, record)
                return record
        return None

    async def _holds(self, record: RustRecord) -> bool:
        if _real(record.path) != record.real:
            return False
        await asyncio.to_thread(self._files.facts_many, [path for path, _ in record.files])  # 350 MB at the first time
        return self._files.watch(record.files, {}) is not None

    def _remember(self, key: str, record: RustRecord) -> None:
        if len(self._records) >= MAX_REMEMBERED:
            self._records.clear()
            self._asking.clear()
        self._records[key] = record

    def _keep(self, key: str, record: RustRecord) -> None:
        self._remember(key, record)
        write = Update(key, Kind.MANIFEST, lambda blob: _with(blob, record))
        self._store_soon(self._storage.keep([write], _whatever_comes_of_it))

    # -- asking

    async def _ask(self, path: str, words: Words, choice: Choice | None, hands: Hands) -> RustRecord | None:
        compiler = path if choice is None else await _ask_rustup(path, words, hands)
        if not compiler:
            return None
        told = await hands.run(Command(compiler, ("-vV",), environment=PROBE_ENVIRONMENT))
        version = rust_detect.read_version(bytes(told.stdout)) if told.status == 0 else None
        asked = await hands.run(Command(compiler, ("--print=sysroot",), environment=PROBE_ENVIRONMENT))
        sysroot = rust_detect.read_path(bytes(asked.stdout)) if asked.status == 0 else ""
        if version is None or not sysroot:
            return None
        libraries = rust_detect.libraries(sysroot)
        if not libraries and rust_detect.is_native(compiler):
            ran = await hands.run(Command("ldd", (compiler,), environment=PROBE_ENVIRONMENT))
            libraries = rust_detect.read_libraries(bytes(ran.stdout))
        own = await asyncio.to_thread(self._digests, [compiler, *libraries])
        linked = await asyncio.to_thread(self._digests, rust_detect.linked_crates(compiler, version.host))
        if own is None or linked is None:
            return None
        identity = KeyBuilder("rust compiler").add("says", version.text)
        for name, content in sorted((os.path.basename(file), content) for file, content in own):
            identity.add("name", name).add_digest("content", content)
        return RustRecord(
            path=compiler,
            real=_real(compiler),
            sysroot=sysroot,
            host=version.host,
            version=version.version,
            identity=bytes.fromhex(identity.key()),
            files=(*own, *linked),
        )

    def _digests(self, paths: Sequence[str]) -> list[tuple[str, bytes]] | None:
        found = self._files.facts_many(paths)
        digests = [(path, facts.digest) for path, facts in zip(paths, found, strict=True) if facts is not None]
        return digests if len(digests) == len(paths) else None


async def _ask_rustup(proxy: str, words: Words, hands: Hands) -> str:
    """The compiler that a proxy would run; a proxy run by the name of rustup is rustup."""
    who = await hands.run(Command(proxy, ("--version",), name="rustup"))
    if who.status != 0 or not bytes(who.stdout).startswith(b"rustup "):
        return ""
    toolchain = _toolchain(words)
    ran = await hands.run(Command(proxy, (*(["+" + toolchain] if toolchain else []), "which", words.tool), name="rustup"))
    return rust_detect.read_path(bytes(ran.stdout)) if ran.status == 0 else ""


def _real(path: str) -> str:
    return os.path.realpath(path)


def _toolchain(words: Words) -> str:
    """What `+TOOLCHAIN` names, for a proxy."""
    return words.args[0][1:] if words.args and words.args[0].startswith("+") else ""


def _arguments(words: Words, *, is_chosen: bool) -> tuple[str, ...]:
    return words.args[1:] if is_chosen and _toolchain(words) else words.args


def _name(located: detect.Located, word: str, request: CompileRequest) -> str:
    return located.path if request.executable or located.passed_over else word


def _is_transparent(record: RustRecord) -> bool:
    """Whether it is a native program within its own sysroot: else it stands before the compiler, and chooses by what we cannot see."""
    root = os.path.realpath(record.sysroot)
    return rust_detect.is_native(record.path) and (record.real + "/").startswith(root.rstrip("/") + "/")


def _together(one: Mapping[str, Sequence[str]], other: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {directory: [*one.get(directory, ()), *other.get(directory, ())] for directory in {**one, **other}}


def _answer_key(words: Words, request: CompileRequest) -> tuple[object, ...]:
    env = request.env
    chosen_by = (env.get("PATH"), env.get("HOME"), "CARGO" in env, *rust_detect.rustup_variables(env))
    return (request.argv[0], request.executable, words.inner, _toolchain(words), request.cwd, chosen_by)


def _everywhere_key(words: Words) -> tuple[object, ...]:
    """Key of an answer for a compiler that is named by its path: neither directory nor environment takes part.

    That is how cargo names it, and every crate has a directory of its own.
    """
    return (words.compiler, words.inner) if words.compiler.startswith("/") and not words.wrapper else ()


def _record_key(tool: str, led: Sequence[tuple[str, bytes]], choice: Choice | None) -> str:
    """A toolchain file says the same wherever it is: it must not name other toolchains by relative paths."""
    key = KeyBuilder("rust toolchains").add("tool", tool)
    for path, content in led:
        name = os.path.basename(path)
        key.add("path", name if name in rust_detect.TOOLCHAIN_FILES else path).add("content", content)
    return key.add("choice", choice.words if choice else ()).key()


def _open(blob: bytes) -> tuple[RustRecord, ...]:
    return records.unseal(blob, tuple[RustRecord, ...])


def _with(blob: bytes | None, record: RustRecord) -> bytes | None:
    return _sealed([record, *_opened(blob)])


def _merge(near: bytes, far: bytes) -> bytes:
    return _sealed([*_opened(far), *_opened(near)]) or far


def _opened(blob: bytes | None) -> Sequence[RustRecord]:
    try:
        return () if blob is None else _open(blob)
    except DamagedError:
        return ()


def _sealed(found: Sequence[RustRecord]) -> bytes | None:
    kept = [record for number, record in enumerate(found) if record not in found[:number]]
    try:
        return records.seal(kept[:MAX_MACHINES])
    except UnicodeEncodeError:  # a path that is not text: then each daemon asks anew
        return None


def _whatever_comes_of_it(_error: StorageError | None, _duration_ns: int) -> None:
    """Remembering is a convenience: without it the compiler is asked again."""
