"""Understand command lines of what nvcc runs, called directly: cudafe++ (.cpp4.ii), cicc (.cpp1.ii to .ptx), ptxas (.ptx to .cubin).

    <word> ::= NAME [ "=" VALUE ]      ; or the value is the next word
             | <source> | <unknown>    ; an option of another version, or its value: in the key

Owns: `parse`.  Must not know: nvcc's own command lines, how a compile is observed.
"""

import os
from collections.abc import Mapping, Sequence

from msgspec import Struct

from sccache.compilers.observed import ObservedArguments, ParseResult
from sccache.compilers.options.cuda_steps import CICC, CUDAFE, PTXAS, Option, Role, Tool
from sccache.model import CannotCache, NotCompilation, Output

_TOOLS = {tool.name: tool for tool in (CUDAFE, CICC, PTXAS)}


class Word(Struct, frozen=True):
    """An option with its value, or a word that no row knows."""

    text: str
    row: Option | None = None
    value: str = ""

    @property
    def key(self) -> str:
        """As one word, in one spelling."""
        return f"{self.row.name}={self.value}" if self.row is not None and self.row.takes_value else self.text


def parse(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:  # noqa: ARG001 -- the families' interface
    """Understand one command line; argv[0] says which program it is."""
    tool = _TOOLS.get(os.path.basename(argv[0]))
    if tool is None:
        return NotCompilation(argv[0])
    words = _split(argv[1:], tool)
    if isinstance(words, CannotCache):
        return words
    by_role = {role: [word for word in words if word.row is not None and word.row.role is role] for role in Role}
    if by_role[Role.NOT_COMPILATION]:
        return NotCompilation(by_role[Role.NOT_COMPILATION][0].text)
    if by_role[Role.TOO_HARD]:
        return CannotCache(by_role[Role.TOO_HARD][0].text.partition("=")[0])
    sources = _sources(tool, [word for word in words if word.row is None])
    return _refused_source(sources) or _compile(tool, words, sources[0], by_role)


def _refused_source(sources: Sequence[Word]) -> CannotCache | None:
    if not sources:
        return CannotCache("no input file")
    if len(sources) > 1:
        return CannotCache("multiple input files", sources[1].text)
    return CannotCache("-", "standard input") if sources[0].text == "-" else None


def _split(argv: Sequence[str], tool: Tool) -> tuple[Word, ...] | CannotCache:
    found: list[Word] = []
    waiting = list(reversed(argv))
    while waiting:
        word = waiting.pop()
        name, equals, value = word.partition("=")
        row = tool.rows.get(name)
        if row is None or (equals and not row.takes_value):
            row = tool.rows.get(word[:2])
            joined = row is not None and row.joins and len(word) > 2
            found.append(Word(word, row, word[2:]) if joined else Word(word))
        elif equals or not row.takes_value:
            found.append(Word(word, row, value))
        elif waiting:
            found.append(Word(word, row, waiting.pop()))
        else:
            return CannotCache("argument parse", word)
    return tuple(found)


def _sources(tool: Tool, words: Sequence[Word]) -> list[Word]:
    """Words with a source's ending; of a tool that takes any name: the last word of its command line, or all that are no options."""
    plain = [word for word in words if not word.text.startswith("-") or word.text == "-"]
    if tool.endings:
        return [word for word in plain if word.text.endswith(tool.endings)]
    return plain[-1:] if tool is CUDAFE else plain


def _compile(tool: Tool, words: Sequence[Word], source: Word, by_role: Mapping[Role, Sequence[Word]]) -> ParseResult:
    main = [word.value for word in by_role[Role.OUTPUT]][-1:] or [tool.default_output]
    if not main[0]:
        return NotCompilation("no output is named")
    made = [Output("obj", main[0])]
    made += [Output((word.row.name if word.row else "").strip("-"), word.value, required=False) for word in by_role[Role.SIDE_OUTPUT]]
    if by_role[Role.MAKES_MODULE_ID]:
        made += [Output("module_id", word.value, required=False) for word in by_role[Role.MODULE_ID][-1:]]
    if any(output.path.startswith("/dev/") for output in made):
        return CannotCache("output to a special file", main[0])
    if len({output.role for output in made} | {output.path for output in made}) < 2 * len(made):
        return CannotCache("two outputs in one file", main[0])
    kept = (word for word in words if word is not source and word not in by_role[Role.OUTPUT] and word not in by_role[Role.DROPPED])
    return ObservedArguments(
        family=tool.name,
        sources=(source.text,),
        outputs=tuple(made),
        key_args=tuple(word.key for word in kept),
        hides_paths=tool.hides_paths,
        statistics_name=tool.statistics_name,
        advanced_name=tool.advanced_name,
    )
