"""What a worker counts, and how it refuses.

Owns: the table of metrics, reasons for which requests are refused.  Must not know: requests.
"""

from sccache.dist.metrics import SECONDS, Family

REASONS = (
    "no_token", "bad_token", "replayed", "another_toolchain", "bad_body", "slow", "too_large", "version", "bad_toolchain", "busy",
    "draining", "no_space", "no_such_path", "broken",
)  # fmt: skip
REFUSED = "sccache_worker_requests_refused_total"
JOBS, MISSES, DURATION = "sccache_worker_jobs_total", "sccache_worker_missing_total", "sccache_worker_job_seconds"
UPLOADED = "sccache_worker_toolchains_received_total"
RUNNING, TOOLCHAINS, SLOTS = "sccache_worker_jobs", "sccache_worker_toolchains", "sccache_worker_slots"
FAMILIES = (
    Family(RUNNING, "Jobs that it has."),
    Family(SLOTS, "Jobs that it runs at a time."),
    Family(TOOLCHAINS, "Toolchains that it has."),
    Family(JOBS, "Jobs that came to an end, by how.", ("outcome",), expected=(("success",), ("failure",), ("not_run",), ("gone",))),
    Family(MISSES, "Jobs that were answered with what was missing."),
    Family(UPLOADED, "Toolchains that were uploaded."),
    Family(DURATION, "How long commands took.", bounds=SECONDS),
    Family(REFUSED, "Requests that were refused.", ("reason",), expected=tuple((reason,) for reason in REASONS)),
)


class RefusedError(Exception):
    """The request is answered with a status and a sentence."""

    def __init__(self, status: int, reason: str, message: str, challenge: str = "") -> None:
        """`reason` is what it is counted as."""
        super().__init__(message)
        self.status, self.reason, self.challenge = status, reason, challenge
