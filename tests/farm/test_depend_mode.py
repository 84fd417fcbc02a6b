"""Depend mode on a farm: no preprocessor runs on the client, and what workers make is still what this machine would."""

import os
from pathlib import Path

import pytest
from tests.farm.harness.farm import Client, Farm
from tests.farm.harness.units import Units, differing

HEADERS = {
    "a.h": '#if __has_include("b.h")\n#include "b.h"\n#else\n#define B 0\n#endif\n',
    "b.h": "#define B 1\n#include <deep/c.h>\n",
    "inc/deep/c.h": "#ifdef _WIN32\n#include <windows.h>\n#endif\n#include CHOSEN\n",
    "inc/chosen.h": "static int chosen = B;\n",
}


@pytest.fixture
def client(farm: Farm) -> Client:
    """With an empty cache, and the setting in its environment."""
    client = farm.clients["c2"]
    client.forget()
    client.env["SCCACHE_DEPEND"] = "1"
    yield client
    del client.env["SCCACHE_DEPEND"]


def test_units(farm: Farm, client: Client) -> None:
    """Debug information, warnings, depfiles: as compiled here."""
    units = Units(farm.network.folder / "depend", 8)
    plain = units.build(client, cached=False)
    assert differing(plain, units.build(client, cached=True)) == {}
    counted = client.counted()
    assert counted.errors == 0, client.troubles()
    assert counted.remote > 0
    assert differing(plain, units.build(client, cached=True)) == {}
    assert client.counted().remote == counted.remote


def test_no_preprocessor_runs(farm: Farm, client: Client) -> None:
    """The client's own compiler is not started at all for a compile; names made by macros and looked for in vain are no obstacle."""
    place = client.home / "no-preprocessor"
    for name, text in {**HEADERS, "x.c": '#include "a.h"\nint f(void) { return chosen; }\n'}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    command = ["gcc", "-g", "-Iinc", "-DCHOSEN=<chosen.h>", "-c", "x.c", "-o"]
    assert client.run([client.command, *command, "first.o"], place).returncode == 0  # asks the compiler who it is, packs it
    (place / "x.c").write_text('#include "a.h"\nint g(void) { return chosen; }\n')
    trace = place / "trace"
    before = client.counted().remote
    done = client.run(["strace", "-f", "-qq", "-e", "trace=execve", "-o", str(trace), client.command, *command, "x.o"], place)
    assert done.returncode == 0, done.stderr
    assert client.counted().remote == before + 1, client.troubles()
    started = [line for line in trace.read_text().splitlines() if "execve(" in line and "= 0" in line]
    assert not [line for line in started if os.path.basename(line.split('"')[1]) in ("gcc", "cc1", "x86_64-linux-gnu-gcc-12")], started
    plain = client.run([*command, "plain.o"], place)
    assert plain.returncode == 0
    assert Path(place / "x.o").read_bytes() == Path(place / "plain.o").read_bytes()
