"""Commands that mean harm, in the sandbox of a real worker: what they see, what they leave, what they can use up.

A scheduler made by hand gives the test the right to run anything: here a shell stands where a compiler would.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.farm.harness import wire
from tests.farm.harness.farm import files_below, until
from tests.farm.harness.network import Network
from tests.farm.harness.raw_worker import RawWorker, lone_worker, new_job

from sccache.dist.messages import Link

SECRET = "a secret of the worker"


@pytest.fixture(scope="module", params=["root", "ordinary user"])
def worker(request, any_network: Network, command) -> Iterator[RawWorker]:
    """With overlay as root, rootless as nobody in particular."""
    is_ordinary = request.param == "ordinary user"
    if not is_ordinary and os.geteuid() != 0:
        pytest.skip("needs root")
    name = "w2" if is_ordinary else "w1"
    (any_network.folder / f"private-{name}").write_text(SECRET)
    with lone_worker(any_network, command, name, is_ordinary=is_ordinary, env={"SECRET": SECRET}) as worker:
        yield worker


@pytest.fixture(scope="module")
def shell(worker) -> str:
    return worker.upload(wire.shell_toolchain((wire.member("etc/mark"), b"as packed\n")))


def test_sees_only_what_it_was_given(worker, shell):
    """The toolchain, its own files, a /proc with itself in it; the variables that were given, no others."""
    result, _ = worker.shell(shell, "ls -a /; ls -a /etc /work; cat /proc/self/environ | head -c 10000; ls /proc | head -20", [b"x"],
                             files=(wire.file(b"/work/input", b"x"),))  # fmt: skip
    said = result.stdout.decode()
    assert result.status == 0, result
    names = set(said.split("/etc:")[0].split())
    assert names <= {".", "..", ".sccache", "bin", "dev", "etc", "lib", "lib64", "proc", "tmp", "usr", "work"}, names
    assert set(said.split("/etc:")[1].split("/work:")[0].split()) == {".", "..", "mark"}
    assert SECRET not in said
    assert str(worker.farm.network.folder) not in said


def test_host_is_out_of_reach(worker, shell):
    """Not by known names, not through /proc, not by climbing."""
    folder = worker.farm.network.folder
    script = f"""
        for path in /etc/shadow /etc/passwd {folder}/private-w1 {folder}/private-w2 /proc/1/root{folder} /proc/1/cwd/../..{folder}
        do cat "$path" && echo GOT "$path"; ls "$path" && echo GOT "$path"; done
        cd /; cd ../../../../..; ls; cd /proc/1/root && ls
    """
    result, _ = worker.shell(shell, script)
    assert b"GOT" not in result.stdout
    assert b"root" not in result.stdout.split()
    worker.finish(wire.shell_job(shell, "kill -9 -1"))  # kills at most itself and what holds it
    assert worker.server.program.is_running


def test_no_network(worker, shell):
    """Neither the scheduler nor the worker itself nor anything on loopback."""
    address = worker.scheduler.url.removeprefix("http://").replace(":", "/")
    own = worker.server.address.replace(":", "/")
    script = (
        f"for place in {address} {own} 127.0.0.1/{own.split('/')[1]}; do exec 3<>/dev/tcp/$place && echo CONNECTED; done; cat /proc/net/dev"
    )
    result, _ = worker.shell(shell, script)
    assert b"CONNECTED" not in result.stdout
    devices = [line.split(b":")[0].strip() for line in result.stdout.splitlines() if b":" in line]
    assert devices in ([b"lo"], [])


def test_has_no_powers(worker, shell):
    """No capability, no way to gain any, no mount."""
    result, _ = worker.shell(shell, "cat /proc/self/status")
    lines = dict(line.split(":\t", 1) for line in result.stdout.decode().splitlines() if ":\t" in line)
    assert {lines[name].strip("0") for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")} == {""}
    assert lines["NoNewPrivs"] == "1"


def test_leaves_nothing_to_the_next(worker, shell):
    """Toolchain, inputs and everything else are as packed for the next job, whatever this one wrote, removed or chmodded."""
    given = wire.file(b"/work/input", b"as given\n")
    script = """
        echo evil > /etc/mark; echo evil > input; chmod 777 input /etc/mark /bin; echo evil > /bin/evil
        chmod 000 /bin/cat; rm -f /bin/ls; echo evil > /tmp/evil; ln input /work/hard; ln -s / /work/soft; mkdir /work/more
    """
    worker.shell(shell, script, [b"as given\n"], files=(given,))
    result, _ = worker.shell(
        shell, "cat /etc/mark input; ls /bin/evil /tmp/evil /work; ls -l input /etc/mark", [b"as given\n"], files=(given,)
    )
    assert result.stdout.startswith(b"as packed\nas given\ninput\n") or b"as packed\nas given\n/work:\ninput\n" in result.stdout, result
    assert b"evil" not in result.stdout
    assert b"rwxrwxrwx" not in result.stdout


def _until_rubbish_is_gone(worker) -> None:
    """Directories of jobs are removed after their answers."""
    builds = worker.server.folder / "kept" / "build" / "builds"
    until(lambda: not builds.exists() or list(builds.iterdir()) == [], "directories of ended jobs are gone", worker.server.program.log)


def test_contents_in_the_store_cannot_be_changed(worker, shell):
    """Not by an open file that outlives the command, either."""
    given = wire.file(b"/work/input", b"kept as it is\n")
    worker.shell(shell, "(sleep 1; echo evil >> input) & echo evil >> input; chmod 000 input", [b"kept as it is\n"], files=(given,))
    result, _ = worker.shell(shell, "cat input", [b"kept as it is\n"], files=(given,))
    assert result.stdout == b"kept as it is\n"
    _until_rubbish_is_gone(worker)
    assert not [path for path in files_below(worker.server.folder / "kept") if path.stat().st_size < 100 and b"evil" in path.read_bytes()]


def test_outputs_are_files_of_its_own_making(worker, shell):
    """Links out of it are not followed, fifos not waited for, directories not sent; what is there comes whole."""
    script = """
        echo good > good; ln -s /etc/passwd link; ln -s good inner; mkfifo fifo; mkdir directory; echo deep > directory/deep
        ln -s /etc up; ln -s ../../../../../../../../../../etc/passwd climbing; head -c 100000 /dev/zero > zeros; ln -s /proc/1/environ env
        chmod +x directory/deep; ln -s /etc directory/etc
    """
    names = (b"good", b"link", b"inner", b"fifo", b"directory", b"up/passwd", b"climbing", b"zeros", b"absent", b"env")
    wanted = (*(b"/work/" + name for name in names), b"/etc/mark", b"/etc/shadow")
    result, outputs = worker.shell(shell, script, outputs=wanted, output_directories=(b"/work/directory",))
    assert result.status == 0, result
    assert outputs[b"/work/good"] == b"good\n"
    assert outputs[b"/work/zeros"] == bytes(100000)
    assert outputs[b"/work/directory/deep"] == b"deep\n"
    assert {output.path for output in result.outputs if output.executable} == {b"/work/directory/deep"}
    assert set(outputs) <= {b"/work/good", b"/work/zeros", b"/work/directory/deep"}, set(outputs)


def test_output_that_swaps_with_a_link(worker, shell):
    """A process that stays behind and changes names while outputs are read has no chance: it is dead by then."""
    script = (
        "(while :; do rm -f out; ln -s /etc/passwd out; rm -f out; echo mine > out; done) & for n in 1 2 3 4 5 6 7 8; do echo $n > x; done"
    )
    for _ in range(5):
        _, outputs = worker.shell(shell, script, outputs=(b"/work/out",))
        assert outputs.get(b"/work/out", b"mine\n") in (b"mine\n", b"")


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", -9), ("kill -11 $$", -11)])
def test_exit_codes_and_signals_are_true(worker, shell, script, status):
    """As a local command's; streams are kept apart, byte for byte."""
    result, _ = worker.shell(shell, f"printf 'out\\xff\\0'; printf 'err\\r\\n' >&2; {script}")
    assert (result.status, result.stdout, result.stderr) == (status, b"out\xff\0", b"err\r\n")


def test_arguments_variables_and_names_are_bytes(worker, shell):
    """Nothing has to be UTF-8."""
    data = b"in a strange name"
    name = b"/work/\xff\xfe \n'\"$(id)"
    result, outputs = worker.shell(
        shell, "", [data], files=(wire.file(name, data),), environment=((b"PATH", b"/bin"), (b"ODD", b"\xfe\n")),
        argv=(b"bash", b"-c", b'printf %s "$ODD"; cat "$1" > "$1.out"', b"x", name), outputs=(name + b".out",),
    )  # fmt: skip
    assert (result.status, result.stdout) == (0, b"\xfe\n")
    assert outputs == {name + b".out": data}


def test_tree_is_as_on_the_client(worker, shell):
    """Links lead where they lead there; directories are there, empty or not; the umask is the client's."""
    data = b"data\n"
    result, _ = worker.shell(
        shell, "cat link far/input; ls -d empty; echo x > made; mkdir m; ls -ld made m | head -c 200", [data], umask=0o027,
        files=(wire.file(b"/work/real/input", data),), links=(Link(b"/work/link", b"real/input"), Link(b"/work/far", b"/work/real")),
        directories=(b"/work", b"/work/empty"),
    )  # fmt: skip
    assert result.status == 0, result
    assert result.stdout.startswith(b"data\ndata\nempty\n")
    assert b"-rw-r-----" in result.stdout
    assert b"drwxr-x---" in result.stdout


@pytest.mark.parametrize(
    "script", ["cat /dev/zero", "cat /dev/zero >&2", "cat /dev/zero > /work/out", "while :; do echo x > /work/$((n++)); done"]
)
def test_no_output_without_end(worker, shell, script):
    """Killed at the limit; the client is told that it could not be run; the space is given back."""
    answer = worker.run(job := new_job(), worker.token(job, shell), wire.packed(wire.shell_job(shell, script)))
    assert answer.status == 200
    ran = wire.unpacked(answer.body)
    assert getattr(ran.answer, "status", -1) != 0, ran.answer
    until(lambda: worker.running() == 0, "it is gone")


def test_client_that_goes_ends_its_job(worker, shell):
    """The command is killed, with all its children, and the place is free."""
    body = wire.packed(wire.shell_job(shell, "sleep 10007 & sleep 10008"))
    with wire.connect(worker.client, wire.parse(worker.server.address), tls=True) as sock:
        job = new_job()
        sock.sendall(worker.opening("POST", f"jobs/{job}/run", worker.token(job, shell), f"Content-Length: {len(body)}") + body)
        until(lambda: len(_sleepers()) >= 2, "it runs")
        assert worker.running() == 1
    until(lambda: not _sleepers(), "its processes are gone")
    until(lambda: worker.running() == 0, "its place is free")
    assert job in json.dumps(worker.scheduler.reports) or worker.scheduler.reports


def _sleepers() -> list[str]:
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdigit() and (place / "cmdline").read_bytes().split(b"\0")[1:2] in ([b"10007"], [b"10008"]):
                found.append(place.name)
    return found


def test_nothing_is_left_of_jobs(worker, shell):
    """No mount, no directory of a job, no process."""
    until(lambda: worker.running() == 0, "nothing runs")
    mounts = Path(f"/proc/{worker.server.program.process.pid}/mountinfo").read_text()
    assert [line for line in mounts.splitlines() if str(worker.server.folder) in line] == []
    _until_rubbish_is_gone(worker)
