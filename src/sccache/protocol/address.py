r"""Where the daemon of one user and port is found.

    <uds>     ::= "\x00" <escaped name>    ; the four characters \x00: an abstract socket (Linux)
                | <path>
    default   =  /tmp/sccache-<uid>/<port>.sock, and beside it <port>.lock (who may start the daemon),
                 <port>.failed (a start failed a moment ago), <port>.silent (the daemon hung a moment ago),
                 <port>.secret (for peers over TCP)

Owns: names.  Must not know: sockets, whether anything exists.  native/launcher_address.c computes the same names.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORT = 4226
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "\\": "\\"}
_ABSTRACT = "\\x00"
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class Address:
    """Names that belong to one daemon."""

    __slots__ = ("_base", "display", "port", "runtime_dir", "socket", "uses_runtime_dir")

    def __init__(self, runtime_dir: str, port: int, uds: str = "") -> None:
        self.runtime_dir = runtime_dir
        """Private directory of this user; to be checked before use (blocking.is_private_dir)."""
        self.port = port
        self.uses_runtime_dir = not uds
        """The socket is in the runtime directory, which must then be private."""
        self.socket = uds or os.path.join(runtime_dir, f"{port}.sock")
        """Path for AF_UNIX; an abstract name begins with NUL."""
        self._base = os.path.join(runtime_dir, f"uds-{_fnv1a(os.fsencode(uds)):016x}" if uds else str(port))
        self.display = _display(uds) if uds else f"127.0.0.1:{port}"
        """As sccache prints it."""

    @property
    def lock_path(self) -> str:
        """Locked by whoever starts the daemon."""
        return self._base + ".lock"

    @property
    def failed_path(self) -> str:
        """Its modification time is when a start last failed."""
        return self._base + ".failed"

    @property
    def silent_path(self) -> str:
        """Its modification time is when the daemon last let a launcher wait in vain."""
        return self._base + ".silent"

    @property
    def secret_path(self) -> str:
        """What a TCP peer must present."""
        return self._base + ".secret"


def from_env(env: Mapping[str, str], uid: int | None = None) -> Address:
    """Find the address that these environment values ask for; unusable values count as unset, as in sccache."""
    port = _port(env.get("SCCACHE_SERVER_PORT", ""))
    return Address(runtime_dir(env, uid), port, _uds(env.get("SCCACHE_SERVER_UDS", "")))


def runtime_dir(env: Mapping[str, str], uid: int | None = None) -> str:
    """Name the private directory; on Windows the user's own local data."""
    if os.name == "nt":
        return os.path.join(env.get("LOCALAPPDATA", os.path.expanduser("~")), "sccache-run")
    return f"/tmp/sccache-{os.getuid() if uid is None else uid}"  # noqa: S108  # checked before use, and TMPDIR may differ per job


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 1 << 16:
        return int(text)
    return DEFAULT_PORT


def _uds(text: str) -> str:
    if not text.startswith(_ABSTRACT):
        return "" if "\0" in text else text
    name = _unescape(text[len(_ABSTRACT) :])
    return "" if name is None else "\0" + name


def _unescape(text: str) -> str | None:
    out = bytearray()
    at = 0
    while at < len(text):
        if text[at] != "\\":
            out += os.fsencode(text[at])
            at += 1
            continue
        escape = text[at + 1 : at + 2]
        if escape == "x":
            digits = text[at + 2 : at + 4]
            if len(digits) != 2 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                return None
            out.append(int(digits, 16))
            at += 4
        elif escape in _ESCAPES:
            out += _ESCAPES[escape].encode()
            at += 2
        else:
            return None
    return os.fsdecode(bytes(out))


def _display(uds: str) -> str:
    if not uds.startswith("\0"):
        return uds
    named = {value: "\\" + name for name, value in _ESCAPES.items()}
    return _ABSTRACT + "".join(
        named.get(char) or (char if char.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))) for char in uds[1:]
    )


def _fnv1a(data: bytes) -> int:
    """Hash as FNV-1a does; the native launcher needs no library for it."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return value
