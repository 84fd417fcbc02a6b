"""A worker without its sockets, files and clocks: which jobs it has, which right is used up, who uploads a toolchain.  Pure.

    arrive ──▶ taken ── missing ──▶ awaited ── arrive ──▶ taken ── end ──▶ used up
                 └─ need ──▶ READY · UPLOAD (this client is to) · WAIT (another does)

Owns: jobs and their rights, duties of uploading, draining, what a heartbeat says.
Must not know: clocks (time is told to it), tokens, HTTP.
"""

from collections.abc import Collection
from enum import Enum

from msgspec import Struct

from sccache.dist.messages import Heartbeat

USED_UP_S = 600.0
"""How long a job that is over is remembered: longer than a token for it is good."""
RETURN_S = 30.0
"""How long a client may take to come back with what was missing."""
DUTY_S = 30.0
"""How long a client may take to begin an upload, before another is asked to."""
MAX_BACKLOG = 64
"""Jobs, as a multiple of the slots, beyond which the worker says that it is busy: the scheduler gives no more than the slots, but a
client may be slow to send, and a scheduler that was started anew may know less."""


class Verdict(Enum):
    """What becomes of one who comes with a job's token."""

    TAKEN = "taken"
    USED = "used"
    """The right was used before, or is being used."""
    BUSY = "busy"
    DRAINING = "draining"


class Duty(Enum):
    """Who brings a toolchain."""

    READY = "ready"
    UPLOAD = "upload"
    WAIT = "wait"


class _Job(Struct):
    is_here: bool = True
    """A request for it is under way."""
    until: float = 0.0
    """While none is."""


class _Upload(Struct):
    job: str
    until: float
    """To begin."""
    is_under_way: bool = False


class Worker:
    """One life of a worker."""

    def __init__(self, nonce: str, cores: int, slots: int) -> None:
        """`slots`: how many jobs run at a time."""
        self._nonce, self.cores, self.slots = nonce, cores, slots
        self._jobs: dict[str, _Job] = {}
        self._used: dict[str, float] = {}
        self._uploads: dict[str, _Upload] = {}
        self.is_draining = False

    @property
    def running(self) -> tuple[str, ...]:
        """All jobs that it has."""
        return tuple(self._jobs)

    @property
    def is_idle(self) -> bool:
        """Whether no request of a job is under way."""
        return not any(job.is_here for job in self._jobs.values())

    def arrive(self, job: str) -> tuple[Verdict, bool]:
        """A client comes with a job's token; gives also whether the scheduler is to be told that it has come."""
        known = self._jobs.get(job)
        if job in self._used or (known is not None and known.is_here):
            return Verdict.USED, False
        if known is not None:  # what has begun is brought to its end
            known.is_here = True
            return Verdict.TAKEN, False
        if self.is_draining:
            return Verdict.DRAINING, False
        if len(self._jobs) >= self.slots * MAX_BACKLOG:
            return Verdict.BUSY, False
        self._jobs[job] = _Job()
        return Verdict.TAKEN, True

    def await_return(self, job: str, now: float) -> None:
        """The client was told what is missing, or its request was cut off before anything ran."""
        self._jobs[job].is_here = False
        self._jobs[job].until = now + RETURN_S

    def end(self, job: str, now: float) -> None:
        """It ran, or never will; the scheduler is to be told."""
        if self._jobs.pop(job, None) is not None:
            self._used[job] = now + USED_UP_S
        for upload in self._uploads.values():
            if upload.job == job and not upload.is_under_way:
                upload.until = now

    def need(self, job: str, toolchain: str, now: float, *, is_there: bool) -> Duty:
        """A job needs a toolchain; to be asked again when something about that has changed, and from time to time."""
        if is_there:
            self._uploads.pop(toolchain, None)
            return Duty.READY
        upload = self._uploads.get(toolchain)
        if upload is not None and (upload.is_under_way or (upload.until > now and upload.job != job)):
            return Duty.WAIT
        self._uploads[toolchain] = _Upload(job, now + DUTY_S)
        return Duty.UPLOAD

    def upload_begins(self, job: str, toolchain: str, now: float) -> bool:
        """A client sends one; False if another does already."""
        upload = self._uploads.get(toolchain)
        if upload is not None and upload.is_under_way:
            return False
        self._uploads[toolchain] = _Upload(job, now, is_under_way=True)
        if (known := self._jobs.get(job)) is not None and not known.is_here:
            known.until = now + USED_UP_S  # it comes back after that
        return True

    def upload_ends(self, toolchain: str, now: float) -> None:
        """Well or not: who waits for it asks again."""
        upload = self._uploads.pop(toolchain, None)
        if upload is not None and (known := self._jobs.get(upload.job)) is not None and not known.is_here:
            known.until = now + RETURN_S

    def tick(self, now: float) -> tuple[str, ...]:
        """Time goes by; gives jobs that nobody came back for: the scheduler is to be told that they are over."""
        lost = tuple(name for name, job in self._jobs.items() if not job.is_here and job.until <= now)
        for name in lost:
            self.end(name, now)
        for name in [name for name, until in self._used.items() if until <= now]:
            del self._used[name]
        return lost

    def heartbeat(self, job_key: str, certificate: str, toolchains: Collection[str]) -> Heartbeat:
        """What the scheduler is told; job_key and certificate as messages.py says."""
        return Heartbeat(
            self._nonce, self.cores, self.slots, job_key, certificate, self.running, tuple(toolchains), draining=self.is_draining
        )  # fmt: skip
