"""Observed compiles for a farm: what is sent, and which results from there are used."""

import os
import re
import time
from pathlib import Path

import msgspec
import pytest

from sccache.compilers.families import rules_of
from sccache.config.schema import PreprocessorConfig
from sccache.dist.client_toolchains import Packed
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.model import CompileRequest, Output
from sccache.preprocessor_cache.absent import Listings
from sccache.preprocessor_cache.includes import IncludeMemory
from sccache.stages import distributed_observed, observation
from sccache.stages.bench import Memories
from sccache.stages.distributed_observed import Reach
from sccache.stages.distribution import Again, Compiler, Work, WorkOrder
from sccache.stages.hands import Command
from sccache.stages.observed_job import ObservedJob, Program
from sccache.stages.observed_results import Attempt
from sccache.stages.observed_roots import find
from sccache.stages.places import Places

LONG_AGO_NS = 1_600_000_000 * 10**9
PACKED = Packed("0" * 64, "/nowhere", "/usr/bin/wizard", frozenset({"/usr/bin/wizard"}))
COMPILER = Compiler("/usr/bin/wizard", "wizard", b"identity")


class Client:
    """A directory with a source, and an order made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "out").mkdir()
        self.source = self.file("src/a.w", b"text")
        self.other = self.file("src/b.w", b"more")
        self.memories = Memories(FileMemory(), IncludeMemory(), Listings(), Places())
        self.env = {"LANG": "C", "MY_TOKEN": "secret", "WIZARD_KEY": "secret", "WIZARD_HAT": "tall", "EDITOR": "ed"}
        self.reach = Reach(
            (str(self.source), str(self.other), str(folder / "gone")),
            (str(folder / "src"),),
            frozenset({str(folder / "src")}),
            re.compile("WIZARD_.*|MY_.*"),
        )

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
        return path

    def attempt(self, **changes: object) -> Attempt:
        program = Program("/usr/bin/wizard", "wizard", ("src/a.w",), ("/usr/bin/wizard",), (), {}, transparent=True, made_by="w")
        job = ObservedJob(
            request=CompileRequest(("wizard", "src/a.w"), str(self.folder), self.env, 0o022, knows_environment=True),
            label="a.o",
            names=("W", "w"),
            program=program,
            rules=rules_of("wizard"),
            sources=((str(self.source), digest(b"text")),),
            spelled=("src/a.w",),
            outputs=(Output("obj", "out/a.o"), Output("su", "out/a.su", required=False)),
            records=(),
            extra=(),
            roots=find((), str(self.folder), ""),
            places=Places(),
            preprocessor=PreprocessorConfig(),
            context=b"",
            trail="",
        )
        job = msgspec.structs.replace(job, **changes)
        command = Command("/usr/bin/wizard", ("src/a.w",))
        return Attempt(job, command, str(self.folder / "report"), {}, Places().enter([]), time.time_ns())

    def work(self, **changes: object) -> Work | str:
        return distributed_observed.work(self.attempt(**changes), COMPILER, lambda: self.reach, self.memories)

    def order(self) -> WorkOrder:
        work = self.work()
        assert isinstance(work, Work)
        order = work.order(PACKED)
        assert isinstance(order, WorkOrder), order
        return order

    def accepted(self, *records: str, left: tuple[str, ...] = ()) -> bytes | str | Again:
        report = b"\0".join(os.fsencode(record) for record in (*records, ".", ""))
        accept = self.order().accept
        assert accept is not None
        return accept(report, tuple(map(os.fsencode, left)))


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def test_the_order_has_the_files_and_no_secret(client: Client) -> None:
    """What is no file is passed over; variables go by name, and never those that are named like secrets."""
    order = client.order()
    own = {os.fsdecode(file.path) for file in order.header.files if file.path.startswith(os.fsencode(client.folder))}
    assert own == {str(client.source), str(client.other)}
    assert dict(order.header.environment) == {b"LANG": b"C", b"WIZARD_HAT": b"tall"}
    assert order.header.observe
    assert order.header.outputs == (os.fsencode(client.folder / "out/a.su"), os.fsencode(client.folder / "out/a.o"))
    assert order.required == (os.fsencode(client.folder / "out/a.o"),)
    assert order.contents[digest(b"text")] == str(client.source)
    assert all(secret not in msgspec.msgpack.encode(order.header) for secret in (b"secret", b"TOKEN"))


def test_a_report_gets_the_stamps_of_this_machine(client: Client) -> None:
    """Then it is judged like one of a run here."""
    made = client.accepted(f"r1 2 3 4 5 {client.source}", f"s9 9 9 9 9 {client.other}", "a/nowhere/x", "tLANG", "i7 /usr/bin/wizard")
    assert isinstance(made, bytes), made
    (client.folder / "report").write_bytes(made)
    seen = observation.read_report(str(client.folder / "report"))
    assert not seen.trouble
    found = os.stat(client.source)
    assert seen.reads[0].path == str(client.source)
    assert seen.reads[0].stamp == (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    assert seen.absent == ("/nowhere/x",)
    assert seen.images == ("/usr/bin/wizard",)


def test_the_workers_own_files_are_not_told_of(client: Client) -> None:
    """The observer's library is read in the sandbox, from a place that only the sandbox has."""
    made = client.accepted("r1 2 3 4 5 /.sccache/libsccache-observe.so", "x/.sccache/sccache-observe")
    assert made == b".\0"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("a{folder}/src/b.w", "was not sent"),  # it was: something is odd there
        ("a{folder}/out", "was not sent"),
        ("d{folder}", "names in"),
        ("d/usr/lib", "names in"),
        ("eEDITOR", "not sent"),
        ("tMY_TOKEN", "not sent"),
        ("E/usr/bin/wizard", "all variables"),
        ("x/usr/bin/other-wizard", "not here"),
        ("r1 2 3 4 5 /usr/lib/only-there", "another file"),
        ("n10.0.0.1", "cannot be compared"),
        ("uptrace", "cannot be compared"),
        ("!no seccomp", "cannot be compared"),
    ],
)
def test_what_would_be_otherwise_here_is_not_used(client: Client, record: str, reason: str) -> None:
    """Each difference between worker and client that a report can show."""
    made = client.accepted(record.format(folder=client.folder))
    assert isinstance(made, str)
    assert reason in made


def test_what_makes_no_difference_is_used(client: Client) -> None:
    """Directories of which all names were sent, variables that are nowhere, the kernel's files."""
    records = [f"d{client.folder}/src", "eNOWHERE", "a/proc/self/oom", "D/usr", "o/dev/null", f"w{client.folder}/out/a.o", "tMAKEFLAGS"]
    assert isinstance(client.accepted(*records), bytes)


def test_a_file_that_changed_meanwhile(client: Client) -> None:
    """The worker had the old content."""
    order = client.order()
    client.source.write_bytes(b"otherwise")
    assert order.accept is not None
    made = order.accept(f"r1 2 3 4 5 {client.source}\0.\0".encode(), ())
    assert isinstance(made, str)
    assert "another file" in made


def test_what_is_left_behind(client: Client) -> None:
    """A run that makes more than its outputs is to be done here; outputs are no litter."""
    assert isinstance(client.accepted(left=(f"{client.folder}/out/a.su",)), bytes)
    made = client.accepted(left=("/var/lib/note",))
    assert isinstance(made, str)
    assert "/var/lib/note" in made


def test_a_report_that_is_cut_short(client: Client) -> None:
    """Nothing is known then."""
    accept = client.order().accept
    assert accept is not None
    assert isinstance(accept(b"", ()), str)
    assert isinstance(accept(f"r1 2 3 4 5 {client.source}\0".encode(), ()), str)


@pytest.mark.parametrize("changes", [{"knows_processor": True}, {"made_in": ("/x",)}, {"sources": ()}])
def test_what_stays_at_home(client: Client, changes: dict[str, object]) -> None:
    """Compiles of which the outputs or the processor matter in a way that no worker can know."""
    assert isinstance(client.work(**changes), str)


def test_preloaded_libraries_stay_at_home(client: Client) -> None:
    """A worker does not have them."""
    client.env["LD_PRELOAD"] = "libfast.so"
    assert isinstance(client.work(), str)


def test_an_output_that_is_a_link(client: Client) -> None:
    """Only the compiler knows whether it writes through it."""
    (client.folder / "out/a.o").symlink_to("elsewhere")
    work = client.work()
    assert isinstance(work, Work)
    with pytest.raises(OSError, match="no plain output"):
        work.order(PACKED)


def test_a_file_that_nobody_named(client: Client) -> None:
    """It is sent from then on, and this compile is sent again: rustc reads the sources of crates whose macros it expands."""
    far = client.file("far/macros.w", b"macros")
    again = client.accepted(f"a{far}")
    assert isinstance(again, Again)
    assert str(far) in again.reason
    assert os.fsencode(far) in {file.path for file in client.order().header.files}


def test_a_compile_that_failed_for_want_of_something(client: Client) -> None:
    """What it looked for and did not get is the reason, and is sent the next time; a report that was cut short is no reason."""
    far = client.file("far/macros.w", b"macros")
    lacked = client.order().lacked
    assert lacked is not None
    assert lacked(f"r1 2 3 4 5 {client.source}\0.\0".encode()) == ""
    assert lacked(f"a{far}\0".encode()) == ""
    assert "EDITOR" in str(lacked(b"eEDITOR\0.\0"))
    assert isinstance(lacked(f"a{far}\0.\0".encode()), Again)
    assert os.fsencode(far) in {file.path for file in client.order().header.files}


def test_variables_by_name(client: Client) -> None:
    """Those that sources name are sent, but no secret."""
    client.reach = msgspec.structs.replace(client.reach, names=frozenset({"EDITOR", "MY_TOKEN", "NOWHERE"}))
    assert dict(client.order().header.environment) == {b"LANG": b"C", b"WIZARD_HAT": b"tall", b"EDITOR": b"ed"}
