"""Builds in containers, with a real docker daemon of the tests' own: it has no network and ends with them."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.dist.test_bubblewrap import World, probe  # noqa: F401 -- a fixture

from sccache.dist.sandbox.base import Bind, Limits, SandboxError
from sccache.dist.sandbox.bubblewrap import ENTER
from sccache.dist.sandbox.docker import Docker

READY_S = 30.0


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The docker client of this process speaks with it."""
    if os.geteuid() != 0:
        pytest.skip("needs root to run a docker daemon")
    if not all(shutil.which(program) for program in ("docker", "dockerd", "containerd")):
        pytest.skip("needs docker, which is not installed")
    if not os.access(ENTER, os.X_OK):
        pytest.skip("sccache-enter is not built (scripts/build-native)")
    place = tmp_path_factory.mktemp("docker")
    host = f"unix://{place}/sock"
    argv = ["dockerd", "--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid", "--host", host]
    argv += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    with (place / "log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        patch.setenv("DOCKER_HOST", host)
        try:
            give_up = time.monotonic() + READY_S
            while subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
                if process.poll() is not None or time.monotonic() > give_up:
                    pytest.skip("needs a docker daemon, which does not run here")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def world(daemon: None, tmp_path: Path, probe: Path) -> Iterator[World]:  # noqa: F811
    """Directories as for bubblewrap; nothing is left of any build."""
    made = World(tmp_path, probe, rootless=False)
    made.sandbox = Docker(str(tmp_path / "builds"))  # type: ignore[assignment]
    asyncio.run(made.sandbox.check())
    yield made
    assert made.leftovers() == []
    assert asked("ps", "--all", "--quiet") == []
    asyncio.run(made.sandbox.check())
    assert asked("images", "--quiet") == []


def asked(*words: str) -> list[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.split()


def test_a_build(world: World) -> None:
    """Exactly that environment, name, directory and mask; what it made is read, what else it did is told."""
    words = (b"fancy", b"name", b"env", b"cwd", b"umask", b"write", b"/w/out", b"write", b"/w/other", b"remove", b"/w/input", b"exit", b"3")
    finished = world.run(argv=words, environment=((b"A", b"1"), (b"PWD", b"/odd")), umask=0o027)
    try:
        assert finished.outcome.trouble == ""
        assert finished.outcome.stdout.decode().split() == ["fancy", "A=1", "PWD=/odd", "/w", "027", "remove", "0"]
        assert finished.outcome.status == 3
        (made,) = finished.read((b"/w/out", b"/w/nothing", b"/bin/probe"), (), 1000)
        assert (made.path, made.data, made.executable) == (b"/w/out", b"made", False)
        assert {one.path for one in finished.read((), (b"/w",), 1000)} == {b"/w/out", b"/w/other"}
        assert set(finished.left([b"/w/out"], 100)) == {b"/w/other", b"/w/input"}
        with pytest.raises(SandboxError, match="too large"):
            finished.read((b"/w/out",), (), 3)
    finally:
        finished.remove()
    assert (world.store / "blob").read_bytes() == b"content\n"


def test_signals_are_told(world: World) -> None:
    """As minus the signal."""
    finished = world.run("die", "11")
    finished.remove()
    assert finished.outcome.status == -11


def test_nothing_of_the_host(world: World) -> None:
    """No network, no file, no process, no mount."""
    said = world.says("cat", "/etc/shadow", "mount", "connect", "22", "kill", str(os.getpid()))
    assert "No such file" in said
    assert said.split()[-6:] == ["mount", "-1", "connect", "-1", "kill", "-1"]


def test_links_are_not_followed(world: World) -> None:
    """An output that is a link, or a pipe, is none."""
    finished = world.run("link", "/w/out", "fifo", "/w/pipe")
    try:
        assert finished.read((b"/w/out", b"/w/pipe"), (), 1 << 20) == []
        assert set(finished.left((), 10)) == {b"/w/out", b"/w/pipe"}
    finally:
        finished.remove()


def test_limits(world: World) -> None:
    """Of time and of what it says; nothing runs on."""
    for words, limits, sentence in (
        (("hang",), Limits(seconds=1), "longer than 1 seconds"),
        (("shout",), Limits(seconds=60, stream_bytes=1 << 20), "says too much"),
    ):
        finished = world.run(*words, limits=limits)
        finished.remove()
        assert sentence in finished.outcome.trouble


def test_cancelled(world: World) -> None:
    """The client has gone: the container too."""

    async def main() -> None:
        running = asyncio.ensure_future(world.sandbox.run(world.build("hang", limits=Limits(seconds=600))))
        async with asyncio.timeout(60):
            while not asked("ps", "--quiet"):
                await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())


def test_binds_and_own_files(world: World, tmp_path: Path) -> None:
    """The observer can be read there; its report is found."""
    (tmp_path / "observer").write_text("observes\n")
    finished = world.run(
        "cat", "/.sccache/observe", "write", "/.sccache/report", binds=(Bind(str(tmp_path / "observer"), b"/.sccache/observe"),)
    )
    try:
        assert finished.outcome.stdout == b"observes\n"
        assert finished.own(b"report", 100) == b"made"
        assert finished.own(b"nothing", 100) == b""
        assert finished.left((), 10) == ()
    finally:
        finished.remove()


def test_a_terminal_is_not_to_be_had(world: World) -> None:
    """The compile is done at home, where there is one."""
    with pytest.raises(SandboxError, match="no terminal"):
        world.run("tty", columns=80)


def test_a_program_that_is_not_there(world: World) -> None:
    """As in bubblewrap: the enter program says so."""
    finished = world.run("x", executable=b"/bin/nothing")
    finished.remove()
    assert finished.outcome.status != 0


def test_no_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence, at the start of the worker."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing")
    with pytest.raises(SandboxError, match="docker"):
        asyncio.run(Docker(str(tmp_path / "builds")).check())
