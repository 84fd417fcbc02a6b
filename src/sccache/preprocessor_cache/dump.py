"""The manifests of a disk cache as text, for --debug-preprocessor-cache.

Owns: how a manifest is shown.  Must not know: its format.
"""

import os
import time
from collections.abc import Iterator

from sccache.errors import DamagedError, StorageError
from sccache.hashing.digest import digest
from sccache.preprocessor_cache.manifest import Manifest, Variant
from sccache.preprocessor_cache.manifest_format import decode

RULE = "=========================\n"
FOLDER = "preprocessor"
BASE_DIRECTORIES = tuple(f"<base directory {number}>" for number in range(256))
"""Stands for what the manifest leaves open: the base directories of whoever looks it up."""
CHECKSUM = 32  # what else is kept beside manifests begins with the digest of its rest (stages/toolchains.py)
DIGEST_SHOWN = 16  # enough to tell contents apart


def describe(cache_dir: str) -> Iterator[str]:
    """All manifests, in order of their names; raises StorageError if there are none at all."""
    folder = os.path.join(cache_dir, FOLDER)
    if not os.path.isdir(folder):
        raise StorageError(f"nothing is recorded: {folder} does not exist")
    files = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]
    for path in sorted(files, key=os.path.basename):
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError:
            continue  # evicted since it was listed
        yield f"{RULE}Showing preprocessor entry file {path}\n{_described(content)}{RULE}"


def _described(content: bytes) -> str:
    try:
        manifest = decode(content, BASE_DIRECTORIES)
    except DamagedError as e:
        if content and digest(content[CHECKSUM:]) == content[:CHECKSUM]:
            return "facts about a compiler, which it was asked for once\n"
        return f"cannot be read: {e}\n"
    return _manifest(manifest)


def _manifest(manifest: Manifest) -> str:
    parts = [f"{len(manifest.variants)} variant(s), newest first\n"]
    parts += [_variant(number, variant) for number, variant in enumerate(manifest.variants)]
    return "".join(parts)


def _variant(number: int, variant: Variant) -> str:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(variant.created))
    lines = [f"variant {number}: recorded {created}, result {variant.result_key}"]
    if variant.bound_to:
        lines.append(f"  only for base directory {os.fsdecode(variant.bound_to)}")
    lines.append(f"  {len(variant.inputs)} file(s) that must have this content:")
    lines += [f"    {known.digest.hex()[:DIGEST_SHOWN]} {known.size:>9} {known.path}" for known in variant.inputs]
    lines.append(f"  {sum(map(len, variant.absent.values()))} name(s) that must not be files:")
    lines += [f"    {folder}: {', '.join(names)}" for folder, names in variant.absent.items()]
    return "".join(f"{line}\n" for line in lines)
