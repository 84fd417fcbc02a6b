"""rust_detect.py: which words run a Rust compiler, and what rustc and rustup say and go by."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sccache.compilers import rust_detect
from sccache.compilers.rust_detect import Words, is_rust


@pytest.mark.parametrize(
    ("argv", "env", "expected"),
    [
        (("rustc", "-vV"), {}, True),
        (("/opt/bin/rustc", "a.rs"), {}, True),
        (("rustc.exe", "a.rs"), {}, True),
        (("clippy-driver", "rustc", "a.rs"), {}, True),
        (("/x/wrapper", "/y/rustc", "a.rs"), {"CARGO": "/bin/cargo"}, True),
        (("/x/wrapper", "/y/rustc", "a.rs"), {}, False),
        (("/x/wrapper", "/y/rustc", "-vV"), {"RUSTC_WORKSPACE_WRAPPER": "/x/wrapper"}, True),
        (("rustdoc", "a.rs"), {"CARGO": "/bin/cargo"}, False),
        (("/x/wrapper", "rustdoc"), {"CARGO": "/bin/cargo"}, False),
        (("rustc-1.95", "a.rs"), {}, False),
        (("cc", "-c", "a.c"), {"CARGO": "/bin/cargo"}, False),
        (("cc",), {"CARGO": "/bin/cargo"}, False),
    ],
)
def test_which_commands_run_a_rust_compiler(argv: Sequence[str], env: Mapping[str, str], *, expected: bool) -> None:
    """By name; under any other name only where cargo says which rustc it stands for."""
    assert is_rust(argv, env) is expected


def test_a_masked_compiler_goes_by_what_was_found() -> None:
    """The launcher that stands in for rustc names the one behind it."""
    assert is_rust(("something", "a.rs"), {}, "/usr/bin/rustc")
    assert not is_rust(("rustc", "a.rs"), {}, "/usr/bin/cc")


def test_what_rustc_says() -> None:
    """Only the answer of a rustc is taken for one."""
    assert rust_detect.read_version(b"rustc 1.0.0\nhost: unknown\n") == rust_detect.Told(
        "rustc 1.0.0", "unknown", "rustc 1.0.0\nhost: unknown\n"
    )
    assert rust_detect.read_version(b"rustc 1.0.0\n") is None
    assert rust_detect.read_version(b"clippy 0.1.95\nhost: x\n") is None
    assert rust_detect.read_version(b"") is None
    assert rust_detect.read_path(b"/a/b\n") == "/a/b"
    assert rust_detect.read_path(b"error\n/a\n") == rust_detect.read_path(b"") == rust_detect.read_path(b"/a\n/b\n") == ""


def test_libraries_of_a_distribution(tmp_path: Path) -> None:
    """A sysroot that is /usr has the compiler's libraries elsewhere: the linker tells."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libLLVM-14.so.1").touch()
    assert rust_detect.libraries(str(tmp_path)) == []
    lines = (
        "librustc_driver-4c.so => /usr/lib/librustc_driver-4c.so",
        "libLLVM-14.so.1 => /lib/libLLVM-14.so.1",
        "libz.so.1 => /lib/libz.so.1",
    )
    listing = "".join(f"\t{line} (0x7f)\n" for line in lines).encode()
    assert rust_detect.read_libraries(listing) == ["/usr/lib/librustc_driver-4c.so", "/lib/libLLVM-14.so.1"]


def test_the_parts_of_a_command() -> None:
    """What is asked, what is run, what its arguments are."""
    assert rust_detect.take_apart(("rustc", "+beta", "a.rs")) == Words("rustc", "rustc", "", "", ("+beta", "a.rs"))
    assert rust_detect.take_apart(("rustc", "a.rs"), "/usr/bin/rustc") == Words("/usr/bin/rustc", "rustc", "", "", ("a.rs",))
    assert rust_detect.take_apart(("/t/clippy-driver", "/t/rustc", "a.rs")) == Words(
        "/t/clippy-driver", "clippy-driver", "", "/t/rustc", ("a.rs",)
    )
    assert rust_detect.take_apart(("clippy-driver", "a.rs")) == Words("clippy-driver", "clippy-driver", "", "", ("a.rs",))
    assert rust_detect.take_apart(("rustc", "rustc")) == Words("rustc", "rustc", "", "", ("rustc",))
    assert rust_detect.take_apart(("/w/wrap", "/t/rustc", "a.rs")) == Words("/t/rustc", "rustc", "/w/wrap", "/t/rustc", ("a.rs",))


def test_the_nearest_directory_decides(tmp_path: Path) -> None:
    """What is above it is not looked at; with a shorthand or a variable no directory is."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "outer" / "rust-toolchain.toml").write_text("[toolchain]\n")
    env = {"RUSTUP_HOME": str(tmp_path)}
    chosen = rust_detect.choice(str(inner), env, "")
    assert chosen is not None
    assert chosen.files == (str(tmp_path / "outer" / "rust-toolchain.toml"),)
    places = {folder: names for folder, names in chosen.absent.items() if folder != "/etc/rustup"}
    assert places == {
        str(tmp_path): ["settings.toml"],
        str(inner): ["rust-toolchain", "rust-toolchain.toml"],
        str(tmp_path / "outer"): ["rust-toolchain"],
    }
    for env_, shorthand in ((env, "beta"), ({**env, "RUSTUP_TOOLCHAIN": "beta"}, "")):
        named = rust_detect.choice(str(inner), env_, shorthand)
        assert named is not None
        assert (named.files, str(inner) in named.absent) == ((), False)


def test_a_directory_reached_by_a_link(tmp_path: Path) -> None:
    """rustup goes up from where the directory really is."""
    (tmp_path / "real" / "project").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/project")
    (tmp_path / "real" / "rust-toolchain").write_text("beta")
    chosen = rust_detect.choice(str(tmp_path / "link"), {"RUSTUP_HOME": str(tmp_path)}, "")
    assert chosen is not None
    assert chosen.files == (str(tmp_path / "real" / "rust-toolchain"),)


def test_home_without_variables(tmp_path: Path) -> None:
    """RUSTUP_HOME, else below HOME, else below the user's directory; relative ones are seen from the working directory."""
    for env, home in (({"HOME": "/h"}, "/h/.rustup"), ({"RUSTUP_HOME": "r"}, str(tmp_path / "r")), ({}, str(Path.home() / ".rustup"))):
        chosen = rust_detect.choice(str(tmp_path), env, "stable")
        assert chosen is not None
        assert chosen.words[1] == home
