"""Limits that the system puts on this process.

Owns: raising them.  Must not know: what for.
"""

import contextlib
import resource


def raise_limit(which: int, most: int = resource.RLIM_INFINITY) -> None:
    """Raise the soft limit (setrlimit(2)) to the hard one, but not above `most`; it is never lowered."""
    soft, hard = resource.getrlimit(which)
    finite = [number for number in (hard, most) if number != resource.RLIM_INFINITY]
    wanted = min(finite, default=resource.RLIM_INFINITY)
    if soft == resource.RLIM_INFINITY or (finite and soft >= wanted):
        return
    with contextlib.suppress(ValueError, OSError):  # a container may forbid it: then it stays
        resource.setrlimit(which, (wanted, hard))
