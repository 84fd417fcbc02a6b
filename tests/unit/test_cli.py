"""cli.py and cli_options.py: what is printed, and the exit codes.  No daemon runs in these tests."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sccache import __version__, cli, cli_options
from sccache.cli_options import Command, Invocation, Nothing, UsageError, parse
from sccache.config.load import load
from sccache.daemon.state import stats_path
from sccache.hashing.digest import hex_digest
from sccache.protocol import address
from sccache.stats import Stats


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which nothing is configured, and no daemon can be at the address."""
    for name in list(os.environ):
        if name.startswith(("SCCACHE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCCACHE_SERVER_UDS", str(tmp_path / "no-daemon"))
    return {name: value for name, value in os.environ.items() if name.startswith("SCCACHE_") or name == "HOME"}


def save_stats(env: dict[str, str], stats: Stats) -> None:
    stats.save(stats_path(load(env), address.from_env(env)))


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["-s"], Command.SHOW_STATS),
        (["--show-stats"], Command.SHOW_STATS),
        (["--show-adv-stats"], Command.SHOW_ADV_STATS),
        (["--start-server"], Command.START_SERVER),
        (["--stop-server"], Command.STOP_SERVER),
        (["-z"], Command.ZERO_STATS),
        (["--zero-stats"], Command.ZERO_STATS),
        (["--dist-auth"], Command.DIST_AUTH),
        (["--dist-status"], Command.DIST_STATUS),
        (["--check-storage"], Command.CHECK_STORAGE),
        (["--debug-preprocessor-cache"], Command.DEBUG_PREPROCESSOR_CACHE),
        (["-h"], Command.HELP),
        (["-V"], Command.VERSION),
        (["-s", "-z", "--help"], Command.HELP),
    ],
)
def test_commands(argv: list[str], command: Command):
    """Each option asks for its command."""
    assert parse(argv) == Invocation(command)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["gcc", "-c", "foo.c"], ("gcc", "-c", "foo.c")),
        (["gcc", "--help", "-s"], ("gcc", "--help", "-s")),
        (["--", "gcc", "-V"], ("gcc", "-V")),
        (["--stats-format", "json", "gcc"], ("gcc",)),
    ],
)
def test_compile(argv: list[str], words: tuple[str, ...]):
    """From the first word that is no option, everything belongs to the compiler."""
    read = parse(argv)
    assert isinstance(read, Invocation)
    assert (read.command, read.words) == (Command.COMPILE, words)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["-c", "foo.c"], "unexpected argument '-c' found"),
        (["--show-stat"], "unexpected argument '--show-stat' found"),
        (["-s", "-z"], "'--show-stats' cannot be used with '--zero-stats'"),
        (["-s", "gcc"], "'--show-stats' cannot be used with '[CMD]...'"),
        (["-s", "-s"], "'--show-stats' cannot be used multiple times"),
        (["--stats-format=xml"], "invalid value 'xml' for '--stats-format <FMT>'\n  [possible values: text, json]"),
        (["-s", "--stats-format"], "a value is required"),
        (["--package-toolchain", "/bin/gcc"], "2 values required"),
    ],
)
def test_usage_errors(argv: list[str], says: str):
    """Command lines that make no sense are refused with the reason."""
    read = parse(argv)
    assert isinstance(read, UsageError)
    assert says in read.message


@pytest.mark.parametrize("argv", [[], ["--"], ["--stats-format", "json"]])
def test_nothing_asked(argv: list[str]):
    """A command line may ask for nothing."""
    assert parse(argv) == Nothing()


def test_stats_format_anywhere():
    """The format may stand before or behind, joined or apart."""
    for argv in (["-s", "--stats-format", "json"], ["--stats-format=json", "-s"]):
        assert parse(argv) == Invocation(Command.SHOW_STATS, stats_format="json")


def test_package_values():
    """--package-toolchain takes two values, whatever they look like."""
    assert parse(["--package-toolchain", "/bin/gcc", "-x"]) == Invocation(Command.PACKAGE_TOOLCHAIN, ("/bin/gcc", "-x"))


def test_version(capsys: pytest.CaptureFixture[str]):
    """--version goes to stdout."""
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sccache {__version__}\n"


def test_help(capsys: pytest.CaptureFixture[str]):
    """--help goes to stdout, names every option and ends with the features."""
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in Command:
        if command not in (Command.COMPILE, Command.START_FOR_COMPILE):
            assert command.value in text
    features = text[text.index("Enabled features:\n") :].splitlines()[1:]
    assert [line.split(":")[0].strip() for line in features] == list(cli_options.FEATURES)
    assert all(re.fullmatch(r"    \S+: +(true|false)", line) for line in features)


def test_help_despite_broken_settings(env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Help is needed most when settings are broken."""
    monkeypatch.setenv("SCCACHE_DIRECT", "perhaps")
    assert cli.main(["--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_no_arguments(env: dict[str, str], capsys: pytest.CaptureFixture[str]):
    """Nothing asked: exit code 2, on stderr."""
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "required arguments were not provided" in err


def test_unknown_option(env: dict[str, str], capsys: pytest.CaptureFixture[str]):
    """A compiler's option without compiler: exit code 2, on stderr."""
    assert cli.main(["-c", "foo.c"]) == 2
    assert "error: unexpected argument '-c' found" in capsys.readouterr().err


def test_stats_without_daemon(env: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path):
    """Without daemon zeros are shown, and the cache as configured; nothing is made."""
    assert cli.main(["--show-stats", "--stats-format=json"]) == 0
    out = capsysbinary.readouterr().out
    shown = json.loads(out)
    assert shown["stats"]["compile_requests"] == 0
    assert shown["cache_location"] == f'Local disk: "{tmp_path}/.cache/sccache"'
    assert shown["cache_size"] is None
    assert shown["max_cache_size"] == 10 << 30
    assert not out.endswith(b"\n")
    assert os.listdir(tmp_path) == []


def test_stats_survive(env: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes]):
    """Without daemon the statistics that the last one left are shown."""
    save_stats(env, Stats(compile_requests=7))
    assert cli.main(["-s"]) == 0
    assert b"Compile requests                      7\n" in capsysbinary.readouterr().out


def test_stats_of_another_cache(
    env: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Statistics lie with their cache: a fresh cache has fresh ones."""
    save_stats(env, Stats(compile_requests=7))
    monkeypatch.setenv("SCCACHE_DIR", str(tmp_path / "other"))
    assert cli.main(["-s"]) == 0
    assert b"Compile requests                      0\n" in capsysbinary.readouterr().out


def test_odd_path(env: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch):
    """A cache directory of any bytes can be shown."""
    monkeypatch.setenv("SCCACHE_DIR", os.fsdecode(b'/c/\xff"x'))
    assert cli.main(["-s"]) == 0
    assert b'Local disk: "/c/\\xff\\"x"' in capsysbinary.readouterr().out


def test_stop_without_daemon(env: dict[str, str], capsys: pytest.CaptureFixture[str]):
    """Stopping what does not run: exit code 2 and two sentences."""
    assert cli.main(["--stop-server"]) == 2
    out, err = capsys.readouterr()
    assert out == "Stopping sccache server...\n"
    assert err.startswith("sccache: error: couldn't connect to server\nsccache: caused by: ")


@pytest.mark.parametrize("argv", [["--dist-status"], ["--zero-stats"], ["--start-server"], ["--check-storage"]])
def test_broken_settings(env: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str]):
    """A broken setting makes a command that needs it fail, with one sentence."""
    monkeypatch.setenv("SCCACHE_DIRECT", "perhaps")
    assert cli.main(argv) == 2
    assert capsys.readouterr().err == "sccache: error: SCCACHE_DIRECT must be 'true', 'on', '1', 'false', 'off' or '0'.\n"


@pytest.mark.parametrize(("argv", "exit_code"), [(["-s"], 0), (["--show-adv-stats"], 0), (["--stop-server"], 2)])
def test_broken_settings_do_not_hide_the_daemon(
    env: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str], exit_code: int
):
    """A compile with the same bad variable starts a daemon: it can be asked and stopped (here there is none), and the variable is named."""
    monkeypatch.setenv("SCCACHE_DIRECT", "perhaps")
    assert cli.main(argv) == exit_code
    warning = "sccache: warning: SCCACHE_DIRECT must be 'true', 'on', '1', 'false', 'off' or '0'; it was passed over.\n"
    assert capfd.readouterr().err.startswith(warning)


def test_warning(env: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch):
    """A setting that is passed over is mentioned on stderr."""
    monkeypatch.setenv("SCCACHE_CACHE_SIZE", "bogus")
    assert cli.main(["-s"]) == 0
    assert capsysbinary.readouterr().err.startswith(b"sccache: warning: SCCACHE_CACHE_SIZE value is invalid: 'bogus'")


def test_remote_without_a_daemon(env: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch):
    """The statistics name the storage that a daemon would open."""
    monkeypatch.setenv("SCCACHE_WEBDAV_ENDPOINT", "http://127.0.0.1:1/cache")
    assert cli.main(["-s"]) == 0
    shown = capsysbinary.readouterr().out
    assert re.search(rb"^Cache location +webdav, name: , prefix: /$", shown, re.MULTILINE)
    assert b"Max cache size" not in shown


def test_unusable_storage_without_a_daemon(
    env: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
):
    """The statistics are shown all the same, and say what is wrong."""
    monkeypatch.setenv("SCCACHE_MULTILEVEL_CHAIN", "disk,floppy")
    monkeypatch.setenv("SCCACHE_DIR", "/nonexistent/cache")
    assert cli.main(["-s"]) == 0
    assert b"\nNote: Unknown cache level: 'floppy'; the local disk is used instead.\n" in capsysbinary.readouterr().out


@pytest.mark.parametrize("argv", [["--check-storage"], ["--start-server"]])
def test_unusable_storage(env: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str]):
    """Who asks for that storage learns what is wrong, with exit code 2."""
    monkeypatch.setenv("SCCACHE_MULTILEVEL_CHAIN", "disk,floppy")
    monkeypatch.setenv("SCCACHE_DIR", "/nonexistent/cache")
    assert cli.main(argv) == 2
    assert "Unknown cache level: 'floppy'" in capsys.readouterr().err


def test_start_server_variable(env: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """SCCACHE_START_SERVER=1 goes with nothing else: exit code 1, on stdout."""
    monkeypatch.setenv("SCCACHE_START_SERVER", "1")
    assert cli.main(["--show-stats"]) == 1
    assert capsys.readouterr().out == "sccache: `SCCACHE_START_SERVER=1` can't be used with other commands\n"


def test_other_start_server_values(env: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch):
    """Any other value of it is ignored."""
    monkeypatch.setenv("SCCACHE_START_SERVER", "true")
    assert cli.main(["--show-stats"]) == 0


def test_dist_status(env: dict[str, str], capsys: pytest.CaptureFixture[str]):
    """Distributed compilation is off."""
    assert cli.main(["--dist-status"]) == 0
    assert capsys.readouterr().out == '{"Disabled":"disabled"}\n'


def test_dist_auth(env: dict[str, str], capsys: pytest.CaptureFixture[str]):
    """Without a service to log in to there is nothing to do."""
    assert cli.main(["--dist-auth"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "nothing to log in to" in captured.err


def test_package_toolchain(env: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """A compiler becomes an archive; its name is enough, as in a command line."""
    out = tmp_path / "out.tar.zst"
    assert cli.main(["--package-toolchain", "gcc", str(out)]) == 0
    assert capsys.readouterr().out == f"Packaged {shutil.which('gcc')} as toolchain {hex_digest(out.read_bytes())}\n"


@pytest.mark.parametrize(
    ("name", "out", "sentence"),
    [
        ("/no/such/cc", "x", "/no/such/cc is no program that can be run"),
        ("/bin/true", "x", "/bin/true is no compiler whose toolchain can be packaged automatically"),
        ("gcc", "/no/such/directory/x", "Failed to package"),
    ],
)
def test_no_package(env: dict[str, str], capsys: pytest.CaptureFixture[str], name: str, out: str, sentence: str):
    """What cannot be packaged is an error with a sentence."""
    assert cli.main(["--package-toolchain", name, out]) == 2
    assert sentence in capsys.readouterr().err


def test_no_error_log(env: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A log that cannot be written is an error that the user sees."""
    monkeypatch.setenv("SCCACHE_ERROR_LOG", f"{tmp_path}/none/log")
    assert cli.main(["--start-server"]) == 2
    assert f"sccache: error: Cannot open/write log file '{tmp_path}/none/log'\n" in capsys.readouterr().err
    monkeypatch.setenv("SCCACHE_ERROR_LOG", "")
    assert cli.main(["--start-server"]) == 2
    assert "Cannot read variable 'SCCACHE_ERROR_LOG'" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["debug", "trace", "sccache=debug", "off,sccache::cli=debug"])
def test_log_line(env: dict[str, str], value: str):
    """SCCACHE_LOG makes log lines on stderr, without fractions of a second."""
    done = subprocess.run(
        [sys.executable, "-c", "from sccache.cli import main; main(['-s'])"],
        env={**os.environ, "SCCACHE_LOG": value}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.match(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ DEBUG sccache\.cli\] ", done.stderr)


def test_stats_are_quick_to_import():
    """--show-stats without daemon needs no logging, asyncio, argparse, ssl or compression."""
    code = (
        "import sys; from sccache.cli import main; main(['-s'])\n"
        "print(*sorted({'logging', 'asyncio', 'argparse', 'ssl', 'zstandard', 'blake3', 'tomllib', 'subprocess'} & set(sys.modules)))"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("SCCACHE_")}
    env["SCCACHE_SERVER_UDS"] = "/nonexistent/socket"
    env["HOME"] = "/nonexistent"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
