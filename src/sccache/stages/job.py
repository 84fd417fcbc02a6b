"""One cacheable compile with all that its keys need.

Three keys, from cheap to precise (docs/formats/keys.md):
    manifest key   what can be known without reading a header: compiler, arguments, environment, source content
    text key       the same without header search options, plus the preprocessed text
    inputs key     the manifest key plus every input's content (depend mode)

Owns: the Job and its keys.  Must not know: storage, the launcher.
"""

import os
from collections.abc import Mapping, Sequence

from msgspec import Struct

from sccache.compilers import concealing, environment, languages
from sccache.config.schema import Config, PreprocessorConfig
from sccache.entry import Entry
from sccache.hashing.cpu import processor
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.hashing.keys import KeyBuilder
from sccache.model import Colour, CompileRequest, Diagnostics, FileFacts, ParsedArguments, Terminal
from sccache.preprocessor_cache.manifest import Variant
from sccache.stages import inputs, outputs
from sccache.stages.bench import Memories
from sccache.stages.places import Places
from sccache.stages.records import Toolchain
from sccache.stages.roots import Roots
from sccache.stages.toolchains import Driver


class Job(Struct, frozen=True):
    """A parsed request whose compiler and source are known."""

    request: CompileRequest
    parsed: ParsedArguments
    driver: Driver
    toolchain: Toolchain
    source: str
    """Absolute path."""
    source_facts: FileFacts
    named_inputs: tuple[tuple[str, bytes], ...]
    """Files named by options or settings, with their content's digest."""
    roots: Roots
    places: Places
    preprocessor: PreprocessorConfig
    context: bytes
    """What, besides the inputs, decides the wording of diagnostics."""
    common: tuple[tuple[str, bytes | str | tuple[str, ...]], ...]
    """Records shared by all keys."""

    @property
    def label(self) -> str:
        """What it is called in the log."""
        return self.parsed.output

    @property
    def home(self) -> tuple[str, ...]:
        """The base directory that the source is in, if it is in one."""
        return self.roots.home

    @property
    def is_transparent(self) -> bool:
        """Whether files alone tell what the driver runs."""
        return self.driver.transparent and not self.driver.through

    def is_direct(self) -> bool:
        """Whether direct mode may be used."""
        wanted = self.preprocessor.use_preprocessor_cache_mode and self.parsed.direct_mode and not self.parsed.mtimes_matter
        return wanted and self.request.env.get("SCCACHE_DIRECT", "").lower() not in ("false", "off", "0")

    def differences(self, variant: Variant) -> list[str]:  # noqa: ARG002 -- the environment is in the manifest's key
        """Nothing: what no file tells is in the manifest's key."""
        return []

    def still_applies(self, variant: Variant, files: FileMemory) -> bool:
        """Whether the inputs have the recorded times, where the compiler compares them."""
        return self.is_watchable(variant) or inputs.times_hold(self, variant, files)

    def is_watchable(self, variant: Variant) -> bool:
        """Whether contents are all that counts."""
        return not inputs.are_times_compared(self, (known.path for known in variant.inputs))

    def can_restore(self, entry: Entry) -> bool:
        """Whether the entry has all that this command line asks for."""
        return outputs.can_restore(self, entry)

    def restore(self, entry: Entry) -> None:
        """Write the entry's files where this command line wants them."""
        outputs.restore(self, entry)

    def told(self, diagnostics: Diagnostics) -> tuple[bytes, bytes]:
        """The streams, as they were."""
        return diagnostics.stdout, diagnostics.stderr

    def path(self, name: str) -> str:
        """`name` as seen from the job's working directory."""
        return os.path.join(self.request.cwd, name)

    def output_paths(self) -> list[str]:
        """Absolute paths of all files that the compile writes."""
        names = [output.path for output in self.parsed.outputs]
        if self.parsed.depfile is not None:
            names.append(self.parsed.depfile.path)
        return [os.path.normpath(self.path(name)) for name in names]

    def watched(self) -> tuple[tuple[str, bytes], ...]:
        """Files beside a variant's inputs that must be as they are for a remembered hit to stand."""
        return ((self.source, self.source_facts.digest), *self.named_inputs, *self.toolchain.files)

    def watched_absences(self) -> dict[str, list[str]]:
        """Directory → names beside a variant's that must stay absent: better compilers, tools and profiles."""
        found = {directory: list(names) for directory, names in self.toolchain.absent.items()}
        for directory, names in self.driver.absent.items():
            found.setdefault(directory, []).extend(names)
        for name in self.parsed.absent_files:
            path = self.path(name)
            found.setdefault(os.path.dirname(path), []).append(os.path.basename(path))
        return found

    def defers_code(self) -> bool:
        """Whether code is generated at link time: the options, ours too, are then recorded in the object."""
        return any(arg.startswith("-flto") for arg in self.parsed.key_args)

    def hides_paths(self) -> bool:
        """Whether the output may hold paths in compressed or packed form, where they cannot be searched for."""
        return concealing.hides_paths((output.role for output in self.parsed.outputs), self.parsed.key_args)

    def spells_roots(self) -> bool:
        """Whether the command line names a base directory: if not, `__FILE__` does not either."""
        arguments = self.parsed.compile_args
        return self.roots.arguments(arguments) != arguments

    def statistics_names(self) -> tuple[str, str]:
        """The plain and the advanced name under which this compile is counted."""
        language = self.parsed.language
        return languages.statistics_name(language), f"{language.value} [{self.driver.family}]"

    def manifest_key(self) -> str:
        """Key of the manifest: direct mode's question."""
        key = self._common("manifest")
        key.add("arguments", self.roots.arguments(self.parsed.key_args))
        key.add("source", self.roots.path(self.source)).add("source as spelled", self.roots.path(self.parsed.source))
        key.add("source content", self.source_facts.digest)
        key.add("include path", environment.pick(self.request.env, environment.INCLUDE_PATH))
        key.add("skip system headers", str(self.preprocessor.skip_system_headers))
        return key.key()

    def trail_key(self) -> str:
        """Key of what compiles in this directory use one after the other: a hint, which other builds may share."""
        return KeyBuilder("trail").add("directory", self.roots.path(self.request.cwd)).key()

    def text_key(self, parts: tuple[bytes, ...], contents: Mapping[str, bytes]) -> str:
        """Key of the result by its preprocessed text and the raw content of every file read.

        The text holds what conditions and look-ups came to; the files hold what no text shows: directives, the spacing of
        macro definitions.  Both reach diagnostics.
        """
        key = self._common("text")
        key.add("arguments", self.roots.arguments(self.parsed.result_key_args))
        for part in parts:
            key.add("text", part)
        self._add_contents(key, contents)
        return key.key()

    def inputs_key(self, contents: Mapping[str, bytes], absent: Mapping[str, Sequence[str]]) -> str:
        """Key of the result by the content of every input, and by what was looked for and not found."""
        key = KeyBuilder("inputs").add("manifest", self.manifest_key())
        self._add_contents(key, contents)
        for place in sorted(absent):
            key.add("absent in", self.roots.path(place)).add("names", sorted(absent[place]))
        return key.key()

    def _add_contents(self, key: KeyBuilder, contents: Mapping[str, bytes]) -> None:
        rows = sorted((self.roots.path(path), content.hex()) for path, content in contents.items())
        key.add("inputs", [word for row in rows for word in row])

    def checkout(self) -> bytes:
        """Digest of the directories that results may name."""
        return bytes.fromhex(KeyBuilder("checkout").add("roots", self.roots.home).add("directory", self.request.cwd).key())

    def checkouts(self) -> tuple[bytes, ...]:
        """What results may be bound to that serve here."""
        return (self.checkout(),)

    def bound_key(self, key: str) -> str:
        """The key under which a result is kept that names this very checkout."""
        return KeyBuilder("bound").add("key", key).add("checkout", self.checkout()).key()

    def _common(self, kind: str) -> KeyBuilder:
        key = KeyBuilder(kind)
        for name, value in self.common:
            key.add(name, value)
        return key


def named_inputs(parsed: ParsedArguments, request: CompileRequest, files: FileMemory) -> list[tuple[str, bytes]] | None:
    """Digests of the files that options and SCCACHE_EXTRAFILES name; None when one cannot be read."""
    extra = tuple(name for name in request.env.get("SCCACHE_EXTRAFILES", "").split(":") if name)
    found: list[tuple[str, bytes]] = []
    for name in dict.fromkeys((*parsed.input_files, *extra)):
        path = os.path.join(request.cwd, name)
        facts = files.facts(path)
        if facts is None:
            return None
        found.append((path, facts.digest))
    return found


def diagnostics_context(family: str, request: CompileRequest, parsed: ParsedArguments) -> bytes:
    """Digest of all that changes the wording of diagnostics but not the object."""
    colour = parsed.colour
    terminal: tuple[str, ...] = ()
    if request.terminal & Terminal.STDERR:
        terminal = (f"terminal, {_width(family, request)}", *environment.pick(request.env, environment.TERMINAL))
    elif colour is Colour.AUTO:
        colour = Colour.NEVER
    words = (colour.value, *terminal, *environment.pick(request.env, environment.DIAGNOSTICS))
    return digest("\0".join(words).encode("utf-8", "surrogateescape"))


def _width(family: str, request: CompileRequest) -> str:
    """How wide the compiler takes the terminal to be: jobs of one make differ in their stdin, which most compilers do not ask."""
    columns = request.env.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return "COLUMNS wide"
    if family == "gcc" and not request.terminal & Terminal.STDIN:
        return "of any width"
    return f"{request.columns} wide"


def working_directory(request: CompileRequest) -> str:
    """The directory name that reaches debug information: $PWD where it names the working directory, as gcc and clang do."""
    shown = request.env.get("PWD", "")
    if shown == request.cwd or not shown.startswith("/"):
        return request.cwd
    try:
        return shown if os.path.samefile(shown, request.cwd) else request.cwd
    except OSError:
        return request.cwd


def common_records(
    request: CompileRequest, parsed: ParsedArguments, toolchain: Toolchain, roots: Roots, *, hash_cwd: bool
) -> tuple[tuple[str, bytes | str | tuple[str, ...]], ...]:
    """The records that every key of this compile begins with."""
    records: list[tuple[str, bytes | str | tuple[str, ...]]] = [
        ("compiler", toolchain.identity),
        ("driver", "c++" if parsed.plusplus else "c"),
        ("language", parsed.language.value),
        ("environment", environment.pick(request.env, environment.RESULT)),
        ("dependencies", "user headers" if parsed.depfile and not parsed.depfile.system_headers else "all"),
        ("roles", tuple(output.role for output in parsed.outputs)),
    ]
    if hash_cwd:
        records.append(("directory", roots.path(working_directory(request))))
    if parsed.output_in_key:
        records.append(("output", roots.path(parsed.output)))
    if parsed.native_cpu:
        records.append(("processor", processor()))
    return tuple(records)


def make(  # noqa: PLR0913 -- what makes a job is told by name
    *,
    request: CompileRequest,
    parsed: ParsedArguments,
    driver: Driver,
    toolchain: Toolchain,
    config: Config,
    memories: Memories,
) -> Job | None:
    """The job for a parsed request; None when the source or a file that an option names cannot be read."""
    source = os.path.join(request.cwd, parsed.source)
    facts = memories.files.facts(source)
    named = named_inputs(parsed, request, memories.files)
    if facts is None or named is None:
        return None
    hash_cwd = config.disk.preprocessor.hash_working_directory
    roots = Roots(config.basedirs if hash_cwd else (*config.basedirs, request.cwd), source, request.cwd)
    common = common_records(request, parsed, toolchain, roots, hash_cwd=hash_cwd)
    contents = tuple(content.hex() for _, content in named)
    return Job(
        request=request,
        parsed=parsed,
        driver=driver,
        toolchain=toolchain,
        source=source,
        source_facts=facts,
        named_inputs=tuple(named),
        roots=roots,
        places=memories.places,
        preprocessor=config.disk.preprocessor,
        context=diagnostics_context(driver.family, request, parsed),
        common=(*common, ("named files", contents)),
    )
