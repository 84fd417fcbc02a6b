"""clang's options that mean something to a cache, over gcc's table.  Data only; anything not here is hashed and passed on.

Sources: clang 14's `--help-hidden`, `--autocomplete` and `-cc1 --help`, reference 5.6; later versions' options as
publicly described, not run here.
A test runs the real compiler over every row that takes a word of its own.
"""

from sccache.compilers.arguments import Option, Role, Takes

_NOTHING, _NEXT, _JOINED, _EITHER = Takes.NOTHING, Takes.NEXT, Takes.JOINED, Takes.EITHER

DRIVER = (
    Option("--include", _EITHER, Role.FORCED_INCLUDE),
    Option("--imacros", _EITHER, Role.FORCED_INCLUDE),
    Option("-target", _NEXT, Role.TARGET),
    Option("--target", _NEXT, Role.TARGET),
    Option("--target=", _JOINED, Role.TARGET),
    Option("-gcc-toolchain", _NEXT, Role.TARGET),
    Option("--gcc-toolchain", _NEXT, Role.TARGET),
    Option("--gcc-toolchain=", _JOINED, Role.TARGET),
    Option("-resource-dir", _NEXT, Role.TARGET),
    Option("-resource-dir=", _JOINED, Role.TARGET),
    Option("-mllvm", _NEXT, Role.TO_BACKEND),
    Option("-mllvm=", _JOINED, Role.TO_BACKEND),
    Option("-Xclang", _NEXT, Role.TO_FRONTEND),
    Option("-Xclang=", _JOINED, Role.TO_FRONTEND),
    Option("--driver-mode=g++", _NOTHING, Role.PLUSPLUS),
    Option("--driver-mode=", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("--driver-mode", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("--param=", _JOINED, Role.PASS),
    Option("-fintegrated-as", _NOTHING, Role.TARGET),
    Option("-fno-integrated-as", _NOTHING, Role.TARGET),
    Option("-integrated-as", _NOTHING, Role.TARGET),
    Option("-no-integrated-as", _NOTHING, Role.TARGET),
    Option("-via-file-asm", _NOTHING, Role.TARGET),
    Option("-specs=", _JOINED, Role.PASS),
    Option("--specs=", _JOINED, Role.PASS),
    Option("-emit-llvm", _NOTHING, Role.LLVM_OUTPUT),
    Option("--precompile", _NOTHING, Role.PRECOMPILE),
    Option("-fcolor-diagnostics", _NOTHING, Role.COLOUR_ALWAYS),
    Option("-fno-color-diagnostics", _NOTHING, Role.COLOUR_NEVER),
    Option("-help", _NOTHING, Role.NOT_COMPILATION),
    Option("--help-hidden", _NOTHING, Role.NOT_COMPILATION),
    Option("--autocomplete=", _JOINED, Role.NOT_COMPILATION),
    Option("-ccc-print-phases", _NOTHING, Role.NOT_COMPILATION),
    Option("-ccc-print-bindings", _NOTHING, Role.NOT_COMPILATION),
    Option("-cc1", _NOTHING, Role.NOT_COMPILATION),
    Option("-cc1as", _NOTHING, Role.NOT_COMPILATION),
)

FILES_READ = (
    Option("-include-pch", _NEXT, Role.INPUT_FILE),
    Option("-ivfsoverlay", _EITHER, Role.REMAPPING_FILE),
    Option("-ivfsstatcache", _EITHER, Role.REMAPPING_FILE),
    Option("-fmodule-file=", _JOINED, Role.MODULE_FILE),
    Option("-fmodule-map-file=", _JOINED, Role.INPUT_FILE),
    Option("-fplugin=", _JOINED, Role.LIBRARY),
    Option("-fpass-plugin=", _JOINED, Role.LIBRARY),
    Option("-fcodegen-data-use=", _JOINED, Role.INPUT_FILE),
    Option("-fms-secure-hotpatch-functions-file=", _JOINED, Role.INPUT_FILE),
    Option("-fembed-offload-object=", _JOINED, Role.INPUT_FILE),
    Option("-fsanitize-blacklist=", _JOINED, Role.INPUT_FILE),
    Option("-fsanitize-ignorelist=", _JOINED, Role.INPUT_FILE),
    Option("-fsanitize-system-blacklist=", _JOINED, Role.INPUT_FILE),
    Option("-fsanitize-system-ignorelist=", _JOINED, Role.INPUT_FILE),
    Option("-fsanitize-coverage-allowlist=", _JOINED, Role.INPUT_FILE),
    Option("-fsanitize-coverage-whitelist=", _JOINED, Role.INPUT_FILE),
    Option("-fsanitize-coverage-ignorelist=", _JOINED, Role.INPUT_FILE),
    Option("-fsanitize-coverage-blacklist=", _JOINED, Role.INPUT_FILE),
    Option("-fxray-always-instrument=", _EITHER, Role.INPUT_FILE),
    Option("-fxray-never-instrument=", _EITHER, Role.INPUT_FILE),
    Option("-fxray-attr-list=", _EITHER, Role.INPUT_FILE),
    Option("-fprofile-list=", _JOINED, Role.INPUT_FILE),
    Option("-fprofile-sample-use=", _JOINED, Role.INPUT_FILE),
    Option("-fauto-profile=", _JOINED, Role.INPUT_FILE),
    Option("-fprofile-remapping-file=", _JOINED, Role.INPUT_FILE),
    Option("-fmemory-profile-use=", _JOINED, Role.INPUT_FILE),
    Option("-fbasic-block-sections=", _JOINED, Role.LIST_FILE),
    Option("-fprofile-instr-use", _NOTHING, Role.PROFILE_USE),
    Option("-fprofile-instr-use=", _JOINED, Role.PROFILE_INSTR_USE),
)

FILES_WRITTEN = (
    Option("--serialize-diagnostics", _NEXT, Role.OUTPUT_FILE),
    Option("-serialize-diagnostics", _NEXT, Role.OUTPUT_FILE),
    Option("-dependency-file", _NEXT, Role.PASS),
    Option("-fthin-link-bitcode=", _JOINED, Role.OUTPUT_FILE),
    Option("-fprebuilt-module-path=", _JOINED, Role.MODULES),
    Option("-fmodule-output", _NOTHING, Role.MODULE_OUTPUT),
    Option("-fmodule-output=", _JOINED, Role.MODULE_OUTPUT_PATH),
    Option("-fsave-optimization-record=", _JOINED, Role.OPT_RECORD_FORMAT),
    Option("-foptimization-record-file=", _JOINED, Role.OPT_RECORD_PATH),
    Option("-foptimization-record-passes=", _JOINED, Role.OPT_RECORD),
    Option("-gsplit-dwarf=", _JOINED, Role.SPLIT_DWARF_KIND),
)

EMBEDDED = (
    Option("-frecord-command-line", _NOTHING, Role.RECORDS_COMMAND),
    Option("-grecord-command-line", _NOTHING, Role.RECORDS_COMMAND),
    Option("-grecord-gcc-switches", _NOTHING, Role.RECORDS_COMMAND),
    Option("-fembed-bitcode", _NOTHING, Role.RECORDS_COMMAND),
    Option("-fembed-bitcode=", _JOINED, Role.RECORDS_COMMAND),
    Option("-gcodeview", _NOTHING, Role.RECORDS_COMMAND),
    Option("-fcoverage-mapping", _NOTHING, Role.RECORDS_CWD),
    Option("-fprofile-instr-generate", _NOTHING, Role.PROFILE_GENERATE),
    Option("-fprofile-instr-generate=", _JOINED, Role.PROFILE_GENERATE),
    Option("-fcs-profile-generate", _NOTHING, Role.PROFILE_GENERATE),
    Option("-fcs-profile-generate=", _JOINED, Role.PROFILE_GENERATE),
)

WORDS_OF_THEIR_OWN = (
    Option("-fdebug-compilation-dir", _NEXT, Role.PASS),
    Option("-fdebug-compilation-dir=", _JOINED, Role.PASS),
    Option("-framework", _NEXT, Role.LINKER),
    Option("-object-file-name=", _JOINED, Role.PASS),
    Option("-save-temps=", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("--save-temps=", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-dependency-dot", _NEXT, Role.PASS),
    Option("-fxray-instruction-threshold", _NEXT, Role.PASS),
    Option("-fxray-instruction-threshold=", _EITHER, Role.PASS),
    Option("-fxray-instrumentation-bundle=", _EITHER, Role.PASS),
    Option("-fxray-modes=", _EITHER, Role.PASS),
    Option("-fmodules-user-build-path", _NEXT, Role.PASS),
    Option("-ftrapv-handler", _NEXT, Role.PASS),
    Option("-meabi", _NEXT, Role.TARGET),
    Option("-mthread-model", _NEXT, Role.TARGET),
    Option("-cxx-isystem", _EITHER, Role.SEARCH),
    Option("-stdlib++-isystem", _EITHER, Role.SEARCH),
    Option("-isystem-after", _EITHER, Role.SEARCH),
    Option("-iwithsysroot", _EITHER, Role.SEARCH),
    Option("-iframeworkwithsysroot", _EITHER, Role.SEARCH),
    Option("-working-directory", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("-working-directory=", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-rpath", _NEXT, Role.LINKER),
    Option("-undefined", _EITHER, Role.LINKER),
    Option("-dsym-dir", _EITHER, Role.LINKER),
    Option("-filelist", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("-Xanalyzer", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("--analyzer-output", _EITHER, Role.TOO_HARD_WHEN_COMPILING),
    Option("-Xopenmp-target", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("-Xarch_", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-Xopenmp-target=", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    Option("-arcmt-migrate-report-output", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
)

_NOT_CACHED = (
    *("-fmodules", "-fcxx-modules", "-fno-profile-instr-generate", "-fno-profile-instr-use", "-fprebuilt-implicit-modules"),
    *(
        "-ftime-trace",
        "--analyze",
        "-rewrite-objc",
        "-rewrite-legacy-objc",
        "-emit-ast",
        "-verify-pch",
        "-fdriver-only",
        "--migrate",
        "-module-file-info",
        "-ObjC",
        "-ObjC++",
    ),
    *("-save-stats", "--save-stats", "-fproc-stat-report", "-emit-interface-stubs", "-emit-merged-ifs", "-fno-profile-use"),
    *("-dD", "-dI", "-dM"),
)

_NOT_CACHED_PREFIXES = (
    *("-fmodule-mapper=", "-fdeps-", "-ftime-trace=", "-ftime-report", "-save-stats=", "--save-stats=", "-fproc-stat-report="),
    *("-fthinlto-index=", "-fbuild-session-file=", "-fmodule-header=", "--config=", "-ccc-", "-emit-symbol-graph"),
    *("-fdump-", "-fsycl", "-objcmt-", "-fapinotes", "-iapinotes-modules", "-extract-api", "-emit-cir"),
)

_NOT_CACHED_NEXT = (
    *("--config", "-gen-cdb-fragment-path", "-dumpdir", "-module-dependency-dir"),
    *("-ccc-arcmt-migrate", "-ccc-objcmt-migrate", "-ccc-gcc-name", "-ccc-install-dir"),
)

TOO_HARD = (
    *(Option(name, _NOTHING, Role.TOO_HARD_WHEN_COMPILING) for name in _NOT_CACHED),
    *(Option(name, _JOINED, Role.TOO_HARD_WHEN_COMPILING) for name in _NOT_CACHED_PREFIXES),
    *(Option(name, _NEXT, Role.TOO_HARD_WHEN_COMPILING) for name in _NOT_CACHED_NEXT),
    Option("-MJ", _EITHER, Role.TOO_HARD_WHEN_COMPILING),
)

ROWS = (*DRIVER, *FILES_READ, *FILES_WRITTEN, *EMBEDDED, *WORDS_OF_THEIR_OWN, *TOO_HARD)
"""Replaces rows of gcc's table of the same name."""

_FRONTEND_NOT_CACHED = ("-print-stats", "-emit-module", "-emit-module-interface", "-emit-header-unit", "-split-dwarf-output")

FRONTEND = (
    Option("-emit-pch", _NOTHING, Role.PCH_OUTPUT),
    Option("-fno-pch-timestamp", _NOTHING, Role.PCH_WITHOUT_TIMES),
    Option("-include", _EITHER, Role.FORCED_INCLUDE),
    Option("-load", _NEXT, Role.LIBRARY),
    Option("-mlink-bitcode-file", _NEXT, Role.INPUT_FILE),
    Option("-mlink-builtin-bitcode", _NEXT, Role.INPUT_FILE),
    Option("-internal-isystem", _NEXT, Role.SEARCH),
    Option("-internal-externc-isystem", _NEXT, Role.SEARCH),
    Option("-W", _JOINED, Role.PASS),
    Option("-plugin", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("-dependency-file", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("-dependency-dot", _NEXT, Role.TOO_HARD_WHEN_COMPILING),
    Option("-add-plugin", _NEXT, Role.PASS),
    Option("-plugin-arg-", _JOINED, Role.PASS),
    Option("--dependent-lib=", _JOINED, Role.PASS),
    Option("-debug-info-kind=", _JOINED, Role.DEBUG),
    *(Option(name, _NOTHING, Role.TOO_HARD_WHEN_COMPILING) for name in _FRONTEND_NOT_CACHED),
    *(
        Option(name, _NOTHING, Role.PASS)
        for name in (
            *(
                "-Wno-unknown-cuda-version",
                "-Wno-unused-parameter",
                "-fcuda-allow-variadic-functions",
                "-fuse-ctor-homing",
            ),
            *(
                "-fmodules-reduced-bmi",
                "-mconstructor-aliases",
                "-mrelax-all",
                "-no-opaque-pointers",
                "-opaque-pointers",
            ),
            *("-verify", "-disable-llvm-passes", "-disable-llvm-optzns", "-disable-O0-optnone", "-fno-validate-pch"),
            *(
                "-no-round-trip-args",
                "-fpch-instantiate-templates",
                "-fpch-codegen",
                "-fpch-debuginfo",
                "-discard-value-names",
            ),
        )
    ),
    Option("-fexperimental-assignment-tracking=", _JOINED, Role.PASS),
)
"""Options of `clang -cc1` that may stand behind -Xclang beside those of the driver."""

TOOLS = r"(?:.*-)?lipo(?:-[\d.]+)?|dsymutil(?:-[\d.]+)?"
"""Programs that clang runs to make one file for several -arch."""
