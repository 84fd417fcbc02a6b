"""The commands of `sccache` other than compiling: statistics, starting and stopping the daemon.

Owns: what each command does, prints and exits with.  Must not know: how a compile is served.
Imports stay few, and what one command alone needs is imported there: --show-stats has 120 ms from start to end.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from sccache import __version__
from sccache.build_note import due_note
from sccache.cli_options import MISSING, Command, Invocation, Nothing, UsageError, help_text, parse, usage_error, version_text
from sccache.config.load import environment, load
from sccache.config.schema import Config
from sccache.errors import ConfigError, DaemonError, SccacheError
from sccache.protocol import address, control, messages, version
from sccache.protocol.blocking import Connection, NoDaemonError, connect
from sccache.stats import ServerInfo, Stats, printable, render_json
from sccache.stats_text import render_text

EXIT_OK, EXIT_PARSE, EXIT_ERROR = 0, 1, 2
EXIT_UNUSABLE = 1  # --check-storage: a storage does not do what the settings ask of it
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0  # a daemon that packs a huge object may be slow to answer
WAIT_FOR_EXIT_S = 10.0
IN_PASSING = (Command.COMPILE, Command.START_FOR_COMPILE)  # a build goes on whatever is wrong with a setting
LENIENT = (*IN_PASSING, Command.SHOW_STATS, Command.SHOW_ADV_STATS, Command.STOP_SERVER)
"""They need the daemon's address only, and a compile with the same bad variable may have started that daemon."""
MORE_INFORMATION = "Run with SCCACHE_LOG=debug SCCACHE_NO_DAEMON=1 to get more information"
TIMED_OUT = f"Timed out waiting for server startup. Maybe the remote service is unreachable?\n{MORE_INFORMATION}"


class Context:
    """What every command is given."""

    def __init__(self, env: Mapping[str, str], config: Config) -> None:
        self.env = env
        self.config = config
        self.address = address.from_env(env)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (the words after the program's name) and return the exit code."""
    env = environment()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        code = _main(words, env)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has seen enough; nothing more can be said to it
        return EXIT_OK
    except KeyboardInterrupt:
        return 130
    return code


def _main(words: Sequence[str], env: Mapping[str, str]) -> int:
    if "SCCACHE_LOG" in env:
        from sccache.util import logs  # logging takes 10 ms to import

        logs.setup(env["SCCACHE_LOG"], milliseconds="SCCACHE_LOG_MILLIS" in env)
        _debug(f"command line: {words}")
    invocation = parse(words)
    if env.get("SCCACHE_START_SERVER") == "1":
        if not isinstance(invocation, Nothing):
            sys.stdout.write("sccache: `SCCACHE_START_SERVER=1` can't be used with other commands\n")
            return EXIT_PARSE
        return _guarded(_be_the_daemon, env)
    match invocation:
        case Nothing():
            sys.stderr.write(usage_error(MISSING))
            return EXIT_ERROR
        case UsageError(message):
            sys.stderr.write(usage_error(message))
            return EXIT_ERROR
        case Invocation():
            return _guarded(lambda context: _run(invocation, context), env, invocation.command)
        case never:
            assert_never(never)


def _guarded(command: Callable[[Context], int], env: Mapping[str, str], which: Command | None = None) -> int:
    """Settings come first: a broken one makes every command fail.  Errors end in one sentence each."""
    if which is Command.HELP:
        sys.stdout.write(help_text())
        return EXIT_OK
    if which is Command.VERSION:
        sys.stdout.write(version_text())
        return EXIT_OK
    try:
        config = load(env, strict=which not in LENIENT)
        if which not in (*IN_PASSING, None):
            _say_beforehand(config, env)
        return command(Context(env, config))
    except SccacheError as e:
        sys.stderr.write(_error_text(e))
        return e.exit_code


def _say_beforehand(config: Config, env: Mapping[str, str]) -> None:
    for warning in config.warnings:
        sys.stderr.write(f"sccache: warning: {warning}\n")
    if note := due_note(env):
        sys.stderr.write(f"sccache: note: {note}\n")


def _error_text(error: BaseException) -> str:
    text = f"sccache: error: {error}\n"
    while (cause := error.__cause__) is not None:
        text += f"sccache: caused by: {cause}\n"
        error = cause
    return text


def _debug(text: str) -> None:
    """Log without importing logging where nobody wants it."""
    if "logging" in sys.modules:
        sys.modules["logging"].getLogger(__name__).debug("%s", text)


def _run(invocation: Invocation, context: Context) -> int:
    return COMMANDS[invocation.command](invocation, context)


# ── talking to the daemon ────────────────────────────────────────────────────────────────────────────────────────────


def _ask(connection: Connection, request: control.ControlRequest) -> control.ControlAnswer | None:
    """The daemon's answer; None if it is of another version, and leaves because of our asking."""
    question = messages.Control(version.VERSION_TEXT, connection.secret, control.encode_request(request))
    connection.send(messages.encode_control(question), CONNECT_TIMEOUT_S)
    while True:
        reply = messages.parse_reply(connection.receive(ANSWER_TIMEOUT_S))
        if isinstance(reply, messages.ControlReply):
            return control.decode_answer(reply.payload)
        if isinstance(reply, messages.Retire):
            return None
        if not isinstance(reply, messages.KeepAlive):
            raise DaemonError("Unexpected server response!")


def _info(answer: control.ControlAnswer | None) -> ServerInfo | None:
    match answer:
        case control.Stats(info):
            return ServerInfo.from_json(bytes(info))
        case control.Failed(message):
            raise DaemonError(message)
        case None:
            return None
        case _:
            raise DaemonError("Unexpected server response!")


def _info_without_daemon(context: Context) -> ServerInfo:
    """What the last daemon left, as the next one will find it."""
    from sccache.daemon.state import stats_path

    config = context.config
    info = ServerInfo(
        stats=Stats.load(stats_path(config, context.address)),
        cache_location=disk_location(config),
        cache_size=None,
        max_cache_size=config.disk.size_bytes,
        use_preprocessor_cache_mode=config.disk.preprocessor.use_preprocessor_cache_mode,
        version=__version__,
        basedirs=list(config.basedirs),
    )
    if config.remotes or config.multilevel.chain:
        _tell_of_levels(info, config)
    return info


def _tell_of_levels(info: ServerInfo, config: Config) -> None:
    """Name the storage that the next daemon will open."""
    from sccache.storage import factory  # only those with remote storage wait for its modules

    try:
        levels = factory.open_levels(config)
    except ConfigError as e:
        info.notes.append(f"{str(e).rstrip('.')}; the local disk is used instead.")
        return
    info.cache_location, info.max_cache_size, info.stats.multi_level = levels.location(), levels.max_bytes(), levels.levels_stats()


def disk_location(config: Config) -> str:
    """The disk cache as the statistics name it."""
    import json  # 2 ms, only without daemon

    return f"Local disk: {printable(json.dumps(config.disk.dir, ensure_ascii=False))}"


# ── the commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _show_stats(invocation: Invocation, context: Context) -> int:
    advanced = invocation.command is Command.SHOW_ADV_STATS
    info = None
    try:
        connection = connect(context.address, CONNECT_TIMEOUT_S)
    except DaemonError as e:
        _debug(f"no daemon answers: {e}")
    else:
        info = _info(_ask(connection, control.GetStats(advanced)))
    if info is None:
        info = _info_without_daemon(context)
    _write(render_json(info) if invocation.stats_format == "json" else render_text(info, advanced=advanced))
    return EXIT_OK


def _write(text: str) -> None:
    """Whatever the terminal's encoding, statistics are UTF-8."""
    sys.stdout.flush()
    sys.stdout.buffer.write(printable(text).encode())


def _start_server(_: Invocation, context: Context) -> int:
    return _start_by_user(context)


def _start_by_user(context: Context) -> int:
    from sccache.daemon import lifetime

    _run_anew_without_preloads(context.env)
    sys.stdout.write("sccache: Starting the server...\n")
    sys.stdout.flush()
    match lifetime.start_daemon(context.config, context.env, lifetime.Origin.USER):
        case lifetime.Ready(where):
            _write(f"sccache: Listening on address {where}\n")
            return EXIT_OK
        case lifetime.InUse():
            raise DaemonError("Server startup failed: Address in use")
        case lifetime.Failed(reason):
            raise DaemonError(f"Server startup failed: {reason}")
        case lifetime.NotYet():
            raise DaemonError("Timed out waiting for server startup")
        case never:
            assert_never(never)


def _start_for_compile(_: Invocation, context: Context) -> int:
    return _start_in_passing(context)


def _start_in_passing(context: Context) -> int:
    from sccache.daemon import lifetime

    _run_anew_without_preloads(context.env)
    match lifetime.start_daemon(context.config, context.env, lifetime.Origin.COMPILE):
        case lifetime.Ready() | lifetime.InUse():  # another launcher was faster
            return EXIT_OK
        case lifetime.Failed(reason):
            raise DaemonError(f"Server startup failed: {reason}\n{MORE_INFORMATION}")
        case lifetime.NotYet():
            raise DaemonError(TIMED_OUT)
        case never:
            assert_never(never)


def _run_anew_without_preloads(env: Mapping[str, str]) -> None:
    """A library that was loaded into this process would go on living in the daemon that it forks."""
    from sccache.daemon import lifetime

    clean = lifetime.without_preloads(env)
    if clean is not None:
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, clean)


def _be_the_daemon(context: Context) -> int:
    """SCCACHE_START_SERVER=1, as services and scripts use it."""
    from sccache.daemon import lifetime

    if not context.config.no_daemon:
        return _start_by_user(context)
    try:
        lifetime.run_in_foreground(context.config, context.env)
    except DaemonError as e:
        raise DaemonError(f"Server startup failed: {e}") from e.__cause__
    return EXIT_OK


def _connect_or_start(context: Context) -> Connection:
    try:
        return connect(context.address, CONNECT_TIMEOUT_S)
    except NoDaemonError:
        _start_in_passing(context)
    return connect(context.address, CONNECT_TIMEOUT_S)


def _stop_server(_: Invocation, context: Context) -> int:
    from sccache.daemon.ending import Ending

    sys.stdout.write("Stopping sccache server...\n")
    sys.stdout.flush()
    try:
        connection = connect(context.address, CONNECT_TIMEOUT_S)
    except DaemonError as e:
        raise DaemonError("couldn't connect to server") from e
    ending = Ending(connection.socket)
    info = _info(_ask(connection, control.Shutdown()))
    connection.close()
    ending.wait(WAIT_FOR_EXIT_S)
    _write(render_text(info or _info_without_daemon(context), advanced=False))
    return EXIT_OK


def _zero_stats(_: Invocation, context: Context) -> int:
    try:
        answer = _info(_ask(_connect_or_start(context), control.ZeroStats()))
        if answer is None:  # a daemon of another version, which has left by now
            _info(_ask(_connect_or_start(context), control.ZeroStats()))
    except SccacheError as e:
        raise DaemonError("couldn't zero stats on server") from e
    sys.stderr.write("Statistics zeroed.\n")
    return EXIT_OK


def _compile(invocation: Invocation, _: Context) -> int:
    """A compile that reached us and not the launcher, such as `sccache -- gcc`."""
    from sccache import launcher

    sys.argv[1:] = invocation.words
    launcher.main()


def _about_farm(invocation: Invocation, context: Context) -> int:
    from sccache.dist import commands

    act = commands.show_status if invocation.command is Command.DIST_STATUS else commands.log_in
    act(context.config)
    return EXIT_OK


def _package_toolchain(invocation: Invocation, _: Context) -> int:
    from sccache.compilers import detect
    from sccache.dist import packaging
    from sccache.dist.archive import ArchiveError
    from sccache.dist.client_toolchains import NotDistributable, package

    name, out = invocation.words
    located = detect.locate(name, os.getcwd(), os.environ.get("PATH", os.defpath))
    if located is None:
        raise ConfigError(f"{name} is no program that can be run")
    executable, family = packaging.recognise(located.path)
    if not family:
        raise ConfigError(f"{executable} is no compiler whose toolchain can be packaged automatically")
    try:
        packed = package(executable, family, out)
    except OSError as e:
        raise ConfigError(f"Failed to package {executable} into {out}: {e}") from e
    except ArchiveError as e:
        raise ConfigError(f"Failed to package {executable}: {e}") from e
    if isinstance(packed, NotDistributable):
        raise ConfigError(packed.reason)
    _write(f"Packaged {executable} as toolchain {packed}\n")
    return EXIT_OK


def _check_storage(invocation: Invocation, context: Context) -> int:
    from sccache import check_storage

    found = check_storage.check(context.config)
    render = check_storage.render_json if invocation.stats_format == "json" else check_storage.render_text
    _write(render(found))
    return EXIT_OK if all(level.usable for level in found) else EXIT_UNUSABLE


def _debug_preprocessor_cache(_: Invocation, context: Context) -> int:
    from sccache.preprocessor_cache import dump

    for text in dump.describe(context.config.disk.dir):
        _write(text)
    return EXIT_OK


COMMANDS: dict[Command, Callable[[Invocation, Context], int]] = {
    # --help and --version are answered before settings are read
    Command.SHOW_STATS: _show_stats,
    Command.SHOW_ADV_STATS: _show_stats,
    Command.START_SERVER: _start_server,
    Command.START_FOR_COMPILE: _start_for_compile,
    Command.STOP_SERVER: _stop_server,
    Command.ZERO_STATS: _zero_stats,
    Command.CHECK_STORAGE: _check_storage,
    Command.DEBUG_PREPROCESSOR_CACHE: _debug_preprocessor_cache,
    Command.DIST_STATUS: _about_farm,
    Command.DIST_AUTH: _about_farm,
    Command.PACKAGE_TOOLCHAIN: _package_toolchain,
    Command.COMPILE: _compile,
}

if __name__ == "__main__":
    sys.exit(main())
