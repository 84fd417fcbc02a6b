"""Understand an nvcc command line: what it compiles, which files it makes, what makes its result.

    parse ::= variables, options files, split, gather by role, put together

Seen with nvcc 13.0 (docs/compilers/cuda.md): what is made, without -o, is called like the source's last part with another ending and lies
in --output-directory; a dependency file is called like the object.

Owns: `parse` and the rules that need the whole command line.  Must not know: requests, how a compile is observed.
"""

import os
from collections.abc import Mapping, Sequence

from sccache.compilers.nvcc.gathered import Gathered, take
from sccache.compilers.nvcc.host import HostWords, judge
from sccache.compilers.nvcc.words import split
from sccache.compilers.observed import ObservedArguments, ParseResult
from sccache.compilers.options.nvcc import MODES
from sccache.model import CannotCache, NotCompilation, Output

LINKED = frozenset({"o", "obj", "a", "lib", "so", "res"})
"""Endings of files for a linker: without one nvcc ignores them."""

LANGUAGES = {
    "cu": "cuda",
    "c": "c",
    "i": "cPreprocessed",
    **dict.fromkeys(("cc", "cpp", "cxx"), "c++"),
    "ii": "c++Preprocessed",
    "s": "assembler",
    "S": "assemblerToPreprocess",
    "ptx": "ptx",
    "cubin": "cubin",
}
"""Ending → language; nvcc is strict about letters' case."""

_SAID = {"cu": "cuda", "c": "c", "c++": "c++"}
_FROM: Mapping[str, frozenset[str]] = {
    "cuda": frozenset(MODES),
    "ptx": frozenset({"cubin", "fatbin", "device-c"}),
    "cubin": frozenset({"fatbin", "device-c"}),
}
"""What can be made of a language; of all others objects."""
_OBJECTS = frozenset(mode for mode, ending in MODES.items() if ending == "o")
_INCLUDE_VARIABLES = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH")


def parse(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand one command line; argv[0] is the compiler."""
    words = split(argv[1:], cwd, env)
    if isinstance(words, CannotCache):
        return words
    found = Gathered()
    for word in words:
        take(found, word)
    if found.tells is not None or not found.modes:
        return found.tells or NotCompilation("no -c")
    host = judge([*found.host_words, *found.unknown])
    sources = [file for file in found.files if file.rpartition(".")[2] not in LINKED or found.language]
    refusal = found.refusal or host.refusal or _refusal(found, sources)
    if refusal is not None:
        return refusal
    return _compile(found, host, sources[0], cwd, env)


def _refusal(found: Gathered, sources: Sequence[str]) -> CannotCache | None:
    if not sources:
        return CannotCache("no input file")
    if len(sources) > 1 or (found.output and len(found.files) > 1):
        return CannotCache("multiple input files", " ".join(found.files[1:]))
    if found.output.startswith("/dev/") or found.dependency_path.startswith("/dev/"):
        return CannotCache("output to a special file", found.output or found.dependency_path)
    return _refused_source(found, sources[0])


def _refused_source(found: Gathered, source: str) -> CannotCache | None:
    if source == "-":
        return CannotCache("-", "standard input")
    if len({MODES[mode] for mode in found.modes}) > 1:
        return CannotCache("several phases", " ".join(found.modes))
    if found.language not in ("", *_SAID):
        return CannotCache("-x", found.language)
    language = _language(found, source)
    makes = _FROM.get(language, _OBJECTS) if language else frozenset()
    return None if makes.issuperset(found.modes) else CannotCache("unknown source language", source)


def _language(found: Gathered, source: str) -> str:
    return _SAID.get(found.language, "") if found.language else LANGUAGES.get(os.path.splitext(source)[1][1:], "")


def _compile(found: Gathered, host: HostWords, source: str, cwd: str, env: Mapping[str, str]) -> ParseResult:
    outputs = _outputs(found, source)
    if len({os.path.normpath(os.path.join(cwd, output.path)) for output in outputs}) < len(outputs):
        return CannotCache("two outputs in one file", outputs[0].path)
    language = _language(found, source)
    is_device = language in _FROM
    threads = found.threads if len(found.threads) > 1 else []  # nvcc warns of the second
    ignored = [file for file in found.files if file != source]  # or values of an option that is too new
    return ObservedArguments(
        family="nvcc",
        sources=(source,),
        outputs=outputs,
        made_in=(found.keep_directory or ".",) if found.keeps else (),
        key_args=(*found.key_args, *threads, *ignored),
        colour=host.colour,
        native_cpu=host.native_cpu,
        hides_paths=host.packs or (is_device and _hides_paths(found, source, cwd, env)),
        statistics_name="CUDA" if is_device else "Assembler" if language.startswith("assembler") else "C/C++",
        advanced_name=f"{'cuda' if is_device else language} [nvcc]",
    )


def _outputs(found: Gathered, source: str) -> tuple[Output, ...]:
    ending = MODES[found.modes[0]]
    main = found.output or os.path.join(found.directory, f"{_stem(os.path.basename(source))}.{ending}")
    made = [Output("obj", main)]
    if found.makes_dependencies:
        made.append(Output("d", found.dependency_path or f"{_stem(main)}.d"))
    return tuple(made)


def _stem(path: str) -> str:
    """Without the ending; nvcc takes all of `.x` for one."""
    folder, name = os.path.split(path)
    return os.path.join(folder, name.rpartition(".")[0] if "." in name else name)


def _hides_paths(found: Gathered, source: str, cwd: str, env: Mapping[str, str]) -> bool:
    """Whether an output may hold a directory's name, or a number made of it, that nobody finds in its bytes.

    Names of device entities that no other file knows hold a number made of the source's real path: harmless in an object, but two
    relocatable ones with the same number could not be linked together, and ptx, cubin and fatbin are otherwise the same each time.
    A name of a directory in device code (__FILE__, assert) is packed in an object and written as decimal numbers in ptx.
    """
    if found.relocatable or "device-c" in found.modes or found.bitcode or found.device_debug or _OBJECTS.isdisjoint(found.modes):
        return True
    root = "/" + cwd.lstrip("/").partition("/")[0]
    return any(root in word for word in (source, *found.key_args, *(env.get(name, "") for name in _INCLUDE_VARIABLES)))
