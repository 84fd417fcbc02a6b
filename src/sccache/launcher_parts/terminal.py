"""What a child's stderr goes through on its way to us: a terminal of our own in place of the caller's, or a pipe.

The compiler asks its stderr whether and how wide it is, and colours, links and cuts its messages accordingly.

Owns: both ends of it.  Must not know: messages, what is run.  Twin of native/launcher_terminal.c.
"""

from __future__ import annotations

import os

_CHUNK = 4096  # what a terminal holds at most


def columns() -> int:
    """Columns of the terminal that a compiler would ask (gcc asks stdin, others stderr); 0: unknown."""
    for fd in (0, 2):
        try:
            return os.get_terminal_size(fd).columns if os.isatty(2) else 0
        except (OSError, ValueError):
            continue
    return 0


class Channel:
    """Both ends of what a child's stderr goes through; OSError where there are none to be had."""

    def __init__(self, ours: int, theirs: int) -> None:
        self.ours = ours
        self.theirs = theirs
        os.set_blocking(ours, False)  # not theirs: a compiler does not expect that

    def read(self) -> bytes | None:
        """What was written there, a part of it; None where there is nothing yet, empty where nothing can come any more."""
        try:
            return os.read(self.ours, _CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def close_theirs(self) -> None:
        """The child has its own copy."""
        if self.theirs >= 0:
            os.close(self.theirs)
        self.theirs = -1

    def close(self) -> None:
        """Give both ends up."""
        self.close_theirs()
        os.close(self.ours)


class Terminal(Channel):
    """Looks like the caller's."""

    def __init__(self) -> None:
        import fcntl  # here: few compiles run on a terminal, and Windows has neither
        import termios

        super().__init__(*os.openpty())
        try:
            settings = termios.tcgetattr(self.theirs)
            settings[1] &= ~termios.OPOST  # a line ends as the compiler ended it
            termios.tcsetattr(self.theirs, termios.TCSANOW, settings)
        except (OSError, termios.error) as e:
            self.close()
            raise OSError(str(e)) from e
        try:
            fcntl.ioctl(self.ours, termios.TIOCSWINSZ, fcntl.ioctl(2, termios.TIOCGWINSZ, bytes(8)))
        except OSError:
            return  # the caller's has no size


class Stream(Channel):
    """A pipe, for what is to be passed on while it is written."""

    def __init__(self) -> None:
        super().__init__(*os.pipe())
