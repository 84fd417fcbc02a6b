"""The client's token for its scheduler, and the file in which logins leave tokens: the cached configuration file.

    [dist.auth_tokens]
    "<auth_url>" = "<token>"

Owns: that file (TOML, mode 0600, replaced whole), and which token counts.  Must not know: HTTP, how a token is got (login.py).
No message, log line or repr here holds a token.
"""

import contextlib
import fcntl
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from sccache.config.schema import Config
from sccache.errors import ConfigError

INSECURE_TOKEN = "dangerously_insecure_client"  # noqa: S105 -- everybody knows it, which is why it is called so
"""Without `dist.auth`: what schedulers that let everybody in expect."""
MAX_FILE_BYTES = 1 << 20
MAX_TOKEN_BYTES = 16 << 10
"""HTTP servers take headers of 8 KiB or a little more."""
NOT_LOGGED_IN = "could not load client auth token, run `sccache --dist-auth`"

_SENDABLE = re.compile(rf"[!-~]{{1,{MAX_TOKEN_BYTES}}}")
"""A space or a line end would end the token, or the header, early (RFC 6750, 2.1)."""


class NoToken(Struct, frozen=True):
    """There is no token to show to the scheduler."""

    reason: str
    """A sentence that says what to do."""


class _DistTable(Struct, frozen=True, forbid_unknown_fields=True):
    auth_tokens: dict[str, str] = {}


class _CachedConfig(Struct, frozen=True, forbid_unknown_fields=True):
    dist: _DistTable = _DistTable()


class ClientToken:
    """What `dist.auth` says to show to the scheduler.  Made without I/O."""

    def __init__(self, config: Config) -> None:
        self._auth = config.dist.auth
        self._path = config.cached_conf
        self._stamp: tuple[int, ...] | None = None
        self._kept: str | NoToken = NoToken(NOT_LOGGED_IN)

    def __repr__(self) -> str:
        """Without the token."""
        return f"ClientToken({self._path!r})"

    def read(self) -> str | NoToken:
        """The token as it is now: a login while the daemon runs counts at once.  Blocking, mostly one `stat`."""
        auth = self._auth
        if auth is None:
            return INSECURE_TOKEN
        if auth["type"] == "token":
            return _checked(auth["token"], "dist.auth in the configuration file")
        stamp = _stamp(self._path)
        if stamp is None:
            return NoToken(NOT_LOGGED_IN)
        if stamp != self._stamp:
            self._kept = self._read_kept(auth["auth_url"])
            self._stamp = stamp
        return self._kept

    def _read_kept(self, auth_url: str) -> str | NoToken:
        try:
            token = load(self._path).get(auth_url)
        except ConfigError as e:
            return NoToken(f"{NOT_LOGGED_IN}: {e}")
        return NoToken(NOT_LOGGED_IN) if token is None else _checked(token, self._path)


def client_token(config: Config) -> str | NoToken:
    """The token for the scheduler of `config`, read once.  Blocking."""
    return ClientToken(config).read()


def is_sendable(token: str) -> bool:
    """Whether it can be the token of an Authorization header."""
    return _SENDABLE.fullmatch(token) is not None


def load(path: str) -> dict[str, str]:
    """All tokens of the file, by authorization address; none if there is no file.  ConfigError if it is something else."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise ConfigError(f"Failed to load cached config file {path}: {e.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"Failed to load cached config file {path}: it has more than {MAX_FILE_BYTES} bytes")
    try:
        return msgspec.convert(tomllib.loads(data.decode()), _CachedConfig).dist.auth_tokens
    except (ValueError, RecursionError):  # their messages repeat parts of the file
        raise ConfigError(f"Failed to load cached config file {path}: it is not what `sccache --dist-auth` writes") from None


def save(path: str, auth_url: str, token: str) -> None:
    """Add or replace one token.  ConfigError if the file cannot be written, or has something else in it that would be lost."""
    target = os.path.realpath(path)  # a link into a repository of dotfiles stays one
    folder = os.path.dirname(target)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with _locked(folder):
            _replace(target, _encode({**load(target), auth_url: token}))
    except OSError as e:
        raise ConfigError(f"Unable to save auth token in {path}: {e.strerror}") from None
    except ConfigError as e:
        raise ConfigError("Unable to save auth token") from e


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _checked(token: str, source: str) -> str | NoToken:
    return token if is_sendable(token) else NoToken(f"the token of {source} cannot be sent: it is empty, too long or has spaces in it")


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Two logins at a time keep both tokens.  The lock is the folder's own: there is no lock file to be left behind."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: the last login wins
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: str, data: bytes) -> None:
    """Write the file whole, readable for its owner only from the first byte on."""
    handle, temporary = tempfile.mkstemp(prefix=".cached-config.", dir=os.path.dirname(path))  # mode 0600
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _encode(tokens: dict[str, str]) -> bytes:
    lines = "".join(f"{_quoted(key)} = {_quoted(tokens[key])}\n" for key in sorted(tokens))
    return f"[dist.auth_tokens]\n{lines}".encode()


def _quoted(text: str) -> str:
    """A basic string of TOML 1.0: JSON's escapes, but characters beyond ASCII stand for themselves, and DEL does not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
