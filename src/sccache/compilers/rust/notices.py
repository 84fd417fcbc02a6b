r"""rustc's notices of outputs, by which cargo starts what waits for one of them.

    <notice> ::= '{"$message_type":"artifact","artifact":' <path> ',"emit":"' <kind> '"}' "\n"

Seen with rustc 1.95: the dep-file first, then metadata, then linked files in the order of the crate types; of a dwp file or an
import library nothing is said.  Older compilers leave `$message_type` out: their notices count as messages here, so that
they are kept and told as they were.

Owns: making and finding notices.  Must not know: other messages.
"""

import json

from sccache.compilers.rust.values import RustArguments
from sccache.model import Output

_START = b'{"$message_type":"artifact",'
_EMIT = {"d": "dep-info", "rmeta": "metadata"}
"""Kinds of outputs that are not linked."""
_LONG_TYPE = b".long-type-"
_JOB_SERVER = b"failed to connect to jobserver from environment variable"
_ORDER = {"d": 0, "rmeta": 1}


def split(stderr: bytes) -> tuple[bytes, bytes]:
    """Notices, and the rest, each in its order."""
    lines = stderr.splitlines(keepends=True) if _START in stderr else []
    notices = b"".join(line for line in lines if line.startswith(_START))
    rest = b"".join(line for line in lines if not line.startswith(_START))
    return (notices, rest) if lines else (b"", stderr)


def make(parsed: RustArguments) -> bytes:
    """What rustc would say of the outputs."""
    told = [output for output in parsed.outputs if output.required]
    return b"".join(_notice(output) for output in sorted(told, key=lambda output: _ORDER.get(output.role, len(_ORDER))))


def is_only(stderr: bytes, parsed: RustArguments) -> bool:
    """Whether rustc said nothing but what `make` says."""
    return stderr == make(parsed)


def is_of_this_run(stderr: bytes) -> bool:
    """Whether a message is about this very run, so that it must not be told of another one: the result is not to be kept.

    A type too long to be told is written to a file beside the outputs, which the message names; a job server that cannot be
    reached is a matter of the caller's descriptors.
    """
    return _LONG_TYPE in stderr or _JOB_SERVER in stderr


def _notice(output: Output) -> bytes:
    told = {"$message_type": "artifact", "artifact": output.path, "emit": _EMIT.get(output.role, "link")}
    return (json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n").encode("utf-8", "surrogateescape")
