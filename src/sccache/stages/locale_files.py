"""Files by which a compiler finds the language, the letters and the colours of its messages: a worker needs them to say the same.

Sources: setlocale(3), locale(7), the GNU gettext manual ("Locating Message Catalog Files"), terminfo(5).
Owns: which files those are.  Must not know: compilers, where they are sent.
"""

import glob
import os
import re
from collections.abc import Mapping

_LOCALES = os.path.join("/usr/lib", "locale")
_CATALOGS = os.path.join("/usr/share", "locale")
MAX_ARCHIVE_BYTES = 32 << 20
"""Of locale-archive: one with all the world's locales is larger."""
_DOMAINS = re.compile(r"(?:gcc|cpplib|clang|gas|bfd|opcodes|libc|ld)[-\w.]*\.mo")
_TERMINALS = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo")
_PLAIN = frozenset({"", "C", "POSIX"})


def locale_files(env: Mapping[str, str]) -> list[str] | None:
    """The files for these variables; None where there are too many to send."""
    values = {env.get("LC_ALL") or env.get(name) or env.get("LANG", "") for name in ("LC_CTYPE", "LC_MESSAGES")} - _PLAIN
    found: list[str] = []
    for value in sorted(values):
        if "/" in value:
            return None
        files = _of(value)
        if files is None:
            return None
        found += files
    languages = [word for word in env.get("LANGUAGE", "").split(":") if word and "/" not in word]
    if values:
        for language in dict.fromkeys([*languages, *sorted(values)]):
            found += _catalogs(language)
    return found


def _of(value: str) -> list[str] | None:
    """A locale's own directory, else the archive of all."""
    name, _, codeset = value.partition(".")
    spellings = [value, f"{name}.{re.sub(r'[^a-z0-9]', '', codeset.partition('@')[0].lower())}"]
    for spelling in spellings:
        place = os.path.join(_LOCALES, spelling)
        if os.path.isdir(place):
            return [path for path in sorted(glob.glob(f"{glob.escape(place)}/**", recursive=True)) if os.path.isfile(path)]
    archive = os.path.join(_LOCALES, "locale-archive")
    if not os.path.exists(archive):
        return []
    return [archive] if os.path.getsize(archive) <= MAX_ARCHIVE_BYTES else None


def _catalogs(language: str) -> list[str]:
    """Translations for a language and what it is a kind of: de_AT.UTF-8, de_AT, de."""
    plain = re.split(r"[.@]", language)[0]
    found = []
    for name in dict.fromkeys([language, plain, plain.partition("_")[0]]):
        place = os.path.join(_CATALOGS, name, "LC_MESSAGES")
        if os.path.isdir(place):
            found += [os.path.join(place, entry) for entry in sorted(os.listdir(place)) if _DOMAINS.fullmatch(entry)]
    return found


def terminal_files(env: Mapping[str, str]) -> list[str]:
    """The description of the terminal that TERM names, where it is looked for."""
    term = env.get("TERM", "")
    if not term or "/" in term:
        return []
    own = [os.path.join(env["HOME"], ".terminfo")] if env.get("HOME", "").startswith("/") else []
    places = [env.get("TERMINFO", ""), *own, *env.get("TERMINFO_DIRS", "").split(":"), *_TERMINALS]
    names = [os.path.join(place, term[0], term) for place in places if place.startswith("/")]
    return [path for path in dict.fromkeys(names) if os.path.isfile(path)]
