"""How files are named for a target: what rustc puts before and behind a crate's name.

Owns: the names of linked files.  Must not know: command lines.   I/O: reads a target's description where that is a JSON file.

A test asks rustc for the names for all targets that it knows.
"""

import json
import os
import sys

from msgspec import Struct


class Naming(Struct, frozen=True):
    """Prefix and suffix of each kind of file."""

    program: str = ""
    """Suffix of a program."""
    library: tuple[str, str] = ("lib", ".so")
    static: tuple[str, str] = ("lib", ".a")
    packed_debuginfo: str = ".dwp"
    """What `-C split-debuginfo=packed` writes beside a linked file."""
    import_library: tuple[str, str] = ("", "")
    """Written beside a dynamic library."""


_DLL = ("", ".dll")
_NAMES = (
    ("-apple-", Naming(library=("lib", ".dylib"), packed_debuginfo="")),
    ("-windows-gnu", Naming(".exe", library=_DLL, packed_debuginfo="", import_library=("lib", ".dll.a"))),
    ("-uefi", Naming(".efi", packed_debuginfo="")),
    ("wasm32-wasip", Naming(".wasm", library=("", ".wasm"))),
    ("wasm32-unknown-unknown", Naming(".wasm", library=("", ".wasm"))),
    ("wasm32v1-none", Naming(".wasm", library=("", ".wasm"))),
    ("wasm64-unknown-unknown", Naming(".wasm", library=("", ".wasm"))),
    ("-unknown-linux-", Naming()),
    ("-linux-android", Naming()),
    ("-unknown-freebsd", Naming()),
    ("-unknown-netbsd", Naming()),
    ("-unknown-openbsd", Naming()),
    ("-unknown-none", Naming()),
    ("-none-e", Naming()),
)
"""Parts of target names.  A target that none fits is not linked for by a cached compile: `target unsure`."""

_MSVC_STATIC = ("", ".lib")


def naming(target: str, cwd: str) -> Naming | None:
    """For a target as the command line has it (empty: this machine); None where we are not sure."""
    if not target:
        return Naming(library=("lib", ".dylib"), packed_debuginfo="") if sys.platform == "darwin" else Naming()
    if target.endswith(".json"):
        return _described(os.path.join(cwd, target))
    return next((names for part, names in _NAMES if part in target), None)


def is_doubtful(target: str, cwd: str) -> bool:
    """Whether a name that rustc may not know could be that of a description, which is then read without a word."""
    return bool(target) and not target.endswith(".json") and os.path.exists(os.path.join(cwd, target + ".json"))


def static_naming(target: str, names: Naming | None) -> tuple[str, str] | None:
    """Of a static library, which needs no linker: known for all targets with a name."""
    if target.endswith(".json"):
        return names.static if names else None
    return _MSVC_STATIC if target.endswith("-msvc") else ("lib", ".a")


def _described(path: str) -> Naming | None:
    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
        if not isinstance(told, dict) or told.get("is-like-windows") or told.get("is-like-msvc") or told.get("is-like-darwin"):
            return None
        values = {name: told.get(name, default) for name, default in _DESCRIBED.items()}
    except (OSError, ValueError):
        return None
    if not all(isinstance(value, str) for value in values.values()):
        return None
    return Naming(
        values["exe-suffix"],
        library=(values["dll-prefix"], values["dll-suffix"]),
        static=(values["staticlib-prefix"], values["staticlib-suffix"]),
    )


_DESCRIBED = {"exe-suffix": "", "dll-prefix": "lib", "dll-suffix": ".so", "staticlib-prefix": "lib", "staticlib-suffix": ".a"}
"""Fields of a description with what rustc takes if they are not there."""
