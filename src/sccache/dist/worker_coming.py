"""Contents that are on their way to a worker: forty jobs of one build, begun together, need not each bring the same headers.

The first that lacks a content is told to bring it; who comes meanwhile waits for that a little, and only then is told the same.  So who
says that he brings something, and does not, costs others a little time, and nothing else: what counts is what is there.

Owns: which job brings what.  Must not know: clocks, what is there, who sends.  Pure.
"""

from collections.abc import Iterable


class Coming:
    """What which job brings."""

    def __init__(self) -> None:
        """Nothing is on its way."""
        self._by: dict[bytes, str] = {}
        self._of: dict[str, list[bytes]] = {}

    def expect(self, job: str, digests: Iterable[bytes]) -> None:
        """From now on this job brings these, whoever did before."""
        wanted = self._of.setdefault(job, [])
        for digest in digests:
            self._by[digest] = job
            wanted.append(digest)

    def over(self, job: str) -> None:
        """It has brought what it was to bring, or never will."""
        for digest in self._of.pop(job, ()):
            if self._by.get(digest) == job:
                del self._by[digest]

    def from_nobody(self, job: str, digests: Iterable[bytes]) -> tuple[bytes, ...]:
        """Those of them that no other job brings."""
        return tuple(digest for digest in digests if self._by.get(digest, job) == job)
