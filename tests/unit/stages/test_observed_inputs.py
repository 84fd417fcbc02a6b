"""What of an observed run is an input, what is its own, what must not be kept."""

import os
import time
from pathlib import Path

import msgspec
import pytest

from sccache.compilers.families import rules_of
from sccache.config.schema import PreprocessorConfig
from sccache.entry import open_entry, pack
from sccache.errors import DamagedError
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.hashing.listing import PRESENT
from sccache.hashing.stamps import stamp_of
from sccache.model import CompileRequest, Diagnostics, Output, ProducedFile
from sccache.preprocessor_cache.manifest import Input, Variant
from sccache.stages.observation import Observation, Seen
from sccache.stages.observed_inputs import CHANGED, TIME_MACROS, UNKNOWN, Found, judge, spelled_names
from sccache.stages.observed_job import ObservedJob, Program
from sccache.stages.observed_roots import find
from sccache.stages.places import Places

LONG_AGO_NS = 1_600_000_000 * 10**9
RULES = rules_of("wizard")


class Place:
    """A directory with a job in it, and what a run of it did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "out").mkdir()
        self.compiler = self.file("bin/cc1", b"\x7fELF\0")
        self.source = self.file("a.c", b"int x;")
        program = Program(str(self.compiler), "cc1", ("-c", "a.c"), (str(self.compiler),), (), {}, transparent=True, made_by="cc1")
        self.job = ObservedJob(
            request=CompileRequest(("cc1", "-c", "a.c"), str(folder), {"TMPDIR": str(folder / "tmp")}, 0o022, knows_environment=True),
            label="a.o",
            names=("C/C++", "c [cc1]"),
            program=program,
            rules=RULES,
            sources=((str(self.source), digest(b"int x;")),),
            spelled=("a.c",),
            outputs=(Output("obj", "out/a.o"),),
            records=(("arguments", ("-c",)),),
            extra=(),
            roots=find((), str(folder), ""),
            places=Places(),
            preprocessor=PreprocessorConfig(),
            context=b"",
            trail="",
        )

    def file(self, name: str, content: bytes = b"text\n") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
        return path

    def read(self, name: str, index: int = 0) -> Seen:
        return Seen(str(self.folder / name), stamp_of(os.stat(self.folder / name)), index)

    def made(self, *names: str) -> dict[str, int]:
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(b"made")
        return {str(self.folder / name): 50 + index for index, name in enumerate(names)}

    def judge(self, **seen: object) -> Found | str:
        return judge(self.job, Observation(**seen), FileMemory(), time.time_ns())  # type: ignore[arg-type]

    def found(self, **seen: object) -> Found:
        found = self.judge(**seen)
        assert isinstance(found, Found), found
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def names(found: Found, place: Place) -> set[str]:
    return {os.path.relpath(known.path, place.folder) for known in found.inputs}


def test_reads_looks_and_programs_are_inputs(place: Place) -> None:
    """A file that was opened, one that was only looked at, the program itself."""
    place.file("h.h")
    place.file("looked.h")
    found = place.found(reads=(place.read("h.h"),), looked=(place.read("looked.h"),), executed=(str(place.compiler),))
    assert names(found, place) == {"h.h", "looked.h", "bin/cc1"}


def test_what_the_run_made_is_no_input(place: Place) -> None:
    """Nor is an output as it was before, nor what was in a directory that is gone again."""
    first = place.made("out/a.o")
    gone = str(place.folder / "scratch")
    read = Seen(f"{gone}/x", (1, 2, 3, 4, 5), 60)
    found = place.found(reads=(place.read("out/a.o", 10), read), first_written={**first, gone: 55})
    assert found.inputs == ()


def test_a_file_that_is_read_and_then_written_is_an_input_that_changed(place: Place) -> None:
    """The result rests on what it was."""
    place.file("state")
    before = place.read("state", 1)
    written = place.made("state")
    place.job = msgspec.structs.replace(place.job, made_in=(str(place.folder),))
    assert place.judge(reads=(before,), first_written=written) == CHANGED


def test_an_input_that_changed_meanwhile(place: Place) -> None:
    """Its stamp is not the one that the program saw."""
    place.file("h.h")
    before = place.read("h.h")
    (place.folder / "h.h").write_bytes(b"other")
    assert place.judge(reads=(before,)) == CHANGED


def test_names_looked_for_in_vain(place: Place) -> None:
    """They are kept; one that is there now changed meanwhile."""
    found = place.found(absent=(str(place.folder / "inc/h.h"),))
    assert found.absent == {str(place.folder / "inc"): ("h.h/",)}
    place.file("inc/h.h")
    assert place.judge(absent=(str(place.folder / "inc/h.h"),)) == CHANGED


def test_directories(place: Place) -> None:
    """A list of names counts; a directory that was looked at and holds no input need only be there; temporary ones do not count."""
    (place.folder / "tmp").mkdir()
    (place.folder / "inc").mkdir()
    place.file("list/a")
    listed = (str(place.folder / "list"), str(place.folder / "tmp"))
    found = place.found(listed=listed, directories=(str(place.folder / "inc"), str(place.folder / "tmp")))
    rows = dict(found.listings)
    assert rows.keys() == {str(place.folder / "list"), str(place.folder / "inc")}
    assert rows[str(place.folder / "inc")] == PRESENT


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"trouble": "cut short"}, UNKNOWN),
        ({"unknown": ("io_uring",)}, UNKNOWN),
        ({"network": ("family 2",)}, RULES.network),
        ({"clocks": ("/plugin.so",)}, RULES.clock),
        ({"others": ("/dev/nvidia0",)}, UNKNOWN),
        ({"reads": (Seen("/proc/cpuinfo", (1, 1, 1, 1, 1), 0),)}, UNKNOWN),
    ],
)
def test_objections(place: Place, seen: dict[str, object], reason: str) -> None:
    """What cannot be compared, or would be different another time."""
    assert place.judge(**seen) == reason


def test_further_files(place: Place) -> None:
    """A file that no command line foresees, one where it may be made, a removed one."""
    written = place.made("out/a.o", "keep/x.ii")
    assert place.judge(first_written=written) == RULES.writes
    place.job = msgspec.structs.replace(place.job, made_in=(str(place.folder / "keep"),))
    assert place.found(first_written=written).further == (str(place.folder / "keep/x.ii"),)
    removed = str(place.folder / "removed")
    assert place.judge(first_written={removed: 9}, looked=(Seen(removed, (1, 1, 1, 1, 1), 3),)) == RULES.writes


def test_litter_of_the_compiler(place: Place) -> None:
    """A temporary file of a random name that was left is nobody's; one that the command line names is."""
    written = place.made("tmp/x-12ab", "tmp/x-12ab.d/more")
    made = {**written, str(place.folder / "tmp/x-12ab.d"): 3}
    place.found(first_written=made)
    program = msgspec.structs.replace(place.job.program, args=(f"-foo={place.folder}/tmp/x-12ab",))
    place.job = msgspec.structs.replace(place.job, program=program)
    assert place.judge(first_written=made) == RULES.writes


def test_what_was_in_the_temporary_directory_before(place: Place) -> None:
    """Somebody builds there."""
    assert place.judge(first_written=place.made("tmp/project/report.txt")) == RULES.writes


def test_a_link_where_further_files_are_made(place: Place) -> None:
    """It could lead anywhere."""
    place.job = msgspec.structs.replace(place.job, made_in=(str(place.folder / "keep"),))
    (place.folder / "keep").mkdir()
    (place.folder / "keep" / "link").symlink_to(place.source)
    assert place.judge(first_written={str(place.folder / "keep" / "link"): 5}) == RULES.writes


@pytest.mark.parametrize(("name", "everything"), [("as", False), ("wizard", False), ("codegen", True)])
def test_programs_that_are_no_tools_may_read_all_variables(place: Place, name: str, *, everything: bool) -> None:
    """What a tool reads is seen, of another nobody knows."""
    tool = place.file(f"bin/{name}", b"\x7fELF\0")
    assert place.found(executed=(str(tool),)).reads.everything is everything


def test_a_program_that_is_no_tool_and_reads_the_clock(place: Place) -> None:
    """It may write the time; a compiler reads it to measure itself."""
    other = str(place.file("bin/codegen", b"\x7fELF\0"))
    assert place.judge(executed=(other,), tool_clocks=(other,)) == RULES.clock
    assert place.found(executed=(str(place.compiler),), tool_clocks=(str(place.compiler),)).reads.everything is False


def test_scripts(place: Place) -> None:
    """What a script reads is in its text; one that tells itself the time may write it."""
    script = place.file("bin/wrapper", b'#!/bin/sh\nexec gcc $EXTRA "$@"\n')
    reads = place.found(executed=(str(script),)).reads
    assert "EXTRA" in reads.tool
    assert not reads.everything
    script = place.file("bin/untold", b'#!/bin/sh\neval "$@"\n')
    assert place.found(executed=(str(script),)).reads.everything
    script = place.file("bin/random", b"#!/bin/bash\nexec gcc -DN=$RANDOM $@\n")
    assert place.judge(executed=(str(script),)) == RULES.clock


def test_macros_for_dates(place: Place) -> None:
    """In a source they stand for another time; in a program they are only words.  A setting takes them for harmless."""
    place.file("h.h", b"const char *when = __DATE__;\n")
    assert place.judge(reads=(place.read("h.h"),)) == TIME_MACROS
    place.file("lib.so", b"\x7fELF\0__DATE__")
    place.found(reads=(place.read("lib.so"),))
    place.job = msgspec.structs.replace(place.job, preprocessor=PreprocessorConfig(ignore_time_macros=True))
    place.found(reads=(place.read("h.h"),))


def test_macros_for_dates_that_are_pasted_together(place: Place) -> None:
    """In two files, too; a piece alone, or pasting alone, is nothing."""
    place.file("paste.h", b"#define P(a, b) a ## b\n")
    place.file("use.cu", b"const char *now = P(__TI, ME__);\n")
    place.found(reads=(place.read("paste.h"),))
    place.found(reads=(place.read("use.cu"),))
    assert place.judge(reads=(place.read("paste.h"), place.read("use.cu"))) == TIME_MACROS


def spelled(place: Place, content: bytes, *args: str) -> tuple[str, ...]:
    header = place.file("h.h", content)
    program = msgspec.structs.replace(place.job.program, args=tuple(arg.replace("HERE", str(place.folder)) for arg in args))
    job = msgspec.structs.replace(place.job, program=program)
    return spelled_names(job, Found((Input(str(header), b"", 0),), (), {}, (), place.found().reads))


def test_a_directory_in_a_definition_may_be_computed_with(place: Place) -> None:
    """Where headers are searched is the compiler's affair, unless a source asks for its name."""
    assert spelled(place, b"int x;", "-IHERE/inc", "-c", "a.c") == ("-c",)
    assert f'-DROOT="{place.folder}"' in spelled(place, b"int x;", '-DROOT="HERE"', "-c", "a.c")
    assert f"-I{place.folder}/inc" in spelled(place, b"char n[sizeof __FILE__];", "-IHERE/inc", "-c", "a.c")


def test_further_files_are_restored_only_where_they_may_be(place: Place) -> None:
    """An entry may come from anybody: a name that leads out of the directory is refused."""
    job = msgspec.structs.replace(place.job, outputs=(), made_in=(str(place.folder / "keep"),))
    for role, is_right in (("+keep/x", True), ("+keep/../../x", False), ("+/etc/x", False), ("+keep", False)):
        key = digest(role.encode()).hex()
        blob = pack((ProducedFile(role, b"y"),), [Diagnostics(b"", b"", b"")], depends=(), made_by="", bound_to=b"", level=1, key=key)
        if is_right:
            job.restore(open_entry(blob, key))
            assert (place.folder / "keep" / "x").read_bytes() == b"y"
        else:
            with pytest.raises(DamagedError):
                job.restore(open_entry(blob, key))


def test_an_output_that_is_a_link_is_the_compilers(place: Place) -> None:
    """Some write through it, some replace it."""
    key = digest(b"linked").hex()
    entry = open_entry(
        pack((ProducedFile("obj", b"y"),), [Diagnostics(b"", b"", b"")], depends=(), made_by="", bound_to=b"", level=1, key=key), key
    )
    (place.folder / "real.o").write_bytes(b"old")
    (place.folder / "out" / "a.o").symlink_to(place.folder / "real.o")
    with pytest.raises(OSError, match="link"):
        place.job.restore(entry)
    assert (place.folder / "real.o").read_bytes() == b"old"
    (place.folder / "out" / "a.o").unlink()
    place.job.restore(entry)
    assert (place.folder / "out" / "a.o").read_bytes() == b"y"


def test_times_count_beside_a_precompiled_header(place: Place) -> None:
    """clang refuses one whose headers are newer."""
    header = place.file("h.h")
    facts = FileMemory().facts(str(header))
    assert facts is not None
    known = Input(str(header), facts.digest, facts.size, facts.mtime_ns, facts.ctime_ns)
    pch = place.file("h.pch")
    with_pch = (known, Input(str(pch), b"", 0, pch.stat().st_mtime_ns))
    assert place.job.still_applies(Variant(inputs=with_pch, absent={}, result_key=""), FileMemory())
    os.utime(header, ns=(LONG_AGO_NS + 10**9, LONG_AGO_NS + 10**9))
    assert not place.job.still_applies(Variant(inputs=with_pch, absent={}, result_key=""), FileMemory())
    assert place.job.still_applies(Variant(inputs=(known,), absent={}, result_key=""), FileMemory())
