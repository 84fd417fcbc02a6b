"""What a cl or clang-cl command line means: the values that `command.parse` makes.

Owns: MsvcArguments.  Must not know: how they are found.
"""

from msgspec import Struct

from sccache.model import CannotCache, Colour, Language, NotCompilation, Output


class MsvcArguments(Struct, frozen=True):
    """A compile of one source that can be cached.  Paths are as spelled, relative to the working directory."""

    source: str
    language: Language
    outputs: tuple[Output, ...]
    """Object first; then pdb, asm, pch, json, d, tlh and tli, those that apply."""
    depfile: str = ""
    """A make dependency file (-clang:-MD)."""
    source_dependencies: str = ""
    """The JSON file of /sourceDependencies, one of the outputs; `-`: on standard output."""
    shows_includes: str = ""
    """`all` or `user`: notes about included files are among the messages (includes.py)."""
    key_args: tuple[str, ...] = ()
    """All that can change an output or which messages exist, in order and spelled with `/` where cl knows the option; response
    files and the variables CL and _CL_ expanded.  Without source and context_args; the object's name only where the object holds it."""
    context_args: tuple[str, ...] = ()
    argument_files: tuple[str, ...] = ()
    named_files: tuple[str, ...] = ()
    """Files that options name and that are surely read."""
    search_variables: tuple[str, ...] = ()
    """Environment variables with directories that the compiler searches."""
    continued: tuple[str, ...] = ()
    """Outputs that the compiler continues where they exist (a pdb): the result may be kept only if they were not there before."""
    makes_pch: str = ""
    uses_pch: str = ""
    records_cwd: bool = False
    """The object holds the working directory or the object's own path."""
    hides_paths: bool = False
    """Outputs may hold paths in a form in which they cannot be found."""
    native_cpu: bool = False
    colour: Colour = Colour.AUTO
    human: bool = True
    statistics_name: str = "C/C++"
    advanced_name: str = ""
    """As in reference 1.5: `c [msvc]`, `c++ [clang]`."""


ParseResult = MsvcArguments | CannotCache | NotCompilation
