"""Options of cudafe++, cicc and ptxas that mean something to a cache.  Data only; an option that is not here is in the key.

Names are written with all their dashes.  Sources: `ptxas --help` of 13.0, what nvcc 13.0 was seen to call the two others with (they have no
help), reference 5.12; a test runs them.
"""

from collections.abc import Mapping
from enum import Enum, auto

from msgspec import Struct


class Role(Enum):
    """What an option means to a cache."""

    KEY = auto()
    OUTPUT = auto()
    """The main output."""
    SIDE_OUTPUT = auto()
    """A further output, which some other options have to ask for, too."""
    MODULE_ID = auto()
    """A file that is read, or made where MAKES_MODULE_ID says so."""
    MAKES_MODULE_ID = auto()
    DROPPED = auto()
    NOT_COMPILATION = auto()
    TOO_HARD = auto()


class Option(Struct, frozen=True):
    """One option."""

    name: str
    role: Role
    takes_value: bool = False
    joins: bool = False
    """The value may follow without anything between."""


class Tool(Struct, frozen=True):
    """A program that nvcc runs."""

    name: str
    endings: tuple[str, ...]
    """Of its sources; a word with another ending belongs to an option that nobody knows.  Empty: the source is the last word."""
    rows: Mapping[str, Option]
    statistics_name: str
    advanced_name: str
    hides_paths: bool
    default_output: str = ""
    """Where the command line names none; empty: such a call is not cached."""


def _rows(*rows: Option) -> Mapping[str, Option]:
    found = {row.name: row for row in rows}
    if len(found) != len(rows):
        raise ValueError("an option stands twice in a table")
    return found


def _valued(role: Role, *names: str) -> tuple[Option, ...]:
    return tuple(Option(name, role, takes_value=True) for name in names)


def _flags(role: Role, *names: str) -> tuple[Option, ...]:
    return tuple(Option(name, role) for name in names)


_SHARED = (
    *_valued(Role.KEY, "--orig_src_file_name", "--orig_src_path_name", "--include_file_name"),
    *_valued(Role.MODULE_ID, "--module_id_file_name"),
    *_flags(Role.MAKES_MODULE_ID, "--gen_module_id_file"),
)

CUDAFE = Tool(
    name="cudafe++",
    endings=(),
    rows=_rows(
        *_SHARED,
        *_valued(Role.OUTPUT, "--gen_c_file_name"),
        *_valued(Role.KEY, "--stub_file_name"),  # only named in what is made
        *_flags(Role.NOT_COMPILATION, "--version", "-v"),
    ),
    statistics_name="CUDA (Device code)",
    advanced_name="cuda [cudafe++]",
    hides_paths=True,
)

CICC = Tool(
    name="cicc",
    endings=(".ii", ".i", ".gpu", ".cup", ".ci", ".bc", ".optixir"),
    rows=_rows(
        *_SHARED,
        *_valued(Role.OUTPUT, "-o"),
        *_valued(Role.SIDE_OUTPUT, "--gen_c_file_name", "--gen_device_file_name", "--stub_file_name"),
        *_valued(Role.KEY, "-arch", "-maxreg", "-split-compile"),
    ),
    statistics_name="PTX",
    advanced_name="ptx [cicc]",
    hides_paths=True,
)

PTXAS = Tool(
    name="ptxas",
    endings=(),
    rows=_rows(
        *_valued(Role.OUTPUT, "--output-file", "-o"),
        *_valued(Role.TOO_HARD, "--input-as-string", "-ias", "--options-file", "-optf"),
        *_flags(Role.NOT_COMPILATION, "--help", "-h", "--version", "-V", "--list-version", "-version-ls"),
        *(Option(name, Role.KEY, takes_value=True, joins=True) for name in ("-m", "-O")),
        *_valued(
            Role.KEY, "--gpu-name", "-arch", "--machine", "--opt-level", "--entry", "-e", "--fmad", "-fmad", "--Ofast-compile", "-Ofc"
        ),
        *_valued(Role.KEY, "--allow-expensive-optimizations", "-allow-expensive-optimizations", "--def-load-cache", "-dlcm"),
        *_valued(Role.KEY, "--def-store-cache", "-dscm", "--force-load-cache", "-flcm", "--force-store-cache", "-fscm"),
        *_valued(Role.KEY, "--device-function-maxrregcount", "-func-maxrregcount", "--maxrregcount", "-maxrregcount"),
        *_valued(
            Role.KEY, "--device-stack-protector", "-device-stack-protector", "--maxntid", "-maxntid", "--minnctapersm", "-minnctapersm"
        ),
        *_valued(Role.KEY, "--position-independent-code", "-pic", "--register-usage-level", "-regUsageLevel", "--sanitize", "-sanitize"),
        *_valued(Role.KEY, "--split-compile", "-split-compile"),
    ),
    statistics_name="CUBIN",
    advanced_name="cubin [ptxas]",
    hides_paths=False,
    default_output="elf.o",
)

TOOLS = r"cudafe\+\+|cicc|ptxas"

VARIABLES: tuple[str, ...] = ()
"""All three are dynamic programs: what they read is seen."""
