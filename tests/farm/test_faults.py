"""A farm in which things break while it compiles: the build finishes, everything equals the plain compiler's, and the counters tell.

One farm for all; each test leaves it whole.
"""

import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest
from tests.farm.harness.farm import Client, Farm, until
from tests.farm.harness.units import Built, Units, differing

JOBS = 6


@pytest.fixture
def client(farm: Farm) -> Iterator[Client]:
    """The first user's machine with an empty cache; afterwards everything is mended."""
    made = farm.clients["c1"]
    farm.start()
    made.forget()
    yield made
    for worker in farm.workers.values():
        if worker.program.is_running:
            worker.program.signal(signal.SIGCONT)
    for name in ("s", *farm.workers, *farm.clients):
        farm.network.cable(name).mend()
        farm.network.cable(name).full_speed()
    farm.start()


@pytest.fixture(scope="module")
def slow(farm: Farm) -> Units:
    """Units that take some seconds each."""
    return Units(farm.network.folder / "slow", JOBS, work=15)


@pytest.fixture(scope="module")
def slow_plain(farm: Farm, slow: Units) -> dict[str, Built]:
    return slow.build(farm.clients["c1"], cached=False)


@pytest.fixture(scope="module")
def quick(farm: Farm) -> Units:
    """Units of some tenths of a second."""
    return Units(farm.network.folder / "quick", JOBS)


@pytest.fixture(scope="module")
def quick_plain(farm: Farm, quick: Units) -> dict[str, Built]:
    return quick.build(farm.clients["c1"], cached=False)


@pytest.fixture
def warmed(farm: Farm, client: Client, quick: Units, quick_plain: dict[str, Built]) -> Client:
    """Some workers have the toolchain already, so that what is broken breaks jobs and not uploads."""
    assert differing(quick_plain, quick.build(client, cached=True, jobs=JOBS)) == {}
    client.forget()
    return client


def _busy(farm: Farm, count: int = 1) -> list[str]:
    """Workers with jobs, once there are so many."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [name for name, worker in farm.workers.items() if worker.program.is_running and farm.running(name)]
        return len(found) >= count

    until(look, f"{count} workers have jobs", farm.clients["c1"].home / "log")
    return found


def test_nothing_breaks(farm, client, quick, quick_plain):
    """The rule that exceptions are measured against: all from workers or local cores, no error."""
    assert differing(quick_plain, quick.build(client, cached=True, jobs=JOBS)) == {}
    counted = client.counted()
    assert counted.errors == 0, (counted, client.log()[-4000:])
    assert counted.remote > 0
    assert set(counted.compiles) <= {worker.address for worker in farm.workers.values()}


def test_worker_is_killed(farm, warmed, slow, slow_plain):
    """kill -9 with jobs on it: they are done elsewhere, at once."""
    running = slow.start(warmed, cached=True, jobs=JOBS)
    name = _busy(farm)[0]
    farm.workers[name].program.kill()
    assert differing(slow_plain, running.results()) == {}
    counted = warmed.counted()
    assert counted.requests == JOBS
    assert counted.remote + counted.errors > 0, counted


def test_worker_hangs_and_another_is_cut_off(farm, warmed, slow, slow_plain):
    """Neither says good-bye: no sign of life is enough to go elsewhere."""
    running = slow.start(warmed, cached=True, jobs=JOBS)
    stopped, cut = _busy(farm, 2)[:2]
    farm.workers[stopped].program.signal(signal.SIGSTOP)
    farm.network.cable(cut).cut()
    assert differing(slow_plain, running.results()) == {}
    assert warmed.counted().requests == JOBS


def test_worker_sleeps_and_wakes_up(farm, warmed, slow, slow_plain, quick, quick_plain):
    """Its jobs are done elsewhere meanwhile; nobody wants its answers any more, and it is used as before."""
    running = slow.start(warmed, cached=True, jobs=JOBS)
    name = _busy(farm)[0]
    farm.workers[name].program.signal(signal.SIGSTOP)
    assert differing(slow_plain, running.results()) == {}
    farm.workers[name].program.signal(signal.SIGCONT)
    until(lambda: farm.running(name) == 0, "it has nothing to do", farm.workers[name].program.log)
    until(lambda: farm.status()["num_servers"] == len(farm.workers), "the scheduler knows that it is back")
    warmed.forget()
    assert differing(quick_plain, quick.build(warmed, cached=True, jobs=JOBS)) == {}
    assert warmed.counted().errors == 0, warmed.log()[-3000:]


def test_client_is_cut_off(farm, warmed, slow, slow_plain):
    """Its own cable is pulled with jobs away: all is done here, and workers do not work for it for ever."""
    running = slow.start(warmed, cached=True, jobs=JOBS)
    _busy(farm)
    farm.network.cable("c1").cut()
    assert differing(slow_plain, running.results()) == {}
    until(lambda: sum(farm.running(name) for name in farm.workers) == 0, "workers have nothing to do")
    until(lambda: farm.status()["in_progress"] == 0, "the scheduler knows")


def test_scheduler_is_killed_and_returns(farm, warmed, slow, slow_plain):
    """Jobs that workers run are not lost; the new scheduler learns of them from the workers, and gives new ones."""
    running = slow.start(warmed, cached=True, jobs=JOBS)
    _busy(farm, 2)
    farm.scheduler.program.kill()
    farm.start()
    assert differing(slow_plain, running.results()) == {}
    counted = warmed.counted()
    assert counted.remote >= 2, counted
    until(lambda: farm.status()["in_progress"] == 0, "the scheduler knows of no job any more", farm.scheduler.program.log)


def test_scheduler_is_away(farm, warmed, quick, quick_plain):
    """Everything is compiled locally; nobody waits for it long, as the connection is refused."""
    farm.scheduler.program.kill()
    assert differing(quick_plain, quick.build(warmed, cached=True, jobs=JOBS)) == {}
    assert warmed.counted().remote == 0


def test_scheduler_is_cut_off(farm, warmed, quick, quick_plain):
    """Packets vanish: the same."""
    farm.network.cable("s").cut()
    assert differing(quick_plain, quick.build(warmed, cached=True, jobs=JOBS)) == {}
    assert warmed.counted().remote == 0


def test_worker_is_asked_to_end(farm, warmed, slow, slow_plain):
    """SIGTERM: it finishes what it has, takes nothing new, and ends well; nobody notices."""
    running = slow.start(warmed, cached=True, jobs=JOBS)
    name = _busy(farm)[0]
    farm.workers[name].program.signal(signal.SIGTERM)
    assert farm.workers[name].program.wait() == 0, farm.workers[name].program.text()[-3000:]
    assert differing(slow_plain, running.results()) == {}
    counted = warmed.counted()
    assert counted.errors == 0, (counted, warmed.log()[-3000:])
    assert farm.workers[name].address in counted.compiles
    until(lambda: farm.status()["num_servers"] == 2, "the scheduler knows that it left")


def test_worker_begins_a_new_life(farm, warmed, quick, quick_plain):
    """Killed and started again between builds, with another certificate and key: it is used as before."""
    before = {name: worker.program.process.pid for name, worker in farm.workers.items()}
    for worker in farm.workers.values():
        worker.program.kill()
    farm.start()
    assert before != {name: worker.program.process.pid for name, worker in farm.workers.items()}
    assert differing(quick_plain, quick.build(warmed, cached=True, jobs=JOBS)) == {}
    assert warmed.counted().remote > 0, warmed.log()[-3000:]


def test_client_is_killed(farm, warmed, slow):
    """Its daemon dies with jobs away: workers stop working for nobody."""
    running = slow.start(warmed, cached=True, jobs=2, names=slow.names[:2])
    _busy(farm)
    daemon = _daemon(warmed)
    os.kill(daemon, signal.SIGKILL)
    running.results()
    until(lambda: sum(farm.running(name) for name in farm.workers) == 0, "workers have nothing to do")
    until(lambda: farm.status()["in_progress"] == 0, "the scheduler knows")


def _daemon(client: Client) -> int:
    """Who listens at the client's socket."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(client.env["SCCACHE_SERVER_UDS"])
        pid: int = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return pid


def test_slow_link(farm, client, quick, quick_plain):
    """A client behind 30 Mbit/s with a toolchain to upload: it takes its time, and nothing fails for that."""
    farm.network.cable("c1").slow("30mbit")
    subprocess.run(["rm", "-rf", *(str(worker.folder / "kept" / "cache") for worker in farm.workers.values())], check=True, timeout=60)
    for worker in farm.workers.values():
        worker.program.kill()
    farm.start()
    assert differing(quick_plain, quick.build(client, cached=True, jobs=2)) == {}
    assert client.counted().errors == 0, client.log()[-3000:]


def test_full_house(farm, warmed, farm_slots, quick, quick_plain):
    """More jobs than places: they wait or are done locally; no compile is rejected."""
    many = Units(farm.network.folder / "many", 3 * farm_slots)
    plain = many.build(farm.clients["c2"], cached=False)
    farm.clients["c2"].forget()
    running = quick.start(warmed, cached=True, jobs=JOBS)
    assert differing(plain, many.build(farm.clients["c2"], cached=True, jobs=2 * farm_slots)) == {}
    assert differing(quick_plain, running.results()) == {}
    assert warmed.counted().errors == farm.clients["c2"].counted().errors == 0


@pytest.fixture
def farm_slots(farm: Farm) -> int:
    """How many jobs the farm takes at a time."""
    found: int = farm.status()["num_cpus"]
    return min(found, 16)
