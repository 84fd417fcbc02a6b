"""A strict server of Cloud Storage's JSON API and of everything that gives tokens for it: `gcs_service.py <host> <port> <folder>`.

https://cloud.google.com/storage/docs/json_api/v1/objects, https://developers.google.com/identity/protocols/oauth2/service-account,
https://google.aip.dev/auth/4117, https://cloud.google.com/compute/docs/access/authenticate-workloads, TaskCluster's `gcpCredentials`.
In `folder`: `public.pem` (the service account's public key), `log` (a line for each token: source and scope), `anonymous` (requests
without a token are taken), `revoked` (tokens of before are refused).
"""

import asyncio
import base64
import hashlib
import json
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_pem_public_key

BUCKET = "sccache-test"
ACCOUNT, KEY_ID = "builder@project.iam.gserviceaccount.com", "key1"
SCOPE = "https://www.googleapis.com/auth/devstorage."
SUBJECT, REFRESH, TASK = "runner.subject.token", "1//refresh-token", "task-s3cret"
AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"
CLOUD = "https://www.googleapis.com/auth/cloud-platform"


class Service:
    """Tokens and objects."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokens: dict[str, str] = {}
        self._data = folder / "objects"
        self._data.mkdir(exist_ok=True)

    async def token(self, request: web.Request) -> web.Response:
        form = {str(name): str(value) for name, value in (await request.post()).items()}
        match form.get("grant_type"):
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                scope = self._verified_scope(form.get("assertion", ""), f"http://{request.host}{request.path}")
                return _invalid() if scope is None else self._new("key", scope)
            case "refresh_token" if (form.get("client_id"), form.get("client_secret"), form.get("refresh_token")) == ("c", "s", REFRESH):
                return self._new("user", f"{SCOPE}read_write")
        return _invalid()

    def _verified_scope(self, jwt: str, audience: str) -> str | None:
        parts = jwt.split(".")
        if len(parts) != 3:
            return None
        header, claims = (json.loads(_decode(part)) for part in parts[:2])
        key: Any = load_pem_public_key((self._folder / "public.pem").read_bytes())
        try:
            key.verify(_decode(parts[2]), ".".join(parts[:2]).encode(), PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return None
        is_good = header == {"alg": "RS256", "typ": "JWT", "kid": KEY_ID} and claims["iss"] == ACCOUNT and claims["aud"] == audience
        is_now = claims["iat"] <= time.time() + 5 and time.time() < claims["exp"] <= claims["iat"] + 3600
        return str(claims["scope"]) if is_good and is_now else None

    async def exchange(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        wanted = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": AUDIENCE, "scope": CLOUD,
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token", "subject_token": SUBJECT,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }  # fmt: skip
        return self._new("sts", CLOUD) if form == wanted else _invalid()

    async def impersonate(self, request: web.Request) -> web.Response:
        if self._scope_of(request) != CLOUD or (wish := await request.json())["lifetime"] != "3600s":
            return _invalid(403)
        return self._timed("impersonated", wish["scope"][0])

    async def taskcluster(self, request: web.Request) -> web.Response:
        if request.query.get("bewit") != TASK:
            return _invalid(403)
        return self._timed("task", f"{SCOPE}read_write")

    async def metadata(self, request: web.Request) -> web.Response:
        if request.headers.get("Metadata-Flavor") != "Google" or "X-Forwarded-For" in request.headers:
            return web.Response(status=403)
        account = request.match_info["account"]
        if account not in {"default", ACCOUNT}:
            return web.Response(status=404, headers={"Metadata-Flavor": "Google"})
        answer = self._new(f"metadata {account}", request.query["scopes"])
        answer.headers["Metadata-Flavor"] = "Google"
        return answer

    async def get(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, is_write=False)) is not None:
            return refusal
        path = self._path(request.match_info["name"])
        if request.query.get("alt") != "media":
            return _failure(400, "invalid", "alt")
        if not path.exists():
            return web.Response(status=404, text=f"No such object: {BUCKET}/{request.match_info['name']}")
        return web.Response(body=await asyncio.to_thread(path.read_bytes))

    async def put(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, is_write=True)) is not None:
            return refusal
        if request.query.get("uploadType") != "media" or request.content_length is None:
            return _failure(400, "invalid", "uploadType")
        path = self._path(request.query["name"])
        part = path.with_suffix(f".{secrets.token_hex(8)}")
        part.write_bytes(await request.read())
        part.replace(path)
        return web.json_response({"kind": "storage#object", "name": request.query["name"]})

    def _refusal(self, request: web.Request, *, is_write: bool) -> web.Response | None:
        if (self._folder / "revoked").exists():
            (self._folder / "revoked").unlink()
            self._tokens.clear()
        is_anonymous = "Authorization" not in request.headers and (self._folder / "anonymous").exists()
        scope = f"{SCOPE}read_write" if is_anonymous else self._scope_of(request)
        if scope is None:
            return _failure(401, "authError", "Invalid Credentials")
        if scope not in ({f"{SCOPE}read_write"} if is_write else {f"{SCOPE}read_write", f"{SCOPE}read_only"}):
            return _failure(403, "insufficientPermissions", "Insufficient Permission")
        if request.match_info["bucket"] != BUCKET:
            return _failure(404, "notFound", "The specified bucket does not exist.")
        return None

    def _scope_of(self, request: web.Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self._tokens.get(token) if scheme == "Bearer" else None

    def _path(self, name: str) -> Path:
        return self._data / hashlib.sha256(name.encode()).hexdigest()

    def _give(self, source: str, scope: str) -> str:
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self._tokens[token] = scope
        with (self._folder / "log").open("a") as log:
            log.write(f"{source} {scope.removeprefix(SCOPE)}\n")
        return token

    def _new(self, source: str, scope: str) -> web.Response:
        return web.json_response({"access_token": self._give(source, scope), "expires_in": 3599, "token_type": "Bearer"})

    def _timed(self, source: str, scope: str) -> web.Response:
        end = datetime.fromtimestamp(time.time() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return web.json_response({"accessToken": self._give(source, scope), "expireTime": end})


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _invalid(status: int = 400) -> web.Response:
    return web.json_response({"error": "invalid_grant", "error_description": "s3cret details"}, status=status)


def _failure(status: int, reason: str, message: str) -> web.Response:
    error = {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": reason}]}
    return web.json_response({"error": error}, status=status)


def main() -> None:
    host, port, folder = sys.argv[1:]
    service = Service(Path(folder))
    application = web.Application(client_max_size=120 << 20)
    router = application.router
    router.add_post("/token", service.token)
    router.add_post("/sts", service.exchange)
    router.add_post("/impersonate", service.impersonate)
    router.add_get("/task", service.taskcluster)
    router.add_get("/computeMetadata/v1/instance/service-accounts/{account}/token", service.metadata)
    router.add_get("/storage/v1/b/{bucket}/o/{name:.+}", service.get)
    router.add_post("/upload/storage/v1/b/{bucket}/o", service.put)
    web.run_app(application, host=host, port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main()
