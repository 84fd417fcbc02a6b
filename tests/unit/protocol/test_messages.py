"""Every message survives its bytes; every other byte string is refused with ProtocolError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.errors import ProtocolError
from sccache.protocol import messages as m
from sccache.protocol.framing import HEADER_SIZE

data = st.binary(max_size=60)
word = st.binary(max_size=20).map(lambda text: text.replace(b"\0", b"_"))
words = st.lists(word, max_size=5)
u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
i32 = st.integers(-(1 << 31), (1 << 31) - 1)

compiles = st.builds(
    m.CompileMessage, data, data, word, word, words.filter(bool).map(m.join_list), words.map(m.join_list),
    terminals=u16, umask=u32, mount_namespace=u64,
)  # fmt: skip
rans = st.builds(
    lambda status, flags, ns, out, err: m.Ran(status, flags, ns, b"" if flags & 1 else out, b"" if flags & 2 else err),
    i32, st.integers(0, 3), u64, data, data,
)  # fmt: skip
runs = st.builds(m.Run, u16, word, words.filter(bool), words, words)
requests = st.one_of(
    compiles.map(lambda value: (value, m.encode_compile(value))),
    rans.map(lambda value: (value, m.encode_ran(value))),
    st.builds(m.Control, data, data, data).map(lambda value: (value, m.encode_control(value))),
)
replies = st.one_of(
    runs.map(lambda value: (value, m.encode_run(value))),
    st.builds(lambda code, out, err: (m.Finish(code, False, out, err), m.encode_finish(code, out, err)), i32, data, data),
    st.builds(lambda *parts: (m.Exec(*parts), m.encode_exec(*parts)), word, words, words),
    data.map(lambda payload: (m.ControlReply(payload), m.encode_control_reply(payload))),
    st.just((m.Finish(0, True, b"", b""), m.encode_replay())),
    st.just((m.KeepAlive(), m.KEEP_ALIVE_FRAME)),
    st.just((m.Retire(), m.RETIRE_FRAME)),
)


def body_of(frame):
    assert int.from_bytes(frame[:HEADER_SIZE], "big") == len(frame) - HEADER_SIZE
    return frame[HEADER_SIZE:]


@given(requests)
def test_requests_survive(pair):
    """What launcher and command line say is what the daemon hears."""
    message, frame = pair
    assert m.parse_request(body_of(frame)) == message


@given(replies)
def test_replies_survive(pair):
    """What the daemon says is what the launcher hears."""
    message, frame = pair
    assert m.parse_reply(body_of(frame)) == message


@given(st.one_of(requests, replies), st.data())
def test_damaged_messages_are_read_or_refused(pair, draw):
    """Cut, lengthened or changed: a message or ProtocolError, nothing else."""
    body = bytearray(body_of(pair[1]))
    how = draw.draw(st.sampled_from(["cut", "longer", "changed"]))
    if how == "cut":
        del body[draw.draw(st.integers(0, len(body) - 1)) :]
    elif how == "longer":
        body += draw.draw(st.binary(min_size=1, max_size=9))
    else:
        body[draw.draw(st.integers(0, len(body) - 1))] = draw.draw(st.integers(0, 255))
    for parse in (m.parse_request, m.parse_reply):
        try:
            parse(bytes(body))
        except ProtocolError:
            assert True
        else:
            assert how == "changed" or body[0] not in (m.RAN, m.RUN, m.FINISH, m.KEEP_ALIVE, m.RETIRE)


@given(st.sampled_from([m.COMPILE, m.RAN, m.CONTROL, m.FINISH, m.EXEC, m.RUN, m.CONTROL_REPLY, 0x7F]), st.binary(max_size=120))
def test_random_bytes_never_crash(kind, rest):
    """Only ProtocolError, whatever comes."""
    for parse in (m.parse_request, m.parse_reply):
        for body in (bytes([kind]) + rest, rest, bytes([kind, 0, 1]) + rest):
            try:
                parse(body)
            except ProtocolError:
                assert True


@given(words)
def test_lists_survive(strings):
    """Also empty strings and no strings at all."""
    assert m.split_list(m.join_list(strings)) == strings


def test_nul_cannot_be_sent():
    """A string that would fall into two is refused where it is made."""
    with pytest.raises(ProtocolError):
        m.encode_exec(argv=[b"a\0b"])


@pytest.mark.parametrize("kind", [m.COMPILE, m.CONTROL])
def test_other_versions_are_recognised(kind):
    """Type and protocol version stand first in every version: peers part in peace, whatever follows."""
    assert m.parse_request(bytes([kind, 0, 9]) + b"anything") == m.OtherVersion(9)


def test_the_second_version_is_fixed():
    """Released launchers and daemons meet: these bytes may only change together with PROTOCOL_VERSION."""
    compile_ = m.CompileMessage(b"1+b", b"s", b"/e", b"/c", b"gcc\0-c\0", b"A=1\0", terminals=5, umask=0o22, mount_namespace=7)
    assert (
        m.encode_compile(compile_).hex()
        == ("0000003c0100020005000000120000000000000007000000030000000100000002000000020000000700000004") + b"1+bs/e/cgcc\0-c\0A=1\0".hex()
    )
    assert m.encode_ran(m.Ran(-9, 1, 5, b"", b"e")).hex() == "0000001a02fffffff70000000100000000000000050000000000000001" + b"e".hex()
    assert m.encode_finish(-1, b"o", b"e").hex() == "0000001081ffffffff00000000016f0000000165"
    assert m.encode_exec(b"x", [b"a"], [b"K"]).hex() == "0000001282000000017800000002610000000002" + "4b00"
    assert m.RETIRE_FRAME.hex() == "0000000185"


@pytest.mark.parametrize(
    "body",
    [
        m.encode_ran(m.Ran(0, 0, 0, b"x", b""))[4:9] + b"\0\0\0\1" + m.encode_ran(m.Ran(0, 0, 0, b"x", b""))[13:],
        b"\x81\0\0\0\0\2" + bytes(8),
        b"\x81\0\0\0\0\1\0\0\0\1x\0\0\0\0",
        b"\x83\0\0" + bytes(16),
        b"",
    ],
    ids=["stream twice", "replay 2", "replay and stream", "no argv", "empty"],
)
def test_contradictions_are_refused(body):
    """A message that says two things says nothing."""
    with pytest.raises(ProtocolError):
        m.parse_reply(body)
    with pytest.raises(ProtocolError):
        m.parse_request(body)
