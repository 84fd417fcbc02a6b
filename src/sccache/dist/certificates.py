"""A worker's own certificate: made at its start, told to the scheduler by its digest, trusted by clients because of that alone.

    worker ──SHA-256 of the certificate (heartbeat)──▶ scheduler ──(grant)──▶ client ── TLS with exactly that one ──▶ worker

Nobody signs it, and its key is in memory only: who steals a disk gets none.  It is renewed long before it ends, and for a while
clients may come that were told the old digest: they are sent elsewhere by their own check.
Owns: key, certificate, the TLS settings.  Must not know: HTTP, the scheduler, clocks (it is told the time).
"""

import datetime as dt
import ipaddress
import os
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sccache.errors import ConfigError

VALID_S = 90 * 24 * 3600.0
RENEWED_BEFORE_S = 30 * 24 * 3600.0
EARLIER_S = 24 * 3600.0
"""It is valid since yesterday: clocks differ."""


class Identity:
    """What a worker shows to clients."""

    def __init__(self, address: str, now: float) -> None:
        """`address` is the worker's `ip:port`, `now` seconds since 1970.  ConfigError if it has no IP address."""
        self._address = address
        self._ip = _ip_of(address)
        self._ends = 0.0
        self.digest = ""
        """SHA-256 of the certificate (DER), hex."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """For the server's sockets; the certificate of new connections changes with `renew`."""
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self.renew(now)

    def __repr__(self) -> str:
        """Without the key."""
        return f"Identity({self._address!r}, {self.digest!r})"

    def is_due(self, now: float) -> bool:
        """Whether it is time to renew."""
        return now > self._ends - RENEWED_BEFORE_S or now < self._ends - VALID_S - EARLIER_S

    def renew(self, now: float) -> None:
        """Make another key and certificate; `digest` changes.  Blocking, some milliseconds."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._ends = now + VALID_S
        certificate = _certificate(key, self._address, self._ip, now - EARLIER_S, self._ends)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        pem += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        _load(self.context, pem)
        self.digest = certificate.fingerprint(hashes.SHA256()).hex()


def _ip_of(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        raise ConfigError(f"The worker's public_addr {address!r} is not an IP address and a port") from None


def _certificate(
    key: ec.EllipticCurvePrivateKey, address: str, ip: ipaddress.IPv4Address | ipaddress.IPv6Address, begins: float, ends: float
) -> x509.Certificate:
    """Self-signed, for the IP address (RFC 5280; RFC 9110, 4.3.5)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(begins, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(ends, dt.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Python's ssl reads files only: a private one, for this moment, in memory where the system has that."""
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108 -- a file of mode 0600 in it
    with tempfile.NamedTemporaryFile(dir=folder, prefix="sccache-") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
