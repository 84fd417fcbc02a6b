"""An install without native parts says so, once."""

import os
import uuid

from sccache.build_note import due_note
from sccache.protocol.address import runtime_dir


def test_once():
    """The second command of the same build is silent."""
    build = f"test-{uuid.uuid4().hex}"
    try:
        assert due_note({}, "no compiler", build) == "no compiler"
        assert due_note({}, "no compiler", build) == ""
    finally:
        os.unlink(f"{runtime_dir({})}/told-{build}")


def test_nothing_to_say():
    """A complete install is silent, and leaves no trace."""
    assert due_note({}, "", "complete") == ""
    assert not os.path.exists(f"{runtime_dir({})}/told-complete")
