"""The HTTP client: what it makes of every way in which an exchange can go wrong, and what it tells nobody."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.servers.process import free_port

from sccache.errors import StorageError, Trouble
from sccache.storage.http import MAX_RETRY_AFTER_S, Answer, HttpClient, _redirect, encode_basic, parse_retry_after

Script = Callable[[bytes], bytes | None]
"""Head of a request → the bytes to answer; None closes the connection without an answer."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def serving(script: Script, *, ends: bool = False, end: bytes = b"\r\n\r\n", tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that reads a request and answers as the script says; `ends` closes the connection after each answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(end)
                answer = script(head)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
                if ends:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def run(body: Callable[[HttpClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with aclosing(HttpClient()) as http:
            await body(http)

    asyncio.run(main())


def fails(answer: bytes | None, *, ends: bool = True, method: str = "GET", max_bytes: int = 1000) -> StorageError:
    """The error for an answer."""
    errors: list[StorageError] = []

    async def body(http: HttpClient) -> None:
        async with serving(lambda _: answer, ends=ends) as url:
            with pytest.raises(StorageError) as caught:
                await http.request(method, f"{url}/path?sig=SECRET", authorization="Bearer SECRET", max_bytes=max_bytes)
            errors.append(caught.value)

    run(body)
    assert "SECRET" not in str(errors[0])
    return errors[0]


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", Trouble.ERROR),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", Trouble.ERROR),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho", Trouble.ERROR),
        (b"HTTP/1.0 200 OK\r\n\r\nhow long?", Trouble.ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nzip", Trouble.ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + bytes(1001), Trouble.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + bytes(1001) + b"\r\n0\r\n\r\n", Trouble.TOO_LARGE),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Trouble.ERROR),
        (b"\r\n\r\n\x00\x01 SECRET\r\n\r\n", Trouble.ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Trouble.UNREACHABLE),
        (None, Trouble.UNREACHABLE),
    ],
)
def test_an_incomplete_answer_is_an_error(answer: bytes | None, trouble: Trouble) -> None:
    """Half a body, a body without an end, a compressed one, one too long, no HTTP at all: never a value."""
    assert fails(answer).trouble is trouble


@pytest.mark.parametrize(
    ("status", "headers", "is_write", "trouble"),
    [
        (401, {}, False, Trouble.DENIED),
        (403, {}, True, Trouble.DENIED),
        (403, {"Retry-After": "7"}, True, Trouble.RATE_LIMITED),
        (404, {}, True, Trouble.WRONG_PLACE),
        (405, {}, True, Trouble.READ_ONLY),
        (405, {}, False, Trouble.ERROR),
        (413, {}, True, Trouble.TOO_LARGE),
        (429, {}, False, Trouble.RATE_LIMITED),
        (429, {"Retry-After": "7"}, False, Trouble.RATE_LIMITED),
        (500, {"Retry-After": "7"}, False, Trouble.ERROR),
        (501, {}, True, Trouble.READ_ONLY),
        (503, {}, False, Trouble.ERROR),
        (503, {"Retry-After": "7"}, False, Trouble.RATE_LIMITED),
        (504, {}, False, Trouble.TIMED_OUT),
        (507, {}, True, Trouble.ERROR),
        (599, {}, True, Trouble.ERROR),
    ],
)
def test_a_status_tells_the_trouble(status: int, headers: dict[str, str], is_write: bool, trouble: Trouble) -> None:
    """And how long to wait, where the service says so."""
    error = Answer(status, headers, b"", "GET http://h/p").failure(is_write=is_write)
    assert error.trouble is trouble
    assert error.retry_after_s == (7 if trouble is Trouble.RATE_LIMITED and headers else None)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0),
        (" 12 ", 12),
        ("999999999999999999999", MAX_RETRY_AFTER_S),
        (format_datetime(datetime.fromtimestamp(1_000_030, UTC), usegmt=True), 30),
        (format_datetime(datetime.fromtimestamp(1, UTC), usegmt=True), 0),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after(text: str, wait_s: float | None) -> None:
    """Seconds or a date; within bounds; anything else is as if it were not there."""
    assert parse_retry_after(text, 1_000_000) == wait_s


def test_nobody_listens() -> None:
    """A refused connection is told apart from all else."""

    async def body(http: HttpClient) -> None:
        with pytest.raises(StorageError, match="no connection \\(connection refused\\)") as caught:
            await http.request("GET", f"http://127.0.0.1:{free_port()}/x")
        assert caught.value.trouble is Trouble.UNREACHABLE

    run(body)


def test_certificates_are_verified(tmp_path: Path) -> None:
    """A certificate that nobody vouches for, and a server without TLS, are bad TLS; the request is not sent."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 -keyout {key} -out {certificate}"
    )
    subprocess.run([*command.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    heads: list[bytes] = []

    async def body(http: HttpClient) -> None:
        async with serving(lambda head: heads.append(head) or OK, tls=tls) as url:
            with pytest.raises(StorageError, match=r"self.signed") as caught:
                await http.request("GET", f"{url}/x", authorization="Bearer SECRET")
            assert caught.value.trouble is Trouble.BAD_TLS
        async with serving(lambda _: OK, end=b"\x16") as url:
            with pytest.raises(StorageError) as caught:
                await http.request("GET", f"{url}/x".replace("http:", "https:"))
            assert caught.value.trouble is Trouble.BAD_TLS

    run(body)
    assert not heads


def test_credentials_stay_with_their_host() -> None:
    """A redirect is followed; to another host it goes without Authorization."""
    heads: list[bytes] = []

    async def body(http: HttpClient) -> None:
        async with serving(lambda head: heads.append(head) or OK) as other, serving(lambda head: moved(head, other)) as url:
            answer = await http.request("GET", f"{url}/first", authorization="Bearer SECRET")
            assert answer.body == b"hi"

    def moved(head: bytes, other: str) -> bytes:
        heads.append(head)
        target = "/second" if head.startswith(b"GET /first") else f"{other}/third"
        return f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()

    run(body)
    assert [head.split()[1] for head in heads] == [b"/first", b"/second", b"/third"]
    assert [b"SECRET" in head for head in heads] == [True, True, False]


def test_redirects_end() -> None:
    """A loop is an error."""
    error = fails(b"HTTP/1.1 307 T\r\nLocation: /path?sig=SECRET\r\nContent-Length: 0\r\n\r\n", ends=False)
    assert "redirects" in str(error)


@pytest.mark.parametrize("location", ["http://SECRET@h:99999/", "http://[SECRET", "//[SECRET", "http://h:SECRET/"])
def test_a_redirect_to_nowhere(location: str) -> None:
    """Is an error like any other."""
    assert fails(f"HTTP/1.1 302 F\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()).trouble is Trouble.ERROR


def test_an_address_that_is_none() -> None:
    """A service may name anything as the place of an object."""

    async def body(http: HttpClient) -> None:
        for url in ("http://[SECRET", "http://h:99999/", "ftp://h/SECRET", "", "http://"):
            with pytest.raises(StorageError) as caught:
                await http.request("GET", url, name="download")
            assert caught.value.trouble is Trouble.ERROR
            assert "SECRET" not in str(caught.value)

    run(body)


@pytest.mark.parametrize(
    ("method", "status", "url", "location"),
    [
        ("PUT", 302, "http://a/x", "http://a/y"),
        ("GET", 302, "https://a/x", "http://a/y?SECRET"),
        ("GET", 302, "https://a/x", "file:///etc/passwd"),
    ],
)
def test_a_redirect_that_is_not_safe(method: str, status: int, url: str, location: str) -> None:
    """Not to another method, not from https to http, not to anything but http."""
    with pytest.raises(StorageError) as caught:
        _redirect(Answer(status, {"Location": location}, b"", "x"), method, url)
    assert caught.value.trouble is Trouble.WRONG_PLACE
    assert "SECRET" not in str(caught.value)


def test_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used with its own credentials, but for hosts in NO_PROXY; if it is not there, that is said."""
    heads: list[bytes] = []

    async def body(http: HttpClient) -> None:
        async with serving(lambda head: heads.append(head) or OK) as url:
            monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@{urlsplit(url).netloc}")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert (await http.request("GET", "http://cache.invalid/x?y")).body == b"hi"
            assert (await http.request("GET", f"{url}/direct")).body == b"hi"
            monkeypatch.setenv("HTTP_PROXY", f"http://me:SECRET@127.0.0.1:{free_port()}")
            with pytest.raises(StorageError, match="the proxy cannot be reached") as caught:
                await http.request("GET", "http://other.invalid/x")
            assert caught.value.trouble is Trouble.UNREACHABLE
            assert "SECRET" not in str(caught.value)

    monkeypatch.delenv("REQUEST_METHOD", raising=False)
    run(body)
    assert heads[0].startswith(b"GET http://cache.invalid/x?y ")
    assert f"Proxy-Authorization: {encode_basic('me', 'p@ss')}\r\n".encode() in heads[0]
    assert heads[1].startswith(b"GET /direct ")
    assert b"Proxy-Authorization" not in heads[1]


def test_a_proxy_in_front_of_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns the host and its own credentials, nothing else; its refusal is a denial."""
    heads: list[bytes] = []

    async def body(http: HttpClient) -> None:
        denied = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        async with serving(lambda head: heads.append(head) or denied) as url:
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:password@{urlsplit(url).netloc}")
            with pytest.raises(StorageError, match="the proxy answered 407") as caught:
                await http.request("GET", "https://cache.invalid/x?sig=SECRET", authorization="Bearer SECRET")
            assert caught.value.trouble is Trouble.DENIED

    run(body)
    assert heads[0].startswith(b"CONNECT cache.invalid:443 ")
    assert f"Proxy-Authorization: {encode_basic('me', 'password')}\r\n".encode() in heads[0]
    assert b"SECRET" not in heads[0]


@pytest.mark.parametrize("is_repeatable", [True, False])
def test_an_idle_connection_that_was_closed(is_repeatable: bool) -> None:
    """A request that may be repeated is sent once more, on a new connection."""
    answers = [OK, None, OK]

    async def body(http: HttpClient) -> None:
        async with serving(lambda _: answers.pop(0)) as url:
            await http.request("POST", f"{url}/x", body=b"", is_repeatable=is_repeatable)
            again = http.request("POST", f"{url}/x", body=b"", is_repeatable=is_repeatable)
            if is_repeatable:
                assert (await again).body == b"hi"
            else:
                with pytest.raises(StorageError, match="cut off"):
                    await again

    run(body)


def test_a_cancelled_request_does_no_harm() -> None:
    """The next one gets its own answer, not the rest of the last."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"

    async def body(http: HttpClient) -> None:
        arrived = asyncio.Event()

        def script(head: bytes) -> bytes:
            if head.startswith(b"GET /slow"):
                arrived.set()
                return half
            return OK

        async with serving(script) as url:
            await http.request("GET", f"{url}/x")
            slow = asyncio.create_task(http.request("GET", f"{url}/slow"))
            await arrived.wait()
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            answers = await asyncio.gather(*(http.request("GET", f"{url}/x") for _ in range(5)))
            assert [answer.body for answer in answers] == [b"hi"] * 5

    run(body)


def test_who_asks() -> None:
    """Servers' logs show the program; they are not asked to compress."""
    heads: list[bytes] = []

    async def body(http: HttpClient) -> None:
        async with serving(lambda head: heads.append(head) or OK) as url:
            await http.request("GET", f"{url}/x")

    run(body)
    assert b"User-Agent: sccache/" in heads[0]
    assert b"Accept-Encoding: identity" in heads[0]
