"""cl.exe's options that mean something to a cache; most are clang-cl's too.  Data only; an option that is not here is hashed and passed on.

Names are written with `/`; both prefixes fit each row.  Sources: Microsoft's list of compiler options, reference 5.9, clang-cl 14 where it
has the same option (run by a test).
"""

import re
from enum import Enum, auto

from msgspec import Struct

from sccache.compilers.arguments import Takes


class Role(Enum):
    """What an option means to a cache."""

    KEY = auto()
    """Changes an output or which messages there are, or may."""
    DROPPED = auto()
    """Provably without effect on the result of one compile."""
    CONTEXT = auto()
    """Changes only the form of messages."""
    COMPILE = auto()
    OUTPUT = auto()
    PDB = auto()
    LISTING = auto()
    """/FA…: an assembly listing is made; the value says what it holds."""
    LISTING_PATH = auto()
    SOURCE_DEPENDENCIES = auto()
    ALL_C = auto()
    ALL_CXX = auto()
    SOURCE_C = auto()
    SOURCE_CXX = auto()
    DEBUG_EMBEDDED = auto()
    DEBUG_PDB = auto()
    DEBUG_EDIT = auto()
    """/ZI: edit and continue."""
    PCH_MAKE = auto()
    PCH_USE = auto()
    PCH_PATH = auto()
    PCH_OFF = auto()
    PACKS = auto()
    """Text is in the object in a form that cannot be searched."""
    CPU = auto()
    VARIABLE = auto()
    """The value is the name of a variable with a search path."""
    COLOUR_ALWAYS = auto()
    COLOUR_NEVER = auto()
    TO_DRIVER = auto()
    """/clang:WORD."""
    TO_FRONTEND = auto()
    """-Xclang WORD."""
    TO_BACKEND = auto()
    """-mllvm WORD."""
    NOT_COMPILATION = auto()
    TOO_HARD = auto()
    """Not cached; the reason is the option as spelled."""


class Option(Struct, frozen=True):
    """One option."""

    name: str
    takes: Takes
    role: Role


_NOTHING, _NEXT, _JOINED, _EITHER = Takes.NOTHING, Takes.NEXT, Takes.JOINED, Takes.EITHER

TELLS = (
    *(Option(name, _NOTHING, Role.NOT_COMPILATION) for name in ("/?", "/HELP", "/help", "/E", "/EP", "/P", "/Zs")),
    Option("/link", _NOTHING, Role.NOT_COMPILATION),
    Option("/scanDependencies", _JOINED, Role.NOT_COMPILATION),
)

INPUTS = (
    *(Option(name, _EITHER, Role.KEY) for name in ("/D", "/U", "/I", "/FI", "/FU", "/AI", "/external:I")),
    Option("/external:env:", _JOINED, Role.VARIABLE),
    Option("/TC", _NOTHING, Role.ALL_C),
    Option("/TP", _NOTHING, Role.ALL_CXX),
    Option("/Tc", _EITHER, Role.SOURCE_C),
    Option("/Tp", _EITHER, Role.SOURCE_CXX),
    Option("/Yu", _JOINED, Role.PCH_USE),
    Option("/Y-", _NOTHING, Role.PCH_OFF),
    Option("/Fp", _JOINED, Role.PCH_PATH),
)

OUTPUTS = (
    Option("/c", _NOTHING, Role.COMPILE),
    Option("/Fo", _JOINED, Role.OUTPUT),
    Option("/o", _NEXT, Role.OUTPUT),
    Option("/Fd", _JOINED, Role.PDB),
    Option("/FA", _JOINED, Role.LISTING),
    Option("/Fa", _JOINED, Role.LISTING_PATH),
    Option("/showIncludes", _NOTHING, Role.KEY),
    Option("/showIncludes:user", _NOTHING, Role.KEY),
    Option("/Z7", _NOTHING, Role.DEBUG_EMBEDDED),
    Option("/Zi", _NOTHING, Role.DEBUG_PDB),
    Option("/Yc", _JOINED, Role.PCH_MAKE),
)

HARMLESS = (
    Option("/FS", _NOTHING, Role.DROPPED),  # how a program database is locked
    Option("/MP", _JOINED, Role.DROPPED),  # processes for several sources; here is one
    Option("/diagnostics:", _JOINED, Role.CONTEXT),
    Option("/errorReport:", _JOINED, Role.DROPPED),  # whom a crash is told
    Option("/GL", _NOTHING, Role.PACKS),
)

_UNFORESEEN = (
    # further files
    *("/FR", "/Fr", "/Fx", "/doc", "/Gm", "/analyze", "/experimental:log"),
    # measurements, which must be taken
    *("/Bt", "/d1reportTime", "/d2cgsummary", "/timetrace"),
    # modules
    *(
        "/experimental:module",
        "/ifcOnly",
        "/exportHeader",
        "/interface",
        "/internalPartition",
        "/translateInclude",
        "/sourceDependencies:directives",
    ),
)

_UNFORESEEN_WITH_VALUE = ("/ifcMap", "/ifcOutput", "/ifcSearchDir", "/reference", "/headerUnit", "/headerName:", "/stdIfcDir")

_NO_MODULES = ("/Gm-", "/analyze-", "/experimental:module-", "/experimental:log-")

TOO_HARD = (
    *(Option(name, _JOINED, Role.TOO_HARD) for name in _UNFORESEEN),
    *(Option(name, _EITHER, Role.TOO_HARD) for name in _UNFORESEEN_WITH_VALUE),
    *(Option(name, _NOTHING, Role.KEY) for name in _NO_MODULES),
)

TOOLS = r"(?:cl|c1|c1xx|c2|mspdbsrv|vctip|cvtres)(?:\.exe)?"
"""Programs that cl runs of itself."""

VARIABLES: tuple[str, ...] = (
    *("INCLUDE", "EXTERNAL_INCLUDE", "LIB", "LIBPATH", "CL", "_CL_", "VSLANG", "VS_UNICODE_OUTPUT", "SOURCE_DATE_EPOCH"),
    *("VCTOOLS*", "VCINSTALLDIR", "VSINSTALLDIR", "VSCMD_*", "WINDOWSSDK*", "WindowsSdk*", "UCRTVersion", "UniversalCRTSdkDir"),
    "WINE*",
)
"""What a program for Windows reads of the environment, which an observer of Linux calls does not see."""

FINDING = (
    *(f"{sign}{name}" for sign in "/-" for name in ("I", "FI", "FU", "AI", "Fo", "Fd", "Fa", "Fp", "Yc", "Yu", "external:I")),
    *(f"{sign}{name}" for sign in "/-" for name in ("sourceDependencies", "imsvc", "winsysroot", "vctoolsdir", "winsdkdir")),
    *(f"{sign}clang:{name}" for sign in "/-" for name in ("-MF", "-MT", "-MQ", "-I", "-isystem")),
)
"""Beginnings of options whose values name files for the compiler alone."""

CONCEALS = re.compile(rb"\?A0x[0-9a-fA-F]{1,8}@|\?\?@[0-9a-f]{32}@")
"""A digest of the source's name as spelled, which tells unnamed namespaces apart; a digest of a long name, which may hold one."""

SHARED = (*TELLS, *INPUTS, *OUTPUTS, *HARMLESS, *TOO_HARD)
"""What cl and clang-cl have in common."""

CL = (
    Option("/ZI", _NOTHING, Role.DEBUG_EDIT),
    Option("/sourceDependencies", _EITHER, Role.SOURCE_DEPENDENCIES),
    # A colon may stand before the path of each of these, and blanks behind the colon.
    Option("/Fo:", _EITHER, Role.OUTPUT),
    Option("/Fd:", _EITHER, Role.PDB),
    Option("/Fa:", _EITHER, Role.LISTING_PATH),
    Option("/Fp:", _EITHER, Role.PCH_PATH),
    *(Option(name, _EITHER, Role.KEY) for name in ("/Fe:", "/Fi:", "/Fm:")),
    Option("/F", _EITHER, Role.KEY),
    Option("/V", _EITHER, Role.KEY),
    *(Option(name, _JOINED, Role.KEY) for name in ("/Fe", "/Fi", "/Fm")),
)
"""What only cl has."""
