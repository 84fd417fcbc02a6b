"""A strict server of Entra ID's tokens, IMDS and blobs: `azure_service.py <host> <port> <folder>`.

From the public documents that azure_tokens.py and azure.py of the product cite.  In `folder`: `log` (a line for each token that was
given out: its source), `life` (seconds that tokens live), `revoked` (tokens of before are refused).
"""

import asyncio
import hashlib
import secrets
import sys
import time
from pathlib import Path

from aiohttp import web

ACCOUNT, CONTAINER = "builders", "sccache-test"
TENANT, CLIENT, SECRET = "6f1d-tenant", "6f1d-client", "cl1ent+secret/of=the~test"
ASSERTION = "eyJhbGciOi.federated.assertion"
MANAGED = "managed-client"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
BASIC_FORM = {"grant_type": "client_credentials", "client_id": CLIENT, "scope": "https://storage.azure.com/.default"}


class Service:
    """Tokens and blobs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokens: dict[str, float] = {}
        self._data = folder / "blobs"
        self._data.mkdir(exist_ok=True)

    async def authority(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        proofs = (
            {"client_secret": SECRET},
            {"client_assertion_type": ASSERTION_TYPE, "client_assertion": ASSERTION},
        )
        if request.match_info["tenant"] != TENANT:
            return web.json_response({"error": "invalid_request", "error_description": "AADSTS90002"}, status=400)
        for proof in proofs:
            if form == {**BASIC_FORM, **proof}:
                return web.json_response({"token_type": "Bearer", **self._new("assertion" if len(proof) == 2 else "secret", int)})
        return web.json_response({"error": "invalid_client", "error_description": "AADSTS7000215: cl1ent"}, status=401)

    async def imds(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        client = query.pop("client_id", "")
        wanted = {"api-version": "2018-02-01", "resource": "https://storage.azure.com/"}
        if request.headers.get("Metadata") != "true" or "X-Forwarded-For" in request.headers or query != wanted:
            return web.json_response({"error": "invalid_request"}, status=400)
        if client not in {"", MANAGED}:
            return web.json_response({"error": "invalid_request", "error_description": "Identity not found"}, status=400)
        return web.json_response({"token_type": "Bearer", **self._new(f"managed {client}".strip(), str)})

    async def blob(self, request: web.Request) -> web.Response:  # noqa: PLR0911 -- one for each refusal
        if (self._folder / "revoked").exists():
            (self._folder / "revoked").unlink()
            self._tokens.clear()
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self._tokens.get(token, 0) < time.time():
            return _failure(401, "InvalidAuthenticationInfo")
        if request.headers.get("x-ms-version", "") < "2017-11-09" or "x-ms-date" not in request.headers:
            return _failure(400, "MissingRequiredHeader")
        if request.match_info["account"] != ACCOUNT or request.match_info["container"] != CONTAINER:
            return _failure(404, "ContainerNotFound")
        path = self._data / hashlib.sha256(request.match_info["blob"].encode()).hexdigest()
        if request.method == "GET":
            if not path.exists():
                return _failure(404, "BlobNotFound")
            return web.Response(body=await asyncio.to_thread(path.read_bytes))
        if request.method != "PUT" or request.headers.get("x-ms-blob-type") != "BlockBlob" or request.content_length is None:
            return _failure(400, "InvalidHeaderValue")
        part = path.with_suffix(f".{secrets.token_hex(8)}")
        part.write_bytes(await request.read())
        part.replace(path)
        return web.Response(status=201)

    def _new(self, source: str, kind: type) -> dict[str, object]:
        life = self._folder / "life"
        life_s = int(life.read_text()) if life.exists() else 3600
        token = f"eyJ0.{secrets.token_urlsafe(24)}"
        self._tokens[token] = time.time() + life_s
        with (self._folder / "log").open("a") as log:
            log.write(f"{source}\n")
        return {"access_token": token, "expires_in": kind(life_s)}


def _failure(status: int, code: str) -> web.Response:
    return web.Response(status=status, headers={"x-ms-error-code": code}, text=f"<Error><Code>{code}</Code></Error>")


def main() -> None:
    host, port, folder = sys.argv[1:]
    service = Service(Path(folder))
    application = web.Application(client_max_size=120 << 20)
    application.router.add_post("/{tenant}/oauth2/v2.0/token", service.authority)
    application.router.add_get("/metadata/identity/oauth2/token", service.imds)
    application.router.add_route("*", "/{account}/{container}/{blob:.+}", service.blob)
    web.run_app(application, host=host, port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main()
