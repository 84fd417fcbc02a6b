"""Azure Blob Storage.

Owns: the settings of `[cache.azure]`, which credentials count, shared key signatures, what answers mean.
Must not know: connection strings (azure_connection.py), how tokens are made (azure_tokens.py) or kept (tokens.py).

https://learn.microsoft.com/rest/api/storageservices/get-blob, …/put-blob and …/authorize-with-shared-key.  Not by opendal: that takes
no token, and finds Entra ID's settings in the process's environment only.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, urlsplit

from sccache.errors import ConfigError, StorageError, Trouble
from sccache.storage.azure_connection import Connection, decode_key, entra_endpoint, parse_connection
from sccache.storage.azure_tokens import EntraTokens
from sccache.storage.http import Answer, HttpClient
from sccache.storage.opendal_backend import normal_root
from sccache.storage.opendal_errors import CODE_TROUBLE, DENIED_CODES, WRONG_PLACE_CODES
from sccache.storage.tokens import TokenKeeper

API_VERSION = "2021-12-02"
BOTH = (
    "Azure cache accepts either a connection string or a storage account / endpoint (Entra ID), not both. "
    "Set either SCCACHE_AZURE_CONNECTION_STRING (shared key) "
    "or SCCACHE_AZURE_STORAGE_ACCOUNT / SCCACHE_AZURE_ENDPOINT (Entra ID), not both."
)
NEITHER = (
    "Azure cache requires a storage account or blob endpoint (cache.azure.storage_account, SCCACHE_AZURE_STORAGE_ACCOUNT; "
    "cache.azure.endpoint, SCCACHE_AZURE_ENDPOINT) or a connection string (cache.azure.connection_string, SCCACHE_AZURE_CONNECTION_STRING)"
)
ABSENT_CODES = {"BlobNotFound", ""}


class AzureBackend:
    """Block blobs of one container, which must exist."""

    type_name = "azblob"

    def __init__(self, settings: Mapping[str, Any], ambient: Mapping[str, str]) -> None:
        """Of the settings of `cache.azure`, AZURE_ and AZBLOB_; ConfigError for strings and addresses that cannot be used."""
        self._container: str = settings["container"]
        self._root = normal_root(settings["key_prefix"])
        self._http = HttpClient()
        self._tokens: EntraTokens | None = None
        self._keeper: TokenKeeper | None = None
        text, account, endpoint = ((settings[name] or "").strip() for name in ("connection_string", "storage_account", "endpoint"))
        if text and (account or endpoint):
            raise ConfigError(BOTH)
        if text:
            self._connection = parse_connection(text)
        elif account or endpoint:
            self._connection = _from_ambient(account, entra_endpoint(account, endpoint), ambient)
            if not self._connection.key and not self._connection.signature:
                self._tokens = EntraTokens(ambient, self._http)
                self._keeper = TokenKeeper(self._tokens.fetch)
        else:
            raise ConfigError(NEITHER)

    async def read(self, name: str) -> bytes | None:
        """GET."""
        answer = await self._ask("GET", name)
        if answer.status == 200:
            return answer.body
        if answer.status == 404 and answer.headers.get("x-ms-error-code", "") in ABSENT_CODES:
            return None
        raise self._failure(answer)

    async def write(self, name: str, blob: bytes) -> None:
        """PUT of a whole block blob: it appears whole or not at all."""
        answer = await self._ask("PUT", name, blob)
        if answer.status != 201:
            raise self._failure(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._keeper is not None and self._tokens is not None:
            await self._keeper.aclose()
            await self._tokens.aclose()
        await self._http.aclose()

    def location(self) -> str:
        """Reference 8.6."""
        return f"azblob, name: {self._container}, prefix: {self._root}"

    async def _ask(self, method: str, name: str, body: bytes | None = None) -> Answer:
        """The answer; a token that was refused is replaced once, for it may have been revoked."""
        if self._keeper is None:
            return await self._send(method, name, body, "")
        token = await self._keeper.get()
        answer = await self._send(method, name, body, token)
        if answer.status != 401:
            return answer
        self._keeper.drop(token)
        return await self._send(method, name, body, await self._keeper.get())

    async def _send(self, method: str, name: str, body: bytes | None, token: str) -> Answer:
        url = f"{self._connection.endpoint}/{quote(self._container, safe='$')}{quote(f'{self._root}{name}', safe='/')}"
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": API_VERSION}
        if body is not None:
            headers |= {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        authorization = ""
        if token:
            authorization = f"Bearer {token}"
        elif self._connection.signature:
            url = f"{url}?{quote(self._connection.signature, safe='=&%')}"
        elif self._connection.key:
            text = string_to_sign(method, url, self._connection.account, headers, len(body or b""))
            digest = hmac.digest(self._connection.key, text.encode(), hashlib.sha256)
            authorization = f"SharedKey {self._connection.account}:{base64.b64encode(digest).decode()}"
        return await self._http.request(method, url, body=body, headers=headers, authorization=authorization)

    def _failure(self, answer: Answer) -> StorageError:
        code = answer.headers.get("x-ms-error-code", "")
        code = code if code.isascii() and code.isalnum() and len(code) < 65 else ""
        failure = answer.failure(note=code)
        if code in WRONG_PLACE_CODES or answer.status == 404:
            return StorageError(f"there is no container {self._container} ({failure})", Trouble.WRONG_PLACE)
        if code in DENIED_CODES or code == "PublicAccessNotPermitted":
            return StorageError(str(failure), Trouble.DENIED)
        trouble = CODE_TROUBLE.get(code, failure.trouble)
        return StorageError(str(failure), trouble, retry_after_s=failure.retry_after_s)


def string_to_sign(method: str, url: str, account: str, headers: Mapping[str, str], length: int) -> str:
    """What a shared key signs, of a request without a query (authorize-with-shared-key: Blob, version 2015-02-21 and later)."""
    values = ["", "", str(length) if length else "", "", headers.get("Content-Type", ""), "", "", "", "", "", ""]
    canonical = [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-")]
    return "\n".join([method, *values, *canonical, f"/{account}{urlsplit(url).path}"])


def _from_ambient(account: str, endpoint: str, ambient: Mapping[str, str]) -> Connection:
    """A key or signature in the variables that opendal reads, too; neither: Entra ID."""
    signature = ambient.get("AZURE_STORAGE_SAS_TOKEN", "").strip().removeprefix("?")
    if signature:
        return Connection(endpoint, account, signature=signature)
    account = account or ambient.get("AZBLOB_ACCOUNT_NAME", "")
    key = ambient.get("AZBLOB_ACCOUNT_KEY", "").strip()
    return Connection(endpoint, account, decode_key(key, "AZBLOB_ACCOUNT_KEY")) if account and key else Connection(endpoint, account)
