"""What clients and workers may say to the scheduler: JSON of the right shape is not enough.

Owns: bounds of what is said, and the sentences about what is not within them.  Must not know: HTTP, the scheduler's state.
"""

import base64
import binascii
import math
import re
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from sccache.dist.messages import VERSION, Allocate, Heartbeat, Report

MAX_ALLOCATE_BYTES = 16 << 10
MAX_WORKER_BYTES = 2 << 20
"""A heartbeat names all toolchains, by 67 bytes each, and all jobs."""
MOST_CORES = 1 << 16
MOST_NAMES = 1 << 14
"""Jobs or toolchains in one message."""
MOST_EXCLUDED = 64
MOST_WEIGHT = 1024.0
JOB_KEY_BYTES = 32

_TOOLCHAIN = re.compile("[0-9a-f]{64}")
_CERTIFICATE = re.compile("[0-9a-fA-F]{64}")
_JOB = re.compile("[0-9a-f]{32}")
_WORKER = re.compile(r"[0-9a-fA-F.:\[\]]{3,64}")
_NONCE = re.compile(r"[!-~]{1,128}")
T = TypeVar("T")


class BodyError(Exception):
    """400: the message is a sentence."""


class VersionError(Exception):
    """426: what was said is of another version of the protocol."""

    def __init__(self, version: int) -> None:
        super().__init__(f"The scheduler speaks version {VERSION} of the protocol, this is version {version}")


class _AnyVersion(msgspec.Struct):
    version: int = VERSION


_ANY_VERSION = msgspec.json.Decoder(_AnyVersion)
_ALLOCATE = msgspec.json.Decoder(Allocate)
_HEARTBEAT = msgspec.json.Decoder(Heartbeat)
_REPORT = msgspec.json.Decoder(Report)


def allocate(body: bytes) -> Allocate:
    """A client's request; BodyError, VersionError."""
    said = _decoded(_ALLOCATE, body)
    _check(_TOOLCHAIN.fullmatch(said.toolchain), "toolchain is not 64 hexadecimal digits")
    _check(0 < said.weight <= MOST_WEIGHT, f"weight is not between 0 and {MOST_WEIGHT:g}")
    _check(math.isfinite(said.wait_s) and said.wait_s >= 0, "wait_s is no time")
    _check(len(said.without) <= MOST_EXCLUDED, f"without has more than {MOST_EXCLUDED} workers")
    _check(_all(_WORKER, said.without), "without has what is no address")
    return said


def heartbeat(body: bytes) -> Heartbeat:
    """A worker's; BodyError, VersionError."""
    said = _decoded(_HEARTBEAT, body)
    _check(_NONCE.fullmatch(said.nonce), "nonce is not 1 to 128 characters of ASCII")
    _check(1 <= said.cores <= MOST_CORES, f"cores is not between 1 and {MOST_CORES}")
    _check(0 <= said.slots <= MOST_CORES, f"slots is not between 0 and {MOST_CORES}")
    _check(len(_key(said.job_key)) == JOB_KEY_BYTES, f"job_key is not base64url of {JOB_KEY_BYTES} bytes")
    _check(_CERTIFICATE.fullmatch(said.certificate), "certificate is not 64 hexadecimal digits")
    _check(len(said.running) <= MOST_NAMES and _all(_JOB, said.running), "running has what is no job")
    _check(len(said.toolchains) <= MOST_NAMES and _all(_TOOLCHAIN, said.toolchains), "toolchains has what is no toolchain")
    return said


def report(body: bytes) -> Report:
    """A worker's; BodyError."""
    said = _decoded(_REPORT, body)
    _check(len(said.started) <= MOST_NAMES and _all(_JOB, said.started), "started has what is no job")
    _check(len(said.finished) <= MOST_NAMES and _all(_JOB, said.finished), "finished has what is no job")
    return said


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        version = _ANY_VERSION.decode(body).version
        if version != VERSION:
            raise VersionError(version)
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(f"The body is not what it should be: {error}") from None


def _check(is_true: object, fault: str) -> None:
    if not is_true:
        raise BodyError(fault)


def _all(pattern: re.Pattern[str], names: Iterable[str]) -> bool:
    return all(pattern.fullmatch(name) for name in names)


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
