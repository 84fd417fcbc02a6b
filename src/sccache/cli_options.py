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
ENABLED_FEATURES: frozenset[str] = frozenset()  # remote storage comes with the next version
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
    asked: list[Command] = []
    words: tuple[str, ...] = ()
    stats_format = "text"
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        command = SHORT.get(word) or LONG.get(word)
        if word == "--" or not word.startswith("-") or word == "-":
            words = tuple(rest) if word == "--" else (word, *rest)
            rest.clear()
            if words:
                asked.append(Command.COMPILE)
        elif name == "--stats-format":
            if not equals and not rest:
                return UsageError("a value is required for '--stats-format <FMT>' but none was supplied")
            stats_format = value if equals else rest.pop(0)
            if stats_format not in FORMATS:
                return UsageError(f"invalid value '{stats_format}' for '--stats-format <FMT>'\n  [possible values: {', '.join(FORMATS)}]")
        elif command in (Command.HELP, Command.VERSION):
            return Invocation(command)
        elif command is Command.PACKAGE_TOOLCHAIN:
            if len(rest) < PACKAGE_VALUES:
                return UsageError(f"2 values required for '--package-toolchain <EXE> <OUT>'; only {len(rest)} were supplied")
            words, rest = tuple(rest[:PACKAGE_VALUES]), rest[PACKAGE_VALUES:]
            asked.append(command)
        elif command is not None:
            asked.append(command)
        else:
            return UsageError(f"unexpected argument '{word}' found")
    return _decide(asked, words, stats_format)


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
    features = "".join(f"    {name + ':':<11}{'true' if name in ENABLED_FEATURES else 'false'}\n" for name in FEATURES)
    return HELP + features


HELP = f"""A compiler cache: runs a compiler, and the next time gives back what it made.

{USAGE}

Put `sccache` in front of the compiler, or let the build tool do so:
    sccache gcc -O2 -c foo.c -o foo.o
    cmake -DCMAKE_C_COMPILER_LAUNCHER=sccache -DCMAKE_CXX_COMPILER_LAUNCHER=sccache ..
    make CC="sccache gcc"

Options:
  -s, --show-stats                 show cache statistics
      --show-adv-stats             show cache statistics by language and compiler
      --stats-format <FMT>         how statistics are shown [default: text] [possible values: text, json]
  -z, --zero-stats                 set all statistics to zero
      --start-server               start the background daemon (a compile does so by itself)
      --stop-server                stop the background daemon and show its statistics
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
