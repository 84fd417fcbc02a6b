"""What `nvcc --dryrun --keep --keep-dir DIRECTORY` prints: the commands that nvcc would run, as steps with names of ours.

    <output> ::= (<line> newline)*
    <line>   ::= "#$ " name "=" text          ; a variable that nvcc sets for what it runs
               | "#$ -- Filter Dependencies -- > " file
               | "#$ " command                ; as it would be given to a shell
               | text                         ; nvcc's own messages

    Names that a step is given, below the directory (`x` is the source's name without its ending):
        host/       x.cpp4.ii x.cudafe1.cpp x.module_id x.fatbin x.fatbin.c
        compute_80/ x.cpp1.ii x.cudafe1.c x.cudafe1.stub.c x.cudafe1.gpu x.ptx x.ltoir x.sm_80.cubin

nvcc's own names depend on which other architectures there are ("x.ptx" if there is one, "x.compute_80.ptx" if there are more), and part of
them stands in what the steps write.  With these names a step for one architecture is the same whatever the others are.
Sources: nvcc 13.0's output, "CUDA Compiler Driver NVCC" (NVIDIA), chapter "The CUDA Compilation Trajectory"; reference 10.2, 10.3.

Owns: reading that, the names.  Must not know: files, processes, caching.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from enum import Enum

from msgspec import Struct

FLAGS = ("--dryrun", "--keep", "--keep-dir")
"""To be given before nvcc's own arguments, with the directory after the last one."""


class Kind(Enum):
    """What a step does, in nvcc's order for one architecture."""

    PREPROCESS = "preprocess"
    CUDAFE = "cudafe++"
    CICC = "cicc"
    PTXAS = "ptxas"
    FATBINARY = "fatbinary"
    COMPILE = "compile"


class Step(Struct, frozen=True):
    """One command."""

    kind: Kind
    program: str
    """As written: a name to be looked for in the plan's PATH, or a path."""
    args: tuple[str, ...]
    """After the program."""
    source: str
    """The intermediate file that it works on; of a preprocessor that which it makes."""
    outputs: tuple[tuple[str, str], ...]
    """(role, absolute path) of the intermediate files that it makes."""
    level: int
    """Steps of one level need nothing of each other, only what lower levels make."""


class Plan(Struct, frozen=True):
    """What nvcc would do."""

    variables: Mapping[str, str]
    """Set for all steps."""
    steps: tuple[Step, ...]
    """In nvcc's order."""
    links: tuple[tuple[str, str], ...]
    """(there, where it is wanted too): the stub that the host's source includes."""
    copies: tuple[tuple[str, str], ...]
    """(intermediate file, where the user wants it as the result)."""
    depfile: str
    """The dependency file that nvcc itself would write; empty for none."""
    target: str
    """What the dependency file is about, if the command line does not say: the result."""
    messages: str
    """What nvcc itself said."""


class Unsuitable(Struct, frozen=True):
    """Not a plan that can be followed, and why."""

    reason: str


_VARIABLE = re.compile(r"#\$ ([A-Z_][A-Z0-9_]*)=(.*)", re.ASCII | re.DOTALL)
_DEPENDENCIES = "#$ -- Filter Dependencies -- > "
_USE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PLAIN = re.compile(r"[\w.+@-]+", re.ASCII)
_CICC_OUTPUTS = {
    "--gen_c_file_name": ("c", ".cudafe1.c"),
    "--stub_file_name": ("stub", ".cudafe1.stub.c"),
    "--gen_device_file_name": ("gpu", ".cudafe1.gpu"),
    "-o": ("out", ""),
    "-olto": ("lto", ".ltoir"),
}
"""Option of cicc before a file that it makes → role, ending."""
_TOOLS = {"cudafe++": Kind.CUDAFE, "cicc": Kind.CICC, "ptxas": Kind.PTXAS, "fatbinary": Kind.FATBINARY}
_CREATES = "--create="
_EMBEDS = "--embedded-fatbin="
_HOST = "host"
_LEVELS = {kind: 10 * place for place, kind in enumerate(Kind)}
"""At least; what needs another step of its kind comes later (-fatbin: one cicc makes the module's identity for the others)."""


def parse(text: str, directory: str) -> Plan | Unsuitable:
    """The plan in nvcc's stderr; `directory` was given as --keep-dir."""
    try:
        return _Reader(directory).plan(text)
    except _UnsuitableError as e:
        return Unsuitable(str(e))


class _UnsuitableError(Exception):
    """What has been read is not understood."""


class _Reader:
    def __init__(self, directory: str) -> None:
        self._directory = directory.rstrip("/")
        self._stem = ""
        self._names: dict[str, str] = {}
        self._stubs: dict[str, str] = {}
        self._made: dict[str, int] = {}
        self._links: list[tuple[str, str]] = []
        self._copies: list[tuple[str, str]] = []

    def plan(self, text: str) -> Plan:
        variables: dict[str, str] = {}
        commands: list[list[str]] = []
        messages, depfile = "", ""
        for line in text.splitlines(keepends=True):
            content = line.rstrip("\r\n")
            variable = _VARIABLE.fullmatch(content)
            if variable:
                variables[variable[1]] = variable[2]
            elif content.startswith(_DEPENDENCIES):
                depfile = content.removeprefix(_DEPENDENCIES).strip()
            elif content.startswith("#$ "):
                commands.append(_words(content[3:], variables))
            else:
                messages += line
        steps = self._steps([words for words in commands if os.path.basename(words[0]) != "rm"])
        if self._stubs:
            raise _UnsuitableError("the host's source includes a stub that no step makes")
        target = self._copies[0][1] if self._copies else _value(steps[-1].args, "-o") or _joined(steps[-1].args, _CREATES)
        return Plan(variables, steps, tuple(self._links), tuple(self._copies), depfile, target, messages)

    def _steps(self, commands: Sequence[Sequence[str]]) -> tuple[Step, ...]:
        kinds = [_kind(words) for words in commands]
        ciccs = [words for kind, words in zip(kinds, commands, strict=True) if kind is Kind.CICC]
        if not ciccs or kinds.count(Kind.CUDAFE) > 1 or kinds.count(Kind.FATBINARY) > 1 or kinds.count(Kind.COMPILE) > 1:
            raise _UnsuitableError("not one compile for devices")
        identity = _value(ciccs[0], "--module_id_file_name")
        self._stem = os.path.basename(identity).removesuffix(".module_id")
        if not _PLAIN.fullmatch(self._stem):
            raise _UnsuitableError("the source's name")
        for kind, words in zip(kinds, commands, strict=True):
            if kind is Kind.CICC:
                self._name_group(words)
        self._name(identity, _HOST, ".module_id")
        return tuple(self._step(kind, words) for kind, words in zip(kinds, commands, strict=True))

    def _name(self, old: str, group: str, ending: str) -> str:
        """Our name of an intermediate file; of a result that the user wants elsewhere, the one from which it is copied."""
        new = f"{self._directory}/{group}/{self._stem}{ending}"
        if old.startswith(self._directory + "/") and self._names.setdefault(old, new) != new:
            return self._names[old]
        return new

    def _name_group(self, words: Sequence[str]) -> None:
        """Files of one architecture: what cicc reads, before it is known who makes it."""
        group = _value(words, "-arch")
        text = next((word for word in words if word.endswith(".cpp1.ii")), "")
        if not _PLAIN.fullmatch(group) or not text:
            raise _UnsuitableError("cicc without an architecture or a source")
        if f"{self._directory}/{group}/{self._stem}.cpp1.ii" in self._names.values():
            raise _UnsuitableError("one architecture twice")
        self._name(text, group, ".cpp1.ii")
        if "--gen_module_id_file" in words:
            self._name(_value(words, "--module_id_file_name"), group, ".module_id")

    def _step(self, kind: Kind, words: Sequence[str]) -> Step:
        program, args = words[0], list(words[1:])
        source, outputs = _ROWS[kind](self, args)
        made = {path for _, path in outputs}
        args = [self._renamed(word) for word in args]
        read = {path for word in args for path in self._intermediate(word)} - made
        if not read <= self._made.keys() | {new for _, new in self._links}:
            raise _UnsuitableError(f"{kind.value} reads what no step makes")
        level = max([_LEVELS[kind], *(self._made[path] + 1 for path in read & self._made.keys())])
        self._made |= dict.fromkeys(made, level)
        return Step(kind, program, tuple(args), source, tuple(outputs), level)

    def _intermediate(self, word: str) -> list[str]:
        return re.findall(re.escape(self._directory) + r"/[\w.+@/-]+", word)

    def _renamed(self, word: str) -> str:
        if self._directory not in word:
            return word
        ours = set(self._names.values())
        for path in self._intermediate(word):
            new = self._names.get(path)
            if new is None and path not in ours:
                raise _UnsuitableError(f"an unknown intermediate file: {path}")
            if new is not None:
                word = word.replace(path, new)
        return word

    # How each kind is read: its source, and what it makes.  Names of outputs are entered, or replaced in `args`.

    def _preprocess(self, args: list[str]) -> tuple[str, list[tuple[str, str]]]:
        old = _value(args, "-o")
        path = self._name(old, _HOST, ".cpp4.ii") if old.endswith(".cpp4.ii") else self._names.get(old, "")
        if not path:
            raise _UnsuitableError("text that no step reads")
        return path, [("text", path)]

    def _cudafe(self, args: list[str]) -> tuple[str, list[tuple[str, str]]]:
        source = self._known(args[-1])
        stub = _value(args, "--stub_file_name")
        self._stubs[stub] = f"{self._directory}/{_HOST}/{self._stem}.cudafe1.stub.c"
        args[args.index("--stub_file_name") + 1] = f"{self._stem}.cudafe1.stub.c"
        outputs = [("cpp", self._name(_value(args, "--gen_c_file_name"), _HOST, ".cudafe1.cpp"))]
        if "--gen_module_id_file" in args:
            outputs.append(("module_id", self._known(_value(args, "--module_id_file_name"))))
        return source, outputs

    def _cicc(self, args: list[str]) -> tuple[str, list[tuple[str, str]]]:
        group = _value(args, "-arch")
        source = self._known(next(word for word in args if word.endswith(".cpp1.ii")))
        outputs = []
        for option, (role, ending) in _CICC_OUTPUTS.items():
            old = _value(args, option)
            if not old:
                continue
            new = self._output(old, group, ending or os.path.splitext(old)[1], args, option)
            outputs.append((role, new))
            if role == "stub" and os.path.basename(old) in self._stubs:
                self._links.append((new, self._stubs.pop(os.path.basename(old))))
        if "--gen_module_id_file" in args:
            outputs.append(("module_id", self._known(_value(args, "--module_id_file_name"))))
        return source, outputs

    def _ptxas(self, args: list[str]) -> tuple[str, list[tuple[str, str]]]:
        source = self._known(next((word for word in args if word.endswith(".ptx")), ""))
        group = os.path.basename(os.path.dirname(source))
        new = self._output(_value(args, "-o"), group, f".{_joined(args, '-arch=')}.cubin", args, "-o")
        return source, [("out", new)]

    def _output(self, old: str, group: str, ending: str, args: list[str], option: str) -> str:
        new = self._name(old, group, ending)
        if old not in self._names:  # the user's result
            args[args.index(option) + 1] = new
            self._names[new] = new
            self._copies.append((new, old))
        return new

    def _fatbinary(self, args: list[str]) -> tuple[str, list[tuple[str, str]]]:
        outputs = []
        for option, role, ending in ((_CREATES, "fatbin", ".fatbin"), (_EMBEDS, "embedded", ".fatbin.c")):
            old = _joined(args, option)
            if old.startswith(self._directory + "/"):
                outputs.append((role, self._name(old, _HOST, ending)))
        return "", outputs

    def _compile(self, args: list[str]) -> tuple[str, list[tuple[str, str]]]:
        return self._known(next((word for word in args if word.endswith(".cudafe1.cpp")), "")), []

    def _known(self, old: str) -> str:
        if old not in self._names:
            raise _UnsuitableError(f"an unknown intermediate file: {old}")
        return self._names[old]


_ROWS = {
    Kind.PREPROCESS: _Reader._preprocess,  # noqa: SLF001
    Kind.CUDAFE: _Reader._cudafe,  # noqa: SLF001
    Kind.CICC: _Reader._cicc,  # noqa: SLF001
    Kind.PTXAS: _Reader._ptxas,  # noqa: SLF001
    Kind.FATBINARY: _Reader._fatbinary,  # noqa: SLF001
    Kind.COMPILE: _Reader._compile,  # noqa: SLF001
}


def _kind(words: Sequence[str]) -> Kind:
    tool = _TOOLS.get(os.path.basename(words[0]))
    if tool is not None:
        return tool
    if "-E" in words and "-o" in words:
        return Kind.PREPROCESS
    if "-c" in words and "-o" in words:
        return Kind.COMPILE
    raise _UnsuitableError(f"an unknown step: {words[0]}")


def _words(command: str, variables: Mapping[str, str]) -> list[str]:
    """The words of a command as a shell would see them; redirections (of --threads) are left out."""

    def value(use: re.Match[str]) -> str:
        name = use[1] or use[2]
        if name not in variables:
            raise _UnsuitableError(f"a variable of a shell: {name}")
        return variables[name]

    command = _USE.sub(value, command)
    if "`" in command or "$" in command:
        raise _UnsuitableError("a command for a shell")
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        found = list(lexer)
    except ValueError as e:
        raise _UnsuitableError("a command for a shell") from e
    words: list[str] = []
    rest = iter(found)
    for word in rest:
        if word == ">":
            if words[-1:] == ["2"]:
                words.pop()
            next(rest, "")
        elif word and not word.strip("();<>|&"):
            raise _UnsuitableError("a command for a shell")
        else:
            words.append(word)
    if not words:
        raise _UnsuitableError("an empty command")
    return words


def _value(words: Sequence[str], option: str) -> str:
    """The word after an option; empty if there is none."""
    return words[words.index(option) + 1] if option in words[:-1] else ""


def _joined(words: Sequence[str], option: str) -> str:
    """The rest of the word that begins with an option; empty if there is none."""
    return next((word.removeprefix(option) for word in words if word.startswith(option)), "")
