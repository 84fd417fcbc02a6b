"""Which command the launcher is depends on how it is called (reference 1.2)."""

import os
import shutil

import pytest

from sccache.protocol import messages

SHOW = 'echo "$0" "$@"'


@pytest.fixture
def python(launcher):
    """A command line that says how it was called."""
    launcher.script("bin/sccache-python", 'echo "python: $*"; cat; exit 4')


@pytest.mark.parametrize("arguments", [[], ["--show-stats"], ["-s"], ["-c", "a.c"], ["--", "gcc"]], ids=" ".join)
@pytest.mark.usefixtures("python")
def test_our_own_options_go_to_python(launcher, arguments):
    """No arguments, or an option first: the command line's business."""
    done = launcher.run(*arguments, input_=b"stdin\n")
    assert done.stdout.decode() == " ".join(["python: cli", *arguments]) + "\nstdin\n"
    assert done.returncode == 4


@pytest.mark.usefixtures("python")
def test_sccache_dist_is_python(launcher):
    """The other command."""
    assert launcher.run("worker", program=launcher.bin / "sccache-dist").stdout == b"python: dist worker\n"


@pytest.mark.usefixtures("python")
def test_start_server_variable(launcher):
    """SCCACHE_START_SERVER=1 is for the command line whatever the arguments; other values are nothing."""
    assert launcher.run("gcc", env={"SCCACHE_START_SERVER": "1"}).stdout == b"python: cli gcc\n"
    with launcher.daemon(lambda peer: peer.send(messages.encode_finish(0, b"compile"))):
        assert launcher.run("gcc", env={"SCCACHE_START_SERVER": "true"}).stdout == b"compile"


@pytest.mark.parametrize("name", ["Sccache", "sccache.exe", "SCCACHE.x"])
@pytest.mark.usefixtures("python")
def test_spellings_of_our_name(launcher, name):
    """The stem counts, in any case."""
    link = launcher.tmp / name
    link.symlink_to(launcher.program)
    assert launcher.run("-s", program=link).stdout == b"python: cli -s\n"


def test_the_builds_python_settings_are_not_ours(launcher):
    """A build's PYTHONPATH or PYTHONHOME must not break the command line or the daemon; everything else is passed on."""
    launcher.script("bin/sccache-python", 'echo "${PYTHONPATH-none} ${PYTHONHOME-none} ${PYTHONWARNINGS-none} $KEPT"')
    odd = {"PYTHONPATH": "/no", "PYTHONWARNINGS": "ignore", "KEPT": "kept"}
    if launcher.kind != "python":  # which itself would not start with it
        odd["PYTHONHOME"] = "/no"
    assert launcher.run("-s", env=odd).stdout == b"none none none kept\n"


def test_missing_python_is_explained(launcher):
    """One sentence, exit code 2."""
    if launcher.kind == "python":
        pytest.skip("the Python launcher is that Python itself")
    (launcher.bin / "sccache-python").unlink()
    done = launcher.run("--show-stats", env={"PATH": "/nonexistent"})
    assert done.returncode == 2
    assert done.stderr == f"sccache: error: cannot find sccache-python beside `{launcher.program}`: reinstall pysccache\n".encode()


@pytest.fixture
def masquerade(launcher):
    """A directory with links named as compilers, in front of the directory with the compilers."""
    (launcher.tmp / "links").mkdir()
    for name in ("mycc", "gone"):
        (launcher.tmp / "links" / name).symlink_to(launcher.program)
    launcher.script("tools/mycc", SHOW)
    launcher.env["PATH"] = f"{launcher.tmp}/links:{launcher.tmp}/tools:{os.environ['PATH']}"
    return launcher.tmp / "links" / "mycc"


def test_masquerade_tells_the_real_compiler(launcher, masquerade):
    """A link named as a compiler sends that compiler's path, argv[0] as it was called."""
    seen = []

    def talk(peer):
        seen.append((peer.compile.executable, messages.split_list(peer.compile.argv_blob)))
        peer.send(messages.encode_finish(0))

    with launcher.daemon(talk):
        launcher.run("-c", "a.c", program=masquerade)
    assert seen == [(f"{launcher.tmp}/tools/mycc".encode(), [os.fsencode(masquerade), b"-c", b"a.c"])]


def test_masquerade_without_a_daemon(launcher, masquerade):
    """The real compiler runs, not ourselves for ever."""
    assert launcher.run("--version", program=masquerade).stdout == f"{launcher.tmp}/tools/mycc --version\n".encode()


@pytest.mark.parametrize("how", ["exec", "exec argv", "run"])
def test_masquerade_with_a_daemon(launcher, masquerade, how):
    """An Exec or Run of the same argv[0] means the compiler that was found."""

    def talk(peer):
        argv0 = messages.split_list(peer.compile.argv_blob)[0]
        if how == "exec":
            peer.send(messages.encode_exec())
        elif how == "exec argv":
            peer.send(messages.encode_exec(argv=[argv0, b"-x"]))
        else:
            ran = peer.run(3, argv0, "-x")
            peer.send(messages.encode_finish(0, ran.stdout))

    with launcher.daemon(talk):
        done = launcher.run("-x", program=masquerade)
    assert done.stdout == f"{launcher.tmp}/tools/mycc -x\n".encode()


def test_masquerade_without_a_compiler(launcher, masquerade):
    """One sentence, no loop."""
    done = launcher.run("-c", program=masquerade.with_name("gone"))
    assert done.returncode == 2
    assert b"only sccache itself has that name on PATH" in done.stderr


@pytest.mark.usefixtures("masquerade")
def test_sccache_with_the_link_first_on_path(launcher):
    """`sccache mycc` does not run the link that is ourselves."""
    assert launcher.run("mycc", "1").stdout == f"{launcher.tmp}/tools/mycc 1\n".encode()


def test_a_copy_masquerades_too(launcher, masquerade):
    """Hard links are ourselves; a copy is another file, whose own PATH search skips only itself."""
    masquerade.unlink()
    if launcher.kind == "python":
        os.link(launcher.program, masquerade)
    else:
        shutil.copy(launcher.program, masquerade)
    assert launcher.run("1", program=masquerade).stdout == f"{launcher.tmp}/tools/mycc 1\n".encode()


def test_the_python_launcher_alone(launcher):
    """Without a program beside it the Python launcher is its own Python; `python -m sccache` is such a one."""
    if launcher.kind != "python":
        pytest.skip("the native launcher has no Python of its own")
    (launcher.bin / "sccache-python").unlink()
    done = launcher.run("--version", env={"PATH": "/nonexistent"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"sccache ")
    dist = launcher.run("status", program=launcher.bin / "sccache-dist", env={"PATH": "/nonexistent"})
    assert dist.returncode == 2
    assert b"usage: sccache-dist" in dist.stderr


@pytest.mark.parametrize("how", ["masquerading", "named"])
def test_behind_a_link_under_its_own_path(launcher, masquerade, how):
    """A compiler behind a link to us is told where it is: gcc looks for cc1 beside what argv[0] names."""
    shell = launcher.tmp / "tools" / "mycc"
    shell.unlink()
    shell.symlink_to("/bin/sh")
    words = ("-c", "echo $0")
    done = launcher.run(*words, program=masquerade) if how == "masquerading" else launcher.run("mycc", *words)
    assert done.stdout == f"{shell}\n".encode()
