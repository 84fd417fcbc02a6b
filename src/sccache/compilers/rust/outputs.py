"""Which files a compile writes, and how rustc names them.

Seen with rustc 1.95: `metadata` is always lib<name>.rmeta, also of a program; a path that --emit gives is taken as it is,
without extra-filename; a dwp file is named after the whole name of what it belongs to.

Owns: the names and order of outputs.  Must not know: options.
"""

import os

from sccache.compilers.rust.gathered import Gathered
from sccache.compilers.rust.targets import Naming, is_doubtful, naming, static_naming
from sccache.model import CannotCache, Output

_LIBRARIES = ("dylib", "cdylib", "proc-macro")


def outputs(found: Gathered, *, links: bool) -> tuple[Output, ...] | CannotCache:
    """All files, the linked ones first, the dep-file last."""
    names = naming(found.target, found.cwd)
    if (names is None and links) or is_doubtful(found.target, found.cwd):
        return CannotCache("target unsure", found.target)
    made: list[Output] = []
    for kind in found.made_types() if "link" in found.emit else ():
        name = _file_name(kind, found, names)
        if name is None:
            return CannotCache("target unsure", found.target)
        path = found.emit["link"] or os.path.join(found.out_dir or "", name)
        made += [Output(kind, path), *_beside(kind, path, found, names or Naming())]
    stem = found.crate_name + found.extra_filename
    if "metadata" in found.emit:
        made.append(Output("rmeta", found.emit["metadata"] or os.path.join(found.out_dir or "", f"lib{stem}.rmeta")))
    if "dep-info" in found.emit:
        made.append(Output("d", found.emit["dep-info"] or os.path.join(found.out_dir or "", f"{stem}.d")))
    if len({output.path for output in made}) < len(made):
        return CannotCache("crate-type", "two outputs of one name")
    return tuple(made)


def _file_name(kind: str, found: Gathered, names: Naming | None) -> str | None:
    stem = found.crate_name + found.extra_filename
    if kind == "rlib":
        return f"lib{stem}.rlib"
    if kind == "staticlib":
        around = static_naming(found.target, names)
    else:
        around = None if names is None else names.library if kind in _LIBRARIES else ("", names.program)
    return stem.join(around) if around else None


def _beside(kind: str, path: str, found: Gathered, names: Naming) -> list[Output]:
    """What the linker's run leaves beside its output."""
    if kind not in (*_LIBRARIES, "bin"):
        return []
    beside = []
    if found.splits == "packed" and names.packed_debuginfo:
        beside.append(Output(f"{kind}-dwp", path + names.packed_debuginfo, required=False))
    if kind in _LIBRARIES and names.import_library[1]:
        stem = (found.crate_name + found.extra_filename).join(names.import_library)
        beside.append(Output(f"{kind}-import", os.path.join(os.path.dirname(path), stem), required=False))
    return beside
