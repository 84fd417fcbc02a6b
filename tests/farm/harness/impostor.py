"""A worker that the scheduler believes in and that answers clients as badly as a test wants; TLS of its own, or of somebody else.

Owns: its certificate, its answers.  Must not know: the product's code but for dist/messages.py.
"""

import contextlib
import datetime as dt
import hashlib
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.farm.harness.farm import Farm
from tests.farm.harness.hand_made import HandMadeWorker
from tests.farm.harness.network import Host

from sccache.dist.messages import JobAnswer, JobHeader

Answering = Callable[[JobHeader], bytes | None]
"""What to answer to a job: the body; None closes the connection."""


def certificate(folder: Path, address: str) -> tuple[Path, str]:
    """A new one for an address, with its key in one file; and its fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / f"{address}-{made.serial_number:x}.pem"
    text = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(text + private)
    return path, hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).hexdigest()


def framed(answer: JobAnswer | bytes, contents: bytes = b"", *, front: bytes = b".R") -> bytes:
    """A run's answer as an honest worker would frame it."""
    text = zstandard.compress(answer if isinstance(answer, bytes) else msgspec.msgpack.encode(answer))
    return front + len(text).to_bytes(4, "little") + text + zstandard.compress(contents)


class Impostor:
    """Registered at the scheduler, listening on its host."""

    def __init__(self, farm: Farm, host: Host, answering: Answering, *, is_genuine: bool = True) -> None:
        """`is_genuine` False: the certificate it shows is not the one that it told."""
        self.jobs: list[JobHeader] = []
        self.connections = 0
        keeper = self
        path, fingerprint = certificate(farm.network.folder, host.address)
        told = fingerprint if is_genuine else certificate(farm.network.folder, host.address)[1]

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self._body()
                end = 4 + int.from_bytes(body[:4], "little")
                header = msgspec.msgpack.decode(zstandard.decompress(body[4:end]), type=JobHeader)
                keeper.jobs.append(header)
                answer = answering(header)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_PUT(self) -> None:
                self._body()
                self.send_response(204)
                self.end_headers()

            def _body(self) -> bytes:
                if "Content-Length" in self.headers:
                    return self.rfile.read(int(self.headers["Content-Length"]))
                pieces = []
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hangs up is what tests wait for."""

            def get_request(self) -> object:  # type: ignore[override]
                plain, peer = self.socket.accept()
                keeper.connections += 1
                plain.settimeout(60)
                return context.wrap_socket(plain, server_side=True), peer

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        self._server = Listener((host.address, 0), Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = host.socket()
        self._server.server_bind()
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.worker = HandMadeWorker(farm, host, self._server.server_address[1], slots=8, certificate=told)
        assert self.worker.heartbeat().status == 200

    def close(self) -> None:
        """Leave the farm, stop listening."""
        with contextlib.suppress(OSError):
            self.worker.heartbeat(draining=True)
        self._server.shutdown()
        self._server.server_close()
