"""clang's options for code that runs on GPUs (CUDA, HIP), over those in clang.py.  Data only; anything not here is hashed and passed on.

What they name is not listed as inputs: such compiles are observed (docs/decisions/0015).

Sources: clang 14 and 15's `--help-hidden`, reference 5.6; later versions' options as publicly described, not run here.
"""

import re

from sccache.compilers.arguments import Option, Role, Takes

_NOTHING, _NEXT, _JOINED = Takes.NOTHING, Takes.NEXT, Takes.JOINED

DEVICE_ONLY = frozenset(("--cuda-device-only", "--offload-device-only"))
HOST_ONLY = frozenset(("--cuda-host-only", "--offload-host-only"))
BOTH_SIDES = frozenset(("--cuda-compile-host-device", "--offload-host-device"))
FOR_ONE_SIDE = frozenset((Role.PASS, Role.PREPROCESSOR, Role.SEARCH, Role.TARGET, Role.CPU, Role.DEBUG, Role.DEBUG_OFF, Role.INPUT_FILE))
"""What an option may be that stands behind -Xarch_host or -Xarch_device: it makes no further files."""
RELOCATABLE = frozenset(("-fgpu-rdc", "-fcuda-rdc"))
NOT_RELOCATABLE = frozenset(("-fno-gpu-rdc", "-fno-cuda-rdc"))
BUNDLED = "--gpu-bundle-output"
NOT_BUNDLED = "--no-gpu-bundle-output"
TAKES_AWAY = frozenset(("--no-offload-arch=", "--no-cuda-gpu-arch="))

ROWS = (
    *(Option(name, _JOINED, Role.OFFLOAD_ARCH) for name in ("--offload-arch=", "--cuda-gpu-arch=", *sorted(TAKES_AWAY))),
    *(
        Option(name, _NOTHING, Role.OFFLOAD_FORM)
        for name in sorted((*DEVICE_ONLY, *HOST_ONLY, *BOTH_SIDES, *RELOCATABLE, *NOT_RELOCATABLE, BUNDLED, NOT_BUNDLED))
    ),
    Option("-parallel-jobs=", _JOINED, Role.OFFLOAD_JOBS),
    Option("--offload-jobs=", _JOINED, Role.OFFLOAD_JOBS),
    Option("-Xarch_device", _NEXT, Role.TO_ONE_SIDE),
    Option("-Xarch_host", _NEXT, Role.TO_ONE_SIDE),
    Option("-Xcuda-fatbinary", _NEXT, Role.OFFLOAD),
    Option("-Xcuda-ptxas", _NEXT, Role.OFFLOAD),
    Option("-Xoffload-linker", _NEXT, Role.OFFLOAD),
    Option("--offload", _JOINED, Role.OFFLOAD),
    Option("-fopenmp-targets=", _JOINED, Role.OFFLOAD),
)
"""Replaces rows of clang.py's tables of the same name."""

CONCEALS = re.compile(rb"__hip_cuid_[0-9a-f]|CCOB[\x01-\x0f]\0")
"""A digest of the source's real name and of the command line, in a symbol's name; the start of compressed code for GPUs."""

TOOLS = (
    r"clang-(?:offload-(?:bundler|packager|wrapper)|linker-wrapper|nvlink-wrapper|sycl-linker)(?:-[\d.]+)?|amdclang(?:\+\+)?"
    r"|llc|opt|llvm-(?:link|mc|objcopy|spirv)(?:-[\d.]+)?|spirv-link|amdllvm"
    r"|ptxas|fatbinary|nvlink|nvprune|cuobjdump"
)
"""Programs that clang runs for the sides of GPUs, beside those that it runs for any source."""
