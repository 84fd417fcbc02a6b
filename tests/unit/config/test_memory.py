"""memory.py: the daemon notices settings that a compile brings."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.config.memory import MAX_REMEMBERED, ConfigMemory, fingerprint
from sccache.errors import ConfigError


def blob(**env: str) -> bytes:
    return b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in env.items())


def memory(tmp_path: Path, *, keeps_settings: bool = True, **env: str) -> ConfigMemory:
    return ConfigMemory({"HOME": str(tmp_path), **env}, "/base", keeps_settings=keeps_settings)


def test_fingerprint_ignores_others():
    """Only settings count, in whatever order they come."""
    one = fingerprint(blob(PATH="/bin", SCCACHE_DIR="/d", SCCACHE_CACHE_SIZE="1G"))
    two = fingerprint(blob(SCCACHE_CACHE_SIZE="1G", SCCACHE_DIR="/d", PATH="/usr/bin", SCCACHE_LOG="trace"))
    assert one == two
    assert fingerprint(blob(PATH="/bin")) == b""


@given(
    st.dictionaries(
        st.sampled_from(["SCCACHE_DIR", "SCCACHE_RECACHE", "HOME"]),
        st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])),
    )
)
def test_fingerprint_distinguishes(env: dict[str, str]):
    """Equal fingerprints mean equal settings."""
    settings = {name: value for name, value in env.items() if name != "HOME"}
    read = dict(os.fsdecode(entry).split("=", 1) for entry in fingerprint(blob(**env)).split(b"\0") if entry)
    assert read == settings


def test_compile_changes_settings(tmp_path: Path):
    """A compile's variables stand over the daemon's."""
    known = memory(tmp_path, SCCACHE_DIR="/daemon", SCCACHE_CACHE_SIZE="1G")
    brought = known.get(fingerprint(blob(SCCACHE_DIR="/compile")))
    assert (brought.disk.dir, brought.disk.size_bytes) == ("/compile", 1 << 30)
    assert known.get(b"").disk.dir == "/daemon"


def test_passing_daemon_keeps_nothing(tmp_path: Path):
    """A daemon that a compile started keeps none of its settings for others, but knows where it began."""
    known = memory(tmp_path, keeps_settings=False, SCCACHE_DIR="/first")
    assert known.base.disk.dir == "/first"
    assert known.get(b"").disk.dir == f"{tmp_path}/.cache/sccache"
    assert known.get(fingerprint(blob(SCCACHE_DIR="/first"))) is known.base


def test_same_object(tmp_path: Path):
    """Equal settings are the identical object, so that whatever was made of them can be kept by it."""
    known = memory(tmp_path)
    settings = fingerprint(blob(SCCACHE_DIR="/d"))
    assert known.get(settings) is known.get(settings)
    assert known.get(b"") is known.base


def test_file_changes(tmp_path: Path):
    """An edit of the configuration file is noticed with the next compile."""
    place = tmp_path / ".config" / "sccache"
    known = memory(tmp_path)
    assert known.get(b"").disk.size_bytes == 10 << 30
    place.mkdir(parents=True)
    (place / "config").write_text("[cache.disk]\nsize = 5\n")
    assert known.get(b"").disk.size_bytes == 5
    (place / "config").write_text("[cache.disk]\nsize = 77\n")
    assert known.get(b"").disk.size_bytes == 77
    (place / "config").unlink()
    assert known.get(b"").disk.size_bytes == 10 << 30


def test_touched_file(tmp_path: Path):
    """A file that was only touched leaves the settings as they are."""
    path = tmp_path / "c"
    path.write_text("[cache.disk]\nsize = 5\n")
    known = memory(tmp_path, SCCACHE_CONF=str(path))
    before = known.get(b"")
    os.utime(path, ns=(1, 1))
    assert known.get(b"") is before


def test_file_breaks(tmp_path: Path):
    """A file that was broken while the daemon runs changes nothing; repaired, it counts again."""
    path = tmp_path / "c"
    path.write_text("[cache.disk]\nsize = 5\n")
    known = memory(tmp_path, SCCACHE_CONF=str(path))
    path.write_text("[cache.disk\n")
    assert known.get(b"").disk.size_bytes == 5
    path.write_text("[cache.disk]\nsize = 6\n")
    assert known.get(b"").disk.size_bytes == 6


def test_bad_compile_settings(tmp_path: Path):
    """An unusable setting of a compile counts as not set; its other settings hold."""
    known = memory(tmp_path)
    config = known.get(fingerprint(blob(SCCACHE_DIRECT="perhaps", SCCACHE_DIR="/d")))
    assert config.disk.dir == "/d"
    assert config.disk.preprocessor.use_preprocessor_cache_mode


def test_bad_daemon_settings(tmp_path: Path):
    """Unusable settings of the daemon itself are an error at its start."""
    with pytest.raises(ConfigError, match="SCCACHE_DIRECT"):
        memory(tmp_path, SCCACHE_DIRECT="perhaps")


def test_bounded(tmp_path: Path):
    """However many settings compiles make up, few are remembered, and all are right."""
    known = memory(tmp_path)
    for number in range(3 * MAX_REMEMBERED):
        assert known.get(fingerprint(blob(SCCACHE_C_CUSTOM_CACHE_BUSTER=str(number)))).cache_buster == str(number)
    assert len(known._remembered) <= MAX_REMEMBERED


def test_relative_directory(tmp_path: Path):
    """A relative path of a compile starts where the daemon was started."""
    assert memory(tmp_path).get(fingerprint(blob(SCCACHE_DIR="x"))).disk.dir == "/base/x"
