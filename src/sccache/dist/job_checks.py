"""Whether a job can be laid out and run as it says, before anything of it touches a disk.

A job's names are those of a machine that the worker does not trust: each is absolute and plain, none is below a link or a file of the same
tree, none is the sandbox's own.

Owns: what a JobHeader may say.  Must not know: files, sandboxes, HTTP.
"""

import re
from collections.abc import Iterable

import msgspec

from sccache.dist.messages import DIGEST_BYTES, MAX_NAMES, OWN_DIRECTORY, VERSION, JobHeader
from sccache.errors import ProtocolError

MAX_OUTPUT_DIRECTORIES = 64
"""Each costs a walk through all that the command wrote."""
MAX_CONTENT_BYTES = 4 << 30
"""Of all inputs together."""
MAX_REPEATED_BYTES = 256 << 20
"""Of files beyond the first with their content: each of these is a copy on the worker's disk."""
MAX_PATH_BYTES = 4096
MAX_COMPONENT_BYTES = 255
MAX_DEPTH = 128
"""Directories in each other."""
KERNEL = (b"/proc", b"/dev", b"/sys", OWN_DIRECTORY)
TOOLCHAIN = re.compile(r"[0-9a-f]{64}")

_DECODER = msgspec.msgpack.Decoder(JobHeader)


class VersionError(ProtocolError):
    """The client is of another version."""


def decode(data: bytes) -> JobHeader:
    """A header that can be worked with; ProtocolError says why it cannot."""
    try:
        header = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise ProtocolError(f"The job is garbled: {e}") from None
    if header.version != VERSION:
        raise VersionError(f"This worker speaks version {VERSION}, the client version {header.version}")
    check(header)
    return header


def check(header: JobHeader) -> None:
    """ProtocolError if something in it leads elsewhere."""
    if not TOOLCHAIN.fullmatch(header.toolchain):
        raise ProtocolError("The toolchain's name is no digest")
    if len(header.files) + len(header.links) + len(header.directories) + len(header.outputs) > MAX_NAMES:
        raise ProtocolError("The job has too many names")
    if len(header.output_directories) > MAX_OUTPUT_DIRECTORIES:
        raise ProtocolError("The job has too many output directories")
    for path in (header.cwd, *header.outputs, *header.output_directories):
        _check_path(path)
    _check_contents(header)
    _check_tree(header)
    for name, value in header.environment:
        if not name or b"=" in name or b"\0" in name or b"\0" in value:
            raise ProtocolError("A variable cannot be one")
    if not header.executable.startswith(b"/") or b"\0" in header.executable:  # `..` and links in it are the sandbox's own matter
        raise ProtocolError("The program's name is not absolute")
    if not header.argv or any(b"\0" in argument for argument in header.argv):
        raise ProtocolError("The command line cannot be one")
    if not 0 <= header.umask <= 0o777 or not 0 <= header.columns <= 10_000:
        raise ProtocolError("A number cannot be what it should be")


def _check_contents(header: JobHeader) -> None:
    sizes: dict[bytes, int] = {}
    for file in header.files:
        if (
            len(file.digest) != DIGEST_BYTES
            or not 0 <= file.size <= MAX_CONTENT_BYTES
            or sizes.setdefault(file.digest, file.size) != file.size
        ):
            raise ProtocolError("A file's digest or size cannot be one")
    once = sum(sizes.values())
    if once > MAX_CONTENT_BYTES or sum(file.size for file in header.files) - once > MAX_REPEATED_BYTES:
        raise ProtocolError("The job has too many inputs")
    if len(set(header.sent)) != len(header.sent) or not sizes.keys() >= set(header.sent):
        raise ProtocolError("Contents are sent that are not of this job, or twice")


def _check_tree(header: JobHeader) -> None:
    ends = [file.path for file in header.files] + [link.path for link in header.links]
    directories = {*header.directories, b"/"}
    for path in (*ends, *header.directories):
        if path != b"/":
            _check_path(path)
    for link in header.links:
        if not link.target or len(link.target) > MAX_PATH_BYTES or b"\0" in link.target:
            raise ProtocolError("A link's target cannot be one")
    unique = set(ends)
    if len(unique) != len(ends) or unique & directories:
        raise ProtocolError("A name is there twice")
    if unique & _parents((*ends, *header.directories)):
        raise ProtocolError("A name is below a link or a file")


def _parents(paths: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for path in paths:
        parent = path.rpartition(b"/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition(b"/")[0]
    return found


def _check_path(path: bytes) -> None:
    parts = path.split(b"/")
    is_plain = parts[0] == b"" and len(parts) > 1 and not {b"", b".", b".."} & set(parts[1:])
    if (
        not (is_plain or path == b"/")
        or b"\0" in path
        or len(path) > MAX_PATH_BYTES
        or max(map(len, parts)) > MAX_COMPONENT_BYTES
        or len(parts) > MAX_DEPTH
    ):
        raise ProtocolError("A name is not absolute and plain")
    if path.startswith(tuple(place + b"/" for place in KERNEL)) or path in KERNEL:
        raise ProtocolError("A name is one of the sandbox's own places")
