"""cuda_depfile.py, cuda_options.py, cuda_report.py, cuda_script.py: the parts of compiling by steps that need no nvcc."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from sccache.stages import cuda_depfile, cuda_options, cuda_report, cuda_script, observation
from sccache.stages.cuda_depfile import Style
from sccache.stages.cuda_script import Line

TEXTS = (
    (
        b'# 0 "a.cu"\n# 0 "<built-in>"\n# 1 "/usr/include/stdc-predef.h" 1 3 4\n'
        b'# 0 "<command-line>" 2\n# 1 "inc/x.h" 1\n# 7 "other.y"\n# 2 "a.cu" 2\n'
    ),
    b'# 0 "a.cu"\n# 1 "inc/x.h" 1\n# 1 "inc/y.h" 1\n# 2 "a.cu" 2\n',
)


@pytest.mark.parametrize(
    ("style", "wanted"),
    [
        (Style("", system_headers=True, phony=False), b"a.o : a.cu \\\n    /usr/include/stdc-predef.h \\\n    inc/x.h \\\n    inc/y.h\n"),
        (Style("t", system_headers=False, phony=True), b"t : a.cu \\\n    inc/x.h \\\n    inc/y.h\n\ninc/x.h:\n\ninc/y.h:\n"),
        (Style("a b", system_headers=False, phony=True), None),
    ],
)
def test_dependencies_of_line_markers(style: Style, wanted: bytes | None) -> None:
    """What was entered, once, in order; a name that needs quoting is left to nvcc."""
    assert cuda_depfile.text(style, "a.o", TEXTS) == wanted
    assert cuda_depfile.text(style, "a.o", ()) is None


@pytest.mark.parametrize(
    ("args", "flags", "wanted"),
    [
        (("-MD", "-c"), "", Style("", system_headers=True, phony=False)),
        (("-MMD", "-MP", "-MT", "t"), "", Style("t", system_headers=False, phony=True)),
        (("-MD", "-MT=t"), "", Style("t", system_headers=True, phony=False)),
        (("-optf", "file"), "", Style("", system_headers=True, phony=False)),
        (("-c",), "-MD", Style("", system_headers=True, phony=False)),
        (("-MD", "-odir", "x"), "", Style("", system_headers=True, phony=False)),
        (("-MD", "-odir", "x", "-o", "y"), "", None),
        (("-MD", "-MMD"), "", None),
        (("-MD", "-MT", "t", "-MT", "u"), "", None),
        (("-c",), "", None),
    ],
)
def test_style_of_the_dependency_file(tmp_path: Path, args: tuple[str, ...], flags: str, wanted: Style | None) -> None:
    """By all words that nvcc sees."""
    (tmp_path / "file").write_text("-MD")
    options = cuda_options.read(args, str(tmp_path), {"NVCC_APPEND_FLAGS": flags})
    assert options is not None
    assert options.dependencies == wanted


@pytest.mark.parametrize(
    ("args", "flags", "wanted"),
    [
        (("-c", "a.cu"), "", True),
        (("-c", "-Xptxas", "-v", "-Xcompiler", "-v", "--ptxas-options", "--verbose", "-keep-device-functions"), "", True),
        (("-c", "-v"), "", False),
        (("-c", "--keep-dir=x"), "", False),
        (("-c", "-save-temps"), "", False),
        (("-c", "--fdevice-time-trace=x"), "", False),
        (("-c", "-objtemp"), "", False),
        (("-c", "-optf", "file"), "", False),
        (("-c", "-optf", "no such file"), "", False),
        (("-c",), "-O3 --keep", False),
    ],
)
def test_which_commands_have_steps(tmp_path: Path, args: tuple[str, ...], flags: str, wanted: bool) -> None:
    """Not those that want nvcc's own files or words."""
    (tmp_path / "file").write_text("--keep")
    assert (cuda_options.read(args, str(tmp_path), {"NVCC_APPEND_FLAGS": flags}) is not None) == wanted


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ((), 1),
        (("-t", "4"), 4),
        (("-t=3",), 3),
        (("-t2",), 2),
        (("--threads", "2", "--threads=5"), 5),
        (("--threads", "0"), os.cpu_count()),
    ],
)
def test_how_many_at_a_time(args: tuple[str, ...], wanted: int) -> None:
    """As many as nvcc would run."""
    options = cuda_options.read(args, "/", {})
    assert options is not None
    assert options.threads == wanted


def test_a_report_comes_back(tmp_path: Path) -> None:
    """What a step read, kept as names, stands in a later report with the stamps of then; what it made itself does not."""
    source, scratch = tmp_path / "libdevice", tmp_path / "scratch"
    source.write_text("x")
    scratch.mkdir()
    now = source.stat()
    stamp = f"{now.st_dev} {now.st_ino} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns}"
    made = [
        f"r{stamp} {source}",
        "a/not/there",
        "tHOME",
        "i7 /bin/cicc",
        "q7 ",
        "x/bin/cicc",
        f"w{scratch}/out",
        "w/tmp/own",
        f"r{stamp} /tmp/own",
    ]
    report = tmp_path / "report"
    cuda_report.write(str(report), made)
    found = cuda_report.records(str(report))
    assert found == made
    kept = cuda_report.kept(cuda_report.without_below(found, str(scratch)))
    assert kept is not None
    assert f"r {source}\n".encode() in kept
    assert b"own" not in kept
    assert b"scratch" not in kept
    assert cuda_report.revived(kept, now.st_ctime_ns) is None, "changed since then"
    revived = cuda_report.revived(kept, now.st_ctime_ns + 1)
    assert revived is not None
    cuda_report.write(str(report), revived)
    seen = observation.read_report(str(report))
    assert [(item.path, item.stamp[2]) for item in seen.reads] == [(str(source), 1)]
    assert (seen.absent, seen.tool_variables, seen.executed, seen.unfinished) == (("/not/there",), ("HOME",), ("/bin/cicc",), ())
    source.unlink()
    assert cuda_report.revived(kept, now.st_ctime_ns + 1) is None


@pytest.mark.parametrize("record", ["nsocket", "ucall", "eHOME", "E/plugin", "c/plugin", "l/link", "!nothing", "a/two\nlines"])
def test_what_cannot_be_told_by_names(record: str) -> None:
    """Such a step is not kept."""
    assert cuda_report.kept(["a/there", record]) is None


def test_a_report_that_is_not_whole(tmp_path: Path) -> None:
    """Then nothing is known of the whole either."""
    report = tmp_path / "report"
    assert cuda_report.records(str(report))[0].startswith("!")
    report.write_bytes(b"a/there\0")
    assert cuda_report.records(str(report)) == ["!the report was cut short"]


@pytest.mark.parametrize("at_a_time", [1, 3])
def test_a_level_ends_with_what_fails(tmp_path: Path, at_a_time: int) -> None:
    """All that goes well leaves its streams; one that fails makes the level fail, in order or several at a time."""
    lines = [
        Line(("/bin/sh", "-c", f"echo $NAME {number}; echo e >&2"), f"{tmp_path}/{number}.out", f"{tmp_path}/{number}.err")
        for number in range(3)
    ]
    assert _run(tmp_path, lines, at_a_time) == 0
    assert [(tmp_path / f"{number}.out").read_text() for number in range(3)] == [f"a 'b {number}\n" for number in range(3)]
    assert _run(tmp_path, [*lines, Line(("/bin/sh", "-c", "exit 3"))], at_a_time) != 0


def test_several_at_a_time_are(tmp_path: Path) -> None:
    """Two that wait for each other end."""
    os.mkfifo(tmp_path / "pipe")
    lines = [Line(("/bin/sh", "-c", f"echo x >{tmp_path}/pipe")), Line(("cat", f"{tmp_path}/pipe"), f"{tmp_path}/got")]
    assert _run(tmp_path, lines, 2) == 0
    assert (tmp_path / "got").read_text() == "x\n"


def _run(folder: Path, lines: list[Line], at_a_time: int) -> int:
    place = folder / str(time.monotonic_ns())
    place.mkdir()
    for name, content in cuda_script.parts(lines, str(place)):
        Path(name).write_bytes(content)
    (place / "all.sh").write_bytes(cuda_script.text({"NAME": "a 'b"}, lines, at_a_time, str(place)))
    return subprocess.run([cuda_script.SHELL, str(place / "all.sh")], check=False, timeout=60).returncode
