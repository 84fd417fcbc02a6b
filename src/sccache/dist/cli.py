"""The command `sccache-dist`: keys and tokens, the scheduler, a worker.

    exit 2, standard error: a command line that is none; what fails when it runs
    exit 1, standard output: a configuration file that cannot be used (sccache-dist's own way)

Owns: options, exit codes, being a daemon, signals.  Must not know: what a scheduler or worker does.
"""

import argparse
import asyncio
import logging
import logging.handlers
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

from sccache import __version__
from sccache.config.load import environment
from sccache.dist.config import JwtHs256Auth, join_address, load_scheduler, load_worker, split_address
from sccache.errors import ConfigError, SccacheError
from sccache.util import logs
from sccache.util.limits import raise_limit

EXIT_OK, EXIT_CONFIG, EXIT_ERROR = 0, 1, 2
SYSLOG = "/dev/log"
SYSLOG_LEVELS = ("error", "warn", "info", "debug", "trace")
INCREMENTAL = ("CARGO_BUILD_INCREMENTAL", "CARGO_INCREMENTAL")
BITS = (64, 4096)
READY = b"ready"
OPEN_FILES = 1 << 16
"""Of a scheduler or worker, if the system allows as many: a crowd that only connects would use up the usual 1024."""
KEY_OPTION = "--secret-key"

log = logging.getLogger(__name__)
Stop = asyncio.Event
Ready = Callable[[str], None]
Serve = Callable[[Stop, Ready], Coroutine[Any, Any, None]]


def main(argv: Sequence[str]) -> int:
    """Run one command line (the words after the program's name) and return the exit code."""
    env = environment()
    logs.setup(env.get("SCCACHE_LOG", "warn"), milliseconds="SCCACHE_LOG_MILLIS" in env)
    for name in INCREMENTAL:
        if env.get(name) == "1":
            sys.stdout.write(f"sccache: incremental compilation is prohibited: Unset {name} to continue.\n")
            return EXIT_CONFIG
    options = _parser().parse_args(_key_joined(argv))
    try:
        code: int = options.run(options, env)
    except SccacheError as error:
        sys.stderr.write(f"sccache-dist: error: {error}\n")
        return EXIT_ERROR
    return code


# -- commands


def _generate_key(_: argparse.Namespace, __: Mapping[str, str]) -> int:
    from sccache.dist import tokens

    return _say(tokens.new_key())


def _generate_shared_token(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    from sccache.dist import tokens

    return _say(tokens.new_key(options.bits // 8))


def _generate_server_token(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    from sccache.dist import tokens

    text = options.secret_key
    if text is None:
        try:
            auth = load_scheduler(options.config).server_auth
        except ConfigError as error:
            return _unusable(error)
        if not isinstance(auth, JwtHs256Auth):
            return _unusable("Scheduler not configured with JWT HS256")
        text = auth.secret_key
    try:
        key = tokens.decode_key(text)
    except ValueError as error:
        raise SccacheError(str(error)) from None
    return _say(tokens.server_token(key, options.server))


def _scheduler(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    try:
        config = load_scheduler(options.config)
    except ConfigError as error:
        return _unusable(error)
    from sccache.dist import scheduler_http

    _log_to_syslog(options.syslog, "sccache-scheduler")
    run = _running(lambda stop, ready: scheduler_http.serve(config, stop, ready))
    return run(_listening) if env.get("SCCACHE_NO_DAEMON") == "1" else _in_background(run)


def _server(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    try:
        config = load_worker(options.config)
    except ConfigError as error:
        return _unusable(error)
    from sccache.dist import worker_http

    _log_to_syslog(options.syslog, "sccache-buildserver")
    return _running(lambda stop, ready: worker_http.serve(config, stop, ready))(_listening)


def _say(line: str) -> int:
    sys.stdout.write(line + "\n")
    return EXIT_OK


def _unusable(why: object) -> int:
    sys.stdout.write(f"sccache-dist: {why}\n")
    return EXIT_CONFIG


# -- serving


def _running(serve: Serve) -> Callable[[Ready], int]:
    """Something that serves until SIGTERM or SIGINT, then ends what it has begun; a second one ends it at once."""

    async def run(ready: Ready) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        serving = asyncio.ensure_future(serve(stop, ready))

        def end() -> None:
            if stop.is_set():
                serving.cancel()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        await serving

    def run_until_told(ready: Ready) -> int:
        raise_limit(resource.RLIMIT_NOFILE, OPEN_FILES)
        try:
            asyncio.run(run(ready))
        except OSError as error:
            raise SccacheError(error.strerror or str(error)) from None
        except asyncio.CancelledError:
            log.warning("ended before everything that had begun was over")
        return EXIT_OK

    return run_until_told


def _listening(url: str) -> None:
    log.info("listening at %s", url)


def _in_background(run: Callable[[Ready], int]) -> int:
    """Be a daemon; this process ends when that one serves, or says why it cannot."""
    heard, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(heard)
        _be_a_daemon(run, tell)
    os.close(tell)
    with os.fdopen(heard, "rb") as pipe:
        if pipe.read() == READY:
            return EXIT_OK
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or EXIT_ERROR


def _be_a_daemon(run: Callable[[Ready], int], tell: int) -> NoReturn:
    code = EXIT_ERROR
    try:
        os.setsid()
        os.chdir("/")

        def ready(url: str) -> None:
            _listening(url)
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            os.write(tell, READY)
            os.close(tell)

        code = run(ready)
    except SccacheError as error:
        sys.stderr.write(f"sccache-dist: error: {error}\n")
        sys.stderr.flush()
    except BaseException:
        log.exception("the scheduler has failed")
    finally:
        os._exit(code)


def _log_to_syslog(level: str | None, name: str) -> None:
    if level is None:
        return
    if not os.path.exists(SYSLOG):  # the handler would say so at each line
        raise SccacheError(f"cannot log to {SYSLOG}: there is no syslog")
    handler = logging.handlers.SysLogHandler(SYSLOG, logging.handlers.SysLogHandler.LOG_DAEMON)
    handler.ident = f"{name}: "
    handler.setLevel(logs.LEVELS[level])
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(min(root.level, logs.LEVELS[level]))


# -- the command line


def _key_joined(argv: Sequence[str]) -> list[str]:
    """base64url keys may begin with a hyphen, which is no option then: one key of 64 does."""
    words = list(argv)
    if KEY_OPTION in words[:-1]:
        at = words.index(KEY_OPTION)
        if words[at + 1].startswith("-") and words[at + 1] not in ("-h", "--help", "--server", "--config"):
            words[at : at + 2] = [f"{KEY_OPTION}={words[at + 1]}"]
    return words


def _bits(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    bits = int(text)
    if bits % 8:
        raise argparse.ArgumentTypeError("Number of bits must be divisible by 8")
    if bits < BITS[0]:
        raise argparse.ArgumentTypeError(f"Number of bits must be greater than or equal to {BITS[0]}")
    if bits > BITS[1]:
        raise argparse.ArgumentTypeError(f"Number of bits must be less than or equal to {BITS[1]}")
    return bits


def _address(text: str) -> str:
    try:
        return join_address(*split_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("sccache-dist", description="Distributed compilation for sccache.", allow_abbrev=False)
    parser.add_argument("-V", "--version", action="version", version=f"sccache {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    auth = commands.add_parser("auth", help="make keys and tokens", allow_abbrev=False)
    kinds = auth.add_subparsers(title="commands", required=True, metavar="COMMAND")
    key = kinds.add_parser("generate-jwt-hs256-key", help="a secret key for the scheduler", allow_abbrev=False)
    key.set_defaults(run=_generate_key)
    server = kinds.add_parser("generate-jwt-hs256-server-token", help="a token for the worker at an address", allow_abbrev=False)
    server.add_argument("--server", required=True, type=_address, metavar="IP:PORT", help="its public_addr")
    source = server.add_mutually_exclusive_group(required=True)
    source.add_argument(KEY_OPTION, metavar="KEY", help="the scheduler's key")
    source.add_argument("--config", metavar="PATH", help="the scheduler's configuration file, which has the key")
    server.set_defaults(run=_generate_server_token)
    shared = kinds.add_parser("generate-shared-token", help="a token that all clients or workers share", allow_abbrev=False)
    shared.add_argument("--bits", type=_bits, default=256, metavar="N", help="of randomness (default 256)")
    shared.set_defaults(run=_generate_shared_token)

    for name, text, run in (
        ("scheduler", "be the scheduler, which finds a worker for each compile", _scheduler),
        ("server", "be a worker, which compiles", _server),
    ):
        command = commands.add_parser(name, help=text, allow_abbrev=False)
        command.add_argument("--config", required=True, metavar="PATH", help="its configuration file")
        command.add_argument("--syslog", choices=SYSLOG_LEVELS, metavar="LEVEL", help="log to syslog: " + ", ".join(SYSLOG_LEVELS))
        command.set_defaults(run=run)
    return parser
