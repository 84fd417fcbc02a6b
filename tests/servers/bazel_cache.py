"""A strict server of Bazel's HTTP caching protocol: `bazel_cache.py <port> <username> <password>`.

Source: https://bazel.build/remote/caching#http-caching: GET and PUT on `/ac/` (any content) and `/cas/` (content with the SHA-256 that
is its name), below an optional instance name; 200 or 404.  Like bazel-remote it answers 400 to any other name and 405 to any
other method, and knows no folders.
"""

import asyncio
import hashlib
import re
import sys

from aiohttp import BasicAuth, web

NAME = re.compile(r"(/[a-z]+)?/(ac|cas)/([0-9a-f]{64})")
MAX_BYTES = 120 << 20


class Cache:
    """Objects in memory."""

    def __init__(self, username: str, password: str) -> None:
        self._credentials = BasicAuth(username, password, "utf-8").encode()
        self._objects: dict[str, bytes] = {}

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != self._credentials:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="cache"'})
        if request.method not in {"GET", "PUT"}:
            return web.Response(status=405)
        match = NAME.fullmatch(request.rel_url.raw_path)
        if match is None or request.query_string:
            return web.Response(status=400, text="Resource name must be a SHA256 hash in hex.")
        if request.method != "PUT":
            found = self._objects.get(request.path)
            return web.Response(status=404) if found is None else web.Response(body=found)
        body = await request.read()
        if match[2] == "cas" and hashlib.sha256(body).hexdigest() != match[3]:
            return web.Response(status=400, text="Hash mismatch")
        self._objects[request.path] = body
        return web.Response()


async def main(port: int, username: str, password: str) -> None:
    app = web.Application(client_max_size=MAX_BYTES)
    app.router.add_route("*", "/{path:.*}", Cache(username, password).answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
