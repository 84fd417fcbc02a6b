"""What the opendal library's errors mean, and what the base of its backends promises."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.s3 import S3Place, strict

from sccache.errors import Trouble
from sccache.storage.opendal_errors import is_absent, storage_error, take_apart

ROOT = Path(__file__).parents[3]
SIGNATURE = "sig=TopSecret%3D&timed out&certificate"


def debug(kind: str, head: str, *, status: int = 0, headers: str = "", source: str = "") -> Exception:
    """An exception as the library writes it."""
    response = f"   response: Parts {{ status: {status}, version: HTTP/1.1, headers: {{{headers}}} }}\n" if status else ""
    text = (
        f"{kind} (permanent) at read => {head}\n\nContext:\n   uri: https://host/bucket/name?{SIGNATURE}\n{response}   service: x\n"
        + (f"\nSource:\n   {source}\n" if source else "")
        + "\nBacktrace:\n   0: <unknown>\n   1: certificate\n"
    )
    return type(kind, (Exception,), {})(text)


def display(kind: str, head: str, *, status: int = 0, source: str = "") -> OSError:
    """The same of a file."""
    response = f", response: Parts {{ status: {status}, version: HTTP/1.1, headers: {{}} }}" if status else ""
    return OSError(f"{kind} (permanent) at read, context: {{ uri: https://host/name?{SIGNATURE}{response} }} => {head}" + source)


def service_error(code: str) -> str:
    return f'S3Error {{ code: "{code}", message: "TopSecret", resource: "", request_id: "" }}'


@pytest.mark.parametrize(
    ("error", "trouble", "message"),
    [
        (debug("ConfigInvalid", service_error("NoSuchBucket"), status=404), Trouble.WRONG_PLACE, "404 NoSuchBucket"),
        (debug("Unexpected", service_error("PermanentRedirect"), status=301), Trouble.WRONG_PLACE, "301 PermanentRedirect"),
        (display("NotFound", 'AzblobError { code: "ContainerNotFound" }', status=404), Trouble.WRONG_PLACE, "404 ContainerNotFound"),
        (debug("NotFound", "", status=404), Trouble.WRONG_PLACE, "404 Not Found"),
        (display("PermissionDenied", service_error("AccessDenied"), status=403), Trouble.DENIED, "403 AccessDenied"),
        (debug("Unexpected", service_error("ExpiredToken"), status=400), Trouble.DENIED, "400 ExpiredToken"),
        (debug("Unexpected", "<html>TopSecret</html>", status=401), Trouble.DENIED, "401 Unauthorized"),
        (debug("Unexpected", service_error("RequestTimeout"), status=400), Trouble.TIMED_OUT, "400 RequestTimeout"),
        (debug("Unexpected", service_error("EntityTooLarge"), status=400), Trouble.TOO_LARGE, "400 EntityTooLarge"),
        (debug("Unexpected", service_error("InternalError"), status=500), Trouble.ERROR, "500 InternalError"),
        (debug("Unexpected", "GcsErrorResponse { error: GcsError { code: 500 } }", status=500), Trouble.ERROR, "500 Internal Server Error"),
        (debug("Unexpected", "", status=599), Trouble.ERROR, "599"),
        (
            debug("Unexpected", "send http request", source="client error (Connect): invalid peer certificate: UnknownIssuer"),
            Trouble.BAD_TLS,
            "the certificate's issuer is not trusted",
        ),
        (debug("Unexpected", "send http request", source="Connection refused (os error 111)"), Trouble.UNREACHABLE, "connection refused"),
        (debug("Unexpected", "send http request", source="dns error: TopSecret"), Trouble.UNREACHABLE, "the host is not known"),
        (display("Unexpected", "read data from http response"), Trouble.UNREACHABLE, "the connection was cut off"),
        (debug("Unexpected", "TopSecret"), Trouble.ERROR, "the storage library failed"),
        (ValueError("TopSecret"), Trouble.ERROR, "the storage library failed"),
    ],
)
def test_errors(error: Exception, trouble: Trouble, message: str) -> None:
    """Each is one trouble and one sentence, which never quotes the service's text, an address or a header."""
    found = storage_error(take_apart(error))
    assert (found.trouble, str(found)) == (trouble, message)


def test_what_is_absent() -> None:
    """An object is, in a bucket that exists."""
    assert is_absent(take_apart(debug("NotFound", service_error("NoSuchKey"), status=404)))
    assert is_absent(take_apart(display("NotFound", "", status=404)))
    assert not is_absent(take_apart(display("NotFound", 'AzblobError { code: "ContainerNotFound" }', status=404)))
    assert not is_absent(take_apart(debug("NotFound", "The specified bucket does not exist.", status=404)), ["bucket does not exist"])
    assert not is_absent(take_apart(debug("PermissionDenied", service_error("AccessDenied"), status=403)))


def test_when_to_come_again() -> None:
    """Retry-After counts where the service limits, and nowhere else."""
    headers = '"date": "x", "retry-after": "7"'
    assert storage_error(take_apart(debug("RateLimited", service_error("SlowDown"), status=503, headers=headers))).retry_after_s == 7
    assert storage_error(take_apart(debug("Unexpected", service_error("InternalError"), status=500, headers=headers))).retry_after_s is None


# ── the base ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Place]:
    with strict(tmp_path_factory.mktemp("s3")) as place:
        yield place


def run(server: S3Place, body: str) -> subprocess.CompletedProcess[str]:
    """A process of its own in which `body` has a `backend`."""
    program = (
        "import asyncio, os, time\nfrom sccache.config.load import load\nfrom sccache.storage.s3 import S3Backend\n"
        "(remote,) = load({'SCCACHE_CONF': '/nonexistent', **os.environ}, '/').remotes\n"
        "backend = S3Backend(remote.settings, remote.ambient)\n" + textwrap.dedent(body) + "\nasyncio.run(main())\n"
    )
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), **server.environment()}
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120, check=False)


def test_memory_for_a_large_object(server: S3Place) -> None:
    """Writing 100 MB copies nothing, reading them needs them once in the library and once in Python; the event loop goes on."""
    done = run(
        server,
        """
        size = 100_000_000
        def status(name):
            return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024
        def forget():
            open("/proc/self/clear_refs", "w").write("5")
            return status("VmRSS")
        async def main():
            await backend.write("small", b"x")
            blob = bytes(size)
            before = forget()
            ticks = 0
            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)
            ticking = asyncio.create_task(tick())
            await backend.write("large", blob)
            print(status("VmHWM") - before)
            del blob
            before = forget()
            assert len(await backend.read("large")) == size
            print(status("VmHWM") - before)
            print(ticks)
            ticking.cancel()
        """,
    )
    assert done.returncode == 0, done.stderr
    writing, reading, ticks = map(int, done.stdout.split())
    assert writing < 0.3 * 100_000_000
    assert reading < 2.3 * 100_000_000
    assert ticks > 100


def test_a_process_ends_in_order(server: S3Place) -> None:
    """At any time after the last answer, also with requests that were given up: the library's threads do not abort it."""
    for _ in range(5):
        done = run(
            server,
            """
            async def main():
                await asyncio.gather(*(backend.write(f"n{i}", bytes(100_000)) for i in range(20)))
                tasks = [asyncio.create_task(backend.read(f"n{i}")) for i in range(20)]
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                for i in range(50):
                    await backend.read("none")
            """,
        )
        assert done.returncode == 0, done.stderr
