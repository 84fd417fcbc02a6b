"""Find out which Rust compiler a command names.

    sccache rustc …                   the compiler itself, or rustup's proxy for it
    sccache clippy-driver [rustc] …   a compiler of its own; cargo gives it the name of the rustc that it stands for
    sccache WRAPPER rustc …           RUSTC_WORKSPACE_WRAPPER, under cargo
    rustc +TOOLCHAIN …                a proxy's first argument

rustup chooses by `+TOOLCHAIN`, RUSTUP_TOOLCHAIN, then the nearest parent directory that has an override in settings.toml or a
toolchain file, then the default in settings.toml (https://rust-lang.github.io/rustup/overrides.html; which files it opens was
traced with rustup 1.29).

Owns: the shapes of commands, what rustup's choice rests on, the reading of rustc's answers.
Must not know: how a compiler is asked, what is remembered.
"""

import os
import pwd
import tomllib
from collections.abc import Mapping, Sequence

from msgspec import Struct

from sccache.compilers import toolchain

RUSTC = "rustc"
COMPILERS = frozenset({RUSTC, "clippy-driver"})
TOOLCHAIN_FILES = ("rust-toolchain", "rust-toolchain.toml")
_FALLBACK_SETTINGS = "/etc/rustup/settings.toml"
_UNTOLD = frozenset({"RUSTUP_TOOLCHAIN_SOURCE"})
"""Set by proxies for those that they run, and read by none of them to choose."""
_ELF = b"\x7fELF"
_DRIVER = "librustc_driver"
_LIBRARIES = ("librustc", "libLLVM", "libstd-", "libtest-")
"""A distribution's sysroot is /usr: of its libraries only these are the compiler's."""


class Words(Struct, frozen=True):
    """A command line, taken apart."""

    compiler: str
    """What is asked who it is: the first word, or the rustc that a wrapper gets."""
    tool: str
    """Its name without directories: rustc or clippy-driver."""
    wrapper: str
    """The first word where that is a workspace wrapper."""
    inner: str
    """The word after the first one that names rustc; empty where there is none."""
    args: tuple[str, ...]
    """The rest."""


class Told(Struct, frozen=True):
    """What `rustc -vV` said."""

    version: str
    host: str
    text: str


class Choice(Struct, frozen=True):
    """What rustup's choice of a toolchain rests on."""

    words: tuple[str, ...]
    """Variables and overrides; together with the files' content they stand for the choice, in every checkout."""
    files: tuple[str, ...]
    """Files that are there."""
    absent: Mapping[str, Sequence[str]]
    """Directory → names that are not there and would change the choice."""


def is_rust(argv: Sequence[str], env: Mapping[str, str], executable: str = "") -> bool:
    """Whether the command runs a Rust compiler, by its words (reference 4.1).

    When cargo asks a wrapper for the compiler's version it does not set CARGO; the wrapper's own variable says the same.
    """
    if not argv:
        return False
    is_wrapped = len(argv) > 1 and _stem(argv[1]) in COMPILERS and ("CARGO" in env or "RUSTC_WORKSPACE_WRAPPER" in env)
    return is_wrapped or _stem(executable or argv[0]) in COMPILERS


def take_apart(argv: Sequence[str], executable: str = "") -> Words:
    """The parts of a command that `is_rust` knows."""
    first = executable or argv[0]
    tool, args = _stem(first), tuple(argv[1:])
    if tool not in COMPILERS:
        return Words(args[0], _stem(args[0]), first, args[0], args[1:])
    if tool != RUSTC and args and _stem(args[0]) == RUSTC:  # clippy-driver's own rule
        return Words(first, tool, "", args[0], args[1:])
    return Words(first, tool, "", "", args)


def read_version(stdout: bytes) -> Told | None:
    """The answer to `-vV`; None where that is not rustc's."""
    text = stdout.decode("utf-8", "replace")
    lines = text.splitlines()
    host = next((line.partition(":")[2].strip() for line in lines if line.startswith("host:")), "")
    return Told(lines[0], host, text) if lines and lines[0].startswith("rustc ") and host else None


def read_path(stdout: bytes) -> str:
    """An absolute path on a line of its own; empty for anything else."""
    path = os.fsdecode(stdout.rstrip(b"\n"))
    return path if path.startswith("/") and "\n" not in path else ""


def libraries(sysroot: str) -> list[str]:
    """The compiler's shared libraries: nearly all of it is in them.  Empty where they are elsewhere (Debian)."""
    folder = os.path.join(sysroot, "lib")
    found = [os.path.join(folder, name) for name in _names(folder) if _is_library(name)]
    return found if any(os.path.basename(path).startswith(_DRIVER) for path in found) else []


def read_libraries(stdout: bytes) -> list[str]:
    """The same out of an `ldd` run."""
    return [path for path in toolchain.read_libraries(stdout) if _is_library(os.path.basename(path))]


def crates(sysroot: str, target: str) -> list[str]:
    """The crates that come with a compiler for one target."""
    folder = os.path.join(sysroot, "lib", "rustlib", target, "lib")
    return [os.path.join(folder, name) for name in _names(folder) if name.endswith((".rlib", ".so"))]


def linked_crates(compiler: str, host: str) -> list[str]:
    """The host's crates where the compiler's path leads to it by a symbolic link, named through that link; else nothing.

    rustc looks for them where it really is.  Two toolchains can differ in them alone, and a link to one be pointed to the other:
    watching the compiler's own content does not show it.
    """
    return [] if os.path.realpath(compiler) == compiler else crates(os.path.dirname(os.path.dirname(compiler)), host)


def is_native(path: str) -> bool:
    """Whether this is a program whose content tells what it does; a script may run anything."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == _ELF
    except OSError:
        return False


def may_be_rustup(path: str) -> bool:
    """Whether this is, by its name, a link to rustup."""
    return os.path.basename(os.path.realpath(path)).startswith("rustup")


def choice(cwd: str, env: Mapping[str, str], shorthand: str) -> Choice | None:
    """What decides which toolchain rustup takes; `shorthand` as in `+shorthand`.  None where we cannot tell."""
    if env.get("RUSTUP_FORCE_ARG0"):
        return None
    home = _rustup_home(cwd, env)
    settings = os.path.join(home, "settings.toml")
    fallback = os.path.join(cwd, env.get("RUSTUP_OVERRIDE_UNIX_FALLBACK_SETTINGS", _FALLBACK_SETTINGS))
    words = ["+" + shorthand, home, *(f"{name}={value}" for name, value in rustup_variables(env))]
    files: list[str] = []
    absent: dict[str, list[str]] = {}
    for path in (settings, fallback):
        if not _note(path, files, absent):
            return None
    if not shorthand and not env.get("RUSTUP_TOOLCHAIN"):
        overrides = _overrides(settings)
        if overrides is None:
            return None
        for folder in _parents(os.path.realpath(cwd)):
            before = len(files)
            if not all(_note(os.path.join(folder, name), files, absent) for name in TOOLCHAIN_FILES):
                return None
            if folder in overrides:
                words.append(f"override: {overrides[folder]}")
            if folder in overrides or len(files) > before:
                break
    return Choice(tuple(words), tuple(files), absent)


def rustup_variables(env: Mapping[str, str]) -> list[tuple[str, str]]:
    """The variables that rustup may read to choose."""
    return sorted((name, value) for name, value in env.items() if name.startswith("RUSTUP_") and name not in _UNTOLD)


def _stem(word: str) -> str:
    return os.path.splitext(os.path.basename(word))[0]


def _is_library(name: str) -> bool:
    return name.startswith(_LIBRARIES) and ".so" in name


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _rustup_home(cwd: str, env: Mapping[str, str]) -> str:
    if env.get("RUSTUP_HOME"):
        return os.path.join(cwd, env["RUSTUP_HOME"])
    return os.path.join(cwd, env.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir, ".rustup")


def _note(path: str, files: list[str], absent: dict[str, list[str]]) -> bool:
    """Put a file where it belongs; False for what is there and is no readable file."""
    if os.path.isfile(path) and os.access(path, os.R_OK):
        files.append(path)
    elif os.path.lexists(path):
        return False
    else:
        absent.setdefault(os.path.dirname(path), []).append(os.path.basename(path))
    return True


def _overrides(settings: str) -> dict[str, object] | None:
    """Directory → toolchain, of those that have an override; None where the file does not look as we know it."""
    try:
        with open(settings, "rb") as file:
            table = tomllib.load(file).get("overrides", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return table if isinstance(table, dict) else None


def _parents(folder: str) -> list[str]:
    found = [folder]
    while (parent := os.path.dirname(found[-1])) != found[-1]:
        found.append(parent)
    return found
