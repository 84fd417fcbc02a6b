"""The names of languages and compilers in the statistics are sccache's, whoever counts (reference 1.5)."""

import json
from collections.abc import Callable

import pytest

from sccache.compilers import families, languages
from sccache.compilers.observed import ObservedArguments
from sccache.compilers.options import cuda_steps
from sccache.model import Language
from sccache.stats import PerLanguage, ServerInfo, Stats, render_json
from sccache.stats_text import render_text

PLAIN = frozenset({"Assembler", "C/C++", "CUDA", "CUDA (Device code)", "PTX", "CUBIN", "Rust", "HIP"})
ADVANCED = frozenset(
    {"assemblerToPreprocess", "assembler", "c", "cHeader", "cPreprocessed", "c++", "c++Header", "c++Preprocessed", "c/c++", "objc"}
    | {"objcPreprocessed", "objc++", "objc++Preprocessed", "cuda", "ptx", "cubin", "hip", "c++-module"}
)
COMPILERS = frozenset({"clang", "diab", "gcc", "msvc", "nvcc", "cudafe++", "cicc", "ptxas", "nvhpc", "taskingvx"})
SOURCES = ("a.c", "a.cpp", "a.i", "a.ii", "a.s", "a.S", "a.cu", "a.hip", "a.ptx", "a.m", "a.mm")


def assert_known(plain: str, advanced: str) -> None:
    assert plain in PLAIN
    counted = PerLanguage()
    counted.add(plain, advanced)
    ((shown, _),) = counted.adv_counts.items()
    language, _, compiler = shown.partition(" ")
    assert language in ADVANCED, shown
    assert compiler[:1] + compiler[-1:] == "[]", shown
    assert compiler[1:-1] in COMPILERS, shown


@pytest.mark.parametrize("language", Language)
def test_every_language(language: Language) -> None:
    """Those of gcc and clang."""
    for compiler in ("gcc", "clang"):
        assert_known(languages.statistics_name(language), f"{language.value} [{compiler}]")


@pytest.mark.parametrize("family", families.FAMILIES.values(), ids=families.FAMILIES)
def test_every_family(family: families.Family) -> None:
    """What each parser of an observed family calls its compiles."""
    parse: Callable[..., object] = family.parse
    known = 0
    for source in SOURCES:
        for more in ((), ("--offload-arch=gfx900",)):
            found = parse((family.name, *more, "-c", source, "-o", "a.o"), "/", {})
            if isinstance(found, ObservedArguments):
                assert_known(found.statistics_name, found.advanced_name)
                known += 1
    assert known or family.name in ("cudafe++", "cicc", "ptxas")


def test_parts_of_nvcc() -> None:
    """Each has a row of its own."""
    rows = {(tool.statistics_name, tool.advanced_name) for tool in (cuda_steps.CUDAFE, cuda_steps.CICC, cuda_steps.PTXAS)}
    assert rows == {("CUDA (Device code)", "cuda [cudafe++]"), ("PTX", "ptx [cicc]"), ("CUBIN", "cubin [ptxas]")}


def test_headers_of_objective_c() -> None:
    """sccache counts them with their language."""
    counted = PerLanguage()
    counted.add("C/C++", "objcHeader [clang]")
    counted.add("C/C++", "objc [clang]")
    counted.add("Rust", "rust")
    assert counted.adv_counts == {"objc [clang]": 2, "rust": 1}


def test_a_cuda_build_as_text_and_json() -> None:
    """One -c of one architecture, cold and warm, with and without languages by compiler."""
    stats = Stats()
    steps = (("CUDA", "cuda [nvcc]"), ("CUDA (Device code)", "cuda [cudafe++]"), ("PTX", "ptx [cicc]"), ("CUBIN", "cubin [ptxas]"))
    for plain, advanced in steps:
        stats.miss(plain, advanced, 1, "never seen")
        stats.hit(plain, advanced, 1, direct=True)
    info = ServerInfo(stats, "Local disk", None, None, True, "1", [])
    hits = [line.split() for line in render_text(info, advanced=True).splitlines() if line.startswith("Cache hits (")]
    assert [" ".join(words[2:-1]) for words in hits] == ["(cubin [ptxas])", "(cuda [cudafe++])", "(cuda [nvcc])", "(ptx [cicc])"]
    plain_hits = [line.rsplit(maxsplit=1) for line in render_text(info, advanced=False).splitlines() if line.startswith("Cache hits (")]
    names = ("CUBIN", "CUDA", "CUDA (Device code)", "PTX")
    assert plain_hits == [[f"Cache hits ({name})", "1"] for name in names]
    counts = json.loads(render_json(info))["stats"]["cache_misses"]
    assert counts == {"counts": dict.fromkeys((plain for plain, _ in steps), 1), "adv_counts": dict.fromkeys((adv for _, adv in steps), 1)}
