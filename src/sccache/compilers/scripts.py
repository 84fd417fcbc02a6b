"""Which variables a script can read, by its text.

An interpreter has its variables from the environment as a whole, so no observer sees which of them a script asks for.  The text tells,
as long as every name stands in it: a name that is put together at run time, another file of commands, a list of all variables end that,
and then the whole environment counts.  Too many names do no harm: each is one more variable that has to be as it was.

Sources: POSIX shell command language 2.5.3 and 2.6; bash(1) "Shell Variables", "Shell Function Definitions"; dash(1); perlrun(1),
perlvar(1) "%ENV".
Owns: that judgement.  Must not know: who runs the script.
"""

import os
import re

MAX_SCRIPT_BYTES = 64 << 10
"""A longer one names so many words that the whole environment is as good."""

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh"})
_IMPORT_FUNCTIONS = frozenset({"sh", "bash"})
"""bash takes functions from the environment, and is sh in many places: BASH_FUNC_name%% replaces a command of the script."""
_OF_ANY_SHELL = frozenset(
    {"BASHOPTS", "BASH_COMPAT", "BASH_ENV", "CDPATH", "ENV", "EXECIGNORE", "GLOBIGNORE", "HOME", "IFS", "PATH", "POSIXLY_CORRECT"}
    | {"LANG", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "SHELLOPTS"}
)
"""What changes how a shell works, whether the script names it or not."""

_COMMENT = re.compile(rb"^[ \t]*#[^$`\n]*$", re.MULTILINE)
"""A line with an expansion may be part of a quotation after all."""
_EXPANDED = re.compile(rb"\$\{?[#!]?([A-Za-z_]\w*)")
_WORD = re.compile(rb"(?<![\w])[A-Za-z_]\w*")
_COMMAND = re.compile(rb"[^\s\"'`$(){};|&<>=\\]+")
_UNTOLD_BY_SHELLS = re.compile(
    rb"""
    \$\{! | @P\} | -v[ \t]+["']?\$                             # the name is another variable's value
    | \beval\b | \bprintenv\b | \benv\b | \bcompgen\b | \bnameref\b | \bENVIRON\b | /proc\b | \bSHELL\b | \bBASH\b
    | \b(?:export|readonly|declare|typeset|local|set)[ \t]*(?:-[a-zA-Z]*[pn]\b|$|[;|&>)`])     # lists them, or gives a name to a name
    | (?:^|[;&|({`!]|\b(?:then|else|do|if|while|until|exec|command|builtin|time))[ \t]*(?:\.|source)[ \t]   # other files of commands
    | (?<![\w.$\{-])(?:[\w./-]*/)?(?:sh|bash|dash|ash|ksh|ksh93|mksh|zsh|csh|tcsh|fish|busybox)(?![\w.=-])
    """,
    re.MULTILINE | re.VERBOSE,
)

_CLOCK_OF_SHELLS = re.compile(rb"\b(?:EPOCHREALTIME|EPOCHSECONDS|S?RANDOM|SECONDS|BASHPID|PPID)\b|%[\d-]*\(|\$\$")

_PERL_ENTRY = re.compile(rb"\$ENV\{[ \t]*(?:(\w+)|\"(\w+)\"|'(\w+)')[ \t]*\}")
_UNTOLD_BY_PERL = re.compile(
    rb"\bENV\b|getenv|\beval\b|\brequire\b|\bdo[ \t]+[^{\s]|\$\^X|/proc\b|\bperl\b|\bno[ \t]+strict\b|\b(?:ba|da|k|z|c)?sh\b"
)
_PERL_USE = re.compile(rb"^[ \t]*(?:use|no)[ \t]+([\w:.]+)", re.MULTILINE)
_PERL_TEXT = re.compile(rb"^=[a-z].*?(?:^=cut.*?$|\Z)|^__(?:END|DATA)__$.*\Z", re.MULTILINE | re.DOTALL)
_PERL_MODULES = re.compile(
    rb"v?[\d._]+|strict|warnings|utf8|integer|constant|vars|Carp|Cwd|File::(?:Basename|Copy|Path|Spec(?:::Functions)?)"
)
"""Those whose own variables are known: the names below."""
_CLOCK_OF_PERL = re.compile(rb"\b(?:time|localtime|gmtime|rand|strftime|HiRes)\b|\$\^T|\$\$(?![\w{])|-[MAC][ \t]+[$\"'\w]")
_OF_PERL = frozenset(
    {"PERL5DB", "PERL5LIB", "PERL5OPT", "PERLIO", "PERLLIB", "PERL_UNICODE", "PWD", "TMPDIR", "LC_ALL", "LC_CTYPE", "LANG"}
)


def variables(path: str, content: bytes) -> frozenset[str] | None:  # noqa: ARG001 -- a language may show by the name one day
    """Names of variables that the script's text can read; None where that cannot be told."""
    if len(content) > MAX_SCRIPT_BYTES or b"\0" in content:
        return None
    interpreter = interpreter_of(content)
    if interpreter in _SHELLS:
        return _of_shell(_body(content), imports_functions=interpreter in _IMPORT_FUNCTIONS)
    if interpreter == "perl":
        return _of_perl(_body(content))
    return None


def reads_clock(content: bytes) -> bool:
    """Whether the script's own language tells it the time or a random number; what it runs for that is seen by itself."""
    interpreter = interpreter_of(content)
    if interpreter in _SHELLS:
        return _CLOCK_OF_SHELLS.search(content) is not None
    return interpreter == "perl" and _CLOCK_OF_PERL.search(content) is not None


def interpreter_of(content: bytes) -> str:
    """The name of the program that runs a script, without its directory; empty where the first line is not understood.

    What has no such line is refused by the kernel and run by a shell.
    """
    if not content.startswith(b"#!"):
        return "sh"
    words = os.fsdecode(content.partition(b"\n")[0]).removeprefix("#!").split()
    if not words:
        return ""
    name = os.path.basename(words[0])
    rest = words[1:]
    if name == "env":
        name, rest = (os.path.basename(rest[0]), rest[1:]) if rest else ("", [])
    is_plain = all(re.fullmatch(r"-[euwxTW]+", word) for word in rest)
    return name if is_plain else ""


def _body(content: bytes) -> bytes:
    return content.partition(b"\n")[2] if content.startswith(b"#!") else content


def _of_shell(body: bytes, *, imports_functions: bool) -> frozenset[str] | None:
    commands = _COMMENT.sub(b"", body).replace(b"\\\n", b"")
    if _UNTOLD_BY_SHELLS.search(commands):
        return None
    names = set(_WORD.findall(commands))
    if imports_functions:
        names |= {b"BASH_FUNC_%b%%%%" % command for command in _COMMAND.findall(commands)}
    return frozenset(name.decode("latin-1") for name in names if name.isascii()) | _OF_ANY_SHELL


def _of_perl(body: bytes) -> frozenset[str] | None:
    """Beside entries of %ENV, what a command that perl gives to a shell may expand."""
    code = _COMMENT.sub(b"", _PERL_TEXT.sub(b"", body))
    if not all(_PERL_MODULES.fullmatch(name) for name in _PERL_USE.findall(code)):
        return None
    entries = _PERL_ENTRY.findall(code)
    rest = _PERL_ENTRY.sub(b"", code)
    if _UNTOLD_BY_PERL.search(rest):
        return None
    names = {*(name for entry in entries for name in entry if name), *_EXPANDED.findall(rest)}
    return frozenset(name.decode("latin-1") for name in names if name.isascii()) | _OF_PERL
