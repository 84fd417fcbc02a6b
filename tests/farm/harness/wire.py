"""The wire by hand: what a client, a worker or an attacker sends, byte for byte, and what comes back.

Owns: raw requests from any host, bodies of jobs, forged tokens, small toolchains made without the product.
Must not know: the product's code but for the values of dist/messages.py.
"""

import hashlib
import http.client
import io
import json
import re
import socket
import ssl
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blake3
import jwt
import msgspec
import zstandard
from tests.farm.harness.network import Host

from sccache.dist.messages import File, JobAnswer, JobHeader, Result

LIMIT_S = 100.0
Address = tuple[str, int]
SHELL = b"/bin/bash"
_UNVERIFYING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_UNVERIFYING.check_hostname = False
_UNVERIFYING.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def challenge(self) -> str:
        """The name of the error in WWW-Authenticate."""
        found = re.fullmatch(r'Bearer error="([a-z_]+)"', self.headers.get("www-authenticate", ""))
        return found[1] if found else ""


def parse(address: str) -> Address:
    """`host:port`."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def connect(host: Host, address: Address, *, tls: bool) -> socket.socket:
    """A connection from `host`; a worker's certificate is not looked at here."""
    sock = host.socket()
    try:
        sock.settimeout(LIMIT_S)
        sock.connect(address)
        return _UNVERIFYING.wrap_socket(sock) if tls else sock
    except BaseException:
        sock.close()
        raise


def send(
    host: Host, address: Address, method: str, path: str, body: bytes = b"", *,
    tls: bool = False, token: str | None = None, headers: Mapping[str, str] | None = None,
) -> Answer:  # fmt: skip
    """One request; a server that answers and closes before it has read all of it is understood."""
    connection = http.client.HTTPConnection(*address, timeout=LIMIT_S)
    connection.sock = connect(host, address, tls=tls)
    bearer = {"Authorization": f"Bearer {token}"} if token is not None else {}
    try:
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **bearer, **(headers or {})})
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            connection = _reading_only(connection)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def _reading_only(connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
    connection._HTTPConnection__state = "Request-sent"  # type: ignore[attr-defined]  # http.client has no word for it
    return connection


def fingerprint(host: Host, address: Address) -> str:
    """SHA-256 of the certificate that a worker shows."""
    with connect(host, address, tls=True) as sock:
        assert isinstance(sock, ssl.SSLSocket)
        return hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()


def digest(data: bytes) -> bytes:
    """BLAKE3."""
    return blake3.blake3(data).digest()


def packed(header: JobHeader | bytes, contents: bytes = b"", *, length: int | None = None) -> bytes:
    """A run body; `length` is what to claim of the header."""
    text = zstandard.compress(header if isinstance(header, bytes) else msgspec.msgpack.encode(header))
    return (len(text) if length is None else length).to_bytes(4, "little") + text + zstandard.compress(contents)


@dataclass(frozen=True)
class Ran:
    """A run's answer."""

    answer: JobAnswer
    outputs: Mapping[bytes, bytes]


def unpacked(body: bytes) -> Ran:
    """Read a run's answer."""
    text = body.lstrip(b".")
    assert text[:1] == b"R", body[:200]
    end = 5 + int.from_bytes(text[1:5], "little")
    answer = msgspec.msgpack.decode(zstandard.decompress(text[5:end]), type=JobAnswer)
    if not isinstance(answer, Result):
        return Ran(answer, {})
    contents = io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(text[end:]) if text[end:] else b"")
    outputs = {}
    for output in answer.outputs:
        data = contents.read(output.size)
        assert digest(data) == output.digest
        outputs[output.path] = data
    assert contents.read() == b""
    return Ran(answer, outputs)


def shell_job(toolchain: str, script: str, **more: Any) -> JobHeader:
    """A job that runs a script in /work, which is its own directory."""
    given: dict[str, Any] = {
        "toolchain": toolchain, "executable": SHELL, "argv": (b"bash", b"-c", script.encode()), "environment": ((b"PATH", b"/bin"),),
        "cwd": b"/work", "umask": 0o022, "directories": (b"/work",), "links": (), "files": (), "outputs": (), "output_directories": (),
    }  # fmt: skip
    return JobHeader(**{**given, **more})


def file(path: bytes, data: bytes) -> File:
    """An input."""
    return File(path, digest(data), len(data))


def token(key: bytes | str, claims: Mapping[str, object], algorithm: str = "HS256") -> str:
    """Sign anything with anything."""
    return jwt.encode(dict(claims), key, algorithm)


def claims_of(text: str) -> dict[str, Any]:
    """What a token says, unverified."""
    found: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
    return found


def archive(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A compressed tar of whatever is wanted."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return zstandard.compress(whole.getvalue())


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o755) -> tarfile.TarInfo:
    """One name of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def shell_toolchain(*more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A toolchain whose compiler is a shell: all that an intruder could wish to run."""
    found: dict[str, Path] = {}
    for name in ("bash", "cat", "ls", "ln", "mkdir", "mkfifo", "chmod", "head", "sleep", "id", "rm"):
        program = next(path for path in (Path("/bin") / name, Path("/usr/bin") / name) if path.exists())
        found[f"bin/{name}"] = program
        said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout
        found.update({path[1:]: Path(path) for path in re.findall(r"(/\S+) \(0x", said)})
    return archive([*((member(name), path.read_bytes()) for name, path in sorted(found.items())), *more])
