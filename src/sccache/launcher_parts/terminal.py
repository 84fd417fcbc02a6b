"""A terminal of our own in place of the caller's, to keep what a compiler says to a terminal.

The compiler asks its stderr whether and how wide it is, and colours, links and cuts its messages accordingly.

Owns: both ends of that terminal.  Must not know: messages, what is run.  Twin of native/launcher_terminal.c.
"""

from __future__ import annotations

import os

_CHUNK = 4096  # what the kernel holds at most


def columns() -> int:
    """Columns of the terminal that a compiler would ask (gcc asks stdin, others stderr); 0: unknown."""
    for fd in (0, 2):
        try:
            return os.get_terminal_size(fd).columns if os.isatty(2) else 0
        except (OSError, ValueError):
            continue
    return 0


class Terminal:
    """Looks like the caller's; OSError where there are none to be had."""

    def __init__(self) -> None:
        import fcntl  # here: few compiles run on a terminal, and Windows has neither
        import termios

        self.ours, self.theirs = os.openpty()
        try:
            settings = termios.tcgetattr(self.theirs)
            settings[1] &= ~termios.OPOST  # a line ends as the compiler ended it
            termios.tcsetattr(self.theirs, termios.TCSANOW, settings)
            os.set_blocking(self.ours, False)
        except (OSError, termios.error) as e:
            self.close()
            raise OSError(str(e)) from e
        try:
            fcntl.ioctl(self.ours, termios.TIOCSWINSZ, fcntl.ioctl(2, termios.TIOCGWINSZ, bytes(8)))
        except OSError:
            return  # the caller's has no size

    def drain(self, file: int) -> bool:
        """Move what was written there into a file; False when nobody can write there any more."""
        while True:
            try:
                chunk = os.read(self.ours, _CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not chunk:
                return False
            os.write(file, chunk)

    def close_theirs(self) -> None:
        """The child has its own copy."""
        if self.theirs >= 0:
            os.close(self.theirs)
        self.theirs = -1

    def close(self) -> None:
        """Give both ends up."""
        self.close_theirs()
        os.close(self.ours)
