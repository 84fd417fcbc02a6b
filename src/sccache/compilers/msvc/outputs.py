r"""Where cl and clang-cl write: names without directory, without extension, with neither.

    <path> ::= "" | <directory> <separator> | <name>

Nothing given: the source's name in the working directory.  A directory: the source's name there.  A name without a dot gets the
usual extension.  Owns: these rules.  Must not know: options.
"""

import ntpath
import posixpath

from sccache.compilers.msvc.gathered import DEBUG_PDB, Gathered
from sccache.model import CannotCache, Language, Output


def last_part(path: str, *, windows: bool) -> str:
    r"""The file name; `\` separates on Windows alone, where clang-cl runs elsewhere it is a letter."""
    return (path.replace("\\", "/").rpartition(":")[2] if windows else path).rpartition("/")[2]


def stem(name: str) -> str:
    """A file name without its last extension."""
    before, dot, _ = name.rpartition(".")
    return before if dot else name


def place(path: str, source: str, extension: str, *, windows: bool) -> str:
    """The file that is written where `path` was given."""
    name = last_part(path, windows=windows)
    if not name:
        return f"{path}{stem(last_part(source, windows=windows))}.{extension}"
    return path if "." in name else f"{path}.{extension}"


def pch_path(found: Gathered, header: str, source: str, *, windows: bool) -> str:
    """The precompiled header: /Fp, or called like the header, or like the source."""
    if found.pch_path:
        name = last_part(found.pch_path, windows=windows)
        return found.pch_path if "." in name else f"{found.pch_path}.pch"
    return f"{stem(last_part(header or source, windows=windows))}.pch"


def outputs(found: Gathered, source: str, language: Language, *, windows: bool) -> tuple[Output, ...]:
    """All files that the command writes."""
    obj = place(found.output or "", source, "obj", windows=windows)
    made = [Output("obj", obj)]
    if found.debug == DEBUG_PDB:
        made.append(Output("pdb", place(found.pdb or "", source, "pdb", windows=windows)))
    if found.listing:
        made.append(Output("asm", place(found.listing_path or "", source, found.listing, windows=windows)))
    if found.pch_made is not None and not found.pch_off:
        made.append(Output("pch", pch_path(found, found.pch_made, source, windows=windows)))
    if found.source_dependencies not in ("", "-"):
        made.append(Output("json", found.source_dependencies))
    if found.dependencies:
        made.append(Output("d", found.depfile or f"{stem(last_part(source, windows=windows))}.d"))
    if not found.clang and language is Language.CXX:  # #import makes these two beside the object
        made += [
            Output(
                kind, f"{obj.removesuffix(last_part(obj, windows=windows))}{stem(last_part(obj, windows=windows))}.{kind}", required=False
            )
            for kind in ("tlh", "tli")
        ]
    return tuple(made)


def pdb_refusal(found: Gathered, obj: str, advice: str, *, windows: bool) -> CannotCache | None:
    """A program database is one compile's own only where it is called like the object; else others write into it too."""
    if found.debug != DEBUG_PDB:
        return None
    name = last_part(found.pdb or "", windows=windows)
    own = stem(last_part(obj, windows=windows)).lower()
    if name and stem(name).lower() in (own, f"{own}.obj"):
        return None
    return CannotCache("shared pdb", f"/Fd{found.pdb or ''}: {advice}")


def absolute(cwd: str, path: str, *, windows: bool) -> str:
    """A path in one spelling; Windows makes no difference between letters' cases and between the two slashes."""
    return ntpath.normcase(ntpath.normpath(ntpath.join(cwd, path))) if windows else posixpath.normpath(posixpath.join(cwd, path))
