"""Command lines of Wind River's Diab compilers.

Owns: `parse` and what is special of them.  Must not know: other families.
"""

from collections.abc import Mapping

from sccache.compilers import simple_command
from sccache.compilers.observed import ParseResult
from sccache.compilers.options import diab
from sccache.compilers.simple_command import Dialect


def split_file(text: str) -> list[str] | None:
    """The words of an option file; how Diab reads quotes in it is not known (reference 5.10)."""
    return None if "'" in text or '"' in text else text.split()


DIALECT = Dialect(
    name="diab",
    rows=diab.ROWS,
    languages=diab.LANGUAGES,
    unnamed=("{name}", "{source}"),
    further=diab.FURTHER,
    option_files=frozenset({"-@"}),
    at_files=True,
    variables_first=True,
    split_file=split_file,
    unreadable="-@",
)


def parse(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand one command line; argv[0] is the compiler."""
    return simple_command.parse(DIALECT, (*env.get(diab.FLAGS_VARIABLE, "").split(), *argv[1:]), cwd, env)
