"""The options of `sccache`: which command a command line asks for, and the help.

Owns: reading argv and the sentences about a wrong one.  Must not know: what the commands do.
Written by hand because argparse takes 7 ms to import and reads options behind the compiler's name.
"""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from sccache import __version__

FORMATS = ("text", "json")
FEATURES = ("S3", "Redis", "Memcached", "GCS", "GHA", "Azure", "WebDAV", "OSS", "COS")
PACKAGE_VALUES = 2


class Command(Enum):
    """What can be asked for; the value is the option."""

    SHOW_STATS = "--show-stats"
    SHOW_ADV_STATS = "--show-adv-stats"
    START_SERVER = "--start-server"
    START_FOR_COMPILE = "--start-server-for-compile"
    """Internal: a launcher starts a daemon in passing.  Quiet, and content with the unix socket."""
    STOP_SERVER = "--stop-server"
    ZERO_STATS = "--zero-stats"
    CHECK_STORAGE = "--check-storage"
    DIST_AUTH = "--dist-auth"
    DIST_STATUS = "--dist-status"
    DEBUG_PREPROCESSOR_CACHE = "--debug-preprocessor-cache"
    PACKAGE_TOOLCHAIN = "--package-toolchain"
    HELP = "--help"
    VERSION = "--version"
    COMPILE = "[CMD]..."


SHORT = {"-s": Command.SHOW_STATS, "-z": Command.ZERO_STATS, "-h": Command.HELP, "-V": Command.VERSION}
LONG = {command.value: command for command in Command if command is not Command.COMPILE}


class Invocation(Struct, frozen=True):
    """A command line that makes sense."""

    command: Command
    words: tuple[str, ...] = ()
    """The compiler's command line, or the two values of --package-toolchain."""
    stats_format: str = "text"


class Nothing(Struct, frozen=True):
    """A command line that asks for nothing."""


class UsageError(Struct, frozen=True):
    """A command line that makes no sense, and why."""

    message: str


def parse(argv: Sequence[str]) -> Invocation | Nothing | UsageError:
    """Read the words after the program's name; all from the first that is no option belong to the compiler."""
    reader = _Reader(argv)
    while reader.rest:
        result = reader.take()
        if result is not None:
            return result
    return _decide(reader.asked, reader.words, reader.stats_format)


class _Reader:
    def __init__(self, argv: Sequence[str]) -> None:
        self.rest = list(argv)
        self.asked: list[Command] = []
        self.words: tuple[str, ...] = ()
        self.stats_format = "text"

    def take(self) -> Invocation | UsageError | None:
        """Read one option with its values, or the compiler's whole command line; None to go on."""
        word = self.rest.pop(0)
        command = SHORT.get(word) or LONG.get(word)
        name, equals, value = word.partition("=")
        if word == "--" or not word.startswith("-"):
            self._compiler(word)
            return None
        if name == "--stats-format":
            return self._format([value, *self.rest] if equals else self.rest, joined=bool(equals))
        if command is None:
            return UsageError(f"unexpected argument '{word}' found")
        if command in (Command.HELP, Command.VERSION):
            return Invocation(command)
        self.asked.append(command)
        return self._package() if command is Command.PACKAGE_TOOLCHAIN else None

    def _compiler(self, first: str) -> None:
        self.words = tuple(self.rest) if first == "--" else (first, *self.rest)
        self.rest = []
        if self.words:
            self.asked.append(Command.COMPILE)

    def _format(self, values: Sequence[str], *, joined: bool) -> UsageError | None:
        if not values:
            return UsageError("a value is required for '--stats-format <FMT>' but none was supplied")
        if values[0] not in FORMATS:
            return UsageError(f"invalid value '{values[0]}' for '--stats-format <FMT>'\n  [possible values: {', '.join(FORMATS)}]")
        self.stats_format = values[0]
        if not joined:
            del self.rest[0]
        return None

    def _package(self) -> UsageError | None:
        if len(self.rest) < PACKAGE_VALUES:
            return UsageError(f"2 values required for '--package-toolchain <EXE> <OUT>'; only {len(self.rest)} were supplied")
        self.words, self.rest = tuple(self.rest[:PACKAGE_VALUES]), self.rest[PACKAGE_VALUES:]
        return None


def _decide(asked: Sequence[Command], words: tuple[str, ...], stats_format: str) -> Invocation | Nothing | UsageError:
    match asked:
        case []:
            return Nothing()
        case [command]:
            return Invocation(command, words, stats_format)
        case [first, second, *_] if first is second:
            return UsageError(f"the argument '{first.value}' cannot be used multiple times")
        case [first, second, *_]:
            return UsageError(f"the argument '{first.value}' cannot be used with '{second.value}'")
        case _:
            raise AssertionError(asked)


MISSING = "the following required arguments were not provided:\n  a compiler and its arguments, or one of the options"
USAGE = "Usage: sccache [OPTIONS] <COMPILER> [ARGUMENTS]...\n       sccache <OPTION>"


def usage_error(message: str) -> str:
    """What is printed about a wrong command line."""
    return f"error: {message}\n\n{USAGE}\n\nFor more information, try '--help'.\n"


def version_text() -> str:
    """What --version prints."""
    return f"sccache {__version__}\n"


def help_text() -> str:
    """What --help prints."""
    return HELP + "".join(f"    {name + ':':<11}true\n" for name in FEATURES)


HELP = f"""A compiler cache: runs a compiler, and the next time gives back what it made.

{USAGE}

Put `sccache` in front of the compiler, or let the build tool do so:
    sccache gcc -O2 -c foo.c -o foo.o
    cmake -DCMAKE_C_COMPILER_LAUNCHER=sccache -DCMAKE_CXX_COMPILER_LAUNCHER=sccache ..
    make CC="sccache gcc"

Options:
  -s, --show-stats                 show cache statistics
      --show-adv-stats             show cache statistics by language and compiler
      --stats-format <FMT>         how statistics and the check are shown [default: text] [possible values: text, json]
  -z, --zero-stats                 set all statistics to zero
      --start-server               start the background daemon (a compile does so by itself)
      --stop-server                stop the background daemon and show its statistics
      --check-storage              write to and read from each configured storage, and say what is wrong
      --debug-preprocessor-cache   show what the preprocessor cache (direct mode) has recorded
      --dist-auth                  log in to a distributed compilation service
      --dist-status                show the status of distributed compilation as JSON
      --package-toolchain <EXE> <OUT>
                                   package a compiler for distributed compilation
  -h, --help                       show this help
  -V, --version                    show the version

The settings used most; docs/settings.md has them all:
  SCCACHE_DIR           where the cache is
  SCCACHE_CACHE_SIZE    how large it may grow, such as 20G
  SCCACHE_BASEDIRS      directories whose position does not matter, separated by ':'
  SCCACHE_CONF          the configuration file
  SCCACHE_SERVER_PORT   the daemon's port; daemons of different ports know nothing of each other
  SCCACHE_IDLE_TIMEOUT  seconds without work after which the daemon exits; 0: never
  SCCACHE_LOG           what is logged: error, warn, info, debug or trace
  SCCACHE_ERROR_LOG     the file for the daemon's log
  SCCACHE_RECACHE       if set, compile in any case and replace what the cache has

Enabled features:
"""
