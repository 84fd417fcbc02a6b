"""Whatever the command line, parsing ends with one of three values, and its parts fit together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sccache.compilers import languages
from sccache.compilers.arguments import Takes
from sccache.compilers.c_family import option_tables, parse, preprocess_flags
from sccache.model import CannotCache, Language, NotCompilation, ParsedArguments

FAMILIES = st.sampled_from(["gcc", "clang"])
NAMES = sorted({name for family in ("gcc", "clang") for name in option_tables(family).driver.rows})
FILES = ["a.c", "b.cc", "src/x.S", "y.i", "h.hpp", "z", "", ".c", "a.", "dir/", "-", "--", "@x", "x.o", "ü.c", "\udcff.c"]
WORDS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(FILES),
    st.tuples(st.sampled_from(NAMES), st.sampled_from([*FILES, "=", "=x", ",", ",-MD,x", "never"])).map("".join),
    st.text(max_size=6),
)


@settings(max_examples=600, deadline=None)
@given(FAMILIES, st.lists(WORDS, max_size=12), st.booleans())
def test_any_command_line_ends_in_a_value(family: str, words: list[str], plusplus: bool) -> None:
    """No list of words raises, and a reason is never empty."""
    result = parse(family, ("cc", *words), "/nonexistent", {}, plusplus)
    assert isinstance(result, ParsedArguments | CannotCache | NotCompilation)
    if isinstance(result, CannotCache):
        assert result.reason


@settings(max_examples=600, deadline=None)
@given(FAMILIES, st.lists(WORDS, max_size=8))
def test_the_parts_of_a_result_fit_together(family: str, words: list[str]) -> None:
    """The source is a word that stood there, the main output comes first, roles are unique, no two files are one."""
    result = parse(family, ("cc", "-c", *words), "/nonexistent", {}, plusplus=False)
    if not isinstance(result, ParsedArguments):
        return
    assert result.source in words
    assert result.outputs[0].path == result.output
    roles = [output.role for output in result.outputs]
    assert len(set(roles)) == len(roles)
    assert set(result.result_key_args) <= set(result.key_args)
    assert result.compile_args == ("-c", *words)


@settings(max_examples=400, deadline=None)
@given(FAMILIES, st.data())
def test_a_value_is_never_the_source(family: str, data: st.DataObject) -> None:
    """The word after an option that takes one is its value, even if it looks like a source."""
    rows = [row for row in option_tables(family).driver.rows.values() if row.takes in (Takes.NEXT, Takes.EITHER)]
    row = data.draw(st.sampled_from(rows))
    result = parse(family, ("cc", row.name, "value.c", "-c", "real.c"), "/nonexistent", {}, plusplus=False)
    if isinstance(result, ParsedArguments):
        assert result.source == "real.c"
    else:
        assert result != CannotCache("multiple input files", "real.c")


@pytest.mark.parametrize("family", ["gcc", "clang"])
def test_options_that_only_name_files_leave_the_key_alone(family: str) -> None:
    """The same compile into another place, with another dep-file and colour, has the same key."""
    one = parse(family, (family, "-O2", "-MD", "-MF", "x.d", "-MT", "t", "-o", "o1/a.o", "-c", "a.c"), "/", {}, plusplus=False)
    two = parse(family, (family, "-O2", "-fdiagnostics-color=always", "-oo2/b.o", "-pipe", "-c", "a.c"), "/", {}, plusplus=False)
    assert isinstance(one, ParsedArguments)
    assert isinstance(two, ParsedArguments)
    assert one.key_args == two.key_args == ("-O2", "-c")


def test_flags_of_the_pipeline() -> None:
    """Each family has a way to keep comments and columns."""
    assert preprocess_flags("gcc") == ("-E", "-fdirectives-only")
    assert preprocess_flags("clang") == ("-E", "-frewrite-includes")


@pytest.mark.parametrize("language", list(Language))
def test_every_language_can_be_named_again(language: Language) -> None:
    """-x names come back to their language; what is preprocessed needs no preprocessing."""
    name = languages.x_name(language)
    assert name == "" or languages.from_x(name, "clang") is language
    assert not languages.needs_preprocessing(languages.preprocessed_language(language))
    assert languages.statistics_name(language) in ("C/C++", "Assembler", "CUDA", "HIP")
