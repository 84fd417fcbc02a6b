"""What client, scheduler and workers say to each other.  docs/formats/dist.md has the byte layout.

    client ──Allocate─▶ scheduler ──Granted | Refused─▶ client           JSON
    worker ──Heartbeat | Report─▶ scheduler                              JSON
    client ──JobHeader + contents─▶ worker ──Missing | Result + contents─▶ client     MessagePack, then one zstd stream

A job is a command with everything that it reads: a toolchain (an archive, named by its digest), and a tree of directories, links and
files with their contents' digests, all at the very paths that they have on the client.  So the command line is the user's own, and
objects, messages and dependency files are what a local compile gives.

Paths, arguments and variables are bytes, as the operating system has them.  Digests are BLAKE3, 32 bytes; toolchain ids are the same
in hex.  Owns: these values.  Must not know: sockets, files, clocks.
"""

from typing import Annotated, TypeVar

from msgspec import Meta, Struct

VERSION = 2
"""Of everything here: a scheduler or worker of another version refuses with a sentence."""
DIGEST_BYTES = 32
FILE_TIME_S = 1_000_000_000
"""The modification time of every file of a job's tree, on the worker: one that gets into an output is known by it."""
MAX_NAMES = 500_000
"""Most of any one thing in a job or an answer, and of a job's names together."""
OWN_DIRECTORY = b"/.sccache"
"""Where a sandbox has the worker's own files, the observer and its report: nothing of a job may be there."""

T = TypeVar("T")
Several = Annotated[tuple[T, ...], Meta(max_length=MAX_NAMES)]
"""Where there are more of them a message is garbled: they are not even made, for a byte of it may cost forty of memory."""


class Allocate(Struct, frozen=True):
    """A client asks for a place to compile."""

    toolchain: str
    """Id of the toolchain: a worker that has it is preferred."""
    weight: float = 1.0
    """How many cores the job keeps busy."""
    wait_s: float = 0.0
    """How long the client is ready to wait in the queue when all are busy."""
    without: tuple[str, ...] = ()
    """Workers (address and port) that have just failed the client for this job."""
    version: int = VERSION


class Granted(Struct, frozen=True, tag="granted"):
    """The place: where, and the right to use it once."""

    job: str
    """32 hex digits, random."""
    worker: str
    """`address:port`."""
    token: str
    """Bearer token for that worker and this job."""
    certificate: str
    """SHA-256 of the worker's certificate (DER), in hex: the client trusts this one and no other."""
    has_toolchain: bool
    """As far as the scheduler knows."""


class Refused(Struct, frozen=True, tag="refused"):
    """There is no place."""

    reason: str
    """A sentence."""
    retry_after_s: float = 0.0


class Heartbeat(Struct, frozen=True):
    """A worker tells that it is there, every few seconds; its token says which address it has."""

    nonce: str
    """Random, new at each start: jobs of an earlier life are lost."""
    cores: int
    slots: int
    """Most jobs that it runs at a time."""
    job_key: str
    """base64url of the 32 bytes that job tokens for it are signed with."""
    certificate: str
    """SHA-256 of its certificate, hex."""
    running: tuple[str, ...] = ()
    """All jobs that it has at this moment: the scheduler corrects what it thought."""
    toolchains: tuple[str, ...] = ()
    draining: bool = False
    """It takes no new jobs: it is about to end."""
    version: int = VERSION


class HeartbeatAnswer(Struct, frozen=True):
    """What the scheduler makes of it."""

    is_new: bool
    interval_s: float
    """When it wants to hear the next one."""


class Report(Struct, frozen=True):
    """A worker tells at once what changed between heartbeats."""

    nonce: str
    started: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()


class Status(Struct, frozen=True):
    """GET /api/v2/status; the first three are sccache's own."""

    num_servers: int
    num_cpus: int
    in_progress: int
    waiting: int = 0
    version: int = VERSION


class File(Struct, frozen=True, array_like=True):
    """A regular file of a job's tree."""

    path: bytes
    """Absolute, without `.`, `..` or links in it: links of the tree lead here."""
    digest: bytes
    size: int
    executable: bool = False


class Link(Struct, frozen=True, array_like=True):
    """A symbolic link of a job's tree."""

    path: bytes
    target: bytes


class JobHeader(Struct, frozen=True, kw_only=True):
    """A compile; after it come the contents named in `sent`, one after the other."""

    toolchain: str
    executable: bytes
    argv: Several[bytes]
    """With argv[0]."""
    environment: Several[tuple[bytes, bytes]]
    """All of it: nothing of the worker's own reaches the compile."""
    cwd: bytes
    umask: int
    directories: Several[bytes]
    """That exist, empty or not."""
    links: Several[Link]
    files: Several[File]
    sent: Several[bytes] = ()
    """Digests of those files whose contents follow, each once, in this order; sizes are those of `files`."""
    outputs: Several[bytes]
    """Files wanted back, absolute; that one is missing afterwards is no error."""
    output_directories: Several[bytes] = ()
    """All regular files made or changed below these are wanted back too."""
    observe: bool = False
    """Run it under the observer, and send its report."""
    columns: int = 0
    """Not 0: stderr is a terminal of this width."""
    version: int = VERSION


class Missing(Struct, frozen=True, tag="missing"):
    """The worker lacks something; nothing was run, and the token stays good."""

    contents: Several[bytes] = ()
    """Digests to send."""
    toolchain: bool = False
    """This client is to upload the toolchain (PUT), then to ask again."""


class OutputFile(Struct, frozen=True, array_like=True):
    """A file that the compile made; its content follows in this order."""

    path: bytes
    size: int
    digest: bytes
    executable: bool = False


class Result(Struct, frozen=True, kw_only=True, tag="result"):
    """How the command ended."""

    status: int
    """Exit code, or minus the signal."""
    stdout: bytes
    stderr: bytes
    outputs: Several[OutputFile]
    report: bytes = b""
    """The observer's, where it was asked for."""
    left: Several[bytes] = ()
    """Where that was asked for: what else the command left behind (made, changed, removed), without outputs, directories and /tmp."""
    wall_ns: int = 0
    cpu_ns: int = 0


class Failed(Struct, frozen=True, tag="failed"):
    """The worker could not run it: not the command's fault."""

    reason: str
    """A sentence."""


JobAnswer = Missing | Result | Failed
