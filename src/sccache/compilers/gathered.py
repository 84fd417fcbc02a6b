"""What one command line says, while it is being read.

Owns: the fields and the first reason not to cache.  Must not know: who fills them (meanings.py, collector.py).
"""

from sccache.compilers.arguments import Role
from sccache.compilers.offload import Offload
from sccache.model import CannotCache, Colour


class Gathered:
    """Filled argument by argument, read by c_command.py when complete."""

    def __init__(self, *, wp_dependencies: bool) -> None:
        """`wp_dependencies`: the driver itself understands `-Wp,-MD,FILE`, and only alone (clang)."""
        self.wp_dependencies = wp_dependencies
        self.key: list[str] = []
        self.result_key: list[str] = []
        self.preprocess: list[str] = []
        self.search: list[str] = []
        self.seen: set[Role] = set()
        self.values: dict[Role, str] = {}
        """The last value of each role."""
        self.sources: list[tuple[str, str]] = []
        """Positional words with the -x in force at each."""
        self.input_files: list[str] = []
        self.absent_files: list[str] = []
        self.toolchain_files: list[str] = []
        self.forced_includes: list[str] = []
        self.output_files: list[tuple[str, str]] = []
        self.targets: list[tuple[str, bool]] = []
        """-MT and -MQ values; True: to be quoted."""
        self.dependency_words: list[str] = []
        """Of no influence where they do what they say; the compiler complains of them elsewhere."""
        self.arches: set[str] = set()
        self.at_value = ""
        """An option's value that begins with @: sccache does not cache those."""
        self.colour = Colour.AUTO
        self.debug_info = False
        self.native_cpu = False
        self.split_dwarf = False
        self.too_hard: CannotCache | None = None
        self.too_hard_when_compiling: CannotCache | None = None
        self.frontend_words: list[str] = []
        self.preprocessor_words: list[str] = []
        self.assembler_words: list[str] = []
        self.offload = Offload()
        self.profile_directory = ""
        self.preprocessor_depfile = ""
        """FILE of gcc's -Wp,-MD,FILE: wins over -MF, and its default target ignores -o."""

    def refuse(self, reason: str, detail: str = "") -> None:
        """This compile is not cached; the first reason is the one that is counted."""
        if self.too_hard_when_compiling is None:
            self.too_hard_when_compiling = CannotCache(reason, detail)
