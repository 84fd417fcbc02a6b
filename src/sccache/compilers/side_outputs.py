"""What gcc and clang call the files that they write, when the command line does not say.

    gcc   <aux> ::= <directory of -o, or -dumpdir> <-dumpbase, or name of -o (else of the source) without its last extension>
    clang <aux> ::= <-o without its last extension> | <name of the source without its last extension>

Every rule here is checked by tests/unit/compilers/test_side_outputs.py against the files that the real compilers make.
Owns: these names.  Must not know: options.
"""

from msgspec import Struct

from sccache.model import Output


class Naming(Struct, frozen=True):
    """All that the names of side files depend on."""

    family: str
    source: str
    output: str
    """-o as spelled; empty when there is none."""
    assembly: bool = False
    """-S without -c."""
    dump_base: str | None = None
    dump_extension: str | None = None
    dump_directory: str | None = None


def stem(name: str) -> str:
    """A file name without directory and last extension, as make's suffix rules see it (`.hid` has an empty stem)."""
    base = name.rpartition("/")[2]
    return base.rpartition(".")[0] if "." in base else base


def default_main(naming: Naming, kind: str, *, header: bool) -> Output:
    """The main output where -o is missing; `kind` is its extension."""
    if header:
        return Output("pch", naming.source + ".gch")
    return Output(_MAIN_ROLES.get(kind, "obj"), f"{stem(naming.source)}.{kind}")


_MAIN_ROLES = {"s": "asm", "ll": "asm", "bc": "obj", "o": "obj", "pcm": "module"}


def depfile_path(naming: Naming) -> str:
    """Where -MD writes without -MF."""
    if not naming.output:
        return auxiliary(naming, ".d")
    directory, slash, base = naming.output.rpartition("/")
    return f"{directory}{slash}{base.rpartition('.')[0] if '.' in base else base}.d"


def auxiliary(naming: Naming, suffix: str) -> str:
    """The path of a side file such as .su, .gcno or .dwo."""
    return auxiliary_base(naming) + suffix


def dump_name(naming: Naming, suffix: str) -> str:
    """Like `auxiliary` for files that gcc counts among its dumps: the source's extension stays in the name."""
    if naming.dump_base:
        return _gcc_directory(naming) + naming.dump_base + suffix
    extension = naming.source.rpartition("/")[2].rpartition(".")
    return auxiliary_base(naming) + (f".{extension[2]}" if extension[1] else "") + suffix


def auxiliary_base(naming: Naming) -> str:
    """What all side files' names begin with."""
    if naming.family == "gcc":
        return _gcc_directory(naming) + _gcc_name(naming)
    if not naming.output:
        return stem(naming.source)
    directory, slash, base = naming.output.rpartition("/")
    return f"{directory}{slash}{stem(base)}"


def _gcc_directory(naming: Naming) -> str:
    if naming.dump_base and "/" in naming.dump_base:
        return ""
    if naming.dump_directory is not None:
        return naming.dump_directory
    directory, slash, _ = naming.output.rpartition("/")
    return directory + slash


def _gcc_name(naming: Naming) -> str:
    if naming.dump_base:
        extension = naming.dump_extension
        return naming.dump_base.removesuffix(extension) if extension else naming.dump_base
    base = (naming.output if naming.dump_base is None and naming.output else naming.source).rpartition("/")[2]
    return stem(base) or base


def imports(naming: Naming) -> str:
    """What -fdeps-format= writes: gcc's specification has `%{!o:%b.ddi}%{o*:%.ddi%*}`."""
    directory, slash, _ = naming.output.rpartition("/")
    return f"{directory}{slash}{stem(naming.output or naming.source)}.ddi"


def split_dwarf(naming: Naming) -> str:
    """The .dwo file: clang with -S names it after the source alone."""
    if naming.family == "clang" and naming.assembly:
        return stem(naming.source) + ".dwo"
    return auxiliary(naming, ".dwo")


def optimisation_record(naming: Naming, kind: str) -> str:
    """-fsave-optimization-record: clang strips an extension from the source's stem once more where -o is missing."""
    if naming.family == "gcc":
        return dump_name(naming, ".opt-record.json.gz")
    if naming.output:
        return auxiliary(naming, f".opt.{kind}")
    return f"{stem(stem(naming.source))}.opt.{kind}"
