"""What `--dist-auth` and `--dist-status` print.

Owns: which words go to standard output and which to standard error.  Must not know: how a login or a question goes.
"""

import sys

from sccache.config.schema import Config
from sccache.dist import farm_status, login


def show_status(config: Config) -> None:
    """One line of JSON; why there is no answer, on standard error."""
    told = farm_status.ask(config)
    _say(told.line())
    if told.reason:
        _note(told.reason)


def log_in(config: Config) -> None:
    """Have the user log in; SccacheError if that fails."""
    login.login(config, _say, _note)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # an address that the user is to open is to be seen before anything goes on


def _note(sentence: str) -> None:
    sys.stderr.write(f"sccache: {sentence}\n")
