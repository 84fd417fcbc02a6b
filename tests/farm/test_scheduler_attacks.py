"""The scheduler among liars: forged, borrowed and missing tokens, bodies of all kinds; refused, counted, and nothing leaks.

What the scheduler is asked here comes byte by byte from hosts of their own; workers are made by hand.
"""

import base64
import contextlib
import json
import re
import secrets
import socket
import time
from collections.abc import Iterator

import pytest
from tests.farm.harness import wire
from tests.farm.harness.farm import Farm, until
from tests.farm.harness.hand_made import TOOLCHAIN, HandMadeWorker, allocate, granted, place
from tests.farm.harness.network import Network

from sccache.dist.messages import Allocate, Granted, Refused, Report


@pytest.fixture(scope="module")
def farm(any_network: Network, command) -> Iterator[Farm]:
    """A scheduler alone."""
    made = Farm(any_network, command)
    try:
        made.add_scheduler()
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def workers(farm: Farm) -> list[HandMadeWorker]:
    """Two, in a new life."""
    made = [HandMadeWorker(farm, farm.network.host(name), port) for name, port in (("w1", 20001), ("w2", 20002))]
    for worker in made:
        assert worker.heartbeat().status == 200
    return made


@pytest.fixture(autouse=True)
def no_worker_is_left(farm: Farm, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whoever was there leaves."""
    yield
    for worker in request.node.funcargs.get("workers", []):
        worker.heartbeat(draining=True)


def _refused(farm: Farm) -> float:
    return sum(value for name, value in farm.metrics(farm.scheduler).items() if "refused" in name)


# -- tokens of clients

WRONG_CLIENT_TOKENS = {
    "none": {},
    "empty": {"Authorization": "Bearer "},
    "another": {"Authorization": "Bearer wrong"},
    "half of it": {"Authorization": "Bearer {half}"},
    "longer": {"Authorization": "Bearer {token}x"},
    "another scheme": {"Authorization": "Basic {token}"},
    "not ASCII": {"Authorization": "Bearer {token}\xe9"},
    "none by algorithm": {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
}


@pytest.mark.parametrize("what", WRONG_CLIENT_TOKENS)
def test_wrong_token_of_a_client(farm, workers, what):
    """401 with the documented challenge; no place is taken; counted."""
    before = _refused(farm)
    token = farm.client_token
    headers = {name: value.format(token=token, half=token[: len(token) // 2]) for name, value in WRONG_CLIENT_TOKENS[what].items()}
    body = json.dumps({"toolchain": TOOLCHAIN}).encode()
    answer = farm.scheduler.ask(farm.network.host("c1"), "POST", "/api/v2/allocate", body, headers=headers)
    assert answer.status == 401, answer
    assert answer.challenge in ("no_bearer_auth", "bearer_auth_failed"), answer
    assert token.encode() not in answer.body
    assert farm.status()["in_progress"] == 0
    assert _refused(farm) == before + 1


def test_token_of_a_worker_is_none_of_a_client(farm, workers):
    """Each party's tokens open its own doors only."""
    client = farm.network.host("c1")
    assert allocate(farm, client, token=workers[0].token).status == 401
    assert workers[0].heartbeat(token=farm.client_token).status == 401
    assert workers[0].report(Report(workers[0].nonce), token=farm.client_token).status == 401


# -- tokens of workers


def _secret(farm: Farm) -> bytes:
    return base64.urlsafe_b64decode(farm.secret_key + "=" * (-len(farm.secret_key) % 4))


def _forgeries(farm: Farm, worker: HandMadeWorker) -> dict[str, str | None]:
    claims = {"exp": 0, "server_id": worker.address}
    front, body, seal = farm.server_token(worker.address).split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    flipped = seal[:-2] + ("A" if seal[-2] != "A" else "B") + seal[-1]
    return {
        "none": None,
        "not a token": "x.y.z",
        "another secret": wire.token(secrets.token_bytes(32), claims),
        "the secret's text as the secret": wire.token(farm.secret_key, claims),
        "no algorithm": f"{unsigned}.{body}.",
        "no algorithm, with a seal": f"{unsigned}.{body}.{seal}",
        "one bit of the seal": f"{front}.{body}.{flipped}",
        "no seal": f"{front}.{body}.",
        "another algorithm": wire.token(_secret(farm) * 2, claims, "HS512"),
        "no address": wire.token(_secret(farm), {"exp": 0, "server_id": "worker"}),
        "no claim": wire.token(_secret(farm), {"exp": 0}),
        "a number as address": wire.token(_secret(farm), {"exp": 0, "server_id": 7}),
    }


@pytest.mark.parametrize(
    "what",
    [
        "none", "not a token", "another secret", "the secret's text as the secret", "no algorithm", "no algorithm, with a seal",
        "one bit of the seal", "no seal", "another algorithm", "no address", "no claim", "a number as address",
    ],
)  # fmt: skip
def test_forged_token_of_a_worker(farm, what):
    """401, counted, and the scheduler knows no such worker."""
    worker = HandMadeWorker(farm, farm.network.host("w3"), 12345)
    before, known = _refused(farm), farm.status()["num_servers"]
    answer = worker.heartbeat(token=_forgeries(farm, worker)[what])
    assert answer.status == 401, answer
    assert answer.challenge, answer
    assert worker.report(Report(worker.nonce), token=_forgeries(farm, worker)[what]).status == 401
    assert farm.status()["num_servers"] == known
    assert _refused(farm) == before + 2


@pytest.mark.parametrize("headers", [{}, {"X-Real-IP": "{w1}"}, {"X-Real-IP": "rubbish"}, {"X-Forwarded-For": "{w1}"}])
def test_borrowed_token_of_a_worker(farm, workers, headers):
    """A true token from another address is nothing, whatever that one says of where it comes from."""
    if not farm.network.is_real:
        pytest.skip("needs root and network namespaces")
    said = {name: value.format(w1=workers[0].host.address) for name, value in headers.items()}
    thief = farm.network.host("w2")
    answer = workers[0].heartbeat(host=thief, headers=said, nonce="stolen", job_key=base64.urlsafe_b64encode(bytes(32)).decode())
    assert answer.status in (400, 401), answer
    if answer.status == 401:
        assert answer.challenge == "invalid_bearer_token_mismatched_address"
    job = granted(farm, farm.network.host("c1"), Allocate(TOOLCHAIN, without=(workers[1].address,)))
    wire.jwt.decode(job.token, workers[0].key, ["HS256"], audience="worker")  # the key is the old one
    workers[0].report(Report(workers[0].nonce, started=(job.job,), finished=()))
    workers[0].report(Report(workers[0].nonce, finished=(job.job,)))


# -- jobs


def test_jobs_token_says_for_whom_and_until_when(farm, workers):
    """It is bound to job, worker and toolchain, ends soon, and is sealed with that worker's key alone."""
    client = farm.network.host("c1")
    jobs = [granted(farm, client, Allocate(TOOLCHAIN, without=(worker.address,))) for worker in workers]
    assert {job.worker for job in jobs} == {worker.address for worker in workers}
    by_address = {worker.address: worker for worker in workers}
    for job in jobs:
        mine = by_address[job.worker]
        other = next(worker for worker in workers if worker is not mine)
        claims = wire.jwt.decode(job.token, mine.key, ["HS256"], audience="worker")
        assert claims["job"] == job.job
        assert claims["worker"] == job.worker
        assert claims["toolchain"] == TOOLCHAIN
        assert 0 < claims["exp"] - time.time() <= 600
        assert re.fullmatch("[0-9a-f]{32}", job.job)
        assert job.certificate == mine.certificate
        with pytest.raises(wire.jwt.InvalidSignatureError):
            wire.jwt.decode(job.token, other.key, ["HS256"], audience="worker")
    assert jobs[0].job != jobs[1].job
    for job in jobs:
        mine = by_address[job.worker]
        mine.report(Report(mine.nonce, started=(job.job,)))
        mine.report(Report(mine.nonce, finished=(job.job,)))
    until(lambda: farm.status()["in_progress"] == 0, "the jobs have ended")


def test_worker_cannot_end_the_jobs_of_another(farm, workers):
    """What it reports of them changes nothing."""
    request = Allocate(TOOLCHAIN, without=(workers[1].address,))
    job = granted(farm, farm.network.host("c1"), request)
    assert job.worker == workers[0].address
    workers[0].report(Report(workers[0].nonce, started=(job.job,)))
    workers[1].report(Report(workers[1].nonce, finished=(job.job,)))
    workers[1].heartbeat(running=(job.job,))
    workers[1].heartbeat(running=())
    assert farm.status()["in_progress"] == 1
    workers[0].report(Report(workers[0].nonce, finished=(job.job,)))
    assert farm.status()["in_progress"] == 0


def test_report_of_an_earlier_life_is_nothing(farm, workers):
    """A nonce that is not the worker's present one ends no job."""
    job = granted(farm, farm.network.host("c1"), Allocate(TOOLCHAIN, without=(workers[1].address,)))
    workers[0].report(Report(workers[0].nonce, started=(job.job,)))
    workers[0].report(Report("an earlier one", finished=(job.job,)))
    assert farm.status()["in_progress"] == 1
    workers[0].report(Report(workers[0].nonce, finished=(job.job,)))
    assert farm.status()["in_progress"] == 0


def test_client_that_goes_leaves_the_queue(farm, workers):
    """All places taken: who waits and hangs up does not hold a place afterwards."""
    client = farm.network.host("c1")
    taken = []
    while isinstance(said := place(allocate(farm, client)), Granted):
        taken.append(said)
        assert len(taken) < 100
    assert isinstance(said, Refused)
    assert said.reason
    body = json.dumps({"toolchain": TOOLCHAIN, "wait_s": 60}).encode()
    waiting = wire.connect(client, wire.parse(farm.scheduler.address), tls=False)
    head = f"POST /api/v2/allocate HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {farm.client_token}\r\nContent-Length: {len(body)}\r\n\r\n"
    waiting.sendall(head.encode() + body)
    until(lambda: farm.status()["waiting"] == 1, "the client waits")
    waiting.close()
    until(lambda: farm.status()["waiting"] == 0, "the client is forgotten")
    for job in taken:
        mine = next(worker for worker in workers if worker.address == job.worker)
        mine.report(Report(mine.nonce, started=(job.job,)))
        mine.report(Report(mine.nonce, finished=(job.job,)))
    until(lambda: farm.status()["in_progress"] == 0, "all have ended, and nobody else began")


# -- bodies

BAD_ALLOCATIONS = {
    "nothing": (b"", {400}),
    "no JSON": (b"\xff\xfe", {400}),
    "a list": (b"[]", {400}),
    "no toolchain": (b"{}", {400}),
    "a number": (b'{"toolchain": 7}', {400}),
    "a way out": (b'{"toolchain": "../../../../etc/passwd"}', {400}),
    "not hex": (json.dumps({"toolchain": "xy" * 32}).encode(), {400}),
    "negative weight": (json.dumps({"toolchain": TOOLCHAIN, "weight": -5}).encode(), {400}),
    "infinite weight": (b'{"toolchain": "' + TOOLCHAIN.encode() + b'", "weight": 1e999}', {400}),
    "deep": (b'{"toolchain": ' + b"[" * 5000 + b"]" * 5000 + b"}", {400}),
    "large": (b'{"toolchain": "' + b"a" * (4 << 20) + b'"}', {400, 413}),
    "many exclusions": (json.dumps({"toolchain": TOOLCHAIN, "without": ["x"] * 300_000}).encode(), {400, 413}),
    "another version": (json.dumps({"toolchain": TOOLCHAIN, "version": 99}).encode(), {426}),
}


@pytest.mark.parametrize("what", BAD_ALLOCATIONS)
def test_bad_body_of_a_client(farm, workers, what):
    """4xx with a sentence, counted, no place taken."""
    body, statuses = BAD_ALLOCATIONS[what]
    before = _refused(farm)
    answer = farm.scheduler.ask(farm.network.host("c1"), "POST", "/api/v2/allocate", body, token=farm.client_token)
    assert answer.status in statuses, answer
    assert isinstance(answer.json["error"], str)
    assert answer.json["error"]
    assert "Traceback" not in answer.json["error"]
    assert farm.status()["in_progress"] == 0
    assert _refused(farm) == before + 1


BAD_HEARTBEATS = {
    "no cores": {"cores": 0},
    "negative slots": {"slots": -1},
    "short key": {"job_key": "AAAA"},
    "no base64": {"job_key": "~" * 43},
    "certificate": {"certificate": "<script>"},
    "another version": {"version": 1},
    "no nonce": {"nonce": None},
}


@pytest.mark.parametrize("what", BAD_HEARTBEATS)
def test_bad_heartbeat(farm, what):
    """4xx, and no such worker."""
    worker = HandMadeWorker(farm, farm.network.host("w3"), 12346)
    known = farm.status()["num_servers"]
    answer = worker.heartbeat(**BAD_HEARTBEATS[what])
    assert answer.status in (400, 426), answer
    assert answer.json["error"]
    assert farm.status()["num_servers"] == known


def test_body_without_an_end(farm):
    """A length of a terabyte is refused before a byte of it comes; a body in pieces is cut off at the limit."""
    client = farm.network.host("c1")
    for length in ("Content-Length: 1099511627776", "Transfer-Encoding: chunked"):
        with wire.connect(client, wire.parse(farm.scheduler.address), tls=False) as sock:
            head = f"POST /api/v2/allocate HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {farm.client_token}\r\n{length}\r\n\r\n"
            sock.sendall(head.encode())
            with contextlib.suppress(OSError):
                while "chunked" in length and not _readable(sock):
                    sock.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1000).split()[1:2] in ([b"413"], [b"400"], [])
    assert farm.status()["in_progress"] == 0


def _readable(sock: socket.socket) -> bool:
    return bool(__import__("select").select([sock], [], [], 0)[0])


def test_idle_connections_do_not_shut_others_out(farm, workers):
    """Two hundred that say half a line and wait."""
    client = farm.network.host("c2")
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            sock = stack.enter_context(wire.connect(client, wire.parse(farm.scheduler.address), tls=False))
            sock.sendall(b"POST /api/v2/allo")
        job = granted(farm, farm.network.host("c1"))
    mine = next(worker for worker in workers if worker.address == job.worker)
    mine.report(Report(mine.nonce, started=(job.job,)))
    mine.report(Report(mine.nonce, finished=(job.job,)))


# -- what everybody may see


def test_nothing_secret_is_shown(farm, workers):
    """Pages, metrics, status and the log at its most talkative hold no token and no key; what workers say is no HTML."""
    evil = "<script>alert(1)</script>"
    workers[0].heartbeat(nonce=evil, toolchains=(evil,))
    workers[0].heartbeat()
    job = granted(farm, farm.network.host("c1"))
    secret = [farm.client_token, farm.secret_key, job.token, job.token.rpartition(".")[2]]
    secret += [text for worker in workers for text in (worker.token, worker.job_key, worker.key.hex())]
    shown = {}
    for path in ("/", "/metrics", "/api/v2/status", "/api/v2/overview", "/api/v1/scheduler/status"):
        answer = farm.scheduler.ask(farm.network.host("c2"), "GET", path)
        assert answer.status == 200, path
        shown[path] = answer
    texts = {path: answer.body.decode() for path, answer in shown.items()} | {"log": farm.scheduler.program.text()}
    for where, text in texts.items():
        assert [it for it in secret if it in text] == [], where
    assert evil not in texts["/"]
    assert "default-src 'none'" in shown["/"].headers["content-security-policy"]
    assert {"num_servers", "num_cpus", "in_progress"} == set(shown["/api/v1/scheduler/status"].json)
    mine = next(worker for worker in workers if worker.address == job.worker)
    mine.report(Report(mine.nonce, started=(job.job,)))
    mine.report(Report(mine.nonce, finished=(job.job,)))


def test_unknown_ways(farm):
    """404 and 405, no word too many."""
    client = farm.network.host("c1")
    for method, path, status in (("GET", "/api/v2/allocate", 405), ("GET", "/../../etc/passwd", 404), ("POST", "/nothing", 404)):
        assert farm.scheduler.ask(client, method, path, token=farm.client_token).status == status
