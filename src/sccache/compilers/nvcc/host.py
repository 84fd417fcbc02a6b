"""What words for the host compiler say: files that it would make beside the object, this machine's processor, packed text.

nvcc runs the host compiler several times, with these words each time, and its files are called after nvcc's temporary ones.

Owns: these judgements.  Must not know: nvcc's options.
"""

from collections.abc import Sequence

from msgspec import Struct

from sccache.compilers import arguments
from sccache.compilers.arguments import Argument, MissingValue
from sccache.compilers.c_family import option_tables
from sccache.model import CannotCache, Colour

_C = arguments.Role
_MAKES_MORE = frozenset(
    {
        *(_C.OUTPUT, _C.OUTPUT_FILE, _C.COMPILE, _C.ASSEMBLE, _C.PRECOMPILE, _C.LLVM_OUTPUT, _C.PCH_OUTPUT, _C.NOT_COMPILATION),
        *(_C.DEP_ALL, _C.DEP_USER, _C.DEP_PATH, _C.COVERAGE_NOTES, _C.NOTES_PATH, _C.PROFILE_GENERATE, _C.PROFILE_USE),
        *(_C.PROFILE_INSTR_USE, _C.PROFILE_DIRECTORY, _C.PROFILE_PREFIX, _C.AUTO_PROFILE, _C.SPLIT_DWARF, _C.SPLIT_DWARF_KIND),
        *(_C.STACK_USAGE, _C.CALLGRAPH, _C.OPT_RECORD, _C.OPT_RECORD_PATH, _C.OPT_INFO, _C.DUMP_BASE, _C.DUMP_EXT, _C.DUMP_DIR),
        *(_C.MODULE_OUTPUT, _C.MODULE_OUTPUT_PATH, _C.TOO_HARD, _C.TOO_HARD_WHEN_COMPILING),
    }
)
_PACKING = ("-flto", "-gz", "-Wa,--compress-debug-sections", "--compress-debug-sections")
_COLOURS = {_C.COLOUR_ALWAYS: Colour.ALWAYS, _C.COLOUR_NEVER: Colour.NEVER}
_COLOURS_WHEN = {colour.value: colour for colour in Colour}


class HostWords(Struct, frozen=True):
    """What follows from words for the host compiler."""

    refusal: CannotCache | None = None
    native_cpu: bool = False
    packs: bool = False
    """Outputs hold text in a form that cannot be searched."""
    colour: Colour = Colour.AUTO


def judge(words: Sequence[str]) -> HostWords:
    """What these words say to gcc or, just as well, to clang."""
    if not words:
        return HostWords()
    said = [argument for family in ("gcc", "clang") for argument in _split(family, words)]
    colours = [colour for colour in map(_colour, said) if colour is not None]
    return HostWords(
        refusal=next((CannotCache(argument.name, f"-Xcompiler {argument.words[0]}") for argument in said if _makes_more(argument)), None),
        native_cpu=any(argument.role is _C.CPU and argument.value.startswith("native") for argument in said),
        packs=any(word.startswith(_PACKING) for word in words),
        colour=colours[-1] if colours else Colour.AUTO,
    )


def _split(family: str, words: Sequence[str]) -> tuple[Argument, ...]:
    found = option_tables(family).driver.split(words, double_dash=False)
    return () if isinstance(found, MissingValue) else found


def _makes_more(argument: Argument) -> bool:
    return argument.role in _MAKES_MORE or (argument.role is _C.TO_PREPROCESSOR and ",-M" in argument.words[0])


def _colour(argument: Argument) -> Colour | None:
    return _COLOURS_WHEN.get(argument.value) if argument.role is _C.COLOUR_WHEN else _COLOURS.get(argument.role)
