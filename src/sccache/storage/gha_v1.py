"""GitHub's cache service, version 1: REST.  GitHub Enterprise Server and runners of others still have it.

Owns: the requests of that service.  Must not know: what entries are called, which service is used.
Source: https://github.com/actions/toolkit/blob/main/packages/cache/src/internal/cacheHttpClient.ts.

    GET   cache?keys=<key>,<beginning>…&version=<version>  -> 200 {cacheKey, archiveLocation}     204 nothing
    POST  caches {key, version, cacheSize}                 -> 201 {cacheId}                       409 exists
    PATCH caches/<id>, Content-Range: bytes <a>-<b>/*      -> 204
    POST  caches/<id> {size}                               -> 204
"""

from typing import Any
from urllib.parse import quote

import msgspec

from sccache.errors import StorageError, Trouble
from sccache.storage.gha_v2 import MAX_ANSWER_BYTES, decode, download, is_state_of, look_up_keys
from sccache.storage.http import Answer, HttpClient

API = "_apis/artifactcache/"
ACCEPT = "application/json;api-version=6.0-preview.1"
CHUNK_BYTES = 32 << 20
"""As GitHub's client: servers refuse much larger requests."""


class ServiceV1:
    """See gha.Service."""

    def __init__(self, http: HttpClient, url: str, token: str, version: str) -> None:
        # The path of the address is a secret of the repository; messages name the request instead.
        self._url = f"{url.rstrip('/')}/{API}"
        self._http = http
        self._authorization = f"Bearer {token}"
        self._version = version

    async def find(self, key: str) -> str | None:
        """GET cache; the keys after the first are beginnings, each in turn."""
        keys = quote(",".join(look_up_keys(key)), safe="")
        answer = await self._ask("GET", f"cache?keys={keys}&version={quote(self._version, safe='')}", "cache look-up")
        if answer.status in {204, 404}:
            return None
        content = decode(answer)
        location = content.get("archiveLocation")
        if not is_state_of(str(content.get("cacheKey") or ""), key):
            return None
        return location if isinstance(location, str) and location else None

    async def reserve(self, key: str, size_bytes: int) -> str:
        """POST; the number of the entry."""
        answer = await self._post("caches", {"key": key, "version": self._version, "cacheSize": size_bytes}, "cache reservation")
        if answer.status == 409:
            return ""
        number = decode(answer, is_write=True).get("cacheId")
        if not isinstance(number, int):
            raise StorageError(f"{answer.request}: the answer has no number of an entry", Trouble.ERROR)
        return str(number)

    async def fill(self, key: str, reservation: str, blob: bytes) -> None:  # noqa: ARG002 -- version 2 wants the key
        """PATCH for each 32 MiB, POST."""
        for start in range(0, len(blob), CHUNK_BYTES):
            await self._upload(reservation, start, blob if len(blob) <= CHUNK_BYTES else blob[start : start + CHUNK_BYTES])
        answer = await self._post(f"caches/{reservation}", {"size": len(blob)}, "cache commit")
        if not answer.is_success:
            decode(answer, is_write=True)

    async def download(self, url: str) -> bytes | None:
        """GET of the signed address; the token is not sent there."""
        return await download(self._http, url)

    async def _upload(self, number: str, start: int, chunk: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"bytes {start}-{start + len(chunk) - 1}/*"}
        answer = await self._ask("PATCH", f"caches/{number}", "upload", chunk, headers)
        if not answer.is_success:
            decode(answer, is_write=True)

    async def _post(self, path: str, content: dict[str, Any], name: str) -> Answer:
        return await self._ask("POST", path, name, msgspec.json.encode(content), {"Content-Type": "application/json"})

    async def _ask(self, method: str, path: str, name: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        return await self._http.request(
            method,
            self._url + path,
            body=body,
            headers={"Accept": ACCEPT, **(headers or {})},
            authorization=self._authorization,
            max_bytes=MAX_ANSWER_BYTES,
            name=name,
            is_repeatable=True,
        )
