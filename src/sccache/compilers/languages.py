"""Source languages: by file name, by -x, and what each is called.

Owns: the tables of reference 5.2 with gcc's and clang's further names (CUDA and HIP are clang's alone).  Must not know: options, outputs.
"""

from sccache.model import Language

_BY_EXTENSION: dict[str, Language] = {
    "s": Language.ASSEMBLER,
    "S": Language.ASSEMBLER_WITH_CPP,
    "sx": Language.ASSEMBLER_WITH_CPP,
    "c": Language.C,
    "h": Language.GENERIC_HEADER,
    "i": Language.C_PREPROCESSED,
    "ii": Language.CXX_PREPROCESSED,
    **dict.fromkeys(("C", "cc", "cp", "cpp", "CPP", "cxx", "c++"), Language.CXX),
    **dict.fromkeys(("H", "hh", "hp", "hpp", "HPP", "hxx", "h++", "tcc"), Language.CXX_HEADER),
    **dict.fromkeys(("cppm", "ixx"), Language.CXX_MODULE),
    "m": Language.OBJC,
    "mi": Language.OBJC_PREPROCESSED,
    "M": Language.OBJCXX,
    "mm": Language.OBJCXX,
    "mii": Language.OBJCXX_PREPROCESSED,
}

_CLANG_EXTENSIONS: dict[str, Language] = {
    **dict.fromkeys(("ccm", "cxxm", "c++m"), Language.CXX_MODULE),
    "pcm": Language.CXX_PREPROCESSED,  # a compiled module interface
    "cu": Language.CUDA,
    "cui": Language.CUDA_PREPROCESSED,
    "hip": Language.HIP,
    "hipi": Language.HIP_PREPROCESSED,
}
"""Beside those that gcc knows, too."""
_NOT_CLANGS = frozenset(("sx",))
"""Files for the linker, clang 14 says."""

_BY_X: dict[str, Language] = {
    "assembler": Language.ASSEMBLER,
    "assembler-with-cpp": Language.ASSEMBLER_WITH_CPP,
    "c": Language.C,
    "c-header": Language.C_HEADER,
    "cpp-output": Language.C_PREPROCESSED,
    "c++": Language.CXX,
    "c++-header": Language.CXX_HEADER,
    "c++-cpp-output": Language.CXX_PREPROCESSED,
    "c++-module": Language.CXX_MODULE,
    "objective-c": Language.OBJC,
    "objective-c-header": Language.OBJC_HEADER,
    "objective-c-cpp-output": Language.OBJC_PREPROCESSED,
    "objc-cpp-output": Language.OBJC_PREPROCESSED,
    "objective-c++": Language.OBJCXX,
    "objective-c++-header": Language.OBJCXX_HEADER,
    "objective-c++-cpp-output": Language.OBJCXX_PREPROCESSED,
    "objc++-cpp-output": Language.OBJCXX_PREPROCESSED,
}

_CLANG_X: dict[str, Language] = {
    "cuda": Language.CUDA,
    "cuda-cpp-output": Language.CUDA_PREPROCESSED,
    "hip": Language.HIP,
    "hip-cpp-output": Language.HIP_PREPROCESSED,
}

_X_NAME: dict[Language, str] = {language: name for name, language in reversed((_BY_X | _CLANG_X).items())}

_AS_CXX: dict[Language, Language] = {
    Language.C: Language.CXX,
    Language.C_PREPROCESSED: Language.CXX_PREPROCESSED,
}
"""What a C++ driver makes of a C file that no -x names; a .h stays GENERIC_HEADER (plusplus tells them apart)."""

_PREPROCESSED: dict[Language, Language] = {
    Language.ASSEMBLER_WITH_CPP: Language.ASSEMBLER,
    Language.C: Language.C_PREPROCESSED,
    Language.C_HEADER: Language.C_PREPROCESSED,
    Language.GENERIC_HEADER: Language.C_PREPROCESSED,
    Language.CXX: Language.CXX_PREPROCESSED,
    Language.CXX_HEADER: Language.CXX_PREPROCESSED,
    Language.CXX_MODULE: Language.CXX_PREPROCESSED,
    Language.OBJC: Language.OBJC_PREPROCESSED,
    Language.OBJC_HEADER: Language.OBJC_PREPROCESSED,
    Language.OBJCXX: Language.OBJCXX_PREPROCESSED,
    Language.OBJCXX_HEADER: Language.OBJCXX_PREPROCESSED,
    Language.CUDA: Language.CUDA_PREPROCESSED,
    Language.HIP: Language.HIP_PREPROCESSED,
}

HEADERS = frozenset((Language.C_HEADER, Language.CXX_HEADER, Language.GENERIC_HEADER, Language.OBJC_HEADER, Language.OBJCXX_HEADER))
"""Compiling one of these makes a precompiled header."""

ASSEMBLERS = frozenset((Language.ASSEMBLER, Language.ASSEMBLER_WITH_CPP))

_OFFLOADING_NAMES: dict[Language, str] = {
    **dict.fromkeys((Language.CUDA, Language.CUDA_PREPROCESSED), "CUDA"),
    **dict.fromkeys((Language.HIP, Language.HIP_PREPROCESSED), "HIP"),
}
OFFLOADING = frozenset(_OFFLOADING_NAMES)
"""Compiled for the host and for GPUs, by several programs: such compiles are observed."""


def from_file_name(name: str, family: str, *, plusplus: bool) -> Language | None:
    """The language that a driver gives to a file by its extension (exact, case-sensitive)."""
    _, dot, extension = name.rpartition("/")[2].rpartition(".")
    if not dot:
        return None
    if family == "clang" and extension in _CLANG_EXTENSIONS:
        return _CLANG_EXTENSIONS[extension]
    if family == "clang" and extension in _NOT_CLANGS:
        return None
    language = _BY_EXTENSION.get(extension)
    return _AS_CXX.get(language, language) if plusplus and language is not None else language


def from_x(name: str, family: str = "") -> Language | None:
    """The language of `-x NAME`; None for names that are not cached."""
    return _BY_X.get(name) or (_CLANG_X.get(name) if family == "clang" else None)


def x_name(language: Language) -> str:
    """The -x name; empty for GENERIC_HEADER, which only a file's name can say."""
    return _X_NAME.get(language, "")


def preprocessed_language(language: Language) -> Language:
    """What the preprocessor's output is in; the same language where there is nothing to preprocess."""
    return _PREPROCESSED.get(language, language)


def needs_preprocessing(language: Language) -> bool:
    """The source goes through a preprocessor."""
    return language in _PREPROCESSED


def statistics_name(language: Language) -> str:
    """The plain statistics' row: sccache counts C, C++ and Objective-C together."""
    return "Assembler" if language in ASSEMBLERS else _OFFLOADING_NAMES.get(language, "C/C++")
