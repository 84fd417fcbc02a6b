"""Whom and what the scheduler refuses: a real server, real connections."""

import asyncio

import msgspec
import pytest
from tests.unit.dist.scheduler_server import (
    BEAT,
    CERTIFICATE,
    CLIENT_TOKEN,
    TOOLCHAIN,
    WORKER_TOKEN,
    Asking,
    Clients,
    Workers,
    with_scheduler,
)

from sccache.dist.messages import Allocate
from sccache.dist.scheduler_http import BODY_S, Shell

# -- who may


@pytest.mark.parametrize(
    ("headers", "challenge", "reason"),
    [
        ({}, "no_bearer_auth", "no_token"),
        ({"Authorization": "Bearer "}, "no_bearer_auth", "no_token"),
        ({"Authorization": "bearer " + CLIENT_TOKEN}, "no_bearer_auth", "no_token"),
        ({"Authorization": "Basic " + CLIENT_TOKEN}, "no_bearer_auth", "no_token"),
        ({"Authorization": "Bearer other"}, "bearer_auth_failed", "bad_token"),
        ({"Authorization": "Bearer " + WORKER_TOKEN}, "bearer_auth_failed", "bad_token"),
    ],
)
def test_clients_need_a_token(headers, challenge, reason):
    """401 with the documented challenge, before the body is read; counted by reason."""

    async def test(it: Asking):
        answer = await it.ask("POST", "/api/v2/allocate", b"{", **headers)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, f'Bearer error="{challenge}"')
        assert isinstance(answer.json["error"], str)
        assert it.refused(reason) == 1

    with_scheduler(test)


def test_a_client_may_ask_whether_its_token_is_good():
    """`--dist-status` does, without taking a place; who shows none is told the numbers too."""

    async def test(it: Asking):
        for headers, status in (({}, 200), ({"Authorization": "Basic eDp5"}, 200), ({"Authorization": "Bearer other"}, 401)):
            assert (await it.ask("GET", "/api/v2/status", **headers)).status == status
        assert (await it.ask("GET", "/api/v2/status", token=CLIENT_TOKEN)).json["num_servers"] == 0
        assert it.refused("bad_token") == 1
        assert it.shell.scheduler.status().in_progress == 0

    with_scheduler(test)


@pytest.mark.parametrize("path", ["/api/v2/heartbeat", "/api/v2/report"])
@pytest.mark.parametrize(
    ("token", "challenge", "reason"),
    [
        (None, "no_bearer_auth", "no_token"),
        (CLIENT_TOKEN, "invalid_jwt", "bad_token"),
        ("worker-secret 127.0.0.2:1", "invalid_bearer_token_mismatched_address", "bad_address"),
    ],
)
def test_workers_need_a_token_of_their_address(path, token, challenge, reason):
    """Another's is none."""

    async def test(it: Asking):
        answer = await it.ask("POST", path, BEAT, token)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, f'Bearer error="{challenge}"')
        assert it.refused(reason) == 1
        assert it.shell.scheduler.status().num_servers == 0

    with_scheduler(test)


@pytest.mark.parametrize(
    ("proxies", "real", "status"),
    [
        (["127.0.0.0/8"], "10.1.2.3", 200),
        (["127.0.0.0/8"], "::ffff:10.1.2.3", 200),
        (["127.0.0.0/8"], "10.1.2.4", 401),
        (["127.0.0.0/8"], "rubbish", 400),
        (["127.0.0.0/8"], "", 400),
        (["10.0.0.0/8"], "10.1.2.3", 401),
        ([], "10.1.2.3", 401),
    ],
)
def test_workers_behind_a_proxy(proxies, real, status):
    """X-Real-IP is believed if a trusted proxy says it, and nobody else."""

    async def test(it: Asking):
        answer = await it.ask("POST", "/api/v2/heartbeat", BEAT, "worker-secret 10.1.2.3:7", X_Real_IP=real)
        assert answer.status == status, answer
        assert list(it.shell.scheduler.fleet.workers) == (["10.1.2.3:7"] if status == 200 else [])

    with_scheduler(test, Shell(Clients(), Workers(), str, proxies))


def test_clients_behind_a_proxy_have_lines_of_their_own():
    """Whoever the proxy names is who is served in turn."""

    async def test(it: Asking):
        await it.heartbeat(slots=0)
        ask = Allocate(TOOLCHAIN, wait_s=9.0)
        for real in ("10.0.0.1", "10.0.0.2"):
            task = asyncio.create_task(it.ask("POST", "/api/v2/allocate", ask, CLIENT_TOKEN, X_Real_IP=real))
            await it.until("sccache_scheduler_waiting", 1)
            assert [waiting.client for waiting in it.shell.scheduler.queue] == [real]
            task.cancel()
            await it.until("sccache_scheduler_waiting", 0)

    with_scheduler(test)


# -- bodies


def changed(value: object, **changes: object) -> bytes:
    return msgspec.json.encode({**msgspec.to_builtins(value), **changes})


ASKED = Allocate(TOOLCHAIN)
BAD = {
    "/api/v2/allocate": [
        b"", b"\xff", b"[]", b"{}", b"null", b'"x"', b'{"toolchain": ' + b"[" * 6000,
        changed(ASKED, toolchain="AB" * 32), changed(ASKED, toolchain="ab" * 31), changed(ASKED, toolchain=TOOLCHAIN + "\n"),
        changed(ASKED, toolchain="../" * 22 + "ab" * 11), changed(ASKED, weight=0), changed(ASKED, weight=-1), changed(ASKED, weight=1e9),
        b'{"toolchain": "' + TOOLCHAIN.encode() + b'", "weight": 1e999}', b'{"toolchain": "' + TOOLCHAIN.encode() + b'", "weight": NaN}',
        changed(ASKED, weight=None), changed(ASKED, wait_s=-1), changed(ASKED, wait_s="long"),
        changed(ASKED, without=["1.1.1.1:1"] * 65), changed(ASKED, without=["<b>"]), changed(ASKED, without="1.1.1.1:1"),
    ],
    "/api/v2/heartbeat": [
        b"{}", changed(BEAT, nonce=""), changed(BEAT, nonce="n" * 129), changed(BEAT, nonce="a b"), changed(BEAT, nonce=None),
        changed(BEAT, cores=0), changed(BEAT, cores=-1), changed(BEAT, cores=10**30), changed(BEAT, cores=2.5), changed(BEAT, slots=-1),
        changed(BEAT, slots=1 << 20), changed(BEAT, job_key=""), changed(BEAT, job_key="A" * 42), changed(BEAT, job_key="~" * 43),
        changed(BEAT, job_key="A" * 44), changed(BEAT, job_key="\xe9" * 43), changed(BEAT, certificate="x" * 64),
        changed(BEAT, certificate=CERTIFICATE + "00"), changed(BEAT, running=["x"]), changed(BEAT, running=["AB" * 16]),
        changed(BEAT, toolchains=["<script>"]), changed(BEAT, toolchains=TOOLCHAIN), changed(BEAT, draining="yes"),
    ],
    "/api/v2/report": [b"{}", b"7", b'{"nonce": "n", "started": ["x"]}', b'{"nonce": "n", "finished": [7]}'],
}  # fmt: skip


@pytest.mark.parametrize(("path", "body"), [(path, body) for path, bodies in BAD.items() for body in bodies])
def test_bad_bodies(path, body):
    """400 with a sentence in which no part of Python speaks; counted, nothing changes."""

    async def test(it: Asking):
        await it.heartbeat("127.0.0.1:2")
        answer = await it.ask("POST", path, body, CLIENT_TOKEN if "allocate" in path else WORKER_TOKEN)
        assert answer.status == 400, answer
        assert "Traceback" not in answer.json["error"]
        assert it.refused("bad_body") == 1
        status = it.shell.scheduler.status()
        assert (status.num_servers, status.in_progress, status.waiting) == (1, 0, 0)

    with_scheduler(test)


@pytest.mark.parametrize("body", [changed(ASKED, version=3), b'{"version": 1, "all": "different"}'])
def test_another_version(body):
    """426, whatever else the other version's body may look like."""

    async def test(it: Asking):
        answer = await it.ask("POST", "/api/v2/allocate", body, CLIENT_TOKEN)
        assert answer.status == 426
        assert "version" in answer.json["error"]
        assert it.refused("version") == 1

    with_scheduler(test)


def test_too_long_bodies():
    """Refused by the length that is announced, and else as soon as it is too much; the server does not read on."""

    async def test(it: Asking):
        answer = await it.ask("POST", "/api/v2/allocate", bytes(1 << 20), CLIENT_TOKEN)
        assert answer.status == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        head = f"POST /api/v2/allocate HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {CLIENT_TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + b"8000\r\n" + bytes(0x8000) + b"\r\n")
        assert (await reader.readline()).split()[1] == b"413"
        writer.close()
        assert it.refused("too_large") == 2

    with_scheduler(test)


def test_a_body_that_does_not_come(monkeypatch):
    """408, instead of a request that stays for ever."""
    assert BODY_S <= 30
    monkeypatch.setattr("sccache.dist.scheduler_http.BODY_S", 0.01)

    async def test(it: Asking):
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        head = f"POST /api/v2/allocate HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {CLIENT_TOKEN}\r\nContent-Length: 9\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.readline()).split()[1] == b"408"
        writer.close()

    with_scheduler(test)


def test_compressed_bodies_are_not_unpacked():
    """No bomb."""

    async def test(it: Asking):
        answer = await it.ask("POST", "/api/v2/allocate", b"\x1f\x8b\x08" + bytes(20), CLIENT_TOKEN, Content_Encoding="gzip")
        assert answer.status == 400

    with_scheduler(test)


def test_unknown_paths_and_methods():
    """404 and 405 in JSON too."""

    async def test(it: Asking):
        assert (await it.ask("GET", "/nothing")).status == 404
        answer = await it.ask("GET", "/api/v2/allocate")
        assert (answer.status, answer.json) == (405, {"error": "Method Not Allowed"})
        assert it.refused("no_such_path") == 2

    with_scheduler(test)


def test_a_defect_is_no_secret_and_no_end(caplog):
    """500 without what it is; the log has it; the next request is answered."""

    class Broken(Clients):
        async def check(self, token: str) -> None:
            raise ZeroDivisionError("the details" + token[:0])

    async def test(it: Asking):
        answer = await it.ask("POST", "/api/v2/allocate", ASKED, CLIENT_TOKEN)
        assert answer.status == 500
        assert "details" not in answer.body.decode()
        assert "the details" in caplog.text
        assert (await it.ask("GET", "/api/v2/status")).status == 200

    with_scheduler(test, Shell(Broken(), Workers(), str))
