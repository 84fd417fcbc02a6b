"""How much of a disk may be taken by what is being received: whoever sends, and however many send at the same time.

Owns: that number.  Must not know: files, who sends.
"""

import errno
import threading


class Room:
    """Some bytes, for several threads."""

    def __init__(self, most_bytes: int) -> None:
        """All of it is free."""
        self._lock = threading.Lock()
        self._left = most_bytes

    @property
    def left_bytes(self) -> int:
        """What is free."""
        return self._left

    def take(self, count: int) -> None:
        """So much is used from now on; OSError as from a full disk, and then it is not."""
        with self._lock:
            if count > self._left:
                raise OSError(errno.ENOSPC, "too much is being received at the same time")
            self._left -= count

    def give_back(self, count: int) -> None:
        """So much is used no more."""
        with self._lock:
            self._left += count
