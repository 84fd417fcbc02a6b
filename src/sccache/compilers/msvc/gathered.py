"""What a command line has said, option by option.

Owns: Gathered.  Must not know: what follows from it.
"""

from sccache.model import CannotCache, Colour, NotCompilation

DEBUG_NONE, DEBUG_EMBEDDED, DEBUG_PDB = "", "embedded", "pdb"


class Gathered:
    """Filled by meanings.take, one word after the other; the last word about a thing counts, as for the compilers."""

    def __init__(self, *, clang: bool) -> None:
        """Nothing said yet."""
        self.clang = clang
        self.refusal: CannotCache | None = None
        self.tells: NotCompilation | None = None
        self.compiles = False
        self.sources: list[tuple[str, str]] = []
        """(path, "c" or "c++" where /Tc or /Tp says so)."""
        self.all_are = ""
        self.output: str | None = None
        self.pdb: str | None = None
        self.debug = DEBUG_NONE
        self.listing = ""
        self.listing_path: str | None = None
        self.source_dependencies = ""
        self.pch_made: str | None = None
        self.pch_used: str | None = None
        self.pch_path = ""
        self.pch_off = False
        self.dependencies = False
        self.depfile = ""
        self.to_driver: list[str] = []
        self.key_args: list[str] = []
        self.context_args: list[str] = []
        self.search_variables: list[str] = []
        self.hides_paths = False
        self.native_cpu = False
        self.records_cwd = False
        self.colour = Colour.AUTO

    def refuse(self, reason: str, detail: str = "") -> None:
        """Remember the first reason not to cache."""
        self.refusal = self.refusal or CannotCache(reason, detail)
