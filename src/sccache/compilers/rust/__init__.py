from sccache.compilers.rust.command import RustArguments, RustQuery, parse
