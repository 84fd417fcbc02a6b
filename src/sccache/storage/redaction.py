"""Take secrets out of text that a user or a log may see.

Owns: what a secret looks like.  Must not know: whose it is.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote

from sccache.config.load import BY_NAME
from sccache.config.schema import RemoteConfig
from sccache.util import logs

HIDDEN = "***"
MAX_LENGTH = 400
MIN_SECRET_LENGTH = 4  # shorter ones would be found in any text
MAX_KNOWN = 2048  # forms of secrets; tokens of a minute's life must not fill memory
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|_SAS", re.IGNORECASE)
_FILE_NAME = re.compile(r"_(FILE|PATH)$|^GOOGLE_APPLICATION_CREDENTIALS$")
"""Variables such as AWS_WEB_IDENTITY_TOKEN_FILE name a file: no secret, and needed in messages."""
_FIELDS = (
    re.compile(r"\b(?:accountkey|sharedaccesssignature)=([^;\s]+)", re.IGNORECASE),
    re.compile(r"\b(?:sig|key|password|\w*token)=([^;&\s]+)", re.IGNORECASE),
)
"""Secret parts of a connection string, and of an address's query."""
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
        self._finder = _finder(form for secret in secrets for form in _forms(secret))

    def __call__(self, text: str) -> str:
        """One line of `text` without secrets, of bounded length."""
        line = _without(self._finder, " ".join(text.split()))
        return line if len(line) <= MAX_LENGTH else f"{line[:MAX_LENGTH]}…"


_known: dict[str, None] = {}  # by age


def learn(secrets: Iterable[str]) -> None:
    """From now on nothing that this process logs shows these: neither our own lines nor a library's."""
    for secret in secrets:
        for form in _forms(secret):
            _known.pop(form, None)
            _known[form] = None
    while len(_known) > MAX_KNOWN:
        del _known[next(iter(_known))]
    _known_finder.cache_clear()
    logs.hide_with(hide)


def hide(text: str) -> str:
    """`text`, of any length, without what looks like a secret or was learned."""
    return _without(_known_finder(), text)


def secrets_of(remote: RemoteConfig) -> list[str]:
    """The secret values among a storage's settings and variables, whole, and the secret parts of addresses and connection strings."""
    texts = {name: value for name, value in remote.settings.items() if isinstance(value, str) and value}
    found = [value for name, value in texts.items() if _is_secret(remote.name, name) or _is_key_file(value)]
    found += [value for name, value in remote.ambient.items() if _SECRET_NAME.search(name) and not _is_file(name, value)]
    if "username" in texts and "password" in texts:  # as HTTP sends them
        found.append(base64.b64encode(f"{texts['username']}:{texts['password']}".encode(errors="surrogateescape")).decode())
    found += [part for value in found for pattern in _FIELDS for part in pattern.findall(value)]
    return [*found, *_user_infos([*texts.values(), *remote.ambient.values()])]


def _is_secret(backend: str, name: str) -> bool:
    setting = BY_NAME.get(f"cache.{backend}.{name}")
    return setting is not None and setting.secret


def _is_file(name: str, value: str) -> bool:
    return _FILE_NAME.search(name) is not None and not _is_key_file(value)


def _is_key_file(value: str) -> bool:
    """The key file itself where its path belongs: a frequent mistake."""
    return "PRIVATE KEY" in value or value.lstrip().startswith("{")


def _user_infos(values: Iterable[str]) -> Iterator[str]:
    """What stands before the last `@` of each address, though no address may have a `/` there."""
    for value in values:
        for address in {value, *value.split(",")}:
            head, at, _ = address.rpartition("@")
            if at and "://" in head:
                user_info = head.partition("://")[2]
                yield from (user_info, user_info.partition(":")[2])


def _forms(secret: str) -> set[str]:
    """A secret as it is, in one line, and as addresses, headers and Python's own texts write it."""
    data = secret.encode(errors="surrogateescape")
    forms = {secret, " ".join(secret.split()), unquote(secret)}
    forms |= {quote(data, safe=""), quote(data), quote_plus(data), base64.b64encode(data).decode()}
    forms |= {repr(data)[2:-1], repr(secret)[1:-1]}
    return {form for form in forms if len(form) >= MIN_SECRET_LENGTH}


def _finder(forms: Iterable[str]) -> re.Pattern[str] | None:
    """Finds the longest first: one may be part of another."""
    words = sorted(set(forms), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, words))) if words else None


@lru_cache(maxsize=1)
def _known_finder() -> re.Pattern[str] | None:
    return _finder(_known)


def _without(finder: re.Pattern[str] | None, text: str) -> str:
    if finder is not None:
        text = finder.sub(HIDDEN, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
