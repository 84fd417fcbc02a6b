"""`sccache --dist-auth`: the user logs in with a browser, and the token is kept for the scheduler.

    browser ─▶ our listener ─▶ authorization server ─▶ our listener ─(code grant: code ─▶ token server ─▶)─▶ token ─▶ file

Owns: the order of this, its deadlines, what is printed.  Must not know: settings other than `dist.auth`, schedulers.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlencode

from sccache.config.schema import Config
from sccache.dist import kept_tokens
from sccache.dist.login_listener import PORTS, Listener, bind
from sccache.dist.login_rules import Attempt, Code, LoginError, Token, is_private, parse_address, parse_error, parse_token
from sccache.errors import StorageError
from sccache.storage.http import Answer, HttpClient

LOGIN_DEADLINE_S = 600.0
TOKEN_DEADLINE_S = 30.0
MAX_ANSWER_BYTES = 64 << 10
ENCODINGS: tuple[tuple[str, Callable[[dict[str, str]], str]], ...] = (
    ("application/x-www-form-urlencoded", urlencode),  # RFC 6749, 4.1.3
    ("application/json", json.dumps),  # what sccache sends, so servers that were written for it may take nothing else
)
CODE_REFUSED = "invalid_grant"
"""The request was understood: a second one would be the use of a used code, on which servers revoke tokens (RFC 6749, 4.1.2)."""

Say = Callable[[str], None]
"""Is given a line."""


def login(config: Config, say: Say, warn: Say, ports: Sequence[int] = PORTS, deadline_s: float = LOGIN_DEADLINE_S) -> None:
    """Have the user log in, and keep the token.  Blocking.  LoginError, ConfigError."""
    auth = config.dist.auth
    if auth is None or auth["type"] == "token":
        warn("note: dist.auth is a fixed token: there is nothing to log in to")
        return
    for name in ("auth_url", "token_url"):
        if name in auth and not is_private(parse_address(auth[name])):
            warn(f"warning: {name} is not https: whoever can read along gets the token")
    asyncio.run(_login(config, auth, say, warn, ports, deadline_s))


async def _login(config: Config, auth: dict[str, str], say: Say, warn: Say, ports: Sequence[int], deadline_s: float) -> None:  # noqa: PLR0913, PLR0917
    port, sockets = bind(ports)
    try:
        attempt = Attempt(auth, f"http://localhost:{port}/redirect")

        async def finish(parameters: Iterable[tuple[str, str]]) -> None:
            answer = attempt.answer(parameters)
            token = await _redeem(attempt, answer) if isinstance(answer, Code) else answer
            if token.is_short():
                warn("Token retrieved expires in under two days")
            await asyncio.to_thread(kept_tokens.save, config.cached_conf, auth["auth_url"], token.token)

        listener = Listener(port, attempt.authorize_url, finish, warn, is_implicit=attempt.is_implicit)
        async with listener.listen(sockets):
            say(f"sccache: Please visit http://localhost:{port} in your browser")
            try:
                await asyncio.wait_for(listener.over(), deadline_s)
            except TimeoutError:
                raise LoginError(f"Nobody has logged in within {deadline_s:g} seconds") from None
        say("Saved token")
    finally:
        for each in sockets:
            each.close()


async def _redeem(attempt: Attempt, code: Code) -> Token:
    """A token for the code."""
    client = HttpClient()
    try:
        async with asyncio.timeout(TOKEN_DEADLINE_S):
            answer = await _ask(client, attempt, code)
    except TimeoutError:
        raise LoginError("The token server does not answer") from None
    except StorageError as e:  # names the address without its query
        raise LoginError(f"The token server gives no answer: {e}") from None
    finally:
        await client.aclose()
    return parse_token(answer.status, answer.body)


async def _ask(client: HttpClient, attempt: Attempt, code: Code) -> Answer:
    """The token server's answer: to the standard's form of the question, or to the other if only that is understood."""
    answers: list[Answer] = []
    for content_type, encode in ENCODINGS:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        body = encode(attempt.token_form(code)).encode()
        answer = await client.request("POST", attempt.auth["token_url"], body=body, headers=headers, max_bytes=MAX_ANSWER_BYTES)
        if answer.is_success:
            return answer
        answers.append(answer)
        if not 400 <= answer.status < 500 or parse_error(answer.body).error == CODE_REFUSED:
            break
    return answers[0]
