"""Understand a rustc command line: what it compiles, what it reads and writes, and what makes its result.

    parse ::= @files, split, gather by role, put together

Owns: `parse` and the rules that need the whole command line.  Must not know: requests, the daemon, keys' hashing.
I/O: reads @files and a target's description.
"""

from collections.abc import Mapping, Sequence

from sccache.compilers.options.rustc import Role
from sccache.compilers.rust.gathered import Gathered
from sccache.compilers.rust.meanings import take
from sccache.compilers.rust.outputs import outputs
from sccache.compilers.rust.values import ParseResult, RustArguments, RustQuery
from sccache.compilers.rust.words import expand, spelled, split
from sccache.model import CannotCache, NotCompilation

__all__ = ["ParseResult", "RustArguments", "RustQuery", "parse"]

LINKED = frozenset({"bin", "dylib", "cdylib", "proc-macro"})
CRATE_TYPES = LINKED | {"rlib", "staticlib"}
EMITTED = frozenset({"link", "metadata", "dep-info"})


def parse(argv: Sequence[str], cwd: str, env: Mapping[str, str], *, cache_linked: bool = True) -> ParseResult:  # noqa: ARG001 -- the plan's interface
    """Understand one command line; `argv` is without the compiler and without the compiler's name that a wrapper gets."""
    expanded = expand(argv, cwd)
    if isinstance(expanded, CannotCache):
        return expanded
    words = split(expanded.words)
    if isinstance(words, CannotCache):
        return words
    gathered = Gathered(cwd)
    for word in words:
        take(gathered, word)
    if gathered.asks or gathered.tells:
        return _question(gathered, tuple(spelled(word) for word in words), expanded.files)
    return gathered.refusal or _refusal(gathered, cache_linked=cache_linked) or _compile(gathered, expanded.files)


def _question(found: Gathered, words: tuple[str, ...], argument_files: tuple[str, ...]) -> RustQuery | NotCompilation:
    sources = [] if Role.VERSION in found.seen else found.sources  # the version is told before any source is read
    if found.tells or sources not in ([], ["-"]):
        return NotCompilation(found.tells or "--print")
    named_files = (*found.named_files, *argument_files)
    return RustQuery(words, reads_stdin=bool(sources), named_files=named_files, native_cpu=found.native_cpu)


def _refusal(found: Gathered, *, cache_linked: bool) -> CannotCache | NotCompilation | None:
    """Why a compile is not cached; the order is the reference's (11.1)."""
    for missing, value in (
        ("missing input", found.sources),
        ("missing output_dir", found.out_dir is not None),
        ("missing emit", found.emit),
        ("missing crate_name", found.crate_name),
    ):
        if not value:
            return CannotCache(missing)
    if not found.emit.keys() & {"link", "metadata"}:
        return NotCompilation("--emit=" + ",".join(found.emit))
    return _refused_types(found, cache_linked=cache_linked) or _refused_outputs(found)


def _refused_types(found: Gathered, *, cache_linked: bool) -> CannotCache | None:
    types = found.made_types()
    if not types:
        return CannotCache("crate-type", "the source says it")
    if not CRATE_TYPES.issuperset(types) or (not cache_linked and not LINKED.isdisjoint(types)):
        return CannotCache("crate-type", ",".join(types))
    return None


def _refused_outputs(found: Gathered) -> CannotCache | None:
    if found.emit.keys() - EMITTED:
        return CannotCache("unsupported --emit", ",".join(found.emit))
    if "-" in found.emit.values() or (len(found.made_types()) > 1 and found.emit.get("link")):
        return CannotCache("unsupported --emit", "to standard output, or several to one file")
    if found.splits == "unpacked" and found.has_debuginfo and "link" in found.emit:
        return CannotCache("split-debuginfo", "a file for each part of the crate, with names that only the run knows")
    return None


def _compile(found: Gathered, argument_files: tuple[str, ...]) -> RustArguments | CannotCache:
    links = "link" in found.emit and not LINKED.isdisjoint(found.made_types())
    made = outputs(found, links=links)
    if isinstance(made, CannotCache):
        return made
    return RustArguments(
        crate_name=found.crate_name,
        source=found.sources[0],
        out_dir=found.out_dir or "",
        extra_filename=found.extra_filename,
        crate_types=found.made_types(),
        emit=tuple(found.emit),
        outputs=made,
        depinfo=next((output.path for output in made if output.role == "d"), ""),
        links=links,
        externs=tuple(found.externs),
        crate_dirs=tuple(found.crate_dirs),
        dependency_dirs=tuple(found.dependency_dirs),
        native_dirs=tuple(found.native_dirs),
        native_libs=tuple(found.native_libs),
        argument_files=argument_files,
        named_files=tuple(found.named_files),
        linker=found.linker,
        target=found.target,
        key_args=tuple(found.key_args),
        context_args=tuple(found.context_args),
        has_artifacts="artifacts" in found.json,
        human=found.human,
        colour=found.colour,
        native_cpu=found.native_cpu,
        hides_paths=found.hides_paths(),
        writes_more=("split-debuginfo",) if any(output.role.endswith("-dwp") for output in made) else (),
    )
