"""requests.py: what tells requests apart."""

import pytest

from sccache.config.memory import ConfigMemory
from sccache.daemon.requests import Requests
from sccache.protocol.messages import CompileMessage

PLAIN = {"PATH": "/bin", "HOME": "/h"}


def _message(env: dict[str, str], extra: bytes = b"") -> CompileMessage:
    blob = b"".join(f"{name}={value}\0".encode() for name, value in env.items()) + extra
    return CompileMessage(b"1", b"", b"", b"/w", b"gcc\0-c\0a.c\0", blob)


def _requests() -> Requests:
    return Requests(ConfigMemory({"HOME": "/h"}, "/", keeps_settings=False))


@pytest.mark.parametrize(
    "variable",
    [
        *("PATH", "PWD", "CPATH", "LC_ALL", "SOURCE_DATE_EPOCH", "LD_PRELOAD", "COMPILER_PATH"),
        *("DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES", "CC_PRINT_OPTIONS", "CC_PRINT_HEADERS", "GCC_COMPARE_DEBUG"),
        *("SCCACHE_RECACHE", "SCCACHE_NO_CACHE", "SCCACHE_DIRECT", "SCCACHE_EXTRAFILES"),
    ],
)
def test_variables_that_matter(variable):
    """A request with another value is another request."""
    requests = _requests()
    assert requests.identify(_message(PLAIN))[1] != requests.identify(_message({**PLAIN, variable: "x"}))[1]


def test_variables_that_do_not():
    """Others do not cost the memory of a request, and settings stay the same object."""
    requests = _requests()
    config, identity = requests.identify(_message(PLAIN))
    again, same = requests.identify(_message({"MAKELEVEL": "2", **PLAIN}))
    assert identity == same
    assert config is again


def test_a_variable_twice():
    """The first counts, as for getenv."""
    _, request = _requests().request(_message(PLAIN, b"PATH=/other\0no equals sign\0"))
    assert request.env["PATH"] == "/bin"
    assert request.argv == ("gcc", "-c", "a.c")
