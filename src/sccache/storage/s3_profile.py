"""A profile in the files of the AWS tools, as options of the opendal library.

Owns: which file and section, keys that stand there or that a program prints, roles that other keys assume.
Must not know: variables with keys, metadata services; the library asks those when no keys stand in the files.

https://docs.aws.amazon.com/sdkref/latest/guide/: file-format, feature-assume-role-credentials, feature-process-credentials.
The library reads keys from these files, too, but from where its own process's variables say, once, and without roles; its
Python package starts no programs.
"""

import configparser
import os
import shlex
import subprocess
import time
from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

MAX_ROLES = 5
"""Longest chain of source profiles; a longer one is a circle."""
LIBRARY_SETTINGS = {
    "external_id": "external_id",
    "role_session_name": "role_session_name",
    "duration_seconds": "assume_role_duration_seconds",
}

PROCESS_TIMEOUT_S = 60.0
RENEW_BEFORE_S = 300.0
"""Keys that expire are replaced so long before, or at half of a shorter life."""

Section = Mapping[str, str]


class Profile(Struct, frozen=True):
    """What a profile comes to."""

    options: dict[str, str]
    """Of the library: keys, role, region.  Holds secrets."""
    renew_at_s: float | None = None
    """When to read the profile again (Unix time); None: its keys do not expire."""

    def __repr__(self) -> str:
        """Without the keys."""
        return "Profile(…)"


class _Printed(Struct, rename="pascal"):
    """What a `credential_process` prints."""

    version: int
    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    expiration: datetime | None = None


def read_profile(ambient: Mapping[str, str]) -> Profile:
    """The profile that AWS_PROFILE names, or `default`.  Reads files and may run a program; call it in a thread.

    Files that are missing or damaged have no profiles, programs that fail give no keys: the library may find credentials
    elsewhere, or say that there are none.
    """
    name = ambient.get("AWS_PROFILE") or "default"
    profiles = _profiles(ambient)
    section = profiles.get(name, {})
    options = {"region": section["region"]} if section.get("region") else {}
    if "AWS_PROFILE" in ambient:
        options["profile"] = name
    if section.get("role_arn") and not section.get("web_identity_token_file"):
        options |= _role(section)
        section = _source(profiles, section, name)
    keys = _keys(section)
    if not keys and section.get("credential_process"):
        return _printed(section["credential_process"], options)
    return Profile(options | keys)


def _profiles(ambient: Mapping[str, str]) -> dict[str, Section]:
    """All profiles by name; what the credentials file says wins."""
    config = _parse(ambient.get("AWS_CONFIG_FILE") or "~/.aws/config")
    credentials = _parse(ambient.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    profiles: dict[str, Section] = {}
    for title, section in config.items():
        profiles[title.removeprefix("profile ").strip()] = section
    for name, section in credentials.items():
        profiles[name] = {**profiles.get(name, {}), **section}
    return profiles


def _parse(path: str) -> dict[str, Section]:
    # No default section and no interpolation: a `%` in a key is a `%`.
    parser = configparser.RawConfigParser(default_section="", strict=False, inline_comment_prefixes=None, delimiters=("=",))
    try:
        with open(os.path.expanduser(path), encoding="utf-8", errors="surrogateescape") as file:
            parser.read_file(file)
    except (OSError, configparser.Error):
        return {}
    return {title: dict(parser.items(title)) for title in parser.sections()}


def _source(profiles: Mapping[str, Section], section: Section, name: str) -> Section:
    """The profile whose keys assume the role.  One role may be assumed: a profile that names itself has keys of its own."""
    for _ in range(MAX_ROLES):
        source = section.get("source_profile")
        if not source or source == name:
            return section if source else {}
        name, section = source, profiles.get(source, {})
        if not section.get("role_arn"):
            return section
    return {}


def _role(section: Section) -> dict[str, str]:
    given = {option: section[name] for name, option in LIBRARY_SETTINGS.items() if section.get(name)}
    return {"role_arn": section["role_arn"], **given}


def _printed(command: str, options: dict[str, str]) -> Profile:
    """With the keys that `command` prints; its other output is not shown, it may hold secrets."""
    try:
        done = subprocess.run(shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, timeout=PROCESS_TIMEOUT_S, check=True)
        printed = msgspec.json.decode(done.stdout, type=_Printed)
    except (OSError, ValueError, subprocess.SubprocessError):  # msgspec's errors are ValueErrors
        return Profile(options)
    keys = {"access_key_id": printed.access_key_id, "secret_access_key": printed.secret_access_key}
    if printed.session_token:
        keys["session_token"] = printed.session_token
    if printed.expiration is None:
        return Profile(options | keys)
    left_s = printed.expiration.timestamp() - time.time()
    return Profile(options | keys, time.time() + max(left_s - RENEW_BEFORE_S, left_s / 2, 1.0))


def _keys(section: Section) -> dict[str, str]:
    key_id, secret, token = (section.get(f"aws_{name}") for name in ("access_key_id", "secret_access_key", "session_token"))
    if not key_id or not secret:
        return {}
    keys = {"access_key_id": key_id, "secret_access_key": secret}
    return {**keys, "session_token": token} if token else keys
