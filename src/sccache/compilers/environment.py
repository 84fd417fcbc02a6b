"""The environment variables that reach a C-family compiler's result, as tables.

Sources: GCC manual "Environment Variables Affecting GCC" and "Environment Variables Affecting the Preprocessor";
clang's driver sources and manual; ld.so(8) for the loader's variables.
Owns: the names and what each influences.  Must not know: keys, requests.
"""

from collections.abc import Mapping

INCLUDE_PATH = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH", "OBJCPLUS_INCLUDE_PATH")
"""Add header directories; their effect on a preprocessed text is in the text."""

RESULT = (
    "CCC_OVERRIDE_OPTIONS",
    "CLANG_CONFIG_FILE_SYSTEM_DIR",
    "CLANG_CONFIG_FILE_USER_DIR",
    "CLANG_NO_DEFAULT_CONFIG",
    "COMPILER_PATH",
    "GCC_COMPARE_DEBUG",
    "GCC_EXEC_PREFIX",
    "IPHONEOS_DEPLOYMENT_TARGET",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "MACOSX_DEPLOYMENT_TARGET",
    "SCCACHE_C_CUSTOM_CACHE_BUSTER",
    "SDKROOT",
    "SOURCE_DATE_EPOCH",
    "TVOS_DEPLOYMENT_TARGET",
    "WATCHOS_DEPLOYMENT_TARGET",
)
"""Can change an object or which programs make it."""

DIAGNOSTICS = (
    "GCC_COLORS",
    "GCC_EXTRA_DIAGNOSTIC_OUTPUT",
    "GCC_URLS",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "TERM_URLS",
)
"""Change only the wording or look of diagnostics."""

TERMINAL = (
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "COLUMNS",
    "NO_COLOR",
    "TERM",
    "TERMINFO",
    "TERMINFO_DIRS",
)
"""Change the look of diagnostics on a terminal: gcc's diagnostic-color.cc, LLVM's Unix/Process.inc, terminfo(5)."""

LOADER = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES")
"""What the dynamic loader reads before any program runs: ld.so(8), dyld(1)."""

FURTHER_FILES = (
    "DEPENDENCIES_OUTPUT",
    "SUNPRO_DEPENDENCIES",
    "CCC_OVERRIDE_OPTIONS",
    "CC_PRINT_OPTIONS",
    "CC_PRINT_HEADERS",
    "CC_LOG_DIAGNOSTICS",
    "CC_PRINT_PROC_STAT",
    "CC_PRINT_INTERNAL_STAT",
    "GCC_COMPARE_DEBUG",
)
"""Make a driver write further files or change its command line: compiles with one of them are not cached."""

OBSERVED = (
    *("BINUTILS_ROOT", "G++_ROOT", "GCC_ROOT", "LIBRARY_PATH", "LPATH", "LLVM_OVERRIDE_PRODUCER", "CLANG_MODULE_CACHE_PATH"),
    *("CUDA_PATH", "CUDA_HOME", "ROCM_PATH", "HIP_PATH", "HIP_DEVICE_LIB_PATH", "HOME", "XDG_CACHE_HOME"),
)
"""What gcc and clang were seen to ask for beside these, in compiles that are observed."""

REQUEST = ("SCCACHE_RECACHE", "SCCACHE_NO_CACHE", "SCCACHE_DIRECT", "SCCACHE_EXTRAFILES", "SCCACHE_CACHE_ZSTD_LEVEL")
"""Steer one request of ours."""

RELEVANT = frozenset((*INCLUDE_PATH, *RESULT, *DIAGNOSTICS, *TERMINAL, *FURTHER_FILES, *OBSERVED, *LOADER, *REQUEST, "PATH", "PWD"))
"""All that a remembered request of a C compiler must be told apart by."""

VOLATILE = frozenset(("CARGO_MAKEFLAGS", "MAKEFLAGS", "MFLAGS", "SHLVL", "_"))
"""What differs from build to build by itself: the job server's descriptors or FIFO, the shell's depth and last word.

Of a rustc every other variable tells requests apart: sources (`env!`) and macros may read any.  A result that did depend on one of these
must not be remembered by its request."""


def pick(env: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    """`NAME=value` of those names that are set, in table order."""
    return tuple(f"{name}={env[name]}" for name in names if name in env)
