"""Understand a command line of hipcc: it adds to the words and hands them on to clang.

    parse ::= words as clang gets them, understood as clang's

hipcc looks at each word by itself, also at values of options: a word that ends like a source gets its -x.  So do we.
Owns: `parse`, `split`.  Must not know: clang's options, how observing works.
I/O: looks whether there is a program that asks for the machine's GPUs.
"""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from sccache.compilers import c_family, c_observed, several
from sccache.compilers.observed import ObservedArguments, ParseResult
from sccache.compilers.options import hipcc as options
from sccache.model import CannotCache, NotCompilation, ParsedArguments

_SPECIAL = frozenset("$`\\*?[]{}();&|<>~#\n")
_SPECIAL_IN_NAMES = _SPECIAL | frozenset("\"'")
"""Characters that mean something to the shell that hipcc has run its command; it escapes all words but the name of the output."""


def parse(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand one command line; argv[0] is hipcc."""
    words = argv[1:]
    if env.get(options.PLATFORM) in options.NVIDIA:
        return CannotCache("HIP_PLATFORM", env[options.PLATFORM])
    if options.TELLS & {word.strip() for word in words}:
        return NotCompilation("tells only")
    added = _added(words, env)
    translation = _Translation(words, env)
    if isinstance(added, CannotCache):
        return added
    parsed = c_family.parse("clang", (argv[0], *added, *translation.words), cwd, env, plusplus=True)
    if not isinstance(parsed, ParsedArguments):
        return parsed
    return _refusal(parsed, translation, argv[0], cwd, env) or _observed(parsed, translation)


def split(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> several.Commands:
    """One command for each source, where all are HIP: of others hipcc mixes the options.  None where it cannot be divided."""
    if env.get(options.VERBOSE) or any(word.startswith("@") for word in argv):
        return ()
    parts = several.split("clang", argv, cwd, env, plusplus=True)
    parsed = [parse(part, cwd, env) for part in parts]
    are_hip = all(isinstance(part, ObservedArguments) and part.statistics_name == "HIP" for part in parsed)
    return parts if are_hip and several.are_separate(parsed, cwd) else ()


def _refusal(parsed: ParsedArguments, translation: "_Translation", name: str, cwd: str, env: Mapping[str, str]) -> CannotCache | None:
    if translation.asks_machine and _can_ask(name, cwd, env):
        return CannotCache("no --offload-arch", options.ENUMERATOR)
    if any(not _SPECIAL_IN_NAMES.isdisjoint(output.path) for output in parsed.outputs):
        return CannotCache("output to a special file", parsed.output)
    return None


def _observed(parsed: ParsedArguments, translation: "_Translation") -> ParseResult:
    observed = c_observed.from_parsed("clang", parsed)
    return msgspec.structs.replace(observed, family="hipcc", key_args=(*observed.key_args, "hipcc", *translation.swallowed))


def _added(words: Sequence[str], env: Mapping[str, str]) -> list[str] | CannotCache:
    """Options that variables add to the command."""
    names = (options.COMPILE_FLAGS,) if {"-c", options.GENCO} & {*words} else (options.COMPILE_FLAGS, options.LINK_FLAGS)
    found: list[str] = []
    for name in names:
        text = env.get(name, "")
        if not _SPECIAL.isdisjoint(text):
            return CannotCache("HIPCC_COMPILE_FLAGS_APPEND", text)
        try:
            found += shlex.split(text)
        except ValueError:
            return CannotCache("HIPCC_COMPILE_FLAGS_APPEND", text)
    return found


class _Translation:
    """The words of a command as clang gets them."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str]) -> None:
        self._cxx_as_hip = env.get(options.CXX_AS_HIP, "1") != "0"
        self._language_said = self._for_openmp = self._has_hip = False
        arches = [value for word in words for value in _arches(word)]
        self.swallowed = tuple(word for word in words if word.startswith(options.SWALLOWED))
        translated = [made for before, word in zip(("", *words), words, strict=False) for made in self._made_of(word, before)]
        if not arches:
            arches = [name for name in env.get(options.DEFAULT_ARCHES, "").split(",") if name]
        self.asks_machine = not arches
        self.words = (*(options.ARCH + name for name in arches if self._has_hip), *translated)

    def _made_of(self, word: str, before: str) -> Iterator[str]:
        if before == "-o":
            yield word
        elif word.startswith("-"):
            yield from self._option(word)
        else:
            yield from self._other(word, before)

    def _option(self, word: str) -> Iterator[str]:
        if word == "-x":
            self._language_said = True
        elif word in ("-xc", "-xc++", "-xhip"):
            self._language_said, self._has_hip = True, word == "-xhip"
        self._for_openmp = self._for_openmp or word.startswith(options.OPENMP)
        if options.GENCO in word:
            yield "--cuda-device-only"
            yield "-c"
        elif not word.startswith((*options.SWALLOWED, *options.ARCH_OPTIONS)):
            yield word

    def _other(self, word: str, before: str) -> Iterator[str]:
        if before == "-x":
            self._has_hip = word == "hip"
        elif not self._language_said:
            if word.endswith(options.C_NAMES):
                yield from ("-x", "c")
            elif self._is_hip(word):
                self._has_hip = True
                yield from ("-x", "hip")
        yield word

    def _is_hip(self, word: str) -> bool:
        if word.endswith(options.CXX_NAMES):
            return self._cxx_as_hip and not self._for_openmp
        return word.endswith(options.HIP_NAMES) or (self._cxx_as_hip and word.endswith(options.CUDA_NAMES))


def _arches(word: str) -> list[str]:
    """What an option says of architectures."""
    return next(([name for name in word[len(start) :].split(",") if name] for start in options.ARCH_OPTIONS if word.startswith(start)), [])


def _can_ask(name: str, cwd: str, env: Mapping[str, str]) -> bool:
    """Whether there is a program at one of the places where hipcc looks for it."""
    search = [os.path.join(cwd, entry) for entry in env.get("PATH", os.defpath).split(":")]
    own = [os.path.join(cwd, name)] if "/" in name else [os.path.join(entry, name) for entry in search]
    homes = [os.path.dirname(os.path.dirname(os.path.realpath(path))) for path in own if os.path.exists(path)]
    homes += [options.ROCM, *(env[variable] for variable in options.ROCM_VARIABLES if env.get(variable))]
    places = [*search, *(os.path.join(home, part) for home in homes for part in ("bin", "../bin"))]
    return any(os.path.exists(os.path.join(place, options.ENUMERATOR)) for place in places)
