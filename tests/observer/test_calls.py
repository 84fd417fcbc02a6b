"""What a program does to files is noted, by whatever call, with the path that the call meant."""

import os
import socket
import sys

import pytest

PYTHON = os.path.realpath(sys.executable)
_RAW = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    struct stat found;
    struct open_how how = {.flags = O_RDONLY};
    int directory = open("folder", O_RDONLY | O_DIRECTORY);
    int fd = openat(directory, "./inner//file", O_RDONLY);
    syscall(SYS_openat2, directory, "how", &how, sizeof how);
    fstatat(directory, "looked", &found, 0);
    faccessat(directory, "missing", R_OK, 0);
    if (fd < 0 || fchdir(directory) != 0)
        return 1;
    return open("after", O_RDONLY) < 0;
}
"""


def script(text):
    return [PYTHON, "-I", "-S", "-c", text]


def stamp(path):
    found = path.stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def test_read_file_has_the_stamp_it_had(watch):
    """One that is opened and one that is only looked at are told apart; each has device, inode, size and times."""
    for name in ("read", "looked"):
        (watch.place / name).write_text(name)
    seen = watch.seen(*script("import os; open('read').close(); os.stat('looked')"))
    reads = {item.path: item.stamp for item in seen.reads}
    looked = {item.path: item.stamp for item in seen.looked}
    assert reads[f"{watch.place}/read"] == stamp(watch.place / "read")
    assert looked[f"{watch.place}/looked"] == stamp(watch.place / "looked")
    assert f"{watch.place}/looked" not in reads


def test_names_looked_for_in_vain(watch):
    """By open, stat, access and exec, in a directory that is there and in one that is not."""
    text = (
        "import os\n"
        "for call in (open, os.stat, os.lstat, lambda p: os.execv(p, ['x'])):\n"
        " try: call(call.__name__ + '/none')\n"
        " except OSError: pass\n"
        "os.access('gone', 0)"
    )
    seen = watch.seen(*script(text))
    assert {f"{watch.place}/{name}" for name in ("open/none", "stat/none", "lstat/none", "<lambda>/none", "gone")} <= set(seen.absent)


def test_paths_relative_to_descriptors(watch, compiled):
    """openat, openat2 and fstatat mean the directory of their descriptor; after fchdir names mean another place."""
    inner = watch.place / "folder" / "inner"
    inner.mkdir(parents=True)
    for path in (inner / "file", inner.parent / "how", inner.parent / "looked", inner.parent / "after"):
        path.write_text("")
    seen = watch.seen(compiled(_RAW))
    folder = f"{watch.place}/folder"
    assert {f"{folder}/inner/file", f"{folder}/how", f"{folder}/after"} <= {item.path for item in seen.reads}
    assert f"{folder}/looked" in {item.path for item in seen.looked}
    assert f"{folder}/missing" in seen.absent
    assert folder in seen.listed


def test_dot_dot_stays(watch):
    """Where ".." leads depends on links: only the kernel knows, so the path is left as it was spelled."""
    (watch.place / "real" / "deep").mkdir(parents=True)
    (watch.place / "link").symlink_to("real/deep")
    (watch.place / "real" / "file").write_text("")
    seen = watch.seen(*script("open('link/../file').close()"))
    assert f"{watch.place}/link/../file" in {item.path for item in seen.reads}


def test_listed_and_other(watch):
    """Directories that are listed or looked at, devices and pipes."""
    (watch.place / "listed").mkdir()
    os.mkfifo(watch.place / "pipe")
    seen = watch.seen(*script("import os; os.listdir('listed'); os.stat('/usr'); os.stat('pipe'); open('/dev/null').close()"))
    assert f"{watch.place}/listed" in seen.listed
    assert "/usr" in seen.directories
    assert {f"{watch.place}/pipe", "/dev/null"} <= set(seen.others)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("open('new', 'w')", ["new"]),
        ("open('old', 'a')", ["old"]),
        ("os.open('new', os.O_RDWR | os.O_CREAT)", ["new"]),
        ("os.mkdir('new')", ["new"]),
        ("os.rename('old', 'new')", ["old", "new"]),
        ("os.replace('old', 'new')", ["old", "new"]),
        ("os.link('old', 'new')", ["new"]),
        ("os.symlink('old', 'new')", ["new"]),
        ("os.unlink('old')", ["old"]),
        ("os.rmdir('folder')", ["folder"]),
        ("os.truncate('old', 0)", ["old"]),
        ("os.mkfifo('new')", ["new"]),
        ("d = os.open('folder', 0); os.open('new', os.O_CREAT | os.O_WRONLY, dir_fd=d)", ["folder/new"]),
        ("d = os.open('folder', 0); os.rename('old', 'new', dst_dir_fd=d)", ["old", "folder/new"]),
    ],
)
def test_written(watch, text, names):
    """Made, written, renamed and removed files."""
    (watch.place / "old").write_text("x")
    (watch.place / "folder").mkdir()
    seen = watch.seen(*script("import os; " + text))
    assert [path for path in seen.written if path.startswith(str(watch.place))] == [f"{watch.place}/{name}" for name in names]


def test_order_tells_input_from_product(watch):
    """A file that was read and then written is an input; one that was written first is not."""
    (watch.place / "input").write_text("x")
    text = "open('input').close(); open('input', 'w').close(); open('product', 'w').close(); open('product').close()"
    seen = watch.seen(*script(text))
    index = {item.path: item.index for item in seen.reads}
    assert index[f"{watch.place}/input"] < seen.first_written[f"{watch.place}/input"]
    assert index[f"{watch.place}/product"] > seen.first_written[f"{watch.place}/product"]


def test_update_in_place_reads(watch):
    """What is opened for reading and writing had content that may count."""
    (watch.place / "old").write_text("x")
    seen = watch.seen(*script("open('old', 'r+').close()"))
    assert f"{watch.place}/old" in {item.path for item in seen.reads}
    assert f"{watch.place}/old" in seen.written


@pytest.mark.parametrize(
    "text",
    [
        "s = socket.socket(); s.connect_ex(('127.0.0.1', 1))",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', 9))",
        "s = socket.socket(socket.AF_UNIX); s.connect_ex('there')",
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    ],
)
def test_ways_out(watch, text):
    """Connections, and datagrams that need none."""
    assert watch.seen(PYTHON, "-c", "import socket; " + text).network


def test_pair_of_sockets_is_no_way_out(watch):
    """Programs talk with their own children so."""
    assert socket.AF_UNIX
    assert watch.seen(PYTHON, "-c", "import socket; socket.socketpair()").network == ()


def test_children_of_children(watch):
    """Programs started by programs are followed, and their files are noted."""
    (watch.place / "file").write_text("")
    seen = watch.seen("/bin/sh", "-c", "sh -c 'cat file; true'; true")
    assert f"{watch.place}/file" in {item.path for item in seen.reads}
    assert any(path.endswith("/cat") for path in seen.executed)


def test_static_program(watch, compiled):
    """What preloads nothing is seen by its calls all the same; that its variables were not shows in the images."""
    (watch.place / "file").write_text("")
    program = compiled('#include <fcntl.h>\nint main(void) { return open("file", O_RDONLY) < 0; }', "-static")
    seen = watch.seen(program)
    assert f"{watch.place}/file" in {item.path for item in seen.reads}
    assert seen.executed == (program,)
    assert seen.images == ()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="32-bit calls are x86's")
def test_calls_of_another_architecture_are_unknown(watch, compiled):
    """A 64-bit program can make 32-bit calls, whose numbers mean something else."""
    program = compiled('int main(void) { int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20)); return r <= 0; }')
    done = watch.run(program)
    if done.returncode < 0:
        pytest.skip("this kernel has no 32-bit calls")
    assert watch.seen(program).unknown


def test_raw_call_in_assembly(watch, compiled):
    """What goes round the C library does not go round the observer."""
    if os.uname().machine != "x86_64":
        pytest.skip("written for x86-64")
    (watch.place / "file").write_text("")
    code = (
        'int main(void) { long r; __asm__ volatile("syscall" : "=a"(r) : "a"(2L), "D"("file"), "S"(0L), "d"(0L) : "rcx", "r11", "memory");'
        " return r < 0; }"
    )
    assert f"{watch.place}/file" in {item.path for item in watch.seen(compiled(code)).reads}


def test_io_uring_is_unknown(watch, compiled):
    """It opens files without calls."""
    code = (
        "#include <sys/syscall.h>\n#include <unistd.h>\nint main(void) { char p[120] = {0}; syscall(SYS_io_uring_setup, 1, p); return 0; }"
    )
    assert watch.seen(compiled(code, "-D_GNU_SOURCE")).unknown


def test_pointer_to_nowhere(watch, compiled):
    """The call fails as it would; that it could not be told what it meant is noted."""
    code = "#include <errno.h>\n#include <fcntl.h>\nint main(void) { return open((char *)8, O_RDONLY) != -1 || errno != EFAULT; }"
    assert watch.seen(compiled(code)).unknown


def test_long_and_strange_names(watch):
    """Bytes that are no text, newlines, names as long as the system allows."""
    name = b"a\n\xff b" + b"x" * 200
    (watch.place / os.fsdecode(name)).write_text("")
    seen = watch.seen("/bin/cat", name)
    assert f"{watch.place}/{os.fsdecode(name)}" in {item.path for item in seen.reads}
