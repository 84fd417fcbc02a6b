"""Say in words why a recorded variant does not apply: for the log, when somebody asks why a compile missed.

Owns: those sentences.  Must not know: whether anybody reads them.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice

from sccache.hashing.files import FileMemory
from sccache.preprocessor_cache.manifest import Manifest, Variant

MOST = 5  # the first tell the story; a new compiler version changes a thousand headers


def describe(
    manifest: Manifest, files: FileMemory, bound_to: Collection[bytes], differences: Callable[[Variant], Sequence[str]] = lambda _: ()
) -> list[str]:
    """What is other than the newest variant says; that is the one that the user expects to apply."""
    usable = [variant for variant in manifest.variants if variant.may_serve(bound_to)]
    if not usable:
        return ["all that is recorded holds for other base directories only"]
    found = [*differences(usable[0])][:MOST] or list(islice(_differences(usable[0], files), MOST))
    return found or ["a file is too new to be trusted, or changed back meanwhile"]


def _differences(variant: Variant, files: FileMemory) -> Iterator[str]:
    for known in variant.inputs:
        facts = files.facts(known.path)
        if facts is None:
            yield f"{known.path} cannot be read any more"
        elif facts.digest != known.digest:
            yield f"{known.path} has other content"
    for known in variant.optional:
        facts = files.facts(known.path)
        if facts is not None and facts.digest != known.digest:
            yield f"{known.path} has other content"
    for directory, names in variant.absent.items():
        for name in names:
            path = os.path.join(directory, name)
            if os.path.lexists(path[:-1]) if name.endswith("/") else os.path.isfile(path):
                yield f"{path.rstrip('/')} was not there"
