"""What a rustc command line means: the values that `command.parse` makes.

Owns: RustArguments, RustQuery.  Must not know: how they are found.
"""

from msgspec import Struct

from sccache.model import CannotCache, Colour, NotCompilation, Output


class RustArguments(Struct, frozen=True):
    """A compile that can be cached.  Paths are as spelled, relative to the working directory."""

    crate_name: str
    source: str
    out_dir: str
    extra_filename: str = ""
    crate_types: tuple[str, ...] = ()
    """In the order of the command line, without doubles; `lib` is called rlib.  --test makes a bin, whatever types are given."""
    emit: tuple[str, ...] = ()
    """Kinds, without doubles."""
    outputs: tuple[Output, ...] = ()
    """Main output first, dep-file last; each as rustc would write its path."""
    depinfo: str = ""
    links: bool = False
    """A linker is run."""
    externs: tuple[tuple[str, str], ...] = ()
    """(name, path); the path is empty where rustc searches."""
    crate_dirs: tuple[str, ...] = ()
    """Where rustc searches crates: -L of kinds crate, dependency and all."""
    dependency_dirs: tuple[str, ...] = ()
    """Those of kind dependency: there rustc searches only crates whose hash a dependent has recorded."""
    native_dirs: tuple[str, ...] = ()
    """Where libraries are searched: -L of kinds native, framework and all."""
    native_libs: tuple[str, ...] = ()
    """Values of -l."""
    argument_files: tuple[str, ...] = ()
    """@files, without the @."""
    named_files: tuple[str, ...] = ()
    """Files that options name and that are surely read: a target's description, a profile."""
    linker: str = ""
    target: str = ""
    """As spelled: a name or a JSON file."""
    key_args: tuple[str, ...] = ()
    """All that can change an output or which messages exist, one word per option, in order; without source and context_args."""
    context_args: tuple[str, ...] = ()
    """What changes only the wording or the form of messages."""
    has_artifacts: bool = False
    """Each output is announced on stderr once it is there (--json=artifacts)."""
    human: bool = True
    """Messages are for people, not JSON."""
    colour: Colour = Colour.AUTO
    native_cpu: bool = False
    """This machine's processor is an input."""
    hides_paths: bool = False
    """Outputs may hold paths in a form in which they cannot be found."""
    writes_more: tuple[str, ...] = ()
    """Options because of which there are outputs that --emit does not name; all of them are among `outputs`, not required."""


class RustQuery(Struct, frozen=True):
    """A question that compiles nothing; compiler, arguments, named files and (reads_stdin) standard input make the answer."""

    key_args: tuple[str, ...]
    """All arguments, one word per option, in order."""
    reads_stdin: bool = False
    named_files: tuple[str, ...] = ()
    """A target's description, @files."""
    native_cpu: bool = False


ParseResult = RustArguments | RustQuery | CannotCache | NotCompilation
