"""Manifests seen lately, in memory: with a remote storage alone, a known manifest costs no round trip.

Owns: how much is remembered.  Must not know: what is in a manifest.
"""

from collections import OrderedDict

from sccache.storage.writes import Put, Write

MOST_BYTES = 32 << 20


class Recent:
    """Blobs by key; those not used for longest go first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._blobs: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        """The blob, if it is remembered."""
        blob = self._blobs.get(key)
        if blob is not None:
            self._blobs.move_to_end(key)
        return blob

    def put(self, key: str, blob: bytes) -> None:
        """Remember it."""
        self.drop(key)
        self._blobs[key] = blob
        self._bytes += len(blob)
        while self._bytes > self._most_bytes:
            _, gone = self._blobs.popitem(last=False)
            self._bytes -= len(gone)

    def write(self, write: Write) -> None:
        """Remember what a write makes."""
        blob = write.blob if isinstance(write, Put) else write.change(self.get(write.key))
        if blob is not None:
            self.put(write.key, blob)

    def drop(self, key: str) -> None:
        """Forget it."""
        self._bytes -= len(self._blobs.pop(key, b""))
