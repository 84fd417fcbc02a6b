"""What is where: the compiler on PATH, the Python beside us, the environment as bytes.

Owns: looking things up for the launcher.  Must not know: the daemon.  Twin of native/launcher_find.c.
"""

from __future__ import annotations

import os
import stat
import sys
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DEFAULT_PATH = b"/bin:/usr/bin"
_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")


def environment() -> dict[bytes, bytes]:
    """Give the environment as bytes, on every system, and as it was before Python set LC_CTYPE (PEP 538): compilers heed that."""
    if os.name == "nt":
        return {os.fsencode(key): os.fsencode(value) for key, value in os.environ.items()}
    env = dict(os.environb)
    if env.get(b"LC_CTYPE") in _COERCED:
        _undo_coercion(env)
    return env


def _undo_coercion(env: dict[bytes, bytes]) -> None:
    try:
        with open("/proc/self/environ", "rb") as file:  # what the kernel handed over
            given = [entry for entry in file.read().split(b"\0") if entry.startswith(b"LC_CTYPE=")]
    except OSError:
        return
    del env[b"LC_CTYPE"]
    if given:
        env[b"LC_CTYPE"] = given[0].partition(b"=")[2]


def changed_environment(changes: Sequence[bytes]) -> dict[bytes, bytes]:
    """Apply `K=V` (set) and `K` (remove)."""
    env = environment()
    for change in changes:
        key, equals, value = change.partition(b"=")
        if equals:
            env[key] = value
        else:
            env.pop(key, None)
    return env


def python_environment() -> dict[bytes, bytes]:
    """Leave out what the build means for a Python of its own: PYTHONPATH, PYTHONHOME, PYTHONWARNINGS."""
    return {key: value for key, value in environment().items() if not key.startswith(b"PYTHON")}


def find(name: bytes) -> bytes | None:
    """Find `name` as execvp would, but never ourselves: a masquerading link stands earlier on PATH than the compiler."""
    if os.path.dirname(name):
        return name
    if not name:
        return None
    own = _stat(_own_path())
    for path, facts in _candidates(name):
        if own is None or not os.path.samestat(facts, own):
            return path
    return None


def leads_to_us(name: bytes) -> bool:
    """Tell whether PATH leads to a link to ourselves first."""
    own = _stat(_own_path())
    if os.path.dirname(name) or own is None:
        return False
    return any(os.path.samestat(facts, own) for _, facts in islice(_candidates(name), 1))


def _candidates(name: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    for directory in environment().get(b"PATH", _DEFAULT_PATH).split(os.fsencode(os.pathsep)):
        path = os.path.join(directory or b".", name)
        if os.name == "nt" and not path.lower().endswith(b".exe"):
            path += b".exe"
        facts = _stat(path)
        if facts is None or not stat.S_ISREG(facts.st_mode) or not os.access(path, os.X_OK):
            continue
        yield path, facts


def python_beside_us() -> bytes | None:
    """Find the program that runs our command line, as the wheel installs it beside the launcher."""
    path = os.path.join(os.path.dirname(os.path.realpath(_own_path())), b"sccache-python")
    return path if os.access(path, os.X_OK) else find(b"sccache-python")


def _own_path() -> bytes:
    called = os.fsencode(sys.argv[0])
    return called if os.path.dirname(called) else os.path.join(b".", called)


def _stat(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None
