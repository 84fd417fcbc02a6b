"""The variables that an observed run read, as rows of a manifest's variant.

    <row>  ::= (name, <word>)
    <word> ::= "-"                      ; not set
             | "v" digest               ; set to this very value
             | "m" digest               ; set to this value, directories whose position does not matter marked
    The name "*" stands for the whole environment: something may have read all of it.

A value is not kept, only its digest: it may be a secret.
A value that names a root is compared with the root marked only where nothing but files was found by it: what
`include!(concat!(env!("OUT_DIR"), …))` reads is an input of its own.  Anything else might compute with the name.

Owns: which variables count, their words.  Must not know: how reading was observed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from sccache.compilers import environment
from sccache.compilers.observed import Rules
from sccache.hashing.digest import digest
from sccache.model import CompileRequest
from sccache.stages.observed_roots import ObservedRoots

EVERYTHING = "*"
_ABSENT = "-"
_DIGEST_DIGITS = 32
_OUR_PREFIX = "SCCACHE_"
_NOT_IN_EVERYTHING = environment.VOLATILE | {"LD_PRELOAD"}
"""Beside our own: what changes from build to build by itself."""
_FINDS_FILES = r'include(?:_str|_bytes)?!\s*\(\s*concat!\s*\(\s*env!\s*\(\s*"{name}"\s*,?\s*\)\s*,'
_NAMES_ITS_FILE = re.compile(rb"\bfile!|\bcaller\b")
_READS = re.compile(rb"\benv!")
_READS_PLAINLY = re.compile(rb"\benv!\s*[(\[{]\s*\"\w+\"\s*,?\s*[)\]}]")
"""Any other argument of env! may spell a name that is not seen: concat!, escapes, raw strings."""


class Reads(Struct, frozen=True):
    """The names of variables that were read, by whom."""

    tool: tuple[str, ...]
    """rustc itself (env! and option_env! of the source among them), the linker and its kin; PATH only where a program was looked for."""
    macros: tuple[str, ...]
    """Procedural macros."""
    declared: tuple[str, ...] | None = ()
    """What the sources read, by rustc's dependency file; None where there is none: then the tool may have read for them."""
    everything: bool = False


def rows(reads: Reads, env: Mapping[str, str], roots: ObservedRoots, rules: Rules, sources: Iterable[bytes]) -> tuple[tuple[str, str], ...]:
    """What a variant records.  `sources`: the contents of a crate's files, looked at only if need be."""
    harmless = rules.harmless.keys() - {"PATH"} if reads.declared is not None else ()
    names = {name for name in reads.tool if name not in harmless} | set(reads.declared or ()) | set(reads.macros)
    texts: list[bytes] | None = None
    found: list[tuple[str, str]] = []
    for name in sorted(names - {EVERYTHING}):
        value = env.get(name)
        kind = "v"
        if value is not None and name not in reads.macros and roots.word(value) != value:
            texts = list(sources) if texts is None else texts
            by_tool = name in rules.finding and reads.declared is not None and name not in reads.declared
            kind = "m" if by_tool or _only_finds_files(name, texts) else "v"
        found.append((name, _word(kind, value, roots)))
    if reads.everything:
        found.append((EVERYTHING, everything(env)))
    return tuple(found)


def differences(recorded: Sequence[tuple[str, str]], env: Mapping[str, str], roots: ObservedRoots) -> list[str]:
    """In words, which variables are not as recorded."""
    found = []
    for name, word in recorded:
        now = everything(env) if name == EVERYTHING else _word(word[0] if word != _ABSENT else "v", env.get(name), roots)
        if now != word:
            found.append("a variable of the environment is another one" if name == EVERYTHING else f"the variable {name} has another value")
    return found


def _word(kind: str, value: str | None, roots: ObservedRoots) -> str:
    if value is None:
        return _ABSENT
    text = roots.word(value) if kind == "m" else value
    return kind + digest(text.encode("utf-8", "surrogateescape")).hex()[:_DIGEST_DIGITS]


def everything(env: Mapping[str, str]) -> str:
    """A word for the whole environment, but for what changes by itself."""
    lines = sorted(f"{name}={value}" for name, value in env.items() if name not in _NOT_IN_EVERYTHING and not name.startswith(_OUR_PREFIX))
    return "v" + digest("\0".join(lines).encode("utf-8", "surrogateescape")).hex()[:_DIGEST_DIGITS]


def _only_finds_files(name: str, texts: Sequence[bytes]) -> bool:
    """Whether each mention of the variable in the sources is for including a file, and no source asks for its own name."""
    mention = f'"{name}"'.encode()
    including = re.compile(_FINDS_FILES.format(name=re.escape(name)).encode())
    mentions = sum(text.count(mention) for text in texts)
    included = sum(len(including.findall(text)) for text in texts)
    plain = all(len(_READS.findall(text)) == len(_READS_PLAINLY.findall(text)) for text in texts)
    return plain and mentions == included > 0 and not any(_NAMES_ITS_FILE.search(text) for text in texts)


def is_remembered(recorded: Sequence[tuple[str, str]], request: CompileRequest) -> bool:
    """Whether requests of the same identity surely have these values: what changes by itself is not in it."""
    if request.knows_environment:
        return not any(name in environment.VOLATILE for name, _ in recorded)
    return all(name in environment.RELEVANT for name, _ in recorded)
