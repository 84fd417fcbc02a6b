"""Backends over the opendal library: what S3, GCS, Azure Blob, OSS and COS have in common.

Owns: the operator, reading and writing through it, folders below the prefix, leaving Python in an orderly way.
Must not know: any service's settings.

Measured (a server in Python on loopback): a read or a write of 20 kB costs 0.14 ms of CPU, 0.2 ms in all.  A write sends the
caller's bytes as they lie in memory.  A read of 100 MB is in the library and in Python for the moment of a copy (196 MB at the
peak), which takes the lock of the interpreter for 50 ms.  The library's files (`open`) need no copy, but requests after
cancelled ones hung there now and then: they are not used.

The library is Rust with threads of its own:
* One HTTP client is shared by all operators of the process; it closes connections that were idle for 90 s.
* Cancelling the task that waits drops the Rust future and with it the request; a connection in use is closed, not pooled.
  What the service has received by then it may still do: a cancelled write may have written.
* Proxies come from the process's HTTP_PROXY, HTTPS_PROXY and NO_PROXY, trusted certificates from SSL_CERT_FILE.
* It sends no User-Agent and cannot be told to (0.47).
"""

import asyncio
import atexit
import functools
import importlib
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sccache.errors import StorageError, Trouble
from sccache.storage.opendal_errors import Failure, is_absent, storage_error, take_apart

if TYPE_CHECKING:
    import opendal

SETTLE_S = 1.0
SETTLE_LOOK_S = 0.005


class OpendalBackend:
    """One bucket.  A subclass sets the class's attributes and gives the operator's options, or overrides `_options`."""

    type_name: ClassVar[str] = ""
    """As locations have it."""
    service: ClassVar[str] = ""
    """The library's name for it."""
    wrong_place_phrases: ClassVar[tuple[str, ...]] = ()
    """Texts of an answer which say that the bucket does not exist, for services that have no code for it."""

    def __init__(self, name: str, key_prefix: str, options: Mapping[str, str] | None = None) -> None:
        """`name` is the bucket or container, `options` are the library's, which may hold secrets and are never shown."""
        self._name = name
        self._root = normal_root(key_prefix)
        self._fixed = dict(options or {})
        self._operator: opendal.AsyncOperator | None = None
        self._opening = asyncio.Lock()

    async def read(self, name: str) -> bytes | None:
        """One GET.  The body has the length that was announced, or StorageError says that it was cut off."""
        operator = await self._open()
        try:
            return await operator.read(name)
        except Exception as error:  # noqa: BLE001 -- the library's exceptions have no common base
            failure = take_apart(error)
            if is_absent(failure, self.wrong_place_phrases):
                return None
            raise self._error(failure) from None

    async def write(self, name: str, blob: bytes) -> None:
        """One PUT, of `blob` as it lies in memory."""
        operator = await self._open()
        try:
            await operator.write(name, blob)
        except Exception as error:  # noqa: BLE001 -- as above
            failure = take_apart(error)
            if failure.kind == "AlreadyExists":
                return
            raise self._error(failure) from None

    async def aclose(self) -> None:
        """Let the operator go; idle connections are the library's."""
        self._operator = None

    def location(self) -> str:
        """Reference 8.6."""
        return f"{self.type_name}, name: {self._name}, prefix: {self._root}"

    async def _options(self) -> Mapping[str, str]:
        """The library's options, `root` apart; asked whenever an operator is made."""
        return self._fixed

    def _error(self, failure: Failure) -> StorageError:
        """Of a failure that is no miss; to be overridden where the service's answer says more."""
        return storage_error(failure, self.wrong_place_phrases)

    async def _open(self) -> "opendal.AsyncOperator":
        """The operator, made at first use and after `_operator` was set to None."""
        async with self._opening:
            if self._operator is None:
                options = await self._options()
                library = await asyncio.to_thread(_library)
                try:
                    self._operator = library.AsyncOperator(self.service, **{**options, "root": self._root})
                except Exception as error:  # noqa: BLE001 -- as above
                    # Its text may hold the options: connection strings, for one.
                    raise StorageError(f"the settings cannot be used ({type(error).__name__})", Trouble.ERROR) from None
            return self._operator


def normal_root(key_prefix: str) -> str:
    """`/` for no prefix, else `/a/b/` (reference 9.1): `foo`, `/foo` and `/foo/` are one."""
    path = "/".join(part for part in key_prefix.split("/") if part)
    return f"/{path}/" if path else "/"


@functools.cache
def _library() -> Any:
    """The module, imported at first use; and the library's threads have left Python before Python ends."""
    module = importlib.import_module("opendal")
    atexit.register(_settle)
    return module


def _settle() -> None:
    """Wait until no thread of the library is inside Python; at most a second.

    A thread hands a result over and needs the interpreter's lock once more to leave.  If the interpreter ends in that
    moment, the thread is ended inside Rust code, which aborts the process (PyO3/pyo3-async-runtimes, issue 40).
    """
    deadline = time.monotonic() + SETTLE_S
    quiet_looks = 0
    while quiet_looks < 2 and time.monotonic() < deadline:
        ours = {thread.ident for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}  # noqa: SLF001
        quiet_looks = quiet_looks + 1 if set(sys._current_frames()) <= ours else 0  # noqa: SLF001 -- the only view of foreign threads
        time.sleep(SETTLE_LOOK_S)
