"""Secrets are nowhere to be seen: output, logs at their noisiest, statistics, files, names of files, arguments of processes.

Each kind of server is used with right and wrong credentials, and while it is away; then all that was said is searched.
"""

import base64
import json
import os
import re
import resource
import stat
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from arena.world import World
from test_remote import COMPILE, PLACES, SOURCES, running

SECRET_NAMES = re.compile(r"SECRET|PASSWORD|TOKEN$")
LOOKS_SECRET = re.compile(
    rb"ya29\.[\w-]{8}|eyJ0\.[\w-]{8}"  # tokens that our servers give out
    rb"|[?&]sig=(?!\*\*\*)|\b(?:Bearer|SharedKey|AWS4-HMAC-SHA256) (?!\*\*\*)|BEGIN PRIVATE"
)
NO_METADATA = {"AWS_EC2_METADATA_DISABLED": "true", "GCE_METADATA_HOST": "127.0.0.1:1"}
TRACE = {"SCCACHE_LOG": "trace", "PYTHONASYNCIODEBUG": "1", "RUST_LOG": "trace", "SCCACHE_REMOTE_TIMEOUT": "3"}
COMMAND_DEADLINE_S = 120.0
SECRET = "hunter2/of+the=test&more"


class Witness:
    """Runs commands of a world and remembers all that could be read of them."""

    def __init__(self, world: World, env: Mapping[str, str]) -> None:
        self._world = world
        self._log = world.home / "log"
        self._env = {**world.environment(), **NO_METADATA, **TRACE, **env, "SCCACHE_ERROR_LOG": str(self._log)}
        self.seen: list[bytes] = []
        for name, text in SOURCES.items():
            world.write(name, text)
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))  # as with `ulimit -c unlimited`

    def sccache(self, *words: str, env: Mapping[str, str] | None = None) -> int:
        """Run it with an open umask; the exit code."""
        done = subprocess.run(
            [str(self._world.product.command), *words], env={**self._env, **(env or {})}, cwd=self._world.root, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=COMMAND_DEADLINE_S, check=False, umask=0,
        )  # fmt: skip
        self.seen += [done.stdout, done.stderr]
        return done.returncode

    def says_all(self) -> None:
        """What a user may ask when something is wrong."""
        for json_too in ((), ("--stats-format=json",)):
            self.sccache("--show-stats", *json_too)
            self.sccache("--check-storage", *json_too)

    def builds(self, text: str) -> None:
        """Compile something new."""
        self._world.write("part.h", SOURCES["part.h"].replace("a text", text))
        assert self.sccache(*COMPILE) == 0

    def looks_around(self) -> None:
        """What others see while the daemon runs: arguments, names and modes of files."""
        pid = self._world.product.daemon_pid(self._env)
        assert pid is not None
        for process in [pid, *_descendants(pid)]:
            self.seen.append(Path(f"/proc/{process}/cmdline").read_bytes())
        assert re.search(r"Max core file size\s+0\s", Path(f"/proc/{pid}/limits").read_text())
        for path in _files(self._world.home, Path(f"/tmp/sccache-{os.getuid()}"), pid):
            self.seen.append(os.fsencode(path))
            if path not in {self._log, self._world.home / "tmp"}:
                assert _is_private(path), f"{path}: {oct(path.lstat().st_mode)}"

    def reads_files(self) -> None:
        """The log and all that is left in the cache directory and the home."""
        self.seen += [path.read_bytes() for path in self._world.home.rglob("*") if path.is_file() and path.suffix not in {".conf", ".sh"}]

    def log(self) -> str:
        return self._log.read_text()


def _descendants(pid: int) -> list[int]:
    children = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return [*children, *(pid for child in children for pid in _descendants(child))]


def _files(home: Path, runtime: Path, pid: int) -> list[Path]:
    """What this daemon made; others' files in the runtime directory are not looked at."""
    ours = [path for folder in runtime.glob(f"work-{pid}-*") for path in (folder, *folder.rglob("*"))]
    return [runtime, *ours, *(path for path in home.rglob("*") if "clock" not in path.name)]


def _is_private(path: Path) -> bool:
    """Nobody else may read it, or get to it."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return True
    closed = any(folder.stat().st_mode & 0o077 == 0 for folder in path.parents if folder.name == "cache" or "sccache-" in folder.name)
    return mode & 0o077 == 0 or (closed and not stat.S_ISSOCK(mode))


def secrets_in(env: Mapping[str, str]) -> set[str]:
    """The secret values of a place's environment."""
    found = {value for name, value in env.items() if SECRET_NAMES.search(name)}
    found |= set(re.findall(r"AccountKey=([^;]+)", env.get("SCCACHE_AZURE_CONNECTION_STRING", "")))
    if path := env.get("SCCACHE_GCS_KEY_PATH"):
        found |= {line for line in json.loads(Path(path).read_text())["private_key"].splitlines() if "-" not in line}
    user, password = (env.get(f"SCCACHE_WEBDAV_{name}", "") for name in ("USERNAME", "PASSWORD"))
    return found | {base64.b64encode(f"{user}:{password}".encode()).decode()} if password else found


def forms(secret: str) -> set[bytes]:
    data = secret.encode()
    texts = {secret, quote(data), quote(data, safe=""), quote_plus(data), repr(data)[2:-1], json.dumps(secret)[1:-1]}
    return {text.encode() for text in texts} | {base64.b64encode(data).rstrip(b"=")[:-1]}


def assert_hidden(seen: Iterable[bytes], secrets: Iterable[str]) -> None:
    wanted = re.compile(b"|".join(re.escape(form) for secret in secrets for form in forms(secret)) or b"(?!)")
    for text in seen:
        for pattern in (wanted, LOOKS_SECRET):
            if found := pattern.search(text):
                around = text[max(0, found.start() - 200) : found.end() + 200]
                pytest.fail(f"{found[0]!r} is shown: {around!r}")


@pytest.mark.parametrize("name", PLACES)
def test_every_server(arena, tmp_path, name):
    """Right credentials, the server away and back; wrong ones."""
    with running(name, tmp_path) as place:
        right, wrong = place.environment(), place.wrong_environment()
        witness = Witness(arena.cached_world({}), right)
        witness.sccache("--check-storage")
        assert witness.sccache("--start-server") == 0
        witness.builds("one")
        witness.says_all()
        witness.looks_around()
        if wrong is not None:
            witness.sccache(*COMPILE, env=wrong)
            witness.sccache("--check-storage", env=wrong)
            witness.sccache("--check-storage", "--stats-format=json", env=wrong)
        place.stop()
        try:
            witness.builds("two")
            witness.says_all()
        finally:
            place.start()
        witness.looks_around()
        witness.sccache("--stop-server")
        if wrong is not None:
            witness.sccache("--start-server", env=wrong)
            assert witness.sccache(*COMPILE, env=wrong) == 0
            for form in ("text", "json"):
                witness.sccache("--show-stats", f"--stats-format={form}", env=wrong)
            witness.sccache("--stop-server", env=wrong)
        witness.reads_files()
        secrets = secrets_in(right) | (secrets_in(wrong) if wrong is not None else set())
    assert "TRACE" in witness.log() or "DEBUG" in witness.log()
    assert_hidden(witness.seen, secrets)


TABLES = {
    "redis": '[cache.redis]\nendpoint = "redis://127.0.0.1:1"\npassword = {}\n',
    "url": "[cache.redis]\nurl = {}\n",
    "memcached": '[cache.memcached]\nurl = "tcp://127.0.0.1:1"\nusername = "me"\npassword = {}\n',
    "webdav": '[cache.webdav]\nendpoint = "http://127.0.0.1:1"\ntoken = {}\n',
    "azure": '[cache.azure]\ncontainer = "c"\nconnection_string = {}\n',
    "gcs": '[cache.gcs]\nbucket = "b"\ncred_path = "/nowhere"\ncredential_url = {}\n',
    "dist": "[dist.auth]\ntype = 'token'\ntoken = {}\n",
}
VALUES = [
    f'"{SECRET}"', SECRET, f'"{SECRET}', f'"{SECRET}" "{SECRET}"', f'"\\q{SECRET}"', f'["{SECRET}"]', f'{{ is = "{SECRET}" }}',
    f'"{SECRET}"\ntoken = "{SECRET}"\ntoken = 1', f'"https://me:{SECRET}@127.0.0.1:port/"', f'"redis://:{SECRET}@127.0.0.1:1"',
    f'"AccountName=n;AccountKey={SECRET};BlobEndpoint=http://127.0.0.1:1/n"', f'"AccountName=n;{SECRET}"',
]  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_configuration_file(arena, table):
    """A file with secrets: usable, with a slip of the pen on the secret's line, with a value of another type."""
    conf = arena.folder / "config"
    witness = Witness(arena.cached_world({}), {"SCCACHE_CONF": str(conf)})
    for value in VALUES:
        conf.write_text(TABLES[table].format(value))
        witness.sccache("--check-storage")
        witness.sccache("--show-stats")
        witness.sccache("--start-server")
        witness.sccache(*COMPILE)
        witness.sccache("--stop-server")
    witness.reads_files()
    assert any(b"config" in text for text in witness.seen)
    assert_hidden(witness.seen, [SECRET])


def test_json_configuration_file(arena):
    """The same as JSON."""
    conf = arena.folder / "config.json"
    witness = Witness(arena.cached_world({}), {"SCCACHE_CONF": str(conf)})
    for value in (f'"{SECRET}"', f'"{SECRET}', f'"{SECRET}" 1', f'["{SECRET}"]', SECRET):
        conf.write_text(f'{{"cache": {{"redis": {{"endpoint": "redis://127.0.0.1:1", "password": {value}}}}}}}')
        witness.sccache("--check-storage")
        witness.sccache("--start-server")
        witness.sccache(*COMPILE)
        witness.sccache("--stop-server")
    witness.reads_files()
    assert_hidden(witness.seen, [SECRET])


def test_file_that_breaks_while_the_daemon_runs(arena):
    """The daemon's log says that it is broken, not what is in it."""
    conf = arena.folder / "config"
    witness = Witness(arena.cached_world({}), {"SCCACHE_CONF": str(conf)})
    conf.write_text("")
    assert witness.sccache("--start-server") == 0
    for value in VALUES:
        conf.write_text(TABLES["redis"].format(value))
        assert witness.sccache(*COMPILE) == 0
    witness.sccache("--stop-server")
    witness.reads_files()
    assert "Failed to load toml config file" in witness.log()
    assert_hidden(witness.seen, [SECRET])


ADDRESSES = {
    "webdav": {"SCCACHE_WEBDAV_ENDPOINT": "http://me:{}@127.0.0.1:{}/x"},
    "redis": {"SCCACHE_REDIS_ENDPOINT": "redis://me:{}@127.0.0.1:{}"},
    "redis-url": {"SCCACHE_REDIS": "redis://me:{}@127.0.0.1:{}/0"},
    "redis-cluster": {"SCCACHE_REDIS_CLUSTER_ENDPOINTS": "redis://me:{0}@127.0.0.1:{1},redis://me:{0}@127.0.0.1:{1}"},
    "memcached": {"SCCACHE_MEMCACHED_ENDPOINT": "tcp://me:{}@127.0.0.1:{}"},
    "s3": {"SCCACHE_ENDPOINT": "http://me:{}@127.0.0.1:{}", "SCCACHE_BUCKET": "b"},
    "s3-aws": {"AWS_ENDPOINT_URL": "http://me:{}@127.0.0.1:{}", "SCCACHE_BUCKET": "b"},
    "oss": {"SCCACHE_OSS_ENDPOINT": "http://me:{}@127.0.0.1:{}", "SCCACHE_OSS_BUCKET": "b"},
    "webdav-proxy": {"SCCACHE_WEBDAV_ENDPOINT": "http://127.0.0.1:2", "http_proxy": "http://me:{}@127.0.0.1:{}"},
    "s3-proxy": {"SCCACHE_ENDPOINT": "http://127.0.0.1:2", "SCCACHE_BUCKET": "b", "http_proxy": "http://me:{}@127.0.0.1:{}"},
}
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": f"/{SECRET}",
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "AKIDTEST", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET,
}  # fmt: skip


@pytest.mark.parametrize("name", ADDRESSES)
def test_passwords_in_addresses(arena, name):
    """Usable ones where nobody listens, and ones that are none."""
    witness = Witness(arena.cached_world({}), KEYS)
    for secret in (SECRET, quote(SECRET, safe="")):
        for port in ("1", "port", "1?"):
            env = {name: text.format(secret, port) for name, text in ADDRESSES[name].items()}
            witness.sccache("--check-storage", env=env)
            witness.sccache("--start-server", env=env)
            assert witness.sccache(*COMPILE, env=env) == 0
            witness.sccache("--show-stats", env=env)
            witness.sccache("--stop-server", env=env)
    witness.reads_files()
    assert_hidden(witness.seen, [SECRET, SECRET.rpartition("/")[2]])


def test_keys_that_a_program_prints(arena, tmp_path):
    """Of a `credential_process`: neither its output nor what it complains about is repeated."""
    with running("s3", tmp_path) as place:
        env = dict(place.environment())
        key_id, secret = env.pop("AWS_ACCESS_KEY_ID"), env.pop("AWS_SECRET_ACCESS_KEY")
        world = arena.cached_world({})
        printed = json.dumps({"Version": 1, "AccessKeyId": key_id, "SecretAccessKey": secret})
        program = world.home / "keys.sh"
        program.write_text(f"#!/bin/sh\necho 'complaint about {SECRET}' >&2\necho '{printed}'\n")
        program.chmod(0o700)
        conf = world.home / "aws.conf"
        conf.write_text(f"[default]\ncredential_process = {program}\n")
        witness = Witness(world, {**env, "AWS_CONFIG_FILE": str(conf), "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"})
        assert witness.sccache("--check-storage") == 0
        assert witness.sccache("--start-server") == 0
        witness.builds("one")
        witness.says_all()
        witness.sccache("--stop-server")
        witness.reads_files()
        assert_hidden(witness.seen, [secret, SECRET])
