"""C++ modules: what has to be observed, and where gcc may put modules."""

from pathlib import Path

import pytest

from sccache.compilers import c_family, modules
from sccache.model import CannotCache, ParsedArguments


def parsed(family: str, *args: str, cwd: str = "/nowhere", env: dict[str, str] | None = None) -> ParsedArguments:
    found = c_family.parse(family, (family, *args), cwd, env or {}, plusplus=True)
    assert isinstance(found, ParsedArguments)
    return found


@pytest.mark.parametrize(
    ("family", "args"),
    [
        ("gcc", ("-fmodules-ts", "-c", "a.cpp")),
        ("gcc", ("-fmodules", "-c", "a.cpp")),
        ("gcc", ("-MD", "-fdeps-format=p1689r5", "-c", "a.cpp")),
        ("clang", ("-fmodules-ts", "-c", "a.cpp")),
        ("clang", ("-fmodule-file=m.pcm", "-c", "a.cpp")),
        ("clang", ("-fmodule-file=m=m.pcm", "-c", "a.cpp")),
        ("clang", ("-Xclang", "-fmodule-file=m.pcm", "-c", "a.cpp")),
        ("clang", ("-fprebuilt-module-path=.", "-c", "a.cpp")),
        ("clang", ("-fmodule-output", "-c", "a.cppm")),
        ("clang", ("-fmodule-output=a.pcm", "-c", "a.cppm")),
        ("clang", ("-c", "a.pcm")),
    ],
)
def test_what_may_import_is_observed(family: str, args: tuple[str, ...]) -> None:
    """Modules import others, which no command line and no preprocessed text names."""
    assert parsed(family, *args).needs_observing


@pytest.mark.parametrize(("family", "args"), [("gcc", ("-std=c++20", "-c", "a.cpp")), ("clang", ("-std=c++20", "--precompile", "a.cppm"))])
def test_what_imports_nothing_is_not(family: str, args: tuple[str, ...]) -> None:
    """The preprocessed text says it all."""
    found = parsed(family, *args)
    assert not found.needs_observing
    assert found.made_in == ()


def test_modules_are_made_in_one_directory() -> None:
    """By gcc; clang's are named by the command line."""
    assert parsed("gcc", "-fmodules-ts", "-c", "a.cpp").made_in == ("gcm.cache",)
    assert parsed("clang", "-fmodules-ts", "-c", "a.cpp").made_in == ()


@pytest.mark.parametrize(
    ("text", "mapper", "expected"),
    [
        ("m m.gcm\n", "map", (".", "gcm.cache")),
        ("$root cm\nm m.gcm\nn sub/n.gcm", "map", ("cm", "cm/sub")),
        ("# m x/m.gcm\n\nm /abs/m.gcm\n", "map", ("/abs", "gcm.cache")),
        ("id $root r\nid m m.gcm\nother o.gcm\n", "map?id", ("r",)),
        ("m\n", "map", ("gcm.cache",)),
        ("", "map", ("gcm.cache",)),
    ],
)
def test_places_in_a_mapper_file(tmp_path: Path, text: str, mapper: str, expected: tuple[str, ...]) -> None:
    """Of all modules in it: which of them the source makes is not known."""
    (tmp_path / "map").write_text(text)
    assert modules.directories(mapper, str(tmp_path)) == expected
    assert parsed("gcc", "-fmodules-ts", f"-fmodule-mapper={mapper}", "-c", "a.cpp", cwd=str(tmp_path)).made_in == expected
    assert parsed("gcc", "-fmodules-ts", "-c", "a.cpp", cwd=str(tmp_path), env={"CXX_MODULE_MAPPER": mapper}).made_in == expected


def test_a_mapper_file_that_is_not_there() -> None:
    """gcc says so."""
    assert modules.directories("none", "/nowhere") == ("gcm.cache",)


def test_the_option_wins() -> None:
    """Over the variable."""
    found = parsed("gcc", "-fmodules-ts", "-fmodule-mapper=none", "-c", "a.cpp", env={"CXX_MODULE_MAPPER": "|program"})
    assert found.made_in == ("gcm.cache",)


def test_a_mapper_without_modules_means_nothing() -> None:
    """Neither by variable nor by option."""
    assert not parsed("gcc", "-c", "a.cpp", env={"CXX_MODULE_MAPPER": "|program"}).needs_observing
    assert not parsed("clang", "-fmodules-ts", "-c", "a.cpp", env={"CXX_MODULE_MAPPER": "|program"}).made_in


def test_several_architectures() -> None:
    """Are observed where the user wants them cached; one named twice is one."""
    several = ("-arch", "x86_64", "-arch", "arm64", "-c", "a.c")
    refusal = c_family.parse("clang", ("clang", *several), "/nowhere", {}, plusplus=False)
    assert refusal == CannotCache("multiple different -arch, and SCCACHE_CACHE_MULTIARCH not set", "arm64 x86_64")
    assert parsed("clang", *several, env={"SCCACHE_CACHE_MULTIARCH": ""}).needs_observing
    assert not parsed("clang", "-arch", "arm64", "-arch", "arm64", "-c", "a.c").needs_observing
