"""FileMemory: contents remembered by stamp, and watches over inputs and over what must stay absent."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory, Watch
from sccache.hashing.stamps import StampTable

Write = Callable[[Path, bytes], None]
Create = Callable[[Path], None]


def watched(memory: FileMemory, *paths: Path, absent: dict[Path, list[str]] | None = None) -> Watch | None:
    inputs = [(str(path), digest(path.read_bytes())) for path in paths]
    return memory.watch(inputs, {str(place): names for place, names in (absent or {}).items()})


def is_remembered(memory: FileMemory, path: Path) -> bool:
    id_ = memory._ids.get(str(path))
    return id_ is not None and memory._table.stamp(id_) is not None


# -- facts


def test_facts_are_those_of_the_content(memory: FileMemory, tmp_path: Path) -> None:
    """Digest, size, times and flags of a regular file."""
    file = tmp_path / "f.c"
    file.write_bytes(b"char t[] = __TIME__;")
    facts = memory.facts(str(file))
    assert facts is not None
    st = file.stat()
    assert (facts.digest, facts.size) == (digest(b"char t[] = __TIME__;"), 20)
    assert (facts.mtime_ns, facts.ctime_ns, facts.time_macros) == (st.st_mtime_ns, st.st_ctime_ns, 1)
    assert memory.facts(str(file)) is facts


def test_no_facts_of_what_is_no_readable_file(memory: FileMemory, tmp_path: Path) -> None:
    """A directory, a FIFO (without waiting for a writer), a device, a missing file and a dangling link have none."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/null"), tmp_path / "missing", tmp_path / "link"):
        assert memory.facts(str(path)) is None
    assert memory.facts_many([str(tmp_path), str(tmp_path / "missing")]) == [None, None]


def test_a_changed_file_has_new_facts(memory: FileMemory, tmp_path: Path, write: Write) -> None:
    """Facts follow the content; also a file that went and came."""
    file = tmp_path / "f"
    file.write_bytes(b"one")
    first = memory.facts(str(file))
    write(file, b"two")
    second, third = memory.facts_many([str(file), str(tmp_path / "missing")])
    assert first is not None
    assert second is not None
    assert third is None
    assert second.digest == digest(b"two")
    file.unlink()
    assert memory.facts(str(file)) is None
    file.write_bytes(b"two")
    assert memory.facts(str(file)) is not None


def test_same_size_and_mtime_is_no_alibi(memory: FileMemory, tmp_path: Path, write: Write) -> None:
    """A header rewritten in place whose mtime was put back is read again: its ctime tells."""
    file = tmp_path / "f.h"
    file.write_bytes(b"one")
    times = file.stat()
    watch = watched(memory, file)
    assert watch is not None
    write(file, b"two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not memory.holds(watch)
    facts = memory.facts(str(file))
    assert facts is not None
    assert facts.digest == digest(b"two")
    assert facts.mtime_ns == times.st_mtime_ns


def test_a_replaced_file_is_read_again(memory: FileMemory, tmp_path: Path) -> None:
    """A file renamed over another, with its size and times, has another inode."""
    file, other = tmp_path / "f", tmp_path / "g"
    file.write_bytes(b"one")
    other.write_bytes(b"two")
    os.utime(file, ns=(5, 5))
    os.utime(other, ns=(5, 5))
    watch = watched(memory, file)
    assert watch is not None
    other.replace(file)
    assert not memory.holds(watch)


def test_fresh_files_are_not_remembered(table_type: type[StampTable], tmp_path: Path) -> None:
    """A file changed within the clock's granularity of being read could change again unseen: it is read each time."""
    file = tmp_path / "f"
    file.write_bytes(b"x")
    now_ns = file.stat().st_ctime_ns + 5_000_000
    memory = FileMemory(clock_ns=lambda: now_ns, table=table_type)
    watch = watched(memory, file)
    assert watch is not None
    assert not is_remembered(memory, file)
    assert memory.holds(watch)
    now_ns += 100_000_000
    assert memory.holds(watch)
    assert is_remembered(memory, file)


def test_files_of_the_future_are_not_remembered(memory: FileMemory, tmp_path: Path) -> None:
    """An mtime to come says nothing about the past."""
    file = tmp_path / "f"
    file.write_bytes(b"x")
    later_ns = time.time_ns() + 3600 * 10**9
    os.utime(file, ns=(later_ns, later_ns))
    assert memory.facts(str(file)) is not None
    assert not is_remembered(memory, file)


# -- watching inputs


def test_a_watch_needs_the_contents(memory: FileMemory, tmp_path: Path) -> None:
    """There is no watch if an input has another content, or is missing."""
    file = tmp_path / "f"
    file.write_bytes(b"x")
    assert memory.watch([(str(file), digest(b"x"))], {}) is not None
    assert memory.watch([(str(file), digest(b"y"))], {}) is None
    assert memory.watch([(str(tmp_path / "missing"), digest(b"x"))], {}) is None


def test_only_contents_matter(memory: FileMemory, tmp_path: Path, write: Write) -> None:
    """A touched file holds; a changed one does not; changed back, it holds again."""
    file = tmp_path / "f"
    file.write_bytes(b"x")
    watch = watched(memory, file)
    assert watch is not None
    write(file, b"x")
    assert memory.holds(watch)
    write(file, b"y")
    assert not memory.holds(watch)
    write(file, b"x")
    assert memory.holds(watch)
    file.unlink()
    assert not memory.holds(watch)


def test_one_file_in_many_watches(memory: FileMemory, tmp_path: Path, write: Write) -> None:
    """A change that one watch has noticed is not lost to the next."""
    file = tmp_path / "f"
    file.write_bytes(b"x")
    first, second = watched(memory, file), watched(memory, file)
    assert first is not None
    assert second is not None
    write(file, b"y")
    assert not memory.holds(first)
    assert not memory.holds(second)
    assert watched(memory, file) is not None
    assert not memory.holds(first)


def test_a_retargeted_link(memory: FileMemory, tmp_path: Path) -> None:
    """A link counts as what it leads to: to another content it does not hold, to an equal one it does."""
    for name, data in (("a", b"x"), ("b", b"y"), ("c", b"x")):
        (tmp_path / name).write_bytes(data)
    link = tmp_path / "link"
    link.symlink_to("a")
    watch = watched(memory, link)
    assert watch is not None
    link.unlink()
    link.symlink_to("b")
    assert not memory.holds(watch)
    link.unlink()
    link.symlink_to("c")
    assert memory.holds(watch)


# -- watching absences


def test_a_name_that_appears(memory: FileMemory, tmp_path: Path, create: Create) -> None:
    """A header that shadows another makes a watch fail; other files in its directory do not."""
    watch = watched(memory, absent={tmp_path: ["shadow.h", "other.h"]})
    assert watch is not None
    create(tmp_path / "unrelated.h")
    assert memory.holds(watch)
    create(tmp_path / "shadow.h")
    assert not memory.holds(watch)
    (tmp_path / "shadow.h").unlink()
    assert memory.holds(watch)


def test_every_watch_looks_for_its_own_names(memory: FileMemory, tmp_path: Path, create: Create) -> None:
    """That one watch found a changed directory harmless says nothing about the names of another."""
    first = watched(memory, absent={tmp_path: ["a.h"]})
    second = watched(memory, absent={tmp_path: ["b.h"]})
    assert first is not None
    assert second is not None
    create(tmp_path / "b.h")
    assert memory.holds(first)
    assert not memory.holds(second)
    assert watched(memory, absent={tmp_path: ["b.h"]}) is None


@pytest.mark.parametrize("appears", ["directory", "file", "link"])
def test_a_directory_known_to_be_missing_may_appear(memory: FileMemory, tmp_path: Path, appears: str) -> None:
    """That it was missing when another watch was made is not believed: watches of before fail, new ones see what is there."""
    place = tmp_path / "a" / "b"
    before = watched(memory, absent={place: ["x.h"]})
    assert before is not None
    assert memory.holds(before)
    match appears:
        case "directory":
            place.mkdir(parents=True)
        case "file":
            (tmp_path / "a").write_bytes(b"")
        case _:
            (tmp_path / "elsewhere" / "b").mkdir(parents=True)
            (tmp_path / "a").symlink_to("elsewhere")
    assert not memory.holds(before)
    after = watched(memory, absent={place: ["x.h"]})
    assert after is not None
    assert memory.holds(after)
    if appears != "file":
        (place / "x.h").touch()
        assert not memory.holds(after)
        assert watched(memory, absent={place: ["x.h"]}) is None


def test_programs_have_no_flags_however_large(memory: FileMemory, tmp_path: Path) -> None:
    """A large program is read in chunks: same digest, and no flags for the time macros that stand in it."""
    data = b"\x7fELF" + b"__TIME__ .incbin " * 100_000
    (tmp_path / "cc1").write_bytes(data)
    facts = memory.facts(str(tmp_path / "cc1"))
    assert facts is not None
    assert (facts.digest, facts.size, facts.time_macros) == (digest(data), len(data), 0)


def test_a_directory_that_appears(memory: FileMemory, tmp_path: Path, create: Create) -> None:
    """A missing directory is watched by its topmost missing parent; once there, the names in it count."""
    wanted = {tmp_path / "a" / "b": ["x.h"], tmp_path / "a" / "c": ["y.h"]}
    watch = watched(memory, absent=wanted)
    assert watch is not None
    assert len(watch.pairs) == 8
    assert memory.holds(watch)
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert not memory.holds(watch)
    again = watched(memory, absent=wanted)
    assert again is not None
    create(tmp_path / "a" / "b" / "x.h")
    assert watched(memory, absent=wanted) is None


def test_a_directory_that_goes(memory: FileMemory, tmp_path: Path) -> None:
    """Nothing is in a directory that is gone, until it is back."""
    place = tmp_path / "d"
    place.mkdir()
    watch = watched(memory, absent={place: ["x.h"]})
    assert watch is not None
    place.rmdir()
    assert memory.holds(watch)
    assert memory.holds(watch)
    place.mkdir()
    (place / "x.h").touch()
    assert not memory.holds(watch)


def test_directories_that_swap_names(memory: FileMemory, tmp_path: Path) -> None:
    """A directory renamed into place brings its files (ccache#1443)."""
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "x.h").touch()
    watch = watched(memory, absent={tmp_path / "empty": ["x.h"]})
    assert watch is not None
    (tmp_path / "empty").rename(tmp_path / "old")
    (tmp_path / "full").rename(tmp_path / "empty")
    assert not memory.holds(watch)


def test_a_directory_is_no_header(memory: FileMemory, tmp_path: Path, create: Create) -> None:
    """A directory of a header's name is not in its way; a file in the directory's place is."""
    (tmp_path / "map").mkdir()
    watch = watched(memory, absent={tmp_path: ["map"]})
    assert watch is not None
    (tmp_path / "map").rmdir()
    create(tmp_path / "map")
    assert not memory.holds(watch)


def test_a_file_where_a_directory_is_looked_for(memory: FileMemory, tmp_path: Path) -> None:
    """Nothing is below a file; if it becomes a directory, the watch can no longer tell."""
    (tmp_path / "version").touch()
    wanted = {tmp_path / "version": ["x.h"], tmp_path / "version" / "sub": ["y.h"]}
    watch = watched(memory, absent=wanted)
    assert watch is not None
    (tmp_path / "version").unlink()
    (tmp_path / "version").mkdir()
    assert not memory.holds(watch)
    assert watched(memory, absent=wanted) is not None


def test_a_dangling_link_that_comes_to_lead_somewhere(memory: FileMemory, tmp_path: Path) -> None:
    """What a link leads to can appear without the link's directory changing."""
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "x.h").symlink_to("../elsewhere.h")
    watch = watched(memory, absent={tmp_path / "inc": ["x.h", "y.h"]})
    assert watch is not None
    assert memory.holds(watch)
    (tmp_path / "elsewhere.h").mkdir()
    assert memory.holds(watch)
    (tmp_path / "elsewhere.h").rmdir()
    (tmp_path / "elsewhere.h").touch()
    assert not memory.holds(watch)
    assert watched(memory, absent={tmp_path / "inc": ["x.h", "y.h"]}) is None


def test_a_link_that_appears(memory: FileMemory, tmp_path: Path, create: Create) -> None:
    """A new dangling link makes a watch fail (it might lead somewhere unseen later); a new watch can cope with it."""
    watch = watched(memory, absent={tmp_path: ["x.h"]})
    assert watch is not None
    (tmp_path / "x.h").symlink_to("nowhere")
    create(tmp_path / "unrelated")
    again = watched(memory, absent={tmp_path: ["x.h"]})
    assert again is not None
    (tmp_path / "nowhere").touch()
    assert not memory.holds(watch)
    assert not memory.holds(again)


def test_a_directory_changed_just_now_is_looked_at_each_time(table_type: type[StampTable], tmp_path: Path) -> None:
    """Within the clock's granularity a new name need not change its directory's time."""
    now_ns = tmp_path.stat().st_mtime_ns + 5_000_000
    memory = FileMemory(clock_ns=lambda: now_ns, table=table_type)
    watch = watched(memory, absent={tmp_path: ["x.h"]})
    assert watch is not None
    times = tmp_path.stat()
    (tmp_path / "x.h").touch()
    os.utime(tmp_path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not memory.holds(watch)


def test_the_root_directory(memory: FileMemory) -> None:
    """Names can be absent from `/`."""
    assert watched(memory, absent={Path("/"): ["no-such-header.h"]}) is not None
    assert watched(memory, absent={Path("/"): ["dev"]}) is not None


# -- file_stat_matches


def test_a_stat_that_matches_is_trusted(memory: FileMemory, tmp_path: Path, write: Write) -> None:
    """Size and times as recorded: the file is watched without being read, until its stamp changes."""
    file = tmp_path / "f"
    file.write_bytes(b"xxx")
    st = file.stat()
    wanted = memory.trusted_digest(str(file), 3, st.st_mtime_ns, st.st_ctime_ns)
    assert wanted is not None
    assert wanted != digest(b"xxx")
    watch = memory.watch([(str(file), wanted)], {})
    assert watch is not None
    assert memory.holds(watch)
    write(file, b"yyy")
    assert not memory.holds(watch)


def test_a_stat_that_does_not_match_is_not_trusted(memory: FileMemory, tmp_path: Path) -> None:
    """Another size, mtime or ctime, or an mtime that was not recorded, is no reason to trust; a ctime of 0 is not compared."""
    file = tmp_path / "f"
    file.write_bytes(b"xxx")
    st = file.stat()
    path, mtime_ns, ctime_ns = str(file), st.st_mtime_ns, st.st_ctime_ns
    assert memory.trusted_digest(path, 4, mtime_ns, ctime_ns) is None
    assert memory.trusted_digest(path, 3, mtime_ns + 1, ctime_ns) is None
    assert memory.trusted_digest(path, 3, mtime_ns, ctime_ns + 1) is None
    assert memory.trusted_digest(path, 3, 0, ctime_ns) is None
    assert memory.trusted_digest(str(tmp_path / "missing"), 0, 5, 5) is None
    assert memory.trusted_digest(path, 3, mtime_ns, 0) is not None


def test_a_trusted_file_is_known_by_content_where_it_was_read(memory: FileMemory, tmp_path: Path) -> None:
    """Trusting costs nothing that was known, and reading later gives true facts."""
    file = tmp_path / "f"
    file.write_bytes(b"xxx")
    st = file.stat()
    assert memory.trusted_digest(str(file), 3, st.st_mtime_ns, 0) != digest(b"xxx")
    facts = memory.facts(str(file))
    assert facts is not None
    assert facts.digest == digest(b"xxx")
    assert memory.trusted_digest(str(file), 3, st.st_mtime_ns, 0) == digest(b"xxx")


# -- keeping and bounds


def test_a_memory_survives(memory: FileMemory, tmp_path: Path, table_type: type[StampTable]) -> None:
    """What was saved is known to the next daemon without reading, unless the file changed meanwhile."""
    known, changed = tmp_path / "known \udcff", tmp_path / "changed"
    for file in (known, changed):
        file.write_bytes(b"__DATE__")
    before = memory.facts_many([str(known), str(changed)])
    memory.save(str(tmp_path / "saved"))
    replacement = tmp_path / "replacement"
    replacement.write_bytes(b"other")
    replacement.replace(changed)
    after = FileMemory(clock_ns=lambda: 0, table=table_type)  # at time 0 nothing that it reads itself is settled
    after.load(str(tmp_path / "saved"))
    assert after.facts(str(known)) == before[0]
    assert is_remembered(after, known)
    facts = after.facts(str(changed))
    assert facts is not None
    assert facts.digest == digest(b"other")


def test_what_was_loaded_and_not_used_is_saved_again(tmp_path: Path, memory: FileMemory, table_type: type[StampTable]) -> None:
    """A memory loses nothing by passing through a daemon that had other work; up to its bound, what was used comes first."""
    files = [tmp_path / f"f{n}" for n in range(4)]
    for file in files:
        file.write_bytes(b"x")
    memory.facts_many([str(file) for file in files])
    memory.save(str(tmp_path / "saved"))
    small = FileMemory(clock_ns=memory._clock_ns, table=table_type, max_files=2)
    small.load(str(tmp_path / "saved"))
    small.facts(str(files[3]))
    small.save(str(tmp_path / "saved"))
    third = FileMemory(table=table_type)
    third.load(str(tmp_path / "saved"))
    assert sorted(third._loaded._where) == [str(files[0]), str(files[3])]


@pytest.mark.parametrize("damage", [b"", b"SCFM", b"SCFM\x01" + bytes(40), b"something else entirely"])
def test_a_damaged_memory_is_an_empty_one(memory: FileMemory, tmp_path: Path, damage: bytes) -> None:
    """Whatever is in the file, loading does not fail."""
    (tmp_path / "saved").write_bytes(damage)
    memory.load(str(tmp_path / "saved"))
    memory.load(str(tmp_path / "missing"))
    assert len(memory._loaded) == 0


def test_the_memory_is_bounded(tmp_path: Path, memory: FileMemory, table_type: type[StampTable]) -> None:
    """Past the bound the older half is forgotten; old watches then no longer tell, and nothing is wrong."""
    small = FileMemory(clock_ns=memory._clock_ns, table=table_type, max_files=10)
    file = tmp_path / "f"
    file.write_bytes(b"x")
    watch = watched(small, file)
    assert watch is not None
    for number in range(60):
        path = tmp_path / f"n{number}"
        path.write_bytes(b"%d" % number)
        assert watched(small, path) is not None
    assert len(small._table) <= 20
    assert not small.holds(watch)
    assert watched(small, file) is not None


def test_two_threads(table_type: type[StampTable], tmp_path: Path) -> None:
    """Facts asked for by several threads while files change are always those of some content that the file had."""
    memory = FileMemory(table=table_type)
    files = [tmp_path / f"f{n}" for n in range(10)]
    for file in files:
        file.write_bytes(b"0")
    contents = {digest(b"0"), digest(b"1")}
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(10):
            found = memory.facts_many([str(file) for file in files])
            wrong.extend(facts for facts in found if facts is None or (facts.size and facts.digest not in contents))
            watched(memory, files[0], absent={tmp_path: ["x.h"], tmp_path / "no": ["y.h"]})

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for file in files:
        file.write_bytes(b"1")
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all(facts is not None and facts.digest == digest(b"1") for facts in memory.facts_many([str(file) for file in files]))
