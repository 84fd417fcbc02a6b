"""Entries: whole or refused."""

import os
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.util.test_output_files import file_size_limit

from sccache.entry import CHUNK_BYTES, MAX_CONTEXTS, PARALLEL_FROM_BYTES, add_diagnostics, open_entry, pack
from sccache.errors import DamagedError, StorageError
from sccache.model import Diagnostics, ProducedFile

SILENT = Diagnostics(b"", b"", b"")
KEY = "ab" * 32

roles = st.text(min_size=1, max_size=8)
files = st.builds(ProducedFile, roles, st.binary(max_size=5000), st.booleans())
diagnostics = st.builds(Diagnostics, st.binary(max_size=16), st.binary(max_size=2000), st.binary(max_size=2000))
paths = st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name).map(os.fsdecode)


def sample(*, large: bytes = b"") -> bytes:
    """An entry with a bit of everything."""
    outputs = [
        ProducedFile("obj", b"\x7fELF" + bytes(range(256)) * 20),
        ProducedFile("su", b"main.c:1:5:main\t16\tstatic\n", executable=True),
    ]
    if large:
        outputs.append(ProducedFile("dwo", large))
    warning = Diagnostics(b"context", b"", b"warning: unused\n" * 100)
    return pack(outputs, [warning], ["a.c", "caf\udce9.h"], "gcc 12.2.0", b"/home/u", 3, absent=["gcno"], key=KEY)


@given(
    st.lists(files, max_size=4, unique_by=lambda file: file.role),
    st.lists(diagnostics, max_size=3),
    st.lists(paths, max_size=20),
    st.binary(max_size=10),
    st.lists(roles, max_size=3),
    st.integers(-10, 30),
)
def test_what_is_packed_is_unpacked(
    outputs: list[ProducedFile], said: list[Diagnostics], depends: list[str], bound_to: bytes, absent: list[str], level: int
) -> None:
    """Every field and file comes back as it went in, at any zstd level a user may set."""
    entry = open_entry(pack(outputs, said, depends, "gcc", bound_to, level, absent=absent, key=KEY), KEY)
    assert [entry.read(output.role) for output in outputs] == [output.data for output in outputs]
    assert [entry.is_executable(output.role) for output in outputs] == [output.executable for output in outputs]
    assert entry.header.diagnostics == tuple(said)
    assert entry.header.depends == tuple(depends)
    assert (entry.header.made_by, entry.header.bound_to, entry.header.absent) == ("gcc", bound_to, tuple(absent))
    assert entry.size_bytes == sum(len(output.data) for output in outputs)


def read_all(blob: bytes) -> list[bytes]:
    """All files of an entry; DamagedError if anything is wrong with it."""
    entry = open_entry(blob)
    return [entry.read(output.role) for output in entry.header.outputs]


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(blob: bytes) -> None:
    """Whatever a file holds, reading it ends in DamagedError and nothing else."""
    with pytest.raises(DamagedError):
        read_all(blob)


@given(st.binary(max_size=300))
def test_random_bytes_behind_the_magic_are_refused(tail: bytes) -> None:
    """Nor does a good start make the rest believable."""
    with pytest.raises(DamagedError):
        read_all(sample()[:10] + tail)


def test_any_flipped_bit_is_noticed() -> None:
    """Every bit is covered by a checksum: no flip goes unnoticed, in the files or around them."""
    blob = sample()
    for place in range(len(blob)):
        damaged = bytearray(blob)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(DamagedError):
            read_all(bytes(damaged))


@given(st.data())
def test_any_truncation_or_addition_is_noticed(data: st.DataObject) -> None:
    """An entry has exactly one length."""
    blob = sample()
    with pytest.raises(DamagedError):
        read_all(blob[: data.draw(st.integers(0, len(blob) - 1))])
    with pytest.raises(DamagedError):
        read_all(blob + data.draw(st.binary(min_size=1, max_size=20)))


@given(st.integers(0, 2**30), st.binary(min_size=1, max_size=40))
def test_overwritten_parts_are_noticed(place: int, patch: bytes) -> None:
    """A block of foreign bytes anywhere gives the right files or DamagedError, never wrong files."""
    blob = sample()
    place %= len(blob)
    damaged = (blob[:place] + patch + blob[place + len(patch) :])[: len(blob)]
    try:
        files_read = read_all(damaged)
    except DamagedError:
        return
    assert damaged == blob
    assert files_read == read_all(blob)


def test_an_entry_of_another_key_is_refused() -> None:
    """A blob that a store handed out under the wrong name is not used."""
    with pytest.raises(DamagedError):
        open_entry(sample(), "cd" * 32)


def test_an_entry_of_another_version_is_refused() -> None:
    """What a newer or older program wrote is a miss, even with sound checksums."""
    blob = sample()
    prefix = blob[:8] + (2).to_bytes(2, "big") + blob[10:20]
    stored = int.from_bytes(prefix[12:16], "big")
    with pytest.raises(DamagedError, match="version"):
        open_entry(prefix + blake3(prefix + blob[52 : 52 + stored]).digest() + blob[52:])


def test_an_old_sample_still_reads() -> None:
    """Format 1 as first written: if this fails, the version must change (tests/data/entry-1.bin)."""
    blob = Path(__file__).parents[1].joinpath("data/entry-1.bin").read_bytes()
    assert read_all(blob) == read_all(sample())
    assert open_entry(blob).header == open_entry(sample()).header


def test_a_role_that_is_not_there_is_damage() -> None:
    """Asking for what was not stored must end as a miss."""
    entry = open_entry(sample())
    assert not entry.has("gcno")
    with pytest.raises(DamagedError):
        entry.read("gcno")
    with pytest.raises(DamagedError):
        entry.write("gcno", "/nonexistent/x", 0o644)


def test_diagnostics_are_those_of_the_context() -> None:
    """Text made for one terminal and locale is not shown to another; silence suits all."""
    entry = open_entry(sample())
    assert entry.diagnostics_for(b"another") is None
    said = entry.diagnostics_for(b"context")
    assert said is not None
    assert said.stderr == b"warning: unused\n" * 100
    silent = open_entry(pack([], [SILENT], [], "", b"", 3))
    assert silent.diagnostics_for(b"any") == SILENT


def test_further_contexts_are_added() -> None:
    """The same files, one more text; a known context is replaced; the number of contexts is bounded."""
    blob = sample()
    for number in range(MAX_CONTEXTS + 3):
        blob = add_diagnostics(blob, Diagnostics(b"c%d" % number, b"", b"text %d" % number), 3)
    blob = add_diagnostics(blob, Diagnostics(b"c18", b"", b"again"), 3)
    entry = open_entry(blob, KEY)
    assert read_all(blob) == read_all(sample())
    assert entry.header.depends == open_entry(sample()).header.depends
    assert len(entry.header.diagnostics) == MAX_CONTEXTS
    assert entry.diagnostics_for(b"c18") == Diagnostics(b"c18", b"", b"again")
    assert entry.diagnostics_for(b"context") is None


def test_files_are_written_with_their_mode(tmp_path: Path) -> None:
    """Mode is what the caller says, whatever the process's own umask."""
    entry = open_entry(sample())
    before = os.umask(0o077)
    try:
        for mode in (0o644, 0o755, 0o600, 0o666):
            target = tmp_path / f"{mode:o}.o"
            entry.write("obj", str(target), mode)
            assert target.stat().st_mode & 0o7777 == mode
            assert target.read_bytes() == entry.read("obj")
    finally:
        os.umask(before)


def test_a_large_file_is_written_by_several_threads(tmp_path: Path) -> None:
    """Each chunk lands at its place, compressible or not, and the last one is as short as it was."""
    size = PARALLEL_FROM_BYTES + CHUNK_BYTES // 3
    large = (os.urandom(CHUNK_BYTES) + bytes(CHUNK_BYTES)) * (size // CHUNK_BYTES // 2 + 1)
    large = large[:size]
    entry = open_entry(sample(large=large))
    entry.write("dwo", f"{tmp_path}/x.dwo", 0o644)
    assert (tmp_path / "x.dwo").read_bytes() == large
    assert entry.read("dwo") == large


@pytest.mark.parametrize("size", [CHUNK_BYTES + 1, PARALLEL_FROM_BYTES + 1])
def test_damage_found_while_writing_leaves_nothing(tmp_path: Path, size: int) -> None:
    """When the last chunk turns out to be damaged the target is as it was before."""
    blob = bytearray(pack([ProducedFile("obj", os.urandom(1000) * (size // 1000 + 1))], [], [], "", b"", 3))
    blob[-1] ^= 1
    target = tmp_path / "x.o"
    target.write_bytes(b"old")
    with pytest.raises(DamagedError):
        open_entry(bytes(blob)).write("obj", str(target), 0o644)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.o"]


@settings(max_examples=30)
@given(st.integers(0, 3 * CHUNK_BYTES), st.integers(1, 1000))
def test_sizes_around_chunks_come_back(size: int, period: int) -> None:
    """No length is special."""
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    data = data[: size // period * period]
    assert read_all(pack([ProducedFile("obj", data)], [], [], "", b"", 1)) == [data]


LONG_AGO = 1_000_000_000


@pytest.mark.parametrize("size", [0, 5, CHUNK_BYTES + 1, PARALLEL_FROM_BYTES + 1])
def test_a_file_that_is_there_already_only_gets_a_new_time(tmp_path: Path, size: int) -> None:
    """Same bytes, same mode: nothing is written, and make still sees a new file."""
    entry = open_entry(pack([ProducedFile("obj", b"some text " * (size // 10) + b"x" * (size % 10))], [], [], "", b"", 3))
    target = tmp_path / "x.o"
    entry.write("obj", str(target), 0o644)
    os.utime(target, (LONG_AGO, LONG_AGO))
    inode = target.stat().st_ino
    entry.write("obj", str(target), 0o644)
    assert (target.stat().st_ino, target.stat().st_size) == (inode, size)
    assert target.stat().st_mtime > LONG_AGO


@pytest.mark.parametrize("size", [100, PARALLEL_FROM_BYTES + 100])
@pytest.mark.parametrize("place", [0, 99, -1])
def test_a_file_with_one_other_byte_is_replaced(tmp_path: Path, size: int, place: int) -> None:
    """However alike it looks, another content is another file."""
    data = b"abcdefghij" * (size // 10)
    entry = open_entry(pack([ProducedFile("obj", data)], [], [], "", b"", 3))
    target = tmp_path / "x.o"
    other = bytearray(data)
    other[place] ^= 1
    target.write_bytes(other)
    target.chmod(0o644)
    entry.write("obj", str(target), 0o644)
    assert target.read_bytes() == data


def test_an_equal_file_of_another_kind_is_replaced(tmp_path: Path) -> None:
    """Another mode, another name for it, a link to it: these would not be as a compiler leaves them."""
    entry = open_entry(pack([ProducedFile("obj", b"data")], [], [], "", b"", 3))
    target, other = tmp_path / "x.o", tmp_path / "other"
    entry.write("obj", str(target), 0o600)
    entry.write("obj", str(target), 0o644)
    assert target.stat().st_mode & 0o7777 == 0o644
    os.link(target, other)
    entry.write("obj", str(target), 0o644)
    assert (target.stat().st_nlink, other.stat().st_nlink) == (1, 1)
    target.unlink()
    target.symlink_to("other")
    entry.write("obj", str(target), 0o644)
    assert not target.is_symlink()


def test_what_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    """The caller compiles instead: the message names the file."""
    with pytest.raises(StorageError, match=r"missing/x\.o"):
        open_entry(sample()).write("obj", f"{tmp_path}/missing/x.o", 0o644)
    with file_size_limit(1000), pytest.raises(StorageError, match="cannot write"):
        open_entry(sample()).write("obj", f"{tmp_path}/x.o", 0o644)
    assert os.listdir(tmp_path) == []
