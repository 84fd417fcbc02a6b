"""The vocabulary: frozen values that two or more packages use.  READ FIRST.

Owns: the records of one compile, from request to result.  Must not know: I/O, configuration, the wire.
Paths and arguments are `str` decoded with surrogateescape, exactly as the caller spelled them.
"""

from collections.abc import Mapping
from enum import Enum, IntFlag

from msgspec import Struct


class Terminal(IntFlag):
    """Which of the caller's streams are terminals, and whether its stdin holds anything (the launcher asks)."""

    NONE = 0
    STDIN = 1
    STDOUT = 2
    STDERR = 4
    NO_INPUT = 8
    """stdin is /dev/null, an empty file or closed: a command that reads it reads nothing.  Of a pipe nobody knows."""


class CompileRequest(Struct, frozen=True):
    """One compiler invocation, as the launcher saw it."""

    argv: tuple[str, ...]
    """The command line; argv[0] is the compiler as the caller named it."""
    cwd: str
    env: Mapping[str, str]
    umask: int
    terminal: Terminal = Terminal.NONE
    columns: int = 0
    """Width of the terminal on stdin, else on stderr; 0 unknown, or stderr is none."""
    executable: str = ""
    """The compiler's path where the launcher already resolved it (masquerading); else empty."""
    identity: tuple[object, ...] = ()
    """What tells this request from others, for remembering it."""
    knows_environment: bool = False
    """All lasting variables are in the identity; otherwise those that matter to C compilers."""


class Language(Enum):
    """A source language; the value is sccache's advanced statistics name (reference 1.5)."""

    ASSEMBLER = "assembler"
    ASSEMBLER_WITH_CPP = "assemblerToPreprocess"
    C = "c"
    C_HEADER = "cHeader"
    C_PREPROCESSED = "cPreprocessed"
    CXX = "c++"
    CXX_HEADER = "c++Header"
    CXX_PREPROCESSED = "c++Preprocessed"
    CXX_MODULE = "c++-module"
    GENERIC_HEADER = "c/c++"
    OBJC = "objc"
    OBJC_HEADER = "objcHeader"
    OBJC_PREPROCESSED = "objcPreprocessed"
    OBJCXX = "objc++"
    OBJCXX_HEADER = "objc++Header"
    OBJCXX_PREPROCESSED = "objc++Preprocessed"
    CUDA = "cuda"
    CUDA_PREPROCESSED = "cudaPreprocessed"
    HIP = "hip"
    HIP_PREPROCESSED = "hipPreprocessed"


class Colour(Enum):
    """What the command line says about coloured diagnostics."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Output(Struct, frozen=True):
    """A file that the compile writes.

    role: stable short name inside entries: "obj", "dwo", "gcno", "su", "pch", "dia", "module" …
    path: as the compiler would write it, relative to cwd or absolute.
    required: a successful compile always makes it; others may be absent, which is recorded as such.
    """

    role: str
    path: str
    required: bool = True


class Depfile(Struct, frozen=True):
    """A make dependency file that the command line asks for (-MD family)."""

    path: str
    targets: tuple[str, ...]
    """Targets exactly as they appear in the file before the colon (quoting by -MQ already applied)."""
    system_headers: bool
    """True for -MD, False for -MMD."""
    phony: bool
    """-MP: one phony rule for each prerequisite but the source."""


class ParsedArguments(Struct, frozen=True):
    """A command line that can be cached; made by compilers.<family>.parse."""

    language: Language
    plusplus: bool
    """The driver is a C++ driver (g++, clang++)."""
    source: str
    """The one input file, as spelled."""
    output: str
    """The main output (object, assembly or PCH), as spelled or as the compiler would name it."""
    outputs: tuple[Output, ...]
    """All files written except the depfile; the main output is first."""
    depfile: Depfile | None
    key_args: tuple[str, ...]
    """Arguments that take part in keys, in order: all that can change an output, without source, output, dep-file and colour options."""
    preprocess_args: tuple[str, ...]
    """Arguments (after the executable) for the preprocessor run, without -E and friends, without source, -c/-S, -o, dep-file options."""
    compile_args: tuple[str, ...]
    """The original arguments after the executable, response files expanded or not as the caller wrote them."""
    input_files: tuple[str, ...] = ()
    """Files named by options whose content changes the result (option files, plugins, profiles, sanitizer lists, specs, PCH, modules)."""
    absent_files: tuple[str, ...] = ()
    """Like input_files, but known not to exist while appearing would change the result (a .gcda, default.profdata)."""
    colour: Colour = Colour.AUTO
    debug_info: bool = False
    """-g family: the working directory reaches the object."""
    output_in_key: bool = False
    """The output's path reaches an output's content (split dwarf, coverage, profile generation)."""
    native_cpu: bool = False
    """-march=native and the like: this machine's CPU is an input."""
    assembles: bool = True
    """The command ends in an assembler run (not -S, not a header)."""
    needs_preprocessing: bool = True
    direct_mode: bool = True
    """False where an option makes inputs unknowable without running the preprocessor (-Wp,…, -Xpreprocessor)."""
    mtimes_matter: bool = False
    """The output records its inputs' modification times (clang PCH)."""
    search_args: tuple[str, ...] = ()
    """Arguments that can change where headers are searched or which programs the driver runs (key and words of those probes)."""
    result_key_args: tuple[str, ...] = ()
    """key_args without those whose whole effect is in the preprocessed text (header search directories)."""
    toolchain_files: tuple[str, ...] = ()
    """Names without a directory that the compiler looks up in its own places first (-specs=nano.specs): ask it, -print-file-name=NAME."""
    records_command: bool = False
    """The object holds the command line: options that we add to it would show."""
    needs_observing: bool = False
    """What is read can only be known by observing the compile (CUDA, HIP, modules): compilers.observed."""
    numbers_source: bool = False
    """The object holds the source's device and inode: clang names OpenMP's kernels by them."""
    made_in: tuple[str, ...] = ()
    """Directories in which an observed compile makes further files, of names that only the run knows."""
    forced_includes: tuple[str, ...] = ()
    """Values of -include and -imacros, as spelled: a NAME.gch or NAME.pch beside one is read instead of it."""


class CannotCache(Struct, frozen=True):
    """A compile that must run uncached; `reason` is a counter's name in the statistics (reference 5.14)."""

    reason: str
    detail: str = ""


class NotCompilation(Struct, frozen=True):
    """A compiler call that compiles nothing we could cache (linking, --version, -E)."""

    detail: str = ""


ParseResult = ParsedArguments | CannotCache | NotCompilation


class FileFacts(Struct, frozen=True):
    """What we know about a regular file's content (hashing/files.py)."""

    digest: bytes
    """BLAKE3-256 of the content."""
    size: int
    mtime_ns: int
    ctime_ns: int
    time_macros: int
    """Bits: 1 __TIME__, 2 __DATE__, 4 __TIMESTAMP__ occur somewhere in the bytes; 8 `.incbin`/`.include`-like text; 16 #embed or
    __has_embed; 32 inline assembler."""


class ProducedFile(Struct, frozen=True):
    """An output that was read after a compile, to be stored."""

    role: str
    data: bytes
    executable: bool = False
    """Any x bit was set: restored as 0777 & ~umask instead of 0666 & ~umask."""


class Diagnostics(Struct, frozen=True):
    """stdout and stderr of one compile under one diagnostics context (colour, locale, width)."""

    context: bytes
    """Digest of the context; silent compiles are stored with b"" and match every context."""
    stdout: bytes
    stderr: bytes
