"""What a command line of any other family means: a compile whose inputs nobody has to know, because they are observed.

A parser of such a family says only what no observer can see: that this is a compile, which files it writes, which of its arguments
change nothing, what it counts as (docs/decisions/0015).

Owns: ObservedArguments.  Must not know: how it is found, how observing works.
"""

from msgspec import Struct

from sccache.model import CannotCache, Colour, NotCompilation, Output


class ObservedArguments(Struct, frozen=True, kw_only=True):
    """A compile that can be cached.  Paths are as spelled, relative to the working directory or absolute."""

    family: str
    """As in the table of families: "nvcc", "clang-cl", "diab" …"""
    sources: tuple[str, ...]
    """What is compiled, mostly one file; their content is in the manifest's key.  All else that is read is observed."""
    outputs: tuple[Output, ...]
    """All files that the command line foresees, main output first.  Role "d": a make dependency file, "json": one in JSON; these are
    kept with directories marked and written anew for each checkout."""
    made_in: tuple[str, ...] = ()
    """Directories in which further files may be made, of names that only the run knows (kept intermediates, modules).  They are
    kept and restored too; without this a compile that makes more than `outputs` is not kept."""
    continued: tuple[str, ...] = ()
    """Outputs that the compiler continues where they exist (a program database): kept only if they were not there before."""
    key_args: tuple[str, ...]
    """All that can change an output or which messages there are, one word per option, in order; response files and variables with
    options expanded; without sources, outputs' names and context_args.  Outputs' names are in the key by themselves."""
    context_args: tuple[str, ...] = ()
    """What changes only the wording or the form of messages."""
    colour: Colour = Colour.AUTO
    native_cpu: bool = False
    """This machine's processor is an input."""
    hides_paths: bool = False
    """Outputs may hold paths in a form in which they cannot be found (compressed, UTF-16): the result serves this checkout only."""
    statistics_name: str
    """The plain name in the statistics (reference 1.5): "C/C++", "CUDA", "HIP" …"""
    advanced_name: str
    """The advanced one: "cuda [nvcc]" …"""


ParseResult = ObservedArguments | CannotCache | NotCompilation
