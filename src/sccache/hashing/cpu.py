"""What -march=native stands for on this machine.

Owns: the digest of the processor's model and features.  Must not know: compilers.
"""

import platform
from functools import cache

from sccache.hashing.digest import digest

_TELLING = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU implementer", "CPU part")


@cache
def processor() -> bytes:
    """Digest of what the kernel says of the first processor; of the machine's name where it says nothing."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            first = file.read().partition("\n\n")[0]
    except OSError:
        return digest(f"{platform.machine()} {platform.processor()} {platform.node()}".encode())
    lines = (line for line in first.splitlines() if line.partition(":")[0].strip() in _TELLING)
    return digest("\n".join(lines).encode())
