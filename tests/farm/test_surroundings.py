"""Farms set up in other ways: behind a TLS proxy, by an ordinary user without root, with little disk, with wrong tokens, by login."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.farm.harness.farm import Client, Farm, Program, until
from tests.farm.harness.impostor import certificate
from tests.farm.harness.network import Network, loopback
from tests.farm.harness.units import Units, differing
from tests.servers.process import free_port

NGINX = """
daemon off; error_log {folder}/error.log; pid {folder}/pid;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen {address}:{port} ssl; ssl_certificate {pem}; ssl_certificate_key {pem};
        location / {{ proxy_pass http://{scheduler}; proxy_set_header X-Real-IP $remote_addr; proxy_read_timeout 100s; }}
    }}
}}
"""


def _works(farm: Farm, client: Client, name: str, count: int = 4) -> Units:
    """Units come from workers, as compiled here."""
    units = Units(farm.network.folder / name, count)
    plain = units.build(client, cached=False)
    assert differing(plain, units.build(client, cached=True)) == {}
    counted = client.counted()
    assert counted.errors == 0, (counted, client.log()[-4000:])
    assert counted.remote > 0, client.log()[-4000:]
    return units


def test_behind_a_tls_proxy(any_network: Network, command):
    """Clients and workers reach the scheduler by HTTPS; the worker's address is what the proxy says, and only the proxy is believed."""
    if shutil.which("nginx", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("needs nginx, which is not installed")
    farm = Farm(any_network, command)
    host = any_network.host("s")
    folder = any_network.folder / "nginx"
    folder.mkdir()
    pem, _ = certificate(folder, host.address)
    port = 443 if any_network.is_real else free_port()
    farm.scheduler_url = f"https://{host.address}:{port}"
    scheduler = farm.add_scheduler(listens="127.0.0.1")
    (folder / "conf").write_text(NGINX.format(folder=folder, address=host.address, port=port, pem=pem, scheduler=scheduler.address))
    proxy = Program(host, ["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/conf"], folder / "log", {"PATH": "/usr/sbin:/usr/bin"})
    trust = {"SSL_CERT_FILE": str(pem)}
    farm.add_worker("w1", env=trust)
    client = farm.add_client("c1", env=trust)
    distrusting = farm.add_client("c2", env={"SSL_CERT_FILE": "/dev/null"})
    proxy.start()
    try:
        farm.start()
        _works(farm, client, "tls")
        units = Units(farm.network.folder / "tls-2", 2)
        plain = units.build(distrusting, cached=False)
        assert differing(plain, units.build(distrusting, cached=True)) == {}
        assert distrusting.counted().remote == 0
    finally:
        proxy.kill()
        farm.close()


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Iterator[Network]:
    """Loopback, in a folder of its own."""
    folder = Path(f"/tmp/sf-{os.getpid()}-here")
    folder.mkdir()
    with loopback(("s", "w1", "w2", "c1"), folder) as made:
        yield made


def test_ordinary_user_on_loopback(here, command):
    """No root anywhere, no namespaces of ours: scheduler, worker with user namespaces, client, all as nobody in particular."""
    farm = Farm(here, command, is_ordinary=True)
    try:
        farm.add_scheduler()
        farm.add_worker("w1")
        client = farm.add_client("c1")
        farm.start()
        units = _works(farm, client, "ordinary", 6)
        assert units.names
        said = json.loads(client.run([client.command, "--dist-status"]).stdout)
        assert "SchedulerStatus" in said, said
    finally:
        farm.close()


def test_wrong_token_of_the_client(network: Network, command):
    """Builds go on locally, and --dist-status says why."""
    farm = Farm(network, command)
    try:
        farm.add_scheduler()
        farm.add_worker("w1")
        client = farm.add_client("c1", token="wrong")
        farm.start()
        units = Units(farm.network.folder / "refused", 2)
        plain = units.build(client, cached=False)
        assert differing(plain, units.build(client, cached=True)) == {}
        counted = client.counted()
        assert counted.remote == 0
        assert counted.errors > 0, client.log()[-3000:]
        assert farm.client_token not in client.log()
    finally:
        farm.close()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def test_disk_of_a_worker_fills_up(network: Network, command):
    """No space left: the build finishes locally and says so in its counters; with space again the worker compiles again."""
    farm = Farm(network, command)
    try:
        farm.add_scheduler()
        worker = farm.add_worker("w1", space="700m")
        client = farm.add_client("c1")
        farm.start()
        _works(farm, client, "full")
        pid = worker.program.process.pid
        filler = Path(f"/proc/{pid}/root{worker.folder}/kept/filler")
        with pytest.raises(OSError, match="No space"):
            _fill(filler)
        units = Units(farm.network.folder / "full-2", 4)
        plain = units.build(client, cached=False)
        client.forget()
        assert differing(plain, units.build(client, cached=True)) == {}
        counted = client.counted()
        assert counted.errors > 0, (counted, worker.program.text()[-3000:])
        assert worker.program.is_running
        filler.unlink()
        client.forget()
        assert differing(plain, units.build(client, cached=True)) == {}
        assert client.counted().remote > 0, (client.log()[-2000:], worker.program.text()[-3000:])
    finally:
        farm.close()


def test_disk_too_small_for_the_toolchain(network: Network, command):
    """It never fits: local builds, a worker that lives, nothing left on its disk."""
    farm = Farm(network, command)
    try:
        farm.add_scheduler()
        worker = farm.add_worker("w1", space="20m")
        client = farm.add_client("c1")
        farm.start()
        units = Units(farm.network.folder / "small", 3)
        plain = units.build(client, cached=False)
        assert differing(plain, units.build(client, cached=True)) == {}
        counted = client.counted()
        assert counted.remote == 0
        assert counted.errors > 0
        kept = Path(f"/proc/{worker.program.process.pid}/root{worker.folder}/kept")
        until(lambda: os.statvfs(kept).f_bavail * os.statvfs(kept).f_frsize > 15 << 20, "what did not fit is gone", worker.program.log)
    finally:
        farm.close()
