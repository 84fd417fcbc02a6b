"""Understand a rustc command line, its dependency file and its notices."""

from sccache.compilers.rust.command import ParseResult, RustArguments, RustQuery, parse

__all__ = ["ParseResult", "RustArguments", "RustQuery", "parse"]
