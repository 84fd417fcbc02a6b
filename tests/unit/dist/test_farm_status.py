"""--dist-status: what scripts parse is sccache's, and a person reads what is wrong."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from sccache import cli
from sccache.config.load import load as load_config
from sccache.config.schema import Config
from sccache.dist import farm_status, kept_tokens

STATUS = {"num_servers": 3, "num_cpus": 48, "in_progress": 7}


class Scheduler:
    """Answers as a test wants."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Callable[[], web.StreamResponse] = lambda: web.json_response(STATUS)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.waits = asyncio.Event()
        self.is_silent = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path, dict(request.headers)))
        if self.is_silent:
            await self.waits.wait()
        return self.answer()


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    it = Scheduler()
    loop, stop, started = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", it.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        it.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        started.set()
        await stop.wait()
        it.waits.set()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait()
    yield it
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def configured(folder: Path, url: str, auth: str = "") -> Config:
    (folder / "config").write_text(f'[dist]\nscheduler_url = "{url}"\n{auth}')
    return load_config({"HOME": str(folder), "SCCACHE_CONF": str(folder / "config"), "SCCACHE_CACHED_CONF": str(folder / "kept")})


def test_off(tmp_path: Path) -> None:
    """No scheduler, no question."""
    config = load_config({"HOME": str(tmp_path), "SCCACHE_CONF": str(tmp_path / "none")})
    assert farm_status.ask(config).line() == '{"Disabled":"disabled"}'


def test_a_scheduler_that_answers(tmp_path: Path, scheduler: Scheduler) -> None:
    """Its numbers; more that it says does not disturb."""
    scheduler.answer = lambda: web.json_response({**STATUS, "waiting": 1, "version": 9})
    told = farm_status.ask(configured(tmp_path, scheduler.url))
    assert told.line() == f'{{"SchedulerStatus":["{scheduler.url}",{{"num_servers":3,"num_cpus":48,"in_progress":7}}]}}'
    assert told.reason == ""
    assert [path for path, _ in scheduler.seen] == ["/api/v1/scheduler/status", "/api/v2/status"]
    assert "Authorization" not in scheduler.seen[0][1]
    assert scheduler.seen[1][1]["Authorization"] == "Bearer dangerously_insecure_client"


def test_a_token_that_is_refused(tmp_path: Path, scheduler: Scheduler) -> None:
    """Scripts read the scheduler's numbers all the same; a person is told why nothing is distributed."""
    answers = [web.json_response(STATUS), web.json_response({"error": "no"}, status=401)]
    scheduler.answer = lambda: answers.pop(0)
    told = farm_status.ask(configured(tmp_path, scheduler.url))
    assert told.answer == {"SchedulerStatus": [scheduler.url, STATUS]}
    assert "refuses the token (401): compiles are not distributed." in told.reason


def test_not_logged_in(tmp_path: Path, scheduler: Scheduler) -> None:
    """The sentence says what to do; after a login it is not said any more."""
    auth = '[dist.auth]\ntype = "oauth2_implicit"\nclient_id = "c"\nauth_url = "https://login.example"\n'
    config = configured(tmp_path, scheduler.url, auth)
    told = farm_status.ask(config)
    assert json.loads(told.line()) == {"NotConnected": [scheduler.url, "enabled, auth not configured"]}
    assert "sccache --dist-auth" in told.reason
    assert scheduler.seen == []
    kept_tokens.save(config.cached_conf, "https://login.example", "t0ken")
    assert "SchedulerStatus" in farm_status.ask(config).answer


ANSWERS: dict[str, Callable[[], web.StreamResponse]] = {
    "an error": lambda: web.json_response({"error": "no"}, status=500),
    "a redirect": lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    "a web page": lambda: web.Response(text="<html>"),
    "another JSON": lambda: web.json_response({"num_servers": "many"}),
    "an endless one": lambda: web.Response(body=b" " * (1 << 20)),
    "a deep one": lambda: web.Response(text="[" * 60_000),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_something_else_answers(tmp_path: Path, scheduler: Scheduler, name: str) -> None:
    """That is no scheduler."""
    scheduler.answer = ANSWERS[name]
    told = farm_status.ask(configured(tmp_path, scheduler.url))
    assert told.answer == {"NotConnected": [scheduler.url, "could not communicate with scheduler"]}
    assert scheduler.url.rstrip("/") in told.reason


def test_nothing_answers(tmp_path: Path, scheduler: Scheduler) -> None:
    """Not there, or silent: the command ends."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, and nobody listens
        told = farm_status.ask(configured(tmp_path, f"http://127.0.0.1:{sock.getsockname()[1]}"))
    assert "NotConnected" in told.answer
    assert "cannot be reached: Connection refused" in told.reason
    scheduler.is_silent = True
    told = farm_status.ask(configured(tmp_path, scheduler.url), deadline_s=0.2)
    assert told.answer == {"NotConnected": [scheduler.url, "could not communicate with scheduler"]}
    assert "does not answer within 0.2 seconds" in told.reason


def test_not_https(tmp_path: Path, scheduler: Scheduler) -> None:
    """A scheduler without TLS under an https address."""
    told = farm_status.ask(configured(tmp_path, scheduler.url.replace("http:", "https:")))
    assert "NotConnected" in told.answer
    assert "cannot be trusted: it does not speak TLS" in told.reason


def test_the_command(tmp_path: Path, scheduler: Scheduler, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON alone on standard output, whatever is wrong; the exit code is 0."""
    configured(tmp_path, scheduler.url)
    monkeypatch.setenv("SCCACHE_CONF", str(tmp_path / "config"))
    assert cli.main(["--dist-status"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"SchedulerStatus": [scheduler.url, STATUS]}
    scheduler.answer = lambda: web.Response(status=500)
    assert cli.main(["--dist-status"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"NotConnected": [scheduler.url, "could not communicate with scheduler"]}
    assert captured.err == f"sccache: The scheduler {scheduler.url.rstrip('/')} answers 500.\n"
