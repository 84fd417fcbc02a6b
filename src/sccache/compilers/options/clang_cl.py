"""clang-cl's options over those that it shares with cl.  Data only.

DRIVER's rows fit both prefixes, CORE's only `-`: those are options of clang's own driver.  Sources: `clang-cl /?` and `-###` of clang 14,
LLVM's documentation for later ones.  What stands behind /clang: and -Xclang is looked up in clang's table.
"""

from sccache.compilers.arguments import Takes
from sccache.compilers.options.msvc import Option, Role

_NOTHING, _NEXT, _JOINED, _EITHER = Takes.NOTHING, Takes.NEXT, Takes.JOINED, Takes.EITHER

TOOLS = r"clang-cl(?:-[\d.]+)?(?:\.exe)?|lld-link(?:-[\d.]+)?|llvm-(?:lib|ml|mt|rc)(?:-[\d.]+)?"
"""Programs that clang-cl runs of itself, beside clang's."""

VARIABLES = ("CL", "_CL_", "INCLUDE", "EXTERNAL_INCLUDE", "SOURCE_DATE_EPOCH", "CCC_OVERRIDE_OPTIONS")
"""Always in the key; clang-cl is seen to read them, too."""

_DIRECTORIES = ("/imsvc", "/winsysroot", "/vctoolsdir", "/winsdkdir", "/diasdkdir", "/vctoolsversion", "/winsdkversion")

FLAGS = (
    *("/Brepro", "/Brepro-", "/C", "/FC", "/GA", "/GF", "/GF-", "/GH", "/GL-", "/GR", "/GR-", "/GS", "/GS-", "/GT", "/GX", "/GX-"),
    *("/GZ", "/Gd", "/Ge", "/Gh", "/Gr", "/Gregcall", "/Gv", "/Gw", "/Gw-", "/Gy", "/Gy-", "/Gz", "/J", "/JMC", "/LD"),
    *("/LDd", "/MD", "/MDd", "/MT", "/MTd", "/Qpar", "/Qvec", "/Qvec-", "/Qspectre", "/QIntel-jcc-erratum"),
    *("/W0", "/W1", "/W2", "/W3", "/W4", "/WL", "/WX", "/WX-", "/Wall", "/Wp64", "/X", "/Yd", "/Zg", "/Zl", "/ZW", "/Za", "/Ze"),
    *("/Zc:__cplusplus", "/bigobj", "/d1PP", "/fsanitize=address", "/fsanitize-address-use-after-return", "/homeparams", "/hotpatch"),
    *("/kernel", "/kernel-", "/nologo", "/permissive", "/permissive-", "/sdl", "/sdl-", "/showFilenames", "/showFilenames-", "/u"),
    *("/utf-8", "/validate-charset", "/validate-charset-", "/vmb", "/vmg", "/vmm", "/vms", "/vmv", "/volatile:iso", "/volatile:ms", "/w"),
)

_VALUED = (
    *("/EH", "/Gs", "/O", "/Qvec-report:", "/Qpar-report:", "/RTC", "/Zc:", "/Zm", "/Zo", "/Zp", "/arch:", "/await", "/cgthreads", "/clr"),
    *("/constexpr:", "/d1", "/d2", "/execution-charset:", "/experimental:", "/external:", "/favor:", "/fp:", "/guard:", "/source-charset:"),
    *("/std:", "/vd", "/w1", "/w2", "/w3", "/w4", "/wd", "/we", "/wo", "/F", "/Fe", "/Fi", "/Fm", "/V"),
)

DRIVER = (
    # Known, hashed: any other word that begins with `/` is a path.
    *(Option(name, _NOTHING, Role.KEY) for name in FLAGS),
    *(Option(name, _JOINED, Role.KEY) for name in _VALUED),
    *(Option(name, _EITHER, Role.KEY) for name in _DIRECTORIES),
    *(
        Option(name, _JOINED, Role.TOO_HARD) for name in ("/Fo:", "/Fd:", "/Fa:", "/Fp:")
    ),  # clang 14 takes the colon for the name's beginning
    Option("/FA", _NOTHING, Role.LISTING),
    *(Option(name, _NOTHING, Role.KEY) for name in ("/FAc", "/FAs", "/FAu", "/FAcs", "/FAcsu")),  # ignored, with a warning
    Option("/o", _EITHER, Role.OUTPUT),
    *(Option(name, _NOTHING, Role.KEY) for name in ("/openmp", "/openmp-", "/openmp:experimental")),  # others are /o with a name
    Option("/MP", _JOINED, Role.KEY),  # ignored, with a warning
    Option("/ZI", _NOTHING, Role.KEY),  # ignored, with a warning
    Option("/sourceDependencies", _EITHER, Role.KEY),  # the same
    Option("/tune:", _JOINED, Role.CPU),
    Option("/clang:", _JOINED, Role.TO_DRIVER),
)

_COVERAGE = ("--coverage", "-coverage", "-ftest-coverage", "-ftime-trace", "-ftime-trace=", "-ftime-report", "-fproc-stat-report")
_FILES = ("-fthin-link-bitcode=", "-foptimization-record-file=", "-fsave-optimization-record", "-fmodules", "-fbuild-session-file=")
_READ = (
    *("-fsanitize-blacklist=", "-fsanitize-ignorelist=", "-fsanitize-system-ignorelist=", "-fprofile-list=", "-fprofile-remapping-file="),
    *("-fsanitize-coverage-allowlist=", "-fsanitize-coverage-ignorelist=", "-fprofile-sample-use=", "-fmodule-map-file="),
)

PACKS = (
    *("-flto", "-fprofile-generate", "-fprofile-instr", "-fcoverage-mapping", "-fcs-profile-generate", "-fembed-bitcode", "-gz"),
    *("-fthin", "-emit-llvm", "--compress-debug"),
)
"""Beginnings of options with which names are in the object in a form that cannot be searched: packed, compressed."""

CORE = (
    Option("-Xclang", _NEXT, Role.TO_FRONTEND),
    Option("-mllvm", _NEXT, Role.TO_BACKEND),
    Option("-Xclang=", _JOINED, Role.TO_FRONTEND),
    *(Option(name, _NEXT, Role.TOO_HARD) for name in ("-Xanalyzer", "--config", "-MJ")),
    *(Option(name, _JOINED, Role.TOO_HARD) for name in ("--config=", "--driver-mode=", "-fplugin=", "-fpass-plugin=", "-save-temps")),
    *(Option(name, _JOINED, Role.TOO_HARD) for name in (*_COVERAGE, *_FILES)),
    *(Option(name, _JOINED, Role.KEY) for name in _READ),
    *(Option(name, _NEXT, Role.KEY) for name in ("-target", "-resource-dir", "-fdebug-compilation-dir", "-isystem")),
    *(Option(name, _JOINED, Role.PACKS) for name in PACKS),
    *(Option(name, _JOINED, Role.DEBUG_EMBEDDED) for name in ("-gdwarf", "-gcodeview", "-gline-tables-only", "-gline-directives-only")),
    *(Option(name, _JOINED, Role.CPU) for name in ("-march=", "-mcpu=", "-mtune=")),
    Option("-fcolor-diagnostics", _NOTHING, Role.COLOUR_ALWAYS),
    Option("-fno-color-diagnostics", _NOTHING, Role.COLOUR_NEVER),
    *(Option(name, _JOINED, Role.CONTEXT) for name in ("-fansi-escape-codes", "-fdiagnostics-absolute-paths", "-fmessage-length=")),
    *(Option(name, _JOINED, Role.CONTEXT) for name in ("-fdiagnostics-format=", "-fdiagnostics-parseable-fixits")),
    *(Option(name, _NOTHING, Role.NOT_COMPILATION) for name in ("-fsyntax-only", "-###", "--version", "--help", "-help", "--analyze")),
    Option("--help-hidden", _NOTHING, Role.NOT_COMPILATION),
    Option("-emit-ast", _NOTHING, Role.NOT_COMPILATION),
)
