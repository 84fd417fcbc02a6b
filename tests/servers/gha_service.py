"""A strict server of GitHub's cache service, versions 1 and 2, with its blob storage: `gha_service.py <port> <token>`.

Written from what is public: the client in https://github.com/actions/toolkit/tree/main/packages/cache/src (its requests and how it
reads the answers), https://twitchtv.github.io/twirp/docs/spec_v7.html (errors), the documentation of keys and restore keys
(https://docs.github.com/en/actions/reference/workflows-and-actions/dependency-caching), the limit of uploads
(https://github.blog/changelog/2026-01-16-rate-limiting-for-actions-cache-entries/) and of Azure's blobs
(https://learn.microsoft.com/rest/api/storageservices/put-blob).  GitHub's own client (npm @actions/cache 6.3.0) was seen to save to
it and restore from it in both versions.

Entries are immutable: reserve → upload → finish; only then they are found.  Whatever the protocol does not allow is refused with 400.
`POST /_control` with {"limit": {"name", "status", "headers", "times", "message"}, "expire_urls": bool, "token": text} makes trouble;
`GET /_control` lists the requests so far.
"""

import asyncio
import hashlib
import hmac
import json
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MAX_BYTES = 120 << 20
REPOSITORY = "/s3cretOfTheRepository"
"""Version 1 has the repository in the address, as a word that cannot be guessed."""
API = "/_apis/artifactcache"
TWIRP = "/twirp/github.actions.results.api.v1.CacheService/"
KEY = re.compile(r"[^,]{1,512}")
FIELDS = {
    "CreateCacheEntry": {"key", "version"},
    "FinalizeCacheEntryUpload": {"key", "version", "size_bytes"},
    "GetCacheEntryDownloadURL": {"key", "version", "restore_keys"},
}


@dataclass
class Entry:
    """One entry, from its reservation on."""

    number: int
    key: str
    version: str
    chunks: dict[int, bytes] = field(default_factory=dict)
    is_finished: bool = False

    def content(self) -> bytes | None:
        """What was uploaded, if its parts join without a gap."""
        joined = b""
        for start in sorted(self.chunks):
            if start != len(joined):
                return None
            joined += self.chunks[start]
        return joined


class RefusedError(Exception):
    """An answer other than success, with the code that Twirp has for it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Service:
    """Everything, in memory."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._secret = hashlib.sha256(token.encode()).digest()
        self._entries: dict[int, Entry] = {}
        self._limit: dict[str, Any] = {}
        self._expire_urls = False
        self._log: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        path = request.rel_url.raw_path
        if path == "/_control":
            return await self._control(request)
        name = _name(request.method, path)
        self._log.append(name)
        limit = self._limit
        if limit.get("times", 0) > 0 and limit["name"] == name:
            limit["times"] -= 1
            text = limit.get("message", "rate limit exceeded")
            return web.json_response(
                {"code": "resource_exhausted", "msg": text, "message": text}, status=limit["status"], headers=limit["headers"]
            )
        try:
            if path.startswith("/blobs/"):
                return await self._blob(request)
            self._check_token(request)
            if path.startswith(TWIRP):
                return await self._twirp(request, name)
            return await self._rest(request)
        except RefusedError as e:
            return web.json_response({"code": e.code, "msg": str(e), "message": str(e)}, status=e.status)

    def _check_token(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            raise RefusedError(401, "unauthenticated", "invalid token")

    async def _control(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            wishes = await request.json()
            self._limit = wishes.get("limit", self._limit)
            self._expire_urls = wishes.get("expire_urls", self._expire_urls)
            self._token = wishes.get("token", self._token)
            self._log.clear()
        return web.json_response(self._log)

    # ── version 2 ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _twirp(self, request: web.Request, method: str) -> web.Response:
        if request.method != "POST" or method not in FIELDS or request.content_type != "application/json":
            raise RefusedError(404, "bad_route", "no such method")
        content = _json(await request.read())
        if not set(content) <= FIELDS[method]:
            raise RefusedError(400, "malformed", f"unknown field among {sorted(content)}")
        key, version = content.get("key", ""), content.get("version", "")
        if not KEY.fullmatch(key) or not re.fullmatch(r"[0-9a-f]{1,64}", version):
            raise RefusedError(400, "invalid_argument", "key or version is not valid")
        if method == "CreateCacheEntry":
            entry = self._reserve(key, version)
            return web.json_response({"ok": True, "signed_upload_url": self._signed(request, entry, "w")})
        if method == "FinalizeCacheEntryUpload":
            return self._finalize(key, version, content.get("size_bytes", "0"))
        found = self._find([key, *content.get("restore_keys", [])], version)
        if found is None:
            return web.json_response({"ok": False, "signed_download_url": "", "matched_key": ""})
        return web.json_response({"ok": True, "signed_download_url": self._signed(request, found, "r"), "matched_key": found.key})

    def _finalize(self, key: str, version: str, size: object) -> web.Response:
        entry = next((each for each in self._entries.values() if (each.key, each.version) == (key, version)), None)
        if entry is None:
            raise RefusedError(404, "not_found", "no such entry")
        if entry.is_finished or not entry.chunks:
            raise RefusedError(412, "failed_precondition", "finalised before, or nothing was uploaded")
        if not isinstance(size, str | int) or len(entry.content() or b"") != int(size):
            raise RefusedError(400, "invalid_argument", "size_bytes is not the blob's")
        entry.is_finished = True
        return web.json_response({"ok": True, "entry_id": str(entry.number)})

    async def _blob(self, request: web.Request) -> web.Response:
        """A block blob behind a shared access signature."""
        entry = self._entries.get(int(request.path.rpartition("/")[2]))
        query = request.query
        right = self._signature(int(request.path.rpartition("/")[2]), query.get("sp", ""), query.get("se", ""))
        if entry is None or not hmac.compare_digest(query.get("sig", ""), right) or float(query["se"]) < time.time():
            raise RefusedError(403, "AuthenticationFailed", "Server failed to authenticate the request.")
        if "Authorization" in request.headers:
            raise RefusedError(400, "InvalidAuthenticationInfo", "a signature and a token at once")
        if request.method == "GET" and query["sp"] == "r":
            return web.Response(body=entry.content(), content_type="application/octet-stream")
        if request.method != "PUT" or query["sp"] != "w":
            raise RefusedError(403, "AuthorizationPermissionMismatch", "not allowed")
        if request.content_length is None:
            raise RefusedError(411, "MissingContentLengthHeader", "no length")
        if request.headers.get("x-ms-blob-type") != "BlockBlob":
            raise RefusedError(400, "MissingRequiredHeader", "x-ms-blob-type")
        if entry.is_finished:
            raise RefusedError(409, "BlobImmutable", "finalised")
        entry.chunks = {0: await request.read()}
        return web.Response(status=201)

    # ── version 1 ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _rest(self, request: web.Request) -> web.Response:
        if "application/json;api-version=6.0-preview" not in request.headers.get("Accept", ""):
            raise RefusedError(400, "VssVersionNotSpecified", "no version in Accept")
        route = f"{request.method} {request.path.removeprefix(REPOSITORY + API)}"
        if route == "GET /cache":
            return self._look_up(request)
        if route == "POST /caches":
            content = _json(await request.read())
            if (
                not set(content) <= {"key", "version", "cacheSize"}
                or not KEY.fullmatch(content.get("key", ""))
                or not content.get("version")
            ):
                raise RefusedError(400, "invalid", "key, version, cacheSize")
            return web.json_response({"cacheId": self._reserve(content["key"], content["version"]).number}, status=201)
        match = re.fullmatch(r"(PATCH|POST) /caches/(\d+)", route)
        entry = self._entries.get(int(match[2])) if match else None
        if match is None or entry is None:
            raise RefusedError(404, "not_found", "no such entry")
        if entry.is_finished:
            raise RefusedError(400, "invalid", "committed before")
        if match[1] == "PATCH":
            return await self._upload(request, entry)
        content = _json(await request.read())
        if entry.content() is None or content.get("size") != len(entry.content() or b""):
            raise RefusedError(400, "invalid", "size is not that of the chunks")
        entry.is_finished = True
        return web.Response(status=204)

    def _look_up(self, request: web.Request) -> web.Response:
        keys, version = request.query.get("keys", "").split(","), request.query.get("version", "")
        if not version or not all(KEY.fullmatch(key) for key in keys):
            raise RefusedError(400, "invalid", "keys and version are needed")
        found = self._find(keys, version)
        if found is None:
            return web.Response(status=204)
        return web.json_response(
            {
                "cacheKey": found.key,
                "cacheVersion": version,
                "scope": "refs/heads/main",
                "archiveLocation": self._signed(request, found, "r"),
            }
        )

    async def _upload(self, request: web.Request, entry: Entry) -> web.Response:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/\*", request.headers.get("Content-Range", ""))
        body = await request.read()
        if match is None or request.content_type != "application/octet-stream" or int(match[2]) - int(match[1]) + 1 != len(body):
            raise RefusedError(400, "invalid", "Content-Range is not that of the body")
        entry.chunks[int(match[1])] = body
        return web.Response(status=204)

    # ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _reserve(self, key: str, version: str) -> Entry:
        if any((each.key, each.version) == (key, version) for each in self._entries.values()):
            raise RefusedError(409, "already_exists", "cache entry with the same key, version, and scope already exists")
        number = len(self._entries) + 1
        entry = self._entries[number] = Entry(number, key, version)
        return entry

    def _find(self, keys: list[str], version: str) -> Entry | None:
        """The exact key; else for each key in turn the newest finished entry that begins with it."""
        entries = [each for each in reversed(self._entries.values()) if each.is_finished and each.version == version]
        exact = next((each for each in entries if each.key == keys[0]), None)
        return exact or next((each for key in keys for each in entries if each.key.startswith(key)), None)

    def _signed(self, request: web.Request, entry: Entry, permission: str) -> str:
        end = str(time.time() + (-60 if self._expire_urls else 600))
        sig = self._signature(entry.number, permission, end)
        return f"http://{request.host}/blobs/{entry.number}?sv=2025-11-05&sp={permission}&se={end}&sig={sig}"

    def _signature(self, number: int, permission: str, end: str) -> str:
        return hmac.new(self._secret, f"{number} {permission} {end}".encode(), "sha256").hexdigest()


def _name(method: str, path: str) -> str:
    """What a request is called in `limit` and in the list: `CreateCacheEntry`, `PUT blob`, `POST caches`."""
    if path.startswith(TWIRP):
        return path.removeprefix(TWIRP)
    if path.startswith("/blobs/"):
        return f"{method} blob"
    return f"{method} {path.partition(API + '/')[2].partition('/')[0]}"


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError as e:
        raise RefusedError(400, "malformed", "not JSON") from e
    if not isinstance(content, dict):
        raise RefusedError(400, "malformed", "not an object")
    return content


async def main(port: int, token: str) -> None:
    app = web.Application(client_max_size=MAX_BYTES)
    app.router.add_route("*", "/{path:.*}", Service(token).answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
