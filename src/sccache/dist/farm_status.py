"""`sccache --dist-status`: what the scheduler says of itself, as JSON that scripts know from sccache.

    {"Disabled":"disabled"}
    {"NotConnected":["http://farm/","could not communicate with scheduler"]}
    {"SchedulerStatus":["http://farm/",{"num_servers":3,"num_cpus":48,"in_progress":7}]}

The scheduler is asked here and now: a daemon could only tell how its last question ended, and would be started for it.  Numbers it tells
everybody; whether it takes our token is asked apart, and said to people only.
Owns: these texts, the question.  Must not know: jobs, workers, the daemon.
"""

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from sccache import __version__
from sccache.config.schema import Config
from sccache.dist.kept_tokens import NoToken, client_token
from sccache.dist.scheduler_way import DENIED, Way, WayError

if TYPE_CHECKING:
    import aiohttp

DEADLINE_S = 5.0
MAX_ANSWER_BYTES = 64 << 10
PATH = "api/v1/scheduler/status"
TOKEN_PATH = "api/v2/status"  # noqa: S105 -- no token
HEADERS = {"User-Agent": f"sccache/{__version__}", "Accept-Encoding": "identity"}
NO_TOKEN = "enabled, auth not configured"  # noqa: S105 -- no token
NO_ANSWER = "could not communicate with scheduler"


class Told(Struct, frozen=True):
    """The answer."""

    answer: dict[str, Any]
    """As JSON has it."""
    reason: str = ""
    """A sentence for people, where something is wrong."""

    def line(self) -> str:
        """The answer as text, without the line's end."""
        return msgspec.json.encode(self.answer).decode()


class _Scheduler(Struct, frozen=True):
    num_servers: int
    num_cpus: int
    in_progress: int


def ask(config: Config, deadline_s: float = DEADLINE_S) -> Told:
    """The state of distributed compilation with these settings.  Blocking."""
    url = config.dist.scheduler_url
    if url is None:
        return Told({"Disabled": "disabled"})
    token = client_token(config)
    if isinstance(token, NoToken):
        return Told({"NotConnected": [url, NO_TOKEN]}, token.reason)
    way = Way(url)
    try:
        found, reason = asyncio.run(_ask(way, token, deadline_s))
    except WayError as e:
        return Told({"NotConnected": [url, NO_ANSWER]}, str(e))
    return Told({"SchedulerStatus": [url, msgspec.to_builtins(found)]}, reason)


async def _ask(way: Way, token: str, deadline_s: float) -> tuple[_Scheduler, str]:
    """What it says of itself, and what is wrong with the token."""
    import aiohttp

    try:
        async with asyncio.timeout(deadline_s), aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            status, body = await _get(session, way, PATH, HEADERS)
            if status != 200:
                raise WayError(f"{way.name} answers {status}.")
            found = _decoded(way, body)
            status, _ = await _get(session, way, TOKEN_PATH, {**HEADERS, "Authorization": f"Bearer {token}"})
    except TimeoutError:
        raise WayError(f"{way.name} does not answer within {deadline_s:g} seconds.") from None
    except (aiohttp.ClientError, OSError, ValueError) as e:
        raise WayError(way.trouble(e)) from None
    return found, f"{way.name} refuses the token ({status}): compiles are not distributed." if status in DENIED else ""


async def _get(session: "aiohttp.ClientSession", way: Way, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    async with session.get(f"{way.url}/{path}", allow_redirects=False, **way.options(headers)) as response:
        body = await response.content.read(MAX_ANSWER_BYTES + 1)
        while not response.content.at_eof() and len(body) <= MAX_ANSWER_BYTES:
            body += await response.content.read(MAX_ANSWER_BYTES)
        return response.status, body


def _decoded(way: Way, body: bytes) -> _Scheduler:
    try:
        found = msgspec.json.decode(body, type=_Scheduler)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WayError(f"{way.name} gives an answer that is none: is it sccache-dist's?") from None
    return found
