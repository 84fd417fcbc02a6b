"""OAuth 2.0 as a client without a secret sees it, as values: what is asked, and what the answers mean.

    ask        authorize_url     RFC 6749 4.1.1 and 4.2.1, with RFC 7636 (PKCE, S256)
    answers    Attempt.answer    the parameters of the redirect: Code, Token
    redeem     token_form        RFC 6749 4.1.3; its answer by `parse_token`

Owns: names and rules of these messages.  Must not know: sockets, HTTP, files.
No message of an error here holds a code, a token, a state or a verifier.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, urlencode, urlsplit

import msgspec
from msgspec import Struct

from sccache.dist.kept_tokens import is_sendable
from sccache.errors import SccacheError

CODE_GRANT, IMPLICIT = "oauth2_code_grant_pkce", "oauth2_implicit"
MAX_TEXT = 300
"""Characters of a server's own words that are told further."""
MAX_CODE_CHARS = 8 << 10
SHORT_VALIDITY_S = 2 * 24 * 3600


class LoginError(SccacheError):
    """There is no token at the end; the message says why."""


class StrangerError(SccacheError):
    """What came is not the answer to this login's question, so the login goes on."""


class Code(Struct, frozen=True):
    """To be redeemed for a token."""

    code: str

    def __repr__(self) -> str:
        """Without the code."""
        return "Code()"


class Token(Struct, frozen=True):
    """What a login is for."""

    token: str
    expires_in_s: float | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return "Token()"

    def is_short(self) -> bool:
        """Whether the next login is near."""
        return self.expires_in_s is not None and self.expires_in_s < SHORT_VALIDITY_S


class Attempt:
    """One login: what was asked, and the secrets by which its answer is known."""

    def __init__(self, auth: Mapping[str, str], redirect_uri: str) -> None:
        """`auth` is the setting `dist.auth`.  LoginError if its addresses are none."""
        self.is_implicit = auth["type"] == IMPLICIT
        self.auth = auth
        self.redirect_uri = redirect_uri
        self._state = secrets.token_hex(16)
        self._verifier = secrets.token_urlsafe(32)
        self.authorize_url = self._authorize_url()

    def _authorize_url(self) -> str:
        parts = parse_address(self.auth["auth_url"])
        asked = {"client_id": self.auth["client_id"]}
        if self.is_implicit:
            asked["response_type"] = "token"
        else:
            asked |= {"response_type": "code", "code_challenge": challenge(self._verifier), "code_challenge_method": "S256"}
        asked |= {"redirect_uri": self.redirect_uri, "state": self._state}
        # The address's own query says what else the server wants to know: audience, scope.
        return parts._replace(query="&".join(filter(None, (parts.query, urlencode(asked)))), fragment="").geturl()

    def answer(self, parameters: Iterable[tuple[str, str]]) -> Code | Token:
        """What the redirect brings.  StrangerError: it is somebody else's; LoginError: the server's no."""
        found: dict[str, str] = {}
        for name, value in parameters:
            if name in found:
                raise StrangerError("A parameter comes twice after the redirect")
            found[name] = value
        if not hmac.compare_digest(found.get("state", "").encode(errors="replace"), self._state.encode()):
            raise StrangerError("Mismatched auth states after redirect")
        if "error" in found:
            raise LoginError(_refusal(found["error"], found.get("error_description", "")))
        if self.is_implicit:
            return _token(found.get("access_token"), found.get("token_type"), found.get("expires_in"))
        code = found.get("code", "")
        if not 0 < len(code) <= MAX_CODE_CHARS:
            raise LoginError("The authorization server gave no code")
        return Code(code)

    def token_form(self, code: Code) -> dict[str, str]:
        """The fields of the request for a token."""
        return {
            "client_id": self.auth["client_id"],
            "code_verifier": self._verifier,
            "code": code.code,
            "grant_type": "authorization_code",
            "redirect_uri": self.redirect_uri,
        }


def challenge(verifier: str) -> str:
    """What is shown of a verifier beforehand: method S256 (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def parse_address(url: str) -> SplitResult:
    """The parts of `auth_url` or `token_url`; LoginError if it is no http(s) address."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good or not url.isprintable() or " " in url:
        raise LoginError(f"Failed to parse URL {url!r}")
    return parts


def is_private(parts: SplitResult) -> bool:
    """Whether nobody can read along: TLS, or this machine (RFC 8252, 8.3)."""
    return parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1", "::1"}


class _TokenAnswer(Struct):
    access_token: str | None = None
    token_type: str | None = None
    expires_in: float | str | None = None


class _ErrorAnswer(Struct):
    error: str = ""
    error_description: str = ""


def parse_token(status: int, body: bytes) -> Token:
    """The answer of the token endpoint; LoginError if there is no token in it."""
    if status != 200:
        error = parse_error(body)
        raise LoginError(_refusal(error.error, error.error_description) if error.error else f"The token server answers {status}")
    try:
        found = msgspec.json.decode(body, type=_TokenAnswer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise LoginError("The token server's answer is not what RFC 6749 says (5.1)") from None
    return _token(found.access_token, found.token_type, found.expires_in)


def parse_error(body: bytes) -> _ErrorAnswer:
    """The server's reason (RFC 6749, 5.2); empty if it is not told."""
    try:
        return msgspec.json.decode(body, type=_ErrorAnswer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _ErrorAnswer()


def _token(token: str | None, token_type: str | None, expires_in: float | str | None) -> Token:
    if token is None or token_type is None:
        raise LoginError("The answer has no token with its type")
    if token_type.lower() != "bearer":
        raise LoginError(f"The token is of the type {_shown(token_type)}, not bearer")
    if not is_sendable(token):
        raise LoginError("The token that came cannot be sent to a scheduler: it is empty, too long or has spaces in it")
    try:
        return Token(token, None if expires_in is None else float(expires_in))
    except ValueError:
        return Token(token)


def _refusal(error: str, description: str) -> str:
    return f"The authorization server refuses: {_shown(error)}" + (f" ({_shown(description)})" if description else "")


def _shown(text: str) -> str:
    """Words of a server, fit for a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT])
