"""NVIDIA's nvcc: command lines, and what a dry run prints."""

from sccache.compilers.nvcc.command import parse

__all__ = ["parse"]
