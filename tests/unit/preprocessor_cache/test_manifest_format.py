"""Manifests as bytes: round trips, base directories, damage."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.errors import DamagedError
from sccache.hashing.digest import digest
from sccache.preprocessor_cache.manifest import Input, Manifest, Variant
from sccache.preprocessor_cache.manifest_format import MAGIC, MAX_MANIFEST_BYTES, VERSION, decode, encode, merge

INT64 = st.integers(0, (1 << 63) - 1)
DIGESTS = st.binary(min_size=32, max_size=32)
# Surrogates U+DC80…U+DCFF stand for bytes that are not UTF-8.
NAMES = st.text(st.one_of(st.characters(exclude_characters="\0/", max_codepoint=0xD7FF), st.just("\udcff")), min_size=1, max_size=6)
PATHS = st.lists(st.one_of(NAMES, st.sampled_from(["base", "a", "b"])), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
INPUTS = st.builds(Input, PATHS, DIGESTS, INT64, INT64, INT64)
ABSENT = st.dictionaries(PATHS, st.lists(NAMES, max_size=3).map(tuple), max_size=4)
VARIANTS = st.builds(
    Variant, st.lists(INPUTS, max_size=4).map(tuple), ABSENT, st.text("0123456789abcdef"), st.binary(max_size=5), st.integers(0, 1 << 40)
)
MANIFESTS = st.lists(VARIANTS, min_size=1, max_size=4).map(lambda variants: Manifest(tuple(variants)))


@given(MANIFESTS)
def test_what_was_packed_unpacks(manifest: Manifest) -> None:
    """Any manifest survives, with base directories or without."""
    assert decode(encode(manifest)) == manifest
    roots = ("/base", "/base/a", "/b")
    assert decode(encode(manifest, roots), roots) == manifest


def test_paths_follow_the_checkout() -> None:
    """A path below a base directory is found below the same one in another checkout; other paths stay."""
    variant = Variant(
        (Input("/one/src/a.c", bytes(32), 1), Input("/one", bytes(32), 1), Input("/onerous/x", bytes(32), 1)),
        {"/one/inc": ("x.h",), "/usr/include": ("x.h",)},
        "key",
    )
    (moved,) = decode(encode(Manifest((variant,)), ("/one",)), ("/two",)).variants
    assert [known.path for known in moved.inputs] == ["/two/src/a.c", "/two", "/onerous/x"]
    assert moved.absent == {"/two/inc": ("x.h",), "/usr/include": ("x.h",)}


def test_the_longest_base_directory_wins() -> None:
    """Whatever their order."""
    data = encode(Manifest((Variant((Input("/a/b/c", bytes(32), 1),), {}, "key"),)), ("/a", "/a/b"))
    (moved,) = decode(data, ("/x", "/y")).variants
    assert moved.inputs[0].path == "/y/c"


def test_a_base_directory_that_is_unknown_here() -> None:
    """A variant that needs one does not apply and is left out; the others stay."""
    inside, outside = (Variant((Input(path, bytes(32), 1),), {}, "key") for path in ("/base/x", "/usr/x"))
    watching = Variant((), {"/base/inc": ("x.h",)}, "key")
    data = encode(Manifest((inside, outside, watching)), ("/base",))
    assert decode(data) == Manifest((outside,))


def test_relative_paths_are_refused() -> None:
    """They would mean something else in another directory."""
    with pytest.raises(ValueError, match="absolute"):
        encode(Manifest((Variant((Input("x.h", bytes(32), 1),), {}, "key"),)))


def test_the_size_is_bounded() -> None:
    """The oldest variants go first; a variant that is too large on its own is not stored at all."""

    def variant(number: int, count: int) -> Variant:
        inputs = tuple(Input(f"/f{number}/{n}", digest(b"%d %d" % (number, n)), n) for n in range(count))
        return Variant(inputs, {}, str(number))

    data = encode(Manifest(tuple(variant(number, 8000) for number in range(5))))
    assert len(data) <= MAX_MANIFEST_BYTES
    assert [known.result_key for known in decode(data).variants] == ["0", "1"]
    assert encode(Manifest((variant(0, 30_000),))) == b""
    assert encode(Manifest()) == b""


def test_three_hundred_inputs_are_twenty_kilobytes() -> None:
    """The manifest of a typical C++ source, variants sharing most of their inputs."""
    shared = tuple(Input(f"/usr/include/c++/12/bits/header{n}.h", digest(b"%d" % n), 1000 + n) for n in range(299))
    absent = {f"/project/include{n}/bits": tuple(f"header{m}.h" for m in range(100)) for n in range(40)}
    variants = [Variant((Input("/a.c", digest(b"v%d" % n), 7), *shared), absent, f"{n:064}") for n in range(3)]
    assert len(encode(Manifest(tuple(variants[:1])))) < 16_000
    assert len(encode(Manifest(tuple(variants)))) < 18_000


@given(st.binary(max_size=200))
def test_random_bytes_are_damaged(data: bytes) -> None:
    """Whatever is stored under a manifest's name, reading it is a miss at worst."""
    for candidate in (data, MAGIC + data, MAGIC + bytes([VERSION]) + digest(data) + data):
        with pytest.raises(DamagedError):
            decode(candidate)


@given(MANIFESTS, st.data())
def test_changed_bytes_are_damaged(manifest: Manifest, data: st.DataObject) -> None:
    """A flipped byte or a missing end is noticed: never another variant."""
    whole = encode(manifest)
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.integers(1, 255))
    for damaged in (whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :], whole[:at], whole + b"x"):
        with pytest.raises(DamagedError):
            decode(damaged)


def test_another_manifest_under_this_name() -> None:
    """A whole and undamaged manifest that lies under another's key is refused."""
    data = encode(Manifest((Variant((), {}, "key"),)), key="one")
    assert decode(data, key="one") == decode(data)
    with pytest.raises(DamagedError):
        decode(data, key="two")


def test_format_1_still_reads() -> None:
    """A manifest of format 1, as released."""
    with open(os.path.join(os.path.dirname(__file__), "../../data/manifest-1.bin"), "rb") as file:
        (variant,) = decode(file.read(), ("/checkout",), "ab" * 32).variants
    assert variant == Variant(
        (Input("/checkout/a.c", digest(b"a"), 1, 2, 3), Input("/usr/include/stdio.h", digest(b"b"), 4)),
        {"/checkout/include": ("a.h", "b.h"), "/opt": ("a.h",)},
        "cd" * 32,
        b"/checkout",
        1700000000,
    )


def test_other_versions_are_damaged() -> None:
    """A manifest of the future is a miss."""
    whole = encode(Manifest((Variant((), {}, "key"),)))
    with pytest.raises(DamagedError):
        decode(whole[:4] + bytes([VERSION + 1]) + whole[5:])


def test_two_levels_are_merged() -> None:
    """The nearer level gets the variants of both; where its own blob is damaged, the farther one's as it is."""
    near = encode(Manifest((Variant((Input("/one/a.h", bytes(32), 1),), {}, "near", created=1),)), ("/one",), "k")
    far = encode(Manifest((Variant((Input("/one/b.h", bytes(32), 1),), {}, "far", created=2),)), ("/one",), "k")
    merged = decode(merge(near, far, ("/two",), "k"), ("/two",), "k")
    assert [(known.result_key, known.inputs[0].path) for known in merged.variants] == [("far", "/two/b.h"), ("near", "/two/a.h")]
    assert merge(near[:-1], far, ("/two",), "k") == far
    with pytest.raises(DamagedError):
        merge(near, far[:-1], ("/two",), "k")
