"""Which node of a Redis cluster has a key; one pool of connections for each node.

Owns: the map of slots, redirections, when the map is asked for again.  Must not know: addresses as users write them, verdicts.
The library's own cluster client closes connections that other requests use whenever its map changes, and what is cancelled or
fails then is not theirs: hence this small one over the library's single clients.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#client-and-server-responsibilities
Imports the library (150 ms): imported when a cluster is first asked.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.crc import key_slot

Node = tuple[str, int]
"""Host and port."""

MAX_HOPS = 4
"""Redirections that one request follows."""


class Cluster:
    """Sends commands to the nodes that have their keys.  All methods may be cancelled."""

    def __init__(self, nodes: Iterable[Node], connect: Callable[[Node], Redis]) -> None:
        """Knowing some nodes; `connect` makes a client of one without asking it anything."""
        self._nodes = deque(dict.fromkeys(nodes))
        self._connect = connect
        self._clients: dict[Node, Redis] = {}
        self._owners: dict[int, Node] = {}
        self._is_stale = True
        self._learning = asyncio.Lock()

    async def execute_command(self, *words: Any) -> Any:
        """The reply to a command whose second word is its key; the library's exceptions."""
        slot = key_slot(words[1].encode())
        has_failed = False
        node = await self._owner(slot)
        for _ in range(MAX_HOPS):
            try:
                return await self._client(node).execute_command(*words)  # type: ignore[no-untyped-call]
            except exceptions.MovedError as e:
                self._is_stale = True
                node = self._owners[slot] = (e.host or node[0], int(e.port))
            except exceptions.AskError as e:
                return await self._ask_during_move((e.host or node[0], int(e.port)), words)
            except exceptions.ConnectionError as e:
                self._is_stale = True
                if has_failed or isinstance(e, exceptions.AuthenticationError | exceptions.BusyLoadingError):
                    raise
                has_failed = True
                node, failed = await self._owner(slot), node
                if node == failed:
                    raise
            except asyncio.CancelledError:
                self._is_stale = True  # perhaps a deadline, of a node that is gone and has a successor
                raise
        raise exceptions.ResponseError("the nodes of the cluster do not agree on who has a key")

    async def aclose(self) -> None:
        """Close the connections to all nodes."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()

    async def _ask_during_move(self, node: Node, words: tuple[Any, ...]) -> Any:
        """A key that already moved while its slot has not: asked for on one connection, after a word that allows it."""
        async with self._client(node).pipeline(transaction=False) as pipeline:
            pipeline.execute_command("ASKING")
            pipeline.execute_command(*words)
            replies = await pipeline.execute()
        return replies[1]

    def _client(self, node: Node) -> Redis:
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = self._connect(node)
        return client

    async def _owner(self, slot: int) -> Node:
        """Who has a slot; of a slot that nobody has any node, which will say what is the matter."""
        if self._is_stale:
            async with self._learning:
                if self._is_stale:
                    await self._learn()
        return self._owners.get(slot) or self._nodes[0]

    async def _learn(self) -> None:
        """Ask one node after the other for the map; the last one's error if none has it."""
        error: Exception | None = None
        for _ in range(len(self._nodes)):
            node = self._nodes[0]
            self._nodes.rotate(-1)  # before it is asked: should that last for ever, another comes first the next time
            try:
                ranges = await self._client(node).execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
            except exceptions.AuthenticationError:
                raise
            except (exceptions.ConnectionError, exceptions.TimeoutError) as e:
                error = e
                continue
            self._owners = {}
            for first, last, owner, *_ in ranges:
                address = ((owner[0] or b"").decode() or node[0], owner[1])
                self._owners.update(dict.fromkeys(range(first, last + 1), address))
            self._nodes = deque(dict.fromkeys((*self._nodes, *self._owners.values())))
            self._is_stale = False
            return
        raise error or exceptions.ConnectionError("no node is known")
