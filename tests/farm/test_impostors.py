"""Clients among workers that lie: whatever these answer, the object is the local compiler's, and nothing else is touched.

Each impostor is the only worker, with a true server token: an insider gone bad.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.farm.harness import wire
from tests.farm.harness.farm import Client, Farm
from tests.farm.harness.impostor import Impostor, framed
from tests.farm.harness.network import Network
from tests.farm.harness.units import Built, Units, differing

from sccache.dist.messages import Failed, JobHeader, Missing, OutputFile, Result

EVIL = b"not what a compiler makes"


@pytest.fixture(scope="module")
def farm(any_network: Network, command) -> Iterator[Farm]:
    """A scheduler without workers, and a client."""
    made = Farm(any_network, command)
    try:
        made.add_scheduler()
        made.add_client("c1")
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def client(farm: Farm) -> Client:
    return farm.clients["c1"]


@pytest.fixture(scope="module")
def units(farm: Farm) -> Units:
    return Units(farm.network.folder / "u", 1)


@pytest.fixture(scope="module")
def plain(units: Units, client: Client) -> dict[str, Built]:
    """What the local compiler makes of it."""
    return units.build(client, cached=False)


def _result(header: JobHeader, outputs: list[tuple[bytes, bytes]], **more: object) -> bytes:
    """An answer whose digests fit."""
    files = tuple(OutputFile(path, len(data), wire.digest(data)) for path, data in outputs)
    made = Result(**{"status": 0, "stdout": b"", "stderr": b"", "outputs": files, **more})
    return framed(made, b"".join(data for _, data in outputs))


def _outputs(header: JobHeader) -> list[tuple[bytes, bytes]]:
    return [(path, EVIL) for path in header.outputs]


def _elsewhere(path: str):
    """A file beside the outputs; the path is meant from the job's own directory."""

    def answer(header: JobHeader) -> bytes:
        return _result(header, [*_outputs(header), (os.path.join(header.cwd, path.encode()), EVIL)])

    return answer


def _made_up(*sizes: int, contents: bytes = b""):
    """Outputs of some sizes, whose contents are something else."""

    def answer(header: JobHeader) -> bytes:
        files = tuple(OutputFile(path, size, bytes(32)) for path, size in zip(header.outputs, sizes, strict=False))
        return framed(Result(status=0, stdout=b"", stderr=b"", outputs=files), contents)

    return answer


def _wrong_digest(header: JobHeader) -> bytes:
    files = tuple(OutputFile(path, len(EVIL), wire.digest(b"another")) for path in header.outputs)
    return framed(Result(status=0, stdout=b"", stderr=b"", outputs=files), EVIL * len(files))


def _wrong_size(size: int):
    def answer(header: JobHeader) -> bytes:
        files = tuple(OutputFile(path, size, wire.digest(EVIL)) for path in header.outputs)
        return framed(Result(status=0, stdout=b"", stderr=b"", outputs=files), EVIL * len(files))

    return answer


ANSWERS = {
    "no answer": lambda _: None,
    "nothing": lambda _: b"",
    "only signs of life": lambda _: b"....",
    "rubbish": lambda _: b"\xff" * 1000,
    "HTML": lambda _: b"<html>login please</html>",
    "header of 4 GB": lambda _: b"R\xff\xff\xff\xff" + b"x" * 1000,
    "half a header": lambda _: b"R\xff\0\0\0x",
    "header that is no MessagePack": lambda _: framed(b"\xc1"),
    "header that is a bomb": lambda _: framed(bytes(512 << 20)),
    "wrong digest": _wrong_digest,
    "size too large": _wrong_size(10**15),
    "size too small": _wrong_size(3),
    "negative size": _wrong_size(-1),
    "contents missing": _made_up(5),
    "contents that are a bomb": _made_up(5, 5, contents=bytes(512 << 20)),
    "a file that nobody asked for": _elsewhere("/tmp/sf-evil"),
    "a file of the user": lambda header: _elsewhere(os.path.dirname(header.cwd).decode() + "/c1/.bashrc")(header),
    "a source": _elsewhere("unit0.cc"),
    "a way out": _elsewhere("out/../../evil"),
    "the same twice": lambda header: _result(header, [*_outputs(header), *_outputs(header)]),
    "it failed": lambda _: framed(Failed("the disk is full")),
    "exit code": lambda header: _result(header, [], status=1, stderr=b"unit0.cc: error: made up\n"),
    "signal": lambda header: _result(header, [], status=-11),
    "no object": lambda header: _result(header, []),
    "missing what was sent": lambda header: framed(Missing(contents=header.sent)),
    "missing what is not there": lambda _: framed(Missing(contents=(bytes(32),))),
    "missing a secret": lambda _: framed(Missing(contents=(wire.digest(b"a secret of the client"),))),
    "missing the toolchain for ever": lambda _: framed(Missing(toolchain=True)),
}  # fmt: skip


@pytest.mark.parametrize("what", ANSWERS)
def test_answer_of_a_liar(farm, client, units, plain, what):
    """The build succeeds with the local compiler's object, messages and depfile; the error is counted; nothing else changes."""
    (client.home / ".bashrc").write_text("a secret of the client")
    sources = {path: path.read_bytes() for path in units.folder.iterdir() if path.is_file()}
    impostor = Impostor(farm, farm.network.host("w1"), ANSWERS[what])
    try:
        client.forget()
        assert differing(plain, units.build(client, cached=True)) == {}
        assert impostor.jobs, client.log()[-3000:]
        counted = client.counted()
        assert counted.errors >= 1, counted
        assert counted.remote == 0, counted
    finally:
        impostor.close()
    assert (client.home / ".bashrc").read_text() == "a secret of the client"
    assert {path: path.read_bytes() for path in units.folder.iterdir() if path.is_file()} == sources
    assert not Path("/tmp/sf-evil").exists()
    assert not (units.folder.parent / "evil").exists()
    hits = units.build(client, cached=True)  # and nothing evil was stored
    assert differing(plain, hits) == {}


def test_certificate_that_was_not_told(farm, client, units, plain):
    """Somebody else at the worker's address: the client says nothing to them."""
    impostor = Impostor(farm, farm.network.host("w1"), lambda header: _result(header, _outputs(header)), is_genuine=False)
    try:
        client.forget()
        assert differing(plain, units.build(client, cached=True)) == {}
        assert impostor.connections > 0, client.log()[-3000:]
        assert impostor.jobs == []
        assert client.counted().errors >= 1
    finally:
        impostor.close()


def test_what_leaves_the_client(farm, client, units, plain):
    """A worker sees the compile's own files, the environment a compile needs, and no secret of the client's configuration."""
    seen: list[JobHeader] = []

    def answering(header: JobHeader) -> bytes:
        seen.append(header)
        return framed(Failed("only looking"))

    impostor = Impostor(farm, farm.network.host("w1"), answering)
    try:
        client.forget()
        units.build(client, cached=True)
    finally:
        impostor.close()
    assert seen
    text = repr(seen[0])
    assert farm.client_token not in text
    paths = {file.path for file in seen[0].files}
    assert not [path for path in paths if path.startswith(str(client.home).encode())]
    digests = {file.digest for file in seen[0].files}
    assert wire.digest((client.home / "config").read_bytes()) not in digests
    assert hashlib.sha256(farm.client_token.encode()).hexdigest() not in text
