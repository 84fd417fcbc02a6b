"""What an nvcc command line says, option by option.

Owns: Gathered and the small functions that fill it.  Must not know: rules that need the whole command line.
"""

from collections.abc import Callable, Mapping

from sccache.compilers.nvcc.words import Word, listed
from sccache.compilers.options.nvcc import Role
from sccache.model import CannotCache, NotCompilation


class Gathered:
    """The last word about a thing counts, as for nvcc."""

    def __init__(self) -> None:
        """Nothing said yet."""
        self.refusal: CannotCache | None = None
        self.tells: NotCompilation | None = None
        self.modes: list[str] = []
        self.files: list[str] = []
        self.output = ""
        self.directory = ""
        self.language = ""
        self.makes_dependencies = False
        self.dependency_path = ""
        self.keeps = False
        self.keep_directory = ""
        self.host_words: list[str] = []
        self.unknown: list[str] = []
        self.threads: list[str] = []
        self.relocatable = False
        self.bitcode = False
        self.device_debug = False
        self.key_args: list[str] = []

    def refuse(self, reason: str, detail: str = "") -> None:
        """Remember the first reason not to cache."""
        self.refusal = self.refusal or CannotCache(reason, detail)


_NOT_IN_KEY = frozenset({Role.THREADS, Role.DROPPED, Role.OPTIONS_FILE, Role.OUTPUT})


def take(found: Gathered, word: Word) -> None:
    """Note what one word says."""
    if word.row is None:
        _unknown_or_file(found, word)
        return
    if word.row.role is Role.DEPENDENCY_PATH:
        found.key_args.append(word.row.name)
    elif word.row.role not in _NOT_IN_KEY:
        found.key_args.append(word.key)
    action = _ACTIONS.get(word.row.role)
    if action is not None:
        action(found, word)


def _unknown_or_file(found: Gathered, word: Word) -> None:
    if word.text.startswith("-") and word.text != "-":
        found.unknown.append(word.text)
        found.key_args.append(word.text)
    else:
        found.files.append(word.text)


def _mode(found: Gathered, word: Word) -> None:
    found.modes.append(word.row.long if word.row else "")


def _tells(found: Gathered, word: Word) -> None:
    found.tells = found.tells or NotCompilation(word.text)


def _too_hard(found: Gathered, word: Word) -> None:
    found.refuse(word.name, word.value)


def _output(found: Gathered, word: Word) -> None:
    found.output = word.value


def _directory(found: Gathered, word: Word) -> None:
    found.directory = word.value


def _language(found: Gathered, word: Word) -> None:
    found.language = word.value


def _dependencies(found: Gathered, _: Word) -> None:
    found.makes_dependencies = True


def _dependency_path(found: Gathered, word: Word) -> None:
    found.dependency_path = word.value


def _keep(found: Gathered, _: Word) -> None:
    found.keeps = True


def _keep_directory(found: Gathered, word: Word) -> None:
    found.keep_directory = word.value


def _host(found: Gathered, word: Word) -> None:
    found.host_words += listed(word.value)


def _threads(found: Gathered, word: Word) -> None:
    found.threads.append(word.key)


def _architecture(found: Gathered, word: Word) -> None:
    if "native" in word.value:
        found.refuse("-arch=native", "this machine's GPU decides")
    found.bitcode |= "lto_" in word.value


def _relocatable(found: Gathered, word: Word) -> None:
    found.relocatable = word.value != "false"


def _bitcode(found: Gathered, _: Word) -> None:
    found.bitcode = True


def _device_debug(found: Gathered, _: Word) -> None:
    found.device_debug = True


_ACTIONS: Mapping[Role, Callable[[Gathered, Word], None]] = {
    Role.MODE: _mode,
    Role.NOT_COMPILATION: _tells,
    Role.TOO_HARD: _too_hard,
    Role.OUTPUT: _output,
    Role.DIRECTORY: _directory,
    Role.LANGUAGE: _language,
    Role.DEPENDENCIES: _dependencies,
    Role.DEPENDENCY_PATH: _dependency_path,
    Role.KEEP: _keep,
    Role.KEEP_DIRECTORY: _keep_directory,
    Role.HOST: _host,
    Role.THREADS: _threads,
    Role.ARCHITECTURE: _architecture,
    Role.RELOCATABLE: _relocatable,
    Role.BITCODE: _bitcode,
    Role.DEVICE_DEBUG: _device_debug,
}
