"""A worker among liars: tokens of all kinds but the right one, toolchains and inputs that are not what they are called, bodies without end.

Each is refused and counted, leaves nothing behind, and the worker serves the next client.
"""

import base64
import contextlib
import json
import secrets
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from tests.farm.harness import wire
from tests.farm.harness.farm import Farm, files_below, until
from tests.farm.harness.network import Network
from tests.farm.harness.raw_worker import HandMadeScheduler, RawWorker, new_job

from sccache.dist.messages import File, Link, Missing, Result

CACHE_BYTES = 64 << 20


@pytest.fixture(scope="module")
def scheduler(any_network: Network) -> Iterator[HandMadeScheduler]:
    """Which believes everything."""
    made = HandMadeScheduler(any_network.host("s"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def workers(any_network: Network, command, scheduler) -> Iterator[list[RawWorker]]:
    """Two, as the second's tokens are to be of no use with the first."""
    farm = Farm(any_network, command, scheduler_url=scheduler.url)
    made = []
    try:
        for name in ("w1", "w2"):
            server = farm.add_worker(name, cache_bytes=CACHE_BYTES)
            made.append(RawWorker(farm, server, scheduler, any_network.host("c1")))
        yield made
    finally:
        for worker in farm.workers.values():
            worker.program.kill()


@pytest.fixture
def worker(workers) -> RawWorker:
    return workers[0]


@pytest.fixture(scope="module")
def shell(workers) -> str:
    """A toolchain that the first worker has: a shell and what belongs to it."""
    return workers[0].upload(wire.shell_toolchain())


@pytest.fixture(autouse=True)
def still_serves(worker, shell) -> Iterator[None]:
    """Whatever happened: it lives, has nothing to do, and compiles for the next one."""
    yield
    until(lambda: worker.running() == 0, "no job is left")
    result, _ = worker.shell(shell, "echo fine")
    assert (result.status, result.stdout) == (0, b"fine\n")


# -- tokens


def _bad_tokens(worker: RawWorker, other: RawWorker, job: str, toolchain: str) -> dict[str, str | None]:
    good = worker.claims(job, toolchain)
    front, body, seal = worker.token(job, toolchain).split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return {
        "none": None,
        "rubbish": "rubbish",
        "another key": wire.token(secrets.token_bytes(32), good),
        "the other worker's key": wire.token(other.key, good),
        "the other worker's token": other.token(job, toolchain),
        "no algorithm": f"{unsigned}.{body}.",
        "no algorithm, with a seal": f"{unsigned}.{body}.{seal}",
        "no seal": f"{front}.{body}.",
        "another algorithm": wire.token(worker.key * 2, good, "HS512"),
        "expired": worker.token(job, toolchain, exp=int(time.time()) - 5),
        "no end": worker.token(job, toolchain, exp=None),
        "end is text": worker.token(job, toolchain, exp="never"),
        "another worker": worker.token(job, toolchain, worker=other.server.address),
        "no worker": worker.token(job, toolchain, worker=None),
        "another job": worker.token(new_job(), toolchain),
        "another toolchain": worker.token(job, "cd" * 32),
        "no toolchain": worker.token(job, toolchain, toolchain=None),
        "another audience": worker.token(job, toolchain, aud="scheduler"),
        "no audience": worker.token(job, toolchain, aud=None),
        "a token of the worker itself": worker.server.token,
    }


BAD_TOKENS = (
    "none", "rubbish", "another key", "the other worker's key", "the other worker's token", "no algorithm", "no algorithm, with a seal",
    "no seal", "another algorithm", "expired", "no end", "end is text", "another worker", "no worker", "another job", "another toolchain",
    "no toolchain", "another audience", "no audience", "a token of the worker itself",
)  # fmt: skip


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_bad_token(workers, worker, shell, what):
    """401, counted, nothing runs; and nobody can upload with it."""
    job = new_job()
    token = _bad_tokens(worker, workers[1], job, shell)[what]
    before = worker.refused()
    answer = worker.run(job, token, wire.packed(wire.shell_job(shell, "echo ran")))
    assert answer.status == 401, answer
    assert answer.challenge, answer
    assert b"ran" not in answer.body
    assert worker.refused() == before + 1
    if what != "another job":  # a toolchain is uploaded for any job of one's own
        assert worker.put(shell, token, wire.shell_toolchain()).status == 401


def test_token_is_good_once(worker, shell):
    """A job that has run does not run again, with the same body or another; while it runs neither."""
    job = new_job()
    token = worker.token(job, shell)
    body = wire.packed(wire.shell_job(shell, "echo ran"))
    assert wire.unpacked(worker.run(job, token, body).body).answer.stdout == b"ran\n"
    before = worker.refused()
    for again in (body, wire.packed(wire.shell_job(shell, "echo something else"))):
        answer = worker.run(job, token, again)
        assert answer.status == 401, answer
    renewed = worker.token(job, shell, exp=int(time.time()) + 299)
    assert worker.run(job, renewed, body).status == 401
    assert worker.refused() == before + 3


def test_token_stays_good_until_everything_is_there(worker, shell):
    """Missing inputs are asked for by digest; the same token then runs the job, once."""
    data = secrets.token_bytes(1000)
    job = new_job()
    token = worker.token(job, shell)
    header = wire.shell_job(shell, "cat input", files=(wire.file(b"/work/input", data),))
    ran = wire.unpacked(worker.run(job, token, wire.packed(header)).body)
    assert ran.answer == Missing(contents=(wire.digest(data),))
    complete = wire.shell_job(shell, "cat input", files=header.files, sent=(wire.digest(data),))
    ran = wire.unpacked(worker.run(job, token, wire.packed(complete, data)).body)
    assert ran.answer.stdout == data
    assert worker.run(job, token, wire.packed(complete, data)).status == 401


# -- toolchains


def _kept(worker: RawWorker) -> int:
    """Bytes that it has on disk."""
    return sum(path.stat().st_size for path in files_below(worker.server.folder / "kept"))


def test_tampered_toolchain(worker):
    """Not what its name says: 422, counted, nothing kept, and asked for again."""
    honest = wire.shell_toolchain((wire.member("etc/mark"), secrets.token_bytes(32)))
    toolchain = wire.digest(honest).hex()
    before, kept = worker.refused(), _kept(worker)
    for data in (honest[:-1] + bytes([honest[-1] ^ 1]), honest + b"\0", honest[:-1], b""):
        answer = worker.put(toolchain, worker.token(new_job(), toolchain), data)
        assert answer.status == 422, answer
    assert worker.refused() == before + 4
    assert _kept(worker) <= kept + 4096
    job = new_job()
    token, body = worker.token(job, toolchain), wire.packed(wire.shell_job(toolchain, "echo fine"))
    assert wire.unpacked(worker.run(job, token, body).body).answer == Missing(toolchain=True)
    assert worker.put(toolchain, token, honest).status == 204
    assert wire.unpacked(worker.run(job, token, body).body).answer.stdout == b"fine\n"


@pytest.mark.parametrize("name", ["../../../../tmp/evil", "..%2f..%2fevil", "AB" * 32, "ab" * 31, "ab" * 33, "x" * 64, "ab" * 31 + "%00"])
def test_name_of_a_toolchain_that_is_none(worker, name):
    """64 hex digits, nothing else, before anything is read."""
    answer = worker.put(name, worker.token(new_job(), name), b"x")
    assert answer.status in (400, 401, 404), answer
    assert not Path("/tmp/evil").exists()


def test_toolchain_beyond_the_limit(worker):
    """Said to be too large: refused at once.  Too large without saying so: cut off, and nothing kept."""
    toolchain = "ab" * 32
    kept = _kept(worker)
    for length in (f"Content-Length: {1 << 40}", "Transfer-Encoding: chunked"):
        with wire.connect(worker.client, wire.parse(worker.server.address), tls=True) as sock:
            token = worker.token(new_job(), toolchain)
            sock.sendall(
                f"PUT /api/v2/toolchains/{toolchain} HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {token}\r\n{length}\r\n\r\n".encode()
            )
            piece = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
            with contextlib.suppress(OSError):
                for _ in range(4 * CACHE_BYTES >> 20 if "chunked" in length else 0):
                    sock.sendall(piece)
            with contextlib.suppress(OSError):
                assert sock.recv(1000).split()[1:2] in ([b"413"], [])
    until(lambda: _kept(worker) <= kept + 4096, "nothing is kept")


def test_upload_that_breaks_off(worker):
    """Nothing of it stays."""
    data = secrets.token_bytes(1 << 20)
    toolchain = wire.digest(data).hex()
    kept = _kept(worker)
    with wire.connect(worker.client, wire.parse(worker.server.address), tls=True) as sock:
        token = worker.token(new_job(), toolchain)
        sock.sendall(worker.opening("PUT", f"toolchains/{toolchain}", token, f"Content-Length: {len(data)}") + data[: 1 << 19])
    until(lambda: _kept(worker) <= kept + 4096, "nothing is kept")


LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
EVIL_ARCHIVES = {
    "name with ..": [(wire.member("../../../../../../../../tmp/sf-evil"), b"evil")],
    "name with .. inside": [(wire.member("bin/../../../../../../../../tmp/sf-evil"), b"evil")],
    "through a link": [(wire.member("out", kind=LINK, link="/tmp"), b""), (wire.member("out/sf-evil"), b"evil")],
    "through a relative link": [(wire.member("out", kind=LINK, link="../" * 12 + "tmp"), b""), (wire.member("out/sf-evil"), b"evil")],
    "through two links": [
        (wire.member("a", kind=LINK, link="b"), b""), (wire.member("b", kind=LINK, link="../" * 12 + "tmp"), b""),
        (wire.member("a/sf-evil"), b"evil"),
    ],
    "hard link outside": [(wire.member("etc/passwd", kind=HARD, link="../" * 12 + "etc/passwd"), b"")],
    "absolute hard link": [(wire.member("etc/passwd", kind=HARD, link="/etc/passwd"), b"")],
    "device": [(wire.member("dev/kmsg", kind=tarfile.CHRTYPE), b"")],
    "block device": [(wire.member("disk", kind=tarfile.BLKTYPE), b"")],
    "fifo": [(wire.member("fifo", kind=tarfile.FIFOTYPE), b"")],
    "bomb": [(wire.member("bomb"), bytes(1 << 30))],
}  # fmt: skip


@pytest.mark.parametrize("what", EVIL_ARCHIVES)
def test_evil_archive(worker, what):
    """Its digest is right, and still: nothing runs in it, nothing outside is touched, its space is given back."""
    data = wire.shell_toolchain(*EVIL_ARCHIVES[what])
    toolchain, kept = wire.digest(data).hex(), _kept(worker)
    answer = worker.put(toolchain, worker.token(new_job(), toolchain), data)
    if answer.status == 204:
        ran = worker.run(job := new_job(), worker.token(job, toolchain), wire.packed(wire.shell_job(toolchain, "echo ran")))
        assert ran.status != 200 or not isinstance(wire.unpacked(ran.body).answer, Result), ran
    else:
        assert answer.status == 422, answer
    assert not Path("/tmp/sf-evil").exists()
    until(lambda: _kept(worker) < kept + 2 * len(data) + (1 << 20), "what was unpacked is gone")


# -- bodies of jobs


def _good(shell: str) -> bytes:
    return wire.packed(wire.shell_job(shell, "echo ran"))


def _bad_bodies(shell: str) -> dict[str, bytes]:
    data = b"contents of an input"
    named = wire.file(b"/work/input", data)
    sent = (named.digest,)
    job = wire.shell_job(shell, "cat input", files=(named,), sent=sent)
    bombs = zstandard.ZstdCompressor(level=19)
    bomb = bombs.compress(bytes(512 << 20))
    header = wire.packed(job)
    front = header[: 4 + int.from_bytes(header[:4], "little")]
    return {
        "nothing": b"",
        "half a length": b"\1\0",
        "header shorter than said": _good(shell)[:20],
        "header of 4 GB": wire.packed(job, data, length=0xFFFFFFFF),
        "header of no bytes": bytes(4),
        "no zstd": (10).to_bytes(4, "little") + b"0123456789",
        "no MessagePack": wire.packed(b"\xc1"),
        "another thing": wire.packed(b"\x80"),
        "header that is a bomb": len(bomb).to_bytes(4, "little") + bomb,
        "deep header": wire.packed(b"\x91" * 100_000),
        "contents changed": wire.packed(job, b"contents of an inpuT"),
        "contents short": wire.packed(job, data[:-1]),
        "contents long": wire.packed(job, data + b"x"),
        "contents that are a bomb": front + bomb,
        "contents are no zstd": front + b"rubbish",
        "contents that nobody named": wire.packed(wire.shell_job(shell, ":", sent=sent), data),
        "contents twice": wire.packed(wire.shell_job(shell, ":", files=(named,), sent=sent * 2), data * 2),
        "size that is not": wire.packed(wire.shell_job(shell, ":", files=(File(named.path, named.digest, 10**15),), sent=sent), data),
        "negative size": wire.packed(wire.shell_job(shell, ":", files=(File(named.path, named.digest, -1),), sent=sent), data),
        "short digest": wire.packed(wire.shell_job(shell, ":", files=(File(named.path, b"x", 1),), sent=(b"x",)), b"x"),
        "long digest": wire.packed(wire.shell_job(shell, ":", files=(File(named.path, b"/" * 300, 1),), sent=(b"/" * 300,)), b"x"),
    }


BAD_BODIES = (
    "nothing", "half a length", "header shorter than said", "header of 4 GB", "header of no bytes", "no zstd", "no MessagePack",
    "another thing", "header that is a bomb", "deep header", "contents changed", "contents short", "contents long",
    "contents that are a bomb", "contents are no zstd", "contents that nobody named", "contents twice", "size that is not", "negative size",
    "short digest", "long digest",
)  # fmt: skip


@pytest.mark.parametrize("what", BAD_BODIES)
def test_bad_body(worker, shell, what):
    """4xx with a sentence, counted, nothing runs, nothing is kept of it."""
    body = _bad_bodies(shell)[what]
    before, kept = worker.refused(), _kept(worker)
    answer = worker.run(job := new_job(), worker.token(job, shell), body)
    assert answer.status in (400, 413, 422), answer
    assert answer.json["error"]
    assert worker.refused() == before + 1
    assert _kept(worker) <= kept + 4096


def test_changed_contents_are_not_kept(worker, shell):
    """Under the digest that was claimed there is nothing: the honest client is asked for it."""
    data = secrets.token_bytes(1000)
    named = wire.file(b"/work/input", data)
    header = wire.shell_job(shell, "cat input", files=(named,), sent=(named.digest,))
    job = new_job()
    assert worker.run(job, worker.token(job, shell), wire.packed(header, data[::-1])).status in (400, 422)
    job = new_job()
    token = worker.token(job, shell)
    ran = wire.unpacked(worker.run(job, token, wire.packed(wire.shell_job(shell, "cat input", files=(named,)))).body)
    assert ran.answer == Missing(contents=(named.digest,))
    assert wire.unpacked(worker.run(job, token, wire.packed(header, data)).body).answer.stdout == data


def _bad_trees() -> dict[str, dict[str, object]]:
    data = b"x"

    def named(path: bytes) -> dict[str, object]:
        return {"files": (wire.file(path, data),)}

    return {
        "relative": named(b"work/input"),
        "..": named(b"/work/../../../../../../tmp/sf-evil"),
        ".": named(b"/work/./input"),
        "empty": named(b""),
        "root": named(b"/"),
        "NUL": named(b"/work/a\0b"),
        "double slash": named(b"/work//input"),
        "ours": named(b"/.sccache/observe"),
        "processes": named(b"/proc/1/mem"),
        "devices": named(b"/dev/null"),
        "file under a link": {"links": (Link(b"/work/out", b"/tmp"),), **named(b"/work/out/sf-evil")},
        "file under a link that leads far up": {"links": (Link(b"/work/out", b"../" * 20 + b"tmp"),), **named(b"/work/out/sf-evil")},
        "directory under a link": {"links": (Link(b"/work/out", b"/tmp"),), "directories": (b"/work", b"/work/out/sf-evil")},
        "file under a file": {"files": (wire.file(b"/work/a", data), wire.file(b"/work/a/b", data))},
        "twice": {"files": (wire.file(b"/work/a", data), wire.file(b"/work/a", b"y"))},
        "link where a file is": {"links": (Link(b"/work/a", b"/etc/passwd"),), **named(b"/work/a")},
        "own directory relative": {"cwd": b"work"},
        "own directory ..": {"cwd": b"/work/../.."},
        "output relative": {"outputs": (b"../../../etc/passwd",)},
        "output ..": {"outputs": (b"/work/../../../../../etc/passwd",)},
        "output directory ..": {"output_directories": (b"/..",)},
        "program relative": {"executable": b"bin/bash"},
        "variable with =": {"environment": ((b"A=B", b"c"),)},
        "variable with NUL": {"environment": ((b"A", b"b\0c"),)},
    }


BAD_TREES = (
    "relative", "..", ".", "empty", "root", "NUL", "double slash", "ours", "processes", "devices", "file under a link",
    "file under a link that leads far up", "directory under a link", "file under a file", "twice", "link where a file is",
    "own directory relative", "own directory ..", "output relative", "output ..", "output directory ..", "program relative",
    "variable with =", "variable with NUL",
)  # fmt: skip


@pytest.mark.parametrize("what", BAD_TREES)
def test_bad_tree(worker, shell, what):
    """A name that leads elsewhere: refused with a sentence before anything is laid out; nothing outside is touched."""
    job = wire.shell_job(shell, "echo ran", **_bad_trees()[what])
    sent = tuple({file.digest: None for file in job.files})
    complete = wire.shell_job(shell, "echo ran", **{**_bad_trees()[what], "sent": sent})
    contents = b"".join({wire.digest(b"x"): b"x", wire.digest(b"y"): b"y"}[one] for one in sent)
    before = worker.refused()
    answer = worker.run(name := new_job(), worker.token(name, shell), wire.packed(complete, contents))
    assert not Path("/tmp/sf-evil").exists()
    assert answer.status in (400, 422), answer
    assert answer.json["error"]
    assert worker.refused() == before + 1


def test_another_version(worker, shell):
    """426 with a sentence."""
    answer = worker.run(job := new_job(), worker.token(job, shell), wire.packed(wire.shell_job(shell, ":", version=99)))
    assert answer.status == 426, answer
    assert "version" in answer.json["error"]


def test_body_without_an_end(worker, shell):
    """Refused by its length, or cut off."""
    for length in (f"Content-Length: {1 << 42}", "Transfer-Encoding: chunked"):
        with wire.connect(worker.client, wire.parse(worker.server.address), tls=True) as sock:
            job = new_job()
            piece = secrets.token_bytes(1 << 16)
            with contextlib.suppress(OSError):
                sock.sendall(worker.opening("POST", f"jobs/{job}/run", worker.token(job, shell), length))
                for _ in range(4096 if "chunked" in length else 0):
                    sock.sendall(b"10000\r\n" + piece + b"\r\n")
            with contextlib.suppress(OSError):
                assert sock.recv(1000).split()[1:2] in ([b"413"], [b"400"], [b"422"], [])


def test_client_that_says_half_and_waits(worker, shell):
    """Fifty that know no token: others are served."""
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            sock = stack.enter_context(wire.connect(worker.client, wire.parse(worker.server.address), tls=True))
            sock.sendall(worker.opening("POST", f"jobs/{new_job()}/run", "unknown", "Content-Length: 1000")[:-2])
        assert worker.shell(shell, "echo served")[0].stdout == b"served\n"


def test_nothing_secret_is_shown(worker, shell):
    """No page, no log line at its most talkative, no name on disk that others may read holds a token or a key."""
    token = worker.token(job := new_job(), shell)
    worker.run(job, token, _good(shell))
    worker.run(job, "a.rubbish.token", _good(shell))
    texts = {"log": worker.server.program.text()}
    for path in ("/metrics", "/api/v2/status", "/"):
        texts[path] = worker.server.ask(worker.client, "GET", path, tls=True).body.decode()
    hidden = [
        token,
        token.rpartition(".")[2],
        worker.server.token,
        worker.key.hex(),
        base64.urlsafe_b64encode(worker.key).decode().rstrip("="),
    ]
    for where, text in texts.items():
        assert [it for it in hidden if it in text] == [], where
    assert json.loads(texts["/api/v2/status"])["in_progress"] >= 0


def test_certificate_is_the_one_that_was_told(worker):
    """What clients pin is what the scheduler got; it names the address."""
    told = worker.scheduler.heartbeats[worker.nonce]["certificate"]
    assert wire.fingerprint(worker.client, wire.parse(worker.server.address)) == told


def test_only_tls(worker):
    """Plain HTTP gets no answer to anything."""
    with contextlib.suppress(OSError, wire.http.client.HTTPException):
        answer = worker.server.ask(worker.client, "GET", "/metrics")
        assert answer.status == 400, answer
