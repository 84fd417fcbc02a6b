"""What a rustc option of each role says: one small function a role, no branches on options.

Owns: `take`.  Must not know: rules that need the whole command line.
"""

from collections.abc import Callable, Mapping

from sccache.compilers.options import rustc
from sccache.compilers.options.rustc import Role, Setting
from sccache.compilers.rust.gathered import Gathered
from sccache.compilers.rust.words import Word, spelled
from sccache.model import Colour

_COLOURS = {"always": Colour.ALWAYS, "never": Colour.NEVER}
_CRATE_KINDS = frozenset({"crate", "dependency", "all"})
_NATIVE_KINDS = frozenset({"native", "framework", "all"})
_COMPRESSING = ("--compress-debug-sections", "-gz")
"""Parts of linker arguments that pack debug information."""
_CONTEXT = frozenset({Role.CONTEXT, Role.COLOUR, Role.ERROR_FORMAT, Role.JSON})
"""rustc marks these as untracked: no output differs by them."""


def take(found: Gathered, word: Word) -> None:
    """One option or source."""
    if word.row is None:
        _unknown_or_source(found, word)
        return
    found.seen.add(word.row.role)
    (found.context_args if word.row.role in _CONTEXT else found.key_args).append(spelled(word))
    action = _ACTIONS.get(word.row.role)
    if action is not None:
        action(found, word)


def _unknown_or_source(found: Gathered, word: Word) -> None:
    if word.name:
        found.key_args.append(word.name)
        return
    if word.value == "-":
        found.refuse("-")
    elif found.sources:
        found.refuse("multiple input files", word.value)
    found.sources.append(word.value)


def _crate_name(found: Gathered, word: Word) -> None:
    found.crate_name = word.value


def _crate_type(found: Gathered, word: Word) -> None:
    found.crate_types += ["rlib" if kind == "lib" else kind for kind in word.value.split(",")]


def _emit(found: Gathered, word: Word) -> None:
    if found.emit:
        found.refuse("more than one --emit")
    for part in word.value.split(","):
        kind, _, path = part.partition("=")
        found.emit[kind] = path


def _out_dir(found: Gathered, word: Word) -> None:
    found.out_dir = word.value


def _extern(found: Gathered, word: Word) -> None:
    name, _, path = word.value.partition("=")
    found.externs.append((name.rpartition(":")[2], path))


def _search(found: Gathered, word: Word) -> None:
    kind, _, path = word.value.partition("=")
    if kind not in _CRATE_KINDS | _NATIVE_KINDS or kind == word.value:
        kind, path = "all", word.value
    if kind in _CRATE_KINDS:
        found.crate_dirs.append(path)
    if kind == "dependency":
        found.dependency_dirs.append(path)
    if kind in _NATIVE_KINDS:
        found.native_dirs.append(path)


def _native_library(found: Gathered, word: Word) -> None:
    found.native_libs.append(word.value)


def _target(found: Gathered, word: Word) -> None:
    found.target = word.value
    if word.value.endswith(".json"):
        found.named_files.append(word.value)


def _colour(found: Gathered, word: Word) -> None:
    found.colour = _COLOURS.get(word.value, Colour.AUTO)


def _error_format(found: Gathered, word: Word) -> None:
    found.human = word.value not in ("json", "pretty-json")


def _json(found: Gathered, word: Word) -> None:
    found.json |= set(word.value.split(","))


def _lint(found: Gathered, word: Word) -> None:
    if word.value == "help":
        found.tells = spelled(word)


def _tells(found: Gathered, word: Word) -> None:
    found.tells = word.name


def _version(found: Gathered, _: Word) -> None:
    found.asks = True


def _print(found: Gathered, word: Word) -> None:
    found.asks = True
    if word.value not in rustc.PURE_PRINTS:
        found.tells = spelled(word)
    found.native_cpu |= word.value in rustc.CPU_PRINTS


def _too_hard(found: Gathered, word: Word) -> None:
    found.refuse(word.name, word.value)


def _debug(found: Gathered, _: Word) -> None:
    found.has_debuginfo = True


def _setting(table: Mapping[str, Setting], letter: str) -> Callable[[Gathered, Word], None]:
    def act(found: Gathered, word: Word) -> None:
        name, _, value = word.value.partition("=")
        name = name.replace("_", "-")
        action = _SETTINGS.get(table.get(name))
        if action is not None:
            action(found, f"{letter} {name}", value)

    return act


def _setting_too_hard(found: Gathered, name: str, value: str) -> None:
    if value not in rustc.NO:
        found.refuse(name[3:], f"{name}={value}")


def _setting_tells(found: Gathered, name: str, _: str) -> None:
    found.tells = name


def _incremental(found: Gathered, _: str, value: str) -> None:
    found.refuse("incremental", value)


def _extra_filename(found: Gathered, _: str, value: str) -> None:
    found.extra_filename = value
    if not value or "." in value or "/" in value:  # rustc takes the last dot of a program's name for that of an ending
        found.refuse("extra-filename", value)


def _file(found: Gathered, _: str, value: str) -> None:
    found.named_files.append(value)


def _files(found: Gathered, _: str, value: str) -> None:
    found.named_files += value.replace(",", " ").split()


def _file_or_name(found: Gathered, _: str, value: str) -> None:
    if "/" in value or "." in value:
        found.named_files.append(value)


def _linker(found: Gathered, _: str, value: str) -> None:
    found.linker = value


def _link_arguments(found: Gathered, _: str, value: str) -> None:
    found.packs |= any(option in value for option in _COMPRESSING)


def _cpu(found: Gathered, _: str, value: str) -> None:
    found.native_cpu |= value == "native"


def _debuginfo(found: Gathered, _: str, value: str) -> None:
    found.has_debuginfo = value not in ("0", "none")


def _split_debuginfo(found: Gathered, _: str, value: str) -> None:
    found.splits = value


def _embed_bitcode(found: Gathered, _: str, value: str) -> None:
    found.embeds_bitcode = value not in rustc.NO


def _packs(found: Gathered, _: str, value: str) -> None:
    found.packs |= value not in rustc.NO


_SETTINGS: Mapping[Setting | None, Callable[[Gathered, str, str], None]] = {
    Setting.TOO_HARD: _setting_too_hard,
    Setting.TELLS: _setting_tells,
    Setting.EXTRA_FILENAME: _extra_filename,
    Setting.INCREMENTAL: _incremental,
    Setting.FILE: _file,
    Setting.FILES: _files,
    Setting.FILE_OR_NAME: _file_or_name,
    Setting.LINKER: _linker,
    Setting.LINK_ARGUMENTS: _link_arguments,
    Setting.CPU: _cpu,
    Setting.DEBUGINFO: _debuginfo,
    Setting.SPLIT_DEBUGINFO: _split_debuginfo,
    Setting.EMBED_BITCODE: _embed_bitcode,
    Setting.PACKS: _packs,
}
_ACTIONS: Mapping[Role, Callable[[Gathered, Word], None]] = {
    Role.CRATE_NAME: _crate_name,
    Role.CRATE_TYPE: _crate_type,
    Role.EMIT: _emit,
    Role.OUT_DIR: _out_dir,
    Role.EXTERN: _extern,
    Role.SEARCH: _search,
    Role.NATIVE_LIBRARY: _native_library,
    Role.TARGET: _target,
    Role.DEBUG: _debug,
    Role.CODEGEN: _setting(rustc.CODEGEN, "-C"),
    Role.UNSTABLE: _setting(rustc.UNSTABLE, "-Z"),
    Role.COLOUR: _colour,
    Role.ERROR_FORMAT: _error_format,
    Role.JSON: _json,
    Role.LINT: _lint,
    Role.PRINT: _print,
    Role.VERSION: _version,
    Role.TELLS: _tells,
    Role.TOO_HARD: _too_hard,
}
