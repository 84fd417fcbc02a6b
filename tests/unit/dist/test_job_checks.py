"""What a job may say: everything that could lead out of its tree is refused before anything touches a disk."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sccache.dist import job_checks
from sccache.dist.messages import File, JobHeader, Link
from sccache.errors import ProtocolError

DIGEST, OTHER = b"d" * 32, b"e" * 32


def job(**changes: object) -> JobHeader:
    """An ordinary one."""
    said = {
        "toolchain": "ab" * 32, "executable": b"/usr/bin/cc", "argv": (b"cc", b"-c", b"a.c"), "environment": ((b"PATH", b"/usr/bin"),),
        "cwd": b"/home/me/src", "umask": 0o22, "directories": (b"/home/me/src",), "links": (Link(b"/home/me/l", b"../x"),),
        "files": (File(b"/home/me/src/a.c", DIGEST, 5),), "sent": (DIGEST,), "outputs": (b"/home/me/src/a.o",), **changes,
    }  # fmt: skip
    return JobHeader(**said)  # type: ignore[arg-type]


def test_an_ordinary_job():
    """Comes through as it is."""
    header = job()
    assert job_checks.decode(msgspec.msgpack.encode(header)) == header


PATHS = [
    b"", b"a", b"./a", b"../a", b"/a/../b", b"/a/./b", b"/a//b", b"/a/", b"//a", b"/..", b"/a\0b", b"/" + b"a" * 256, b"/a" * 2100,
    b"/proc", b"/proc/self/mem", b"/dev/null", b"/dev", b"/sys/x", b"/.sccache", b"/.sccache/enter",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("field", ["file", "link", "directory", "cwd", "output", "output directory"])
def test_names_that_lead_elsewhere(field, path):
    """In every place where a name can be."""
    changes = {
        "file": {"files": (File(path, DIGEST, 5),)},
        "link": {"links": (Link(path, b"x"),)},
        "directory": {"directories": (path,)},
        "cwd": {"cwd": path},
        "output": {"outputs": (path,)},
        "output directory": {"output_directories": (path,)},
    }[field]
    with pytest.raises(ProtocolError):
        job_checks.check(job(**changes))


@pytest.mark.parametrize("path", [b"/processes/x", b"/devices", b"/.sccached/x", b"/home/.sccache/x", b"/a..b", b"/...", b"/\xff\n", b"/ "])
def test_names_that_only_look_so(path):
    """Are names as any other."""
    job_checks.check(job(files=(File(path, DIGEST, 5),), outputs=(path + b".o",)))


def test_the_program_may_be_named_in_a_roundabout_way():
    """As nvcc does it; the sandbox looks it up, where nothing can lead outside."""
    job_checks.check(job(executable=b"/usr/local/cuda/bin/../nvvm/bin/cicc"))


FAULTS = {
    "a relative program": {"executable": b"cc"},
    "NUL in the program": {"executable": b"/cc\0"},
    "a file below a link": {"links": (Link(b"/home/me/src", b"/etc"),), "directories": ()},
    "a directory below a link": {"links": (Link(b"/l", b"/etc"),), "directories": (b"/l/cron.d",)},
    "a link below a link": {"links": (Link(b"/l", b"/etc"), Link(b"/l/passwd", b"x"))},
    "a file below a file": {"files": (File(b"/a", DIGEST, 5), File(b"/a/b/c", DIGEST, 5))},
    "a name twice": {"files": (File(b"/a", DIGEST, 5), File(b"/a", OTHER, 5)), "sent": ()},
    "a file and a link": {"files": (File(b"/a", DIGEST, 5),), "links": (Link(b"/a", b"x"),)},
    "a file and a directory": {"files": (File(b"/a", DIGEST, 5),), "directories": (b"/a",)},
    "a link and a directory": {"links": (Link(b"/a", b"x"),), "directories": (b"/a",)},
    "a file as root": {"files": (File(b"/", DIGEST, 5),)},
    "a link as root": {"links": (Link(b"/", b"/etc"),)},
    "an empty target": {"links": (Link(b"/l", b""),)},
    "a target with NUL": {"links": (Link(b"/l", b"a\0b"),)},
    "a long target": {"links": (Link(b"/l", b"a" * 5000),)},
    "a short digest": {"files": (File(b"/a", b"d", 5),), "sent": ()},
    "a negative size": {"files": (File(b"/a", DIGEST, -1),)},
    "a huge size": {"files": (File(b"/a", DIGEST, 1 << 40),)},
    "two sizes of a content": {"files": (File(b"/a", DIGEST, 5), File(b"/b", DIGEST, 6))},
    "huge together": {"files": tuple(File(b"/%d" % n, bytes([n]) * 32, 1 << 30) for n in range(5)), "sent": ()},
    "huge copies": {"files": tuple(File(b"/%d" % n, DIGEST, 200 << 20) for n in range(3))},
    "sent twice": {"sent": (DIGEST, DIGEST)},
    "sent and not used": {"sent": (OTHER,)},
    "a toolchain that is no digest": {"toolchain": "../" * 20 + "abcd"},
    "a toolchain with a line end": {"toolchain": "ab" * 32 + "\n"},
    "no command line": {"argv": ()},
    "NUL in an argument": {"argv": (b"a\0b",)},
    "a variable without a name": {"environment": ((b"", b"x"),)},
    "a variable with = in its name": {"environment": ((b"A=B", b"x"),)},
    "NUL in a variable": {"environment": ((b"A", b"x\0y"),)},
    "a umask": {"umask": 0o1777},
    "a negative umask": {"umask": -1},
    "columns": {"columns": 1 << 20},
    "too many names": {"directories": tuple(b"/d%d" % n for n in range(500_001))},
}


@pytest.mark.parametrize("what", FAULTS)
def test_faults(what):
    """Each alone is enough."""
    with pytest.raises(ProtocolError):
        job_checks.check(job(**FAULTS[what]))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"[]", b"\x91" * 100_000, msgspec.msgpack.encode({"toolchain": 7})])
def test_garbage(data):
    """A sentence, and no traceback."""
    with pytest.raises(ProtocolError):
        job_checks.decode(data)


def test_another_version():
    """Told apart from garbage."""
    with pytest.raises(job_checks.VersionError, match="version"):
        job_checks.decode(msgspec.msgpack.encode(job(version=99)))


NAMES = st.lists(st.sampled_from([b"a", b"b", b"..", b".", b"", b"l", b"proc"]), min_size=1, max_size=4).map(
    lambda parts: b"/" + b"/".join(parts)
)


@settings(derandomize=True, database=None, max_examples=500, deadline=None)
@given(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=3), st.lists(NAMES, max_size=3))
def test_whatever_is_accepted_stays_inside(files, links, directories):
    """No accepted name has a component that leads up, is there twice, or is below something that is no directory."""
    header = job(
        files=tuple(File(path, DIGEST, 5) for path in files), links=tuple(Link(path, b"/etc") for path in links),
        directories=tuple(directories), sent=(),
    )  # fmt: skip
    try:
        job_checks.check(header)
    except ProtocolError:
        return
    ends = files + links
    assert len(set(ends)) == len(ends)
    for path in files + links + directories:
        assert path == b"/" or not {b"", b".", b".."} & set(path[1:].split(b"/"))
        assert not path.startswith((b"/proc/",))
        assert not any(path.startswith(end + b"/") for end in ends)
