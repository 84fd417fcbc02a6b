"""Files of one compile that have the same content: compilers may take two of them for one, and then do not read the second.

    gcc     by `#pragma once` and `#import`: the content, and the modification time in whole seconds    libcpp/files.cc, has_unique_contents
    clang   device and inode, as of hard links                                                          FileManager, UniqueID

So where there are twins, times and links are inputs, which no digest of a content tells.  The second is then in no list of inputs: names
lead to it all the same.

Owns: when twins make a difference.  Must not know: what is done about it.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from sccache.hashing.files import FileMemory
from sccache.model import FileFacts

_ONCE = re.compile(rb"\bonce\b|(?:#|%:|\?\?=)\s*import\b")
"""In any file: a header may be said to be read once by a macro from another, or by who includes it."""


def may_be_taken_for_one(inputs: Mapping[str, FileFacts], passed_over: Iterable[str], files: FileMemory) -> bool:
    """Whether more than contents decides if some file is read.  Blocking.

    `passed_over`: files that the inputs name and that are none.  Only those as long as an input are read here.
    """
    alike: defaultdict[bytes, list[str]] = defaultdict(list)
    for path, facts in inputs.items():
        alike[facts.digest].append(path)
    lengths = {facts.size for facts in inputs.values()}
    candidates = [path for path in passed_over if _length(path) in lengths]
    for path, found in zip(candidates, files.facts_many(candidates), strict=True):
        if found is not None and found.digest in alike:
            alike[found.digest].append(path)
    groups = [names for paths in alike.values() if len(paths) > 1 and len(names := {os.path.normpath(path) for path in paths}) > 1]
    return any(map(_are_linked, groups)) or (bool(groups) and any(map(_mentions_once, inputs)))


def _length(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # it is gone, and matters no more
        return -1


def _are_linked(paths: Iterable[str]) -> bool:
    """Whether two of these files are hard links to one; if that cannot be told, they may be."""
    try:
        found = [os.stat(path) for path in {os.path.realpath(path) for path in paths}]
    except OSError:
        return True
    return len({(status.st_dev, status.st_ino) for status in found}) < len(found)


def _mentions_once(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return _ONCE.search(file.read()) is not None
    except OSError:
        return True
