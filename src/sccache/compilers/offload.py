"""Code for GPUs in a command line of clang: for which architectures, for which sides, and which files that makes.

    HIP   <host and device> ::= <one file with everything in it>
          <device alone>    ::= <name>-hip-amdgcn-amd-amdhsa.hipfb | <stem>-hip-amdgcn-amd-amdhsa-<architecture>.<kind> …
    CUDA  <host and device> ::= <object with everything in it> | <stem>.<kind> <devices> …
          <devices>         ::= <stem>-cuda-nvptx64-nvidia-cuda-<architecture>.<kind> …

These are the names where no -o says another, as clang 14 and 15 were seen to choose them (tests/cases/clang_offload).  Other versions
may choose otherwise: their compile is then not kept, as observing finds files that are not foreseen.

Owns: Offload and these names.  Must not know: options.
"""

from enum import Enum, auto

from sccache.compilers import side_outputs
from sccache.compilers.side_outputs import Naming
from sccache.model import Language

NATIVE = "native"
"""The architecture of the GPU that is in this machine."""


class Side(Enum):
    """What is compiled."""

    BOTH = auto()
    HOST = auto()
    DEVICE = auto()


class Offload:
    """What a command line says about code for GPUs, while it is being read."""

    def __init__(self) -> None:
        """Nothing said."""
        self.arches: list[str] = []
        self.side = Side.BOTH
        self.bundled: bool | None = None
        """Whether what is made for several architectures goes into one file; None: as the compiler likes."""
        self.relocatable = False
        self.asked = False
        """There are options that have the compiler do more than one side in other languages, too."""
        self.one_side: list[str] = []
        """Options for one side alone."""

    def add(self, value: str) -> None:
        """`--offload-arch=A,B`."""
        self.arches += [name for name in value.split(",") if name not in self.arches]

    def take_away(self, value: str) -> None:
        """`--no-offload-arch=A`, or all."""
        self.arches = [] if value == "all" else [name for name in self.arches if name not in value.split(",")]

    def main_names(self, naming: Naming, language: Language, kind: str) -> tuple[str, ...]:
        """The files that are asked for; none where that depends on architectures that only the compiler knows."""
        if naming.output:
            return (naming.output,)
        host = f"{side_outputs.stem(naming.source)}.{kind}"
        if self.side is Side.HOST:
            return (host,)
        if language in _HIP:
            return (host,) if self.side is Side.BOTH else self._hip_names(naming, kind)
        if self.side is Side.BOTH and kind == "o":
            return (host,)
        devices = self._device_names(naming, language, kind)
        return devices if self.side is Side.DEVICE or not devices else (host, *devices)

    def _hip_names(self, naming: Naming, kind: str) -> tuple[str, ...]:
        is_linked = kind == "o" and not self.relocatable
        if is_linked and self.bundled is not False:
            return (f"{naming.source.rpartition('/')[2]}{_TARGETS[Language.HIP]}.hipfb",)
        if self.relocatable:
            kind = {"o": "bc", "s": "ll"}.get(kind, kind)
        if self.bundled:
            return (f"{side_outputs.stem(naming.source)}{_TARGETS[Language.HIP]}.{kind}",)
        return self._device_names(naming, Language.HIP, "out" if is_linked else kind)

    def _device_names(self, naming: Naming, language: Language, kind: str) -> tuple[str, ...]:
        prefix = side_outputs.stem(naming.source) + _TARGETS[language]
        return tuple(f"{prefix}-{arch}.{kind}" for arch in self.arches)

    def side_names(self, naming: Naming, language: Language, kind: str) -> tuple[str, ...]:
        """Optimisation records beside the host's; where -o is given all sides write to one file."""
        return () if naming.output or self.side is Side.HOST else self._device_names(naming, language, f"opt.{kind}")

    def split_dwarf_names(self, naming: Naming) -> tuple[str, ...]:
        """The .dwo files of the devices."""
        return tuple(side_outputs.auxiliary(naming, f"_{arch}.dwo") for arch in self.arches)


_HIP = frozenset((Language.HIP, Language.HIP_PREPROCESSED))
_TARGETS: dict[Language, str] = {
    **dict.fromkeys(_HIP, "-hip-amdgcn-amd-amdhsa"),
    **dict.fromkeys((Language.CUDA, Language.CUDA_PREPROCESSED), "-cuda-nvptx64-nvidia-cuda"),
}
