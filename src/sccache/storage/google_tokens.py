"""Where tokens of Google Cloud come from.

Owns: key files, the metadata server, TaskCluster, identities of other clouds.  Must not know: buckets.

* a service account's key: a JWT signed with RS256 for a token (https://developers.google.com/identity/protocols/oauth2/service-account)
* a user's refresh token, as `gcloud auth application-default login` writes it
* an identity from elsewhere (GitHub's, for one) at the Security Token Service, then perhaps a service account's for it
  (https://google.aip.dev/auth/4117): credential sources `file` and `url`
* the metadata server (https://cloud.google.com/compute/docs/access/authenticate-workloads)
"""

import asyncio
import base64
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from sccache.errors import StorageError, Trouble
from sccache.storage.http import HttpClient
from sccache.storage.tokens import (
    DEFAULT_LIFE_S,
    MAX_ANSWER_BYTES,
    DirectHttpClient,
    Token,
    ask_form,
    ask_metadata,
    checked,
    oauth_token,
    record_of,
)

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 -- an address
STS_URI = "https://sts.googleapis.com/v1/token"
CLOUD_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 -- a name
METADATA_HOST = "metadata.google.internal"
METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/"
JWT_LIFE_S = 3600
MAX_KEY_FILE_BYTES = 64 << 10
ADVICE = "name a key file in SCCACHE_GCS_KEY_PATH or GOOGLE_APPLICATION_CREDENTIALS"


class GoogleTokens:
    """Fetches tokens for one scope; keeps nothing."""

    def __init__(self, scope: str, ambient: Mapping[str, str], http: HttpClient) -> None:
        self._scope = scope
        self._ambient = ambient
        self._http = http
        self._direct = DirectHttpClient()

    async def aclose(self) -> None:
        """Close own connections; `http` is the caller's."""
        await self._direct.aclose()

    async def from_taskcluster(self, url: str) -> Token:
        """GET of `url`, which may be a secret: `{"accessToken": …, "expireTime": RFC 3339}`."""
        try:
            answer = await self._http.request("GET", url, max_bytes=MAX_ANSWER_BYTES, name="the token")
            record = record_of(answer)
            return checked(answer, record.get("accessToken"), _end_of(record.get("expireTime")))
        except StorageError as e:
            raise StorageError(f"Failed to fetch TaskCluster token: {e}", e.trouble, retry_after_s=e.retry_after_s) from e

    async def from_metadata(self, account: str) -> Token:
        """Of the machine that we run on, for `account` or its own `default` one."""
        host = self._ambient.get("GCE_METADATA_HOST") or METADATA_HOST
        url = f"http://{host}{METADATA_PATH}{quote(account, safe='@')}/token?scopes={quote(self._scope, safe='')}"
        answer = await ask_metadata(self._direct, url, {"Metadata-Flavor": "Google"}, ADVICE)
        if answer.headers.get("Metadata-Flavor") != "Google":
            raise StorageError(f"no credentials were found: {answer.request} is no metadata server; {ADVICE}", Trouble.DENIED)
        return oauth_token(answer)

    async def from_anywhere(self) -> Token:
        """Application default credentials: the file of the variable, gcloud's file, the metadata server."""
        named = self._ambient.get("GOOGLE_APPLICATION_CREDENTIALS")
        if named:
            return await self.from_file(named)
        known = _gcloud_file()
        if await asyncio.to_thread(known.is_file):
            return await self.from_file(str(known))
        return await self.from_metadata("default")

    async def from_file(self, path: str) -> Token:
        """Of a key file, read anew each time: a renewed one is noticed."""
        key = await asyncio.to_thread(_read_json, path)
        try:
            match key.get("type"):
                case "service_account":
                    assertion = await asyncio.to_thread(_signed_jwt, key, self._scope)
                    form = {"grant_type": JWT_GRANT, "assertion": assertion}
                case "authorized_user":
                    form = {"grant_type": "refresh_token", **{n: key[n] for n in ("client_id", "client_secret", "refresh_token")}}
                case "external_account":
                    return await self._from_elsewhere(key)
                case _:
                    raise StorageError(f"{path}: credentials of this type are not supported", Trouble.DENIED)
            uri = _secure(key.get("token_uri") or TOKEN_URI)
        except (KeyError, TypeError, ValueError) as e:
            raise StorageError(f"{path}: the credentials cannot be used ({type(e).__name__})", Trouble.DENIED) from None
        return oauth_token(await ask_form(self._http, uri, form))

    async def _from_elsewhere(self, key: Mapping[str, Any]) -> Token:
        impersonation = key.get("service_account_impersonation_url")
        form = {
            "grant_type": EXCHANGE_GRANT, "audience": key["audience"], "requested_token_type": ACCESS_TOKEN_TYPE,
            "scope": CLOUD_SCOPE if impersonation else self._scope,
            "subject_token": await self._subject_token(key["credential_source"]), "subject_token_type": key["subject_token_type"],
        }  # fmt: skip
        token = oauth_token(await ask_form(self._http, _secure(key.get("token_url") or STS_URI), form))
        if not impersonation:
            return token
        body = msgspec.json.encode({"scope": [self._scope], "lifetime": f"{JWT_LIFE_S}s"})
        answer = await self._http.request(
            "POST", _secure(impersonation), body=body, headers={"Content-Type": "application/json"},
            authorization=f"Bearer {token.value}", max_bytes=MAX_ANSWER_BYTES, is_repeatable=True,
        )  # fmt: skip
        record = record_of(answer)
        return checked(answer, record.get("accessToken"), _end_of(record.get("expireTime")))

    async def _subject_token(self, source: Mapping[str, Any]) -> str:
        """The other cloud's or runner's token: in a file, or from an address."""
        form = source.get("format") or {}
        if "file" in source:
            text = await asyncio.to_thread(_read_small, source["file"])
        elif "url" in source:
            headers = {str(name): str(value) for name, value in (source.get("headers") or {}).items()}
            answer = await self._http.request("GET", _secure(source["url"]), headers=headers, max_bytes=MAX_ANSWER_BYTES)
            if not answer.is_success:
                raise answer.failure()
            text = answer.body
        else:
            raise StorageError("an external account's credential source must be a file or a url", Trouble.DENIED)
        if form.get("type") == "json":
            return str(msgspec.json.decode(text)[form["subject_token_field_name"]])
        return text.decode().strip()


def _gcloud_file() -> Path:
    """Where gcloud leaves a user's credentials; found from the daemon's environment."""
    folder = os.environ.get("CLOUDSDK_CONFIG")
    return Path(folder or Path("~/.config/gcloud").expanduser()) / "application_default_credentials.json"


def _read_small(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_KEY_FILE_BYTES)
    except OSError as e:
        raise StorageError(f"{path}: {(e.strerror or 'cannot be read').lower()}", Trouble.DENIED) from e


def _read_json(path: str) -> dict[str, Any]:
    try:
        record = msgspec.json.decode(_read_small(path))
    except (msgspec.DecodeError, UnicodeDecodeError):
        record = None
    if not isinstance(record, dict):
        raise StorageError(f"{path} is no key file: it is not a JSON object", Trouble.DENIED)
    return record


def _signed_jwt(key: Mapping[str, Any], scope: str) -> str:
    """RFC 7515 and RFC 7523: who asks, for what, until when.  ValueError or TypeError if the key is none."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(key["private_key"].encode(), None)
    if not isinstance(private, RSAPrivateKey):
        raise TypeError("not an RSA key")
    now_s = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", **({"kid": key["private_key_id"]} if key.get("private_key_id") else {})}
    claims = {
        "iss": key["client_email"], "scope": scope, "aud": key.get("token_uri") or TOKEN_URI, "iat": now_s, "exp": now_s + JWT_LIFE_S,
    }  # fmt: skip
    text = b".".join(_base64(msgspec.json.encode(part)) for part in (header, claims))
    return b".".join([text, _base64(private.sign(text, PKCS1v15(), hashes.SHA256()))]).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _secure(url: str) -> str:
    """`url`, if secrets may be sent there: https, or this machine.  ValueError if not."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}):
        return url
    raise ValueError("not https")


def _end_of(text: object) -> float:
    """Seconds since 1970 of an RFC 3339 time; soon, if it is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return time.time() + DEFAULT_LIFE_S
