"""A cl or clang-cl command line in the words of all observed families.

Owns: that translation.  Must not know: options, how observing works.
"""

from collections.abc import Mapping

from sccache.compilers.msvc import command
from sccache.compilers.msvc.values import MsvcArguments
from sccache.compilers.observed import ObservedArguments, ParseResult


def parse_clang_cl(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand a command line of clang-cl; argv[0] is the compiler."""
    return _observed("clang-cl", command.parse(argv[1:], cwd, env, clang=True), env)


def parse_cl(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand a command line of cl; argv[0] is the compiler."""
    return _observed("msvc", command.parse(argv[1:], cwd, env, clang=False), env)


def _observed(family: str, parsed: command.ParseResult, env: Mapping[str, str]) -> ParseResult:
    if not isinstance(parsed, MsvcArguments):
        return parsed
    searched = tuple(f"{name}={env[name]}" for name in parsed.search_variables if name in env)
    return ObservedArguments(
        family=family,
        sources=(parsed.source,),
        outputs=parsed.outputs,
        continued=parsed.continued,
        key_args=(*parsed.key_args, *searched),
        context_args=parsed.context_args,
        colour=parsed.colour,
        native_cpu=parsed.native_cpu,
        hides_paths=parsed.hides_paths,
        statistics_name=parsed.statistics_name,
        advanced_name=parsed.advanced_name,
    )
