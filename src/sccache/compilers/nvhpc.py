"""Command lines of NVIDIA's HPC compilers.

Owns: `parse`.  Must not know: other families.
"""

from collections.abc import Mapping

from sccache.compilers import response_files, simple_command
from sccache.compilers.observed import ParseResult
from sccache.compilers.options import nvhpc
from sccache.compilers.simple_command import Dialect

DIALECT = Dialect(
    name="nvhpc",
    rows=nvhpc.ROWS,
    languages=nvhpc.LANGUAGES,
    said=nvhpc.SAID,
    keywords=nvhpc.KEYWORDS,
    further=nvhpc.FURTHER,
    at_files=True,
    split_file=response_files.split_words,
    native_unless_told=True,
    packs=nvhpc.PACKS,
)


def parse(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand one command line; argv[0] is the compiler."""
    return simple_command.parse(DIALECT, argv[1:], cwd, env)
