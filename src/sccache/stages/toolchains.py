"""Which compiler a command names and what that compiler consists of, asked once and remembered.

A remembered answer holds only while every file it rests on has the recorded content and every place where another program
or directory would win is still empty.  Answers are kept in memory, and in the storage for the next daemon and other machines
(records.py).

Owns: identification of drivers, their programs, libraries and header directories.
Must not know: sources, results, statistics.
"""

import os
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from sccache.compilers import detect, environment, families, listings, toolchain
from sccache.errors import StorageError
from sccache.hashing.files import FileMemory, Watch
from sccache.hashing.keys import KeyBuilder
from sccache.model import CompileRequest, ParsedArguments
from sccache.stages import records
from sccache.stages.hands import Command, Hands, StoreSoon
from sccache.stages.observed_environment import everything
from sccache.stages.records import DriverRecord, Toolchain
from sccache.storage.base import Kind
from sccache.storage.levels import Found, Levels, Update

_TOOL_ENV = ("COMPILER_PATH", "GCC_EXEC_PREFIX", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "SDKROOT", "CCC_OVERRIDE_OPTIONS")
MAX_REMEMBERED = 4096  # distinct (driver, options) pairs; a kernel build has a few hundred
PROBE_ENVIRONMENT = (
    *("LC_ALL=C", "LANGUAGE", "CL", "_CL_"),
    *("DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES", "CC_PRINT_OPTIONS", "CC_PRINT_HEADERS"),
)
"""Environment changes under which probes print what we can read, and write nothing."""


class Driver(Struct, frozen=True):
    """A compiler driver that we know: gcc or clang."""

    path: str
    family: str
    plusplus: bool
    version: str
    digest: bytes
    transparent: bool
    absent: Mapping[str, Sequence[str]]
    """PATH candidates that did not exist."""
    name: str
    """argv[0] to run it by: drivers find their parts, and clang its role, by that."""
    through: tuple[str, ...] = ()
    """Programs that compiles go through, which may run them on another machine."""


class OtherDriver(Struct, frozen=True):
    """A compiler of another family, or a program that is none of our compilers."""

    path: str
    name: str
    family: str
    """As in compilers/families.py; empty for what we do not know."""
    digest: bytes
    absent: Mapping[str, Sequence[str]]


class Toolchains:
    """Identifies drivers and their toolchains; one for each storage."""

    def __init__(self, files: FileMemory, storage: Levels, probe_source: str, store_soon: StoreSoon) -> None:
        self._files = files
        self._storage = storage
        self._store_soon = store_soon
        self._probe_source = probe_source
        self._drivers: dict[tuple[str, str], tuple[bytes, detect.Identity]] = {}
        self._toolchains: dict[str, tuple[Watch, Toolchain]] = {}
        self._came_along: dict[str, list[Toolchain]] = {}
        """What a driver's record brought and nobody has asked for yet."""
        self._recorded: dict[str, list[tuple[str, Toolchain]]] = {}
        """What is put into drivers' records."""
        self._assemblers: dict[bytes, bool] = {}

    async def driver(self, request: CompileRequest, hands: Hands) -> Driver | OtherDriver | None:
        """The driver that this request names; None when there is no such program."""
        located = detect.locate(request.executable or request.argv[0], request.cwd, request.env.get("PATH", os.defpath))
        if located is None:
            return None
        facts = self._files.facts(located.path)
        if facts is None:
            return None
        name = located.path if request.executable or located.passed_over else request.argv[0]
        family = families.NAMES.get(os.path.basename(located.path), "")
        if family:
            return OtherDriver(located.path, name, family, facts.digest, located.absent)
        transparent = detect.is_transparent(located.path)
        surroundings = "" if transparent else everything(request.env)
        identity = await self._known_driver(located.path, facts.digest, surroundings)
        if identity is None or (not transparent and identity.family in detect.SUPPORTED):
            identity = await self._ask_driver(located.path, facts.digest, surroundings, hands)
        if identity is None or identity.family not in detect.SUPPORTED:
            family = identity.family if identity is not None and identity.family in families.FAMILIES else ""
            return OtherDriver(located.path, name, family, facts.digest, located.absent)
        return Driver(located.path, identity.family, identity.plusplus, identity.version, facts.digest, transparent, located.absent, name)

    async def _known_driver(self, path: str, content: bytes, surroundings: str) -> detect.Identity | None:
        """Who a driver said it is.

        A script may say something else in other `surroundings`; which files it reads to decide that is not known here, so its word is
        taken only where it chooses no more than how the command line is read: where compiles are observed.
        """
        known = self._drivers.get((path, surroundings))
        if known is not None and known[0] == content:
            return known[1]
        found = await self._storage.find(_driver_key(path, content, surroundings), Kind.MANIFEST, records.open_driver)
        if not isinstance(found, Found):
            return None
        if len(self._came_along) >= MAX_REMEMBERED:
            self._came_along.clear()
        for key, made in found.value.toolchains:
            self._came_along.setdefault(key, []).append(made)
        self._remember_driver(path, surroundings, content, found.value.identity)
        return found.value.identity

    async def _ask_driver(self, path: str, content: bytes, surroundings: str, hands: Hands) -> detect.Identity | None:
        ran = await hands.run(Command(path, ("-E", self._probe_source), environment=PROBE_ENVIRONMENT))
        identity = detect.read_probe(bytes(ran.stdout))
        if identity is not None:
            self._remember_driver(path, surroundings, content, identity)
            if identity.family not in detect.SUPPORTED:  # else its first toolchain is recorded with it
                key = _driver_key(path, content, surroundings)
                self._store([Update(key, Kind.MANIFEST, lambda blob: records.with_identity(blob, identity))])
        return identity

    def _remember_driver(self, path: str, surroundings: str, content: bytes, identity: detect.Identity) -> None:
        if len(self._drivers) >= MAX_REMEMBERED:
            self._drivers.clear()
        self._drivers[path, surroundings] = (content, identity)

    def _store(self, writes: list[Update]) -> None:
        self._store_soon(self._storage.keep(writes, _whatever_comes_of_it))

    async def toolchain(self, driver: Driver, parsed: ParsedArguments, request: CompileRequest, hands: Hands) -> Toolchain | None:
        """The toolchain behind this command's options; None where the driver does not tell."""
        made = await self._toolchain(driver, parsed, request, hands)
        return _elsewhere(made, driver.through) if made is not None and driver.through else made

    async def _toolchain(self, driver: Driver, parsed: ParsedArguments, request: CompileRequest, hands: Hands) -> Toolchain | None:
        if not driver.transparent:
            return await self._ask_toolchain(driver, parsed, request, hands)
        key = _toolchain_key(driver, parsed, request)
        made = await self._known_toolchain(key, request.cwd)
        if made is None:
            made = await self._ask_toolchain(driver, parsed, request, hands)
            if made is not None and self._remember(key, made, request.cwd):
                self._keep_toolchain(key, made, driver)
        return made

    async def _known_toolchain(self, key: str, cwd: str) -> Toolchain | None:
        known = self._toolchains.get(key)
        if known is not None and self._files.holds(known[0]):
            return known[1]
        for brought in self._came_along.pop(key, ()):
            if self._remember(key, brought, cwd):
                return brought

        def accept(blob: bytes) -> Toolchain | None:
            return next((made for made in records.open_toolchains(blob) if self._remember(key, made, cwd)), None)

        found = await self._storage.find(key, Kind.MANIFEST, accept, records.merge_toolchains)
        return found.value if isinstance(found, Found) else None

    def _keep_toolchain(self, key: str, made: Toolchain, driver: Driver) -> None:
        name = _driver_key(driver.path, driver.digest, "")
        identity = detect.Identity(driver.family, driver.plusplus, driver.version)
        recorded = self._recorded.setdefault(name, [])
        recorded.insert(0, (key, made))
        del recorded[records.MAX_BROUGHT :]

        def with_all(blob: bytes | None) -> bytes | None:
            """All that were recorded by now: updates of remote storage run at a time, and the last one counts."""
            return records.with_record(blob, DriverRecord(identity, tuple(recorded)))

        toolchains = Update(key, Kind.MANIFEST, lambda blob: records.with_toolchain(blob, made))
        self._store([toolchains, Update(name, Kind.MANIFEST, with_all)])

    def _remember(self, key: str, made: Toolchain, cwd: str) -> bool:
        """Use a toolchain as long as it holds; False where it does not.

        A header directory that came to be has a rank, which only the driver knows.
        """
        if any(os.path.isdir(os.path.join(cwd, directory)) for directory in made.missing):
            return False
        watch = self._files.watch(made.files, made.absent)
        if watch is None:
            return False
        if len(self._toolchains) >= MAX_REMEMBERED:
            self._toolchains.clear()
        self._toolchains[key] = (watch, made)
        return True

    async def _ask_toolchain(self, driver: Driver, parsed: ParsedArguments, request: CompileRequest, hands: Hands) -> Toolchain | None:
        listed = await hands.run(_probe(driver, toolchain.programs_command(parsed)))
        searched = await hands.run(_probe(driver, toolchain.search_command(parsed)))
        if listed.status != 0 or searched.status != 0:
            return None
        listing = os.fsdecode(bytes(listed.stderr))
        search_path = request.env.get("PATH", os.defpath)
        found = toolchain.read_programs(listing, request.cwd, search_path)
        own = "" if driver.transparent else await self._own_listing(driver, request, hands)
        really = found if driver.transparent else toolchain.read_programs(own, request.cwd, search_path)
        if found is None or really is None:
            return None
        libraries = await hands.run(Command("ldd", (driver.path, *found.paths), environment=PROBE_ENVIRONMENT))
        search = toolchain.read_search_path(os.fsdecode(bytes(searched.stderr)))
        named = await self._named_files(driver, parsed, hands)
        paths = (
            driver.path,
            *found.paths,
            *really.paths,
            *found.option_files,
            *really.option_files,
            *named,
            *toolchain.read_libraries(bytes(libraries.stdout)),
        )
        files = self._digests(dict.fromkeys(os.path.join(request.cwd, path) for path in paths))
        if files is None:
            return None
        absent = {directory: list(names) for directory, names in found.absent.items()}
        to_come = toolchain.places_to_come(listing, parsed, request.env.get("COMPILER_PATH", ""), found.paths, request.cwd)
        for directory, names in to_come.items():
            absent.setdefault(directory, []).extend(names)
        for directory in search.missing:
            path = os.path.join(request.cwd, directory)
            absent.setdefault(os.path.dirname(path), []).append(os.path.basename(path))
            absent.setdefault(path, [])  # so that its appearing is noticed: `_remember` then asks anew for its rank
        identity = KeyBuilder("compiler").add("family", driver.family).add("version", driver.version)
        for path, content in files:
            identity.add(os.path.basename(path), content)
        if not driver.transparent:
            identity.add("commands", listings.added(own, request.argv))
        tells = await self._assembler_tells(driver, found.paths, hands)
        return Toolchain(bytes.fromhex(identity.key()), tuple(files), absent, search.quote, search.bracket, search.missing, tells)

    async def _own_listing(self, driver: Driver, request: CompileRequest, hands: Hands) -> str:
        """What a script would run for this very command line: it may pass other options on than it got, by any word of it."""
        ran = await hands.run(_probe(driver, listings.listing_command(request.argv)))
        return os.fsdecode(bytes(ran.stderr)) if ran.status == 0 else ""

    async def _assembler_tells(self, driver: Driver, paths: Sequence[str], hands: Hands) -> bool:
        """Ask the assembler that the driver runs; another than GNU's would refuse the option, and the compile with it."""
        assembler = next((path for path in paths if path.endswith("as")), None)
        facts = self._files.facts(assembler) if assembler is not None else None
        if assembler is None or facts is None or driver.family != "gcc":
            return False
        if facts.digest not in self._assemblers:
            ran = await hands.run(Command(assembler, ("--help",), environment=PROBE_ENVIRONMENT))
            self._assemblers[facts.digest] = ran.status == 0 and b"--MD" in bytes(ran.stdout)
        return self._assemblers[facts.digest]

    async def _named_files(self, driver: Driver, parsed: ParsedArguments, hands: Hands) -> list[str]:
        """Where the driver finds option files that are named without a directory (-specs=nano.specs)."""
        paths: list[str] = []
        for name in parsed.toolchain_files:
            ran = await hands.run(_probe(driver, (*parsed.search_args, f"-print-file-name={name}")))
            paths.append(os.fsdecode(bytes(ran.stdout)).rstrip("\n"))
        return paths

    def _digests(self, paths: Mapping[str, None]) -> list[tuple[str, bytes]] | None:
        files: list[tuple[str, bytes]] = []
        for path in paths:
            facts = self._files.facts(path)
            if facts is None:
                return None
            files.append((path, facts.digest))
        return files


def _probe(driver: Driver, args: tuple[str, ...]) -> Command:
    return Command(driver.path, args, environment=PROBE_ENVIRONMENT, name=driver.name)


def _elsewhere(made: Toolchain, programs: tuple[str, ...]) -> Toolchain:
    """A toolchain that may be another machine's; what has the assembler list its files would keep a compile here."""
    key = KeyBuilder("compiler behind programs").add("compiler", made.identity).add("programs", programs)
    return msgspec.structs.replace(made, identity=bytes.fromhex(key.key()), assembler_tells=False)


def _whatever_comes_of_it(_error: StorageError | None, _duration_ns: int) -> None:
    """Remembering is a convenience: without it the driver is asked again."""


def _driver_key(path: str, content: bytes, surroundings: str) -> str:
    return KeyBuilder("driver and toolchains").add("path", path).add("content", content).add("surroundings", surroundings).key()


def _toolchain_key(driver: Driver, parsed: ParsedArguments, request: CompileRequest) -> str:
    key = KeyBuilder("toolchains").add("driver", driver.path).add("content", driver.digest).add("name", driver.name)
    key.add("language", toolchain.probe_language(parsed)).add("arguments", parsed.search_args).add("directory", request.cwd)
    key.add("option files", parsed.toolchain_files)
    return key.add("environment", environment.pick(request.env, (*_TOOL_ENV, *environment.INCLUDE_PATH))).key()
