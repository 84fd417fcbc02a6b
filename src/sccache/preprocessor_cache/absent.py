"""Which files must not appear, or a compile would read other headers than it did.

For each name that an input asks for, the places that the compiler tries before the one where it finds it; all places for a name
that is nowhere.  The result is grouped by directory: to check a directory that did not change is one stat, however many names.

Owns: the order of look-ups as gcc and clang do them.  Must not know: how the result is stored or checked.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from sccache.hashing.stamps import NOTHING, Stamp, is_settled, look
from sccache.preprocessor_cache.includes import Includes

BIG_DIRECTORY_BYTES = 128 << 10
"""st_size of a directory that is asked name by name, not listed (ext4: some 3,000 entries)."""
MAX_LISTINGS = 4_000


_DEFINED_BY_ARGUMENT = re.compile("""=[<"]([^<>"]+)[>"]$""")


class SearchPath(Struct, frozen=True):
    """Where a compile looks for headers, in order; directories that do not exist belong in it too."""

    quote: tuple[str, ...] = ()
    """-iquote: after the asking file's own directory."""
    bracket: tuple[str, ...] = ()
    """-I, -isystem, CPATH, the compiler's own, -idirafter."""
    embed: tuple[str, ...] = ()
    """--embed-dir."""


class Compile(Struct, frozen=True, kw_only=True):
    """What has to be known of a compile; paths of inputs are absolute, otherwise as the compiler spells them."""

    cwd: str
    search: SearchPath
    inputs: Sequence[tuple[str, Includes]]
    """The source first."""
    forced: tuple[str, ...] = ()
    """Names given by -include and -imacros."""
    arguments: Sequence[str] = ()
    """The command line: `-DCONFIG=<config.h>` gives a name to whoever includes CONFIG."""
    precompiled: tuple[str, ...] = ()
    """Endings of precompiled headers that are taken instead of a header: (".gch",) for gcc, (".pch", ".gch") for clang."""
    source_may_use_precompiled: bool = False
    """Also for what the source includes, not only for `forced`: gcc, if it is the first thing included."""
    started_ns: int = 0
    """When the compiler was started: what appeared later, it may have missed."""


class LookedFor(Struct, frozen=True):
    """What to check besides the inputs."""

    absent: Mapping[str, tuple[str, ...]]
    """Directory → names in it that must not be files."""
    present: tuple[str, ...] = ()
    """Files that the compiler looked at but does not list as inputs: `__has_include` found them, or they are precompiled headers
    that it found unfit."""
    passed_over: tuple[str, ...] = ()
    """Files that inputs name and that are none: a condition kept the compiler from them, or it took them for others."""


class Listing(Struct, frozen=True):
    """What a directory holds at one stamp."""

    stamp: Stamp
    files: frozenset[str] | None
    """Everything but directories and links; None: ask name by name."""
    links: frozenset[str] = frozenset()
    directories: frozenset[str] = frozenset()


class Listings:
    """Listings of directories, by stamp.  One for the daemon; `at` is one stat if the directory did not change."""

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._known: dict[str, Listing] = {}

    def at(self, directory: str) -> Listing | None:
        """The listing of a directory; None if there is no such directory."""
        began_ns = self._clock_ns()
        stamp = look(directory)
        if stamp is None or stamp == NOTHING:
            return None
        known = self._known.get(directory)
        if known is not None and known.stamp == stamp:
            return known
        listing = _list(directory, stamp)
        if listing is not None and is_settled(stamp, began_ns):
            if len(self._known) >= MAX_LISTINGS:
                self._known.clear()
            self._known[directory] = listing
        return listing


def looked_for(compiled: Compile, listings: Listings) -> LookedFor | None:
    """What must stay absent for a compile to read the same again; None if that cannot be told now."""
    return Search(compiled, listings).run()


class Search:
    """The look-ups of one compile; `reachable` makes them step by step."""

    def __init__(self, compiled: Compile, listings: Listings) -> None:
        self._compile = compiled
        self._listings = listings
        self._seen: dict[str, Listing | None] = {}
        self._absent: dict[str, set[str]] = {}
        self._found: dict[str, str | None] = {}
        """Name looked for along the search path → where it is."""
        self._inputs = {path for path, _ in compiled.inputs}
        self.reached: set[str] = set()
        """Files that some name was found to mean."""
        self._bracket = [self._directory(path) for path in compiled.search.bracket]
        self._quote = [self._directory(path) for path in compiled.search.quote] + self._bracket
        self._present: set[str] = set()
        self._is_certain = True

    def run(self) -> LookedFor | None:
        """All look-ups of all inputs."""
        compiled = self._compile
        if any(names.opaque for _, names in compiled.inputs):
            return None
        for path, names in compiled.inputs:
            self.look_for_names(path, names)
        for name in compiled.forced:
            self.look_quoted(compiled.cwd, name)
        self.look_for_computed(dict(compiled.inputs))
        self._look_for_unexplained()
        if compiled.precompiled:
            self._look_for_precompiled()
        if not self._is_certain:
            return None
        absent = {place: tuple(sorted(names)) for place, names in self._absent.items()}
        return LookedFor(absent, tuple(sorted(self._present)), tuple(sorted(self.reached - self._inputs)))

    def look_for_names(self, path: str, names: Includes) -> None:
        """All that the file `path` asks for."""
        beside = _parent(path)
        for name in names.quoted:
            self._keep_if(name in names.probed, self.look_quoted(beside, name))
        for name in names.bracketed:
            self._keep_if(name in names.probed, self.look_bracketed(name))
        for name in names.next:
            self._all([beside, *self._quote], name, keep_present=name in names.probed)
        if names.embedded:
            places = [beside, *map(self._directory, self._compile.search.embed)]
            for name in names.embedded:
                self._keep_if(name in names.probed, self._first(places, name))

    def look_quoted(self, beside: str, name: str) -> str | None:
        """Where `"name"` leads from a file in `beside`."""
        found = self._first([beside], name)
        if found is not None:
            return found
        key = '"' + name  # no name in angle brackets begins so
        if key not in self._found:
            self._found[key] = self._first(self._quote, name)
        return self._found[key]

    def look_bracketed(self, name: str) -> str | None:
        """Where `<name>` leads."""
        if name not in self._found:
            self._found[name] = self._first(self._bracket, name)
        return self._found[name]

    def _keep_if(self, is_probed: bool, path: str | None) -> None:  # noqa: FBT001  # reads as a sentence
        """A file that was only asked about must stay."""
        if is_probed and path is not None and path not in self._inputs:
            self._present.add(path)

    def look_for_computed(self, inputs: Mapping[str, Includes]) -> None:
        """A macro may have made some names: they may be those of any input below a searched directory, or any that a macro defines."""
        computing = {_parent(path) for path, names in inputs.items() if names.computed}
        if not computing:
            return
        defined = {name for names in inputs.values() for name in names.defined}
        defined |= {match[1] for argument in self._compile.arguments if (match := _DEFINED_BY_ARGUMENT.search(argument))}
        for name in defined | _names_below({*self._quote, *computing}, self._inputs):
            for beside in computing:
                self._keep_if(name in defined, self.look_quoted(beside, name))
            self._keep_if(name in defined, self.look_bracketed(name))

    def _look_for_unexplained(self) -> None:
        """Inputs that nobody named, such as gcc's stdc-predef.h, were looked for along the search path all the same."""
        source = self._compile.inputs[0][0] if self._compile.inputs else ""
        for name in _names_below(self._quote, self._inputs - self.reached - {source}):
            self._first(self._quote, name)

    def _look_for_precompiled(self) -> None:
        compiled = self._compile
        asked = [(compiled.cwd, name) for name in compiled.forced]
        if compiled.source_may_use_precompiled:
            source, names = compiled.inputs[0]
            asked += [(_parent(source), name) for name in (*names.quoted, *names.bracketed, *names.next)]
        for beside, name in asked:
            for ending in compiled.precompiled:
                self._all([beside, *self._quote], name + ending, keep_present=True)
                # One of several precompiled headers in a directory of that name may be taken.
                self._is_certain &= not self._any_is_directory([beside, *self._quote], name + ending)

    def _first(self, places: Iterable[str], name: str) -> str | None:
        """The first place of `name`; the places before it must stay without it."""
        sub, _, base = name.rpartition("/")
        missing: list[str] = []
        for directory in _directories(places, name, sub):
            if self._is_file(directory, base):
                self._add(missing, base)
                self._check_age(directory, base)
                path = f"{directory}/{base}"
                self.reached.add(path)
                return path
            missing.append(directory)
        self._add(missing, base)
        return None

    def _all(self, places: Iterable[str], name: str, *, keep_present: bool = False) -> None:
        """All places of `name` that do not have it must stay so; what they do have is kept as present on request."""
        sub, _, base = name.rpartition("/")
        missing: list[str] = []
        for directory in _directories(places, name, sub):
            if not self._is_file(directory, base):
                missing.append(directory)
                continue
            path = f"{directory}/{base}"
            self.reached.add(path)
            if keep_present and path not in self._inputs:
                self._present.add(path)
        self._add(missing, base)

    def _any_is_directory(self, places: Iterable[str], name: str) -> bool:
        """After `_all` of the same."""
        sub, _, base = name.rpartition("/")
        return any(self._is_directory(directory, base) for directory in _directories(places, name, sub))

    def _add(self, directories: Iterable[str], base: str) -> None:
        absent = self._absent
        for directory in directories:
            names = absent.get(directory or "/")
            if names is None:
                absent[directory or "/"] = {base}
            else:
                names.add(base)

    def _is_file(self, directory: str, base: str) -> bool:
        seen = self._seen
        listing = seen[directory] if directory in seen else self._see(directory)
        if listing is None:
            return False
        if listing.files is None or base in listing.links:
            path = f"{directory}/{base}"
            return os.path.exists(path) and not os.path.isdir(path)
        return base in listing.files

    def _see(self, directory: str) -> Listing | None:
        listing = self._seen[directory] = self._listings.at(directory or "/")
        return listing

    def _is_directory(self, directory: str, base: str) -> bool:
        """After `_is_file` of the same."""
        listing = self._seen[directory]
        if listing is None or (listing.files is not None and base not in listing.directories and base not in listing.links):
            return False
        return os.path.isdir(f"{directory}/{base}")

    def _check_age(self, directory: str, base: str) -> None:
        """What is there now but no input may have come after the compiler looked: then nothing is certain."""
        started_ns, listing = self._compile.started_ns, self._seen[directory]
        path = f"{directory}/{base}"
        if listing is None or not started_ns or is_settled(listing.stamp, started_ns) or path in self._inputs:
            return
        found = look(path)
        was_renamed = listing.stamp[4] > listing.stamp[3]
        if not found or was_renamed or not is_settled(found, started_ns):
            self._is_certain = os.path.normpath(path) in {os.path.normpath(known) for known in self._inputs} and self._is_certain

    def _directory(self, path: str) -> str:
        path = path.rstrip("/")
        return path if path.startswith("/") or not path else f"{self._compile.cwd}/{path}"


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _names_below(places: Iterable[str], paths: Iterable[str]) -> set[str]:
    """What the paths are called as seen from each of the places that they are below."""
    prefixes = tuple({place + "/" for place in places})
    below = [path for path in paths if path.startswith(prefixes)]
    return {path[len(prefix) :] for prefix in prefixes for path in below if path.startswith(prefix)}


def _directories(places: Iterable[str], name: str, sub: str) -> Iterable[str]:
    """Where the last component of `name`, which stands in `sub`, would be as seen from each place."""
    if name.startswith("/"):
        return [sub]
    return [f"{place}/{sub}" for place in places] if sub else places


def _list(directory: str, stamp: Stamp) -> Listing | None:
    if stamp[2] > BIG_DIRECTORY_BYTES:
        return Listing(stamp, None)
    files, links, directories = [], [], []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
                else:
                    files.append(entry.name)
    except NotADirectoryError:
        return None
    except OSError:
        return Listing(stamp, None)
    return Listing(stamp, frozenset(files), frozenset(links), frozenset(directories))
