"""What a rustc command line says, before the rules that need the whole of it.

Owns: the builder's state and the facts that follow from several options together.  Must not know: what single options mean.
"""

import os

from sccache.compilers.options.rustc import Role
from sccache.model import CannotCache, Colour


class Gathered:
    """Filled by meanings.py, read by command.py and outputs.py."""

    def __init__(self, cwd: str) -> None:
        """`cwd`: what relative names are relative to."""
        self.cwd = cwd
        self.sources: list[str] = []
        self.seen: set[Role] = set()
        self.key_args: list[str] = []
        self.context_args: list[str] = []
        self.refusal: CannotCache | None = None
        self.tells = ""
        """The option because of which rustc only tells something that is not worth keeping."""
        self.asks = False
        """An option asks for something that can be kept."""
        self.crate_name = ""
        self.crate_types: list[str] = []
        self.emit: dict[str, str] = {}
        """Kind → path, empty where rustc chooses."""
        self.out_dir: str | None = None
        self.extra_filename = ""
        self.externs: list[tuple[str, str]] = []
        self.crate_dirs: list[str] = []
        self.dependency_dirs: list[str] = []
        self.native_dirs: list[str] = []
        self.native_libs: list[str] = []
        self.named_files: list[str] = []
        self.linker = ""
        self.target = ""
        self.json: frozenset[str] = frozenset()
        self.human = True
        self.colour = Colour.AUTO
        self.native_cpu = False
        self.packs = False
        self.embeds_bitcode = True
        """rustc's own choice; cargo says no where nobody needs it."""
        self.splits = ""
        """-C split-debuginfo."""
        self.has_debuginfo = False

    def refuse(self, reason: str, detail: str = "") -> None:
        """Not to be cached; the first reason counts."""
        self.refusal = self.refusal or CannotCache(reason, detail)

    def made_types(self) -> tuple[str, ...]:
        """What is made: rustc ignores crate types under --test, and makes a program where nothing says another; empty if the source may."""
        if Role.TEST in self.seen or (not self.crate_types and not self._source_may_say_type()):
            return ("bin",)
        return tuple(dict.fromkeys(self.crate_types))

    def _source_may_say_type(self) -> bool:
        """Whether the root source mentions its crate's type, as an attribute that counts where no option does."""
        try:
            with open(os.path.join(self.cwd, self.sources[0]), "rb") as file:
                return b"crate_type" in file.read()
        except (OSError, IndexError):
            return True

    def hides_paths(self) -> bool:
        """Whether outputs may hold text that cannot be searched."""
        return self.packs or (self.embeds_bitcode and "rlib" in self.made_types() and "link" in self.emit)
