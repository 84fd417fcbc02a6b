"""A worker's certificate, in real handshakes."""

import asyncio
import datetime as dt
import ipaddress
import os
import ssl
import stat
import time

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from sccache.dist.certificates import RENEWED_BEFORE_S, VALID_S, Identity
from sccache.errors import ConfigError

NOW = 1_800_000_000.0


async def shown(identity: Identity) -> x509.Certificate:
    """The certificate that a client sees, without believing it."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=identity.context)
    async with server:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1], ssl=trusting)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
    return x509.load_der_x509_certificate(der)


@pytest.mark.parametrize(("address", "ip"), [("192.0.2.7:10501", "192.0.2.7"), ("[2001:db8::7]:10501", "2001:db8::7")])
def test_what_it_says(address: str, ip: str) -> None:
    """Whose it is, since and until when, what for; the digest is that of what is shown."""
    identity = Identity(address, NOW)
    certificate = asyncio.run(shown(identity))
    assert certificate.fingerprint(hashes.SHA256()).hex() == identity.digest
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(ip)]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_before_utc < dt.datetime.fromtimestamp(NOW, dt.UTC) < certificate.not_valid_after_utc
    certificate.verify_directly_issued_by(certificate)


@pytest.mark.parametrize("address", ["", "host:1", "1.2.3:1", "10.0.0.1", ":1"])
def test_no_ip_address(address: str) -> None:
    """Clients reach workers by address and port."""
    with pytest.raises(ConfigError, match="public_addr"):
        Identity(address, NOW)


def test_renewal() -> None:
    """A month before the end, or when the clock was wrong at the start; the open server shows the new one."""
    identity = Identity("127.0.0.1:1", NOW)
    first = identity.digest
    assert not identity.is_due(NOW)
    assert not identity.is_due(NOW + VALID_S - RENEWED_BEFORE_S - 1)
    assert identity.is_due(NOW + VALID_S - RENEWED_BEFORE_S + 1)
    assert identity.is_due(NOW - 365 * 24 * 3600)
    identity.renew(NOW + VALID_S)
    assert identity.digest != first
    assert not identity.is_due(NOW + VALID_S)
    assert asyncio.run(shown(identity)).fingerprint(hashes.SHA256()).hex() == identity.digest


def test_a_client_that_was_told_the_digest() -> None:
    """It takes this certificate and no other, also one of the same address."""

    async def run() -> None:
        identity, other = Identity("127.0.0.1:1", time.time()), Identity("127.0.0.1:1", time.time())
        app = web.Application()

        async def hello(_: web.Request) -> web.Response:
            return web.Response(text="hello")

        app.router.add_get("/", hello)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=identity.context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession() as session:
            async with session.get(url, ssl=aiohttp.Fingerprint(bytes.fromhex(identity.digest))) as answer:
                assert await answer.text() == "hello"
            with pytest.raises(aiohttp.ServerFingerprintMismatch):
                await session.get(url, ssl=aiohttp.Fingerprint(bytes.fromhex(other.digest)))
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(url)
        await runner.cleanup()

    asyncio.run(run())


def test_the_key_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a repr nor in a file, but for the moment in which it is loaded: then for the owner only."""
    files: list[tuple[str, int]] = []
    load = ssl.SSLContext.load_cert_chain

    def seen(self: ssl.SSLContext, path: str) -> None:
        files.append((path, stat.S_IMODE(os.stat(path).st_mode)))
        load(self, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", seen)
    assert "PRIVATE" not in repr(Identity("127.0.0.1:1", NOW))
    ((path, mode),) = files
    assert mode == 0o600
    assert not os.path.exists(path)
