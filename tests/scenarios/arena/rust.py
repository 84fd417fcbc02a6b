"""What scenarios of Rust are written with: one small crate compiled by rustc itself, procedural macros made for the purpose.

Owns: the usual command line, proof that an edit makes a difference to plain rustc.  Must not know: how the cache works.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from arena.world import ANY, HIT, MISS, RECOMPILE, Step, World

_RUSTUP = Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))
LIB, BIN = "lib", "bin"


@functools.cache
def toolchain(channel: str = "stable") -> Path:
    """The directory of a real toolchain, so that no proxy and no home directory matters; skips where there is none."""
    found = sorted((_RUSTUP / "toolchains").glob(f"{channel}-*"))
    if not found:
        pytest.skip(f"needs a {channel} toolchain of Rust, which is not installed")
    return found[0]


def rustc(channel: str = "stable") -> str:
    """The compiler's path."""
    return str(toolchain(channel) / "bin" / "rustc")


def build(
    w: World, *more: str, source: str = "a.rs", kind: str = LIB, name: str = "a", emit: str = "dep-info,metadata,link",
    expect: str = ANY, cwd: str = ".", env: Mapping[str, str | None] | None = None, stdin: bytes = b"", tty: bool = False,
    channel: str = "stable", keep: bool = False,
) -> Step:  # fmt: skip
    """Compile one crate into `out`, which is emptied first: what is there afterwards, this compile has put there."""
    out = w.path(cwd) / "out"
    if not keep:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(exist_ok=True)
    words = (
        rustc(channel),
        "--crate-name",
        name,
        "--edition=2021",
        source,
        "--crate-type",
        kind,
        f"--emit={emit}",
        "--out-dir",
        "out",
        *more,
    )
    return w.run(*words, expect=expect, cwd=cwd, env=env, stdin=stdin, tty=tty)


def cached(w: World, *more: str, **how: object) -> Step:
    """Compile what is new, and again, which must be a hit."""
    build(w, *more, expect=MISS, **how)  # type: ignore[arg-type]
    return build(w, *more, expect=HIT, **how)  # type: ignore[arg-type]


def changed(w: World, *more: str, expect: str = RECOMPILE, **how: object) -> Step:
    """Compile after an edit that makes a difference; that plain rustc sees the difference is checked."""
    step = build(w, *more, expect=expect, **how)  # type: ignore[arg-type]
    if not w.cached and _seen(w.steps[-2]) == _seen(step):
        raise AssertionError(f"{step.label}: what came before makes no difference to plain rustc: this would show nothing")
    return step


def _seen(step: Step) -> object:
    products = {name: seen for name, seen in step.tree.items() if name.split(b"/")[0] == b"out" or b"/out/" in name}
    return step.exit_code, step.stdout, step.stderr, products


@functools.cache
def _macro(body: str) -> bytes:
    """The library of a procedural macro `m!()` whose function has this body and gives a String."""
    text = (
        "extern crate proc_macro;\nuse proc_macro::TokenStream;\n"
        f"fn made() -> String {{ {body} }}\n"
        '#[proc_macro]\npub fn m(_: TokenStream) -> TokenStream { format!("{:?}", made()).parse().unwrap() }\n'
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "m.rs"
        source.write_text(text)
        words = [rustc(), "--edition=2021", "--crate-name", "m", "--crate-type", "proc-macro", "-C", "opt-level=0", "--out-dir", folder]
        subprocess.run([*words, str(source)], check=True, cwd=folder, timeout=100)
        return (Path(folder) / "libm.so").read_bytes()


def macro_crate(w: World, body: str, source: str = "a.rs") -> tuple[str, ...]:
    """Write a crate whose only text is what the macro makes; its arguments."""
    w.write("deps/libm.so", _macro(body), mode=0o755)
    w.write(source, "pub fn text() -> &'static str { m::m!() }\n")
    return ("--extern", "m=deps/libm.so")


def plainly(w: World, *command: str, cwd: str = ".") -> None:
    """Run something that is not under test, without the cache and unrecorded."""
    subprocess.run(command, check=True, cwd=w.path(cwd), env=w.environment(), capture_output=True, timeout=100)


def runs_in(w: World) -> list[int]:
    """The processes that work in the scenario's directory."""
    found = []
    for place in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if os.readlink(f"/proc/{place}/cwd") == str(w.root):
                found.append(int(place))
    return found
