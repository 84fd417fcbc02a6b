"""How a worker ends, with jobs running: told to, told twice, killed; and how it ends jobs that take too long.  In each of its sandboxes.

Nothing is left of a job: no process, no mount, no directory.
"""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.farm.harness import wire
from tests.farm.harness.farm import Farm, Server, until
from tests.farm.harness.network import Network
from tests.farm.harness.raw_worker import HandMadeScheduler, RawWorker, new_job

from sccache.dist.messages import Failed, Result

SECONDS = 2
"""What a job may take of the workers that are told so."""
SLEEPER = "10123"
ENDLESS = f"sleep {SLEEPER} & (sleep {SLEEPER} & sleep {SLEEPER}) & exec sleep {SLEEPER}"


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], dict[str, str]]]:
    """Starts a docker daemon when it is asked for, and gives the variables by which it is found."""
    place = tmp_path_factory.mktemp("docker")
    started: list[subprocess.Popen[bytes]] = []
    env = {"DOCKER_HOST": f"unix://{place}/sock"}

    def start() -> dict[str, str]:
        if os.geteuid() != 0:
            pytest.skip("needs root to run a docker daemon")
        if not all(shutil.which(program) for program in ("docker", "dockerd", "containerd")):
            pytest.skip("needs docker, which is not installed")
        if not started:
            argv = ["dockerd", "--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid"]
            argv += ["--host", env["DOCKER_HOST"], "--bridge=none", "--iptables=false", "--ip6tables=false"]
            with (place / "log").open("wb") as log:
                started.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

            def is_settled() -> bool:
                return started[0].poll() is not None or not _docker_says(env, "info").returncode

            until(is_settled, "the docker daemon answers", place / "log")
        if started[0].poll() is not None:
            pytest.skip("needs a docker daemon, which does not run here")
        return env

    yield start
    for process in started:
        process.terminate()
        process.wait(60)


def _docker_says(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *words], capture_output=True, check=False, env={**os.environ, **env}, timeout=100)


@dataclasses.dataclass
class Place:
    """Where one worker after the other is started, with the same configuration."""

    farm: Farm
    server: Server
    scheduler: HandMadeScheduler
    network: Network
    docker_env: dict[str, str]

    def start(self) -> tuple[RawWorker, str]:
        """A worker, and the toolchain with a shell that it has."""
        worker = RawWorker(self.farm, self.server, self.scheduler, self.network.host("c1"))
        return worker, worker.upload(wire.shell_toolchain())

    def leftovers(self) -> list[str]:
        """Of jobs: processes, directories, containers, mounts."""
        kept = self.server.folder / "kept"
        found = [f"process {pid}" for pid in sleepers()]
        for place in (kept / "cache" / "trees", kept / "cache" / "spool", kept / "build" / "builds", kept / "cache" / "builds"):
            found += [str(path) for path in place.iterdir()] if place.exists() else []
        found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(kept) in line]
        if self.docker_env:
            found += _docker_says(self.docker_env, "ps", "--all", "--quiet").stdout.decode().split()
        return found


@pytest.fixture(params=["overlay", "rootless", "docker"])
def place(request, any_network: Network, command, docker) -> Iterator[Place]:
    """In each sandbox; each job may take some seconds."""
    builder = request.param
    if builder == "overlay" and os.geteuid() != 0:
        pytest.skip("needs root")
    env = docker() if builder == "docker" else {}
    scheduler = HandMadeScheduler(any_network.host("s"))
    farm = Farm(any_network, command, is_ordinary=builder == "rootless", scheduler_url=scheduler.url)
    server = farm.add_worker("w1", builder=builder, env=env)
    if builder == "docker":
        path = server.folder / "server.conf"
        path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("build_dir")))
    made = Place(farm, server, scheduler, any_network, env)
    try:
        yield made
    finally:
        server.program.kill()
        scheduler.close()
        until(lambda: not sleepers() or builder == "docker", "no process is left")


def sleepers() -> list[str]:
    """Processes of jobs of these tests."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdigit() and (place / "cmdline").read_bytes().split(b"\0")[1:2] == [SLEEPER.encode()]:
                found.append(place.name)
    return found


def _run(worker: RawWorker, shell: str, script: str) -> wire.Answer:
    job = new_job()
    return worker.run(job, worker.token(job, shell), wire.packed(wire.shell_job(shell, script)))


def test_a_job_that_takes_too_long(place: Place) -> None:
    """All its processes are killed, the client is told why, and the next job runs."""
    path = place.server.folder / "server.conf"
    path.write_text(path.read_text().replace("[limits]\n", f"[limits]\nseconds = {SECONDS}\n"))
    worker, shell = place.start()
    answer = wire.unpacked(_run(worker, shell, ENDLESS).body).answer
    assert isinstance(answer, Failed), answer
    assert f"longer than {SECONDS} seconds" in answer.reason
    until(lambda: place.leftovers() == [], "nothing is left of it", place.server.program.log)
    assert worker.shell(shell, "echo fine")[0].stdout == b"fine\n"


def test_told_to_end(place: Place) -> None:
    """It brings to its end what runs, takes nothing new, tells the scheduler, leaves with 0, and nothing is left."""
    worker, shell = place.start()
    with ThreadPoolExecutor() as threads:
        running = threads.submit(_run, worker, shell, "sleep 4; echo done")
        until(lambda: worker.running() == 1, "it runs")
        place.server.program.signal(signal.SIGTERM)
        until(lambda: place.scheduler.heartbeats[worker.nonce]["draining"], "the scheduler is told")
        refused = _run(worker, shell, "echo ran")
        assert refused.status == 503, refused
        assert "about to end" in refused.json["error"]
        answer = wire.unpacked(running.result().body).answer
    assert isinstance(answer, Result), answer
    assert answer.stdout == b"done\n"
    assert place.server.program.wait() == 0, place.server.program.text()[-3000:]
    assert place.scheduler.heartbeats[worker.nonce]["running"] == []
    assert place.leftovers() == []


def test_told_twice(place: Place) -> None:
    """It ends at once: the job's client is cut off, its processes are killed, and nothing is left."""
    worker, shell = place.start()
    with ThreadPoolExecutor() as threads:
        running = threads.submit(_run, worker, shell, ENDLESS)
        until(lambda: len(sleepers()) == 4, "it runs", place.server.program.log)
        place.server.program.signal(signal.SIGTERM)
        until(lambda: place.scheduler.heartbeats[worker.nonce]["draining"], "the first was heard")
        place.server.program.signal(signal.SIGTERM)
        with contextlib.suppress(OSError, wire.http.client.HTTPException):
            assert b"R" not in running.result().body.lstrip(b".")[:1]
    assert place.server.program.wait() == 0, place.server.program.text()[-3000:]
    until(lambda: place.leftovers() == [], "nothing is left", place.server.program.log)


def test_killed(place: Place) -> None:
    """Without a word: its jobs' processes go with it; directories go when the next one starts, which docker's containers do as well."""
    worker, shell = place.start()
    with ThreadPoolExecutor() as threads:
        running = threads.submit(_run, worker, shell, ENDLESS)
        until(lambda: len(sleepers()) == 4, "it runs", place.server.program.log)
        place.server.program.kill()
        with contextlib.suppress(OSError, wire.http.client.HTTPException):
            running.result()
    if not place.docker_env:
        until(lambda: not sleepers(), "its processes are gone")
    worker, shell = place.start()
    until(lambda: place.leftovers() == [], "nothing is left", place.server.program.log)
    assert worker.shell(shell, "echo fine")[0].stdout == b"fine\n"


def test_started_twice(place: Place) -> None:
    """The second one says what is wrong and ends; the first one, with what it runs, does not notice."""
    worker, shell = place.start()
    before = len(place.scheduler.heartbeats)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(_run, worker, shell, "sleep 2; echo done")
        until(lambda: worker.running() == 1, "it runs")
        log = place.server.folder / "second"
        second = dataclasses.replace(place.server.program, log=log, process=None)
        second.start()
        assert second.wait() == 2
        assert "is in use by another worker" in log.read_text()
        answer = wire.unpacked(running.result().body).answer
    assert isinstance(answer, Result), answer
    assert answer.stdout == b"done\n"
    assert worker.shell(shell, "echo fine")[0].stdout == b"fine\n"
    assert len(place.scheduler.heartbeats) == before
