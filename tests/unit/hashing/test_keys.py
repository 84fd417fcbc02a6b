"""Keys: whatever differs in what goes in differs in the key, and can be told afterwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.errors import DamagedError
from sccache.hashing.digest import digest
from sccache.hashing.keys import KeyBuilder, Record, decode_records, differences, encode_records, key_of

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ARGUMENTS = st.text(st.characters(max_codepoint=0x7F), max_size=5)
VALUES = st.one_of(st.binary(max_size=9), ARGUMENTS, st.integers(), st.lists(ARGUMENTS, max_size=3).map(tuple))


def builder(*items: tuple[str, object]) -> KeyBuilder:
    made = KeyBuilder("test")
    for name, value in items:
        made.add(name, value)  # type: ignore[arg-type]
    return made


def test_a_key_is_stable() -> None:
    """The same records make the same key in every daemon; a change of this value needs a new KEY_VERSION."""
    key = builder(("args", ["-O2", "-g"]), ("plusplus", True), ("text", b"int x;")).key()
    assert key == "02fbb0c2e38e4c1f412ee7ee83ea67479cd39b2cfeb491a46be03e497ba71414"
    assert key == builder(("args", ("-O2", "-g")), ("plusplus", 1), ("text", b"int x;")).key()


@pytest.mark.parametrize(
    "other",
    [
        (("a", "1"), ("b", "")),
        (("a", "1"),),
        (("b", "2"), ("a", "1")),
        (("a", "12"), ("b", "")),
        (("a", b"1"), ("b", "2")),
        (("a", 1), ("b", "2")),
        (("a", ["1"]), ("b", "2")),
        (("a", ["1", ""]), ("b", "2")),
        (("a", "1"), ("b", "2"), ("c", "")),
    ],
)
def test_what_makes_a_difference(other: tuple[tuple[str, object], ...]) -> None:
    """Values, names, types, order, and where one value ends and the next begins."""
    assert builder(("a", "1"), ("b", "2")).key() != builder(*other).key()


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_keys_are_equal_only_for_equal_records(one: list[tuple[str, object]], other: list[tuple[str, object]]) -> None:
    """No two different lists of records share a key."""
    first, second = builder(*one), builder(*other)
    assert (first.key() == second.key()) == (first.records() == second.records())


def test_kinds_do_not_share_keys() -> None:
    """A manifest's key is never a result's."""
    assert KeyBuilder("result").add("a", 1).key() != KeyBuilder("manifest").add("a", 1).key()


def test_long_bytes_are_kept_as_their_digest() -> None:
    """Preprocessed text is not kept; adding the digest of it is the same."""
    text = b"x" * 5000
    records = builder(("text", text)).records()
    assert records[0].value == digest(text)
    assert KeyBuilder("test").add_digest("text", digest(text)).key() == builder(("text", text)).key()


def test_arguments_need_not_be_unicode() -> None:
    """A byte that is not UTF-8 is kept, and differs from others."""
    assert builder(("args", ["\udcff"])).key() != builder(("args", ["\udcfe"])).key()


def test_records_survive_storing() -> None:
    """What was packed unpacks to the same, and makes the same key."""
    made = builder(("args", ["-O2", "\udcff"]), ("n", -3), ("text", b"x" * 9999), ("name", "f.c"))
    again = decode_records(encode_records(made.records()))
    assert again == made.records()
    assert key_of("test", again) == made.key()
    with pytest.raises(DamagedError):
        decode_records(b"nonsense")


def test_a_difference_names_its_record() -> None:
    """Comparing two keys' records gives those that were changed, added or dropped, the repeated ones by position."""
    before = builder(("args", ["-O2"]), ("env", "A"), ("env", "B"), ("gone", 1)).records()
    after = builder(("args", ["-O3"]), ("env", "A"), ("env", "C"), ("new", 1)).records()
    found = {difference.name: difference for difference in differences(before, after)}
    assert set(found) == {"args", "env", "gone", "new"}
    assert found["args"].after == Record("l", "args", after[0].value)
    assert after[0].shown() == "['-O3']"
    assert found["env"].before == Record("t", "env", b"B")
    assert found["new"].before is None
    assert found["gone"].after is None
    assert differences(before, before) == ()
