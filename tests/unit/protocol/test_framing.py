"""Frames come out as they went in, however the stream was cut; nonsense is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.errors import ProtocolError
from sccache.protocol.framing import HEADER_SIZE, MAX_FRAME, FrameBuffer, frame

bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@given(bodies, st.lists(st.integers(1, 50)))
def test_any_cut_gives_the_same_bodies(sent, cuts):
    """Boundaries of received pieces do not matter."""
    stream = b"".join(map(frame, sent))
    buffer = FrameBuffer()
    got = []
    for size in [*cuts, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        buffer.feed(piece)
        while (body := buffer.take()) is not None:
            got.append(body)
    assert got == sent
    assert len(buffer) == 0


@given(st.binary(min_size=1, max_size=40))
def test_missing_says_how_much_to_read(body):
    """Reading exactly what is missing gives exactly one body."""
    stream = frame(body)
    buffer = FrameBuffer()
    while missing := buffer.missing():
        assert buffer.take() is None
        buffer.feed(stream[:missing])
        stream = stream[missing:]
    assert buffer.take() == body
    assert stream == b""


@given(st.binary(max_size=200))
def test_random_bytes_never_crash(data):
    """Only ProtocolError, whatever comes."""
    buffer = FrameBuffer(max_frame=100)
    buffer.feed(data)
    try:
        while buffer.take() is not None:
            pass
    except ProtocolError:
        assert int.from_bytes(data[:HEADER_SIZE], "big") not in range(1, 101) or len(data) > HEADER_SIZE


@pytest.mark.parametrize("length", [0, MAX_FRAME + 1, 0xFFFFFFFF])
def test_impossible_lengths_are_refused_at_once(length):
    """Before anything is waited for or allocated."""
    buffer = FrameBuffer()
    buffer.feed(length.to_bytes(4, "big"))
    with pytest.raises(ProtocolError):
        buffer.take()
    with pytest.raises(ProtocolError):
        buffer.missing()


def test_empty_messages_are_not_sent():
    """A body has at least its type."""
    with pytest.raises(ProtocolError):
        frame(b"")
