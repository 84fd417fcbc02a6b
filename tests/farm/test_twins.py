"""Headers of one compile that have the same content: a worker has them from one place, compilers must not take them for one."""

import os
import shutil
from pathlib import Path

import pytest
from tests.farm.harness.farm import Client, Farm

LISTED = "#ifdef FIRST\nint second = __LINE__;\n#else\n#define FIRST\nint first = __LINE__;\n#endif\n"
ONE_MOMENT = 1_500_000_000


@pytest.fixture(params=["gcc", "clang-14"])
def compiler(request: pytest.FixtureRequest) -> str:
    """gcc compares times and contents, clang inodes."""
    if shutil.which(request.param) is None:
        pytest.skip(f"needs {request.param}")
    return str(request.param)


@pytest.mark.parametrize("depend", ["", "1"])
@pytest.mark.parametrize("once", ["", "#pragma once\n"])
@pytest.mark.parametrize("moved_s", [0, 1])
def test_as_compiled_here(farm: Farm, compiler: str, once: str, moved_s: int, depend: str) -> None:
    """Object, debug information and dependency file; sent away where contents alone decide."""
    client = farm.clients["c2"]
    client.forget()
    place = client.home / f"twins-{compiler}-{bool(once)}-{moved_s}-{depend}"
    for name, time_s in (("a", ONE_MOMENT), ("b", ONE_MOMENT + moved_s)):
        (place / name).mkdir(parents=True)
        (place / name / "x.h").write_text(once + LISTED)
        os.utime(place / name / "x.h", (time_s, time_s))
    (place / "m.c").write_text('#include "a/x.h"\n#include "b/x.h"\nint rest;\n')
    command = [compiler, "-g", "-MD", "-c", "m.c", "-o", "m.o"]
    plain = _made(client, command, place)
    counted = client.counted()
    client.env["SCCACHE_DEPEND"] = depend
    try:
        assert _made(client, [client.command, *command], place) == plain
    finally:
        del client.env["SCCACHE_DEPEND"]
    assert client.counted().errors == counted.errors, client.troubles()
    assert client.counted().remote == counted.remote + (not once), client.troubles()


def _made(client: Client, command: list[str | Path], place: Path) -> list[bytes]:
    done = client.run(command, place)
    assert done.returncode == 0, done.stderr
    found = [(place / name).read_bytes() for name in ("m.o", "m.d")]
    (place / "m.o").unlink()
    return found
