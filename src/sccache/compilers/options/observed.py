"""What all observed families have in common.  Data only.

Sources: what gcc 12, clang 14 and nvcc 13.0 were seen to ask getenv for (native/observe_env.c); ld.so(8), GCC and POSIX manuals.
"""

from collections.abc import Mapping

TOOLS = (
    r"(?:.*-)?(?:cc|gcc|g\+\+|c\+\+|cpp|clang|clang\+\+|cc1|cc1plus|cc1obj|cc1objplus|gcc-ar|ar|as|ld|ld\.(?:bfd|gold|lld|mold)|collect2|lto-wrapper|lto1|lld|mold"
    r"|wild|dlltool|strip|objcopy|dwp|llvm-dwp)(?:-[\d.]+)?"
    r"|(?:da|ba|k|z)?sh|basename|cat|chmod|cp|cut|dirname|env|expr|false|grep|head|ln|ls|mkdir|mktemp|mv|readlink|realpath|rm|rmdir|sed|sort|tail|test|touch|tr|true|wc"
)
"""Programs that compilers and the scripts before them run; they read no other variables than those that we see them read.  A shell gets
its commands from a program or from a script, and what a script reads is in its text."""

_JOB_SERVER = "how many programs may run at once"
_TEMPORARY = "where temporary files are; their names are random anyway"
_LOOK = "the look of messages, which their context knows"

HARMLESS: Mapping[str, str] = {
    **dict.fromkeys(("MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS", "MAKELEVEL"), _JOB_SERVER),
    **dict.fromkeys(("TMPDIR", "TMP", "TEMP", "TEMPDIR"), _TEMPORARY),
    **dict.fromkeys(
        ("GCC_COLORS", "GCC_EXTRA_DIAGNOSTIC_OUTPUT", "GCC_URLS", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TERM_URLS"),
        _LOOK,
    ),
    **dict.fromkeys(
        ("CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "NOCOLOR", "TERM", "TERMINFO", "TERMINFO_DIRS"), _LOOK
    ),
    **dict.fromkeys(("SHLVL", "_", "OLDPWD", "PS1", "PS2", "PS4", "HISTFILE"), "a shell's own, told anew to each program"),
    "MALLOC_CONF": "how the allocator works",
}
"""Variable → why it changes neither outputs nor the words of messages."""

FINDING: Mapping[str, str] = {"PWD": "the working directory; where its name reaches a result, that is bound to it"}

FINDING_OPTIONS = (
    *(
        "-I",
        "-L",
        "-B",
        "-o",
        "-isystem",
        "-iquote",
        "-idirafter",
        "-include",
        "-imacros",
        "-isysroot",
        "--sysroot",
        "-imsvc",
        "/I",
        "/Fo",
        "/imsvc",
    ),
    *("-MF", "-MT", "-MQ", "--include-path", "--system-include", "-ffile-prefix-map=", "-fdebug-prefix-map=", "-fmacro-prefix-map="),
)
"""Beginnings of options whose values name files for the compiler alone; joined, or in the next word."""
