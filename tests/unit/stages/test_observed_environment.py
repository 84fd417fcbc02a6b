"""Which variables a Rust result depends on, and how their values are compared."""

import pytest

from sccache.model import CompileRequest
from sccache.stages.observed_environment import EVERYTHING, Reads, differences, is_remembered, rows
from sccache.stages.observed_roots import ObservedRoots
from sccache.stages.rust_inputs import RULES

HERE = ObservedRoots(("/ws", "/ws/target"), is_plain=True)
THERE = ObservedRoots(("/other", "/other/target"), is_plain=True)
ASKED = CompileRequest(("rustc",), "/ws", {}, 0o022, knows_environment=True)
INCLUDING = b'include!(concat!(env!("OUT_DIR"), "/made.rs"));'
GENERATED = {"OUT_DIR": "/ws/target/debug/build/x/out"}
MOVED = {"OUT_DIR": "/other/target/debug/build/x/out"}


def reads(*tool: str, macros: tuple[str, ...] = (), everything: bool = False) -> Reads:
    return Reads(tool, macros, everything=everything)


def test_a_value_counts() -> None:
    """Set, not set and empty are three things."""
    recorded = rows(reads("MODE"), {"MODE": "fast"}, HERE, RULES, [])
    assert differences(recorded, {"MODE": "fast"}, HERE) == []
    assert differences(recorded, {"MODE": "slow"}, HERE) == ["the variable MODE has another value"]
    assert differences(recorded, {}, HERE)
    unset = rows(reads("MODE"), {}, HERE, RULES, [])
    assert differences(unset, {}, HERE) == []
    assert differences(unset, {"MODE": ""}, HERE)


def test_values_are_not_kept() -> None:
    """A secret that a macro reads is not to be found in the manifest."""
    assert "hunter2" not in repr(rows(reads(macros=("TOKEN",)), {"TOKEN": "hunter2"}, HERE, RULES, []))


def test_generated_code_that_is_only_included_serves_elsewhere() -> None:
    """The file that was included is an input of its own."""
    recorded = rows(reads("OUT_DIR"), GENERATED, HERE, RULES, [INCLUDING])
    assert differences(recorded, MOVED, THERE) == []


@pytest.mark.parametrize(
    "source",
    [
        b'const WHERE: usize = env!("OUT_DIR").len();',
        INCLUDING + b'const N: usize = env!("OUT_DIR").len();',
        INCLUDING + b"const S: usize = file!().len();",
        b"include_from_macro!();",
    ],
)
def test_a_place_that_may_be_computed_with_serves_only_there(source: bytes) -> None:
    """Its length may be in the result where the name is not."""
    recorded = rows(reads("OUT_DIR"), GENERATED, HERE, RULES, [source])
    assert differences(recorded, GENERATED, HERE) == []
    assert differences(recorded, MOVED, THERE)


def test_what_a_macro_read_is_compared_as_it_is() -> None:
    """Nobody knows what it did with the name."""
    recorded = rows(reads("OUT_DIR", macros=("OUT_DIR",)), GENERATED, HERE, RULES, [INCLUDING])
    assert differences(recorded, MOVED, THERE)


def test_harmless_variables_of_the_tool() -> None:
    """rustc asks for its log's level; a macro that asks for the same means something by it."""
    assert rows(reads("RUST_BACKTRACE"), {"RUST_BACKTRACE": "1"}, HERE, RULES, []) == ()
    assert rows(reads(macros=("RUST_BACKTRACE",)), {"RUST_BACKTRACE": "1"}, HERE, RULES, [])


def test_the_whole_environment() -> None:
    """Any variable but those that change by themselves."""
    recorded = rows(reads(everything=True), {"A": "1", "MAKEFLAGS": "-j", "SCCACHE_LOG": "debug"}, HERE, RULES, [])
    assert [name for name, _ in recorded] == [EVERYTHING]
    assert differences(recorded, {"A": "1", "MAKEFLAGS": " -j8"}, HERE) == []
    assert differences(recorded, {"A": "2"}, HERE) == ["a variable of the environment is another one"]
    assert differences(recorded, {"A": "1", "B": ""}, HERE)


def test_what_changes_by_itself_is_not_remembered_by_requests() -> None:
    """A request's identity leaves these out, so each look-up compares them anew."""
    assert is_remembered(rows(reads("MODE"), {}, HERE, RULES, []), ASKED)
    assert not is_remembered(rows(reads(macros=("MAKEFLAGS",)), {"MAKEFLAGS": "-j"}, HERE, RULES, []), ASKED)
