"""Toolchain archives: the same bytes for the same members, and nothing that an archive says gets out of the directory."""

import gzip
import io
import lzma
import os
import random
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from sccache.dist import archive, tar
from sccache.dist.archive import ArchiveError, Limits, PackedMember, pack, unpack
from sccache.dist.tar import Kind


def a_file(name: str, content: bytes = b"content", **more: object) -> PackedMember:
    return PackedMember(os.fsencode(name), Kind.FILE, content=content, **more)


def a_link(name: str, target: str) -> PackedMember:
    return PackedMember(os.fsencode(name), Kind.SYMLINK, target=os.fsencode(target))


def a_directory(name: str) -> PackedMember:
    return PackedMember(os.fsencode(name), Kind.DIRECTORY)


def packed(path: Path, *members: PackedMember, threads: int = 1) -> Path:
    with path.open("wb") as out:
        pack(members, out, threads)
    return path


def by_tarfile(path: Path, *members: tarfile.TarInfo, form: int = tarfile.GNU_FORMAT, contents: bytes = b"") -> Path:
    """An archive that somebody else made; each file has the same content."""
    with tarfile.open(path, "w", format=form) as out:
        for member in members:
            if member.type in tarfile.REGULAR_TYPES:
                member.size = len(contents)
            out.addfile(member, io.BytesIO(contents))
    return path


def info(name: str, flag: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = flag, target, mode
    return made


def refused(path: Path, limits: Limits | None = None) -> str:
    """Why an archive is refused; there is nothing left of it."""
    before = sorted(os.listdir(path.parent))
    with pytest.raises(ArchiveError) as caught:
        unpack(str(path), str(path.parent / "out"), limits)
    assert sorted(os.listdir(path.parent)) == before
    return str(caught.value)


def test_members_come_back(tmp_path: Path) -> None:
    """Files with their right to be run, links, empty directories, names of any bytes and any length."""
    long = "/" + "/".join(["d" * 200] * 5)
    odd = os.fsdecode(b"/caf\xe9")
    made = packed(
        tmp_path / "a.tar.zst",
        a_file("/usr/bin/cc", b"cc", executable=True),
        a_file(long, b"far"),
        a_file(odd, b""),
        a_link("/lib", "usr/lib"),
        a_link("/etc/" + "l" * 120, "/" + "t" * 3000),
        a_directory("/usr/empty"),
    )
    out = tmp_path / "out"
    assert unpack(str(made), str(out)) == 5
    assert (out / "usr/bin/cc").read_bytes() == b"cc"
    assert stat.S_IMODE((out / "usr/bin/cc").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / odd[1:]).stat().st_mode) == 0o644
    assert (out / long[1:]).read_bytes() == b"far"
    assert os.readlink(out / "lib") == "usr/lib"
    assert os.readlink(out / ("etc/" + "l" * 120)) == "/" + "t" * 3000
    assert os.listdir(out / "usr/empty") == []
    assert archive.names(str(made)) == {"/usr/bin/cc", long, odd, "/lib", "/etc/" + "l" * 120, "/usr/empty"}


def test_other_programs_read_our_archives(tmp_path: Path) -> None:
    """They are GNU tar's format in one zstd frame."""
    made = packed(tmp_path / "a", a_file("/" + "x/" * 80 + "f", b"1" * 700, executable=True), a_link("/l", "y" * 150))
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(made.read_bytes()))) as read:
        assert {(m.name, m.mode, m.linkname, m.size, m.mtime, m.uid) for m in read} == {
            ("x/" * 80 + "f", 0o755, "", 700, 0, 0),
            ("l", 0o777, "y" * 150, 0, 0, 0),
        }


def test_bytes_do_not_depend_on_order_threads_or_times(tmp_path: Path) -> None:
    """An id names a toolchain, not the moment when it was packed, nor the machine's cores."""
    data = random.Random(6).randbytes(1 << 16) * 300
    sources = []
    for name, mode, time in (("one", 0o711, 1), ("two", 0o700, 2)):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(mode)
        os.utime(tmp_path / name, (time, time))
        sources.append(PackedMember(b"/big", Kind.FILE, source=str(tmp_path / name), executable=True))
    ids = {
        archive.digest_of(str(packed(tmp_path / "a", sources[0], a_file("/b"), threads=1))),
        archive.digest_of(str(packed(tmp_path / "b", a_file("/b"), sources[1], threads=2))),
        archive.digest_of(str(packed(tmp_path / "c", sources[0], a_file("/b"), threads=5))),
    }
    assert len(ids) == 1


def test_a_source_that_shrinks_is_no_content(tmp_path: Path) -> None:
    """A header has announced the size already."""

    class Shrinking(io.BytesIO):
        """Cuts the source off when the archive's first bytes are written."""

        def write(self, data: object, /) -> int:
            os.truncate(source, 0)
            return super().write(data)

    source = tmp_path / "source"
    source.write_bytes(random.Random(1).randbytes(32 << 20))
    with pytest.raises(ArchiveError, match="became shorter"):
        pack([PackedMember(b"/s", Kind.FILE, source=str(source))], Shrinking(), 1)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, zstandard.compress], ids=["plain", "gzip", "xz", "zstd"])
def test_archives_of_other_programs(tmp_path: Path, form: int, compress: Callable[[bytes], bytes]) -> None:
    """What an administrator made for path_override: directories of any mode, hard links, `./` before names, set-user-ids."""
    long = "long/" + "n" * 90 + "/" + "m" * 90
    plain = by_tarfile(
        tmp_path / "plain",
        info("./", tarfile.DIRTYPE, mode=0o700),
        info("./bin", tarfile.DIRTYPE, mode=0),
        info("./bin/cc", mode=0o6755),
        info("./bin/c++", tarfile.LNKTYPE, "./bin/cc"),
        info("sh", tarfile.SYMTYPE, "/bin/cc"),
        info(long),
        info("bin/", tarfile.DIRTYPE),
        form=form,
        contents=b"program",
    )
    made = tmp_path / "a.tar.x"
    made.write_bytes(compress(plain.read_bytes()))
    unpack(str(made), str(tmp_path / "out"))
    assert (tmp_path / "out/bin/c++").read_bytes() == b"program"
    assert (tmp_path / "out" / long).read_bytes() == b"program"
    assert stat.S_IMODE((tmp_path / "out/bin/cc").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "out/bin").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([info("/etc/passwd")], "is absolute"),
        ([info("../up")], "leads elsewhere"),
        ([info("a/../../up")], "leads elsewhere"),
        ([info("a/..", tarfile.DIRTYPE)], "leads elsewhere"),
        ([info("fifo", tarfile.FIFOTYPE)], "neither a file"),
        ([info("null", tarfile.CHRTYPE)], "neither a file"),
        ([info("disk", tarfile.BLKTYPE)], "neither a file"),
        ([info("sparse", tarfile.GNUTYPE_SPARSE)], "neither a file"),
        ([info("twice"), info("twice")], "is there twice"),
        ([info("twice"), info("./twice", tarfile.SYMTYPE, "/etc")], "is there twice"),
        ([info("d/f"), info("d")], "is there twice"),
        ([info("f"), info("f/below")], "and something else"),
        ([info("l", tarfile.SYMTYPE, "/tmp"), info("l/below")], "and something else"),
        ([info("l", tarfile.SYMTYPE, "/tmp"), info("l", tarfile.DIRTYPE)], "and something else"),
        ([info("l", tarfile.SYMTYPE, "../up")], "leads out"),
        ([info("a/l", tarfile.SYMTYPE, "b/../../../up")], "leads out"),
        ([info("l", tarfile.SYMTYPE, "/../up")], "leads out"),
        ([info("l", tarfile.SYMTYPE, "")], "to nothing"),
        ([info("h", tarfile.LNKTYPE, "/etc/passwd")], "is absolute"),
        ([info("h", tarfile.LNKTYPE, "../../etc/passwd")], "leads elsewhere"),
        ([info("h", tarfile.LNKTYPE, "later"), info("later")], "no file before it"),
        ([info("s", tarfile.SYMTYPE, "/etc/passwd"), info("h", tarfile.LNKTYPE, "s")], "no file before it"),
        ([info("s", tarfile.SYMTYPE, "/etc"), info("h", tarfile.LNKTYPE, "s/passwd")], "no file before it"),
        ([info("d", tarfile.DIRTYPE), info("h", tarfile.LNKTYPE, "d")], "no file before it"),
        ([info("x/" * 65 + "f")], "too deep"),
        ([info(f"{n}/{n}/f") for n in range(10)], "more than 20 members"),
        ([info(f"{n}") for n in range(21)], "more than 20 members"),
        ([info("same", tarfile.DIRTYPE)] * 21, "more than 20 members"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_attacks(tmp_path: Path, members: list[tarfile.TarInfo], why: str, form: int) -> None:
    """Ways out of the directory, kinds of files that no toolchain needs, names that mean two things, and too many of them."""
    assert why in refused(by_tarfile(tmp_path / "attack.tar", *members, form=form), Limits(members=20))


def test_an_empty_name_is_the_root(tmp_path: Path) -> None:
    """It is a directory, so it is no link to another one."""
    assert "is there twice" in refused(by_tarfile(tmp_path / "a", info(".", tarfile.SYMTYPE, "/tmp")))


def test_a_bomb_of_zeros(tmp_path: Path) -> None:
    """What would unpack to far more than its size is given up before it is written."""
    made = tmp_path / "bomb"
    with made.open("wb") as out, zstandard.ZstdCompressor().stream_writer(out) as stream:
        stream.write(tar.header(tar.Member(b"zeros", Kind.FILE, 1 << 40)))
        for _ in range(80):
            stream.write(bytes(1 << 20))
    assert "unpacks to more than" in refused(made)
    assert "more than 1000 bytes" in refused(packed(tmp_path / "big", a_file("/big", bytes(1001))), Limits(size_bytes=1000))


def test_a_bomb_of_headers(tmp_path: Path) -> None:
    """Headers without members are counted, too, and long ones are not read."""
    made = tmp_path / "bomb"
    with made.open("wb") as out, zstandard.ZstdCompressor().stream_writer(out) as stream:
        note = tar._block(b"", b"g", 1 << 20, 0o644, b"") + bytes(1 << 20)
        for _ in range(90):
            stream.write(note)
    assert "too much for its size" in refused(made, Limits(members=1000))
    for flag, size in ((b"x", (1 << 20) + 1), (b"g", 1 << 33), (b"L", (16 << 10) + 1), (b"K", 1 << 62)):
        (tmp_path / "bomb").write_bytes(tar._block(b"", flag, size, 0o644, b""))
        assert "is too long" in refused(tmp_path / "bomb")


@pytest.mark.parametrize(
    "records", [b"8 path=a\n", b"0 path=a\n", b"12345678901234567890123 p=a\n", b"path=a\n", b"-9 path=a\n", b"12 size=-10\n"]
)
def test_damaged_extended_headers(tmp_path: Path, records: bytes) -> None:
    """A length that is not the record's, and numbers that are none."""
    block = tar._block(b"p", b"x", len(records), 0o644, b"") + records + bytes(tar.padding(len(records)))
    (tmp_path / "a").write_bytes(block + tar.header(tar.Member(b"f", Kind.FILE)) + tar.END)
    assert "damaged" in refused(tmp_path / "a")


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, zstandard.compress], ids=["plain", "gzip", "xz", "zstd"])
def test_any_damage_is_an_archive_error(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """Cut off anywhere, or with any byte changed: a sentence or a success, never another exception."""
    noise = random.Random(2)
    plain = by_tarfile(tmp_path / "plain", info("d", tarfile.DIRTYPE), info("d/f"), contents=noise.randbytes(3000))
    whole = compress(plain.read_bytes()[:5632])  # with the end, without tarfile's filling up
    made = tmp_path / "a"
    for _ in range(300):
        data = bytearray(whole)
        if noise.random() < 0.3:
            del data[noise.randrange(len(data)) :]
        else:
            data[noise.randrange(len(data))] ^= 1 << noise.randrange(8)
        made.write_bytes(data)
        try:
            unpack(str(made), str(tmp_path / "out"))
        except ArchiveError:
            continue
        os.rename(tmp_path / "out", tmp_path / "gone")
        for directory, _, files in os.walk(tmp_path / "gone", topdown=False):
            for name in files:
                os.unlink(os.path.join(directory, name))
            os.rmdir(directory)
    assert not [name for name in os.listdir(tmp_path) if name not in ("plain", "a")]


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A directory that exists is not unpacked over."""
    made = packed(tmp_path / "a", a_file("/f"))
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError):
        unpack(str(made), str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == []


def test_a_link_out_is_not_packed(tmp_path: Path) -> None:
    """What no worker would unpack is refused by who packs it."""
    with pytest.raises(ArchiveError, match="leads out"):
        packed(tmp_path / "a", a_link("/usr/l", "../../up"))


def test_the_umask_does_not_matter(tmp_path: Path) -> None:
    """A worker's sandbox is another user's, who has to read all of it."""
    before = os.umask(0o077)
    try:
        unpack(str(packed(tmp_path / "a", a_file("/d/f", executable=True))), str(tmp_path / "out"))
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("", "d", "d/f")} == {0o755}
