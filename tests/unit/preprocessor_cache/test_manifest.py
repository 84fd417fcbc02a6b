"""Manifests: which of several known sets of inputs applies now."""

import os
import time
from pathlib import Path

import pytest

from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.preprocessor_cache.manifest import MAX_VARIANTS, Input, Manifest, Variant, lookup


@pytest.fixture
def files() -> FileMemory:
    return FileMemory(clock_ns=lambda: time.time_ns() + 60_000_000_000)


def variant(key: str, *paths: Path, absent: dict[str, tuple[str, ...]] | None = None, bound_to: bytes = b"") -> Variant:
    """A variant that applies to the files as they are now."""
    inputs = []
    for path in paths:
        st = path.stat()
        inputs.append(Input(str(path), digest(path.read_bytes()), st.st_size, st.st_mtime_ns, st.st_ctime_ns))
    return Variant(tuple(inputs), absent or {}, key, bound_to)


def found_key(manifest: Manifest, files: FileMemory, **settings: object) -> str | None:
    match = lookup(manifest, files, **settings)  # type: ignore[arg-type]
    if match is None:
        return None
    assert files.holds(match.watch)
    return match.variant.result_key


def test_the_variant_whose_inputs_are_there(files: FileMemory, tmp_path: Path) -> None:
    """Going back and forth between two states of a header finds each one's result, and nothing for a third."""
    header, other = tmp_path / "x.h", tmp_path / "y.h"
    other.write_bytes(b"same")
    manifest = Manifest()
    for state in (b"one", b"two"):
        header.write_bytes(state)
        manifest = manifest.with_variant(variant(state.decode(), other, header))
    for state, key in ((b"one", "one"), (b"two", "two"), (b"3", None), (b"one", "one")):
        replacement = tmp_path / "new"
        replacement.write_bytes(state)
        replacement.replace(header)
        assert found_key(manifest, files) == key
    header.unlink()
    assert found_key(manifest, files) is None


def test_nothing_known(files: FileMemory) -> None:
    """An empty manifest has no answer."""
    assert lookup(Manifest(), files) is None


def test_absent_files_must_be_absent(files: FileMemory, tmp_path: Path) -> None:
    """A variant does not apply once a header would shadow one of its inputs; another that read that header does."""
    (tmp_path / "i1").mkdir()
    source = tmp_path / "a.c"
    source.touch()
    plain = variant("plain", source, absent={str(tmp_path / "i1"): ("x.h",)})
    assert found_key(Manifest((plain,)), files) == "plain"
    shadow = tmp_path / "i1" / "x.h"
    shadow.symlink_to("../a.c")
    assert found_key(Manifest((plain,)), files) is None
    shadowed = variant("shadowed", source, shadow)
    assert found_key(Manifest((plain, shadowed)), files) == "shadowed"


def test_a_bound_variant_is_for_one_base_directory(files: FileMemory, tmp_path: Path) -> None:
    """A result that names its base directory is not for another checkout."""
    source = tmp_path / "a.c"
    source.touch()
    manifest = Manifest((variant("bound", source, bound_to=b"/one"),))
    assert found_key(manifest, files, bound_to=(b"/one",)) == "bound"
    assert found_key(manifest, files, bound_to=(b"/two",)) is None
    assert found_key(manifest, files) is None


def test_stat_matches(tmp_path: Path) -> None:
    """file_stat_matches: a file whose size and times are as recorded is not read; its content is then taken on trust."""
    header = tmp_path / "x.h"
    header.write_bytes(b"one")
    known = variant("known", header)
    wrong = Variant(tuple(Input(i.path, bytes(32), i.size, i.mtime_ns, i.ctime_ns) for i in known.inputs), {}, "on trust")
    assert found_key(Manifest((wrong,)), FileMemory(), stat_matches=True) == "on trust"
    assert found_key(Manifest((wrong,)), FileMemory()) is None


def test_use_ctime(tmp_path: Path) -> None:
    """use_ctime_for_stat: without it an mtime that was put back is enough, with it the content decides."""
    header = tmp_path / "x.h"
    header.write_bytes(b"one")
    known = variant("known", header)
    replacement = tmp_path / "new"
    replacement.write_bytes(b"two")
    os.utime(replacement, ns=(0, known.inputs[0].mtime_ns))
    replacement.replace(header)
    stale = Variant((Input(str(header), known.inputs[0].digest, 3, known.inputs[0].mtime_ns, 1),), {}, "stale")
    assert found_key(Manifest((stale,)), FileMemory(), stat_matches=True, use_ctime=False) == "stale"
    assert found_key(Manifest((stale,)), FileMemory(), stat_matches=True) is None


def test_times_that_were_not_recorded_prove_nothing(tmp_path: Path) -> None:
    """Without recorded times, file_stat_matches reads the file."""
    header = tmp_path / "x.h"
    header.write_bytes(b"two")
    stale = Variant((Input(str(header), digest(b"one"), 3),), {}, "stale")
    right = Variant((Input(str(header), digest(b"two"), 3),), {}, "right")
    assert found_key(Manifest((stale, right)), FileMemory(), stat_matches=True) == "right"


def test_newest_first_and_bounded(tmp_path: Path) -> None:
    """A new variant comes first, replaces one for the same circumstances, and the oldest go."""
    header = tmp_path / "x.h"
    manifest = Manifest()
    for number in range(MAX_VARIANTS + 5):
        header.write_bytes(b"%d" % number)
        manifest = manifest.with_variant(variant(str(number), header))
    assert len(manifest.variants) == MAX_VARIANTS
    assert manifest.variants[0].result_key == str(MAX_VARIANTS + 4)
    again = manifest.with_variant(variant("again", header))
    assert [known.result_key for known in again.variants[:2]] == ["again", str(MAX_VARIANTS + 3)]
    assert len(again.variants) == MAX_VARIANTS


def test_many_variants_cost_one_look_at_each_file(files: FileMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variants that differ in a file known to be different are passed over without looking at the disk again."""
    headers = [tmp_path / f"{n}.h" for n in range(3)]
    for header in headers:
        header.touch()
    inputs = variant("now", *headers).inputs
    others = [Variant((*inputs[:2], Input(str(headers[2]), bytes([n]) * 32, 0)), {}, str(n)) for n in range(1, 20)]
    asked = []
    real = files.watch

    def watch(*args: object) -> object:
        asked.append(args)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "watch", watch)
    assert found_key(Manifest((*others, Variant(inputs, {}, "now"))), files) == "now"
    assert len(asked) == 2


def _case(name: str, created: int, key: str = "") -> Variant:
    return Variant((Input("/x.h", digest(name.encode()), 1),), {}, key or name, created=created)


def test_merging_keeps_the_newest_of_both() -> None:
    """Each case once, as its newer side has it, newest first, and no more than a manifest may have."""
    near = Manifest((_case("b", 20), _case("same", 10, "old")))
    far = Manifest((_case("same", 30, "new"), _case("a", 15)))
    assert [known.result_key for known in near.merged(far).variants] == ["new", "b", "a"]
    assert near.merged(far) == far.merged(near)
    many = Manifest(tuple(_case(f"n{number}", number) for number in range(MAX_VARIANTS, 0, -1)))
    merged = many.merged(far).variants
    assert len(merged) == MAX_VARIANTS
    assert {"new", "a"} <= {known.result_key for known in merged}
    assert min(known.created for known in merged) == 3
