"""Make requests of messages; what repeats from compile to compile (environment, settings) is read once.

Owns: the memory of environments.  Must not know: sockets, what a request leads to.
"""

import os
import re

from msgspec import Struct

from sccache.compilers.environment import RELEVANT, VOLATILE
from sccache.config.memory import ConfigMemory, fingerprint
from sccache.config.schema import Config
from sccache.hashing.digest import digest
from sccache.model import CompileRequest, Terminal
from sccache.protocol import messages

MAX_ENVIRONMENTS = 1000  # of 15 KB each; cargo gives every crate another
_RELEVANT = frozenset(name.encode() for name in RELEVANT)
_VOLATILE = frozenset(name.encode() for name in VOLATILE)
_C_DRIVER = re.compile(rb"(?:^|[/-])(?:cc|c\+\+|gcc|g\+\+|clang|clang\+\+)(?:-[\d.]+)?$")
_KINDS = (1 << messages.COLUMNS_SHIFT) - 1
_ALL_BUT_INPUT = ~messages.NO_INPUT

Identity = tuple[bytes, bytes, bytes, int, int, tuple[bytes, ...] | bytes]
"""What tells requests apart: argv, cwd, executable, umask, terminals and their width, and the variables that matter.

For a C compiler those are few and named, and one that reads stdin is not cached: make gives one job of many its own stdin, and which one
that is differs from build to build.  For rustc, whatever cargo runs and any other program those are all variables, and whether stdin
holds anything."""


class _Environment(Struct, frozen=True):
    variables: dict[str, str]
    relevant: tuple[bytes, ...]
    all_: bytes
    """Digest of all variables that do not change by themselves."""
    of_cargo: bool
    settings: bytes


class Requests:
    """Reads Compile messages."""

    def __init__(self, memory: ConfigMemory) -> None:
        self._memory = memory
        self._environments: dict[bytes, _Environment] = {}

    def identify(self, message: messages.CompileMessage) -> tuple[Config, Identity]:
        """The settings that apply to a message, and the key under which its request is remembered."""
        environment = self._environment(message.env_blob)
        knows_all = environment.of_cargo or not _names_c_driver(message)
        identity = (
            message.argv_blob,
            message.cwd,
            message.executable,
            message.umask,
            message.terminals if knows_all else message.terminals & _ALL_BUT_INPUT,
            environment.all_ if knows_all else environment.relevant,
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
            knows_environment=isinstance(identity[-1], bytes),
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
    entries.sort(key=_name)  # by name alone: of doubles the first counts, getenv(3)
    relevant = tuple(entry for entry in entries if _name(entry) in _RELEVANT)
    lasting = b"\0".join(entry for entry in entries if _name(entry) not in _VOLATILE)
    variables = dict(os.fsdecode(entry).split("=", 1) for entry in reversed(entries))
    return _Environment(variables, relevant, digest(lasting), "CARGO" in variables, fingerprint(blob))


def _name(entry: bytes) -> bytes:
    return entry.partition(b"=")[0]


def _names_c_driver(message: messages.CompileMessage) -> bool:
    """Whether the first word is a C compiler's by its name."""
    word = message.executable or message.argv_blob[: message.argv_blob.find(b"\0")]
    return _C_DRIVER.search(word) is not None
