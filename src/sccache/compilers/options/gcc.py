"""gcc's options that mean something to a cache.  Data only; anything not here is hashed and passed on.

Sources: the GCC manual and gcc 12's `--help=…` and `--completion=`, reference 5.3; later versions' options as
publicly described, not run here.
A test runs the real compiler over every row and every option that `gcc --completion` knows, to see which take a word of their own.
"""

import re

from sccache.compilers.arguments import Option, Role, Takes

_NOTHING, _NEXT, _JOINED, _EITHER = Takes.NOTHING, Takes.NEXT, Takes.JOINED, Takes.EITHER

MODE = (
    Option("-c", _NOTHING, Role.COMPILE),
    Option("--compile", _NOTHING, Role.COMPILE),
    Option("-S", _NOTHING, Role.ASSEMBLE),
    Option("--assemble", _NOTHING, Role.ASSEMBLE),
    Option("-o", _EITHER, Role.OUTPUT),
    Option("--output", _NEXT, Role.OUTPUT),
    Option("--output=", _JOINED, Role.OUTPUT),
    Option("-x", _EITHER, Role.LANGUAGE),
    Option("--language", _NEXT, Role.LANGUAGE),
    Option("--language=", _JOINED, Role.LANGUAGE),
    Option("-pipe", _NOTHING, Role.UNHASHED),
    Option("--pipe", _NOTHING, Role.UNHASHED),
)

TELLS_ONLY = (
    Option("-###", _NOTHING, Role.NOT_COMPILATION),
    Option("--version", _NOTHING, Role.NOT_COMPILATION),
    Option("--help", _NOTHING, Role.NOT_COMPILATION),
    Option("--help=", _JOINED, Role.NOT_COMPILATION),
    Option("--target-help", _NOTHING, Role.NOT_COMPILATION),
    Option("-dumpmachine", _NOTHING, Role.NOT_COMPILATION),
    Option("-dumpversion", _NOTHING, Role.NOT_COMPILATION),
    Option("-dumpfullversion", _NOTHING, Role.NOT_COMPILATION),
    Option("-dumpspecs", _NOTHING, Role.NOT_COMPILATION),
    Option("-print-", _JOINED, Role.NOT_COMPILATION),
    Option("--print-", _JOINED, Role.NOT_COMPILATION),
    Option("--completion=", _JOINED, Role.NOT_COMPILATION),
)

DEPENDENCIES = (
    Option("-MD", _NOTHING, Role.DEP_ALL),
    Option("--write-dependencies", _NOTHING, Role.DEP_ALL),
    Option("-MMD", _NOTHING, Role.DEP_USER),
    Option("--write-user-dependencies", _NOTHING, Role.DEP_USER),
    Option("-MF", _EITHER, Role.DEP_PATH),
    Option("-MT", _EITHER, Role.DEP_TARGET),
    Option("-MQ", _EITHER, Role.DEP_QUOTED_TARGET),
    Option("-MP", _NOTHING, Role.DEP_PHONY),
)

PREPROCESSOR = (
    Option("-D", _EITHER, Role.PREPROCESSOR),
    Option("--define-macro", _NEXT, Role.PREPROCESSOR),
    Option("--define-macro=", _JOINED, Role.PREPROCESSOR),
    Option("-U", _EITHER, Role.PREPROCESSOR),
    Option("--undefine-macro", _NEXT, Role.PREPROCESSOR),
    Option("--undefine-macro=", _JOINED, Role.PREPROCESSOR),
    Option("-A", _EITHER, Role.PREPROCESSOR),
    Option("--assert", _NEXT, Role.PREPROCESSOR),
    Option("--assert=", _JOINED, Role.PREPROCESSOR),
    Option("-include", _EITHER, Role.FORCED_INCLUDE),
    Option("--include", _NEXT, Role.FORCED_INCLUDE),
    Option("--include=", _JOINED, Role.FORCED_INCLUDE),
    Option("-imacros", _EITHER, Role.FORCED_INCLUDE),
    Option("--imacros", _NEXT, Role.FORCED_INCLUDE),
    Option("--imacros=", _JOINED, Role.FORCED_INCLUDE),
    Option("-undef", _NOTHING, Role.PREPROCESSOR),
    Option("-trigraphs", _NOTHING, Role.PREPROCESSOR),
    Option("--trigraphs", _NOTHING, Role.PREPROCESSOR),
    Option("-fworking-directory", _NOTHING, Role.PREPROCESSOR),
    Option("-fno-working-directory", _NOTHING, Role.PREPROCESSOR),
    Option("-remap", _NOTHING, Role.NO_DIRECT),
    Option("-Wp,", _JOINED, Role.TO_PREPROCESSOR),
    Option("-Xpreprocessor", _NEXT, Role.TO_PREPROCESSOR_NEXT),
)

SEARCH = (
    Option("-I", _EITHER, Role.SEARCH),
    Option("--include-directory", _NEXT, Role.SEARCH),
    Option("--include-directory=", _JOINED, Role.SEARCH),
    Option("-I-", _NOTHING, Role.SEARCH),
    Option("--include-barrier", _NOTHING, Role.SEARCH),
    Option("-iquote", _EITHER, Role.SEARCH),
    Option("-isystem", _EITHER, Role.SEARCH),
    Option("-idirafter", _EITHER, Role.SEARCH),
    Option("--include-directory-after", _NEXT, Role.SEARCH),
    Option("--include-directory-after=", _JOINED, Role.SEARCH),
    Option("-iprefix", _EITHER, Role.SEARCH),
    Option("--include-prefix", _NEXT, Role.SEARCH),
    Option("--include-prefix=", _JOINED, Role.SEARCH),
    Option("-iwithprefix", _EITHER, Role.SEARCH),
    Option("--include-with-prefix", _NEXT, Role.SEARCH),
    Option("--include-with-prefix=", _JOINED, Role.SEARCH),
    Option("--include-with-prefix-after", _NEXT, Role.SEARCH),
    Option("--include-with-prefix-after=", _JOINED, Role.SEARCH),
    Option("-iwithprefixbefore", _EITHER, Role.SEARCH),
    Option("--include-with-prefix-before", _NEXT, Role.SEARCH),
    Option("--include-with-prefix-before=", _JOINED, Role.SEARCH),
    Option("-isysroot", _EITHER, Role.SEARCH),
    Option("-imultilib", _EITHER, Role.SEARCH),
    Option("-imultiarch", _EITHER, Role.SEARCH),
    Option("-F", _EITHER, Role.SEARCH),
    Option("-iframework", _EITHER, Role.SEARCH),
    Option("-nostdinc", _NOTHING, Role.SEARCH),
    Option("--no-standard-includes", _NOTHING, Role.SEARCH),
    Option("-nostdinc++", _NOTHING, Role.SEARCH),
    Option("--embed-dir=", _JOINED, Role.SEARCH),
    Option("-Wmissing-include-dirs", _NOTHING, Role.WARNS_OF_SEARCH),
    Option("-Wpoison-system-directories", _NOTHING, Role.WARNS_OF_SEARCH),
    Option("-stdlib=", _JOINED, Role.TARGET),
    Option("--sysroot", _NEXT, Role.TARGET),
    Option("--sysroot=", _JOINED, Role.TARGET),
    Option("--no-sysroot-suffix", _NOTHING, Role.TARGET),
    Option("-B", _EITHER, Role.TARGET),
    Option("--prefix", _NEXT, Role.TARGET),
    Option("--prefix=", _JOINED, Role.TARGET),
    Option("-no-canonical-prefixes", _NOTHING, Role.TARGET),
    Option("-specs", _NEXT, Role.TOOLCHAIN_FILE),
    Option("-specs=", _JOINED, Role.TOOLCHAIN_FILE),
    Option("--specs", _NEXT, Role.TOOLCHAIN_FILE),
    Option("--specs=", _JOINED, Role.TOOLCHAIN_FILE),
    Option("-m", _JOINED, Role.TARGET),
    Option("-march=", _JOINED, Role.CPU),
    Option("-mcpu=", _JOINED, Role.CPU),
    Option("-mtune=", _JOINED, Role.CPU),
)

OTHER_TOOLS = (
    Option("-Wa,", _JOINED, Role.TO_ASSEMBLER),
    Option("-Xassembler", _NEXT, Role.TO_ASSEMBLER_NEXT),
    Option("--for-assembler", _NEXT, Role.TO_ASSEMBLER_NEXT),
    Option("--for-assembler=", _JOINED, Role.TO_ASSEMBLER_NEXT),
    Option("-Wl,", _JOINED, Role.LINKER),
    Option("-Xlinker", _NEXT, Role.LINKER),
    Option("--for-linker", _NEXT, Role.LINKER),
    Option("--for-linker=", _JOINED, Role.LINKER),
    Option("-L", _EITHER, Role.LINKER),
    Option("--library-directory", _NEXT, Role.LINKER),
    Option("-l", _EITHER, Role.LINKER),
    Option("-u", _EITHER, Role.LINKER),
    Option("--force-link", _NEXT, Role.LINKER),
    Option("-z", _EITHER, Role.LINKER),
    Option("-T", _EITHER, Role.LINKER),
    Option("-Tbss", _EITHER, Role.LINKER),
    Option("-Tdata", _EITHER, Role.LINKER),
    Option("-Ttext", _EITHER, Role.LINKER),
    Option("-e", _EITHER, Role.LINKER),
    Option("-install_name", _NEXT, Role.LINKER),
    Option("--param", _NEXT, Role.PASS),
    Option("-G", _EITHER, Role.PASS),
    Option("-V", _EITHER, Role.PASS),
    Option("-b", _EITHER, Role.PASS),
    Option("-arch", _NEXT, Role.ARCH),
    Option("-wrapper", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
)

OTHER_LANGUAGES = (
    Option("--entry", _NEXT, Role.LINKER),
    Option("-J", _EITHER, Role.PASS),
    Option("-R", _EITHER, Role.LINKER),
    Option("-h", _EITHER, Role.LINKER),
    Option("-fintrinsic-modules-path", _EITHER, Role.PASS),
    Option("--intrinsic-modules-path", _EITHER, Role.PASS),
    Option("-gnatO", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("-Xf", _EITHER, Role.TOO_HARD_WHEN_COMPILING),
    Option("-Hd", _EITHER, Role.TOO_HARD_WHEN_COMPILING),
    Option("-Hf", _EITHER, Role.TOO_HARD_WHEN_COMPILING),
    Option("--output-pch=", _EITHER, Role.TOO_HARD_WHEN_COMPILING),
    Option("-output-pch=", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
)
"""Of the linker, Fortran, Ada and D: without meaning here, but they take a word that must not be mistaken for a source."""


COLOUR = (
    Option("-fdiagnostics-color", _NOTHING, Role.COLOUR_ALWAYS),
    Option("-fdiagnostics-color=", _JOINED, Role.COLOUR_WHEN),
    Option("-fno-diagnostics-color", _NOTHING, Role.COLOUR_NEVER),
)

DEBUG = (
    Option("-g", _JOINED, Role.DEBUG),
    Option("-g0", _NOTHING, Role.DEBUG_OFF),
    Option("-ggdb0", _NOTHING, Role.DEBUG_OFF),
    Option("-gz", _NOTHING, Role.PASS),
    Option("-gz=", _JOINED, Role.PASS),
    Option("-gsplit-dwarf", _NOTHING, Role.SPLIT_DWARF),
    Option("-frecord-gcc-switches", _NOTHING, Role.RECORDS_COMMAND),
    Option("-fverbose-asm", _NOTHING, Role.RECORDS_COMMAND),
)

COVERAGE_AND_PROFILE = (
    Option("--coverage", _NOTHING, Role.COVERAGE_NOTES),
    Option("-coverage", _NOTHING, Role.COVERAGE_NOTES),
    Option("-ftest-coverage", _NOTHING, Role.COVERAGE_NOTES),
    Option("-fprofile-note=", _JOINED, Role.NOTES_PATH),
    Option("-fprofile-arcs", _NOTHING, Role.PROFILE_GENERATE),
    Option("-fprofile-generate", _NOTHING, Role.PROFILE_GENERATE),
    Option("-fprofile-generate=", _JOINED, Role.PROFILE_GENERATE),
    Option("-fprofile-dir=", _JOINED, Role.PROFILE_DIRECTORY),
    Option("-fprofile-prefix-path=", _JOINED, Role.PROFILE_PREFIX),
    Option("-fprofile-use", _NOTHING, Role.PROFILE_USE),
    Option("-fprofile-use=", _JOINED, Role.PROFILE_USE),
    Option("-fbranch-probabilities", _NOTHING, Role.PROFILE_USE),
    Option("-fauto-profile", _NOTHING, Role.AUTO_PROFILE),
    Option("-fauto-profile=", _JOINED, Role.INPUT_FILE),
)

SIDE_OUTPUTS = (
    Option("-fstack-usage", _NOTHING, Role.STACK_USAGE),
    Option("-fsave-optimization-record", _NOTHING, Role.OPT_RECORD),
)

GCC_SIDE_OUTPUTS = (
    Option("-fcallgraph-info", _NOTHING, Role.CALLGRAPH),
    Option("-fcallgraph-info=", _JOINED, Role.CALLGRAPH),
    Option("-fopt-info", _JOINED, Role.OPT_INFO),
    Option("-aux-info", _NEXT, Role.OUTPUT_FILE),
    Option("-aux-info=", _JOINED, Role.OUTPUT_FILE),
    Option("-dumpbase", _NEXT, Role.DUMP_BASE),
    Option("-dumpbase-ext", _NEXT, Role.DUMP_EXT),
    Option("-dumpdir", _NEXT, Role.DUMP_DIR),
    Option("--dumpbase", _NEXT, Role.DUMP_BASE),
    Option("--dumpbase-ext", _NEXT, Role.DUMP_EXT),
    Option("--dumpdir", _NEXT, Role.DUMP_DIR),
    Option("--dump", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("--dump=", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-d", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-dA", _NOTHING, Role.PASS),
    Option("-dp", _NOTHING, Role.PASS),
    Option("-dP", _NOTHING, Role.PASS),
    Option("-Q", _NOTHING, Role.TOO_HARD_WHEN_COMPILING),
    Option("-fwpa", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-fltrans", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-fself-test", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-fhelp", _JOINED, Role.NOT_COMPILATION),
    Option("-ftarget-help", _NOTHING, Role.NOT_COMPILATION),
    Option("-fversion", _NOTHING, Role.NOT_COMPILATION),
    Option("-fplugin=", _JOINED, Role.PLUGIN),
)

MODULES = (
    Option("-fmodules", _NOTHING, Role.MODULES),
    Option("-fmodule-mapper=", _JOINED, Role.MODULE_MAPPER),
    Option("-fdeps-format=", _JOINED, Role.DEPS_FORMAT),
    Option("-fdeps-file=", _JOINED, Role.OUTPUT_FILE),
    Option("-fdeps-target=", _JOINED, Role.PASS),
    Option("-fdeps-", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
)
"""gcc 15 calls -fmodules-ts -fmodules; -fdeps-… is understood from gcc 14 on."""

WITHOUT_DIRECTIVES_ONLY = (
    Option("-Wunused-macros", _NOTHING, Role.COMPILER_ONLY),
    Option("-traditional", _NOTHING, Role.TOO_HARD_WHEN_COMPILING),
    Option("-traditional-cpp", _NOTHING, Role.TOO_HARD_WHEN_COMPILING),
    Option("--traditional", _NOTHING, Role.TOO_HARD_WHEN_COMPILING),
    Option("--traditional-cpp", _NOTHING, Role.TOO_HARD_WHEN_COMPILING),
)
"""gcc refuses these together with -fdirectives-only."""

_STOPS_EARLY = ("-E", "--preprocess", "-M", "--dependencies", "-MM", "--user-dependencies", "-fsyntax-only")

_NOT_CACHED = (
    *("-save-temps", "--save-temps", "-save-temps=cwd", "--save-temps=cwd", "-save-temps=obj", "--save-temps=obj"),
    *("-MG", "-P", "--no-line-commands", "-C", "--comments", "-CC", "--comments-in-macros"),
    *("-fmodule-header", "-fmodule-only", "-fpreprocessed", "-fcompare-debug"),
    *("-fno-profile-generate", "-fno-profile-use", "-fplugin=libcc1plugin", "-frepo", "-v", "--verbose"),
    *(
        "-time",
        "-ftime-report",
        "-ftime-report-details",
        "-fmem-report",
        "-fpre-ipa-mem-report",
        "-fpost-ipa-mem-report",
    ),
)

_NOT_CACHED_PREFIXES = (
    *(
        "-fdump-",
        "--compile-std-module",
        "-fmodule-header=",
        "-fcompare-debug=",
        "-fdiagnostics-add-output=",
    ),
    *("-fdiagnostics-set-output=", "-time=", "-fcompare-debug-second"),
)

TOO_HARD = (
    *(Option(name, _NOTHING, Role.TOO_HARD) for name in _STOPS_EARLY),
    *(Option(name, _NOTHING, Role.TOO_HARD_WHEN_COMPILING) for name in _NOT_CACHED),
    *(Option(name, _JOINED, Role.TOO_HARD_WHEN_COMPILING) for name in _NOT_CACHED_PREFIXES),
    Option("-fdiagnostics-format=sarif", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-fdiagnostics-format=json-file", _NOTHING, Role.TOO_HARD_WHEN_COMPILING),
    Option("-index-store-path", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
)

ALIASES = (
    ("--machine-", "-m"),
    ("--warn-", "-W"),
    ("--optimize=", "-O"),
    ("--debug=", "-g"),
    ("--std=", "-std="),
    ("--", "-f"),
)
"""How the driver reads a long spelling that has no row of its own (GCC: `--NAME` is `-fNAME`)."""

SHARED = (
    *MODE,
    *TELLS_ONLY,
    *DEPENDENCIES,
    *PREPROCESSOR,
    *SEARCH,
    *OTHER_TOOLS,
    *COLOUR,
    *DEBUG,
    *COVERAGE_AND_PROFILE,
    *SIDE_OUTPUTS,
    Option("-fmodules-ts", _NOTHING, Role.MODULES),
    *TOO_HARD,
)
"""Also clang's, where clang.py has no row of the same name."""

ROWS = (*SHARED, *MODULES, *GCC_SIDE_OUTPUTS, *WITHOUT_DIRECTIVES_ONLY, *OTHER_LANGUAGES)

BEHIND_WP = (
    Option("-MD", _NEXT, Role.DEP_ALL),
    Option("-MMD", _NEXT, Role.DEP_USER),
)
"""cc1 itself wants the file name, which the driver otherwise finds."""

REMARKS = re.compile(rb"\b(?:build|local)time: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\b")
"""When a module was made, in its section `.gnu.c++.README`: nothing reads that."""
