"""requests.py: what tells requests apart."""

import pytest

from sccache.compilers.rust_detect import is_rust
from sccache.config.memory import ConfigMemory
from sccache.daemon.requests import Requests
from sccache.model import Terminal
from sccache.protocol.messages import CompileMessage

PLAIN = {"PATH": "/bin", "HOME": "/h"}


CARGO = {**PLAIN, "CARGO": "/bin/cargo"}


def _message(
    env: dict[str, str], extra: bytes = b"", *, argv: bytes = b"gcc\0-c\0a.c\0", executable: bytes = b"", terminals: int = 0
) -> CompileMessage:
    blob = b"".join(f"{name}={value}\0".encode() for name, value in env.items()) + extra
    return CompileMessage(b"1", b"", executable, b"/w", argv, blob, terminals=terminals)


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


@pytest.mark.parametrize("variable", ["OUT_DIR", "CARGO_PKG_VERSION", "MY_OWN", "LD_LIBRARY_PATH", "RUSTC_BOOTSTRAP", "SCCACHE_RECACHE"])
@pytest.mark.parametrize(
    ("argv", "env"),
    [(b"rustc\0a.rs\0", PLAIN), (b"/x/Clippy-Driver\0a.rs\0", PLAIN), (b"wrapper\0/x/rustc\0a.rs\0", CARGO), (b"my-own\0a.rs\0", CARGO)],
    ids=["rustc", "clippy", "wrapper", "cargo"],
)
def test_any_variable_matters_to_rust(argv, env, variable):
    """A source or a macro may read any: another value is another request."""
    requests = _requests()
    assert requests.identify(_message(env, argv=argv))[1] != requests.identify(_message({**env, variable: "x"}, argv=argv))[1]


@pytest.mark.parametrize("env", [PLAIN, CARGO], ids=["plain", "cargo"])
@pytest.mark.parametrize(
    "words", [("rustc",), ("RustC.exe", "-"), ("/x/clippy-driver", "/x/rustc"), ("wrap", "/x/rustc.real"), ("gcc", "-c")]
)
@pytest.mark.parametrize("executable", ["", "/y/rustc", "/y/gcc"])
def test_whatever_is_taken_for_rust(words, env, executable):
    """All that goes the way of Rust is told apart by all variables."""
    argv = "".join(f"{word}\0" for word in words).encode()
    requests = _requests()
    one, other = (
        requests.identify(_message(variables, argv=argv, executable=executable.encode()))[1] for variables in (env, {**env, "MY_OWN": "x"})
    )
    assert one != other or not is_rust(words, env, executable)


def test_what_differs_between_two_builds():
    """The job server's descriptors and the shell's own do not make another request; the compiler has them all the same."""
    requests = _requests()
    first = {
        "CARGO_MAKEFLAGS": "-j --jobserver-fds=3,4 --jobserver-auth=3,4",
        "MAKEFLAGS": "j",
        "MFLAGS": "-j",
        "SHLVL": "1",
        "_": "/bin/env",
    }
    second = {"CARGO_MAKEFLAGS": "-j --jobserver-auth=fifo:/tmp/GMfifo7", "_": "/bin/cargo", "MAKEFLAGS": "jw"}
    one, other = (_message({**env, **CARGO}, argv=b"rustc\0a.rs\0") for env in (first, second))
    assert requests.identify(one)[1] == requests.identify(other)[1]
    assert requests.request(one)[1].env["CARGO_MAKEFLAGS"].endswith("3,4")
    assert requests.request(other)[1].env["CARGO_MAKEFLAGS"].endswith("GMfifo7")


def test_the_first_of_two_that_differ_in_order():
    """Not the same request: another one is the first."""
    requests = _requests()
    assert requests.identify(_message(CARGO, b"X=1\0X=2\0"))[1] != requests.identify(_message(CARGO, b"X=2\0X=1\0"))[1]


def test_no_input():
    """It matters to rustc, which may read a source there; make gives one C compile of many its own stdin, never the same."""
    requests = _requests()
    of_rust = [requests.identify(_message(PLAIN, argv=b"rustc\0-\0", terminals=kind))[1] for kind in (0, 8)]
    of_c = [requests.identify(_message(PLAIN, terminals=kind))[1] for kind in (0, 8)]
    assert of_rust[0] != of_rust[1]
    assert of_c[0] == of_c[1]
    _, request = requests.request(_message(PLAIN, terminals=80 << 4 | 8 | 4))
    assert (request.terminal, request.columns) == (Terminal.NO_INPUT | Terminal.STDERR, 80)
