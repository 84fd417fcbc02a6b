"""What looking up, restoring and recording need to know of a compile, whatever its language.

Owns: that interface.  Must not know: compilers, storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sccache.config.schema import PreprocessorConfig
from sccache.entry import Entry
from sccache.hashing.files import FileMemory
from sccache.model import CompileRequest, Diagnostics
from sccache.preprocessor_cache.manifest import Variant


class Task(Protocol):
    """A compile that may be answered from the cache."""

    @property
    def request(self) -> CompileRequest:
        """What was asked for."""

    @property
    def label(self) -> str:
        """What it is called in the log: its main output."""

    @property
    def context(self) -> bytes:
        """Digest of what, besides the inputs, decides the wording of messages."""

    @property
    def home(self) -> tuple[str, ...]:
        """Directories whose position does not matter: manifests name what is below them by their number."""

    @property
    def preprocessor(self) -> PreprocessorConfig:
        """The settings of direct mode."""

    @property
    def is_transparent(self) -> bool:
        """Whether files alone tell what the compiler is; a script may choose another one each time."""

    def manifest_key(self) -> str:
        """Key of the manifest: direct mode's question."""

    def trail_key(self) -> str:
        """Key of what compiles in this directory use one after the other."""

    def checkouts(self) -> tuple[bytes, ...]:
        """Digests of the directories that results which may serve here can name."""

    def watched(self) -> tuple[tuple[str, bytes], ...]:
        """Files beside a variant's inputs that must be as they are for a remembered hit to stand."""

    def watched_absences(self) -> Mapping[str, Sequence[str]]:
        """Directory → names beside a variant's that must stay absent."""

    def statistics_names(self) -> tuple[str, str]:
        """The plain and the advanced name under which this compile is counted."""

    def is_direct(self) -> bool:
        """Whether direct mode may be used."""

    def differences(self, variant: Variant) -> list[str]:
        """In words: what of the variant that is no file's content does not hold for this request; empty where it applies."""

    def still_applies(self, variant: Variant, files: FileMemory) -> bool:
        """Whether what the disk tells beside contents (times, listings) is as recorded."""

    def is_watchable(self, variant: Variant) -> bool:
        """Whether watching files, and looking at its listings, is enough for the variant to go on applying to the same request."""

    def can_restore(self, entry: Entry) -> bool:
        """Whether the entry has all that this command line asks for."""

    def restore(self, entry: Entry) -> None:
        """Write the entry's files where this command line wants them; raises DamagedError, StorageError or OSError."""

    def told(self, diagnostics: Diagnostics) -> tuple[bytes, bytes]:
        """Stdout and stderr as this caller would have got them."""
