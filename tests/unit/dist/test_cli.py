"""The command `sccache-dist`, as programs and people run it: real processes."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from sccache.dist import cli, tokens
from sccache.errors import SccacheError

SRC = Path(__file__).resolve().parents[3] / "src"
MAIN = "import sys; from sccache.launcher_parts.dist import main; sys.exit(main(sys.argv[1:]))"
KEY = tokens.encode_key(bytes(range(32)))
READY_S = 30.0


def dist(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *words],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC), **env}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture
def scheduler_conf(tmp_path: Path) -> Path:
    """One for a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    path = tmp_path / "scheduler.conf"
    path.write_text(
        f'public_addr = "127.0.0.1:{port}"\n[client_auth]\ntype = "token"\ntoken = "client-secret"\n'
        f'[server_auth]\ntype = "jwt_hs256"\nsecret_key = "{KEY}"\n'
    )
    return path


def url_of(conf: Path) -> str:
    """Where that scheduler listens."""
    (address,) = re.findall(r'public_addr = "(.*)"', conf.read_text())
    return f"http://{address}"


def status(url: str) -> dict[str, int]:
    """What scripts read."""
    with urllib.request.urlopen(f"{url}/api/v1/scheduler/status", timeout=READY_S) as answer:
        found: dict[str, int] = json.load(answer)
    return found


# -- keys and tokens


def test_key():
    """32 random bytes, base64url; another one each time."""
    one, two = dist("auth", "generate-jwt-hs256-key"), dist("auth", "generate-jwt-hs256-key")
    assert (one.returncode, one.stderr) == (0, "")
    assert len(tokens.decode_key(one.stdout.strip())) == 32
    assert one.stdout != two.stdout
    assert "=" not in one.stdout


@pytest.mark.parametrize(("words", "digits"), [((), 43), (("--bits", "64"), 11), (("--bits=4096",), 683)])
def test_shared_token(words, digits):
    """As many bits as were asked for."""
    done = dist("auth", "generate-shared-token", *words)
    assert done.returncode == 0
    assert re.fullmatch(f"[A-Za-z0-9_-]{{{digits}}}\n", done.stdout)


@pytest.mark.parametrize(
    ("bits", "sentence"),
    [
        ("not_a_num", "no number"),
        ("58", "Number of bits must be divisible by 8"),
        ("56", "Number of bits must be greater than or equal to 64"),
        ("8000", "Number of bits must be less than or equal to 4096"),
        ("-64", "expected one argument|no number"),
    ],
)
def test_bad_bits(bits, sentence):
    """A usage error, with sccache-dist's sentences."""
    done = dist("auth", "generate-shared-token", "--bits", bits)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(sentence, done.stderr)


def test_server_token(scheduler_conf):
    """The same from the key and from the file that has it; it names the address in its usual form."""
    one = dist("auth", "generate-jwt-hs256-server-token", "--server", "192.168.1.10:10501", "--secret-key", KEY)
    two = dist("auth", "generate-jwt-hs256-server-token", "--server", "192.168.1.10:10501", "--config", str(scheduler_conf))
    assert one.returncode == two.returncode == 0
    assert one.stdout == two.stdout
    said = jwt.decode(one.stdout.strip(), bytes(range(32)), ["HS256"], options={"verify_exp": False})
    assert said == {"exp": 0, "server_id": "192.168.1.10:10501"}


@pytest.mark.parametrize("key", [bytes([251]) * 32, bytes([251, 239, 190]) + bytes(29)])
def test_a_key_that_looks_like_an_option(key):
    """One of 64 keys that sccache-dist makes does."""
    text = tokens.encode_key(key)
    assert text.startswith("-")
    one = dist("auth", "generate-jwt-hs256-server-token", "--secret-key", text, "--server", "1.2.3.4:5")
    two = dist(*SERVER, f"--secret-key={text}")
    assert (one.returncode, one.stderr) == (0, "")
    assert one.stdout == two.stdout
    assert jwt.decode(one.stdout.strip(), key, ["HS256"], options={"verify_exp": False})["server_id"] == "1.2.3.4:5"


SERVER = ("auth", "generate-jwt-hs256-server-token", "--server", "1.2.3.4:5")
USAGE = [
    (), ("auth",), ("nothing",), ("auth", "nothing"), ("scheduler",), ("server",), ("scheduler", "--config"),
    ("auth", "generate-jwt-hs256-key", "x"), SERVER, (*SERVER, "--secret-key", KEY, "--config", "/x"),
    (*SERVER[:2], "--secret-key", "--server", "1.2.3.4:5"), (*SERVER, "--secret-key"),
    (*SERVER[:3], "worker:5", "--secret-key", KEY), (*SERVER[:2], "--secret-key", KEY),
    ("scheduler", "--config", "/x", "--syslog", "loud"), ("scheduler", "--conf", "/x"),
]  # fmt: skip


@pytest.mark.parametrize("words", USAGE)
def test_usage(words):
    """Exit 2, on standard error only."""
    done = dist(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: sccache-dist" in done.stderr


@pytest.mark.parametrize("words", [("--help",), ("auth", "--help"), ("server", "--help"), ("--version",)])
def test_help(words):
    """Exit 0, on standard output only."""
    done = dist(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sccache" in done.stdout


@pytest.mark.parametrize("key", ["", "y", "AAAA", "my-scheduler-secret-key"])
def test_bad_key(key):
    """A failure of the command: exit 2."""
    done = dist(*SERVER, "--secret-key", key)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match("sccache-dist: error: (Secret key base64 invalid|Size of secret key incorrect)\n", done.stderr)


def test_config_without_a_key(scheduler_conf):
    """The scheduler's workers have another kind of token."""
    scheduler_conf.write_text(scheduler_conf.read_text().replace(f'"jwt_hs256"\nsecret_key = "{KEY}"', '"token"\ntoken = "t"'))
    done = dist(*SERVER, "--config", str(scheduler_conf))
    assert (done.returncode, done.stdout) == (1, "sccache-dist: Scheduler not configured with JWT HS256\n")


@pytest.mark.parametrize("words", [("scheduler",), ("server",), SERVER])
def test_no_config(words, tmp_path):
    """Exit 1, on standard output: sccache-dist's way."""
    done = dist(*words, "--config", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert done.stdout.startswith("sccache-dist: Could not load config")
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["CARGO_INCREMENTAL", "CARGO_BUILD_INCREMENTAL"])
def test_incremental(name):
    """As the client says it."""
    done = dist("--version", **{name: "1"})
    assert (done.returncode, done.stdout) == (1, f"sccache: incremental compilation is prohibited: Unset {name} to continue.\n")
    assert dist("--version", **{name: "0"}).returncode == 0


# -- the scheduler


def test_scheduler_in_the_foreground(scheduler_conf):
    """Listens where its file says, tells so in the log, and ends by SIGTERM with exit code 0."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC), "SCCACHE_NO_DAEMON": "1", "SCCACHE_LOG": "info"}
    argv = [sys.executable, "-c", MAIN, "scheduler", "--config", str(scheduler_conf)]
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "listening" in line)
            assert url_of(scheduler_conf) in line
            assert status(url_of(scheduler_conf)) == {"num_servers": 0, "num_cpus": 0, "in_progress": 0}
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
            assert process.wait(READY_S) == 0
            assert "secret" not in rest
            assert KEY not in rest
        finally:
            process.kill()


def test_scheduler_in_the_background(scheduler_conf):
    """The command ends when the scheduler serves, in a session of its own."""
    done = dist("scheduler", "--config", str(scheduler_conf))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = listener(int(url_of(scheduler_conf).rpartition(":")[2]))
    try:
        assert status(url_of(scheduler_conf))["num_servers"] == 0
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert {os.readlink(f"/proc/{pid}/fd/{stream}") for stream in (0, 1, 2)} == {"/dev/null"}
    finally:
        os.kill(pid, signal.SIGTERM)
        give_up = time.monotonic() + READY_S
        while os.path.exists(f"/proc/{pid}/exe") and time.monotonic() < give_up:
            time.sleep(0.01)


def listener(port: int) -> int:
    """The process that listens at a port of 127.0.0.1."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (inode,) = {line[9] for line in lines if line[1] == f"0100007F:{port:04X}" and line[3] == "0A"}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == f"socket:[{inode}]":
                return int(link.parts[2])
        except OSError:
            continue
    raise AssertionError(port)


@pytest.mark.parametrize("daemon", ["0", "1"])
def test_scheduler_at_an_address_that_is_taken(scheduler_conf, daemon):
    """Said where the command was given, in the background too; exit 2."""
    port = int(url_of(scheduler_conf).rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        done = dist("scheduler", "--config", str(scheduler_conf), SCCACHE_NO_DAEMON=daemon)
    assert done.returncode == 2
    assert re.match(r"sccache-dist: error: .*address", done.stderr)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("daemon", ["0", "1"])
def test_scheduler_with_a_bad_key(scheduler_conf, daemon):
    """Said before anything is served, without the key."""
    scheduler_conf.write_text(scheduler_conf.read_text().replace(KEY, "bad-secret"))
    done = dist("scheduler", "--config", str(scheduler_conf), SCCACHE_NO_DAEMON=daemon)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match("sccache-dist: error: server_auth.secret_key: (Secret key base64 invalid|Size of secret key incorrect)\n", done.stderr)


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """As it was before, afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def test_syslog(tmp_path, monkeypatch, root_logger):
    """Lines of that level and above go there, with the name that sccache-dist has; facility daemon is 3 (RFC 3164, 4.1.1)."""
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(path)
        monkeypatch.setattr(cli, "SYSLOG", path)
        cli._log_to_syslog("warn", "sccache-scheduler")
        logging.getLogger("sccache.dist.x").info("not this")
        logging.getLogger("sccache.dist.x").warning("a sentence")
        assert syslog.recv(1000) == b"<28>sccache-scheduler: a sentence\x00"


def test_no_syslog(tmp_path, monkeypatch, root_logger):
    """Where there is none, that is said."""
    monkeypatch.setattr(cli, "SYSLOG", str(tmp_path / "nothing"))
    with pytest.raises(SccacheError, match="cannot log to"):
        cli._log_to_syslog("warn", "sccache-scheduler")
