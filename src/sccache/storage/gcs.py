"""Google Cloud Storage, by its JSON API.

Owns: the settings of `[cache.gcs]`, objects' addresses, which source of tokens counts, what answers mean.
Must not know: how tokens are made (google_tokens.py) or kept (tokens.py).

https://cloud.google.com/storage/docs/json_api/v1/objects/get and …/insert.  Not by opendal: that finds credentials in the
process's environment only, and takes no token that changes.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from sccache.errors import ConfigError, StorageError, Trouble
from sccache.storage.google_tokens import GoogleTokens
from sccache.storage.http import Answer, HttpClient
from sccache.storage.opendal_backend import normal_root
from sccache.storage.tokens import Token, TokenKeeper

API = "https://storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage."
CREDENTIAL_URL = "cache.gcs.credential_url, SCCACHE_GCS_CREDENTIALS_URL"
EMULATOR = "STORAGE_EMULATOR_HOST"


class GcsBackend:
    """Objects of one bucket."""

    type_name = "gcs"

    def __init__(self, settings: Mapping[str, Any], ambient: Mapping[str, str]) -> None:
        """Of the settings of `cache.gcs` and GOOGLE_, GCE_METADATA_ and STORAGE_EMULATOR_HOST; ConfigError for addresses that are none."""
        self._bucket: str = settings["bucket"]
        self._root = normal_root(settings["key_prefix"])
        self._http = HttpClient()
        emulator = _emulator(ambient)
        self._api = emulator or API
        scope = f"{SCOPE}{'read_only' if settings['rw_mode'] else 'read_write'}"
        self._tokens = GoogleTokens(scope, ambient, self._http)
        fetch = _source(settings, self._tokens, is_emulator=bool(emulator))
        self._keeper = TokenKeeper(fetch) if fetch else None

    async def read(self, name: str) -> bytes | None:
        """GET of the object's media."""
        url = f"{self._api}/storage/v1/b/{self._quoted_bucket}/o/{quote(self._object(name), safe='')}?alt=media"
        answer = await self._ask("GET", url)
        if answer.status == 404 and not self._is_no_bucket(answer):
            return None
        if answer.status != 200:
            raise self._failure(answer)
        return answer.body

    async def write(self, name: str, blob: bytes) -> None:
        """A simple upload: the object appears whole or not at all."""
        query = f"uploadType=media&name={quote(self._object(name), safe='')}"
        answer = await self._ask("POST", f"{self._api}/upload/storage/v1/b/{self._quoted_bucket}/o?{query}", blob)
        if not answer.is_success:
            raise self._failure(answer, is_write=True)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._keeper is not None:
            await self._keeper.aclose()
        await self._tokens.aclose()
        await self._http.aclose()

    def location(self) -> str:
        """Reference 8.6."""
        return f"gcs, name: {self._bucket}, prefix: {self._root}"

    @property
    def _quoted_bucket(self) -> str:
        return quote(self._bucket, safe="")

    def _object(self, name: str) -> str:
        return f"{self._root}{name}".removeprefix("/")

    async def _ask(self, method: str, url: str, body: bytes | None = None) -> Answer:
        """The answer; a token that was refused is replaced once, for it may have been revoked."""
        if self._keeper is None:
            return await self._send(method, url, body, "")
        token = await self._keeper.get()
        answer = await self._send(method, url, body, token)
        if answer.status != 401:
            return answer
        self._keeper.drop(token)
        return await self._send(method, url, body, await self._keeper.get())

    async def _send(self, method: str, url: str, body: bytes | None, token: str) -> Answer:
        headers = {"Content-Type": "application/octet-stream"} if body is not None else {}
        authorization = f"Bearer {token}" if token else ""
        return await self._http.request(method, url, body=body, headers=headers, authorization=authorization, is_repeatable=True)

    def _is_no_bucket(self, answer: Answer) -> bool:
        """Both are 404; only the text tells (`The specified bucket does not exist.`, `No such object: …`)."""
        return b"bucket does not exist" in answer.body

    def _failure(self, answer: Answer, *, is_write: bool = False) -> StorageError:
        failure = answer.failure(is_write=is_write, note=_reason(answer.body))
        if answer.status == 404:
            return StorageError(f"there is no bucket {self._bucket} ({failure})", Trouble.WRONG_PLACE)
        return failure


def _source(settings: Mapping[str, Any], tokens: GoogleTokens, *, is_emulator: bool) -> Callable[[], Awaitable[Token]] | None:
    """The first that is configured (reference 9.5).  An emulator is asked without a token, unless one is configured."""
    url, path, account = settings["credential_url"], settings["cred_path"], settings["service_account"]
    if url:
        address = _checked_url(url)
        return lambda: tokens.from_taskcluster(address)
    if path:
        return lambda: tokens.from_file(path)
    if account:
        return lambda: tokens.from_metadata(account)
    return None if is_emulator else tokens.from_anywhere


def _checked_url(url: str) -> str:
    """`url`, percent-encoded where it must be.  It may hold a secret, so what is wrong with it is said without it."""
    try:
        parts = urlsplit(url.strip())
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and not parts.username
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError(f"gcs credential url is invalid: it is not an http or https address ({CREDENTIAL_URL})")
    return quote(url.strip().partition("#")[0], safe="/%:@!$&'()*+,;=?~-._[]")


def _emulator(ambient: Mapping[str, str]) -> str:
    """Its address as Google's own clients read it: `host:port` means http; empty if the variable is not set."""
    text = ambient.get(EMULATOR, "").strip()
    if not text:
        return ""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError(f"{EMULATOR} is not an address such as http://127.0.0.1:9023")
    return f"{parts.scheme}://{parts.netloc}"


def _reason(body: bytes) -> str:
    """Google's word for a failure (`error.errors[0].reason`); texts may hold names of accounts and are not repeated."""
    try:
        reason = msgspec.json.decode(body)["error"]["errors"][0]["reason"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError):
        return ""
    return reason if isinstance(reason, str) and reason.isascii() and reason.isalnum() and len(reason) < 65 else ""
