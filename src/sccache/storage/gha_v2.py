"""GitHub's cache service, version 2: Twirp calls with JSON, content in Azure block blobs behind signed addresses.

Owns: the requests of that service.  Must not know: what entries are called, which service is used.
Source: the client in https://github.com/actions/toolkit/tree/main/packages/cache/src (generated/results/api/v1/cache.ts,
internal/shared/cacheTwirpClient.ts, internal/blob/), https://twitchtv.github.io/twirp/docs/spec_v7.html,
https://learn.microsoft.com/rest/api/storageservices/put-blob.

    CreateCacheEntry          key, version                -> ok, signed_upload_url, message     409 already_exists
    PUT <signed_upload_url>   x-ms-blob-type: BlockBlob   -> 201
    FinalizeCacheEntryUpload  key, version, size_bytes    -> ok, entry_id, message
    GetCacheEntryDownloadURL  key, restore_keys, version  -> ok, signed_download_url, matched_key
    GET <signed_download_url>                             -> 200
"""

from typing import Any
from urllib.parse import urlsplit

import msgspec

from sccache.errors import StorageError, Trouble
from sccache.storage.http import Answer, HttpClient

SERVICE = "twirp/github.actions.results.api.v1.CacheService"
MAX_ANSWER_BYTES = 1 << 20
BLOB_VERSION = "2020-10-02"
"""Version of the blob service's interface; since 2019-12-12 one PUT takes up to 5000 MiB."""
MAX_NOTE_LENGTH = 200


class ServiceV2:
    """See gha.Service."""

    def __init__(self, http: HttpClient, url: str, token: str, version: str) -> None:
        # Only the host counts, as in GitHub's client: ACTIONS_RESULTS_URL may come with any path.
        parts = urlsplit(url)
        self._url = f"{parts.scheme}://{parts.netloc}/{SERVICE}"
        self._http = http
        self._authorization = f"Bearer {token}"
        self._version = version

    async def find(self, key: str) -> str | None:
        """GetCacheEntryDownloadURL; restore keys are beginnings, each in turn."""
        first, *others = look_up_keys(key)
        answer = await self._call("GetCacheEntryDownloadURL", {"key": first, "restore_keys": others, "version": self._version})
        if answer.status == 404:
            return None
        content = decode(answer)
        if not content.get("ok") or not is_state_of(_text(content, "matched_key", "matchedKey"), key):
            return None
        return _text(content, "signed_download_url", "signedDownloadUrl") or None

    async def reserve(self, key: str, size_bytes: int) -> str:  # noqa: ARG002 -- version 1 wants to know it
        """CreateCacheEntry; the address to upload to."""
        answer = await self._call("CreateCacheEntry", {"key": key, "version": self._version})
        if answer.status == 409:
            return ""
        content = decode(answer, is_write=True)
        url = _text(content, "signed_upload_url", "signedUploadUrl")
        if content.get("ok") and url:
            return url
        note = _note(content)
        if not note or "exist" in note:
            return ""  # as GitHub's client understands it
        raise StorageError(f"{answer.request}: refused{note}", Trouble.READ_ONLY if _is_read_only(note) else Trouble.ERROR)

    async def fill(self, key: str, reservation: str, blob: bytes) -> None:
        """PUT, FinalizeCacheEntryUpload."""
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": BLOB_VERSION, "Content-Type": "application/octet-stream"}
        uploaded = await self._http.request("PUT", reservation, body=blob, headers=headers, name="upload")
        if not uploaded.is_success:
            raise _signed(uploaded.failure(is_write=True))
        request = {"key": key, "version": self._version, "size_bytes": str(len(blob))}  # int64 is a string in JSON
        answer = await self._call("FinalizeCacheEntryUpload", request)
        content = decode(answer, is_write=True)
        if not content.get("ok"):
            raise StorageError(f"{answer.request}: the upload was not accepted{_note(content)}", Trouble.ERROR)

    async def download(self, url: str) -> bytes | None:
        """GET of the signed address; the token is not sent there."""
        return await download(self._http, url)

    async def _call(self, method: str, request: dict[str, Any]) -> Answer:
        return await self._http.request(
            "POST",
            f"{self._url}/{method}",
            body=msgspec.json.encode(request),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            authorization=self._authorization,
            max_bytes=MAX_ANSWER_BYTES,
            name=method,
            is_repeatable=True,
        )


def look_up_keys(key: str) -> tuple[str, ...]:
    """What a service is asked for: first an exact key, which is none of ours, then beginnings; the newest entry of the first that fits."""
    return f"{key}-", f"{key}-", key


def is_state_of(matched: str, key: str) -> bool:
    """Whether the entry that a service found is the object; a longer name is another one.  Some services do not say what they found."""
    return not matched or matched == key or matched.startswith(f"{key}-")


async def download(http: HttpClient, url: str) -> bytes | None:
    """The content behind an address that holds its own signature; None if it was evicted meanwhile."""
    answer = await http.request("GET", url, name="download")
    if answer.status in {404, 410}:
        return None
    if not answer.is_success:
        raise _signed(answer.failure())
    return answer.body


def _signed(error: StorageError) -> StorageError:
    """The blob storage sees no token: if it refuses, the address has expired or something on the way refuses."""
    if error.trouble is not Trouble.DENIED:
        return error
    return StorageError(f"{error}; the signed address was refused", Trouble.ERROR)


def decode(answer: Answer, *, is_write: bool = False) -> dict[str, Any]:
    """The JSON object that a success holds; the StorageError that a failure means, with what the service says about it."""
    try:
        content = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.DecodeError as e:
        if not answer.is_success:
            raise answer.failure(is_write=is_write) from e
        raise StorageError(f"{answer.request}: the answer is not JSON", Trouble.ERROR) from e
    if answer.is_success:
        return content
    note = _note(content)
    error = answer.failure(is_write=is_write, note=note.removeprefix(": "))
    raise StorageError(str(error), Trouble.READ_ONLY) if is_write and _is_read_only(note) else error


def _is_read_only(note: str) -> bool:
    """Whether this job may not write at all, by the words that GitHub's client knows: untrusted events, a quota that is used up."""
    return "cache write denied:" in note or "insufficient usage" in note


def _text(content: dict[str, Any], *names: str) -> str:
    """A field by its name in the protocol or its name in JSON: both are allowed (protobuf's JSON mapping)."""
    value = next((content[name] for name in names if content.get(name)), "")
    return value if isinstance(value, str) else ""


def _note(content: dict[str, Any]) -> str:
    """What the service says about it, made harmless for one line."""
    text = _text(content, "msg", "message")
    text = "".join(character if character.isprintable() else " " for character in text[:MAX_NOTE_LENGTH]).strip()
    return f": {text}" if text else ""
