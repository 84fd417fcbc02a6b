"""The content of files that a request names.

Owns: their digests.  Must not know: what they are for.
"""

import os
from collections.abc import Sequence

from sccache.hashing.keys import KeyBuilder
from sccache.model import CompileRequest
from sccache.stages.bench import Bench


def contents(names: Sequence[str], request: CompileRequest, bench: Bench) -> tuple[tuple[str, bytes], ...] | None:
    """Absolute paths with their content's digest; None where one cannot be read."""
    paths = [os.path.join(request.cwd, name) for name in names]
    found = bench.files.facts_many(paths)
    known = tuple((path, facts.digest) for path, facts in zip(paths, found, strict=True) if facts is not None)
    return known if len(known) == len(paths) else None


def extra_files(request: CompileRequest, bench: Bench) -> bytes | None:
    """Digest of the files that SCCACHE_EXTRAFILES names; None where one cannot be read."""
    names = [name for name in request.env.get("SCCACHE_EXTRAFILES", "").split(":") if name]
    if not names:
        return b""
    found = contents(names, request, bench)
    if found is None:
        return None
    key = KeyBuilder("extra files")
    for _, content in found:
        key.add("file", content)
    return bytes.fromhex(key.key())
