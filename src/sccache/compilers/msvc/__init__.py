"""Microsoft's cl and LLVM's clang-cl: command lines and notes about included files."""

from sccache.compilers.msvc.command import parse
from sccache.compilers.msvc.values import MsvcArguments, ParseResult

__all__ = ["MsvcArguments", "ParseResult", "parse"]
