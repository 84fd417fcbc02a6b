"""Options of TASKING's VX toolsets that mean something to a cache.  Data only; any other is hashed and passed on.

Control programs (cctc, ccarm …) run C++ compiler, C compiler and assembler; compilers (ctc, carm …) make assembly, C++ compilers
(cptc, cparm …) C text.
Sources: reference 5.11; TASKING's manuals as publicly described; CMake's module for TASKING; make rules that AURIX Studio writes.
No TASKING compiler has run with this table.
"""

from collections.abc import Iterator, Mapping

from sccache.compilers.arguments import Option, Role, Takes

_NOTHING, _NEXT, _JOINED, _EITHER = Takes.NOTHING, Takes.NEXT, Takes.JOINED, Takes.EITHER


def _long(name: str, role: Role) -> Iterator[Option]:
    """A keyword option with a value: `--name=value` or `--name value`."""
    yield Option(name, _NEXT, role)
    yield Option(f"{name}=", _JOINED, role)


OBJECT = tuple(Option(name, _NOTHING, Role.COMPILE) for name in ("-c", "-co", "--create", "--create=object"))
ASSEMBLY = tuple(Option(name, _NOTHING, Role.ASSEMBLE) for name in ("-cs", "--create=assembly"))

OUTPUTS = (
    Option("-o", _EITHER, Role.OUTPUT),
    *_long("--output", Role.OUTPUT),
    Option("--dep-file", _NOTHING, Role.DEP_ALL),
    Option("--dep-file=", _JOINED, Role.DEP_ALL),
    *_long("--make-target", Role.DEP_TARGET),
)

OPTION_FILES = (Option("-f", _EITHER, Role.PASS), *_long("--option-file", Role.PASS))

_KEYWORDS = ("--define", "--undefine", "--include-directory", "--include-file", "--library-directory", "--cpu", "--core", "--lsl-file")

VALUES = (
    *(Option(name, _EITHER, Role.PASS) for name in ("-D", "-U", "-I", "-H", "-L", "-C", "-d")),
    *(option for name in _KEYWORDS for option in _long(name, Role.PASS)),
    # words for one tool: "-Wc-w544", or "-Wc -w544"
    *(Option(f"-W{tool}", _EITHER, Role.PASS) for tool in ("a", "c", "cp", "l", "m", "hl", "p", "pl")),
    Option("--force-c++", _NOTHING, Role.PLUSPLUS),
)

TELLS = (
    *(Option(name, _NOTHING, Role.NOT_COMPILATION) for name in ("--help", "--version", "-?", "-V")),
    Option("--help=", _JOINED, Role.NOT_COMPILATION),
    # linking alone, whatever is compiled on the way
    *(Option(name, _NOTHING, Role.NOT_COMPILATION) for name in ("-cl", "--create=relocatable")),
)

NOT_CACHED = (
    *(Option(name, _NOTHING, Role.TOO_HARD) for name in ("--dry-run", "-n", "--preprocess", "--check", "--stdout")),
    *(Option(name, _JOINED, Role.TOO_HARD) for name in ("-E", "--preprocess=")),
    # MIL: one file for several sources
    *(Option(name, _NOTHING, Role.TOO_HARD) for name in ("-cm", "--create=mil", "--mil", "--mil-link", "--mil-split")),
    Option("--mil-split=", _JOINED, Role.TOO_HARD),
    # messages or listings into files, temporary files in the working directory, the names of temporary files among messages
    *(Option(name, _NOTHING, Role.TOO_HARD_WHEN_COMPILING) for name in ("--keep-temporary-files", "-t", "-v", "--verbose")),
    *(Option(name, _JOINED, Role.TOO_HARD_WHEN_COMPILING) for name in ("--error-file", "--list-files")),
    # the compiler's own cache
    Option("--cache", _JOINED, Role.TOO_HARD_WHEN_COMPILING),
    # the C++ compiler's precompiled headers, and its output under another name
    Option("--pch", _NOTHING, Role.TOO_HARD_WHEN_COMPILING),
    *(option for name in ("--create-pch", "--gen-c-file-name") for option in _long(name, Role.TOO_HARD_WHEN_COMPILING)),
)

ROWS = (*OBJECT, *ASSEMBLY, *OUTPUTS, *OPTION_FILES, *VALUES, *TELLS, *NOT_CACHED)

LANGUAGES: Mapping[str, str] = {
    "c": "c",
    "ic": "cPreprocessed",
    **dict.fromkeys(("cc", "cpp", "cxx", "C"), "c++"),
    "src": "assembler",
    "asm": "assemblerToPreprocess",
}

_TARGETS = r"(?:tc|arm|mcs|arc|pcp|51|166|xc|stm8)"
CONTROL_PROGRAMS = rf"cc{_TARGETS}"
COMPILERS = rf"c{_TARGETS}"
PLUSPLUS_COMPILERS = rf"cp{_TARGETS}"
TOOLS = rf"(?:{CONTROL_PROGRAMS}|{COMPILERS}|{PLUSPLUS_COMPILERS}|(?:as|l|ar|pl|ml){_TARGETS})"
"""Control programs, compilers, assemblers, linkers, archivers."""

VARIABLES = ("CCTCBIN", "CCTCOPT", "CTCINC", "CTCLIB", "CPTCINC", "CCARMOPT", "CARMINC", "CARMLIB", "TASKING*")
"""Where tools, headers and libraries are, and further options; programs without preloading (32 bits, static) read them unseen."""

HARMLESS: Mapping[str, str] = dict.fromkeys(
    ("TSK_LICENSE_SERVER", "TSK_LICENSE_FILE", "TSK_LICENSE_KEY", "LM_LICENSE_FILE", "TASKING_LIC_WAIT"),
    "whether it may run, not what comes out",
)

FINDING = (
    "-f",
    "--option-file",
    "--dep-file",
    "--make-target",
    "--output",
    "--include-directory",
    "--include-file",
    "--library-directory",
    "-H",
    "-L",
)
"""Beginnings of options, beside those of all families, whose values are names for the compiler alone."""
