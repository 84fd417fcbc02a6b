"""Options of Wind River's Diab compilers (dcc, dplus) that mean something to a cache.  Data only; any other is hashed and passed on.

Sources: reference 5.10; what the author of sccache's support says (mozilla/sccache#180); public make rules of Diab 5.8 to 7.  No Diab
compiler has run with this table.
"""

from collections.abc import Mapping

from sccache.compilers.arguments import Option, Role, Takes

_NOTHING, _JOINED, _EITHER = Takes.NOTHING, Takes.JOINED, Takes.EITHER

MODE = (
    Option("-c", _NOTHING, Role.COMPILE),
    Option("-S", _NOTHING, Role.ASSEMBLE),
    Option("-o", _EITHER, Role.OUTPUT),
)

OPTION_FILES = (Option("-@", _JOINED, Role.PASS),)

VALUES = (
    *(Option(name, _EITHER, Role.PASS) for name in ("-D", "-U", "-I", "-L", "-l", "-t", "-W", "-Y", "-i", "-e")),
    Option("-include", _EITHER, Role.FORCED_INCLUDE),
)

DEPENDENCIES = (
    Option("-Xmake-dependency", _NOTHING, Role.DEP_ALL),
    Option("-Xmake-dependency=", _JOINED, Role.DEP_USER),  # a number, no name: what it lists, and where
    Option("-Xmake-dependency-savefile=", _JOINED, Role.DEP_PATH),
    Option("-Xmake-dependency-target=", _JOINED, Role.DEP_TARGET),
    # Diab 7, which is clang inside
    Option("-MD", _NOTHING, Role.DEP_ALL),
    Option("-MMD", _NOTHING, Role.DEP_ALL),
    Option("-MP", _NOTHING, Role.DEP_PHONY),
    Option("-MF", _EITHER, Role.DEP_PATH),
    Option("-MT", _EITHER, Role.DEP_TARGET),
    Option("-MQ", _EITHER, Role.DEP_TARGET),
)

NOT_CACHED = (
    Option("-?", _NOTHING, Role.NOT_COMPILATION),
    # the text that is asked for goes to standard output, or nothing is compiled
    *(Option(name, _NOTHING, Role.TOO_HARD) for name in ("-E", "-P", "-#", "-##", "-###", "-V", "-VV")),
    # output into files by the driver itself; the command line is printed
    *(Option(name, _JOINED, Role.TOO_HARD) for name in ("-@E=", "-@E+", "-@O=", "-@O+", "-@@")),
    # precompiled headers: made and removed as compiles go
    *(Option(name, _JOINED, Role.TOO_HARD_WHEN_COMPILING) for name in ("-Xpch-automatic", "-Xpch-create", "-Xpch-directory")),
)

ROWS = (*MODE, *OPTION_FILES, *VALUES, *DEPENDENCIES, *NOT_CACHED)

LANGUAGES: Mapping[str, str] = {
    "c": "c",
    "i": "cPreprocessed",
    **dict.fromkeys(("C", "cc", "cp", "cpp", "CPP", "cxx", "c++"), "c++"),
    "s": "assembler",
    "S": "assemblerToPreprocess",
}

FURTHER: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("-Xkeep-assembly-file", "-Xkeep-assembly-file=1"), ("asm", "{name}.s")),
    "-Xkeep-assembly-file=2": ("asm", "{output}.s"),
}
"""A word → what it leaves: in the working directory, or beside the object."""

TOOLS = r"dcc|dplus|dctrl|[cde]toa|reorder|das|dld|dar|cpp|llopt|clang(?:-[\d.]+)?"
"""The compilers proper (ctoa, etoa), the reorderer, assembler, linker and archiver."""

FLAGS_VARIABLE = "DFLAGS"
"""Its words stand before the command line's."""

VARIABLES = ("DFLAGS", "DTARGET", "DOBJECT", "DFP", "DENVIRON", "DCONFIG", "DIABLIB", "DLIBS", "WIND_DIAB_PATH")
"""Defaults for target and options; programs without preloading (32 bits, static) read them unseen."""

HARMLESS: Mapping[str, str] = dict.fromkeys(
    ("WRSD_LICENSE_FILE", "LM_LICENSE_FILE", "LM_A_APP_DISABLE_CACHE_READ"), "whether it may run, not what comes out"
)

FINDING = ("-@", "@", "-Xmake-dependency", "-Xkeep-assembly-file", "-L", "-Y", "-i")
"""Beginnings of options, beside those of all families, whose values are names for the compiler alone."""
