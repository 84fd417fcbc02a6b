"""Understand a cl or clang-cl command line: that it is a compile, what it writes, and what makes its result.

    parse ::= CL and _CL_, @files, split, gather by role, put together

What it reads is observed.
Owns: `clang_cl`, `cl` and the rules that need the whole command line.  Must not know: requests, the daemon, keys' hashing.
I/O: reads @files, asks whether /sourceDependencies names a directory.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from sccache.compilers.msvc import outputs, response_files
from sccache.compilers.msvc.gathered import DEBUG_EMBEDDED, DEBUG_PDB, Gathered
from sccache.compilers.msvc.meanings import PDB_ADVICE, finish, take
from sccache.compilers.msvc.words import split
from sccache.compilers.observed import ObservedArguments, ParseResult
from sccache.model import CannotCache, Language, NotCompilation, Output

LANGUAGES = {
    **dict.fromkeys(("c",), Language.C),
    **dict.fromkeys(("cpp", "cxx", "cc"), Language.CXX),
}
"""cl knows these without /Tc and /Tp, in any case."""

CLANG_LANGUAGES = {
    **LANGUAGES,
    **dict.fromkeys(("c++", "cp", "C", "CC", "CPP", "CXX", "C++"), Language.CXX),
    "i": Language.C_PREPROCESSED,
    "ii": Language.CXX_PREPROCESSED,
}
_SAID = {"c": Language.C, "c++": Language.CXX}


def clang_cl(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand a command line of clang-cl; argv[0] is the compiler."""
    return parse(argv[1:], cwd, env, clang=True, windows=os.name == "nt")


def cl(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand a command line of cl; argv[0] is the compiler."""
    return parse(argv[1:], cwd, env, clang=False)


def parse(argv: Sequence[str], cwd: str, env: Mapping[str, str], *, clang: bool, windows: bool = False) -> ParseResult:
    """Understand one command line; `argv` is without the compiler.  `windows`: backslashes separate parts of paths."""
    windows = windows or not clang
    expanded = response_files.expand(response_files.with_variables(argv, env), cwd, clang=clang)
    if expanded.unreadable:
        return CannotCache("@", expanded.unreadable)
    words = split(expanded.words, clang=clang)
    if isinstance(words, CannotCache):
        return words
    found = Gathered(clang=clang)
    for word in words:
        take(found, word)
    finish(found)
    if found.tells is not None or not found.compiles:
        return found.tells or NotCompilation("no /c")
    language = _language(found)
    if isinstance(language, CannotCache):
        return language
    return _refusal(found, env, windows=windows) or _compile(found, language, cwd, env, windows=windows)


def _language(found: Gathered) -> Language | CannotCache:
    """What the only source is written in."""
    if not found.sources:
        return CannotCache("no input file")
    if len(found.sources) > 1:
        return CannotCache("multiple input files", " ".join(source for source, _ in found.sources[1:]))
    source, said = found.sources[0]
    said = found.all_are or said
    extension = source.rpartition(".")[2]
    known = CLANG_LANGUAGES.get(extension) if found.clang else LANGUAGES.get(extension.lower())
    language = _SAID.get(said, known)
    if source in ("", "-"):
        return CannotCache("-", "standard input")
    return language or CannotCache("unknown source language", source)


def _refusal(found: Gathered, env: Mapping[str, str], *, windows: bool) -> CannotCache | None:
    if found.refusal is not None:
        return found.refusal
    if env.get("VS_UNICODE_OUTPUT"):
        return CannotCache("VS_UNICODE_OUTPUT", "messages go to a handle of Visual Studio, not to standard output")
    if any((path or "").lower().rpartition("/")[2] in ("nul", "nul.obj") or (path or "").startswith("/dev/") for path in (found.output,)):
        return CannotCache("output to nul", found.output or "")
    obj = outputs.place(found.output or "", found.sources[0][0], "obj", windows=windows)
    return _pch_refusal(found, windows=windows) or outputs.pdb_refusal(found, obj, PDB_ADVICE, windows=windows)


def _pch_refusal(found: Gathered, *, windows: bool) -> CannotCache | None:
    """Precompiled headers of clang hold the headers' times, which are compared where a file is called `.pch` (Rules.dated)."""
    if found.pch_off or (found.pch_made is None and found.pch_used is None):
        return None
    if found.pch_made is not None and not found.clang:
        return CannotCache("/Yc", "cl's precompiled headers hold absolute paths and are bound to their object; use /Y- or let it pass")
    path = outputs.pch_path(found, found.pch_made or found.pch_used or "", found.sources[0][0], windows=windows)
    return None if path.endswith(".pch") else CannotCache("/Fp", f"{path}: only a name that ends in .pch tells what it is")


def _compile(found: Gathered, language: Language, cwd: str, env: Mapping[str, str], *, windows: bool) -> ParseResult:
    source = found.sources[0][0]
    if found.source_dependencies:
        found.source_dependencies = _json_path(found.source_dependencies, source, cwd, windows=windows)
        found.key_args.append("/sourceDependencies" + ("-" if found.source_dependencies == "-" else ""))
    made = outputs.outputs(found, source, language, windows=windows)
    refusal = _doubled(made, source, cwd, windows=windows)
    if refusal is not None:
        return refusal
    # cl writes the object's whole path into each object, clang-cl into those with debug information and into dependency files.
    records_output = not found.clang or found.debug == DEBUG_EMBEDDED or found.records_cwd or found.dependencies
    makes_pch = any(output.role == "pch" for output in made)
    return ObservedArguments(
        family="clang-cl" if found.clang else "msvc",
        sources=(source,),
        outputs=made,
        continued=tuple(output.path for output in made if output.role == "pdb"),
        key_args=(
            *_said(found),
            *found.key_args,
            *(("/Fa",) if found.listing_path is not None else ()),
            *((f"/Fo{made[0].path}",) if records_output else ()),
            *(f"{name}={env.get(name, '')}" for name in found.search_variables),
        ),
        context_args=tuple(found.context_args),
        colour=found.colour,
        native_cpu=found.native_cpu,
        hides_paths=found.hides_paths or makes_pch or found.debug == DEBUG_PDB,
        statistics_name="C/C++",
        advanced_name=f"{language.value} [{'clang' if found.clang else 'msvc'}]",
    )


def _doubled(made: Sequence[Output], source: str, cwd: str, *, windows: bool) -> CannotCache | None:
    paths = [outputs.absolute(cwd, output.path, windows=windows) for output in made]
    if len(set(paths)) < len(paths):
        return CannotCache("two outputs in one file", " ".join(output.path for output in made))
    return CannotCache("output is the source", source) if outputs.absolute(cwd, source, windows=windows) in paths else None


def _said(found: Gathered) -> tuple[str, ...]:
    """The language that /Tc or /Tp gives to the source."""
    said = found.sources[0][1]
    return (f"/T{'c' if said == 'c' else 'p'}",) if said else ()


def _json_path(path: str, source: str, cwd: str, *, windows: bool) -> str:
    """The file of /sourceDependencies: `-`, a file, or a directory for files called like the source."""
    name = outputs.last_part(source, windows=windows) + ".json"
    if not outputs.last_part(path, windows=windows):
        return path + name
    return f"{path}/{name}" if path != "-" and response_files.is_directory(str(PurePath(cwd, path))) else path
