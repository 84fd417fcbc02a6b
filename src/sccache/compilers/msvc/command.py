"""Understand a cl or clang-cl command line: what it compiles, what it reads and writes, and what makes its result.

    parse ::= CL and _CL_, @files, split, gather by role, put together

Owns: `parse` and the rules that need the whole command line.  Must not know: requests, the daemon, keys' hashing.
I/O: reads @files, asks whether /sourceDependencies names a directory.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from sccache.compilers.msvc import outputs, response_files
from sccache.compilers.msvc.gathered import DEBUG_EMBEDDED, Gathered
from sccache.compilers.msvc.meanings import PDB_ADVICE, finish, take
from sccache.compilers.msvc.values import MsvcArguments, ParseResult
from sccache.compilers.msvc.words import split
from sccache.model import CannotCache, Language, NotCompilation

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
SEARCHED = ("INCLUDE", "EXTERNAL_INCLUDE")


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
    return _refusal(found, env, windows=windows) or _compile(found, language, expanded.files, cwd, windows=windows)


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
    if found.pch_made is not None and not found.pch_off and not found.clang:
        return CannotCache("/Yc", "cl's precompiled headers hold absolute paths and are bound to their object; use /Y- or let it pass")
    obj = outputs.place(found.output or "", found.sources[0][0], "obj", windows=windows)
    return outputs.pdb_refusal(found, obj, PDB_ADVICE, windows=windows)


def _compile(found: Gathered, language: Language, argument_files: tuple[str, ...], cwd: str, *, windows: bool) -> MsvcArguments:
    source = found.sources[0][0]
    if found.source_dependencies:
        found.source_dependencies = _json_path(found.source_dependencies, source, cwd, windows=windows)
        found.key_args.append("/sourceDependencies")
    made = outputs.outputs(found, source, language, windows=windows)
    if found.listing_path is not None:
        found.key_args.append("/Fa")
    # cl writes the object's whole path into each object, clang-cl into those with debug information and into dependency files.
    names_object = not found.clang or found.debug == DEBUG_EMBEDDED or found.records_cwd
    records_output = names_object or found.dependencies
    uses_pch = found.pch_used is not None and not found.pch_off
    pch = outputs.pch_path(found, found.pch_used or "", source, windows=windows) if uses_pch else ""
    return MsvcArguments(
        source=source,
        language=language,
        outputs=made,
        depfile=next((output.path for output in made if output.role == "d"), ""),
        source_dependencies=found.source_dependencies,
        shows_includes=found.shows_includes,
        key_args=(*_said(found), *found.key_args, *((f"/Fo{made[0].path}",) if records_output else ())),
        context_args=tuple(found.context_args),
        argument_files=argument_files,
        named_files=(*found.named_files, *((pch,) if pch else ())),
        search_variables=(*SEARCHED, *found.search_variables),
        continued=tuple(output.path for output in made if output.role == "pdb"),
        makes_pch=next((output.path for output in made if output.role == "pch"), ""),
        uses_pch=pch,
        records_cwd=names_object,
        hides_paths=found.hides_paths,
        native_cpu=found.native_cpu,
        colour=found.colour,
        advanced_name=f"{language.value} [{'clang' if found.clang else 'msvc'}]",
    )


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
