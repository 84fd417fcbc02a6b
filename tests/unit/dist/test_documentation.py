"""docs/dist.md: what it says to write into files is understood, what it says to type exists, and what there is to set is in it."""

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest

from sccache.config.load import load as load_config
from sccache.dist import config, scheduler_http, worker_counts
from sccache.dist.cli import _parser

PAGE = (Path(__file__).parents[3] / "docs" / "dist.md").read_text()
KEY = "A" * 43


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_file_is_understood(tmp_path: Path) -> None:
    """Each block is one of a scheduler, of a worker or of a client."""
    seen = set()
    for block in blocks("toml"):
        text = block.replace("THE SCHEDULER'S KEY", KEY)
        document = tomllib.loads(text)
        path = tmp_path / "conf"
        path.write_text(text)
        if "client_auth" in document:
            config.load_scheduler(str(path))
            seen.add("scheduler")
        elif "scheduler_auth" in document:
            config.load_worker(str(path))
            seen.add("worker")
        else:
            found = load_config({"HOME": str(tmp_path), "SCCACHE_CONF": str(path)})
            assert found.dist.scheduler_url
            seen.add("client")
    assert seen == {"scheduler", "worker", "client"}


def test_every_command_exists() -> None:
    """With these options."""
    lines = [line for text in blocks("sh") for line in text.splitlines() if line.startswith("sccache-dist")]
    assert len(lines) >= 5
    for line in lines:
        _parser().parse_args(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize("kind", [config.SchedulerConfig, config.WorkerConfig])
def test_every_field_is_there(kind: type[msgspec.Struct]) -> None:
    """In the tables, with the fields of its tables."""
    tables = PAGE.partition("## All settings")[2].partition("\n## ")[0]
    for field in msgspec.structs.fields(kind):
        assert f"| `{field.name}` |" in tables
    for auth in (*config.ClientAuth.__args__, *config.ServerAuth.__args__, *config.SchedulerAuth.__args__):
        assert f"`{auth.__struct_config__.tag}`" in tables
        assert all(f"`{field.name}`" in tables for field in msgspec.structs.fields(auth))


def test_metrics_that_are_named_exist() -> None:
    """For an alert that never comes is worse than none."""
    known = {family.name for family in (*scheduler_http.FAMILIES, *worker_counts.FAMILIES)}
    named = set(re.findall(r"sccache_(?:scheduler|worker)_[a-z_]+", PAGE))
    assert named <= known
    assert all(reason in worker_counts.REASONS for reason in re.findall(r'reason="(\w+)"', PAGE))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("index", [0, 1])
def test_units_are_understood(tmp_path: Path, index: int) -> None:
    """By systemd itself."""
    path = tmp_path / f"sccache-{index}.service"
    path.write_text(blocks("ini")[index].replace("/usr/local/bin/sccache-dist", "/bin/true"))
    ran = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_proxy_is_understood(tmp_path: Path) -> None:
    """By nginx itself."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    pem = tmp_path / "pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=scheduler.example"]
    subprocess.run([*argv, "-keyout", str(pem), "-out", str(tmp_path / "cert")], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "cert").read_text())
    (server,) = blocks("nginx")
    server = re.sub(r"/etc/ssl/scheduler\.\w+", str(pem), server)
    (tmp_path / "conf").write_text(f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {server} }}")
    ran = subprocess.run([nginx, "-t", "-q", "-e", str(tmp_path / "log"), "-c", str(tmp_path / "conf")], capture_output=True, check=False)
    assert ran.returncode == 0, (tmp_path / "log").read_text()
