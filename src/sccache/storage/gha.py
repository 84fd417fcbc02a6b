"""The cache of GitHub Actions, through the service that the job's environment names.

Owns: which service is spoken to and with what token, names and version of entries, mutable objects over immutable entries.
Must not know: the services' requests (gha_v1.py, gha_v2.py), what is kept.

    <entry's key> ::= "sccache/" <name>                          ; a result, as it was first written
                    | "sccache/" <name> "-" <digest of blob>     ; any state of a manifest; a later state of a result
    <version> ::= "sccache-v" <KEY_VERSION> "." <ENTRY_VERSION> [ "-" <gha.version> ]

An entry cannot be changed, but objects are: a manifest gains variants, a damaged result is made anew.  So a later state is an entry
of its own, and what is read is the most recently created entry whose key begins with the name and "-", else the one with just the
name.  Both services look keys up in that way, as restore keys
(https://docs.github.com/en/actions/reference/workflows-and-actions/dependency-caching#cache-key-matching).
A result that nobody here has read is written under its name alone, and a manifest's state has its digest: so jobs that write the same
at once make one entry.

The version holds our formats' versions, not the program's: an upgrade keeps the cache unless a format changed.  A changed
format must have another version, since an entry that can no longer be read could not be replaced either.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from sccache.entry import ENTRY_VERSION
from sccache.errors import StorageError, Trouble
from sccache.hashing.keys import KEY_VERSION
from sccache.storage.base import CHECK_NAME, Kind
from sccache.storage.gha_v1 import ServiceV1
from sccache.storage.gha_v2 import ServiceV2
from sccache.storage.http import WHOLE_BODY_BYTES, HttpClient

ROOT = "sccache/"
DIGEST_LENGTH = 16
"""64 bits tell the few states of one manifest apart."""
MAX_FOUND = 1 << 15
"""Most results of which is remembered that they were read, so that writing one means another state of it."""
MAX_UNFINISHED = 256
"""Most reservations that are remembered after their upload failed."""
CONTAINERS = "in a container, pass ACTIONS_RUNTIME_TOKEN, ACTIONS_RESULTS_URL, ACTIONS_CACHE_URL and ACTIONS_CACHE_SERVICE_V2 on"
NO_URL = f"cache url for ghac not found, maybe not in github action environment? ACTIONS_RESULTS_URL is not set; {CONTAINERS}"
NO_TOKEN = f"ACTIONS_RUNTIME_TOKEN is not set: only actions see it, not `run` steps, unless it is exported; {CONTAINERS}"
OLD_TOKEN = "ACTIONS_RUNTIME_TOKEN is not valid (any more): it ends with the job, and a daemon of an older job keeps the old one"  # noqa: S105


class Service(Protocol):
    """One version of the cache service."""

    async def find(self, key: str) -> str | None:
        """Where to download from: the newest entry whose key is `key`, "-" and more, else `key` itself; None if there is none."""

    async def reserve(self, key: str, size_bytes: int) -> str:
        """Begin an entry: what `fill` needs to know of it; "" if there is one, or another job is at it."""

    async def fill(self, key: str, reservation: str, blob: bytes) -> None:
        """Give a reserved entry its content; from then on it is found."""

    async def download(self, url: str) -> bytes | None:
        """The content; None if it is gone."""


class GhaBackend:
    """Entries of the repository's cache."""

    type_name = "ghac"

    def __init__(self, settings: Mapping[str, Any], ambient: Mapping[str, str]) -> None:
        """Of the settings `version`, of the variables ACTIONS_* and GITHUB_SERVER_URL.

        Never fails: outside of GitHub Actions every read and write says so, and no build does.
        """
        self._version = f"sccache-v{KEY_VERSION}.{ENTRY_VERSION}" + (f"-{settings['version']}" if settings["version"] else "")
        self._http = HttpClient()
        self._service: Service | None = None
        self._trouble: StorageError | None = None
        self._found: set[str] = set()
        self._unfinished: dict[str, str] = {}
        self._mode = ambient.get("ACTIONS_CACHE_MODE", "").strip().lower()
        """What the runner lets this job do: `none`, `read`, `write-only`; anything else is everything, as for GitHub's client."""
        is_v2, url = choose_service(ambient)
        token = ambient.get("ACTIONS_RUNTIME_TOKEN", "")
        if not _host(url) or not url.startswith(("http://", "https://")):
            self._trouble = StorageError(NO_URL, Trouble.UNREACHABLE)
        elif not token:
            self._trouble = StorageError(NO_TOKEN, Trouble.DENIED)
        elif not token.isascii() or not token.isprintable():
            self._trouble = StorageError(OLD_TOKEN, Trouble.DENIED)
        elif is_v2:
            self._service = ServiceV2(self._http, url, token, hashlib.sha256(self._version.encode()).hexdigest())
        else:
            self._service = ServiceV1(self._http, url, token, self._version)

    async def read(self, name: str) -> bytes | None:
        """One request to find the entry, one to download it."""
        service, key = self._ready(), ROOT + name
        if self._mode == "write-only":
            return None
        if self._mode == "none":
            raise StorageError(f"this job may not use the cache (ACTIONS_CACHE_MODE={self._mode})", Trouble.DENIED)
        try:
            url = await service.find(key)
            blob = None if url is None else await service.download(url)
        except StorageError as e:
            raise _explained(e) from e
        if blob is not None and name != CHECK_NAME and len(self._found) < MAX_FOUND:
            self._found.add(name)
        return blob

    async def write(self, name: str, blob: bytes) -> None:
        """One request to reserve the entry, one or more to upload it, one to finish it; only the first if it exists."""
        service, key = self._ready(), ROOT + name
        if self._mode in {"none", "read"}:
            raise StorageError(f"this job may not write to the cache (ACTIONS_CACHE_MODE={self._mode})", Trouble.READ_ONLY)
        if name in self._found or name.startswith(Kind.MANIFEST.value):
            digest = await asyncio.to_thread(hashlib.sha256, blob) if len(blob) > WHOLE_BODY_BYTES else hashlib.sha256(blob)
            key = f"{key}-{digest.hexdigest()[:DIGEST_LENGTH]}"
        try:
            await self._save(service, key, blob)
        except StorageError as e:
            raise _explained(e) from e

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def location(self) -> str:
        """With the version as its name, as sccache has it."""
        return f"ghac, name: {self._version}, prefix: /{ROOT}"

    async def _save(self, service: Service, key: str, blob: bytes) -> None:
        """Reserve and fill; a reservation that could not be filled is kept, since the service gives no second one."""
        kept = self._unfinished.pop(key, "")
        reservation = kept or await service.reserve(key, len(blob))
        if not reservation:
            return
        try:
            await service.fill(key, reservation, blob)
        except BaseException as e:
            if len(self._unfinished) < MAX_UNFINISHED:
                self._unfinished[key] = reservation
            if not kept or not isinstance(e, StorageError) or await service.find(key) is None:
                raise
            self._unfinished.pop(key, None)  # the try before has filled it, and only the answer was lost

    def _ready(self) -> Service:
        if self._service is None:
            assert self._trouble is not None  # noqa: S101 -- the constructor sets one of them
            raise StorageError(str(self._trouble), self._trouble.trouble)
        return self._service


def choose_service(ambient: Mapping[str, str]) -> tuple[bool, str]:
    """Whether the service of version 2 is spoken to, and its address ("" if the environment names none).

    As sccache: version 2 if ACTIONS_CACHE_SERVICE_V2 is set and this is not GitHub Enterprise Server.  One thing more: on
    github.com version 1 was switched off in April 2025, so where that variable was not passed on (into a container), it is
    version 2 too, unless ACTIONS_CACHE_URL names a server of somebody else.
    """
    v1_url = ambient.get("ACTIONS_CACHE_URL", "")
    v2_url = ambient.get("ACTIONS_RESULTS_URL", "")
    is_v2 = bool(ambient.get("ACTIONS_CACHE_SERVICE_V2")) or (bool(v2_url) and (not v1_url or _is_github(v1_url)))
    if is_v2 and not _is_enterprise_server(ambient.get("GITHUB_SERVER_URL", "")):
        return True, v2_url
    return False, v1_url or v2_url


def _is_enterprise_server(server_url: str) -> bool:
    """Whether this is not github.com and not its data residency; a missing variable means github.com."""
    host = _host(server_url) or "github.com"
    return host != "github.com" and not host.endswith((".ghe.com", ".localhost"))


def _is_github(url: str) -> bool:
    return _host(url).endswith((".githubusercontent.com", ".ghe.com"))


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _explained(error: StorageError) -> StorageError:
    """A denial says what to do about it, unless the service has said why."""
    if error.trouble is not Trouble.DENIED or "denied:" in str(error):
        return error
    return StorageError(f"{error}; {OLD_TOKEN}", error.trouble)
