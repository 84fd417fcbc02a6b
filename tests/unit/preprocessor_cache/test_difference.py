"""Why a recorded variant does not apply, in words."""

import time
from pathlib import Path

from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.preprocessor_cache.difference import MOST, describe
from sccache.preprocessor_cache.manifest import Input, Manifest, Variant


def _files() -> FileMemory:
    return FileMemory(clock_ns=lambda: time.time_ns() + 60_000_000_000)


def test_every_kind_of_difference_is_named(tmp_path: Path) -> None:
    """Other content, gone, and appeared; what is as recorded is not mentioned."""
    same, other, gone, new = (tmp_path / name for name in ("same.h", "other.h", "gone.h", "new.h"))
    for path in (same, other, new):
        path.write_text("is")
    inputs = [Input(str(path), digest(text), 2) for path, text in ((same, b"is"), (other, b"was"), (gone, b"was"))]
    manifest = Manifest((Variant(tuple(inputs), {str(tmp_path): ("new.h", "absent.h")}, "key"),))
    assert describe(manifest, _files(), ()) == [f"{other} has other content", f"{gone} cannot be read any more", f"{new} was not there"]


def test_only_the_first_few(tmp_path: Path) -> None:
    """Another compiler's headers fill no log."""
    inputs = [Input(f"{tmp_path}/{number}.h", bytes(32), 1) for number in range(99)]
    assert len(describe(Manifest((Variant(tuple(inputs), {}, "key"),)), _files(), ())) == MOST


def test_there_is_always_something_to_say() -> None:
    """No difference is found any more, or nothing here holds for this base directory."""
    for bound_to in (b"", b"elsewhere"):
        assert describe(Manifest((Variant((), {}, "key", bound_to),)), _files(), (b"here",))
