"""SETTINGS: every setting there is, one row each, from which docs/settings.md is made; and Config, which holds their values.

Owns: names, variables, kinds, defaults, meaning.  Must not know: how values are found and merged (load.py).
A new setting is a row here and the field of Config that the row names; rows of storage tables (storage_rows.py) need no field.
"""

from typing import Any

from msgspec import Struct

from sccache.config import parse
from sccache.config.setting import Scope, Setting
from sccache.config.storage_rows import STORAGE_ROWS


class PreprocessorConfig(Struct, frozen=True):
    """Direct mode; the fields are documented in their rows."""

    use_preprocessor_cache_mode: bool = True
    file_stat_matches: bool = False
    use_ctime_for_stat: bool = True
    ignore_time_macros: bool = False
    skip_system_headers: bool = False
    hash_working_directory: bool = True


class DiskConfig(Struct, frozen=True):
    """The local disk cache."""

    dir: str
    size_bytes: int = 10 << 30
    read_only: bool = False
    preprocessor: PreprocessorConfig = PreprocessorConfig()


class RemoteConfig(Struct, frozen=True):
    """A configured remote storage: values of all its rows by their short name, already of the right type."""

    name: str
    settings: dict[str, Any]
    ambient: dict[str, str] = {}
    """Variables of others that this storage heeds (credentials, regions), as the compile's environment has them."""

    def __repr__(self) -> str:
        """Without the settings, which hold passwords."""
        return f"RemoteConfig({self.name!r})"


class RemoteLimits(Struct, frozen=True):
    """How long and how much, for every remote storage."""

    timeout_s: float = 10.0
    max_entry_bytes: int = 512 << 20


class MultilevelConfig(Struct, frozen=True):
    """Several storages behind each other."""

    chain: tuple[str, ...] = ()
    write_error_policy: str = "l0"


class DistConfig(Struct, frozen=True):
    """Distributed compilation."""

    scheduler_url: str | None = None
    auth: dict[str, str] | None = None
    cache_dir: str | None = None
    toolchains: tuple[dict[str, str], ...] = ()
    toolchain_cache_size_bytes: int = 10 << 30
    rewrite_includes_only: bool = False

    def __repr__(self) -> str:
        """Without `auth`, which holds a token."""
        return f"DistConfig({self.scheduler_url!r})"


class Config(Struct, frozen=True, kw_only=True):
    """All settings of a process or of one compile."""

    disk: DiskConfig
    disk_is_configured: bool = False
    """Something about the disk cache was set; a chain may name `disk` only then."""
    remotes: tuple[RemoteConfig, ...] = ()
    """Configured remote storages; without a chain the first one counts."""
    limits: RemoteLimits = RemoteLimits()
    multilevel: MultilevelConfig = MultilevelConfig()
    dist: DistConfig = DistConfig()
    basedirs: tuple[str, ...] = ()
    """Absolute, tidied, each ending in a slash."""
    depend_mode: bool = False
    rust_cache_linked: bool = True
    client_side_mode: bool = False
    zstd_level: int = 3
    multiarch: bool = False
    startup_timeout_s: float = 10.0
    idle_timeout_s: float = 600.0
    port: int = 4226
    uds: str = ""
    start_server: bool = False
    no_daemon: bool = False
    allow_core_dumps: bool = False
    error_log: str | None = None
    log: str | None = None
    log_millis: bool = False
    ignore_server_io_error: bool = False
    recache: bool = False
    no_cache: bool = False
    extra_files: tuple[str, ...] = ()
    cache_buster: str = ""
    conf: str = ""
    """The configuration file, whether it exists or not."""
    cached_conf: str = ""
    warnings: tuple[str, ...] = ()
    """Sentences about values that were passed over."""


def _top() -> tuple[Setting, ...]:
    return (
        Setting("server_startup_timeout_ms", "", parse.MILLISECONDS, 10.0,
                "How long a command waits for the daemon that it started to be ready, in milliseconds.",
                Scope.CLIENT, "startup_timeout_s"),
        Setting("basedirs", "SCCACHE_BASEDIRS", parse.BASEDIRS, (),
                "Absolute directories whose position does not matter: the same sources below another base directory give hits. "
                "As a variable, a list as in PATH (`:`; `;` on Windows), which replaces the file's list even when empty. "
                "The longest that fits counts.",
                field="basedirs"),
        Setting("client_side_mode", "SCCACHE_CLIENT_SIDE", parse.BOOL, False,
                "Accepted and without effect: compilers always run in the process that called `sccache`, never in the daemon.",
                Scope.CLIENT, "client_side_mode"),
        Setting("depend_mode", "SCCACHE_DEPEND", parse.BOOL, False,
                "On a miss, take the list of inputs from the compiler's own dependency file and run no preprocessor. "
                "The cheapest misses, on a farm most of all; but two sources that differ only in comments no longer share an entry.",
                field="depend_mode"),
        Setting("rust_cache_linked", "SCCACHE_RUST_CACHE_LINKED", parse.BOOL, True,
                "Cache what rustc links, too: programs, build scripts, tests, procedural macros, dynamic libraries.",
                field="rust_cache_linked"),
        Setting("", "SCCACHE_CACHE_ZSTD_LEVEL", parse.ZSTD_LEVEL, 3,
                "Compression of new entries, from 1 (fast) to 22 (small); values beyond are moved to the nearest.",
                Scope.COMPILE, "zstd_level", lenient=True),
        Setting("", "SCCACHE_CACHE_MULTIARCH", parse.PRESENCE, False,
                "If set, compiles with several different `-arch` options are cached.", Scope.COMPILE, "multiarch"),
    )  # fmt: skip


def _disk() -> tuple[Setting, ...]:
    table = "cache.disk.preprocessor_cache_mode"
    return (
        Setting("cache.disk.dir", "SCCACHE_DIR", parse.PATH, "",
                "Where the local disk cache is. `~` is your home directory. By default `$XDG_CACHE_HOME/sccache` or `~/.cache/sccache`; "
                "on macOS `~/Library/Caches/Mozilla.sccache`; on Windows `%LOCALAPPDATA%\\Mozilla\\sccache\\cache`.",
                field="disk.dir"),
        Setting("cache.disk.size", "SCCACHE_CACHE_SIZE", parse.SIZE, 10 << 30,
                "Most bytes that the disk cache may hold: a number, or a number and one of B, K, M, G, T (powers of 1024).",
                field="disk.size_bytes", lenient=True),
        Setting("cache.disk.rw_mode", "SCCACHE_LOCAL_RW_MODE", parse.RW_MODE, False,
                "READ_ONLY: serve what the disk cache has and never write to it. Otherwise READ_WRITE.",
                field="disk.read_only", lenient=True),
        Setting(f"{table}.use_preprocessor_cache_mode", "SCCACHE_DIRECT", parse.BOOL, True,
                "Remember which files a compile read, and find its result without running the preprocessor.",
                field="disk.preprocessor.use_preprocessor_cache_mode"),
        Setting(f"{table}.file_stat_matches", "", parse.BOOL, False,
                "Believe that a file is unchanged if its size and times are; otherwise its content decides.",
                field="disk.preprocessor.file_stat_matches"),
        Setting(f"{table}.use_ctime_for_stat", "", parse.BOOL, True,
                "With file_stat_matches, the change time has to match too.",
                field="disk.preprocessor.use_ctime_for_stat"),
        Setting(f"{table}.ignore_time_macros", "", parse.BOOL, False,
                "Cache files that use `__DATE__`, `__TIME__` or `__TIMESTAMP__` as if they did not: results may show an old time.",
                field="disk.preprocessor.ignore_time_macros"),
        Setting(f"{table}.skip_system_headers", "", parse.BOOL, False,
                "Do not check system headers for changes.",
                field="disk.preprocessor.skip_system_headers"),
        Setting(f"{table}.hash_working_directory", "", parse.BOOL, True,
                "Keep results of different working directories apart, because debug information names the directory.",
                field="disk.preprocessor.hash_working_directory"),
    )  # fmt: skip


def _process() -> tuple[Setting, ...]:
    daemon, client = Scope.DAEMON, Scope.CLIENT
    return (
        Setting("", "SCCACHE_CONF", parse.PATH, "",
                "The configuration file: TOML, or JSON if its name ends in `.json`. By default `~/.config/sccache/config`.",
                Scope.STORAGE, "conf"),
        Setting("", "SCCACHE_CACHED_CONF", parse.PATH, "",
                "The file in which sccache keeps tokens that it was given.", client, "cached_conf"),
        Setting("", "SCCACHE_SERVER_PORT", parse.PORT, 4226,
                "The daemon's port on 127.0.0.1; daemons of different ports know nothing of each other.",
                client, "port", lenient=True),
        Setting("", "SCCACHE_SERVER_UDS", parse.TEXT, "",
                "The daemon's unix socket, instead of a port; a value that begins with `\\x00` names an abstract socket (Linux).",
                client, "uds"),
        Setting("", "SCCACHE_IDLE_TIMEOUT", parse.SECONDS, 600.0,
                "Seconds without work after which the daemon exits; 0: never.", daemon, "idle_timeout_s", lenient=True),
        Setting("", "SCCACHE_START_SERVER", parse.EXACTLY_ONE, False,
                "1: `sccache` without further arguments becomes the daemon.", client, "start_server"),
        Setting("", "SCCACHE_NO_DAEMON", parse.EXACTLY_ONE, False,
                "1: with SCCACHE_START_SERVER=1, stay in the foreground.", daemon, "no_daemon"),
        Setting("", "SCCACHE_STARTUP_NOTIFY", parse.PATH, "",
                "Accepted and without effect: the daemon reports that it is ready through a pipe.", daemon, ignored=True),
        Setting("", "SCCACHE_ALLOW_CORE_DUMPS", parse.EXACTLY_ONE, False,
                "1: the daemon may dump core; otherwise it does not, whatever `ulimit -c` says: its memory holds passwords.",
                daemon, "allow_core_dumps"),
        Setting("", "SCCACHE_ERROR_LOG", parse.LOG_FILE, None,
                "A file to which the daemon appends what it would write to standard error.", daemon, "error_log"),
        Setting("", "SCCACHE_LOG", parse.FILTER, None,
                "What is logged: `error`, `warn`, `info`, `debug` or `trace`, or a list such as `sccache::daemon=trace,warn`.",
                client, "log"),
        Setting("", "SCCACHE_LOG_MILLIS", parse.PRESENCE, False,
                "If set, log lines have milliseconds.", client, "log_millis"),
        Setting("", "SCCACHE_MAX_FRAME_LENGTH", parse.NUMBER, 1 << 30,
                "Accepted and without effect: messages between command and daemon have a fixed limit of 1 GiB.",
                daemon, ignored=True, lenient=True),
        Setting("", "SCCACHE_IGNORE_SERVER_IO_ERROR", parse.EXACTLY_ONE, False,
                "Accepted: when the daemon cannot be reached or dies, the compiler is always run directly. "
                "1 only silences the warning about it.",
                client, "ignore_server_io_error"),
    )  # fmt: skip


def _compile() -> tuple[Setting, ...]:
    return (
        Setting("", "SCCACHE_RECACHE", parse.PRESENCE, False,
                "If set, compile in any case and replace the entry.", Scope.COMPILE, "recache"),
        Setting("", "SCCACHE_NO_CACHE", parse.PRESENCE, False,
                "If set, compile without reading or writing the cache.", Scope.COMPILE, "no_cache"),
        Setting("", "SCCACHE_EXTRAFILES", parse.PATHS, (),
                "Files, as a list as in PATH, whose content is part of every key of C-like languages.",
                Scope.COMPILE, "extra_files"),
        Setting("", "SCCACHE_C_CUSTOM_CACHE_BUSTER", parse.TEXT, "",
                "Any text; compiles with different texts share nothing.", Scope.COMPILE, "cache_buster"),
    )  # fmt: skip


SETTINGS = (*_top(), *_disk(), *_process(), *_compile(), *STORAGE_ROWS)
