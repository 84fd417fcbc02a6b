"""One server that a backend can be tested against: what the contract suite and the end-to-end compiles need to know of it."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

Address = tuple[str, int]
"""Host and TCP port."""


class Place(Protocol):
    """A running server with an empty store of its own.  Made by a context manager that stops it and deletes its data."""

    backend: ClassVar[str]
    """Name as in the configuration: `redis`, `s3` …"""
    max_object_bytes: ClassVar[int]
    """Largest object that the server is set up to take; 100 MB and a little where it can."""
    is_immutable: ClassVar[bool]
    """Whether a second write under a name leaves the first object (GitHub Actions)."""
    address: Address
    """Where it listens, for a proxy in front of it."""

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        """All variables (SCCACHE_*, credentials) that configure a storage here; through `address` (a proxy) if given."""
        ...

    def wrong_environment(self) -> Mapping[str, str] | None:
        """The same with credentials that the server must refuse; None where it asks for none."""
        ...

    def stop(self) -> None:
        """Take the server away, as a crash or an outage would; connections break."""
        ...

    def start(self) -> None:
        """Bring it back on the same address, its data kept or lost."""
        ...
