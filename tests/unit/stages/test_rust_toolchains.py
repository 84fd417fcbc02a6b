"""rust_toolchains.py: which compiler a command runs, what is asked for that, and what would change the answer."""

import asyncio
import os
import shutil
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sccache.compilers import rust_detect
from sccache.hashing.files import FileMemory
from sccache.model import CompileRequest
from sccache.stages.hands import Command, Ran
from sccache.stages.rust_toolchains import RustDriver, RustToolchains
from sccache.storage.disk import DiskStorage
from sccache.storage.level import LocalLevel
from sccache.storage.levels import Levels

HOST = "host: x86_64-unknown-linux-gnu\n"


class Machine:
    """Toolchains made of a few bytes, and the programs in them played by this class, as rustup 1.29 and rustc 1.95 behave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "rustup"
        self.bin = folder / "bin"
        self.project = folder / "project"
        self.ran: list[str] = []
        for place in (self.home, self.bin, self.project):
            place.mkdir()
        self._program(self.bin / "rustup", b"rustup")
        for proxy in ("rustc", "clippy-driver"):
            (self.bin / proxy).symlink_to("rustup")
        self.toolchain("stable")
        self.default("stable")
        self.storage = Levels([LocalLevel(DiskStorage(str(folder / "cache"), 1 << 20), read_only=False)])
        self.writes: list[Coroutine[Any, Any, None]] = []
        self.restart()

    def restart(self) -> None:
        """A new daemon with the same storage."""
        files = FileMemory(clock_ns=lambda: time.time_ns() + 60_000_000_000)
        self.toolchains = RustToolchains(files, self.storage, self._soon)

    def toolchain(self, name: str, version: str = "1.95.0", *, crates: str = "core") -> Path:
        root = self.home / "toolchains" / name
        for program in ("rustc", "clippy-driver"):
            self._program(root / "bin" / program, f"{program} {version}".encode())
        self._file(root / "lib" / "librustc_driver-1.so", f"driver of {version}")
        self._file(root / "lib" / "libLLVM.so.22", "LLVM")
        self._file(root / "lib" / "rustlib" / "x86_64-unknown-linux-gnu" / "lib" / "libcore-1.rlib", crates)
        return root

    def default(self, name: str, overrides: Mapping[str, str] | None = None) -> None:
        rows = "".join(f'"{folder}" = "{toolchain}"\n' for folder, toolchain in (overrides or {}).items())
        self._file(self.home / "settings.toml", f'version = "12"\ndefault_toolchain = "{name}"\n\n[overrides]\n{rows}')

    def request(self, *argv: str, cwd: Path | None = None, **env: str) -> CompileRequest:
        variables = {"PATH": f"{self.bin}:/bin", "HOME": str(self.folder), "RUSTUP_HOME": str(self.home), **env}
        return CompileRequest(argv=argv, cwd=str(cwd or self.project), env=variables, umask=0o22)

    async def ask(self, *argv: str, cwd: Path | None = None, **env: str) -> RustDriver | None:
        self.ran.clear()
        request = self.request(*argv, cwd=cwd, **env)
        try:
            return await self.toolchains.toolchain(request, Hands(self, request))
        finally:
            for work in self.writes:
                await work
            self.writes.clear()

    async def driver(self, *argv: str, cwd: Path | None = None, **env: str) -> RustDriver:
        driver = await self.ask(*argv, cwd=cwd, **env)
        assert driver is not None
        return driver

    async def chosen(self, *argv: str, cwd: Path | None = None, **env: str) -> str:
        """The toolchain that was chosen."""
        driver = await self.driver(*argv, cwd=cwd, **env)
        return Path(driver.path).relative_to(self.home / "toolchains").parts[0]

    def answer(self, command: Command, request: CompileRequest) -> tuple[int, str]:
        name = command.name or command.executable
        self.ran.append(" ".join((os.path.basename(name), *command.args)))
        if command.executable == "ldd":
            return 0, f"\tlibLLVM-14.so.1 => {self.home / 'toolchains/stable/lib/libLLVM.so.22'} (0x7f)\n"
        program = Path(command.executable).read_bytes()
        if program == b"\x7fELFrustup":
            return self._rustup(command.args, request) if os.path.basename(name) == "rustup" else (1, "")
        if command.args == ("-vV",) or command.args[1:] == ("-vV",):
            return 0, f"rustc {program.split()[-1].decode(errors='replace')}\n{HOST}"
        if command.args == ("--print=sysroot",):
            return 0, f"{Path(command.executable).resolve().parent.parent}\n"
        return 1, ""

    def _rustup(self, args: Sequence[str], request: CompileRequest) -> tuple[int, str]:
        if args == ("--version",):
            return 0, "rustup 1.29.0 (28d1352db 2026-03-05)\n"
        shorthand = args[0][1:] if args[0].startswith("+") else ""
        name = shorthand or request.env.get("RUSTUP_TOOLCHAIN") or self._in_parents(request.cwd) or self._settings()["default_toolchain"]
        path = (Path(name) if name.startswith("/") else self.home / "toolchains" / name) / "bin" / args[-1]
        return (0, f"{path}\n") if path.exists() else (1, "")

    def _settings(self) -> Any:
        return msgspec.toml.decode((self.home / "settings.toml").read_bytes())

    def _in_parents(self, cwd: str) -> str:
        for folder in (Path(cwd), *Path(cwd).parents):
            if str(folder) in self._settings()["overrides"]:
                return str(self._settings()["overrides"][str(folder)])
            for name in rust_detect.TOOLCHAIN_FILES:
                if (folder / name).exists():
                    return (folder / name).read_text().strip()
        return ""

    def _soon(self, work: Coroutine[Any, Any, None]) -> bool:
        self.writes.append(work)
        return True

    @staticmethod
    def _file(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @staticmethod
    def _program(path: Path, text: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x7fELF" + text)
        path.chmod(0o755)


class Hands:
    """A launcher on such a machine."""

    def __init__(self, machine: Machine, request: CompileRequest) -> None:
        self._machine = machine
        self._request = request

    async def run(self, command: Command) -> Ran:
        await asyncio.sleep(0)  # others get their turn, as while a process runs
        status, stdout = self._machine.answer(command, self._request)
        return Ran(status, 1, stdout.encode(), b"")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_proxy_is_asked_once(machine: Machine) -> None:
    """The compiler behind it is run, by its own name; the same question costs no process again, nor does a new daemon."""

    async def main() -> None:
        driver = await machine.driver("rustc", "--crate-name", "a")
        real = str(machine.home / "toolchains" / "stable" / "bin" / "rustc")
        assert (driver.path, driver.name, driver.inner, driver.argv) == (real, real, "", ("--crate-name", "a"))
        assert driver.sysroot == str(machine.home / "toolchains" / "stable")
        assert (driver.host, driver.version, driver.transparent) == ("x86_64-unknown-linux-gnu", "rustc 1.95.0", True)
        assert machine.ran == ["rustup --version", "rustup which rustc", "rustc -vV", "rustc --print=sysroot"]
        watched = {os.path.basename(path) for path, _ in driver.files}
        assert watched == {"rustc", "settings.toml", "librustc_driver-1.so", "libLLVM.so.22"}
        assert driver.absent[str(machine.project)] == ["rust-toolchain", "rust-toolchain.toml"]
        assert await machine.driver("rustc", "b") == msgspec.structs.replace(driver, argv=("b",))
        assert machine.ran == []
        machine.restart()
        assert await machine.driver("rustc", "b") == msgspec.structs.replace(driver, argv=("b",))
        assert machine.ran == []

    asyncio.run(main())


def test_one_asks_for_all_that_begin_together(machine: Machine) -> None:
    """A build starts many compilers at once."""

    async def main() -> None:
        request = machine.request("rustc", "a")
        found = await asyncio.gather(*(machine.toolchains.toolchain(request, Hands(machine, request)) for _ in range(5)))
        assert len(set(map(repr, found))) == 1
        assert machine.ran.count("rustc -vV") == 1
        for work in machine.writes:
            work.close()

    asyncio.run(main())


def test_what_rustup_goes_by(machine: Machine) -> None:
    """Shorthand, variable, the nearest override or file, the default: each change is noticed, each known choice costs nothing."""
    for name in ("beta", "nightly", "old"):
        machine.toolchain(name, name)
    inner = machine.project / "member"
    inner.mkdir()

    async def main() -> None:
        assert await machine.chosen("rustc", cwd=inner) == "stable"
        (machine.project / "rust-toolchain").write_text("beta")
        assert await machine.chosen("rustc", cwd=inner) == "beta"
        machine.default("stable", {str(inner): "old"})
        assert await machine.chosen("rustc", cwd=inner) == "old"
        assert await machine.chosen("rustc") == "beta"
        (machine.project / "rust-toolchain").write_text("nightly")
        assert await machine.chosen("rustc") == "nightly"
        assert await machine.chosen("rustc", RUSTUP_TOOLCHAIN="beta") == "beta"
        assert await machine.chosen("rustc", "+old", RUSTUP_TOOLCHAIN="beta") == "old"
        assert await machine.chosen("rustc", RUSTUP_TOOLCHAIN=str(machine.home / "toolchains" / "old")) == "old"
        (machine.project / "rust-toolchain").unlink()
        machine.default("old")
        assert await machine.chosen("rustc", cwd=inner) == "old"
        machine.default("stable")
        assert await machine.chosen("rustc", cwd=inner) == "stable"
        assert machine.ran == []

    asyncio.run(main())


def test_the_shorthand_is_not_the_compilers(machine: Machine) -> None:
    """A proxy takes `+toolchain` for itself; any other rustc gets it."""

    async def main() -> None:
        for _ in range(2):
            assert (await machine.driver("rustc", "+stable", "a.rs")).argv == ("a.rs",)
        real = str(machine.home / "toolchains" / "stable" / "bin" / "rustc")
        for _ in range(2):
            assert (await machine.driver(real, "+stable", "a.rs")).argv == ("+stable", "a.rs")

    asyncio.run(main())


def test_a_toolchain_file_is_asked_about_once_for_all_checkouts(machine: Machine) -> None:
    """Another directory with the same file is the same choice."""
    machine.toolchain("beta", "beta")
    other = machine.folder / "other"
    other.mkdir()
    for folder in (machine.project, other):
        (folder / "rust-toolchain").write_text("beta")

    async def main() -> None:
        assert await machine.chosen("rustc") == "beta"
        assert await machine.chosen("rustc", cwd=other) == "beta"
        assert machine.ran == []

    asyncio.run(main())


def test_a_toolchain_that_is_updated_in_place(machine: Machine) -> None:
    """Its content tells: another identity; and back again, the first one, without asking."""

    async def main() -> None:
        before = await machine.driver("rustc")
        library = Path(before.sysroot) / "lib" / "librustc_driver-1.so"
        library.write_text("another driver")
        assert (await machine.driver("rustc")).identity != before.identity
        library.write_text("driver of 1.95.0")
        assert (await machine.driver("rustc")).identity == before.identity

    asyncio.run(main())


def test_equal_toolchains_are_one_compiler(machine: Machine) -> None:
    """Wherever they are: results are shared between machines that keep them in different places."""
    machine.toolchain("same")

    async def main() -> None:
        assert (await machine.driver("rustc")).identity == (await machine.driver("rustc", "+same")).identity

    asyncio.run(main())


def test_a_linked_toolchain_that_is_pointed_elsewhere(machine: Machine) -> None:
    """The crates of both differ, nothing else: found out by the link, and by the files that are watched."""
    first, second = machine.toolchain("first"), machine.toolchain("second", crates="another core")
    link = machine.home / "toolchains" / "mine"
    link.symlink_to(first)

    async def main() -> None:
        before = await machine.driver("rustc", "+mine")
        assert before.real == str(first / "bin" / "rustc")
        assert before.sysroot == str(first)
        watch = FileMemory().watch(before.files, before.absent)
        assert watch is not None
        link.unlink()
        link.symlink_to(second)
        assert FileMemory().watch(before.files, before.absent) is None
        for _ in range(2):
            assert (await machine.driver("rustc", "+mine")).sysroot == str(second)
            machine.restart()

    asyncio.run(main())


def test_a_link_to_an_equal_toolchain(machine: Machine) -> None:
    """Nothing differs but where it is: the same identity, another sysroot."""
    first, second = machine.toolchain("first"), machine.toolchain("second")
    link = machine.home / "toolchains" / "mine"
    link.symlink_to(first)

    async def main() -> None:
        before = await machine.driver("rustc", "+mine")
        link.unlink()
        link.symlink_to(second)
        machine.restart()
        after = await machine.driver("rustc", "+mine")
        assert (after.identity, after.sysroot) == (before.identity, str(second))

    asyncio.run(main())


def test_clippy_driver(machine: Machine) -> None:
    """It is a compiler of its own; the rustc that cargo names it stays in the command."""

    async def main() -> None:
        rustc = str(machine.home / "toolchains" / "stable" / "bin" / "rustc")
        driver = await machine.driver("clippy-driver", rustc, "a.rs", CARGO="/bin/cargo")
        assert (driver.path, driver.inner, driver.argv) == (str(Path(rustc).parent / "clippy-driver"), rustc, ("a.rs",))
        assert driver.identity != (await machine.driver("rustc")).identity
        alone = await machine.driver("clippy-driver", "a.rs")
        assert (alone.inner, alone.argv) == ("", ("a.rs",))

    asyncio.run(main())


def test_a_workspace_wrapper(machine: Machine) -> None:
    """Its content and the compiler's are the identity; a script is asked at each compile, and never transparent."""
    native, script = machine.folder / "native", machine.folder / "script"
    machine._program(native, b"wrapper")
    script.write_text("#!/bin/sh\nexec rustc\n")
    script.chmod(0o755)

    async def main() -> None:
        plain = await machine.driver("rustc")
        driver = await machine.driver(str(native), "rustc", "a.rs", CARGO="/bin/cargo")
        assert (driver.path, driver.name, driver.inner, driver.argv) == (str(native), str(native), "rustc", ("a.rs",))
        assert driver.transparent
        assert driver.sysroot == plain.sysroot
        assert driver.identity != plain.identity
        assert set(plain.files) < set(driver.files)
        assert not (await machine.driver(str(native), "rustc", "-vV", RUSTC_WORKSPACE_WRAPPER=str(native))).transparent
        machine._program(native, b"another wrapper")
        assert (await machine.driver(str(native), "rustc", "a.rs", CARGO="/bin/cargo")).identity != driver.identity
        for _ in range(2):
            assert not (await machine.driver(str(script), "rustc", "a.rs", CARGO="/bin/cargo")).transparent
            assert machine.ran == ["script rustc -vV"]
        assert await machine.ask(str(native), "rustc", "+stable", CARGO="/bin/cargo") is None

    asyncio.run(main())


def test_a_script_as_compiler(machine: Machine) -> None:
    """It may run anything: it is asked at each compile."""
    script = machine.folder / "mock" / "rustc"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho rustc 1.0.0\n")
    script.chmod(0o755)

    async def main() -> None:
        for _ in range(2):
            driver = await machine.driver(str(script), "a.rs")
            assert (driver.path, driver.transparent) == (str(script), False)
            assert machine.ran[0] == "rustc -vV"

    asyncio.run(main())


def test_a_native_program_before_the_compiler(machine: Machine) -> None:
    """A shim that chooses a compiler by rules of its own is not in a sysroot: it is asked at each compile, and run."""
    shim = machine.folder / "shims" / "rustc"
    machine._program(shim, b"shim")
    elsewhere = machine.home / "toolchains" / "stable"

    async def main() -> None:
        answer = machine.answer

        def with_shim(command: Command, request: CompileRequest) -> tuple[int, str]:
            return (0, f"{elsewhere}\n") if command.args == ("--print=sysroot",) else answer(command, request)

        machine.answer = with_shim  # type: ignore[method-assign]
        for _ in range(2):
            driver = await machine.driver(str(shim))
            assert (driver.path, driver.sysroot, driver.transparent) == (str(shim), str(elsewhere), False)
            assert "rustc -vV" in machine.ran

    asyncio.run(main())


def test_a_copied_proxy(machine: Machine) -> None:
    """Where links could not be made, a proxy is a copy beside rustup."""
    (machine.bin / "rustc").unlink()
    shutil.copy(machine.bin / "rustup", machine.bin / "rustc")

    async def main() -> None:
        assert await machine.chosen("rustc") == "stable"

    asyncio.run(main())


def test_the_search_path(machine: Machine) -> None:
    """A compiler that appears earlier on PATH is taken."""
    early = machine.folder / "early"
    early.mkdir()
    path = f"{early}:{machine.bin}"

    async def main() -> None:
        driver = await machine.driver("rustc", PATH=path)
        assert driver.absent[str(early)] == ["rustc"]
        machine._program(early / "rustc", b"rustc of its own")
        found = await machine.driver("rustc", PATH=path)
        assert (found.path, found.name) == (str(early / "rustc"), "rustc")

    asyncio.run(main())


def test_a_compiler_named_by_its_path_is_known_in_every_directory(machine: Machine) -> None:
    """So cargo names it, and each crate has a directory of its own."""
    real = str(machine.home / "toolchains" / "stable" / "bin" / "rustc")

    async def main() -> None:
        first = await machine.driver(real, "a.rs")
        assert first.absent == {}
        elsewhere = await machine.driver(real, "b.rs", cwd=machine.folder, RUSTUP_TOOLCHAIN="other")
        assert elsewhere == msgspec.structs.replace(first, argv=("b.rs",))
        assert len(machine.toolchains._answers) == 1
        machine.toolchain("beta", "beta")
        (machine.project / "rust-toolchain").write_text("beta")
        proxy = str(machine.bin / "rustc")  # a proxy's path says nothing about the compiler
        assert await machine.chosen(proxy, cwd=machine.folder) == "stable"
        assert await machine.chosen(proxy) == "beta"

    asyncio.run(main())


def test_what_cannot_be_told(machine: Machine) -> None:
    """No such program, no such toolchain, settings of another kind: the command is run as it is."""

    async def main() -> None:
        assert await machine.ask("rustc", PATH="/nowhere") is None
        assert await machine.ask("rustc", "+missing") is None
        assert await machine.ask("rustc", RUSTUP_FORCE_ARG0="rustdoc") is None
        (machine.project / "rust-toolchain").symlink_to("nowhere")
        assert await machine.ask("rustc") is None
        (machine.project / "rust-toolchain").unlink()
        (machine.home / "settings.toml").write_text("not [toml")
        assert await machine.ask("rustc") is None

    asyncio.run(main())
