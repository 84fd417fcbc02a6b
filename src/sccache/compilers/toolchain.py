"""Find the programs and directories behind a compiler driver, from what the driver itself prints.

`-###` lists the programs it would run; `-v -E` lists the directories it searches for headers; `ldd` the shared libraries of
those programs.  Sources: GCC manual "Overall Options" and "Directory Options"; clang's command line reference.
Owns: the probe commands and the reading of their output.  Must not know: how they are run, what keys are.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from sccache.model import Language, ParsedArguments

_LIBRARY = re.compile(rb"=> (/\S+) \(0x|^\s+(/\S+) \(0x", re.MULTILINE)
_CONFIG_FILE = re.compile(r"^(?:Configuration file: |Reading specs from )(.+)$", re.MULTILINE)
_NONEXISTENT = re.compile(r'^ignoring nonexistent directory "(.*)"$', re.MULTILINE)
_TARGET = re.compile(r"^Target: (\S+)$", re.MULTILINE)
_COMPILER_PATH = re.compile(r"^COMPILER_PATH=(.*)$", re.MULTILINE)

C_LIBRARY = frozenset({"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2"})
"""The C library's own files do not decide what a compiler emits, and differ between otherwise equal machines."""

_PLUSPLUS = frozenset(
    {
        Language.CXX,
        Language.CXX_HEADER,
        Language.CXX_MODULE,
        Language.CXX_PREPROCESSED,
        Language.OBJCXX,
        Language.OBJCXX_HEADER,
        Language.OBJCXX_PREPROCESSED,
    }
)


class SearchPath(Struct, frozen=True):
    """Where headers are looked for, in order; directories as the driver printed them."""

    quote: tuple[str, ...]
    bracket: tuple[str, ...]
    missing: tuple[str, ...]


class Programs(Struct, frozen=True):
    """The programs that one compile runs, option files it reads, and places where another program would win."""

    paths: tuple[str, ...]
    option_files: tuple[str, ...]
    absent: Mapping[str, Sequence[str]]


def probe_language(parsed: ParsedArguments) -> str:
    """The -x name whose front end and header path the real source would get."""
    if parsed.language in _PLUSPLUS or parsed.plusplus:
        return "c++"
    if parsed.language is Language.ASSEMBLER_WITH_CPP or parsed.language is Language.ASSEMBLER:
        return "assembler-with-cpp"
    return "objective-c" if parsed.language in (Language.OBJC, Language.OBJC_HEADER) else "c"


def programs_command(parsed: ParsedArguments) -> tuple[str, ...]:
    """Arguments that make the driver print the programs it would run, running none of them."""
    return (*parsed.search_args, "-###", "-x", probe_language(parsed), "-c", "/dev/null", "-o", "/dev/null")


def search_command(parsed: ParsedArguments) -> tuple[str, ...]:
    """Arguments that make the driver print its header search path."""
    return (*parsed.search_args, "-v", "-E", "-x", probe_language(parsed), "/dev/null", "-o", "/dev/null")


def read_search_path(stderr: str) -> SearchPath:
    """The header directories out of a `-v -E` run."""
    quote: list[str] = []
    bracket: list[str] = []
    into: list[str] | None = None
    for line in stderr.splitlines():
        if line.startswith('#include "..." search starts'):
            into = quote
        elif line.startswith("#include <...> search starts"):
            into = bracket
        elif line.startswith("End of search list"):
            into = None
        elif into is not None and line.startswith(" "):
            into.append(line[1:].removesuffix(" (framework directory)"))
    return SearchPath(tuple(quote), tuple(bracket), tuple(_NONEXISTENT.findall(stderr)))


def read_programs(stderr: str, cwd: str, search_path: str) -> Programs | None:
    """The programs out of a `-###` run; None when it lists none (not a driver that we understand)."""
    words = [line.split()[0] for line in stderr.splitlines() if line.startswith(" ") and line.strip() and not line.startswith(" (")]
    names = [shlex.split(word)[0] for word in words]
    directories = _compiler_path(stderr)
    absent: dict[str, list[str]] = {}
    paths: list[str] = []
    for name in dict.fromkeys(names):
        path = _resolve(name, cwd, search_path, absent)
        if path is None:
            return None
        paths.append(path)
        _note_better_places(os.path.basename(name), path, directories, cwd, absent)
    for path in paths:
        if os.path.basename(path).startswith("cc1"):
            absent.setdefault(os.path.dirname(path), []).append("specs")
    option_files = tuple(_CONFIG_FILE.findall(stderr))
    for name in option_files:
        absent.get(os.path.dirname(name), []).clear()
    return Programs(tuple(paths), option_files, absent) if paths else None


def read_libraries(stdout: bytes) -> tuple[str, ...]:
    """Shared libraries out of an `ldd` run, without the C library's own."""
    found = (os.fsdecode(a or b) for a, b in _LIBRARY.findall(stdout))
    return tuple(dict.fromkeys(path for path in found if os.path.basename(path) not in C_LIBRARY))


def places_to_come(listing: str, parsed: ParsedArguments, compiler_path: str, paths: Sequence[str], cwd: str) -> dict[str, list[str]]:
    """Directory → names of programs that -B or COMPILER_PATH would bring in if they appeared; what is missing is not listed by the driver.

    Sources: GCC manual "Directory Options": the prefix alone, with a slash, and with the target's and version's directories behind it.
    """
    target = _TARGET.search(listing)
    inner = next((os.path.dirname(path).split("/")[-2:] for path in paths if os.path.basename(path).startswith("cc1")), [])
    middles = {"", "/"} | {f"/{'/'.join(inner[:count])}/" for count in range(1, len(inner) + 1)}
    names = {os.path.basename(path) for path in paths}
    names |= {f"{target[1]}-{name}" for name in names} if target else set()
    prefixes = [*values("-B", parsed.search_args), *(entry for entry in compiler_path.split(":") if entry)]
    found: dict[str, list[str]] = {}
    for candidate in dict.fromkeys(
        os.path.join(cwd, prefix.rstrip("/") + middle + name) for prefix in prefixes for middle in sorted(middles) for name in sorted(names)
    ):
        if not os.path.exists(candidate):
            found.setdefault(os.path.dirname(candidate), []).append(os.path.basename(candidate))
    return found


def values(option: str, words: Sequence[str]) -> list[str]:
    """Values of an option that is joined with its value or stands before it."""
    joined = [word[len(option) :] for word in words if word.startswith(option) and word != option]
    return joined + [after for word, after in pairwise(words) if word == option]


def _compiler_path(stderr: str) -> list[str]:
    match = _COMPILER_PATH.search(stderr)
    return list(dict.fromkeys(match[1].split(":"))) if match else []


def _resolve(name: str, cwd: str, search_path: str, absent: dict[str, list[str]]) -> str | None:
    if "/" in name:
        path = os.path.join(cwd, name)
        return path if os.path.isfile(path) else None
    for entry in search_path.split(":"):
        path = os.path.join(cwd, entry, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
        absent.setdefault(os.path.dirname(path), []).append(name)
    return None


def _note_better_places(name: str, found: str, directories: Sequence[str], cwd: str, absent: dict[str, list[str]]) -> None:
    """Directories that the driver asks before the one where it found the program must not get one of that name."""
    for directory in directories:
        candidate = os.path.join(cwd, directory, name)
        if os.path.exists(candidate):
            if os.path.samefile(candidate, found):
                return
            continue
        absent.setdefault(os.path.dirname(candidate), []).append(name)
