"""scheduler.conf and server.conf: what they may say, read and checked.  docs/dist.md explains each field.

TOML, or JSON where the name ends so.  A field that is not known is refused: it would be a typing error, in security settings of all places.

Owns: fields, defaults, the sentences about what is wrong.  Must not know: what is done with them.  No repr here has a secret.
"""

import ipaddress
import json
import os
import re
import tomllib
from typing import ClassVar, TypeVar

import msgspec
from msgspec import Struct

from sccache.config.parse import parse_size
from sccache.errors import ConfigError

MAX_FILE_BYTES = 1 << 20
LOOPBACK = ("127.0.0.0/8", "::1/128")
DEFAULT_CACHE_BYTES = 10 << 30
DEFAULT_INPUT_BYTES = 8 << 30


class Secretive(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """A table with a `type`, whose repr is that and no more."""

    def __repr__(self) -> str:
        """Without its fields."""
        return f"{type(self).__name__}()"


class InsecureAuth(Secretive, frozen=True, tag="DANGEROUSLY_INSECURE"):
    """Everybody may."""


class TokenAuth(Secretive, frozen=True, tag="token"):
    """Whoever knows this text."""

    token: str


class JwtValidateAuth(Secretive, frozen=True, tag="jwt_validate"):
    """Whoever has a token of an identity provider."""

    audience: str
    issuer: str
    jwks_url: str


class ProxyTokenAuth(Secretive, frozen=True, tag="proxy_token"):
    """Whoever has a token with which this URL can be read."""

    url: str
    cache_secs: int | None = None
    """How long a good token is believed without asking again."""


class JwtHs256Auth(Secretive, frozen=True, tag="jwt_hs256"):
    """Workers whose token was made with this key, for their address."""

    secret_key: str


class JwtTokenAuth(Secretive, frozen=True, tag="jwt_token"):
    """The token that was made for this worker."""

    token: str


ClientAuth = InsecureAuth | TokenAuth | JwtValidateAuth | ProxyTokenAuth
ServerAuth = InsecureAuth | TokenAuth | JwtHs256Auth
SchedulerAuth = InsecureAuth | TokenAuth | JwtTokenAuth


class SchedulerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """scheduler.conf."""

    public_addr: str
    """`ip:port` to listen on."""
    client_auth: ClientAuth
    server_auth: ServerAuth
    trusted_proxies: tuple[str, ...] = LOOPBACK
    """Addresses or networks whose X-Real-IP is believed."""

    ADDRESSES: ClassVar = ("public_addr",)


class OverlayBuilder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="overlay"):
    """bubblewrap as root."""

    build_dir: str = ""
    """Empty: below cache_dir."""
    bwrap_path: str = "bwrap"


class RootlessBuilder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="rootless"):
    """bubblewrap in user namespaces."""

    build_dir: str = ""
    """Empty: below cache_dir."""
    bwrap_path: str = "bwrap"


class DockerBuilder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="docker"):
    """Containers."""


class PotBuilder(Struct, frozen=True, tag_field="type", tag="pot"):
    """FreeBSD's, which we have not."""


Builder = OverlayBuilder | RootlessBuilder | DockerBuilder


class JobLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """[limits] of server.conf: what one compile may use."""

    seconds: float = 3600.0
    memory: int | str = 0
    """Address space of each process: bytes, or text such as `4G`; 0: no limit."""
    output: int | str = 4 << 30
    """All that it writes."""
    processes: int = 1000

    @property
    def memory_bytes(self) -> int:
        """Of address space."""
        return _bytes(self.memory)

    @property
    def output_bytes(self) -> int:
        """Of all files together."""
        return _bytes(self.output)


class WorkerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """server.conf."""

    cache_dir: str
    public_addr: str
    """`ip:port` at which clients reach it."""
    scheduler_url: str
    scheduler_auth: SchedulerAuth
    builder: OverlayBuilder | RootlessBuilder | DockerBuilder | PotBuilder | None = None
    """None: bubblewrap, as root or rootless, as the worker runs."""
    bind_address: str = ""
    """`ip:port` to listen on; empty: public_addr."""
    toolchain_cache_size: int | str = DEFAULT_CACHE_BYTES
    """Bytes, or text such as `20G`."""
    input_cache_size: int | str = DEFAULT_INPUT_BYTES
    """The same, of clients' files."""
    slots: int = 0
    """Most compiles at a time; 0: some more than there are cores."""
    limits: JobLimits = JobLimits()

    ADDRESSES: ClassVar = ("public_addr", "bind_address")

    @property
    def listens(self) -> str:
        """`ip:port`."""
        return self.bind_address or self.public_addr

    @property
    def cache_bytes(self) -> int:
        """Of toolchains."""
        return _bytes(self.toolchain_cache_size)

    @property
    def input_bytes(self) -> int:
        """Of clients' files."""
        return _bytes(self.input_cache_size)


def load_scheduler(path: str) -> SchedulerConfig:
    """scheduler.conf; ConfigError names file and field."""
    config = _load(path, SchedulerConfig)
    for network in config.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise ConfigError(f"{path}: trusted_proxies: {network!r} is no address or network") from None
    if isinstance(config.client_auth, JwtValidateAuth):
        _check_url(path, "client_auth.jwks_url", config.client_auth.jwks_url)
    if isinstance(config.client_auth, ProxyTokenAuth):
        _check_url(path, "client_auth.url", config.client_auth.url)
        if (config.client_auth.cache_secs or 0) < 0:
            raise ConfigError(f"{path}: client_auth.cache_secs: is less than 0")
    return config


def load_worker(path: str) -> WorkerConfig:
    """server.conf; ConfigError names file and field."""
    config = _load(path, WorkerConfig)
    _check_url(path, "scheduler_url", config.scheduler_url)
    if isinstance(config.builder, PotBuilder):
        raise ConfigError(f"{path}: builder: Builder type `pot` not supported on this platform")
    if not os.path.isabs(config.cache_dir):
        raise ConfigError(f"{path}: cache_dir: {config.cache_dir!r} is no absolute path")
    limits = config.limits
    sizes = {
        "toolchain_cache_size": config.toolchain_cache_size, "input_cache_size": config.input_cache_size,
        "limits.memory": limits.memory, "limits.output": limits.output,
    }  # fmt: skip
    for name, size in sizes.items():
        try:
            size_bytes = _bytes(size)
        except ValueError as error:
            raise ConfigError(f"{path}: {name}: {error}") from None
        if size_bytes < 0:
            raise ConfigError(f"{path}: {name}: is less than 0")
    for name, number in {"slots": config.slots, "limits.seconds": limits.seconds, "limits.processes": limits.processes}.items():
        if number < 0 or (number == 0 and name == "limits.seconds"):
            raise ConfigError(f"{path}: {name}: {number} is too little")
    return config


def _bytes(size: int | str) -> int:
    return parse_size(size) if isinstance(size, str) else size


def split_address(text: str) -> tuple[str, int]:
    """`1.2.3.4:80` or `[::1]:80` as address (in its usual form) and port; ValueError if it is neither."""
    match = re.fullmatch(r"\[([0-9a-fA-F:.]+)\]:([0-9]{1,5})|([0-9.]+):([0-9]{1,5})", text, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is no address and port")
    host, port = str(ipaddress.ip_address(match[1] or match[3])), int(match[2] or match[4])
    if port > 65535:
        raise ValueError(f"{text!r} has no such port")
    return host, port


def join_address(host: str, port: int) -> str:
    """`1.2.3.4:80` or `[::1]:80`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


T = TypeVar("T", SchedulerConfig, WorkerConfig)


def _load(path: str, kind: type[T]) -> T:
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_FILE_BYTES).decode()
        document = json.loads(text) if path.lower().endswith(".json") else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"Could not load config {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"Could not load config {path}: {error}") from None
    try:
        config = msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(str(error))}") from None
    for field in kind.ADDRESSES:
        value = getattr(config, field)
        if value or field == "public_addr":
            try:
                config = msgspec.structs.replace(config, **{field: join_address(*split_address(value))})
            except ValueError as error:
                raise ConfigError(f"{path}: {field}: {error}") from None
    return config


def _sentence(message: str) -> str:
    """From `Object contains unknown field `x` - at `$.a`` to a sentence with the field first."""
    what, _, where = message.partition(" - at `$")
    place = where.rstrip("`").lstrip(".")
    match = re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", what, re.DOTALL)
    if match is None:
        return f"{place}: {what}" if place else what
    name = ".".join(filter(None, (place, match[2])))
    return f"{name}: there is no such field" if "unknown" in match[1] else f"{name}: is missing"


def _check_url(path: str, field: str, url: str) -> None:
    if re.fullmatch(r"https?://[^/\s@]+(/\S*)?", url) is None:
        raise ConfigError(f"{path}: {field}: {url!r} is no http or https URL")
