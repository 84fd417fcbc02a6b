"""rustc's options that mean something to a cache.  Data only; an option that is not here is hashed and passed on.

Sources: `rustc --help -v`, `-C help`, `-Z help` of 1.95 and of a nightly 1.97, the rustc book, reference 11.1.
A test asks the real compiler for its options and compares which of them take a value.
"""

from collections.abc import Mapping
from enum import Enum, auto

from msgspec import Struct


class Role(Enum):
    """What an option means to a cache."""

    KEY = auto()
    """Changes the result, or which messages there are."""
    CONTEXT = auto()
    """Changes only the wording or the form of messages."""
    COLOUR = auto()
    ERROR_FORMAT = auto()
    JSON = auto()
    CRATE_NAME = auto()
    CRATE_TYPE = auto()
    EMIT = auto()
    OUT_DIR = auto()
    EXTERN = auto()
    SEARCH = auto()
    NATIVE_LIBRARY = auto()
    TARGET = auto()
    TEST = auto()
    DEBUG = auto()
    """-g."""
    CODEGEN = auto()
    """-C NAME[=VALUE]: see CODEGEN."""
    UNSTABLE = auto()
    """-Z NAME[=VALUE]: see UNSTABLE."""
    LINT = auto()
    """The value `help` asks for a list."""
    PRINT = auto()
    VERSION = auto()
    TELLS = auto()
    """rustc only tells something, and that is not worth keeping."""
    TOO_HARD = auto()
    """Not cached; the reason is the option's name."""


class Option(Struct, frozen=True):
    """One option; a long name and a letter for the same thing are two rows."""

    name: str
    takes_value: bool
    role: Role


_LINTS = ("--allow", "-A", "--warn", "-W", "--force-warn", "--deny", "-D", "--forbid", "-F")

ROWS = (
    *(Option(name, takes_value=True, role=Role.LINT) for name in _LINTS),
    Option("--cap-lints", takes_value=True, role=Role.KEY),
    Option("--cfg", takes_value=True, role=Role.KEY),
    Option("--check-cfg", takes_value=True, role=Role.KEY),
    Option("--edition", takes_value=True, role=Role.KEY),
    Option("--remap-path-prefix", takes_value=True, role=Role.KEY),
    Option("--remap-path-scope", takes_value=True, role=Role.KEY),
    Option("--env-set", takes_value=True, role=Role.KEY),
    Option("-O", takes_value=False, role=Role.KEY),
    Option("-g", takes_value=False, role=Role.DEBUG),
    Option("-v", takes_value=False, role=Role.KEY),
    Option("--verbose", takes_value=False, role=Role.KEY),
    Option("--test", takes_value=False, role=Role.TEST),
    Option("--crate-name", takes_value=True, role=Role.CRATE_NAME),
    Option("--crate-type", takes_value=True, role=Role.CRATE_TYPE),
    Option("--emit", takes_value=True, role=Role.EMIT),
    Option("--out-dir", takes_value=True, role=Role.OUT_DIR),
    Option("--extern", takes_value=True, role=Role.EXTERN),
    Option("-L", takes_value=True, role=Role.SEARCH),
    Option("-l", takes_value=True, role=Role.NATIVE_LIBRARY),
    Option("--target", takes_value=True, role=Role.TARGET),
    Option("-C", takes_value=True, role=Role.CODEGEN),
    Option("--codegen", takes_value=True, role=Role.CODEGEN),
    Option("-Z", takes_value=True, role=Role.UNSTABLE),
    Option("--color", takes_value=True, role=Role.COLOUR),
    Option("--diagnostic-width", takes_value=True, role=Role.CONTEXT),
    Option("--error-format", takes_value=True, role=Role.ERROR_FORMAT),
    Option("--json", takes_value=True, role=Role.JSON),
    Option("--print", takes_value=True, role=Role.PRINT),
    Option("-V", takes_value=False, role=Role.VERSION),
    Option("--version", takes_value=False, role=Role.VERSION),
    Option("-h", takes_value=False, role=Role.TELLS),
    Option("--help", takes_value=False, role=Role.TELLS),
    Option("--explain", takes_value=True, role=Role.TELLS),
    Option("--pretty", takes_value=True, role=Role.TELLS),
    Option("--unpretty", takes_value=True, role=Role.TELLS),
    Option("--sysroot", takes_value=True, role=Role.TOO_HARD),
    Option("-o", takes_value=True, role=Role.TOO_HARD),
)


class Setting(Enum):
    """What a -C or -Z option means to a cache, beyond being part of the key."""

    TOO_HARD = auto()
    """Not cached; the reason is the option's name: what it writes or reads cannot be foreseen."""
    TELLS = auto()
    EXTRA_FILENAME = auto()
    INCREMENTAL = auto()
    FILE = auto()
    """The value names a file that is read."""
    FILES = auto()
    """The same, several with commas between them."""
    FILE_OR_NAME = auto()
    """A file if the value looks like a path, else something that rustc finds by itself."""
    LINKER = auto()
    LINK_ARGUMENTS = auto()
    CPU = auto()
    """The value `native` makes this machine's processor an input."""
    DEBUGINFO = auto()
    SPLIT_DEBUGINFO = auto()
    EMBED_BITCODE = auto()
    PACKS = auto()
    """Unless its value is a form of no, text is in outputs in a form that cannot be searched."""


CODEGEN: Mapping[str, Setting] = {
    "help": Setting.TELLS,
    "extra-filename": Setting.EXTRA_FILENAME,
    "incremental": Setting.INCREMENTAL,
    "save-temps": Setting.TOO_HARD,
    "profile-use": Setting.FILE,
    "linker": Setting.LINKER,
    "link-arg": Setting.LINK_ARGUMENTS,
    "link-args": Setting.LINK_ARGUMENTS,
    "target-cpu": Setting.CPU,
    "debuginfo": Setting.DEBUGINFO,
    "split-debuginfo": Setting.SPLIT_DEBUGINFO,
    "embed-bitcode": Setting.EMBED_BITCODE,
    "instrument-coverage": Setting.PACKS,  # compressed names of files
    "lto": Setting.PACKS,
    "linker-plugin-lto": Setting.PACKS,
}

_UNFORESEEN = (
    # files with names that only the run knows
    *("dump-dep-graph", "dump-mir", "dump-mir-dataflow", "dump-mir-dir", "dump-mir-graphviz", "dump-mono-stats", "llvm-time-trace"),
    *("metrics-dir", "nll-facts", "nll-facts-dir", "print-codegen-stats-json", "profile", "profile-emit", "query-dep-graph", "remark-dir"),
    *("save-analysis", "save-temps", "self-profile", "self-profile-counter", "self-profile-events", "split-dwarf-out-dir", "temps-dir"),
    # measurements, which must be taken
    *("input-stats", "macro-stats", "meta-stats", "print-codegen-stats", "print-llvm-stats", "time", "time-llvm-passes", "time-passes"),
    *("time-passes-format", "time-precise-llvm-passes", "mir-opt-bisect-limit"),
    # other or fewer outputs than --emit says
    *("link-only", "no-analysis", "no-codegen", "no-link", "parse-crate-root-only", "parse-only", "unstable-incremental"),
)

UNSTABLE: Mapping[str, Setting] = {
    **dict.fromkeys(_UNFORESEEN, Setting.TOO_HARD),
    **dict.fromkeys(("help", "ls", "unpretty", "link-directives-only"), Setting.TELLS),
    "codegen-backend": Setting.FILE_OR_NAME,
    "llvm-plugins": Setting.FILES,
    "profile-sample-use": Setting.FILE,
    "sanitizer-dataflow-abilist": Setting.FILES,
    "pre-link-arg": Setting.LINK_ARGUMENTS,
    "pre-link-args": Setting.LINK_ARGUMENTS,
    "tune-cpu": Setting.CPU,
    "debuginfo-compression": Setting.PACKS,
}

NO = frozenset({"n", "no", "off", "false", "none", "0"})
"""rustc's spellings of no."""

PURE_PRINTS = frozenset(
    {
        *("all-target-specs-json", "backend-has-zstd", "calling-conventions", "cfg", "check-cfg", "code-models", "crate-name"),
        *("crate-root-lint-levels", "deployment-target", "file-names", "host-tuple", "relocation-models", "split-debuginfo"),
        *("stack-protector-strategies", "supported-crate-types", "sysroot", "target-cpus", "target-features", "target-libdir"),
        *("target-list", "target-spec-json", "target-spec-json-schema", "tls-models"),
    }
)
"""What --print tells without compiling anything.  Not link-args and native-static-libs: they come with a compile."""

CPU_PRINTS = frozenset({"target-cpus"})
"""Names this machine's processor."""

_JOB_SERVER = "how many programs may run at once"
_TEMPORARY = "where temporary files are; their names reach no output of a linker for ELF"

HARMLESS_VARIABLES: Mapping[str, str] = {
    "MAKEFLAGS": _JOB_SERVER,
    "MFLAGS": _JOB_SERVER,
    "CARGO_MAKEFLAGS": _JOB_SERVER,
    "TMPDIR": _TEMPORARY,
    "TMP": _TEMPORARY,
    "TEMP": _TEMPORARY,
    "TERM": "colours and width where stderr is a terminal; of that the context of messages knows",
    "MALLOC_CONF": "how jemalloc, the allocator in rustc, works",
    "_RJEM_MALLOC_CONF": "the same",
    "RUST_MIN_STACK": "threads' stacks: what compiles with less compiles with more, to the same",
    "RUST_BACKTRACE": "what a crash tells; a compiler that crashed is not cached",
    "RUST_LIB_BACKTRACE": "the same",
    "RUSTC_ICE": "where a crash is told",
    "RUSTC_GRAPHVIZ_FONT": "font of dumps, which are not cached",
    "CI": "LLVM's start asks it only to keep Windows from showing a window after a crash",
}
"""Variables that rustc or a linker itself reads and that can change neither outputs nor messages of a compile that succeeds.

Sources: what rustc 1.95, nightly 1.97, clippy-driver, gcc 12 and rust-lld were seen to ask getenv for, with rustc 1.95's outputs
compared for each.  They count all the same where the crate's source or a procedural macro reads them.
Not here because they do change something: PATH (which linker; a program that appears earlier in a new directory was never looked
for), RUSTC_BOOTSTRAP, RUSTC_FORCE_RUSTC_VERSION, RUSTC_OVERRIDE_VERSION_STRING, RUST_TARGET_PATH, SDKROOT, *_DEPLOYMENT_TARGET,
LLVM_OVERRIDE_PRODUCER, LD_LIBRARY_PATH; RUSTC_LOG and its kin and RUSTC_CTFE_BACKTRACE, which add text to stderr; SYSROOT,
CLIPPY_ARGS, CLIPPY_CONF_DIR and CARGO_PKG_RUST_VERSION of clippy-driver; LIBRARY_PATH, COMPILER_PATH, GCC_EXEC_PREFIX, LPATH,
GCC_ROOT, BINUTILS_ROOT, LLD_VERSION and LLD_REPRODUCE of linkers.
"""

FINDING_VARIABLES: Mapping[str, str] = {
    "CARGO_MANIFEST_DIR": "clippy-driver searches clippy.toml and Cargo.toml from there upwards",
    "CLIPPY_CONF_DIR": "where clippy-driver looks for clippy.toml",
}
"""Variables that the tool itself uses to find files and for nothing else: position does not matter, the files are inputs."""
