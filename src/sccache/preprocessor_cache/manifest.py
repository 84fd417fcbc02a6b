"""A manifest: the sets of inputs under which one command line is known to give which result.

    <manifest> ::= "SCMF" <version> <checksum> zstd(<payload>)
    <version>  ::= uint8
    <checksum> ::= BLAKE3-256 of all bytes after it
    <payload>  ::= msgpack array: <key> <paths> <rows> <names> <lists> <variants>
    <key>      ::= the key it was stored under, or empty
    <paths>    ::= absolute paths, joined by NUL; one below base directory number N is written "N" or "N/rest"
    <rows>     ::= <row>*                ; inputs; variants share them
    <row>      ::= path digest size mtime_ns ctime_ns    ; uint32, 32 bytes, int64 each; a time of 0 was not recorded
    <names>    ::= names, joined by NUL
    <lists>    ::= array of (array of uint32: names)     ; directories share them
    <variant>  ::= msgpack array: rows (uint32 each), directories (uint32 path, uint32 list each), result key, bound_to, created,
                   array of (variable, word for its value), array of (uint32 path, digest of the names in it), optional rows (uint32 each)
    ; all integers little-endian

The key of a manifest covers the command line, the source's content and the compiler; a variant then says what else was read, and
what was looked for and not found.  Newest first: the header set of the branch that is checked out is found first.

Owns: the format, its bounds, and which variant applies.  Must not know: how a result is stored, what the key covers.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct

from sccache.hashing.files import FileMemory, Watch

# More variants cost more to try than a preprocessor run saves.
MAX_VARIANTS = 32


class Input(Struct, frozen=True):
    """A file that was read: absolute path, content, and what stat said (times are 0 if not recorded)."""

    path: str
    digest: bytes
    size: int
    mtime_ns: int = 0
    ctime_ns: int = 0


class Variant(Struct, frozen=True):
    """One set of circumstances and the result that they give."""

    inputs: tuple[Input, ...]
    absent: Mapping[str, tuple[str, ...]]
    """Directory → names in it that are no files."""
    result_key: str
    bound_to: bytes = b""
    """If not empty: the result names this base directory, and is right for no other."""
    created: int = 0
    """Seconds since 1970."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that were read, and a word for their value, which the task makes and compares."""
    listings: tuple[tuple[str, bytes], ...] = ()
    """Directories that were listed, and the digest of the names in them (hashing/listing.py)."""
    optional: tuple[Input, ...] = ()
    """Files that were read, of which those that are there must have this content."""

    def may_serve(self, bound_to: Collection[bytes]) -> bool:
        """Whether the result names nothing but what is the same here."""
        return not self.bound_to or self.bound_to in bound_to


class Manifest(Struct, frozen=True):
    """What is known for one manifest key, newest first."""

    variants: tuple[Variant, ...] = ()

    def with_variant(self, variant: Variant) -> "Manifest":
        """A manifest that has this variant first, and only once."""
        others = [known for known in self.variants if not _same_case(known, variant)]
        return Manifest((variant, *others)[:MAX_VARIANTS])

    def merged(self, other: "Manifest") -> "Manifest":
        """What both know, newest first, each case once, the oldest left out where there are too many."""
        # Of one case the newer counts: the older one's result may be gone.  Sorting is stable, so the order within a manifest stands.
        kept: list[Variant] = []
        for variant in sorted((*self.variants, *other.variants), key=lambda known: -known.created):
            if not any(_same_case(known, variant) for known in kept):
                kept.append(variant)
        return Manifest(tuple(kept[:MAX_VARIANTS]))


class Match(Struct, frozen=True):
    """The variant that applies now, and what to watch for it to go on applying."""

    variant: Variant
    watch: Watch


def lookup(  # noqa: PLR0913 -- what may differ is told by name
    manifest: Manifest,
    files: FileMemory,
    *,
    bound_to: Collection[bytes] = (),
    stat_matches: bool = False,
    use_ctime: bool = True,
    differences: Callable[[Variant], Sequence[str]] = lambda _: (),
) -> Match | None:
    """The newest variant whose inputs have their contents and whose absent files are absent.

    `bound_to`: what this compile's results may name.  `stat_matches` (file_stat_matches): an input whose size and times are as
    recorded is not read; `use_ctime` (use_ctime_for_stat): the ctime is one of those times.  `differences`: what no file tells; a
    variant of which it says anything does not apply.
    """
    usable = [known for known in manifest.variants if known.may_serve(bound_to) and not differences(known)]
    current: dict[str, bytes | None] = {}
    for variant in usable:
        if any(known.path in current and current[known.path] != known.digest for known in variant.inputs):
            continue
        wanted = [(known.path, _wanted(known, files, use_ctime=use_ctime) if stat_matches else known.digest) for known in variant.inputs]
        watch = files.watch(wanted, variant.absent) if not variant.optional else _watch_with_optional(files, wanted, variant)
        if watch is not None:
            return Match(variant, watch)
        if not stat_matches and variant is not usable[-1]:
            _learn(current, variant.inputs, files)
    return None


def _watch_with_optional(files: FileMemory, wanted: list[tuple[str, bytes]], variant: Variant) -> Watch | None:
    absent = {place: list(names) for place, names in variant.absent.items()}
    for known in variant.optional:
        if os.path.lexists(known.path):
            wanted.append((known.path, known.digest))
        else:
            absent.setdefault(os.path.dirname(known.path), []).append(os.path.basename(known.path))
    return files.watch(wanted, absent)


def _wanted(known: Input, files: FileMemory, *, use_ctime: bool) -> bytes:
    digest = files.trusted_digest(known.path, known.size, known.mtime_ns, known.ctime_ns if use_ctime else 0)
    return known.digest if digest is None else digest


def _learn(current: dict[str, bytes | None], inputs: Sequence[Input], files: FileMemory) -> None:
    """Note what these files hold, so that other variants that differ in them need no look at the disk."""
    paths = [known.path for known in inputs if known.path not in current]
    for path, facts in zip(paths, files.facts_many(paths), strict=True):
        current[path] = facts.digest if facts else None


def _same_case(one: Variant, other: Variant) -> bool:
    """Would both apply at the same time?"""
    return (
        one.bound_to == other.bound_to
        and len(one.inputs) == len(other.inputs)
        and one.absent == other.absent
        and one.environment == other.environment
        and one.listings == other.listings
        and one.optional == other.optional
        and all(a.path == b.path and a.digest == b.digest for a, b in zip(one.inputs, other.inputs, strict=True))
    )
