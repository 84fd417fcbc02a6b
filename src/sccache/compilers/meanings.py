"""What an argument of each role sets, beyond where its words go: one small function a role, no branches on options.

Owns: ACTIONS.  Must not know: destinations, how the result is put together.
"""

from collections.abc import Callable

from sccache.compilers.arguments import Argument, Role
from sccache.compilers.gathered import Gathered
from sccache.compilers.offload import Side
from sccache.compilers.options import clang_offload
from sccache.model import CannotCache, Colour

WP_DEPENDENCIES = {"-MD": Role.DEP_ALL, "-MMD": Role.DEP_USER}
"""What clang's driver and gcc's cc1 understand behind -Wp,."""

_COLOURS = {"": Colour.ALWAYS, "auto": Colour.AUTO, "always": Colour.ALWAYS, "never": Colour.NEVER}
_SECTION_KINDS = frozenset(("all", "labels", "none"))
_BACKEND_HARD = ("-time-passes", "-time-trace", "-stats", "-track-memory", "dump", "output", "file", "-dot-", "-view-", "-load", "-path=")
"""Parts of LLVM option names that write or read files, or print times and addresses."""
_FILE_ROLES = {
    "-aux-info": "aux-info",
    "-aux-info=": "aux-info",
    "--serialize-diagnostics": "dia",
    "-serialize-diagnostics": "dia",
    "-fthin-link-bitcode=": "thin-link",
    "-fdeps-file=": "json",
}


def _too_hard(gathered: Gathered, argument: Argument) -> None:
    if gathered.too_hard is None:
        gathered.too_hard = CannotCache(argument.name, argument.value)


def _refuse(gathered: Gathered, argument: Argument) -> None:
    gathered.refuse(argument.name, argument.value)


def _colour_when(gathered: Gathered, argument: Argument) -> None:
    if argument.value in _COLOURS:
        gathered.colour = _COLOURS[argument.value]
    else:
        gathered.refuse("-fdiagnostics-color=", argument.value)


def _dependency(gathered: Gathered, argument: Argument) -> None:
    gathered.dependency_words += argument.words


def _colour_always(gathered: Gathered, _: Argument) -> None:
    gathered.colour = Colour.ALWAYS


def _colour_never(gathered: Gathered, _: Argument) -> None:
    gathered.colour = Colour.NEVER


def _debug(gathered: Gathered, _: Argument) -> None:
    gathered.debug_info = True


def _debug_off(gathered: Gathered, _: Argument) -> None:
    gathered.debug_info = False


def _split_dwarf(gathered: Gathered, _: Argument) -> None:
    gathered.split_dwarf = True
    gathered.debug_info = True


def _split_dwarf_kind(gathered: Gathered, argument: Argument) -> None:
    gathered.split_dwarf = argument.value != "single"
    gathered.debug_info = True


def _target(gathered: Gathered, argument: Argument) -> None:
    gathered.targets.append((argument.value, False))
    _dependency(gathered, argument)


def _quoted_target(gathered: Gathered, argument: Argument) -> None:
    gathered.targets.append((argument.value, True))
    _dependency(gathered, argument)


def _input_file(gathered: Gathered, argument: Argument) -> None:
    gathered.input_files.append(argument.value)


def _module_file(gathered: Gathered, argument: Argument) -> None:
    gathered.input_files.append(argument.value.rpartition("=")[2])


def _list_file(gathered: Gathered, argument: Argument) -> None:
    if argument.value not in _SECTION_KINDS:
        gathered.input_files.append(argument.value.removeprefix("list="))


def _toolchain_file(gathered: Gathered, argument: Argument) -> None:
    (gathered.input_files if "/" in argument.value else gathered.toolchain_files).append(argument.value)


def _plugin(gathered: Gathered, argument: Argument) -> None:
    if "/" in argument.value or "." in argument.value:
        _library(gathered, argument)
    else:
        gathered.toolchain_files.append(f"plugin/{argument.value}.so")


def _library(gathered: Gathered, argument: Argument) -> None:
    if "/" in argument.value:
        gathered.input_files.append(argument.value)
    else:
        gathered.refuse(argument.name, "the dynamic loader searches for it")


def _forced_include(gathered: Gathered, argument: Argument) -> None:
    gathered.forced_includes.append(argument.value)


def _output_file(gathered: Gathered, argument: Argument) -> None:
    gathered.output_files.append((_FILE_ROLES[argument.name], argument.value))


def _opt_info(gathered: Gathered, argument: Argument) -> None:
    path = argument.value.partition("=")[2]
    if path not in ("", "stderr", "stdout"):
        gathered.refuse("-fopt-info", "gcc appends to the file")


def _search(gathered: Gathered, argument: Argument) -> None:
    if argument.value.endswith(".hmap"):
        gathered.input_files.append(argument.value)


def _cpu(gathered: Gathered, argument: Argument) -> None:
    gathered.native_cpu = gathered.native_cpu or argument.value.startswith("native")


def _arch(gathered: Gathered, argument: Argument) -> None:
    gathered.arches.add(argument.value)


def _offload(gathered: Gathered, _: Argument) -> None:
    gathered.offload.asked = True


def _offload_arch(gathered: Gathered, argument: Argument) -> None:
    gathered.offload.asked = True
    if argument.name in clang_offload.TAKES_AWAY:
        gathered.offload.take_away(argument.value)
    else:
        gathered.offload.add(argument.value)


_FORMS: dict[str, tuple[str, object]] = {
    **dict.fromkeys(clang_offload.DEVICE_ONLY, ("side", Side.DEVICE)),
    **dict.fromkeys(clang_offload.HOST_ONLY, ("side", Side.HOST)),
    **dict.fromkeys(clang_offload.BOTH_SIDES, ("side", Side.BOTH)),
    **dict.fromkeys(clang_offload.RELOCATABLE, ("relocatable", True)),
    **dict.fromkeys(clang_offload.NOT_RELOCATABLE, ("relocatable", False)),
    clang_offload.BUNDLED: ("bundled", True),
    clang_offload.NOT_BUNDLED: ("bundled", False),
}


def _offload_form(gathered: Gathered, argument: Argument) -> None:
    setattr(gathered.offload, *_FORMS[argument.name])


def _to_one_side(gathered: Gathered, argument: Argument) -> None:
    gathered.offload.asked = True
    gathered.offload.one_side.append(argument.value)


def _backend(gathered: Gathered, argument: Argument) -> None:
    if any(part in argument.value for part in _BACKEND_HARD):
        gathered.refuse("-mllvm", argument.value)


def _assembler(gathered: Gathered, argument: Argument) -> None:
    gathered.assembler_words += argument.value.split(",") if argument.role is Role.TO_ASSEMBLER else [argument.value]


def _preprocessor(gathered: Gathered, argument: Argument) -> None:
    words = argument.value.split(",") if argument.role is Role.TO_PREPROCESSOR else [argument.value]
    if not gathered.wp_dependencies or argument.role is Role.TO_PREPROCESSOR_NEXT or words[0] not in WP_DEPENDENCIES:
        gathered.preprocessor_words += words
        return
    gathered.seen.add(WP_DEPENDENCIES[words[0]])
    _dependency(gathered, argument)
    if len(words) > 2:  # clang 14 ignores the file name then
        gathered.refuse("-Wp", argument.value)
    elif len(words) > 1:
        gathered.values[Role.DEP_PATH] = words[1]


def _profile_directory(gathered: Gathered, argument: Argument) -> None:
    gathered.profile_directory = argument.value or gathered.profile_directory


def _frontend(gathered: Gathered, argument: Argument) -> None:
    gathered.frontend_words.append(argument.value)


ACTIONS: dict[Role, Callable[[Gathered, Argument], None]] = {
    Role.TOO_HARD: _too_hard,
    Role.TOO_HARD_WHEN_COMPILING: _refuse,
    Role.COLOUR_WHEN: _colour_when,
    Role.COLOUR_ALWAYS: _colour_always,
    Role.COLOUR_NEVER: _colour_never,
    Role.DEBUG: _debug,
    Role.DEBUG_OFF: _debug_off,
    Role.SPLIT_DWARF: _split_dwarf,
    Role.SPLIT_DWARF_KIND: _split_dwarf_kind,
    Role.DEP_ALL: _dependency,
    Role.DEP_USER: _dependency,
    Role.DEP_PATH: _dependency,
    Role.DEP_PHONY: _dependency,
    Role.DEP_TARGET: _target,
    Role.DEP_QUOTED_TARGET: _quoted_target,
    Role.INPUT_FILE: _input_file,
    Role.REMAPPING_FILE: _input_file,
    Role.MODULE_FILE: _module_file,
    Role.LIST_FILE: _list_file,
    Role.TOOLCHAIN_FILE: _toolchain_file,
    Role.PLUGIN: _plugin,
    Role.LIBRARY: _library,
    Role.FORCED_INCLUDE: _forced_include,
    Role.OUTPUT_FILE: _output_file,
    Role.OPT_INFO: _opt_info,
    Role.SEARCH: _search,
    Role.CPU: _cpu,
    Role.ARCH: _arch,
    Role.TO_BACKEND: _backend,
    Role.OFFLOAD: _offload,
    Role.OFFLOAD_ARCH: _offload_arch,
    Role.OFFLOAD_FORM: _offload_form,
    Role.TO_ONE_SIDE: _to_one_side,
    Role.TO_ASSEMBLER: _assembler,
    Role.TO_ASSEMBLER_NEXT: _assembler,
    Role.TO_PREPROCESSOR: _preprocessor,
    Role.TO_PREPROCESSOR_NEXT: _preprocessor,
    Role.TO_FRONTEND: _frontend,
    Role.PROFILE_USE: _profile_directory,
    Role.PROFILE_DIRECTORY: _profile_directory,
    Role.PROFILE_GENERATE: _profile_directory,
    Role.PROFILE_INSTR_USE: _input_file,
}
