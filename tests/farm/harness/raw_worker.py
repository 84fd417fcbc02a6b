"""A worker under a scheduler made by hand, which thereby has its key: any token can be signed, any body sent.

Owns: that scheduler, a client that speaks to one worker byte by byte.  Must not know: the product's code but for dist/messages.py.
"""

import base64
import contextlib
import http.server
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.farm.harness import wire
from tests.farm.harness.farm import Farm, Server, until
from tests.farm.harness.network import Host, Network

from sccache.dist.messages import JobHeader, Missing, Result


class HandMadeScheduler:
    """Listens on a host, believes everything, and keeps what workers say."""

    def __init__(self, host: Host) -> None:
        """Workers find it by `url`."""
        self.heartbeats: dict[str, dict[str, Any]] = {}
        """By nonce, the newest."""
        self.reports: list[dict[str, Any]] = []
        self.interval_s = 0.2
        keeper = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = keeper.hear(self.path, body)
                self.send_response(200 if answer else 204)
                if answer:
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A worker that is killed hangs up."""

        self._server = Listener((host.address, 0), Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = host.socket()
        self._server.server_bind()
        self._server.server_activate()
        self.url = f"http://{host.address}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def hear(self, path: str, body: dict[str, Any]) -> bytes:
        """Keep it; the answer to a heartbeat."""
        if path.endswith("/heartbeat"):
            is_new = body["nonce"] not in self.heartbeats
            self.heartbeats[body["nonce"]] = body
            return json.dumps({"is_new": is_new, "interval_s": self.interval_s}).encode()
        self.reports.append(body)
        return b""

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class RawWorker:
    """One worker, what it told the scheduler, and requests to it."""

    def __init__(self, farm: Farm, server: Server, scheduler: HandMadeScheduler, client: Host) -> None:
        """Starts it, and waits until it is heard of."""
        self.farm, self.server, self.scheduler, self.client = farm, server, scheduler, client
        known = set(scheduler.heartbeats)
        server.program.start()
        until(lambda: not server.program.is_running or set(scheduler.heartbeats) - known, "the worker is heard of", server.program.log)
        assert server.program.is_running, server.program.text()[-3000:]
        (self.nonce,) = set(scheduler.heartbeats) - known
        text = scheduler.heartbeats[self.nonce]["job_key"]
        self.key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    def claims(self, job: str, toolchain: str, /, **changes: object) -> dict[str, object]:
        """Those of a good token."""
        good: dict[str, object] = {
            "job": job, "worker": self.server.address, "toolchain": toolchain, "exp": int(time.time()) + 300, "aud": "worker",
        }  # fmt: skip
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, job: str, toolchain: str, /, **changes: object) -> str:
        """A token, with claims changed, or left out by None."""
        return wire.token(self.key, self.claims(job, toolchain, **changes))

    def run(self, job: str, token: str | None, body: bytes, **how: Any) -> wire.Answer:
        """POST a job."""
        given = {"tls": True, "token": token, "headers": {"Content-Type": "application/octet-stream"}, **how}
        return self.server.ask(self.client, "POST", f"/api/v2/jobs/{job}/run", body, **given)

    def put(self, toolchain: str, token: str | None, data: bytes) -> wire.Answer:
        """PUT a toolchain."""
        headers = {"Content-Type": "application/octet-stream"}
        return self.server.ask(self.client, "PUT", f"/api/v2/toolchains/{toolchain}", data, tls=True, token=token, headers=headers)

    def upload(self, data: bytes) -> str:
        """An honest upload; the toolchain's id."""
        toolchain = wire.digest(data).hex()
        answer = self.put(toolchain, self.token(new_job(), toolchain), data)
        assert answer.status == 204, answer
        return toolchain

    def finish(self, header: JobHeader, contents: Mapping[bytes, bytes] | Sequence[bytes] = ()) -> wire.Ran:
        """Run an honest job to its end, with the contents of its files."""
        job = new_job()
        given = contents if isinstance(contents, Mapping) else {wire.digest(data): data for data in contents}
        token = self.token(job, header.toolchain)
        for _ in range(3):
            sent = b"".join(given[one] for one in header.sent)
            answer = self.run(job, token, wire.packed(header, sent))
            assert answer.status == 200, answer
            ran = wire.unpacked(answer.body)
            if not isinstance(ran.answer, Missing):
                return ran
            assert not ran.answer.toolchain, "the toolchain is not there"
            header = JobHeader(**{**{name: getattr(header, name) for name in header.__struct_fields__}, "sent": ran.answer.contents})
        raise AssertionError("it asks for the same contents again and again")

    def shell(self, toolchain: str, script: str, contents: Sequence[bytes] = (), **more: Any) -> tuple[Result, Mapping[bytes, bytes]]:
        """What a script came to."""
        ran = self.finish(wire.shell_job(toolchain, script, **more), contents)
        assert isinstance(ran.answer, Result), ran
        return ran.answer, ran.outputs

    def opening(self, method: str, path: str, token: str, length: str) -> bytes:
        """The head of a request whose body follows by hand; `length` is a whole header line."""
        return f"{method} /api/v2/{path} HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {token}\r\n{length}\r\n\r\n".encode()

    def refused(self) -> float:
        """How many requests it says it has refused."""
        return sum(value for name, value in self.farm.metrics(self.server).items() if "refused" in name)

    def running(self) -> int:
        """How many jobs it has."""
        found: int = self.farm.ask_status(self.server)["in_progress"]
        return found


def new_job() -> str:
    """A job's name."""
    return secrets.token_hex(16)


@contextlib.contextmanager
def lone_worker(network: Network, command: Path, name: str = "w1", *, is_ordinary: bool = False, **made: Any) -> Iterator[RawWorker]:
    """A worker on host `name`, made as Farm.add_worker is told by `made`, under a scheduler of its own."""
    scheduler = HandMadeScheduler(network.host("s"))
    farm = Farm(network, command, is_ordinary=is_ordinary, scheduler_url=scheduler.url)
    server = farm.add_worker(name, **made)
    try:
        yield RawWorker(farm, server, scheduler, network.host("c1"))
    finally:
        server.program.kill()
        scheduler.close()
