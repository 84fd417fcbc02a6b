"""WebDAV, and every other server that keeps what is PUT and gives it to GET: nginx, Apache, Bazel's and Gradle's HTTP caches.

Owns: addresses of objects, authentication, folders that must be made first, the flat layout of Bazel's protocol.
Must not know: what is kept.

Objects are at `<endpoint>/<prefix>/<name>`.  Most servers make folders as needed, or have none: so PUT comes first, and MKCOL
(RFC 4918, 9.3) only after a PUT was refused for the lack of a folder.

An address that ends in `/ac` is an action cache of Bazel's protocol (https://bazel.build/remote/caching#http-caching): its
names are one word of 64 hexadecimal digits, so a name's SHA-256 is sent there in place of the name.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from sccache.errors import ConfigError, StorageError, Trouble
from sccache.storage.http import Answer, HttpClient, encode_basic

SOURCE = "cache.webdav.endpoint (SCCACHE_WEBDAV_ENDPOINT)"
NO_PARENT = {403, 404, 409, 500}
"""What servers answer to PUT below a folder that is not there: 409 as RFC 4918 (9.7.1) says, others 404, some 403, nginx 500."""
FOLDER_IS_THERE = {301, 302, 405}
"""What servers answer to MKCOL of a folder that exists: 405 as RFC 4918 (9.3.1) says; some redirect to it."""
KNOWN_FOLDERS = 8192
"""Most folders that are remembered; a cache has 16 + 256 + 4096 for results and as many for manifests."""


class WebdavBackend:
    """Objects by GET and PUT below one address."""

    type_name = "webdav"

    def __init__(self, settings: Mapping[str, Any], ambient: Mapping[str, str]) -> None:  # noqa: ARG002 -- as all backends
        """Of the settings `endpoint`, `key_prefix`, `username`, `password` and `token`; ConfigError if the endpoint is no address."""
        self._base, user = _endpoint(settings["endpoint"])
        self._prefix = "/".join(part for part in settings["key_prefix"].split("/") if part)
        self._authorization = _authorization(settings, user)
        self._is_flat = f"{urlsplit(self._base).path}/{self._prefix}".rstrip("/").endswith("/ac")
        self._folders: set[str] = set()
        self._http = HttpClient()

    async def read(self, name: str) -> bytes | None:
        """GET."""
        answer = await self._ask("GET", self._path(name))
        if answer.status in {404, 410}:
            return None
        if not answer.is_success or answer.status == 204:
            raise answer.failure()
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            # Objects are sent as application/octet-stream, and no name ends in .html.
            raise StorageError(f"{answer.request}: a page came instead of an object (is a log-in wanted there?)", Trouble.WRONG_PLACE)
        return answer.body

    async def write(self, name: str, blob: bytes) -> None:
        """PUT; if the folder is missing, make it and PUT again."""
        path = self._path(name)
        answer = await self._put(path, blob)
        if answer.status in NO_PARENT and "/" in path and not self._is_flat:
            await self._make_folders(path)
            answer = await self._put(path, blob)
        if not answer.is_success:
            raise answer.failure(is_write=True)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def location(self) -> str:
        """As sccache has it: without a name."""
        return f"webdav, name: , prefix: /{self._prefix}/" if self._prefix else "webdav, name: , prefix: /"

    def _path(self, name: str) -> str:
        """Of an object, below the endpoint, percent-encoded."""
        if self._is_flat:
            name = hashlib.sha256(name.encode()).hexdigest()
        return quote(f"{self._prefix}/{name}" if self._prefix else name, safe="/")

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        headers = {"Content-Type": "application/octet-stream"} if body is not None else {}
        return await self._http.request(method, f"{self._base}/{path}", body=body, headers=headers, authorization=self._authorization)

    async def _put(self, path: str, blob: bytes) -> Answer:
        return await self._ask("PUT", path, blob)

    async def _make_folders(self, path: str) -> None:
        """Make all folders above `path`, top down.

        Several tasks and machines may do so at once: what one made, the others find.
        """
        steps = path.split("/")[:-1]
        folders = ["/".join(steps[: count + 1]) for count in range(len(steps))]
        if self._folders.issuperset(folders):
            self._folders.difference_update(folders)  # somebody deleted them meanwhile
        if len(self._folders) > KNOWN_FOLDERS:
            self._folders.clear()
        for folder in folders:
            if folder in self._folders:
                continue
            answer = await self._ask("MKCOL", f"{folder}/")  # nginx takes it only with the slash
            if answer.is_success or answer.status in FOLDER_IS_THERE:
                self._folders.add(folder)
            # Any other answer may mean that somebody makes it just now (Apache: 403); what PUT then says, counts.


def _endpoint(text: str) -> tuple[str, tuple[str, str] | None]:
    """The address without a slash at its end, and user name and password if it had them inside."""
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or parts.scheme not in {"http", "https"}:
        # The value is not repeated: it may hold a password.
        raise ConfigError(f"{SOURCE} is not an address such as https://cache.example.com/sccache")
    if parts.query or parts.fragment:
        raise ConfigError(f"{SOURCE} must not have a query or fragment (`?`, `#`)")
    user = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username or parts.password else None
    host = f"[{host}]" if ":" in host else host
    path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~-._")
    return f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}{path}", user


def _authorization(settings: Mapping[str, Any], user: tuple[str, str] | None) -> str:
    """A token wins over user name and password (either may be empty), those over what is inside the address."""
    token, username, password = settings["token"], settings["username"], settings["password"]
    if token:
        value = f"Bearer {token}"
    elif username or password:
        value = encode_basic(username or "", password or "")
    else:
        value = encode_basic(*user) if user else ""
    if any(not 32 <= ord(character) < 127 for character in value):
        raise ConfigError("cache.webdav.token (SCCACHE_WEBDAV_TOKEN) has characters that cannot be sent")
    return value
