"""nvcc's options: all of them, because an option that nvcc does not know is the host compiler's or an error.  Data only.

Names are without dashes: a long one is written with two, a short one with one, and nvcc knows no other spelling.
Sources: `nvcc --help` of 13.0, and for those that it does not mention what it answers to them (a test compares both).
"""

from enum import Enum, auto

from msgspec import Struct


class Role(Enum):
    """What an option means to a cache."""

    KEY = auto()
    """Changes an output or which messages there are, or may."""
    THREADS = auto()
    """How many steps run at once."""
    DROPPED = auto()
    """Without effect on a result."""
    MODE = auto()
    """Says what is made."""
    OUTPUT = auto()
    DIRECTORY = auto()
    LANGUAGE = auto()
    DEPENDENCIES = auto()
    DEPENDENCY_PATH = auto()
    HOST = auto()
    """The value is words for the host compiler, with commas between them."""
    FORWARD = auto()
    """Options that nvcc does not know are the host compiler's."""
    ARCHITECTURE = auto()
    RELOCATABLE = auto()
    """`true`: device code that is linked later."""
    BITCODE = auto()
    """Device code is kept in LLVM's form."""
    DEVICE_DEBUG = auto()
    """Device code knows the directories of its sources."""
    KEEP = auto()
    KEEP_DIRECTORY = auto()
    OPTIONS_FILE = auto()
    NOT_COMPILATION = auto()
    TOO_HARD = auto()
    """Not cached; the reason is the option's long name."""


class Option(Struct, frozen=True):
    """One option; either name may be empty."""

    long: str
    short: str
    role: Role = Role.KEY
    takes_value: bool = False
    joins: bool = False
    """The value may follow the short name without anything between."""

    @property
    def name(self) -> str:
        """The one spelling for keys and reasons."""
        return f"--{self.long}" if self.long else f"-{self.short}"


def _flags(role: Role, *names: tuple[str, str]) -> tuple[Option, ...]:
    return tuple(Option(long, short, role) for long, short in names)


def _valued(role: Role, *names: tuple[str, str]) -> tuple[Option, ...]:
    return tuple(Option(long, short, role, takes_value=True) for long, short in names)


def _same(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names)


MODES = {
    "cuda": "cu.cpp.ii",
    "cubin": "cubin",
    "fatbin": "fatbin",
    "ptx": "ptx",
    "optix-ir": "optixir",
    "ltoir": "ltoir",
    "compile": "o",
    "device-c": "o",
    "device-w": "o",
}
"""Long name → ending of what is made."""

PHASES = (
    *_flags(Role.MODE, *_same("cuda", "cubin", "fatbin", "ptx", "optix-ir", "ltoir")),
    *_flags(Role.MODE, ("compile", "c"), ("device-c", "dc"), ("device-w", "dw")),
    *_flags(Role.NOT_COMPILATION, ("preprocess", "E"), ("generate-dependencies", "M"), ("generate-nonsystem-dependencies", "MM")),
    *_flags(Role.NOT_COMPILATION, ("device-link", "dlink"), *_same("link", "lib", "run", "dryrun"), ("clean-targets", "clean")),
    *_flags(Role.NOT_COMPILATION, ("help", "h"), ("version", "V"), ("list-gpu-code", "code-ls"), ("list-gpu-arch", "arch-ls")),
)

FILES = (
    *_valued(Role.OUTPUT, ("output-file", "o")),
    *_valued(Role.DIRECTORY, ("output-directory", "odir")),
    *_valued(Role.LANGUAGE, ("x", "x")),
    *_flags(Role.DEPENDENCIES, ("generate-dependencies-with-compile", "MD"), ("generate-nonsystem-dependencies-with-compile", "MMD")),
    *_valued(Role.DEPENDENCY_PATH, ("dependency-output", "MF")),
    *_valued(Role.KEY, ("dependency-target-name", "MT")),
    *_flags(Role.KEY, ("generate-dependency-targets", "MP"), ("objdir-as-tempdir", "objtemp")),
    *_flags(Role.KEEP, ("keep", "keep"), ("save-temps", "save-temps")),
    *_valued(Role.KEEP_DIRECTORY, ("keep-dir", "keep-dir")),
    *_valued(Role.OPTIONS_FILE, ("options-file", "optf")),
    *_valued(Role.TOO_HARD, ("fdevice-time-trace", "fdevice-time-trace"), ("time", "time"), ("export-dir", "")),
    *_flags(Role.TOO_HARD, ("verbose", "v"), ("tdump", "tdump")),
)

PREPROCESSING = (
    *_valued(Role.KEY, ("pre-include", "include"), ("system-include", "isystem")),
    *(
        Option(long, short, Role.KEY, takes_value=True, joins=True)
        for long, short in (("define-macro", "D"), ("undefine-macro", "U"), ("include-path", "I"), ("library-path", "L"), ("library", "l"))
    ),
)

HOST = (
    *_valued(Role.HOST, ("compiler-options", "Xcompiler")),
    *_flags(Role.FORWARD, *_same("forward-unknown-to-host-compiler", "forward-unknown-opts")),
    *_flags(Role.KEY, *_same("forward-unknown-to-host-linker")),
    *_valued(Role.KEY, ("compiler-bindir", "ccbin"), ("archiver-binary", "arbin"), ("qpp-config", "qpp-config")),
    *_flags(Role.KEY, *_same("allow-unsupported-compiler", "use-local-env", "force-cl-env-setup")),
    *_flags(Role.KEY, ("profile", "pg"), ("debug", "g"), ("no-exceptions", "noeh"), ("shared", "shared"), ("m64", "m64")),
    *_flags(
        Role.KEY, ("no-align-double", ""), ("no-device-link", "nodlink"), ("relocatable-link", "r"), ("host-relocatable-link", "host-r")
    ),
    *_valued(Role.KEY, ("std", "std"), *_same("ftemplate-backtrace-limit", "ftemplate-depth", "frandom-seed")),
    Option("optimize", "O", Role.KEY, takes_value=True, joins=True),
    *_valued(Role.KEY, ("machine", "m")),
    *_valued(Role.KEY, ("linker-options", "Xlinker"), ("archive-options", "Xarchive"), ("host-linker-script", "hls")),
    *_flags(Role.KEY, ("augment-host-linker-script", "aug-hls")),
    *_valued(Role.KEY, *_same("cudart", "cudadevrt", "run-args"), ("input-drive-prefix", "idp"), ("dependency-drive-prefix", "ddp")),
    *_valued(Role.KEY, ("drive-prefix", "dp"), ("target-directory", "target-dir"), ("libdevice-directory", "ldir")),
)

DEVICE = (
    *_valued(Role.ARCHITECTURE, ("gpu-architecture", "arch"), ("gpu-code", "code"), ("generate-code", "gencode")),
    *_valued(Role.RELOCATABLE, ("relocatable-device-code", "rdc")),
    *_flags(Role.RELOCATABLE, ("extensible-whole-program", "ewp")),
    *_flags(Role.BITCODE, ("dlink-time-opt", "dlto"), ("lto", "lto"), ("gen-opt-lto", "gen-opt-lto")),
    *_flags(Role.DEVICE_DEBUG, ("device-debug", "G"), ("generate-line-info", "lineinfo"), ("source-in-ptx", "src-in-ptx")),
    *_flags(Role.KEY, ("", "no-lineinfo-ia"), ("no-device-inline", "nodinline"), ("no-host-device-initializer-list", "nohdinitlist")),
    *_flags(Role.KEY, ("no-host-device-move-forward", "nohdmoveforward"), ("compile-as-tools-patch", "astoolspatch")),
    *_flags(Role.KEY, *_same("expt-relaxed-constexpr", "extended-lambda", "expt-extended-lambda", "aggressive-inline")),
    *_flags(Role.KEY, *_same("fdevice-syntax-only", "use_fast_math", "extra-device-vectorization", "keep-device-functions", "restrict")),
    *_flags(Role.KEY, ("fassociative-math", ""), ("restrict-in-struct", ""), ("legacy-launch-seq", ""), ("no-shadow-functions", "")),
    *_flags(Role.KEY, ("nvasm-loopback", ""), ("global_var", "global_var"), ("", "dD"), ("no-compress", "no-compress")),
    *_flags(Role.KEY, ("relocatable-ptx", "reloc-ptx"), ("dont-use-profile", "noprof")),
    *_valued(Role.KEY, ("optimization-info", "opt-info"), ("Ofast-compile", "Ofc"), ("dopt", "dopt"), ("entries", "e")),
    *_valued(Role.KEY, *_same("maxrregcount", "ftz", "prec-div", "prec-sqrt", "fmad", "default-stream", "sanitize", "compress-mode")),
    *_valued(Role.KEY, *_same("static-global-template-stub", "device-entity-has-hidden-visibility", "device-stack-protector")),
    *_valued(Role.KEY, *_same("split-compile", "split-compile-extended"), ("jump-table-density", "jtd")),
    *_valued(
        Role.KEY, ("ptxas-options", "Xptxas"), ("nvlink-options", "Xnvlink"), ("cicc-options", "Xcicc"), ("cudafe-options", "Xcudafe")
    ),
    *_valued(Role.KEY, ("fatbin-options", "Xfatbin"), ("nvasm-options", "Xnvasm"), ("nvdisasm-options", "Xnvdisasm")),
    *_valued(Role.KEY, *((f"{tool}-prefix", "") for tool in ("all", "cpp", "cudafe", "cicc", "ptxas", "nvlink"))),
    *_valued(Role.KEY, *((name, "") for name in ("use-cubin", "extern-mode", "intern-mode", "device-compilation", "version-ident"))),
    *_valued(Role.KEY, *((name, "") for name in ("tool-name", "cuda-api-version", "nvvm-version", "no-libdevice")), ("", "dQ"), ("", "ok")),
)

MESSAGES = (
    *_flags(Role.KEY, ("disable-warnings", "w"), ("resource-usage", "res-usage"), ("display-error-number", "err-no")),
    *_flags(Role.KEY, ("no-display-error-number", "no-err-no")),
    *_flags(Role.KEY, *_same("Wreorder", "Wdefault-stream-launch", "Wmissing-launch-bounds", "Wext-lambda-captures-this")),
    *_flags(Role.KEY, *_same("Wno-deprecated-declarations", "Wno-deprecated-gpu-targets")),
    *_valued(Role.KEY, *_same("Werror", "diag-error", "diag-suppress", "diag-warn"), ("brief-diagnostics", "brief-diag")),
)

HARMLESS = (
    Option("threads", "t", Role.THREADS, takes_value=True, joins=True),
    Option("jobserver", "jobserver", Role.DROPPED),
)

ROWS = (*PHASES, *FILES, *PREPROCESSING, *HOST, *DEVICE, *MESSAGES, *HARMLESS)

TOOLS = r"nvcc|cudafe\+\+|cicc|ptxas|fatbinary|nvlink|bin2c|__nvcc_device_query"
"""What nvcc runs beside the host compiler; all are dynamic programs."""

VARIABLES: tuple[str, ...] = ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "NVCC_CCBIN")
