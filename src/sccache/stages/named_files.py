"""The content of files that a request names.

Owns: their digests.  Must not know: what they are for.
"""

import os
from collections.abc import Sequence

from sccache.model import CompileRequest
from sccache.stages.bench import Bench


def contents(names: Sequence[str], request: CompileRequest, bench: Bench) -> tuple[tuple[str, bytes], ...] | None:
    """Absolute paths with their content's digest; None where one cannot be read."""
    paths = [os.path.join(request.cwd, name) for name in names]
    found = bench.files.facts_many(paths)
    known = tuple((path, facts.digest) for path, facts in zip(paths, found, strict=True) if facts is not None)
    return known if len(known) == len(paths) else None


def extra_files(request: CompileRequest, bench: Bench) -> tuple[tuple[str, bytes], ...] | None:
    """The same of the files that SCCACHE_EXTRAFILES names."""
    return contents([name for name in request.env.get("SCCACHE_EXTRAFILES", "").split(":") if name], request, bench)
