"""What all stages work with: memories and stores that outlive one compile.

Owns: nothing but the collection.  Must not know: what is done with it.
"""

from msgspec import Struct

from sccache.config.schema import Config
from sccache.hashing.files import FileMemory
from sccache.preprocessor_cache.absent import Listings
from sccache.preprocessor_cache.includes import IncludeMemory
from sccache.stages.distribution import Distribution
from sccache.stages.places import Places
from sccache.stats import Stats
from sccache.storage.levels import Levels


class Memories(Struct, frozen=True):
    """What is known about files, shared by all configurations of a daemon."""

    files: FileMemory
    includes: IncludeMemory
    listings: Listings
    places: Places
    """Not about files' content, but as wide: who writes where just now."""
    guessed: dict[str, None] = {}
    """Files that observed compiles have looked for on a worker though nothing named them: from then on they are sent, too."""
    named_variables: dict[bytes, frozenset[str]] = {}
    """Digest of a Rust source → variables that it names in env!(…)."""


class Bench(Struct, frozen=True):
    """The surroundings of a compile under one configuration."""

    config: Config
    storage: Levels
    stats: Stats
    memories: Memories
    distribution: Distribution | None = None
    """The farm that compiles may go to."""

    @property
    def files(self) -> FileMemory:
        """The memory of files' content."""
        return self.memories.files
