"""dump.py: what --debug-preprocessor-cache shows."""

from pathlib import Path

import pytest

from sccache.errors import StorageError
from sccache.hashing.digest import digest
from sccache.preprocessor_cache.dump import RULE, describe
from sccache.preprocessor_cache.manifest import Input, Manifest, Variant
from sccache.preprocessor_cache.manifest_format import encode


def store(cache: Path, key: str, content: bytes) -> None:
    path = cache / "preprocessor" / key[0] / key[1] / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_shows_all(tmp_path: Path):
    """Every manifest is shown with its files and absent names, in order of the keys."""
    variant = Variant((Input("/src/a.h", b"\xab" * 32, 12), Input("/usr/b.h", bytes(32), 3)), {"/inc": ("a.h", "b.h")}, "f" * 64, b"/src")
    store(tmp_path, "b" * 64, encode(Manifest((variant,)), ["/src"]))
    store(tmp_path, "a" * 64, encode(Manifest((variant, variant))))
    first, second = describe(str(tmp_path))
    assert first.startswith(f"{RULE}Showing preprocessor entry file {tmp_path}/preprocessor/a/a/{'a' * 64}\n")
    assert first.endswith(RULE)
    assert "abababababababab        12 /src/a.h\n" in first
    assert "/inc: a.h, b.h\n" in first
    assert "2 variant(s)" in first
    assert "<base directory 0>/a.h" in second
    assert "only for base directory /src" in second


def test_damaged(tmp_path: Path):
    """A damaged manifest is said to be so, and the others are shown."""
    store(tmp_path, "a" * 64, b"nonsense")
    store(tmp_path, "b" * 64, encode(Manifest((Variant((), {}, "f" * 64),))))
    shown = list(describe(str(tmp_path)))
    assert "cannot be read: " in shown[0]
    assert "f" * 64 in shown[1]


def test_facts_about_compilers(tmp_path: Path):
    """What is no manifest but whole is not called damaged."""
    store(tmp_path, "a" * 64, digest(b"facts") + b"facts")
    assert "facts about a compiler" in next(iter(describe(str(tmp_path))))


def test_no_cache(tmp_path: Path):
    """Where nothing was ever recorded, one sentence says so."""
    with pytest.raises(StorageError, match="does not exist"):
        list(describe(str(tmp_path)))
