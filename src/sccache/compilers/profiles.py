"""Which profile a compile reads (-fprofile-use and its kin).

    gcc   <gcda> ::= <absolute aux base>.gcda | <directory>/<mangled cwd/aux base>.gcda     ; "/" becomes "#", ".." becomes "^"
    clang <profdata> ::= <value> | <directory, or cwd>/default.profdata

Checked against what the real compilers open (tests/unit/compilers/test_profiles.py).
Owns: these names.  Must not know: options, whether the file exists.
"""

from pathlib import PurePath


def gcc_profile(base: str, cwd: str, directory: str, prefix: str) -> str:
    """The .gcda that gcc opens; `base` is the side files' common path, `prefix` is -fprofile-prefix-path."""
    absolute = base if base.startswith("/") else f"{cwd}/{base}"
    if not directory:
        return absolute + ".gcda"
    if base.startswith("/"):
        return f"{directory}/{absolute}.gcda"
    if prefix and absolute.startswith(prefix.rstrip("/") + "/"):
        absolute = absolute[len(prefix.rstrip("/")) + 1 :]
    parts = ("^" if part == ".." else part for part in absolute.split("/"))
    return f"{directory}/{'#'.join(parts)}.gcda"


def clang_profile(value: str, *, is_directory: bool) -> str:
    """The profile that -fprofile-use[=VALUE] reads."""
    return str(PurePath(value, "default.profdata")) if not value or is_directory else value
