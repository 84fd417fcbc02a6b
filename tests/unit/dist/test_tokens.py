"""Tokens: what is good, and all the ways in which one can be bad."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Iterator

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.servers.oidc import AUDIENCE, OidcServer, oidc

from sccache.dist import tokens
from sccache.dist.config import InsecureAuth, JwtHs256Auth, JwtTokenAuth, JwtValidateAuth, ProxyTokenAuth, TokenAuth
from sccache.dist.tokens import JobClaims, TokenError
from sccache.errors import ConfigError

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
CLAIMS = JobClaims("ab" * 16, "1.2.3.4:10501", "cd" * 32)


def now() -> float:
    return time.time()


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


# -- jobs


def test_job_token():
    """Good for that job at that worker, and names the toolchain; it ends."""
    token = tokens.job_token(KEY, CLAIMS, now())
    assert tokens.check_job_token(token, KEY, CLAIMS.job, CLAIMS.worker) == CLAIMS
    said = jwt.decode(token, KEY, ["HS256"], audience="worker")
    assert 0 < said["exp"] - now() <= 300


def test_expired_job_token():
    """After five minutes."""
    token = tokens.job_token(KEY, CLAIMS, now() - 301)
    with pytest.raises(TokenError, match="expired"):
        tokens.check_job_token(token, KEY, CLAIMS.job, CLAIMS.worker)


def signed(**changes: object) -> str:
    said = {"job": CLAIMS.job, "worker": CLAIMS.worker, "toolchain": CLAIMS.toolchain, "exp": now() + 60, "aud": "worker", **changes}
    return jwt.encode({name: value for name, value in said.items() if value is not None}, KEY, "HS256")


TRUE = signed()
BAD_JOB_TOKENS = {
    "another worker's key": jwt.encode({**jwt.decode(TRUE, KEY, ["HS256"], audience="worker")}, OTHER, "HS256"),
    "another algorithm": jwt.encode(jwt.decode(TRUE, KEY, ["HS256"], audience="worker"), KEY * 2, "HS512"),
    "no algorithm": f"{encoded({'alg': 'none'})}.{TRUE.split('.')[1]}.",
    "no seal": TRUE.rpartition(".")[0] + ".",
    "another job": signed(job="ba" * 16),
    "another worker": signed(worker="1.2.3.4:10502"),
    "another audience": signed(aud="scheduler"),
    "no audience": signed(aud=None),
    "no end": signed(exp=None),
    "no job": signed(job=None),
    "no toolchain": signed(toolchain=None),
    "a number as job": signed(job=7),
    "a list as toolchain": signed(toolchain=["cd" * 32]),
    "an end that is text": signed(exp="tomorrow"),
    "a server's": tokens.server_token(KEY, CLAIMS.worker),
    "nothing": "",
    "dots": "..",
    "not ASCII": "\udce9.x.y",
    "half a character": signed(job="\ud800"),
}


@pytest.mark.parametrize("what", BAD_JOB_TOKENS)
def test_bad_job_tokens(what):
    """Refused, each with a challenge and a sentence without the token."""
    with pytest.raises(TokenError) as caught:
        tokens.check_job_token(BAD_JOB_TOKENS[what], KEY, CLAIMS.job, CLAIMS.worker)
    assert caught.value.challenge == "invalid_jwt"
    assert (BAD_JOB_TOKENS[what] or "-") not in str(caught.value) or what == "dots"


# -- workers


@pytest.mark.parametrize(
    ("auth", "scheduler_auth"),
    [
        (JwtHs256Auth(tokens.encode_key(KEY)), JwtTokenAuth(tokens.server_token(KEY, "1.2.3.4:5"))),
        (TokenAuth("shared secret"), TokenAuth("shared secret")),
        (InsecureAuth(), InsecureAuth()),
    ],
)
def test_workers(auth, scheduler_auth):
    """What a worker's settings make it say is good at the scheduler with the matching ones, from that address only."""
    bearer = tokens.worker_bearer(scheduler_auth, "1.2.3.4:5")
    check = tokens.worker_check(auth)
    assert check.check(bearer, "1.2.3.4") == "1.2.3.4:5"
    with pytest.raises(TokenError) as caught:
        check.check(bearer, "1.2.3.5")
    assert caught.value.challenge == "invalid_bearer_token_mismatched_address"


def test_addresses_of_workers():
    """Version 6 in any spelling is one address."""
    token = tokens.server_token(KEY, "[0:0::1]:5")
    assert tokens.SignedWorkers(KEY).check(token, "::1") == "[::1]:5"


def test_insecure_words():
    """Those of sccache-dist, so its configurations go on working."""
    assert tokens.worker_bearer(InsecureAuth(), "1.2.3.4:5") == "1.2.3.4:5 dangerously_insecure_server"
    asyncio.run(tokens.client_check(InsecureAuth()).check("dangerously_insecure_client"))


def forged(**claims: object) -> str:
    return jwt.encode({"exp": 0, **claims}, KEY, "HS256")


@pytest.mark.parametrize(
    "token",
    [
        "", "x", "x.y.z", jwt.encode({"server_id": "1.2.3.4:5"}, OTHER, "HS256"), jwt.encode({"server_id": "1.2.3.4:5"}, KEY * 2, "HS512"),
        f"{encoded({'alg': 'none'})}.{encoded({'server_id': '1.2.3.4:5'})}.", forged(), forged(server_id=7), forged(server_id="worker"),
        forged(server_id="1.2.3.4"), forged(server_id=["1.2.3.4:5"]), "\udce9",
    ],
)  # fmt: skip
def test_bad_signed_workers(token):
    """Refused."""
    with pytest.raises(TokenError) as caught:
        tokens.SignedWorkers(KEY).check(token, "1.2.3.4")
    assert caught.value.challenge in ("invalid_jwt", "invalid_bearer_token")


@pytest.mark.parametrize(
    "token", ["", "secret", "1.2.3.4:5", "1.2.3.4:5 secre", "1.2.3.4:5 secrets", "1.2.3.4:5  secret", "x secret", "\udce9 \udce9"]
)
def test_bad_shared_workers(token):
    """Refused."""
    with pytest.raises(TokenError) as caught:
        tokens.SharedWorkers("secret").check(token, "1.2.3.4")
    assert caught.value.challenge == "invalid_bearer_token"


def test_token_of_another_worker():
    """Said when the worker is started, not by a scheduler that refuses it for ever."""
    auth = JwtTokenAuth(tokens.server_token(KEY, "1.2.3.4:6"))
    with pytest.raises(ConfigError) as caught:
        tokens.worker_bearer(auth, "1.2.3.4:5")
    assert str(caught.value) == "JWT server id (1.2.3.4:6) did not match configured server id (1.2.3.4:5)"
    with pytest.raises(ConfigError, match="is no JWT"):
        tokens.worker_bearer(JwtTokenAuth("secret"), "1.2.3.4:5")


@pytest.mark.parametrize(("text", "sentence"), [("~", "base64 invalid"), ("AAAA", "Size of secret key incorrect"), ("é", "base64")])
def test_bad_keys(text, sentence):
    """With sccache-dist's sentences."""
    with pytest.raises(ConfigError, match=sentence):
        tokens.worker_check(JwtHs256Auth(text))


def test_keys_are_random():
    """32 bytes, and they come back as they were."""
    assert tokens.new_key() != tokens.new_key()
    assert not any(tokens.new_key(8).startswith("-") for _ in range(1000))
    assert tokens.decode_key(tokens.encode_key(KEY)) == KEY
    assert tokens.decode_key(tokens.encode_key(KEY) + "=") == KEY


# -- clients


async def refused(check: tokens.ClientCheck, token: str) -> str:
    """The sentence with which a token is refused."""
    with pytest.raises(TokenError) as caught:
        await check.check(token)
    assert caught.value.challenge == "bearer_auth_failed"
    assert not token or token not in str(caught.value)
    return str(caught.value)


@contextlib.asynccontextmanager
async def checking(auth):
    """A check whose connections are closed."""
    check = tokens.client_check(auth)
    try:
        yield check
    finally:
        await check.aclose()


def test_fixed_token():
    """That text and no other."""

    async def main():
        async with checking(TokenAuth("secret")) as check:
            await check.check("secret")
            for token in ("", "secre", "secrets", "SECRET", "\udce9"):
                assert await refused(check, token) == "Fixed token mismatch"

    asyncio.run(main())


@pytest.fixture
def provider() -> Iterator[OidcServer]:
    """An identity provider."""
    with oidc() as server:
        yield server


def validate(provider: OidcServer) -> JwtValidateAuth:
    return JwtValidateAuth(AUDIENCE, provider.url, provider.jwks_url)


def test_tokens_of_an_identity_provider(provider):
    """Good ones are; keys are asked for once."""

    async def main():
        async with checking(validate(provider)) as check:
            for _ in range(3):
                await check.check(provider.sign())
            await check.check(provider.sign(aud=["other", AUDIENCE]))
            assert provider.asked == ["GET /jwks.json"]

    asyncio.run(main())


def test_bad_tokens_of_an_identity_provider(provider):
    """Expired, for others, by others, not yet, without an end, and forged in all the usual ways."""
    public = provider.keys[0].as_pem(private=False)
    head = {"alg": "none", "kid": provider.keys[0].kid}
    body = {"iss": provider.url, "aud": AUDIENCE, "exp": int(now()) + 60}
    with oidc() as stranger:
        strangers = stranger.sign(header={"kid": provider.keys[0].kid}, iss=provider.url)
    bad = {
        "expired": provider.sign(exp=int(now()) - 60),
        "audience": provider.sign(aud="other"),
        "no audience": provider.sign(aud=None),
        "issuer": provider.sign(iss="https://evil.example"),
        "no issuer": provider.sign(iss=None),
        "no end": provider.sign(exp=None),
        "not yet": provider.sign(nbf=int(now()) + 3600),
        "no key": provider.sign(header={"kid": None}),
        "unknown key": provider.sign(header={"kid": "other"}),
        "stranger": strangers,
        "no algorithm": f"{encoded(head)}.{encoded(body)}.",
        "the public key as secret": _hs256(head["kid"], body, public),
        "half": provider.sign()[:-20],
        "nothing": "",
        "no text": "\udce9.\udce9.\udce9",
    }

    async def main():
        async with checking(validate(provider)) as check:
            await check.check(provider.sign())
            for token in bad.values():
                assert (await refused(check, token)).startswith("JWT could not be validated")

    asyncio.run(main())


def _hs256(name: object, body: object, secret: bytes) -> str:
    import hashlib
    import hmac

    text = f"{encoded({'alg': 'HS256', 'kid': name})}.{encoded(body)}"
    seal = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"


def test_new_keys_of_an_identity_provider(provider):
    """Asked for when one is met that is not known, though not for each of them; withdrawn ones end."""

    async def main():
        async with checking(validate(provider)) as check:
            old = provider.sign()
            await check.check(old)
            provider.rotate(forget=True)
            new = provider.sign()
            await refused(check, new)
            await refused(check, provider.sign(header={"kid": "other"}))
            assert len(provider.asked) == 1
            check._asked_at -= tokens.REFRESH_S
            await asyncio.gather(*(check.check(new) for _ in range(5)))
            assert len(provider.asked) == 2
            await refused(check, old)

    asyncio.run(main())


def test_withdrawn_keys(provider):
    """Within ten minutes, even if no other key was met."""

    async def main():
        async with checking(validate(provider)) as check:
            old = provider.sign()
            await check.check(old)
            provider.rotate(forget=True)
            await check.check(old)
            check._asked_at -= tokens.KEYS_S
            await refused(check, old)

    asyncio.run(main())


def test_identity_provider_that_does_not_answer(provider):
    """No token is good, nothing breaks; known keys stay while it is away."""

    async def main():
        async with checking(JwtValidateAuth(AUDIENCE, provider.url, "http://127.0.0.1:1/jwks.json")) as check:
            await refused(check, provider.sign())
        async with checking(JwtValidateAuth(AUDIENCE, provider.url, provider.url + "/nothing")) as check:
            await refused(check, provider.sign())
        async with checking(validate(provider)) as check:
            await check.check(provider.sign())
            check._auth = JwtValidateAuth(AUDIENCE, provider.url, "http://127.0.0.1:1/jwks.json")
            check._asked_at -= tokens.KEYS_S
            await check.check(provider.sign())

    asyncio.run(main())


def test_keys_that_are_secrets_are_none(provider, monkeypatch):
    """An `oct` key in a JWKS would make everybody a signer who can read it."""
    secret = base64.urlsafe_b64encode(KEY).rstrip(b"=").decode()
    document = json.dumps({"keys": [{"kty": "oct", "kid": "s", "alg": "HS256", "k": secret}]})

    async def get(*_: object) -> tuple[int, bytes]:
        await asyncio.sleep(0)
        return 200, document.encode()

    async def main():
        async with checking(validate(provider)) as check:
            monkeypatch.setattr(check._asking, "get", get)
            body = {"iss": provider.url, "aud": AUDIENCE, "exp": int(now()) + 60}
            await refused(check, _hs256("s", body, KEY))

    asyncio.run(main())


def _key_pair(kind: str) -> tuple[bytes, dict[str, object]]:
    private = ec.generate_private_key(ec.SECP256R1()) if kind == "EC" else rsa.generate_private_key(65537, 2048)
    algorithm = jwt.algorithms.ECAlgorithm if kind == "EC" else jwt.algorithms.RSAAlgorithm
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, {**json.loads(algorithm.to_jwk(private.public_key())), "kid": "k", "key_ops": ["verify"]}


@pytest.mark.parametrize(
    ("kind", "said", "algorithm", "is_good"),
    [
        ("EC", {}, "ES256", True),
        ("EC", {"alg": "ES256"}, "ES256", True),
        ("RSA", {}, "RS256", True),
        ("RSA", {}, "RS512", True),
        ("RSA", {}, "PS384", True),
        ("RSA", {"alg": "RS512"}, "RS512", True),
        ("RSA", {"alg": "RS512"}, "RS256", False),
    ],
)
def test_kinds_of_keys(provider, monkeypatch, kind, said, algorithm, is_good):
    """Providers sign with different ones; what a key says of itself counts."""
    pem, public = _key_pair(kind)

    async def get(*_: object) -> tuple[int, bytes]:
        await asyncio.sleep(0)
        return 200, json.dumps({"keys": [{**public, **said}]}).encode()

    async def main():
        async with checking(validate(provider)) as check:
            monkeypatch.setattr(check._asking, "get", get)
            body = {"iss": provider.url, "aud": AUDIENCE, "exp": int(now()) + 60}
            token = jwt.encode(body, pem, algorithm, {"kid": "k"})
            if is_good:
                await check.check(token)
            else:
                await refused(check, token)

    asyncio.run(main())


def test_proxied_tokens(provider):
    """The other service is asked each time, or remembered for a while; what was refused is never remembered."""

    async def main():
        good, bad = provider.sign(), provider.sign(exp=int(now()) - 60)
        async with checking(ProxyTokenAuth(provider.userinfo_url)) as check:
            await check.check(good)
            await check.check(good)
            assert provider.asked == ["GET /userinfo"] * 2
            assert await refused(check, bad) == "Validation with token forwarding failed"
            await refused(check, "")
        provider.asked.clear()
        async with checking(ProxyTokenAuth(provider.userinfo_url, 300)) as check:
            for _ in range(3):
                await check.check(good)
                await refused(check, bad)
            assert len(provider.asked) == 4
            check._good = dict.fromkeys(check._good, time.monotonic() - 1)
            provider.rotate(forget=True)
            await refused(check, good)

    asyncio.run(main())


def test_proxy_that_is_away_or_redirects(provider):
    """No token is good; none is carried to where the settings do not say."""

    async def main():
        async with checking(ProxyTokenAuth("http://127.0.0.1:1/")) as check:
            await refused(check, "secret")
        async with checking(ProxyTokenAuth(provider.url + "/nothing", 300)) as check:
            await refused(check, "secret")

    asyncio.run(main())
