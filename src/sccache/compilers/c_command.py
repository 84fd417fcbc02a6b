"""Put together what one command line with one source says: outputs, dep-file, inputs, keys.

Owns: the rules that need the whole command line.  Must not know: how options are spelled.
I/O: looks whether a profile exists, reads assembler sources.
"""

from pathlib import Path

from sccache.compilers import depfiles, inline_assembler, languages, modules, profiles, side_outputs
from sccache.compilers.arguments import Role
from sccache.compilers.gathered import Gathered
from sccache.compilers.offload import NATIVE
from sccache.compilers.options import clang_offload
from sccache.compilers.side_outputs import Naming
from sccache.model import CannotCache, Depfile, Language, Output, ParsedArguments, ParseResult


class Command:
    """Put together what was gathered from one command line that has one source."""

    def __init__(self, family: str, gathered: Gathered, argv: tuple[str, ...], cwd: str, *, plusplus: bool) -> None:
        self.family = family
        self.gathered = gathered
        self.argv = argv
        self.cwd = cwd
        self.plusplus = plusplus
        self.source, self.x = gathered.sources[0]
        values = gathered.values
        self.naming = Naming(
            family=family,
            source=self.source,
            output=values.get(Role.OUTPUT, ""),
            assembly=Role.ASSEMBLE in gathered.seen and Role.COMPILE not in gathered.seen,
            dump_base=values.get(Role.DUMP_BASE),
            dump_extension=values.get(Role.DUMP_EXT),
            dump_directory=values.get(Role.DUMP_DIR),
        )

    def parsed(self) -> ParseResult:
        """The final value."""
        language = self._language()
        if language is None:
            return CannotCache("unknown source language" if self.x == "none" else "-x", self.x)
        refusal = self._refusal(language)
        if refusal is not None:
            return refusal
        main = self._main_outputs(language)
        if NATIVE in self.gathered.offload.arches or not main:
            return CannotCache("--offload-arch=native" if main else "no --offload-arch", self.source)
        outputs = (*main, *self._side_outputs(language))
        depfile = self._depfile(language)
        paths = [output.path for output in outputs] + ([depfile.path] if depfile else [])
        if len(set(paths)) < len(paths):
            return CannotCache("two outputs in one file", " ".join(paths))
        if self._is_source(outputs[0].path):
            return CannotCache("output is the source", self.source)
        profile = self._profile()
        if profile:
            there = Path(self.cwd, profile).exists()
            (self.gathered.input_files if there else self.gathered.absent_files).append(profile)
        self._keep_what_is_complained_of(language)
        return self._value(language, outputs, depfile)

    def _refusal(self, language: Language) -> CannotCache | None:
        """What is not made, and modules that gcc asks a program for or writes where only it knows."""
        if language in languages.HEADERS and Role.ASSEMBLE in self.gathered.seen:
            return CannotCache("-S", self.source)
        if not self._makes_modules():
            return None
        if language in languages.HEADERS:
            return CannotCache("-fmodule-header", self.source)
        mapper = self.gathered.values.get(Role.MODULE_MAPPER, "")
        return CannotCache("-fmodule-mapper=", mapper) if mapper and not modules.is_file(mapper) else None

    def _is_source(self, path: str) -> bool:
        """Whether the output is the source: gcc refuses to write over it, whatever links lead there."""
        source, output = Path(self.cwd, self.source), Path(self.cwd, path)
        return source == output or (output.is_symlink() and source.resolve() == output.resolve())

    def _keep_what_is_complained_of(self, language: Language) -> None:
        """Options that would leave the key belong to it where the compiler warns or fails because of them."""
        gathered, seen = self.gathered, self.gathered.seen
        idle = not languages.needs_preprocessing(language) or not seen & {Role.DEP_ALL, Role.DEP_USER}
        if idle or {Role.DEP_ALL, Role.DEP_USER} <= seen:
            gathered.key += gathered.dependency_words
            gathered.result_key += gathered.dependency_words
        last_x = gathered.values.get(Role.LANGUAGE, "none")
        if last_x not in (self.x, "none"):
            gathered.key += ("-x after the source", last_x)
            gathered.result_key += ("-x after the source", last_x)

    def _language(self) -> Language | None:
        if self.x == "none":
            return languages.from_file_name(self.source, self.family, plusplus=self.plusplus)
        return languages.from_x(self.x, self.family)

    def _value(self, language: Language, outputs: tuple[Output, ...], depfile: Depfile | None) -> ParsedArguments:
        gathered, seen, main = self.gathered, self.gathered.seen, outputs[0]
        x_words = () if self.x == "none" else ("-x", self.x)
        names_itself = Role.RECORDS_COMMAND in seen or language in languages.OFFLOADING
        whole = self._whole() if names_itself else ()
        unseen = Role.WARNS_OF_SEARCH in seen or language in _SEARCH_BEYOND_THE_TEXT
        result_key = gathered.key if unseen else gathered.result_key
        return ParsedArguments(
            language=language,
            plusplus=self.plusplus,
            source=self.source,
            output=main.path,
            outputs=outputs,
            depfile=depfile,
            key_args=(*gathered.key, *x_words, *whole),
            result_key_args=(*result_key, *x_words, *whole),
            preprocess_args=(*gathered.preprocess, *x_words),
            compile_args=self.argv[1:],
            input_files=tuple(dict.fromkeys(gathered.input_files)),
            absent_files=tuple(gathered.absent_files),
            toolchain_files=tuple(dict.fromkeys(gathered.toolchain_files)),
            forced_includes=tuple(gathered.forced_includes),
            colour=gathered.colour,
            debug_info=gathered.debug_info or bool(seen & _HOLDS_CWD),
            output_in_key=bool(seen & _HOLDS_OUTPUT_PATH),
            native_cpu=gathered.native_cpu,
            assembles=main.role == "obj",
            needs_preprocessing=languages.needs_preprocessing(language),
            direct_mode=not seen & {Role.NO_DIRECT, Role.REMAPPING_FILE},
            mtimes_matter=self.family == "clang" and main.role == "pch" and Role.PCH_WITHOUT_TIMES not in seen,
            search_args=tuple(gathered.search),
            records_command=Role.RECORDS_COMMAND in seen,
            needs_observing=language in languages.OFFLOADING
            or gathered.offload.asked
            or self._is_modular()
            or self._assembles_files(language),
            numbers_source=gathered.offload.asked and language not in languages.OFFLOADING,
            made_in=self._made_in(),
        )

    def _is_modular(self) -> bool:
        """Whether compiled modules may be read, which import others that no text tells; or each architecture has a text of its own."""
        return len(self.gathered.arches) > 1 or bool(self.gathered.seen & _MODULAR) or self.source.endswith(".pcm")

    def _assembles_files(self, language: Language) -> bool:
        """Whether the assembler may read files: clang's lists none, and none lists where it looked for them in vain."""
        if language not in languages.ASSEMBLERS:
            return False
        try:
            return inline_assembler.is_read_from(Path(self.cwd, self.source).read_bytes())
        except OSError:
            return False

    def _made_in(self) -> tuple[str, ...]:
        """Where gcc puts modules, whose names only the source tells."""
        mapper = self.gathered.values.get(Role.MODULE_MAPPER, "")
        if not self._makes_modules():
            return ()
        return modules.directories(mapper, self.cwd) if mapper else (modules.DEFAULT,)

    def _makes_modules(self) -> bool:
        return self.family == "gcc" and Role.MODULES in self.gathered.seen

    def _whole(self) -> tuple[str, ...]:
        """The command line; clang names a compile for GPUs by a digest of it, the number of its jobs being of no weight."""
        jobs = tuple(row.name for row in clang_offload.ROWS if row.role is Role.OFFLOAD_JOBS)
        return tuple(word for word in self.argv[1:] if not word.startswith(jobs))

    def _main_outputs(self, language: Language) -> tuple[Output, ...]:
        """None where their names depend on what only the compiler knows."""
        seen = self.gathered.seen
        header = language in languages.HEADERS and Role.ASSEMBLE not in seen
        is_pch = header or Role.PCH_OUTPUT in seen
        kind = "s" if Role.ASSEMBLE in seen else "o"
        if Role.LLVM_OUTPUT in seen:
            kind = "ll" if Role.ASSEMBLE in seen else "bc"
        if Role.PRECOMPILE in seen:
            kind = "pcm"
        default = side_outputs.default_main(self.naming, kind, header=header)
        role = "pch" if is_pch else default.role
        if language in languages.OFFLOADING:
            names = self.gathered.offload.main_names(self.naming, language, kind)
            return tuple(Output(f"{role} {number}" if number else role, name) for number, name in enumerate(names))
        return (Output(role, self.naming.output or default.path),)

    def _side_outputs(self, language: Language) -> list[Output]:
        seen, values, naming = self.gathered.seen, self.gathered.values, self.naming
        found = [Output(role, path, required=False) for role, path in dict(self.gathered.output_files).items()]
        if language in languages.ASSEMBLERS and self.family == "gcc" and not self.gathered.split_dwarf:
            return found
        for role, name, suffix in _AUXILIARY:
            if role in seen:
                found.append(Output(name, side_outputs.auxiliary(naming, suffix), required=False))
        if Role.NOTES_PATH in seen:
            found.append(Output("notes", values[Role.NOTES_PATH], required=False))
        if self.gathered.split_dwarf:
            found.append(Output("dwo", side_outputs.split_dwarf(naming), required=False))
        if seen & {Role.OPT_RECORD, Role.OPT_RECORD_FORMAT, Role.OPT_RECORD_PATH}:
            found.append(Output("opt-record", self._opt_record(), required=False))
        if language in languages.OFFLOADING:
            found += self._device_side_outputs(language)
        return found + self._module_outputs(listed=any(output.role == "json" for output in found))

    def _module_outputs(self, *, listed: bool) -> list[Output]:
        seen, found = self.gathered.seen, []
        if Role.DEPS_FORMAT in seen and not listed:
            found.append(Output("json", side_outputs.imports(self.naming), required=False))
        if Role.MODULE_OUTPUT_PATH in seen:
            found.append(Output("module", self.gathered.values[Role.MODULE_OUTPUT_PATH], required=False))
        elif Role.MODULE_OUTPUT in seen:
            found.append(Output("module", side_outputs.auxiliary(self.naming, ".pcm"), required=False))
        return found

    def _device_side_outputs(self, language: Language) -> list[Output]:
        gathered, naming = self.gathered, self.naming
        names = list(gathered.offload.split_dwarf_names(naming)) if gathered.split_dwarf else []
        if gathered.seen & {Role.OPT_RECORD, Role.OPT_RECORD_FORMAT} and Role.OPT_RECORD_PATH not in gathered.seen:
            names += gathered.offload.side_names(naming, language, gathered.values.get(Role.OPT_RECORD_FORMAT, "yaml"))
        return [Output(f"device {number}", name, required=False) for number, name in enumerate(names)]

    def _opt_record(self) -> str:
        values = self.gathered.values
        kind = values.get(Role.OPT_RECORD_FORMAT, "yaml")
        return values.get(Role.OPT_RECORD_PATH) or side_outputs.optimisation_record(self.naming, kind)

    def _depfile(self, language: Language) -> Depfile | None:
        gathered, seen = self.gathered, self.gathered.seen
        if not seen & {Role.DEP_ALL, Role.DEP_USER} or not languages.needs_preprocessing(language):
            return None
        path = gathered.preprocessor_depfile or gathered.values.get(Role.DEP_PATH) or side_outputs.depfile_path(self.naming)
        if path == "/dev/null":
            return None
        targets = [depfiles.quote(target) if quoted else target for target, quoted in self._targets()]
        return Depfile(
            path=path,
            targets=tuple(targets) or (depfiles.quote(self._default_target()),),
            system_headers=Role.DEP_USER not in seen,
            phony=Role.DEP_PHONY in seen,
        )

    def _targets(self) -> list[tuple[str, bool]]:
        """The driver of gcc hands all -MT on before all -MQ."""
        targets = self.gathered.targets
        return sorted(targets, key=lambda target: target[1]) if self.family == "gcc" else targets

    def _default_target(self) -> str:
        if self.gathered.preprocessor_depfile or not self.naming.output:
            return f"{side_outputs.stem(self.source)}.o"
        return self.naming.output

    def _profile(self) -> str:
        """The file that a profile is read from; empty when none is."""
        gathered, seen = self.gathered, self.gathered.seen
        if Role.AUTO_PROFILE in seen:
            return "fbdata.afdo" if self.family == "gcc" else ""
        if Role.PROFILE_USE not in seen:
            return ""
        if self.family == "gcc":
            base = side_outputs.auxiliary_base(self.naming)
            prefix = gathered.values.get(Role.PROFILE_PREFIX, "")
            return profiles.gcc_profile(base, self.cwd, gathered.profile_directory, prefix)
        value = gathered.values[Role.PROFILE_USE]
        return profiles.clang_profile(value, is_directory=Path(self.cwd, value).is_dir())


_MODULAR = frozenset((Role.MODULES, Role.MODULE_FILE, Role.MODULE_OUTPUT, Role.MODULE_OUTPUT_PATH, Role.DEPS_FORMAT))
_AUXILIARY = (
    (Role.COVERAGE_NOTES, "gcno", ".gcno"),
    (Role.STACK_USAGE, "su", ".su"),
    (Role.CALLGRAPH, "ci", ".ci"),
)
SIDE_FILES = frozenset(
    (
        *(role for role, _, _ in _AUXILIARY),
        *(Role.SPLIT_DWARF, Role.SPLIT_DWARF_KIND, Role.OPT_RECORD, Role.OPT_RECORD_FORMAT, Role.PROFILE_USE),
    )
)
"""Options with files whose names depend on the rest of the command line."""
_SEARCH_BEYOND_THE_TEXT = frozenset(
    language for language in Language if language in languages.ASSEMBLERS or not languages.needs_preprocessing(language)
)
"""Search directories matter beyond the preprocessed text: gcc hands them to the assembler, clang warns that they are unused."""
_HOLDS_OUTPUT_PATH = frozenset(
    (
        Role.COVERAGE_NOTES,
        Role.PROFILE_GENERATE,
        Role.PROFILE_USE,
        Role.SPLIT_DWARF,
        Role.SPLIT_DWARF_KIND,
        Role.RECORDS_COMMAND,
    )
)
_HOLDS_CWD = frozenset((Role.COVERAGE_NOTES, Role.PROFILE_GENERATE, Role.PROFILE_USE, Role.RECORDS_CWD, Role.RECORDS_COMMAND))
