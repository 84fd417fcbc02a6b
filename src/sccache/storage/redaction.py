"""Take secrets out of text that a user or a log may see.

Owns: what a secret looks like.  Must not know: whose it is.
"""

import re
from collections.abc import Iterable

from sccache.config.load import BY_NAME
from sccache.config.schema import RemoteConfig

HIDDEN = "***"
MAX_LENGTH = 400
MIN_SECRET_LENGTH = 4  # shorter ones would be found in any text
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|_SAS", re.IGNORECASE)
_PARAMETERS = r"sig|signature|x-amz-[a-z-]+|q-[a-z-]+|token|access_token|accountkey|sharedaccesssignature"
_PATTERNS = (
    (re.compile(r"(://)[^/@\s]+@"), rf"\1{HIDDEN}@"),
    (re.compile(rf"([?&;](?:{_PARAMETERS})=)[^&;\s]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(Bearer|Basic|SharedKey|AWS4-HMAC-SHA256)\s+\S+", re.IGNORECASE), rf"\1 {HIDDEN}"),
)
"""What looks like a secret, wherever it comes from."""


class Redactor:
    """Knows the secrets of one storage."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted((secret for secret in set(secrets) if len(secret) >= MIN_SECRET_LENGTH), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """One line of `text` without secrets, of bounded length."""
        line = " ".join(text.split())
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        for pattern, replacement in _PATTERNS:
            line = pattern.sub(replacement, line)
        return line if len(line) <= MAX_LENGTH else f"{line[:MAX_LENGTH]}…"


def secrets_of(remote: RemoteConfig) -> list[str]:
    """The secret values among a storage's settings and variables, whole and, of addresses, the part before the `@`."""
    found = [str(value) for name, value in remote.settings.items() if value and _is_secret(remote.name, name)]
    found += [value for name, value in remote.ambient.items() if _SECRET_NAME.search(name) and not _is_file(value)]
    return [*found, *_user_infos(found)]


def _is_secret(backend: str, name: str) -> bool:
    setting = BY_NAME.get(f"cache.{backend}.{name}")
    return setting is not None and setting.secret


def _is_file(value: str) -> bool:
    """A variable such as AWS_WEB_IDENTITY_TOKEN_FILE names a file: no secret, and needed in messages."""
    return value.startswith("/")


def _user_infos(values: Iterable[str]) -> list[str]:
    parts: list[str] = []
    for value in values:
        for user_info in re.findall(r"://([^/@\s]+)@", value):
            parts += [user_info, *user_info.split(":", 1)[1:]]
    return parts
