"""Questions of the command line survive their JSON; nonsense is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sccache.errors import ProtocolError
from sccache.protocol import control


@pytest.mark.parametrize("request_", [control.GetStats(advanced=True), control.ZeroStats(), control.Shutdown(), control.Ping()])
def test_requests_survive(request_):
    """What is asked is what is heard."""
    assert control.decode_request(control.encode_request(request_)) == request_


@given(st.binary(max_size=100))
def test_random_bytes_never_crash(payload):
    """Only ProtocolError."""
    for decode in (control.decode_request, control.decode_answer):
        with pytest.raises(ProtocolError):
            decode(payload)


@pytest.mark.parametrize("answer", [control.Stats(Raw(b'{"a":[1]}')), control.Pong(1, "2"), control.Failed("sentence")])
def test_answers_survive(answer):
    """What is answered is what is read."""
    payload = control.encode_answer(answer)
    assert control.encode_answer(control.decode_answer(payload)) == payload


def test_newer_fields_are_ignored():
    """An older command line reads a newer daemon's answer."""
    assert control.decode_answer(b'{"type":"Failed","message":"m","more":1}') == control.Failed("m")


def test_deep_nesting_is_refused():
    """No recursion limit is met by accident."""
    with pytest.raises(ProtocolError):
        control.decode_request(b'{"type":"GetStats","x":' + b"[" * 100_000)
