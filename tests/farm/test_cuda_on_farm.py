"""nvcc's steps on a farm: device code by workers, the same as by this machine."""

import shutil

import pytest
from tests.farm.harness.farm import Farm

KERNEL = """\
#include <cstdio>
__global__ void scale(float *values, int count, float by)
{
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count)
        values[at] = values[at] * by + sinf(values[at]);
}
void run(float *values, int count) { scale<<<count / 256 + 1, 256>>>(values, count, 2.0f); }
"""


def test_steps(farm: Farm) -> None:
    """cudafe++, cicc and ptxas run on workers; the device code for two architectures has the bytes of a plain nvcc's."""
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    client = farm.clients["c1"]
    client.forget()
    place = client.home / "cuda"
    place.mkdir()
    (place / "k.cu").write_text(KERNEL)
    architectures = ["80", "90"]
    for one in architectures:
        command = ["nvcc", "-O2", "-cubin", "-arch", f"sm_{one}", "k.cu", "-o"]
        plain = client.run([*command, f"plain{one}.cubin"], place)
        assert plain.returncode == 0, plain.stderr
        cached = client.run([client.command, *command, f"cached{one}.cubin"], place)
        assert (cached.returncode, cached.stdout, cached.stderr) == (plain.returncode, plain.stdout, plain.stderr)
        assert (place / f"cached{one}.cubin").read_bytes() == (place / f"plain{one}.cubin").read_bytes()
    counted = client.counted()
    assert counted.errors == 0, client.troubles()
    assert counted.remote >= 2 * len(architectures), client.troubles()
