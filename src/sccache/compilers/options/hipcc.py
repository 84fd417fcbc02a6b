"""What hipcc makes of its command line before clang gets it.  Data only; all other words are clang's.

Sources: hipcc's manual (https://rocm.docs.amd.com/projects/HIPCC), what Debian's hipcc 5.2.3 was seen to read and to run.
"""

from sccache.compilers.options import clang_offload

TOOLS = rf"perl(?:[\d.]+)?|hipcc(?:\.pl|\.bin)?|hipconfig(?:\.pl|\.bin)?|{clang_offload.TOOLS}"
"""hipcc is a Perl script, or a program in newer ROCm."""

VARIABLES = ("HIP*", "HCC_*", "HSA_PATH", "ROCM_PATH", "DEVICE_LIB_PATH", "CUDA_PATH", "CUDA_BIN_PATH", "NVCC_*", "PERL*")
"""A Perl script reads %ENV, which nobody sees."""

PLATFORM = "HIP_PLATFORM"
NVIDIA = frozenset(("nvidia", "nvcc"))
"""nvcc compiles then, whose words are others."""
COMPILE_FLAGS = "HIPCC_COMPILE_FLAGS_APPEND"
LINK_FLAGS = "HIPCC_LINK_FLAGS_APPEND"
"""Added to the command where it is not only for compiling; -S is not."""
VERBOSE = "HIPCC_VERBOSE"
"""hipcc says what it runs."""
CXX_AS_HIP = "HIP_COMPILE_CXX_AS_HIP"
DEFAULT_ARCHES = "HCC_AMDGPU_TARGET"

ARCH = "--offload-arch="
ARCH_OPTIONS = (ARCH, "--amdgpu-target=")
SWALLOWED = ("--hipcc", "--amdhsa-code-object-version=", "-use-staticlib")
"""Beginnings of words that clang does not get; some of them change what it gets."""
GENCO = "--genco"
"""Compile for the device alone."""
TELLS = frozenset(("--version", "--short-version", "--cxxflags", "--ldflags"))
OPENMP = "-fopenmp-targets="
"""C++ behind it is not taken for HIP."""

C_NAMES = (".c",)
CXX_NAMES = (".cpp", ".cxx", ".cc", ".C")
"""HIP unless CXX_AS_HIP is 0."""
CUDA_NAMES = (".cu", ".cuh")
HIP_NAMES = (".hip",)

ENUMERATOR = "rocm_agent_enumerator"
"""Says which GPUs the machine has; hipcc asks it where no architecture is named."""
ROCM_VARIABLES = ("ROCM_PATH", "HIP_PATH")
ROCM = "/opt/rocm"
