"""Packed compilers run where there is nothing else, and make what they make here."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sccache.dist import archive, loader, packaging
from sccache.dist.client_toolchains import package
from sccache.dist.packaging import NotDistributable, Plan
from sccache.errors import ConfigError

SOURCE = """\
template <typename T> struct Box { T value; T twice() const { return value * 2; } };
int used(int x) try { if (x > 3) throw x; return Box<int>{x}.twice(); } catch (int y) { return y; }
"""
C_SOURCE = "static int unused; int twice(int x) { return x * 2; }\n"
CRATE = """\
use std::collections::HashMap;
pub fn count(text: &str) -> HashMap<char, usize> {
    let unused = 1;
    text.chars().fold(HashMap::new(), |mut counts, c| { *counts.entry(c).or_default() += 1; counts })
}
"""
KERNEL = "__global__ void scale(float *x, float a) { x[threadIdx.x] *= a; }\n"

Sandbox = Callable[..., "subprocess.CompletedProcess[bytes]"]


def found(*names: str) -> str:
    """The first of some programs that is there."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip(f"needs {names[0]}, which is not installed")


def planned(executable: str, family: str) -> Plan:
    plan = packaging.plan(executable, family)
    assert isinstance(plan, Plan), plan
    return plan


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Runs a command with an unpacked toolchain as the root directory and the working directory beside it, and nothing else."""
    if shutil.which("bwrap") is None or subprocess.run(["bwrap", "--ro-bind", "/", "/", "true"], check=False).returncode:
        pytest.skip("needs bwrap, and leave to make namespaces")

    def run(root: Path, work: Path, *command: str) -> "subprocess.CompletedProcess[bytes]":
        for name in ("dev", "proc", "tmp"):
            (root / name).mkdir(exist_ok=True)
        around = ["bwrap", "--unshare-all", "--clearenv", "--setenv", "LC_ALL", "C", "--setenv", "PATH", "/usr/bin:/bin"]
        around += ["--bind", str(root), "/", "--dev", "/dev", "--proc", "/proc", "--bind", str(work), str(work)]
        return subprocess.run([*around, "--chdir", str(work), *command], capture_output=True, check=False)

    return run


Unpacked = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def unpacked() -> Iterator[Unpacked]:
    """Gives a toolchain after its way through an archive, each unpacked once: they have hundreds of megabytes."""
    with tempfile.TemporaryDirectory(prefix="toolchains-") as top:
        made = os.path.join(top, "toolchain.tar.zst")

        def unpack(executable: str, family: str) -> Path:
            identifier = package(executable, family, made)
            assert identifier == archive.digest_of(made)
            if not os.path.exists(os.path.join(top, identifier)):
                archive.unpack(made, os.path.join(top, identifier))
            return Path(top, identifier)

        yield unpack


def same_here_and_there(sandbox: Sandbox, root: Path, work: Path, command: Sequence[str], made: str) -> None:
    """The command makes the same file and prints the same, here and with the toolchain alone."""
    environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    here = subprocess.run(command, cwd=work, capture_output=True, check=False, env=environment)
    assert here.returncode == 0, here.stderr
    local = (work / made).read_bytes()
    (work / made).unlink()
    there = sandbox(root, work, *command)
    assert (there.returncode, there.stdout, there.stderr) == (0, here.stdout, here.stderr)
    assert (work / made).read_bytes() == local


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gcc", []),
        ("g++", ["-g", "-gsplit-dwarf"]),
        ("c++", ["-S", "-fverbose-asm"]),
        ("g++", ["-fexec-charset=cp1252"]),
        ("clang", []),
        ("clang++", ["-g", "-fsanitize=address"]),
        ("clang++", ["-fno-integrated-as"]),
        ("clang-15", ["-flto"]),
        ("aarch64-linux-gnu-gcc", []),
    ],
)
def test_c_compilers(sandbox: Sandbox, unpacked: Unpacked, tmp_path: Path, name: str, options: list[str]) -> None:
    """Drivers, front ends, assemblers with all their libraries; debug information and character sets too."""
    compiler = found(name)
    root = unpacked(compiler, "clang" if "clang" in name else "gcc")
    work = tmp_path / "work"
    work.mkdir()
    source = "a.c" if name.startswith("aarch64") else "a.cc"  # there may be no C++ for it
    (work / source).write_text(C_SOURCE if source == "a.c" else SOURCE)
    same_here_and_there(sandbox, root, work, [compiler, "-c", "-O2", "-Wall", source, "-o", "a.o", *options], "a.o")


def rustc() -> str:
    compiler, family = packaging.recognise(found("rustc"))
    assert family == "rust"
    return compiler


def test_rustc(sandbox: Sandbox, unpacked: Unpacked, tmp_path: Path) -> None:
    """A library crate with the standard library, and what rustc has to say about it."""
    compiler = rustc()
    root = unpacked(compiler, "rust")
    work = tmp_path / "work"
    work.mkdir()
    (work / "lib.rs").write_text(CRATE)
    options = ["--edition=2021", "--crate-type=lib", "-g", "-Copt-level=1", "--out-dir", ".", "lib.rs", "--crate-name=counting"]
    same_here_and_there(sandbox, root, work, [compiler, *options], "libcounting.rlib")


def cuda_program(*names: str) -> str:
    nvcc = found("nvcc")
    top = os.path.dirname(os.path.dirname(os.path.realpath(nvcc)))
    for name in names:
        for place in ("/usr/local/cuda", top):
            path = os.path.join(os.path.realpath(place), name)
            if os.path.isfile(path):
                return path
    pytest.skip("needs nvcc, which is not installed")


def test_cuda_steps(sandbox: Sandbox, unpacked: Unpacked, tmp_path: Path) -> None:
    """The programs that nvcc runs, one after the other: host code, PTX, machine code."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "k.cu").write_text(KERNEL)
    cicc, ptxas, cudafe = cuda_program("nvvm/bin/cicc"), cuda_program("bin/ptxas"), cuda_program("bin/cudafe++")
    run = subprocess.run([found("nvcc"), "-c", "k.cu", "--keep", "--dryrun"], cwd=work, capture_output=True, check=True, text=True)
    subprocess.run([found("nvcc"), "-c", "k.cu", "--keep"], cwd=work, capture_output=True, check=True)
    for program, option in ((cudafe, "--gen_c_file_name"), (cicc, "-o"), (ptxas, "-o")):
        name = os.path.basename(program)
        line = next(line[3:] for line in run.stderr.splitlines() if re.match(rf'#\$ (?:\S*/)?{re.escape(name)}"? ', line))
        split = subprocess.run(["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True, text=True).stdout.split("\0")
        words = [program, *split[1:-1]]
        root = unpacked(program, name)
        same_here_and_there(sandbox, root, work, words, words[words.index(option) + 1])


def test_an_id_is_the_same_each_time(tmp_path: Path) -> None:
    """For gcc and g++, in whatever order things were made, on as many cores as there are."""
    ids = {package(found(name), "gcc", str(tmp_path / "out")) for name in ("gcc", "g++", "gcc")}
    assert len(ids) == 1


def test_only_what_a_compile_needs() -> None:
    """No headers, no linker, no libraries for the target; the links that lead to the compiler are there."""
    gcc = found("gcc")
    tree = planned(gcc, "gcc").tree
    files = {os.fsdecode(file.path) for file in tree.files}
    assert not [path for path in files if path.endswith((".h", ".a", "crtbegin.o", "/ld", "/collect2", "/lto1"))]
    assert os.path.realpath(gcc) in files
    assert {link.path for link in tree.links} >= {os.fsencode(path) for path in (gcc, shutil.which("g++")) if path and os.path.islink(path)}


def test_a_plan_can_be_unpacked() -> None:
    """No member lies below another one that is no directory."""
    tree = planned(found("clang", "gcc"), "clang" if shutil.which("clang") else "gcc").tree
    others = {member.path for member in (*tree.links, *tree.files)}
    for path in (*others, *tree.directories):
        parts = path.split(b"/")
        assert not others & {b"/".join(parts[:count]) for count in range(1, len(parts))}


@pytest.mark.parametrize("family", ["gcc", "clang", "rust"])
def test_a_script_is_not_packed(tmp_path: Path, family: str) -> None:
    """What it runs cannot be known."""
    script = tmp_path / "gcc"
    script.write_text('#!/bin/sh\nexec gcc "$@"\n')
    script.chmod(0o755)
    refused = packaging.plan(str(script), family)
    assert isinstance(refused, NotDistributable)
    assert "it is a script" in refused.reason


def test_a_wrapper_is_not_packed(tmp_path: Path) -> None:
    """A native program that is called like a compiler and runs another one: its own parts would be of no use."""
    wrapper = tmp_path / "ccache"
    shutil.copy(found("env"), wrapper)
    (tmp_path / "gcc").symlink_to("ccache")
    refused = packaging.plan(str(tmp_path / "gcc"), "gcc")
    assert isinstance(refused, NotDistributable)
    assert "wrapper" in refused.reason


@pytest.mark.parametrize(
    ("executable", "family", "why"),
    [("/usr/bin/env", "diab", "family 'diab'"), ("env", "gcc", "not absolute"), ("/no/such/cc1", "ptxas", "no program of this machine")],
)
def test_other_refusals(executable: str, family: str, why: str) -> None:
    """Each with its reason."""
    refused = packaging.plan(executable, family)
    assert isinstance(refused, NotDistributable)
    assert why in refused.reason


def test_a_compiler_that_says_nonsense(tmp_path: Path) -> None:
    """It is called gcc, and is a native program, but names no parts."""
    shutil.copy(found("true"), tmp_path / "gcc")
    refused = packaging.plan(str(tmp_path / "gcc"), "gcc")
    assert isinstance(refused, NotDistributable)
    assert "no cc1" in refused.reason


UNREADABLE = """
import sys
from sccache.dist import packaging
print(packaging.plan(sys.argv[1], "gcc").reason)
try:
    packaging.recognise(sys.argv[1])
except packaging.ConfigError as e:
    print(e)
"""


def told_without_rights(executable: Path, secret: Path) -> list[str]:
    """What is said where `secret` may be run, not read: root may read all, but in a namespace of its own not what others have."""
    secret.chmod(0o111)
    around: list[str] = []
    if os.geteuid() == 0:
        os.chown(secret, 65534, 65534)
        around = ["unshare", "--user", "--map-root-user"]
        if subprocess.run([*around, "true"], check=False, capture_output=True).returncode:
            pytest.skip("needs user namespaces")
    words = [*around, sys.executable, "-c", UNREADABLE, str(executable)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_compiler_that_cannot_be_read(tmp_path: Path) -> None:
    """It runs, but cannot be packed: that is what is said, and not that it is no compiler."""
    shutil.copy(found("gcc"), tmp_path / "gcc")
    said = told_without_rights(tmp_path / "gcc", tmp_path / "gcc")
    assert said == [f"{tmp_path}/gcc cannot be packed: it cannot be read by this user", f"{tmp_path}/gcc: Permission denied"]


def test_a_part_that_cannot_be_read(tmp_path: Path) -> None:
    """A toolchain without its assembler would fail each compile on each worker: it is refused here, by the part's name."""
    gcc = found("gcc")
    version, machine = (subprocess.check_output([gcc, word], text=True).strip() for word in ("-dumpversion", "-dumpmachine"))
    parts = tmp_path / "lib/gcc" / machine / version
    for directory in (tmp_path / "bin", parts):
        directory.mkdir(parents=True)
    shutil.copy(gcc, tmp_path / "bin/gcc")
    for name in ("cc1", "as"):
        shutil.copy(found("true"), parts / name)
    said = told_without_rights(tmp_path / "bin/gcc", parts / "as")
    assert re.search("cannot be packed: .*/as cannot be read by this user$", said[0])


def test_a_proxy_of_rustup_that_knows_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rustup's own sentence is told."""
    proxy = found("rustc")
    if os.path.basename(os.path.realpath(proxy)) != "rustup":
        pytest.skip("needs rustup")
    monkeypatch.setenv("RUSTUP_HOME", str(tmp_path))
    monkeypatch.delenv("RUSTUP_TOOLCHAIN", raising=False)
    with pytest.raises(ConfigError, match=r"does not name a compiler: .*rustup"):
        packaging.recognise(proxy)


# -- libraries


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library in a place of its own, and a program that needs it, linked without saying where."""
    gcc = found("gcc")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib.c").write_text("int answer(void) { return 42; }\n")
    (tmp_path / "ptxas.c").write_text("int answer(void);\nint main(void) { return answer(); }\n")
    shared = tmp_path / "lib/libanswer.so.1"
    subprocess.run([gcc, "-shared", "-fPIC", "-Wl,-soname,libanswer.so.1", "lib.c", "-o", shared], cwd=tmp_path, check=True)
    subprocess.run([gcc, "ptxas.c", "-o", "ptxas", shared], cwd=tmp_path, check=True)
    return shared


def test_a_library_that_only_a_variable_finds(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job does not have that variable: such a compiler stays here, whatever the daemon's own variables are."""
    program = str(library.parent.parent / "ptxas")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    assert subprocess.run([program], check=False).returncode == 42
    refused = packaging.plan(program, "ptxas")
    assert isinstance(refused, NotDistributable)
    assert "libanswer.so.1" in refused.reason


def test_a_library_that_the_loader_knows_by_its_cache(library: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    """The archive has a cache with this library and no other.  A machine with that cache is made for the test."""
    ldconfig = found("ldconfig", "/sbin/ldconfig")
    (tmp_path / "conf").write_text(f"{library.parent}\n")
    subprocess.run([ldconfig, "-C", tmp_path / "cache", "-f", tmp_path / "conf"], check=True, capture_output=True)
    script = "import sys; from sccache.dist.client_toolchains import package; print(package(*sys.argv[1:]))"
    machine = ["bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--ro-bind", str(tmp_path / "cache"), loader.CACHE_PATH]
    machine += [sys.executable, "-c", script, str(tmp_path / "ptxas"), "ptxas", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    packed = subprocess.run(machine, capture_output=True, check=False, text=True, env=environment)
    assert packed.stdout.strip() == archive.digest_of(str(tmp_path / "out")), packed.stdout + packed.stderr
    assert loader.CACHE_PATH in archive.names(str(tmp_path / "out"))
    archive.unpack(str(tmp_path / "out"), str(tmp_path / "root"))
    cache = (tmp_path / "root" / loader.CACHE_PATH[1:]).read_bytes()
    assert cache.count(b"libanswer.so.1\0") == 2
    assert b"libc.so" not in cache
    assert sandbox(tmp_path / "root", library.parent, str(tmp_path / "ptxas")).returncode == 42


def test_a_cache_that_says_something_else() -> None:
    """A damaged cache, or one that leads elsewhere, has no extract."""
    assert loader.extract(b"", {"a": "/a"}) == b""
    assert loader.extract(b"glibc-ld.so.cache1.1" + b"\xff" * 60, {"a": "/a"}) == b""


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 58, b"#!/bin/sh\n", b"\x7fELF\x01\x02" + b"\x01" * 70])
def test_what_is_no_program(tmp_path: Path, data: bytes) -> None:
    """Damaged headers are no crash."""
    (tmp_path / "x").write_bytes(data)
    elf = loader.read_elf(str(tmp_path / "x"))
    assert elf is None or not elf.interpreter


def test_a_static_program_needs_nothing(tmp_path: Path) -> None:
    """It names no loader."""
    gcc = found("gcc")
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    subprocess.run([gcc, "-static", "a.c", "-o", "a"], cwd=tmp_path, check=True)
    assert loader.libraries(str(tmp_path / "a")).paths == ()
