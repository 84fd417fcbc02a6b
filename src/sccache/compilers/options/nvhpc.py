"""Options of NVIDIA's HPC compilers (nvc, nvc++) that mean something to a cache.  Data only; any other is hashed and passed on.

They take gcc's, and their own.  Sources: reference 5.3 and 5.8; NVIDIA's HPC Compilers Reference Guide as publicly described; CMake's
module for NVHPC.  No such compiler has run with this table.
"""

from collections.abc import Mapping

from sccache.compilers.arguments import Option, Role, Takes

_NOTHING, _NEXT, _JOINED, _EITHER = Takes.NOTHING, Takes.NEXT, Takes.JOINED, Takes.EITHER

MODE = (
    Option("-c", _NOTHING, Role.COMPILE),
    Option("-S", _NOTHING, Role.ASSEMBLE),
    Option("-o", _EITHER, Role.OUTPUT),
    Option("-x", _EITHER, Role.LANGUAGE),
    Option("-pipe", _NOTHING, Role.UNHASHED),
)

DEPENDENCIES = (
    Option("-MD", _NOTHING, Role.DEP_ALL),
    Option("-MMD", _NOTHING, Role.DEP_USER),
    Option("-MP", _NOTHING, Role.DEP_PHONY),
    Option("-MF", _EITHER, Role.DEP_PATH),
    Option("-MT", _EITHER, Role.DEP_TARGET),
    Option("-MQ", _EITHER, Role.DEP_TARGET),
    # before 21.7 with a name, and then nothing is compiled
    *(Option(name, _JOINED, Role.TOO_HARD) for name in ("-MD,", "-MMD,")),
)

_EITHER_WAY = (
    *("-D", "-U", "-I", "-L", "-l", "-A", "-u", "-z", "-B", "-include", "-imacros", "-isystem", "-iquote", "-isysroot", "-idirafter"),
    *("-iprefix", "-iwithprefix", "-iwithprefixbefore", "-imultilib"),
)
_NEXT_WORD = (
    *("--param", "-Xassembler", "-Xlinker", "-Xpreprocessor", "-Xcompiler", "-Xfatbinary", "-Xnvlink", "-Xptxas", "--sysroot"),
    *("--gcc-toolchain", "--linker-options", "--include-path", "--system-include-path"),
)
VALUES = (
    *(Option(name, _EITHER, Role.PASS) for name in _EITHER_WAY),
    *(Option(name, _NEXT, Role.PASS) for name in _NEXT_WORD),
    *(Option(f"{name}=", _JOINED, Role.PASS) for name in _NEXT_WORD),
)
KEYWORDS = frozenset({"all-warnings", "cross-execution-space-call", "reorder", "default-stream-launch", "ext-lambda-captures-this"})
"""What may stand behind -Werror, in a word of its own."""

MACHINE = (
    *(Option(name, _JOINED, Role.CPU) for name in ("-tp=", "-mcpu=", "-march=", "-mtune=")),
    Option("-tp", _NEXT, Role.CPU),
)

COLOUR = (
    Option("-fdiagnostics-color", _NOTHING, Role.COLOUR_ALWAYS),
    Option("-fdiagnostics-color=", _JOINED, Role.COLOUR_WHEN),
    Option("-fno-diagnostics-color", _NOTHING, Role.COLOUR_NEVER),
)

TELLS = tuple(
    Option(name, takes, Role.NOT_COMPILATION)
    for name, takes in (
        *((name, _NOTHING) for name in ("--version", "-V", "-help", "--help", "-dryrun", "-###", "-show", "-dumpversion", "-dumpmachine")),
        *((name, _JOINED) for name in ("-help=", "--print-", "-print-")),
    )
)

_STOPS_EARLY = ("-E", "-P", "-M", "-MM", "-fsyntax-only")
_LEAVES_MORE = (
    *(
        "--save-temps",
        "--save-temps=cwd",
        "--save-temps=obj",
        "-save-temps",
        "-save-temps=cwd",
        "-save-temps=obj",
        "-fmodules",
        "-fmodules-ts",
    ),
    *("-fno-profile-generate", "-fno-profile-use", "-frepo", "--pch", "-v", "--verbose"),
    # coverage and profiles, whose files are named after the object
    *("--coverage", "-ftest-coverage", "-fprofile-arcs", "-fprofile-generate", "-Mpfi", "-gsplit-dwarf"),
)
_LEAVES_MORE_WITH_VALUE = (
    "-fprofile-use",
    "-Mpfi=",
    "--create_pch",
    "--use_pch",
    "--pch_dir",
    "-Mextract",
    "-Mipa",
    "-fdump-",
    "-gpu=keep",
)

NOT_CACHED = (
    *(Option(name, _NOTHING, Role.TOO_HARD) for name in _STOPS_EARLY),
    *(Option(name, _NOTHING, Role.TOO_HARD_WHEN_COMPILING) for name in _LEAVES_MORE),
    *(Option(name, _JOINED, Role.TOO_HARD_WHEN_COMPILING) for name in _LEAVES_MORE_WITH_VALUE),
    Option("--serialize-diagnostics", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("-index-store-path", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
)

ROWS = (
    *MODE,
    *DEPENDENCIES,
    *VALUES,
    *MACHINE,
    *COLOUR,
    *TELLS,
    *NOT_CACHED,
)

LANGUAGES: Mapping[str, str] = {
    "c": "c",
    "i": "cPreprocessed",
    "ii": "c++Preprocessed",
    **dict.fromkeys(("C", "cc", "cp", "cpp", "CPP", "cxx", "c++", "CC"), "c++"),
    "s": "assembler",
    "S": "assemblerToPreprocess",
    "cu": "cuda",
}
SAID: Mapping[str, str] = {
    "c": "c",
    "c++": "c++",
    **dict.fromkeys(("cu", "cuda"), "cuda"),
    "assembler": "assembler",
    "assembler-with-cpp": "assemblerToPreprocess",
}
"""Values of -x."""

FURTHER: Mapping[str, tuple[str, str]] = {
    "-Mkeepasm": ("asm", "{name}.s"),
    "-Mlist": ("lst", "{name}.lst"),
}

PACKS = ("-acc", "-cuda", "-gpu", "-mp=gpu", "-stdpar", "-ta", "-target", "-gz", "-flto")
"""Code for a GPU is packed inside the object."""

TOOLS = (
    r"nvc|nvc\+\+|nvfortran|pgcc|pgc\+\+|cpp1|cpp2|nvcpfe|opt|llc|acclnk|nvdd|pgnvd|append|fatbinary|ptxas|cicc|nvlink|bin2c"
    r"|nvvmCompile\S*|cudafe\+\+"
)
"""Front ends, optimiser and code generators under compilers/bin/tools, and those of CUDA."""

VARIABLES = ("NVHPC*", "NVCOMPILER*", "NVLOCALRC", "PGI", "PGI_*")
"""Which CUDA, which settings file; static programs read them unseen."""

HARMLESS: Mapping[str, str] = {}

FINDING = ("@", "--gcc-toolchain", "--system-include-path", "-imultilib", "-iprefix")
"""Beginnings of options, beside those of all families, whose values are names for the compiler alone."""
