"""Without a daemon one is started, by one of many launchers, and never waited for beyond reason."""

import os
import threading

from sccache.protocol import messages
from sccache.protocol.address import from_env


class Starter:
    """A command line for --start-server that lets the test bring the daemon up, and counts."""

    def __init__(self, launcher, daemon, code=0):
        self.launcher = launcher
        self.daemon = daemon
        self.ask = launcher.tmp / "ask"
        self.answer = launcher.tmp / "answer"
        os.mkfifo(self.ask)
        os.mkfifo(self.answer)
        launcher.script("bin/sccache-python", f'echo "$*" >> starts; echo "$*" > {self.ask}; read line < {self.answer}; exit {code}')
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        self.asked = self.ask.read_text()
        self.daemon.__enter__()
        self.answer.write_text("up\n")

    def count(self):
        return len((self.launcher.tmp / "starts").read_text().splitlines())


def finish(peer):
    peer.send(messages.encode_finish(0, b"cached"))


def test_first_use_starts_the_daemon(launcher):
    """The first compile already goes through it."""
    daemon = launcher.daemon(finish)
    starter = Starter(launcher, daemon)
    assert launcher.run("gcc").stdout == b"cached"
    assert starter.asked == "cli --start-server-for-compile\n"
    daemon.__exit__(None, None, None)


def test_eight_launchers_start_one_daemon(launcher):
    """The others wait for it and use it."""
    daemon = launcher.daemon(finish)
    starter = Starter(launcher, daemon)
    processes = [launcher.start("gcc") for _ in range(8)]
    assert [process.communicate(timeout=120)[0] for process in processes] == [b"cached"] * 8
    assert starter.count() == 1
    daemon.__exit__(None, None, None)


def test_a_daemon_that_cannot_start(launcher):
    """The compiler runs; for ten seconds nobody tries again."""
    launcher.script("bin/sccache-python", "echo start >> starts; exit 2")
    for _ in range(3):
        assert launcher.run("echo", "compiled").stdout == b"compiled\n"
    assert (launcher.tmp / "starts").read_text() == "start\n"
    assert os.path.exists(from_env(launcher.env).failed_path)  # the name that protocol/address.py computes


def test_a_start_that_succeeds_without_a_daemon(launcher):
    """A command line that lies is as good as one that fails."""
    launcher.script("bin/sccache-python", "echo start >> starts; exit 0")
    for _ in range(2):
        assert launcher.run("echo", "compiled").stdout == b"compiled\n"
    assert (launcher.tmp / "starts").read_text() == "start\n"


def test_a_dead_daemons_socket(launcher):
    """A socket that nobody listens on is no daemon."""
    with launcher.daemon(finish):
        os.link(launcher.address, launcher.address + "2")
    os.rename(launcher.address + "2", launcher.address)
    launcher.script("bin/sccache-python", "echo start >> starts; exit 2")
    assert launcher.run("echo", "compiled").stdout == b"compiled\n"
    assert (launcher.tmp / "starts").exists()


def test_the_daemon_inherits_nothing(launcher):
    """No jobserver, lock or pipe of this build, and no terminal signals: it outlives the build."""
    read, write = os.pipe()
    launcher.script("bin/sccache-python", "ls -l /proc/$$/fd > fds; ps -o sid= $$ > sid; exit 2")
    process = launcher.start("true", pass_fds=(read, write))
    process.communicate(timeout=120)
    os.close(read)
    os.close(write)
    lines = [line.split(" -> ")[1] for line in (launcher.tmp / "fds").read_text().splitlines() if " -> " in line]
    assert sorted(set(lines) - {str(launcher.bin / "sccache-python")}) == ["/dev/null", str(launcher.tmp / "fds")]
    assert int((launcher.tmp / "sid").read_text()) != os.getsid(0)


def test_retire_starts_a_successor(launcher):
    """A daemon of another version steps aside; the same compile is served by the new one."""
    new = launcher.daemon(finish)

    def retire(peer):
        old.stop_listening()
        peer.send(messages.RETIRE_FRAME)

    with launcher.daemon(retire) as old:
        starter = Starter(launcher, new)
        assert launcher.run("gcc").stdout == b"cached"
    assert starter.count() == 1
    new.__exit__(None, None, None)


def test_two_that_retire(launcher):
    """There is no third try."""

    def retire(peer):
        peer.send(messages.RETIRE_FRAME)

    with launcher.daemon(retire) as daemon:
        assert launcher.run("echo", "compiled").stdout == b"compiled\n"
    assert daemon.connections == 2


def test_start_is_not_tried_with_an_unusable_address(launcher):
    """A socket path that cannot exist: the compiler runs."""
    done = launcher.run("echo", "compiled", env={"SCCACHE_SERVER_UDS": "/tmp/" + "x" * 200})
    assert done.stdout == b"compiled\n"
