"""Make requests of messages; what repeats from compile to compile (environment, settings) is read once.

Owns: the memory of environments.  Must not know: sockets, what a request leads to.
"""

import os

from msgspec import Struct

from sccache.compilers.environment import RELEVANT
from sccache.config.memory import ConfigMemory, fingerprint
from sccache.config.schema import Config
from sccache.model import CompileRequest, Terminal
from sccache.protocol import messages

MAX_ENVIRONMENTS = 256
_RELEVANT = frozenset(name.encode() for name in RELEVANT)
_KINDS = (1 << messages.COLUMNS_SHIFT) - 1

Identity = tuple[bytes, bytes, bytes, int, int, tuple[bytes, ...]]
"""What tells requests apart: argv, cwd, executable, umask, terminals and their width, and the variables that matter."""


class _Environment(Struct, frozen=True):
    variables: dict[str, str]
    relevant: tuple[bytes, ...]
    settings: bytes


class Requests:
    """Reads Compile messages."""

    def __init__(self, memory: ConfigMemory) -> None:
        self._memory = memory
        self._environments: dict[bytes, _Environment] = {}

    def identify(self, message: messages.CompileMessage) -> tuple[Config, Identity]:
        """The settings that apply to a message, and the key under which its request is remembered."""
        environment = self._environment(message.env_blob)
        identity = (
            message.argv_blob,
            message.cwd,
            message.executable,
            message.umask,
            message.terminals,
            environment.relevant,
        )
        return self._memory.get(environment.settings), identity

    def request(self, message: messages.CompileMessage) -> tuple[Config, CompileRequest]:
        """The whole request."""
        environment = self._environment(message.env_blob)
        config, identity = self.identify(message)
        return config, CompileRequest(
            argv=tuple(os.fsdecode(message.argv_blob[:-1]).split("\0")),
            cwd=os.fsdecode(message.cwd),
            env=environment.variables,
            umask=message.umask,
            terminal=Terminal(message.terminals & _KINDS),
            columns=message.terminals >> messages.COLUMNS_SHIFT,
            executable=os.fsdecode(message.executable),
            identity=identity,
        )

    def _environment(self, blob: bytes) -> _Environment:
        known = self._environments.get(blob)
        if known is None:
            if len(self._environments) >= MAX_ENVIRONMENTS:
                self._environments.clear()
            known = self._environments[blob] = _read(blob)
        return known


def _read(blob: bytes) -> _Environment:
    entries = [entry for entry in blob[:-1].split(b"\0") if b"=" in entry]
    relevant = sorted(entry for entry in entries if entry.partition(b"=")[0] in _RELEVANT)
    variables = dict(os.fsdecode(entry).split("=", 1) for entry in reversed(entries))  # of doubles the first counts: getenv(3)
    return _Environment(variables, tuple(relevant), fingerprint(blob))
