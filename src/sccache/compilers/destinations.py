"""Where the words of each role go: keys, preprocessor run, search-path probe.

Owns: one row for each role.  Must not know: how the lists are used.
"""

from enum import IntFlag

from sccache.compilers.arguments import Role


class To(IntFlag):
    """Which lists an argument's words go to."""

    NOWHERE = 0
    KEY = 1
    RESULT = 2
    PREPROCESS = 4
    SEARCH = 8
    """The probes: header directories, and the programs that the driver runs."""
    NAME = 16
    """Only the option's name goes to both keys: its value is a path without influence."""


_KEYS = To.KEY | To.RESULT
ALL = _KEYS | To.PREPROCESS
_EVERYWHERE = ALL | To.SEARCH

DESTINATIONS: dict[Role, To] = {
    **dict.fromkeys(Role, To.NOWHERE),
    Role.PASS: ALL,
    Role.PREPROCESSOR: ALL,
    Role.FORCED_INCLUDE: ALL,
    Role.SEARCH: To.KEY | To.PREPROCESS | To.SEARCH,
    Role.WARNS_OF_SEARCH: ALL,
    Role.TARGET: _EVERYWHERE,
    Role.CPU: _EVERYWHERE,
    Role.TOOLCHAIN_FILE: _EVERYWHERE,
    Role.PLUSPLUS: _EVERYWHERE,
    Role.ARCH: _EVERYWHERE,
    Role.PLUGIN: ALL,
    Role.LIBRARY: ALL,
    Role.COMPILER_ONLY: _KEYS,
    Role.LINKER: _KEYS,
    Role.COMPILE: To.NAME,
    Role.ASSEMBLE: To.NAME,
    Role.PRECOMPILE: To.NAME,
    Role.LLVM_OUTPUT: To.NAME,
    Role.PCH_OUTPUT: To.NAME,
    Role.PCH_WITHOUT_TIMES: To.NAME,
    Role.DEBUG: ALL,
    Role.DEBUG_OFF: ALL,
    Role.RECORDS_CWD: ALL,
    Role.RECORDS_COMMAND: ALL,
    Role.COVERAGE_NOTES: ALL,
    Role.NOTES_PATH: _KEYS,
    Role.PROFILE_GENERATE: ALL,
    Role.PROFILE_USE: ALL,
    Role.PROFILE_DIRECTORY: ALL,
    Role.AUTO_PROFILE: ALL,
    Role.PROFILE_INSTR_USE: ALL,
    Role.PROFILE_PREFIX: ALL,
    Role.SPLIT_DWARF: _EVERYWHERE,  # gcc runs objcopy for it
    Role.SPLIT_DWARF_KIND: _EVERYWHERE,
    Role.STACK_USAGE: To.NAME,
    Role.CALLGRAPH: _KEYS,
    Role.OPT_RECORD: _KEYS,
    Role.OPT_RECORD_FORMAT: _KEYS,
    Role.OPT_RECORD_PATH: To.NAME,
    Role.OPT_INFO: _KEYS,
    Role.DUMP_BASE: _KEYS,
    Role.DUMP_EXT: _KEYS,
    Role.DUMP_DIR: _KEYS,
    Role.OUTPUT_FILE: To.NAME,
    Role.INPUT_FILE: ALL,
    Role.REMAPPING_FILE: ALL,
    Role.MODULE_FILE: ALL,
    Role.MODULES: ALL,
    Role.MODULE_MAPPER: ALL,
    Role.DEPS_FORMAT: ALL,
    Role.MODULE_OUTPUT: To.NAME,
    Role.MODULE_OUTPUT_PATH: To.NAME,
    Role.LIST_FILE: ALL,
    Role.TO_ASSEMBLER: _KEYS | To.SEARCH,
    Role.TO_ASSEMBLER_NEXT: _KEYS | To.SEARCH,
    Role.TO_BACKEND: ALL,
    Role.OFFLOAD: ALL,
    Role.OFFLOAD_ARCH: ALL,
    Role.OFFLOAD_FORM: ALL,
    Role.OFFLOAD_JOBS: To.NAME,
    Role.TO_ONE_SIDE: ALL,
    Role.NO_DIRECT: ALL,
}
