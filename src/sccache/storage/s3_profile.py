"""A profile in the files of the AWS tools, as options of the opendal library.

Owns: which file and section, keys that stand there, roles that other keys assume.
Must not know: variables with keys, metadata services; the library asks those when no keys stand in the files.

https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html and feature-assume-role-credentials.html.
The library reads keys from these files, too, but from where its own process's variables say, once, and without roles.
"""

import configparser
import os
from collections.abc import Mapping

MAX_ROLES = 5
"""Longest chain of source profiles; a longer one is a circle."""
LIBRARY_SETTINGS = {
    "external_id": "external_id",
    "role_session_name": "role_session_name",
    "duration_seconds": "assume_role_duration_seconds",
}

Section = Mapping[str, str]


def read_profile(ambient: Mapping[str, str]) -> dict[str, str]:
    """Options of the profile that AWS_PROFILE names, or `default`: keys, role, region.  Reads files; call it in a thread.

    Files that are missing or damaged have no profiles: the library may find credentials elsewhere, or say that there are none.
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
    return options | _keys(section)


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


def _keys(section: Section) -> dict[str, str]:
    key_id, secret, token = (section.get(f"aws_{name}") for name in ("access_key_id", "secret_access_key", "session_token"))
    if not key_id or not secret:
        return {}
    keys = {"access_key_id": key_id, "secret_access_key": secret}
    return {**keys, "session_token": token} if token else keys
