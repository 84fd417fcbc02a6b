"""Bearer tokens: of clients and workers for the scheduler, and of jobs for workers.

    client ──token, JWT of an identity provider, or one that another service believes──▶ scheduler
    worker ──JWT (HS256) or shared text, bound to its ip:port──▶ scheduler
    client ──JWT (HS256) with the worker's key, bound to job, worker and toolchain──▶ worker

Everything secret is compared in constant time; no message here has a token or a key in it.

Owns: how tokens are made and checked.  Must not know: who asks for what with them, HTTP servers.
Sources: RFC 7519 (JWT), RFC 7517 (JWKS), RFC 6750 (Bearer, and its challenges).
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import importlib
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol

import jwt
from msgspec import Struct

from sccache.dist.config import (
    ClientAuth,
    InsecureAuth,
    JwtHs256Auth,
    JwtTokenAuth,
    JwtValidateAuth,
    ProxyTokenAuth,
    SchedulerAuth,
    ServerAuth,
    TokenAuth,
    join_address,
    split_address,
)
from sccache.errors import ConfigError, SccacheError

if TYPE_CHECKING:
    import aiohttp

KEY_BYTES = 32
JOB_TOKEN_S = 300
"""A job's token may be used for the first time so long; what has begun with it goes on."""
INSECURE_CLIENT = "dangerously_insecure_client"
INSECURE_SERVER = "dangerously_insecure_server"
"""What everybody says where no authentication is configured; sccache's."""
ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
"""What an identity provider's key of each type (RFC 7518, 6.1) may sign with, if it does not say itself with what."""
LEEWAY_S = 10
MAX_JWKS_BYTES = 1 << 20
ASK_S = 10.0
"""Patience with an identity provider or proxy."""
REFRESH_S = 10.0
"""A key that is not known makes us ask for new ones, not more often than this."""
KEYS_S = 600.0
"""A key that was withdrawn is not believed much longer."""
MOST_REMEMBERED = 10_000


log = logging.getLogger(__name__)


class TokenError(SccacheError):
    """A token is not good; the message says why, without it."""

    def __init__(self, challenge: str, message: str) -> None:
        """`challenge` is the error of WWW-Authenticate."""
        super().__init__(message)
        self.challenge = challenge


class ClientCheck(Protocol):
    """Who may ask for places."""

    async def check(self, token: str) -> None:
        """TokenError if not this one."""

    async def aclose(self) -> None:
        """Close connections."""


class WorkerCheck(Protocol):
    """Who may offer them."""

    def check(self, token: str, host: str) -> str:
        """The worker's `address:port`, proved by the token and by where it speaks from; TokenError if not."""


# -- keys


def new_key(size: int = KEY_BYTES) -> str:
    """A new secret key of so many bytes, as configuration files and heartbeats have it; on a command line it is no option."""
    import secrets

    while (key := encode_key(secrets.token_bytes(size))).startswith("-"):
        pass
    return key


def encode_key(key: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def decode_key(text: str) -> bytes:
    """ValueError if it is no key."""
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("Secret key base64 invalid") from None
    if len(key) != KEY_BYTES:
        raise ValueError("Size of secret key incorrect")
    return key


# -- jobs


class JobClaims(Struct, frozen=True):
    """What a job's token gives the right to."""

    job: str
    worker: str
    toolchain: str


def job_token(key: bytes, claims: JobClaims, now: float) -> str:
    """Made by the scheduler with the worker's key; `now` in seconds since 1970."""
    said = {"job": claims.job, "worker": claims.worker, "toolchain": claims.toolchain, "exp": int(now) + JOB_TOKEN_S, "aud": "worker"}
    return jwt.encode(said, key, "HS256")


def check_job_token(token: str, key: bytes, job: str, worker: str) -> JobClaims:
    """Checked by the worker, for the job of the request's path; TokenError."""
    required = ["exp", "aud", "job", "worker", "toolchain"]
    try:
        said = jwt.decode(token, key, ["HS256"], audience="worker", options={"require": required})
    except jwt.ExpiredSignatureError:
        raise TokenError("invalid_jwt", "The job's token has expired") from None
    except (jwt.PyJWTError, ValueError):
        raise TokenError("invalid_jwt", "The job's token is not one of this worker") from None
    if not _same(said["job"], job) or not _same(said["worker"], worker) or not isinstance(said["toolchain"], str):
        raise TokenError("invalid_jwt", "The token is one of another job or worker")
    return JobClaims(job, worker, said["toolchain"])


# -- workers


def server_token(key: bytes, address: str) -> str:
    """What a worker at this `ip:port` shows to the scheduler; it does not expire."""
    return jwt.encode({"exp": 0, "server_id": address}, key, "HS256")


def worker_bearer(auth: SchedulerAuth, public_addr: str) -> str:
    """What the worker's settings say to show to the scheduler; ConfigError if it is another's."""
    if isinstance(auth, JwtTokenAuth):
        try:
            said = jwt.decode(auth.token, options={"verify_signature": False}).get("server_id")
        except (jwt.PyJWTError, ValueError):
            raise ConfigError("scheduler_auth.token: is no JWT") from None
        if said != public_addr:
            raise ConfigError(f"JWT server id ({said}) did not match configured server id ({public_addr})")
        return auth.token
    return f"{public_addr} {auth.token if isinstance(auth, TokenAuth) else INSECURE_SERVER}"


def worker_check(auth: ServerAuth) -> WorkerCheck:
    """As scheduler.conf has it; ConfigError if the key is none."""
    if isinstance(auth, JwtHs256Auth):
        try:
            return SignedWorkers(decode_key(auth.secret_key))
        except ValueError as error:
            raise ConfigError(f"server_auth.secret_key: {error}") from None
    return SharedWorkers(auth.token if isinstance(auth, TokenAuth) else INSECURE_SERVER)


class SignedWorkers:
    """Each worker has a JWT of its own."""

    def __init__(self, key: bytes) -> None:
        """The scheduler's secret."""
        self._key = key

    def check(self, token: str, host: str) -> str:
        """See WorkerCheck."""
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False, "require": ["server_id"]}
        try:
            said = jwt.decode(token, self._key, ["HS256"], options=options)["server_id"]
        except (jwt.PyJWTError, ValueError):
            raise TokenError("invalid_jwt", "The token is not one of this scheduler") from None
        return _from(said, host)


class SharedWorkers:
    """All workers know one text, and say their address before it."""

    def __init__(self, token: str) -> None:
        """The text."""
        self._token = token

    def check(self, token: str, host: str) -> str:
        """See WorkerCheck."""
        address, _, secret = token.partition(" ")
        if not _same(secret, self._token):
            raise TokenError("invalid_bearer_token", "The token is not the one of this scheduler")
        return _from(address, host)


def _from(address: object, host: str) -> str:
    try:
        said, port = split_address(address if isinstance(address, str) else "")
    except ValueError:
        raise TokenError("invalid_bearer_token", "The token has no address") from None
    if said != host:
        raise TokenError("invalid_bearer_token_mismatched_address", "The token is one of another address")
    return join_address(said, port)


# -- clients


def client_check(auth: ClientAuth) -> ClientCheck:
    """As scheduler.conf has it."""
    if isinstance(auth, JwtValidateAuth):
        return JwtClients(auth)
    if isinstance(auth, ProxyTokenAuth):
        return ProxiedClients(auth)
    return FixedClients(INSECURE_CLIENT if isinstance(auth, InsecureAuth) else auth.token)


class FixedClients:
    """All clients know one text."""

    def __init__(self, token: str) -> None:
        """The text."""
        self._token = token

    async def check(self, token: str) -> None:
        """See ClientCheck."""
        if not _same(token, self._token):
            raise TokenError("bearer_auth_failed", "Fixed token mismatch")

    async def aclose(self) -> None:
        """Nothing is open."""


class _Asking:
    """One GET to a configured URL."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, token: str = "") -> tuple[int, bytes]:
        """Status and body; OSError if that cannot be had.  A redirect is an answer: a token goes where the settings say, and no further."""
        aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_S), cookie_jar=aiohttp.DummyCookieJar())
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                body = b""
                while len(body) <= MAX_JWKS_BYTES and (piece := await answer.content.readany()):
                    body += piece
                if len(body) > MAX_JWKS_BYTES:
                    raise OSError("the answer is too long")
                return answer.status, body
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise OSError(type(error).__name__) from None

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class ProxiedClients:
    """Another service knows which tokens are good: it is asked with them."""

    def __init__(self, auth: ProxyTokenAuth) -> None:
        """Nothing is asked yet."""
        self._auth = auth
        self._asking = _Asking()
        self._good: OrderedDict[bytes, float] = OrderedDict()
        """Digest of a token → until when it is believed."""

    async def check(self, token: str) -> None:
        """See ClientCheck."""
        digest, now = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), time.monotonic()
        if self._good.get(digest, 0.0) > now:
            return
        try:
            status, _ = await self._asking.get(self._auth.url, token)
        except OSError:
            status = 0
        if not 200 <= status < 300:
            self._good.pop(digest, None)
            raise TokenError("bearer_auth_failed", "Validation with token forwarding failed")
        if self._auth.cache_secs:
            self._good[digest] = now + self._auth.cache_secs
            self._good.move_to_end(digest)
            while len(self._good) > MOST_REMEMBERED:
                self._good.popitem(last=False)

    async def aclose(self) -> None:
        """See ClientCheck."""
        await self._asking.aclose()


class JwtClients:
    """An identity provider signs tokens; its public keys are asked for when one is met that is not known."""

    def __init__(self, auth: JwtValidateAuth) -> None:
        """Nothing is asked yet."""
        self._auth = auth
        self._asking = _Asking()
        self._keys: dict[str, tuple[Any, tuple[str, ...]]] = {}
        """Name → the key, and what it may sign with."""
        self._asked_at = -KEYS_S
        self._lock = asyncio.Lock()

    async def check(self, token: str) -> None:
        """See ClientCheck."""
        try:
            name = jwt.get_unverified_header(token).get("kid")
            key = await self._key(name) if isinstance(name, str) else None
            if key is None:
                raise TokenError("bearer_auth_failed", "JWT could not be validated: its key is not known")
            jwt.decode(
                token, key[0], key[1], audience=self._auth.audience, issuer=self._auth.issuer, leeway=LEEWAY_S,
                options={"require": ["exp", "aud", "iss"]},
            )  # fmt: skip
        except jwt.ExpiredSignatureError:
            raise TokenError("bearer_auth_failed", "JWT could not be validated: it has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise TokenError("bearer_auth_failed", "JWT could not be validated") from None

    async def aclose(self) -> None:
        """See ClientCheck."""
        await self._asking.aclose()

    async def _key(self, name: str) -> tuple[Any, tuple[str, ...]] | None:
        if self._is_due(name):
            async with self._lock:
                if self._is_due(name):
                    await self._refresh()
        return self._keys.get(name)

    def _is_due(self, name: str) -> bool:
        return time.monotonic() - self._asked_at >= (KEYS_S if name in self._keys else REFRESH_S)

    async def _refresh(self) -> None:
        try:
            status, body = await self._asking.get(self._auth.jwks_url)
            if status == 200:
                keys = jwt.PyJWKSet.from_json(body.decode()).keys
                self._keys = {key.key_id: (key.key, _algorithms(key)) for key in keys if key.key_id and _algorithms(key)}
        except (OSError, ValueError, TypeError, jwt.PyJWTError) as error:
            log.warning("the identity provider's keys cannot be had: %s", type(error).__name__)
        finally:
            self._asked_at = time.monotonic()  # now, not before: who asks meanwhile has to wait for the answer


def _algorithms(key: jwt.PyJWK) -> tuple[str, ...]:
    """None for a key that is a secret: whoever can read the JWKS could sign with it."""
    possible = ALGORITHMS.get(key.key_type or "", ())
    said = key._jwk_data.get("alg")  # noqa: SLF001 -- algorithm_name is a guess where the key does not say
    return possible if said is None else tuple(name for name in possible if name == said)


def _same(said: object, secret: str) -> bool:
    return isinstance(said, str) and hmac.compare_digest(said.encode("utf-8", "surrogatepass"), secret.encode("utf-8", "surrogatepass"))
