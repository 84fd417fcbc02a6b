"""A scheduler that believes an identity provider: tokens of a real one, as a login gives them, and all that is like them."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey, RSAKey
from tests.servers.oidc import OidcServer, Person, oidc
from tests.unit.dist.scheduler_server import TOOLCHAIN, Asking, Workers, scheduler
from tests.unit.dist.test_login import configured, running_login

from sccache.dist import tokens
from sccache.dist.config import JwtValidateAuth, ProxyTokenAuth
from sccache.dist.kept_tokens import client_token
from sccache.dist.messages import Allocate
from sccache.dist.scheduler_http import Shell
from sccache.dist.tokens import ClientCheck, TokenError, client_check


@pytest.fixture
def server() -> Iterator[OidcServer]:
    with oidc() as running:
        yield running


def validating(server: OidcServer) -> JwtValidateAuth:
    return JwtValidateAuth(audience=server.audience, issuer=server.url, jwks_url=server.jwks_url)


def checked(auth: JwtValidateAuth | ProxyTokenAuth, *shown: str) -> list[str]:
    """What is said of each token, by one scheduler; empty: welcome."""

    async def main() -> list[str]:
        check = client_check(auth)
        try:
            return [await said_of(check, token) for token in shown]
        finally:
            await check.aclose()

    return asyncio.run(main())


async def said_of(check: ClientCheck, token: str) -> str:
    try:
        await check.check(token)
    except TokenError as e:
        said = e
    else:
        return ""
    assert said.challenge == "bearer_auth_failed"
    assert len(token) < 4 or token not in str(said)
    return str(said)


@pytest.mark.parametrize("kind", ["oauth2_code_grant_pkce", "oauth2_implicit"])
def test_from_login_to_a_place(tmp_path: Path, server: OidcServer, kind: str) -> None:
    """The token of `--dist-auth` opens the scheduler; none, and one of somebody else, do not."""
    config = configured(tmp_path, server, kind)
    with running_login(config) as it:
        Person().log_in(it.entrance)
        it.wait()
    token = client_token(config)
    assert isinstance(token, str)

    async def test(asking: Asking) -> None:
        answers = [
            await asking.ask("POST", "/api/v2/allocate", Allocate(TOOLCHAIN), shown) for shown in (token, None, f"{token}x", "a.b.c")
        ]
        assert [answer.status for answer in answers] == [200, 401, 401, 401]
        assert answers[1].headers["WWW-Authenticate"] == 'Bearer error="no_bearer_auth"'
        assert answers[2].headers["WWW-Authenticate"] == 'Bearer error="bearer_auth_failed"'
        assert not any(token.rpartition(".")[2].encode() in answer.body for answer in answers)

    asyncio.run(with_scheduler(validating(server), test))


async def with_scheduler(auth: JwtValidateAuth | ProxyTokenAuth, test: Callable[[Asking], Awaitable[None]]) -> None:
    clients = client_check(auth)
    try:
        async with scheduler(Shell(clients, Workers(), lambda _: "token")) as asking:
            await test(asking)
    finally:
        await clients.aclose()


CLAIMS: dict[str, dict[str, Any]] = {
    "another audience": {"aud": "https://other.example"},
    "no audience": {"aud": None},
    "an empty audience": {"aud": []},
    "another issuer": {"iss": "https://other.example"},
    "no issuer": {"iss": None},
    "expired": {"exp": int(time.time()) - 60},
    "without an end": {"exp": None},
    "an end that is none": {"exp": "never"},
    "not yet": {"nbf": int(time.time()) + 3600},
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_that_are_wrong(server: OidcServer, name: str) -> None:
    """With a signature that is right."""
    (said,) = checked(validating(server), server.sign(**CLAIMS[name]))
    assert said.startswith("JWT could not be validated")


def test_one_of_several_audiences(server: OidcServer) -> None:
    """As providers give them."""
    assert checked(validating(server), server.sign(aud=["https://other.example", server.audience])) == [""]


def forged(server: OidcServer, header: dict[str, object], secret: Any, algorithm: str) -> str:
    claims = {"iss": server.url, "aud": server.audience, "exp": int(time.time()) + 600}
    return joserfc_jwt.encode({"alg": algorithm, **header}, claims, secret, algorithms=[algorithm])


def test_signatures_that_are_wrong(server: OidcServer) -> None:
    """The provider's name on another's key; no signature; its public key as a secret (RFC 8725, 2.1)."""
    kid = server.keys[0].kid
    good = server.sign()
    head, body, signature = good.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": kid}).encode()).rstrip(b"=").decode()
    head_hs = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": kid}).encode()).rstrip(b"=").decode()
    public = hmac.digest(server.keys[0].as_pem(private=False), f"{head_hs}.{body}".encode(), "sha256")
    own = RSAKey.generate_key(2048, {"kid": kid}, auto_kid=False)
    curve = ECKey.generate_key("P-256", {"kid": kid}, auto_kid=False)
    embedded = {"kid": kid, "jwk": own.as_dict(private=False)}
    bad = [
        forged(server, {"kid": kid}, own, "RS256"),
        forged(server, embedded, own, "RS256"),
        forged(server, {"kid": kid}, curve, "ES256"),
        f"{head_hs}.{body}.{base64.urlsafe_b64encode(public).rstrip(b'=').decode()}",
        f"{none}.{body}.",
        f"{none}.{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{base64.urlsafe_b64encode(b'{}').decode()}.{signature}",
        f"{head}.{body}",
        "",
        ".",
        "..",
        "a" * 5000,
        "\udcff.\udcff.\udcff",
        f"{good}.more",
        server.sign(header={"kid": None}),
        server.sign(header={"kid": "another"}),
    ]
    said = checked(validating(server), good, *bad, good)
    assert said[0] == said[-1] == ""
    assert all(text.startswith("JWT could not be validated") for text in said[1:-1])


def test_another_algorithm_of_the_same_key(server: OidcServer) -> None:
    """RS512 by a key that is published for RS256 is not that key's signature."""
    token = forged(server, {"kid": server.keys[0].kid}, RSAKey.import_key(server.keys[0].as_pem(private=True)), "RS512")
    assert checked(validating(server), token)[0]


def test_new_keys_are_asked_for(server: OidcServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers change them every few weeks; until then nothing is asked."""
    monkeypatch.setattr(tokens, "REFRESH_S", 0.0)
    first = server.sign()

    async def main() -> None:
        check = client_check(validating(server))
        try:
            assert [await said_of(check, server.sign()) for _ in range(3)] == [""] * 3
            assert server.asked.count("GET /jwks.json") == 1
            server.rotate()
            assert [await said_of(check, token) for token in (server.sign(), first)] == ["", ""]
            assert server.asked.count("GET /jwks.json") == 2
            server.rotate(forget=True)
            assert await said_of(check, server.sign()) == ""
            assert await said_of(check, first)
        finally:
            await check.aclose()

    asyncio.run(main())


def test_made_up_keys_are_no_flood(server: OidcServer) -> None:
    """Anybody can name keys that do not exist: the provider is not asked for each."""
    shown = [server.sign(header={"kid": f"made-up-{i}"}) for i in range(20)]
    assert all(checked(validating(server), *shown))
    assert server.asked.count("GET /jwks.json") == 1


def test_many_at_once_ask_once(server: OidcServer) -> None:
    """The first hundred clients after a start."""

    async def main() -> None:
        check = client_check(validating(server))
        try:
            token = server.sign()
            assert await asyncio.gather(*(said_of(check, token) for _ in range(50))) == [""] * 50
        finally:
            await check.aclose()

    asyncio.run(main())
    assert server.asked.count("GET /jwks.json") == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/jwks.json", "{}/token", "{}/nothing"])
def test_a_provider_that_has_no_keys(server: OidcServer, url: str) -> None:
    """Not there, or something else: nobody gets in, nothing breaks."""
    auth = JwtValidateAuth(audience=server.audience, issuer=server.url, jwks_url=url.format(server.url))
    assert all(checked(auth, server.sign(), server.sign()))


def test_a_service_that_knows_tokens(server: OidcServer) -> None:
    """proxy_token: it is asked with the token each time, unless it may be remembered."""
    auth = ProxyTokenAuth(url=server.userinfo_url)
    good, bad = server.sign(), server.sign(exp=int(time.time()) - 60)
    said = checked(auth, good, good, bad, "nonsense", "\udcff", "")
    assert said[:2] == ["", ""]
    assert said[2:] == ["Validation with token forwarding failed"] * 4
    assert server.asked.count("GET /userinfo") >= 4
    server.asked.clear()
    said = checked(ProxyTokenAuth(url=server.userinfo_url, cache_secs=60), good, good, bad, bad, good)
    assert [bool(text) for text in said] == [False, False, True, True, False]
    assert server.asked.count("GET /userinfo") == 3, "a no is not remembered: the next login may be a moment away"


def test_a_service_that_is_not_there(server: OidcServer) -> None:
    """Nobody gets in; one that sends elsewhere is no yes either."""
    assert checked(ProxyTokenAuth(url="http://127.0.0.1:9/"), server.sign()) == ["Validation with token forwarding failed"]
    assert checked(ProxyTokenAuth(url=server.auth_url), server.sign()) == ["Validation with token forwarding failed"]
