"""Microsoft's cl and LLVM's clang-cl: command lines."""

from sccache.compilers.msvc.command import cl, clang_cl, parse

__all__ = ["cl", "clang_cl", "parse"]
