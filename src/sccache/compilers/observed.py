"""What a command line of any other family means: a compile whose inputs nobody has to know, because they are observed.

A parser of such a family says only what no observer can see: that this is a compile, which files it writes, which of its arguments
change nothing, what it counts as (docs/decisions/0015).

Owns: ObservedArguments, Rules.  Must not know: how they are found, how observing works.
"""

import re
from collections.abc import Mapping

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
    numbers_source: bool = False
    """The sources' devices and inodes are inputs."""
    hides_paths: bool = False
    """Outputs may hold paths in a form in which they cannot be found (compressed, UTF-16): the result serves this checkout only."""
    statistics_name: str
    """The plain name in the statistics (reference 1.5): "C/C++", "CUDA", "HIP" …"""
    advanced_name: str
    """The advanced one: "cuda [nvcc]" …"""


ParseResult = ObservedArguments | CannotCache | NotCompilation


class Rules(Struct, frozen=True):
    """What a family does of itself."""

    tools: re.Pattern[str]
    """Names of programs that it runs of itself; they read no other variables than those that we see them read."""
    harmless: Mapping[str, str]
    """Variables that its programs read and that change neither outputs nor messages, with the reason."""
    finding: Mapping[str, str]
    """Variables that lead to files and to nothing else: position does not matter, the files are inputs."""
    clock: str
    """The reasons not to keep a result: a program that is no tool read the clock,"""
    network: str
    """used the network,"""
    writes: str
    """made files that no command line foresees."""
    sources_have_dates: bool = False
    """__DATE__ and the like in a source are the clock's; the compiler reads it all the same."""
    asks_for_names: re.Pattern[bytes] | None = None
    """What a source says that may compute with the name of a file, which begins as the command line spells it; None: any may."""
    finding_options: tuple[str, ...] = ()
    """Beginnings of options whose values are names of files for the compiler, not for what is compiled."""
    dated: tuple[str, ...] = ()
    """Ends of names of files that hold other files' times: the compiler refuses them when one of those is newer."""
    remarks: re.Pattern[bytes] | None = None
    """What in an output tells when it was made, and nothing reads."""
    replaces_links: bool = False
    """Each output replaces what stands at its place, links too; else a compile whose output is a link is left to the compiler."""
    asks_licences: bool = False
    """Its programs ask a server whether they may run; what they are told decides nothing else."""
    known_script: re.Pattern[bytes] | None = None
    """What stands in the script that the compiler is: what that reads of the environment is in the table of families, and so in the key."""
    conceals: re.Pattern[bytes] | None = None
    """What in an output tells that names can be in it in a form in which they are not found: digests of them, compressed parts."""
    visits_temporary: bool = False
    """Opens the directory for temporary files without reading the names in it."""
