"""scheduler.conf and server.conf."""

import json
from pathlib import Path

import pytest

from sccache.dist import config as settings
from sccache.dist.config import load_scheduler, load_worker
from sccache.errors import ConfigError

SCHEDULER = """
public_addr = "127.0.0.1:10600"
[client_auth]
type = "token"
token = "client-secret"
[server_auth]
type = "jwt_hs256"
secret_key = "key-secret"
"""
WORKER = """
cache_dir = "/tmp/toolchains"
public_addr = "192.168.1.1:10501"
scheduler_url = "https://192.168.1.1"
[builder]
type = "overlay"
build_dir = "/tmp/build"
bwrap_path = "/usr/bin/bwrap"
[scheduler_auth]
type = "jwt_token"
token = "worker-secret"
"""


@pytest.fixture
def written(tmp_path: Path):
    """A file with that text."""

    def write(text: str, name: str = "some.conf") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_scheduler(written):
    """As the documentation shows it."""
    config = load_scheduler(written(SCHEDULER))
    assert config.public_addr == "127.0.0.1:10600"
    assert config.client_auth == settings.TokenAuth("client-secret")
    assert config.server_auth == settings.JwtHs256Auth("key-secret")
    assert config.trusted_proxies == ("127.0.0.0/8", "::1/128")


def test_worker(written):
    """As the documentation shows it; sizes may be text."""
    config = load_worker(written(WORKER))
    assert config.builder == settings.OverlayBuilder("/tmp/build", "/usr/bin/bwrap")
    assert config.scheduler_auth == settings.JwtTokenAuth("worker-secret")
    assert (config.listens, config.cache_bytes) == ("192.168.1.1:10501", 10 << 30)
    more = 'bind_address = "0.0.0.0:10501"\ntoolchain_cache_size = "5G"\n'
    config = load_worker(written(more + WORKER))
    assert (config.listens, config.cache_bytes) == ("0.0.0.0:10501", 5 << 30)


def test_limits(written):
    """Of a compile, and of what is kept."""
    config = load_worker(written(WORKER))
    assert (config.slots, config.input_bytes) == (0, 8 << 30)
    assert (config.limits.seconds, config.limits.memory_bytes, config.limits.output_bytes) == (3600.0, 0, 4 << 30)
    more = 'slots = 3\ninput_cache_size = "1G"\n'
    table = '[limits]\nseconds = 60\nmemory = "2G"\noutput = 1000\nprocesses = 20\n'
    config = load_worker(written(more + WORKER + table))
    assert (config.slots, config.input_bytes) == (3, 1 << 30)
    assert (config.limits.seconds, config.limits.memory_bytes, config.limits.output_bytes) == (60.0, 2 << 30, 1000)
    assert config.limits.processes == 20


def test_worker_without_a_builder(written):
    """Bubblewrap, in the way that is possible."""
    text = WORKER[: WORKER.index("[builder]")] + WORKER[WORKER.index("[scheduler_auth]") :]
    assert load_worker(written(text)).builder is None


@pytest.mark.parametrize(
    ("builder", "expected"),
    [
        ('type = "docker"', settings.DockerBuilder()),
        ('type = "rootless"', settings.RootlessBuilder()),
        ('type = "rootless"\nbuild_dir = "/b"', settings.RootlessBuilder("/b")),
        ('type = "overlay"\nbuild_dir = "/b"', settings.OverlayBuilder("/b", "bwrap")),
    ],
)
def test_builders(written, builder, expected):
    """Each with its fields."""
    text = WORKER[: WORKER.index("[builder]")] + f"[builder]\n{builder}\n" + WORKER[WORKER.index("[scheduler_auth]") :]
    assert load_worker(written(text)).builder == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('type = "DANGEROUSLY_INSECURE"', settings.InsecureAuth()),
        (
            'type = "jwt_validate"\naudience = "a"\nissuer = "i"\njwks_url = "https://i/k"',
            settings.JwtValidateAuth("a", "i", "https://i/k"),
        ),
        ('type = "proxy_token"\nurl = "http://p"', settings.ProxyTokenAuth("http://p")),
        ('type = "proxy_token"\nurl = "http://p/x?y"\ncache_secs = 300', settings.ProxyTokenAuth("http://p/x?y", 300)),
    ],
)
def test_client_auth(written, table, expected):
    """All that are documented."""
    assert load_scheduler(written(SCHEDULER.replace('type = "token"\ntoken = "client-secret"', table))).client_auth == expected


def test_json(written):
    """By the name's end."""
    document = {
        "public_addr": "[::1]:80", "client_auth": {"type": "DANGEROUSLY_INSECURE"}, "server_auth": {"type": "token", "token": "t"},
        "trusted_proxies": ["10.0.0.0/8", "192.168.1.1"],
    }  # fmt: skip
    config = load_scheduler(written(json.dumps(document), "scheduler.JSON"))
    assert config.public_addr == "[::1]:80"
    with pytest.raises(ConfigError, match="Could not load config"):
        load_scheduler(written(json.dumps(document), "scheduler.conf"))


WRONG = [
    (SCHEDULER, "public_addr", "public_adr", "public_adr: there is no such field|public_addr: is missing"),
    (SCHEDULER, '"127.0.0.1:10600"', '"localhost:10600"', "public_addr: 'localhost:10600' is no address and port"),
    (SCHEDULER, '"127.0.0.1:10600"', '"127.0.0.1"', "public_addr: '127.0.0.1' is no address and port"),
    (SCHEDULER, '"127.0.0.1:10600"', '"127.0.0.1:99999"', "public_addr: .* no such port"),
    (SCHEDULER, '"127.0.0.1:10600"', '""', "public_addr: '' is no address and port"),
    (SCHEDULER, '"127.0.0.1:10600"', "10600", "public_addr: Expected `str`, got `int`"),
    (SCHEDULER, "[server_auth]", 'secret = "s"\n[server_auth]', "client_auth.secret: there is no such field"),
    (SCHEDULER, 'type = "token"', 'type = "tokn"', "client_auth.type: Invalid value 'tokn'"),
    (SCHEDULER, 'type = "jwt_hs256"\n', "", "server_auth.type: is missing"),
    (SCHEDULER, 'token = "client-secret"', "", "client_auth.token: is missing"),
    (SCHEDULER, "[client_auth]", 'trusted_proxies = ["proxy.example"]\n[client_auth]', "trusted_proxies: 'proxy.example'"),
    (SCHEDULER, 'type = "token"\ntoken = "client-secret"', 'type = "proxy_token"\nurl = "ftp://x"', "client_auth.url: .* URL"),
    (SCHEDULER, 'type = "token"\ntoken = "client-secret"', 'type = "proxy_token"\nurl = "http://x"\ncache_secs = -1', "cache_secs"),
    (SCHEDULER, "[client_auth]", "[client_auth", "Could not load config"),
    (WORKER, "cache_dir", "cachedir", "there is no such field|cache_dir: is missing"),
    (WORKER, '"/tmp/toolchains"', '"toolchains"', "cache_dir: 'toolchains' is no absolute path"),
    (WORKER, '"https://192.168.1.1"', '"192.168.1.1"', "scheduler_url: .* no http or https URL"),
    (WORKER, '"overlay"', '"pot"', "Builder type `pot` not supported on this platform"),
    (WORKER, "cache_dir", 'toolchain_cache_size = "much"\ncache_dir', "toolchain_cache_size: value is invalid"),
    (WORKER, "cache_dir", "toolchain_cache_size = -1\ncache_dir", "toolchain_cache_size: is less than 0"),
    (WORKER, "cache_dir", 'input_cache_size = "all"\ncache_dir', "input_cache_size: value is invalid"),
    (WORKER, "cache_dir", "slots = -1\ncache_dir", "slots: -1 is too little"),
    (WORKER, "[builder]", '[limits]\nmemory = "lots"\n[builder]', "limits.memory: value is invalid"),
    (WORKER, "[builder]", "[limits]\nseconds = 0\n[builder]", "limits.seconds: 0.0 is too little"),
    (WORKER, "[builder]", "[limits]\nhours = 2\n[builder]", "limits.hours: there is no such field"),
    (WORKER, "cache_dir", 'bind_address = "x"\ncache_dir', "bind_address: 'x' is no address and port"),
    (WORKER, 'type = "jwt_token"', 'type = "jwt_hs256"', "scheduler_auth.type: Invalid value 'jwt_hs256'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "right", "wrong", "sentence"), WRONG)
def test_wrong(written, text, right, wrong, sentence):
    """Refused with one sentence that names file and field."""
    path = written(text.replace(right, wrong, 1))
    with pytest.raises(ConfigError, match=sentence) as caught:
        (load_scheduler if text is SCHEDULER else load_worker)(path)
    assert path in str(caught.value)
    assert "secret" not in str(caught.value).replace("client_auth.secret", "")


def test_no_file(tmp_path):
    """Says why."""
    with pytest.raises(ConfigError, match=r"Could not load config .*nothing: No such file or directory"):
        load_scheduler(str(tmp_path / "nothing"))


def test_nothing_secret_is_shown(written):
    """Not even in a traceback with values."""
    for config in (load_scheduler(written(SCHEDULER)), load_worker(written(WORKER))):
        assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.2.3.4:5", ("1.2.3.4", 5)), ("[::1]:80", ("::1", 80)), ("[0:0:0:0:0:0:0:1]:0", ("::1", 0)), ("0.0.0.0:65535", ("0.0.0.0", 65535))],
)
def test_addresses(text, expected):
    """In their usual form, so that two spellings of one are equal."""
    assert settings.split_address(text) == expected
    assert settings.split_address(settings.join_address(*expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "1.2.3.4", "1.2.3:4", "1.2.3.4:", "::1:80", "[::1]", "1.2.3.4:-1", "1.2.3.4:65536", "1.2.3.4:٣", "[1]:2", "a:1"]
)
def test_no_addresses(text):
    """No names: they would have to be asked for."""
    with pytest.raises(ValueError, match=r"."):
        settings.split_address(text)
