"""zstd for many threads: one compressor or decompressor object per thread.

Owns: the thread-local zstd objects.  Must not know: entries, storage, settings.
A zstd context must never be used by two threads at once, and making one costs 14 us, more than decompressing a
10 KB object (measured); so each thread keeps its own.
"""

import threading

from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError, frame_content_size

_CONTEXTS = threading.local()


def compress(data: bytes | memoryview, level: int) -> bytes:
    """One zstd frame that records its content's size; any integer is a level (zstd clamps it)."""
    compressors: dict[int, ZstdCompressor]
    try:
        compressors = _CONTEXTS.compressors
    except AttributeError:
        compressors = _CONTEXTS.compressors = {}
    compressor = compressors.get(level)
    if compressor is None:
        compressor = compressors[level] = ZstdCompressor(level=_possible(level))
    return compressor.compress(data)


def decompress(frame: bytes | memoryview, size_bytes: int) -> bytes:
    """The `size_bytes` bytes in `frame`; ValueError if it is anything but one frame of exactly that size."""
    decompressor: ZstdDecompressor
    try:
        decompressor = _CONTEXTS.decompressor
    except AttributeError:
        decompressor = _CONTEXTS.decompressor = ZstdDecompressor()
    try:
        if frame_content_size(frame) != size_bytes:  # a hostile frame could claim more than the machine has
            msg = "a zstd frame of another size than recorded"
            raise ValueError(msg)
        data = decompressor.decompress(frame, allow_extra_data=False)
    except ZstdError as e:
        msg = f"not a zstd frame: {e}"
        raise ValueError(msg) from e
    return data


def _possible(level: int) -> int:
    """The level that zstd would use for `level`: python-zstandard refuses what zstd itself clamps."""
    return max(-131072, min(22, level))
