"""BLAKE3 digests."""

import io

from sccache.hashing.digest import THREADS_FROM_BYTES, digest, digest_stream, hex_digest


def test_known_values() -> None:
    """The digests of BLAKE3's published empty input, and of the reference's check vector."""
    assert hex_digest(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert hex_digest(b"contents").startswith("9a93003c")


def test_all_ways_agree() -> None:
    """One digest, whether hashed in one piece, by several threads or from a stream."""
    data = bytes(range(256)) * (THREADS_FROM_BYTES // 256 + 1)
    assert digest(data) == digest_stream(io.BytesIO(data)) == digest(memoryview(data))
