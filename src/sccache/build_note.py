"""Say once that something native could not be built when this was installed.

Owns: when the note is due.  Must not know: which command is running.
"""

import os
from collections.abc import Mapping

from sccache._build import BUILD_ID, NOTE
from sccache.protocol import address, blocking


def due_note(env: Mapping[str, str], note: str = NOTE, build_id: str = BUILD_ID) -> str:
    """Give the sentence if this user has not seen it yet for this build, else nothing.

    The runtime directory remembers it: a note after every restart of the machine is as often as anybody wants it, and it needs
    no home directory to write to.
    """
    directory = address.runtime_dir(env)
    if not note or not blocking.make_private_dir(directory):
        return ""
    try:
        os.close(os.open(os.path.join(directory, f"told-{build_id}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return ""
    return note
