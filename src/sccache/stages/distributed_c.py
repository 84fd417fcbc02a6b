"""A C or C++ compile as a work order: the user's own command, with what it reads.

Either the preprocessor has just run here, and all that the compile reads is known; or, in depend mode, all files that any name in any
of them leads to are sent, whatever the conditions (*foreseen*), and the compiler's own list tells afterwards which they were.  Names
that `__has_include` finds are sent too, names that are nowhere are nowhere on the worker either.  So the worker's compiler sees what
this machine's would, and object, debug information, messages and dependency file come out the same (docs/decisions/0018).

Owns: which C compiles may go elsewhere, their trees.  Must not know: the wire, how a farm is reached.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from sccache.compilers import depfiles, environment, toolchain
from sccache.compilers.quotes import points_elsewhere
from sccache.dist.messages import FILE_TIME_S, JobHeader
from sccache.dist.tree import Gathering
from sccache.hashing import time_macros
from sccache.preprocessor_cache.absent import LookedFor
from sccache.stages import inputs as inputs_stage
from sccache.stages import twins
from sccache.stages.bench import Memories
from sccache.stages.distribution import Compiler, Place, WorkOrder
from sccache.stages.inputs import Inputs
from sccache.stages.job import Job
from sccache.stages.locale_files import locale_files, terminal_files
from sccache.stages.recipes import Preprocessed, Recipe

if TYPE_CHECKING:
    from sccache.dist.client import Finished
    from sccache.dist.client_toolchains import Packed

CLOCKS_APART_S = 900
"""Clocks of client and worker may differ by as much, and the worker's time still be found in an output."""
_PRELOADED = ("LD_PRELOAD", "LD_AUDIT")
_SENT = tuple(sorted(environment.RELEVANT - set(environment.REQUEST) - set(environment.VOLATILE) | {"LC_COLLATE"}))
"""Not TZ: the worker's time is UTC, so that it can be found in an output."""
_GCC_INSTALLATION = re.compile(r"(.*/lib(?:32|64)?/gcc(?:-cross)?/[^/]+/[^/]+)(?:/.*)?")
_GCC_MARK = "crtbegin.o"
"""clang takes a directory of gcc's for one if this is in it."""
_SEARCHED = ("-I", "-iquote", "-isystem", "-idirafter")
_NOT_FILES = ("/dev/", "/proc/", "/sys/")


class Reading(Struct, frozen=True):
    """What a compile reads."""

    inputs: Inputs
    start_ns: int
    """Wall clock before anything of it was read."""
    reads_unseen: bool
    """The assembler may read more."""
    is_foreseen: bool = False
    """It may read less."""


def told(text: Preprocessed) -> Reading:
    """By the preprocessor."""
    return Reading(text.inputs, text.start_ns, text.reads_unseen)


def foresee(job: Job, memories: Memories) -> Reading | None:
    """Without a preprocessor; None where only that can tell.  Blocking."""
    if not job.parsed.needs_preprocessing:
        return None
    start_ns = time.time_ns()
    found = inputs_stage.may_be_read(job, memories)
    if found is None:
        return None
    reads_unseen = not job.toolchain.assembler_tells and found.has_inline_assembler()
    reading = Reading(found, start_ns, reads_unseen, is_foreseen=True)
    return None if objection(job, reading) else reading


def objection(job: Job, reading: Reading) -> str:
    """Why this compile cannot go elsewhere; empty if it can."""
    found = reading.inputs
    checks = (
        (not job.is_transparent, "what the compiler's name leads to is a script"),
        (job.parsed.records_command, "the command line is recorded, which the driver makes of what it finds here"),
        (job.parsed.native_cpu, "the object depends on this machine's processor"),
        (job.parsed.mtimes_matter or inputs_stage.are_times_compared(job, found.facts), "files' times matter"),
        (found.has(inputs_stage.TIME_MACROS), "the time is in it"),
        (found.has(inputs_stage.ASSEMBLER_INCLUDES) or reading.reads_unseen, "the assembler may read files of its own"),
        (any(job.request.env.get(name) for name in _PRELOADED), "LD_PRELOAD or LD_AUDIT is set"),
        (any(path.endswith((".so", ".dylib")) for path, _ in job.named_inputs), "a plugin is used"),
    )
    return next((reason for is_so, reason in checks if is_so), "")


def compiler(job: Job) -> Compiler:
    """The toolchain that this compile needs."""
    return Compiler(job.driver.path, job.driver.family, job.driver.digest)


def order(job: Job, reading: Reading, recipe: Recipe, memories: Memories, packed: Packed) -> WorkOrder | str:
    """The work order; or why there is none.  OSError where a name does not lead to what it should."""
    tree = Gathering()
    trouble = _add_tools(tree, job, memories, packed) or _add_inputs(tree, job, reading, recipe, memories)
    if trouble:
        return trouble
    places = _places(job, recipe, tree)
    gathered = tree.tree()
    required = {os.path.normpath(job.path(output.path)) for output in job.parsed.outputs if output.required}
    header = JobHeader(
        toolchain=packed.id,
        executable=os.fsencode(recipe.command.executable),
        argv=tuple(map(os.fsencode, (recipe.command.name or recipe.command.executable, *recipe.command.args))),
        environment=tuple((os.fsencode(name), os.fsencode(job.request.env[name])) for name in _SENT if name in job.request.env),
        cwd=os.fsencode(job.request.cwd),
        umask=job.request.umask,
        directories=gathered.directories,
        links=gathered.links,
        files=gathered.files,
        outputs=tuple(places),
        columns=(job.request.columns or 80) if recipe.command.on_terminal else 0,
    )
    needed = tuple(name for name, place in places.items() if place.path in required)
    return WorkOrder(header, gathered.contents, places, needed, doubt=partial(_doubt, job, reading, recipe, memories))


def _add_tools(tree: Gathering, job: Job, memories: Memories, packed: Packed) -> str:
    """Add what of the compiler is not in its archive; or say why that cannot be sent."""
    tools = [path for path, _ in job.toolchain.files if not packed.paths.intersection((path, os.path.normpath(path)))]
    if any(_is_strange(path, packed) for path in tools):
        return "a tool is used that does not belong to the compiler"
    return "" if _add_known(tree, tools, memories) else "a tool is gone"


def _add_inputs(tree: Gathering, job: Job, reading: Reading, recipe: Recipe, memories: Memories) -> str:
    """Add all that the compile reads or looks at; or say why that cannot be sent."""
    for path, facts in reading.inputs.facts.items():
        tree.add_file(path, facts.digest, facts.size)
    around = LookedFor({}) if reading.is_foreseen else inputs_stage.surroundings(job, reading.inputs, memories, reading.start_ns)
    if around is None:
        return "what the compiler looks for cannot be told"
    if twins.may_be_taken_for_one(reading.inputs.facts, around.passed_over, memories.files):
        return "it may take two files for one"
    languages = locale_files(job.request.env)
    if languages is None:
        return "the files for this language are too many"
    terminal = terminal_files(job.request.env) if recipe.command.on_terminal else ()
    others = (*around.present, *(path for path, _ in job.named_inputs), *_marks(job), *languages, *terminal)
    if not _add_known(tree, others, memories):
        return "a file that it reads is gone"
    named = (job.path(name) for option in _SEARCHED for name in toolchain.values(option, job.parsed.search_args))
    if any(os.path.exists(path) and not os.path.isdir(path) for path in named):
        return "a directory of headers is none"
    for name in _directories(job):
        tree.add_directory(name)
    return ""


def _is_strange(path: str, packed: Packed) -> bool:
    """Whether this is a program that may not start on a worker: then another of its name might be taken, without a word."""
    is_program = ".so" not in os.path.basename(path) and os.access(path, os.X_OK)
    beside = os.path.dirname(path) + "/"
    return is_program and not any(name.startswith(beside) and "/" not in name[len(beside) :] for name in packed.paths)


def _doubt(job: Job, reading: Reading, recipe: Recipe, memories: Memories, finished: Finished) -> str:
    """What shows only afterwards: gcc quotes files that line directives name; time macros may be put together from pieces."""
    if job.driver.family == "gcc" and points_elsewhere(finished.result.stderr, lambda name: job.path(name) in reading.inputs.facts):
        return "its messages point at files that are no inputs"
    if reading.is_foreseen and not _was_foreseen(job, reading, recipe, memories, finished):
        return "it may have looked for more than was sent"
    start_s = reading.start_ns / 1e9
    start = datetime.fromtimestamp(start_s - CLOCKS_APART_S, UTC)
    end = datetime.now(UTC) + timedelta(seconds=CLOCKS_APART_S)
    reads_clock = "SOURCE_DATE_EPOCH" not in job.request.env
    for _, data in finished.outputs:
        if time_macros.timestamps_in(bytes(data), {FILE_TIME_S}) or (reads_clock and time_macros.expansions_in(bytes(data), start, end)):
            return "the time is in it"
    return ""


def _was_foreseen(job: Job, reading: Reading, recipe: Recipe, memories: Memories, finished: Finished) -> bool:
    """Whether all that the compiler has read, by its own list, and looked at besides, was sent."""
    listed = recipe.depfile or job.path(job.parsed.depfile.path if job.parsed.depfile else "")
    texts = [bytes(data) for output, data in finished.outputs if os.path.basename(output.path) == os.fsencode(os.path.basename(listed))]
    if len(texts) != 1:
        return False
    found = inputs_stage.collect(job, depfiles.parse(os.fsdecode(texts[0])), memories.files)
    around = None if found is None else inputs_stage.surroundings(job, found, memories, reading.start_ns)
    if found is None or around is None:
        return False
    sent = {os.path.normpath(path): facts for path, facts in reading.inputs.facts.items()}
    looked_at = zip(around.present, memories.files.facts_many(around.present), strict=True)
    return all(sent.get(os.path.normpath(path)) == facts for path, facts in (*found.facts.items(), *looked_at))


def _add_known(tree: Gathering, paths: Iterable[str], memories: Memories) -> bool:
    wanted = [path for path in dict.fromkeys(paths) if not path.startswith(_NOT_FILES)]
    for path, facts in zip(wanted, memories.files.facts_many(wanted), strict=True):
        if facts is None:
            return False
        tree.add_file(path, facts.digest, facts.size)
    return True


def _marks(job: Job) -> list[str]:
    """Files of which the driver only wants to know whether they are there."""
    names = (name.split("/../../")[0] for name in job.toolchain.bracket)  # `…/gcc/x86_64-linux-gnu/12/../../../../include/c++/12`
    found = (_GCC_INSTALLATION.fullmatch(os.path.normpath(job.path(name))) for name in names)
    marks = dict.fromkeys(os.path.join(match[1], _GCC_MARK) for match in found if match)
    return [path for path in marks if os.path.exists(path)]


def _directories(job: Job) -> list[str]:
    """Directories that exist here, whether anything was read in them or not."""
    searched = [job.path(name) for name in (*job.toolchain.quote, *job.toolchain.bracket)]
    named = job.request.env.get("PWD", "")
    if named.startswith("/"):  # compilers record this name of the working directory, if it is one
        searched.append(named)
    return [job.request.cwd, *(name for name in dict.fromkeys(searched) if os.path.isdir(name))]


def _places(job: Job, recipe: Recipe, tree: Gathering) -> dict[bytes, Place]:
    """Outputs by the names that they have when all links are followed; lists of files before objects."""
    depfile = os.path.normpath(job.path(job.parsed.depfile.path)) if job.parsed.depfile else ""
    texts = [path for path in (depfile, recipe.depfile, recipe.assembler_depfile) if path]
    objects = [path for path in job.output_paths() if path != depfile]
    places: dict[bytes, Place] = {}
    for path in (*texts, *reversed(objects)):
        if path.startswith(_NOT_FILES) or os.path.islink(path):
            raise OSError(0, "is no plain output", path)
        directory, base = os.path.split(path)
        places[os.fsencode(os.path.join(tree.add_directory(directory), base))] = Place(path, path in texts)
    return places
