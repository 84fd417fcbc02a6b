"""Values of settings, from an environment variable's text or from a value in the configuration file.

A reader raises ValueError whose text continues the name of the setting: "must be 'true', …", "value is invalid: …".
Owns: what a size, a switch, a number, a list looks like.  Must not know: which settings there are, files, the environment.
"""

import os
import re
from collections.abc import Callable, Mapping

from msgspec import Struct

SIZE_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SIZE_TEXT = re.compile(r"([0-9]{1,20})([BKMGT]?)", re.ASCII | re.IGNORECASE)
MAX_SIZE_BYTES = (1 << 64) - 1  # what the JSON statistics can show
ON = frozenset({"true", "on", "1"})
OFF = frozenset({"false", "off", "0"})
ZSTD_LEVELS = (1, 22)
WRITE_ERROR_POLICIES = ("ignore", "l0", "all")
AUTH_FORMS = {
    "token": ("token",),
    "oauth2_code_grant_pkce": ("client_id", "auth_url", "token_url"),
    "oauth2_implicit": ("client_id", "auth_url"),
}
TOOLCHAIN_FORMS = {
    "no_dist": ("compiler_executable",),
    "path_override": ("compiler_executable", "archive", "archive_compiler_executable"),
}


class Kind(Struct, frozen=True):
    """How values of one kind are read."""

    name: str
    """What the documentation calls it."""
    from_text: Callable[[str], object]
    from_file: Callable[[object], object]
    empty_is_set: bool = False
    """An environment variable that is set but empty counts as a value; else it counts as not set."""


def parse_size(text: str) -> int:
    """A number of bytes: digits and perhaps one of B, K, M, G, T (powers of 1024), in either case."""
    match = SIZE_TEXT.fullmatch(text)
    size_bytes = int(match[1]) * SIZE_UNITS[match[2].upper()] if match else -1
    if not 0 <= size_bytes <= MAX_SIZE_BYTES:
        raise ValueError(f"value is invalid: {text!r} is not a size such as 512M or 10G")
    return size_bytes


def size_from_file(value: object) -> int:
    """A size in the file is a number of bytes or text as in the environment."""
    if isinstance(value, str):
        return parse_size(value)
    return number_from_file(value)


def parse_bool(text: str) -> bool:
    """A switch; the sentence is the one that users of sccache know."""
    lowered = text.lower()
    if lowered in ON:
        return True
    if lowered in OFF:
        return False
    raise ValueError("must be 'true', 'on', '1', 'false', 'off' or '0'.")


def bool_from_file(value: object) -> bool:
    """A switch in the file: true or false, unquoted."""
    if not isinstance(value, bool):
        raise ValueError(f"value is invalid: {value!r} is not true or false")  # noqa: TRY004 -- a reader raises ValueError
    return value


def parse_number(text: str) -> int:
    """A whole number from 0."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError(f"value is invalid: {text!r} is not a whole number")
    return int(text)


def number_from_file(value: object) -> int:
    """A whole number from 0, unquoted."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SIZE_BYTES:
        raise ValueError(f"value is invalid: {value!r} is not a whole number from 0")
    return value


def parse_port(text: str) -> int:
    """A TCP port."""
    port = parse_number(text)
    if not 0 < port <= 0xFFFF:
        raise ValueError(f"value is invalid: {text!r} is not a port from 1 to 65535")
    return port


def parse_zstd_level(text: str) -> int:
    """A compression level, moved into the range that zstd has."""
    try:
        level = int(text)
    except ValueError:
        raise ValueError(f"value is invalid: {text!r} is not a level from 1 to 22") from None
    return min(max(level, ZSTD_LEVELS[0]), ZSTD_LEVELS[1])


def milliseconds_from_file(value: object) -> float:
    """Milliseconds in the file, seconds inside."""
    return number_from_file(value) / 1000


def parse_seconds(text: str) -> float:
    """Whole seconds."""
    return float(parse_number(text))


def parse_read_only(text: str) -> bool:
    """READ_ONLY or READ_WRITE; True for the first."""
    match text.upper():
        case "READ_ONLY":
            return True
        case "READ_WRITE":
            return False
        case _:
            raise ValueError(f"value is invalid: {text!r} is neither READ_ONLY nor READ_WRITE")


def parse_policy(text: str) -> str:
    """What a failed write to one level of several means."""
    if text.lower() not in WRITE_ERROR_POLICIES:
        raise ValueError(f"value is invalid: {text!r} is none of {', '.join(WRITE_ERROR_POLICIES)}")
    return text.lower()


def parse_text(text: str) -> str:
    """Any text."""
    return text


def text_from_file(value: object) -> str:
    """Quoted text."""
    if not isinstance(value, str):
        raise ValueError(f"value is invalid: {value!r} is not text in quotes")  # noqa: TRY004 -- a reader raises ValueError
    return value


def quoted(parse: Callable[[str], object]) -> Callable[[object], object]:
    """The reader of a file's quoted text that `parse` understands."""

    def read(value: object) -> object:
        return parse(text_from_file(value))

    return read


def _texts_from_file(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"value is invalid: {value!r} is not a list of texts in quotes")
    return value


def parse_key_prefix(text: str) -> str:
    """A prefix of keys, without slashes at its end."""
    return text.rstrip("/")


def parse_presence(_text: str) -> bool:
    """A variable that counts whenever it is set, whatever it says, even nothing."""
    return True


def parse_exactly_one(text: str) -> bool:
    """A variable that only "1" switches on."""
    return text == "1"


def parse_paths(text: str) -> tuple[str, ...]:
    """A list of paths as in PATH; empty entries are dropped, spaces belong to the path."""
    return tuple(path for path in text.split(os.pathsep) if path)


def parse_basedirs(text: str) -> tuple[str, ...]:
    """Base directories as in PATH."""
    return normalise_basedirs(parse_paths(text))


def basedirs_from_file(value: object) -> tuple[str, ...]:
    """Base directories as a list."""
    return normalise_basedirs(tuple(_texts_from_file(value)))


def normalise_basedirs(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Each path tidied, doubles dropped, order kept."""
    return tuple(dict.fromkeys(normalise_basedir(path) for path in paths))


def normalise_basedir(path: str, *, windows: bool = os.name == "nt") -> str:
    """Collapse `//`, `.` and `..` without asking the file system, and end in one slash; raises ValueError if relative."""
    if windows:
        path = path.replace("\\", "/").lower()
    drive, rest = (path[:2], path[2:]) if windows and path[1:2] == ":" else ("", path)
    if not rest.startswith("/"):
        raise ValueError(f"value is invalid: Basedir path must be absolute: {path!r}")
    parts: list[str] = []
    for part in rest.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return drive + "/" + "".join(f"{part}/" for part in parts)


def parse_chain(text: str) -> tuple[str, ...]:
    """The names of cache levels, separated by commas."""
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())


def chain_from_file(value: object) -> tuple[str, ...]:
    """The names of cache levels as a list."""
    return tuple(name.strip().lower() for name in _texts_from_file(value))


def _tagged_from_file(value: object, forms: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """A table whose `type` says which other fields it must have; all are text."""
    if not isinstance(value, dict) or value.get("type") not in list(forms):  # a list also takes what cannot be hashed
        raise ValueError(f"value is invalid: it must be a table whose type is one of {', '.join(forms)}")
    fields = forms[value["type"]]
    if set(value) != {"type", *fields} or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"value is invalid: type {value['type']!r} needs exactly the texts {', '.join(fields)}")
    return value


def parse_scheduler_url(text: str) -> str:
    """The address of a scheduler, with a slash at the end; `10.0.0.1:10600` is one of http."""
    from urllib.parse import urlsplit  # 3 ms that only those with a farm pay

    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_place = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_place = False
        parts = urlsplit("")
    if is_place and parts.scheme not in {"http", "https"}:
        raise ValueError("value is invalid: url not http or https")
    if not is_place or parts.username is not None or not text.isprintable() or " " in text:
        raise ValueError("value is invalid: it is not an address such as http://scheduler.example:10600")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("value is invalid: url has a relative path (currently unsupported)")
    return f"{parts.scheme}://{parts.netloc}/"


def auth_from_file(value: object) -> dict[str, str]:
    """How a client authenticates at the scheduler."""
    return _tagged_from_file(value, AUTH_FORMS)


def toolchains_from_file(value: object) -> list[dict[str, str]]:
    """Toolchains that are not packaged automatically."""
    if not isinstance(value, list):
        raise ValueError("value is invalid: it must be a list of tables")  # noqa: TRY004 -- a reader raises ValueError
    return [_tagged_from_file(table, TOOLCHAIN_FORMS) for table in value]


def not_in_file(_value: object) -> object:
    """Reader of settings that only exist as variables; the loader never asks it."""
    raise ValueError("cannot be set in the configuration file")


def not_in_environment(_text: str) -> object:
    """Reader of settings that only exist in the file; the loader never asks it."""
    raise ValueError("cannot be set in the environment")


TEXT = Kind("text", parse_text, text_from_file)
PATH = Kind("path", parse_text, text_from_file)
SIZE = Kind("size", parse_size, size_from_file)
BOOL = Kind("switch", parse_bool, bool_from_file)
NUMBER = Kind("number", parse_number, number_from_file)
PORT = Kind("port", parse_port, number_from_file)
SECONDS = Kind("seconds", parse_seconds, number_from_file)
MILLISECONDS = Kind("milliseconds", parse_seconds, milliseconds_from_file)
ZSTD_LEVEL = Kind("level from 1 to 22", parse_zstd_level, number_from_file)
RW_MODE = Kind("READ_ONLY or READ_WRITE", parse_read_only, quoted(parse_read_only))
POLICY = Kind("ignore, l0 or all", parse_policy, quoted(parse_policy))
KEY_PREFIX = Kind("text", parse_key_prefix, quoted(parse_key_prefix))
PRESENCE = Kind("set or not", parse_presence, not_in_file, empty_is_set=True)
EXACTLY_ONE = Kind("1 or not", parse_exactly_one, not_in_file)
PATHS = Kind("paths", parse_paths, not_in_file)
BASEDIRS = Kind("paths", parse_basedirs, basedirs_from_file, empty_is_set=True)
LOG_FILE = Kind("path", parse_text, not_in_file, empty_is_set=True)
FILTER = Kind("log filter", parse_text, not_in_file, empty_is_set=True)
CHAIN = Kind("names", parse_chain, chain_from_file)
SCHEDULER_URL = Kind("address", parse_scheduler_url, quoted(parse_scheduler_url))
AUTH = Kind("table", not_in_environment, auth_from_file)
TOOLCHAINS = Kind("list of tables", not_in_environment, toolchains_from_file)
