"""An nvcc compile step by step, so that what is known already of its parts is not made again (docs/decisions/0016).

nvcc is a driver: `nvcc --dryrun` says in 10 ms which commands it would run.  They are run here level by level, each under the observer.
cudafe++, cicc and ptxas are looked up before they are run, and kept as entries of their own.  What all of them read together is left
as the report of the whole command, which is then judged and kept as if nvcc itself had been run.

Owns: the order of levels.  Must not know: nvcc's command line, how a command is found to be worth this.
"""

import asyncio
import itertools
import logging
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from sccache.compilers.nvcc import dryrun
from sccache.compilers.nvcc.dryrun import Kind, Plan, Step
from sccache.stages import (
    cuda_depfile,
    cuda_jobs,
    cuda_options,
    cuda_report,
    cuda_script,
    distributed_cuda,
    lookup,
    observation,
    observed_results,
)
from sccache.stages.bench import Bench
from sccache.stages.cuda_jobs import StepJob
from sccache.stages.cuda_options import Options
from sccache.stages.cuda_script import Line
from sccache.stages.family_job import unobserved
from sccache.stages.hands import Command, Hands, Ran, StoreSoon
from sccache.stages.observed_results import Attempt
from sccache.stages.outputs import write_text_file
from sccache.stages.recipes import Scratch, is_on_terminal

log = logging.getLogger(__name__)

_LAST = frozenset({Kind.FATBINARY, Kind.COMPILE})
"""Kinds that are run together, one after the other: nothing is looked up between them."""
_LEAST_AT_A_TIME = {Kind.PREPROCESS: 2}
"""What is lost by looking up between levels is won again here: 50 ms; preprocessors are small and short."""

_PASSED_ON = frozenset({Kind.PREPROCESS, Kind.CUDAFE})
"""Kinds whose errors nvcc passes on (not with --threads), and that make no output: most errors are theirs."""
_FIRST_SIGNAL = 126
_PLAIN = re.compile(r"/[\w./+@~-]*", re.ASCII)
"""A path that needs no quoting anywhere."""


async def run(attempt: Attempt, hands: Hands, scratch: Scratch, bench: Bench, store_soon: StoreSoon) -> Ran | None:
    """Do what `attempt.command` would do, step by step; None: not possible here, run that command.

    For the pipeline, after a miss of the whole nvcc command, instead of `hands.run(attempt.command)`:
    - A result with status 0 has the messages of all steps; the outputs are written, and the observer's report of the whole stands at
      `attempt.report`.  Go on with `observed_results.collect(attempt, ran, …)` and count the miss as always.  The answer to the
      launcher must be `Finish(0, ran.stdout, ran.stderr)`, not Replay: its last command was only the last level.
    - Another status is the one with which nvcc would have ended, at a step that makes no output; the answer is Replay.
    - None after anything unexpected, other steps that fail included: the user's own command tells what is wrong.  Outputs may have
      been written; `attempt.before` is as it was.
    - Steps are counted as hits and misses here: "PTX" (`ptx [cicc]`), "CUBIN" (`cubin [ptxas]`), "CUDA (Device code)" (`cuda [cudafe++]`).
    """
    job = attempt.job
    folder = scratch.path(".cuda")
    options = cuda_options.read(job.program.args, job.request.cwd, job.request.env)
    if not attempt.report or options is None or not _PLAIN.fullmatch(folder):
        return None
    start_ns = time.monotonic_ns()
    os.mkdir(folder, 0o700)
    try:
        stdout, stderr = await _Walk(_Tools(hands, scratch, bench, store_soon, options), attempt, folder).go()
        return Ran(0, time.monotonic_ns() - start_ns, stdout, stderr)
    except _FailedError as e:
        log.debug("[%s]: a step failed", job.label)
        return await hands.run(Command(cuda_script.SHELL, (e.script,)))
    except (_CannotGoOnError, OSError) as e:
        log.debug("[%s]: not compiled by steps: %s", job.label, e)
        return None
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


class _CannotGoOnError(Exception):
    """Something is not as a plan would have it."""


class _FailedError(Exception):
    """A step failed, and the whole command with it."""

    def __init__(self, script: str) -> None:
        super().__init__(script)
        self.script = script
        """Says what nvcc would have said."""


class _Planned(Struct, frozen=True):
    """A step at its place in nvcc's order."""

    index: int
    step: Step
    job: StepJob | None = None
    """None: not looked up, never kept."""


class _Tools(Struct, frozen=True):
    """What every level needs."""

    hands: Hands
    scratch: Scratch
    bench: Bench
    store_soon: StoreSoon
    options: Options


class _Walk:
    """One command on its way through the levels."""

    def __init__(self, tools: _Tools, attempt: Attempt, folder: str) -> None:
        self._whole = attempt.job
        self._report = attempt.report
        self._start_ns = attempt.start_ns
        self._tools = tools
        self._bench = tools.bench
        self._folder = folder
        observer = observation.observer()
        if observer is None:
            raise _CannotGoOnError("nothing can be observed here")
        self._observer = observer
        self._at_a_time = tools.options.threads
        self._style = tools.options.dependencies
        self._on_terminal = is_on_terminal(self._whole.request)
        self._env: Mapping[str, str] = self._whole.request.env
        self._variables: Mapping[str, str] = {}
        self._records: list[str] = []
        self._said: list[tuple[int, bytes, bytes]] = []
        self._judging: list[asyncio.Task[None]] = []
        self._numbers = itertools.count()
        self._done: set[int] = set()

    async def go(self) -> tuple[bytes, bytes]:
        """Make the outputs and the report; gives what was said."""
        try:
            plan = await self._planned()
            planned = [_Planned(index, step) for index, step in enumerate(plan.steps)]
            dependencies: bytes | None = None
            for level in sorted({step.level for step in plan.steps if step.kind not in _LAST}):
                await self._run(await self._missing([one for one in planned if one.step.level == level]), self._at_a_time)
                if plan.depfile and dependencies is None:
                    dependencies = await asyncio.to_thread(self._dependencies, plan)
                    write_text_file(self._whole.path(plan.depfile), dependencies, 0o666 & ~self._whole.request.umask)
            for made, wanted in plan.links:
                shutil.copyfile(made, wanted)
            await self._run([one for one in planned if one.step.kind in _LAST], 1, plan.copies)
            await asyncio.gather(*self._judging)
            if await asyncio.to_thread(cuda_jobs.names_module, plan, self._whole.path(plan.target)):
                self._records.append(cuda_report.BOUND)
        finally:
            for task in self._judging:
                task.cancel()
        await asyncio.to_thread(cuda_report.write, self._report, self._records)
        self._said.sort(key=lambda said: said[0])
        return b"".join(out for _, out, _ in self._said), b"".join(err for _, _, err in self._said)

    async def _planned(self) -> Plan:
        program = self._whole.program
        report = self._file("plan.seen")
        words = self._observed(report, program.path, program.name, (*dryrun.FLAGS, self._folder, *program.args))
        ran = await self._tools.hands.run(Command(words[0], words[1:]))
        if ran.status != 0 or bytes(ran.stdout):
            raise _CannotGoOnError("no plan")
        plan = dryrun.parse(os.fsdecode(bytes(ran.stderr)), self._folder)
        if isinstance(plan, dryrun.Unsuitable):
            raise _CannotGoOnError(plan.reason)
        if plan.depfile and self._style is None:
            raise _CannotGoOnError("the dependency file's form")
        self._records += cuda_report.without_below(cuda_report.records(report), self._folder)
        self._said.append((-1, b"", os.fsencode(plan.messages)))
        self._variables = plan.variables
        self._env = {**self._env, **plan.variables}
        await asyncio.to_thread(self._find_programs, plan)
        for place in {os.path.dirname(path) for step in plan.steps for _, path in step.outputs}:
            os.makedirs(place, exist_ok=True)
        return plan

    def _find_programs(self, plan: Plan) -> None:
        """A program that appeared earlier in PATH would be another one: what nvcc's shells see."""
        missed: dict[str, None] = {}
        for step in plan.steps:
            path, before = cuda_jobs.find_program(step, self._env, self._whole.request.cwd)
            if not path:
                raise _CannotGoOnError(f"{step.program} is not there")
            missed.update(dict.fromkeys(before))
        self._records += ["a" + path for path in missed]

    async def _missing(self, steps: Sequence[_Planned]) -> list[_Planned]:
        """Those that are not in the cache."""
        found = await asyncio.gather(*(self._looked_up(planned) for planned in steps))
        return [planned for planned in found if planned is not None]

    async def _looked_up(self, planned: _Planned) -> _Planned | None:
        """None: its outputs are there now, from the cache."""
        step = planned.step
        if step.kind not in cuda_jobs.NAMES:
            return planned
        made = await asyncio.to_thread(cuda_jobs.make, step, self._whole, self._env, self._folder, self._bench.files)
        if made is None:
            raise _CannotGoOnError(f"{step.kind.value} or its source is not there")
        start_ns = time.monotonic_ns()
        self._bench.stats.count("requests_executed")  # as sccache counts them: each step is a compile
        found = await lookup.direct(made.job, made.job.manifest_key(), self._bench.files, self._bench.storage)
        if isinstance(found, lookup.Hit):
            finish = await lookup.restore(made.job, found, self._bench.storage)
            records = cuda_report.revived(_content(made.seen), self._start_ns) if finish is not None else None
            if finish is not None and records is not None:
                log.debug("[%s]: cache hit of a step", made.job.label)
                self._bench.stats.hit(*made.job.names, time.monotonic_ns() - start_ns, direct=True)
                self._records += records
                self._said.append((planned.index, finish.stdout, finish.stderr))
                self._done.add(planned.index)
                return None
        return _Planned(planned.index, step, made)

    async def _run(self, wanted: Sequence[_Planned], at_a_time: int, copies: Sequence[tuple[str, str]] = ()) -> None:
        """Run the steps of a level, and have judged what can be kept of them.  `copies`: what is to be done at its end."""
        if not wanted and not copies:
            return
        attempts = {planned.index: observed_results.begin(planned.job.job, self._tools.scratch) for planned in wanted if planned.job}
        try:
            remote = await self._elsewhere(wanted, attempts)
            local = [planned for planned in wanted if planned.index not in remote]
            for planned in wanted:
                if planned.index in remote:
                    await self._account(planned, attempts, remote[planned.index], is_alone=True)
            if not local and not copies:
                return
            lines = {planned.index: self._line(planned, attempts.get(planned.index)) for planned in local}
            at_a_time = max([at_a_time, *(_LEAST_AT_A_TIME.get(planned.step.kind, 1) for planned in local)])
            ran = await self._tools.hands.run(self._script([*lines.values(), *(Line(("cp", *pair)) for pair in copies)], at_a_time))
            if ran.status != 0:
                raise self._failure([planned.index for planned in local], lines)
            silent = not ran.stdout and not ran.stderr
            if not silent:
                self._said.append((local[0].index if local else 0, bytes(ran.stdout), bytes(ran.stderr)))
            for planned in local:
                said = (_content(lines[planned.index].stdout), _content(lines[planned.index].stderr))
                await self._account(planned, attempts, Ran(0, ran.duration_ns // len(local), *said), is_alone=silent)
        finally:
            for attempt in attempts.values():
                observed_results.end(attempt)

    async def _elsewhere(self, wanted: Sequence[_Planned], attempts: Mapping[int, Attempt]) -> dict[int, Ran]:
        """Run on a farm, if there is one, what can be looked up: those are the steps that take long."""
        distribution = self._bench.distribution
        if distribution is None:
            return {}
        works = {
            planned.index: distributed_cuda.work(attempts[planned.index], planned.step, self._folder, self._bench.memories)
            for planned in wanted
            if planned.index in attempts
        }
        ran = await asyncio.gather(
            *(distribution.elsewhere(work, self._tools.hands) for work in works.values() if not isinstance(work, str))
        )
        indexes = [index for index, work in works.items() if not isinstance(work, str)]
        return {index: one for index, one in zip(indexes, ran, strict=True) if one is not None}

    async def _account(self, planned: _Planned, attempts: dict[int, Attempt], ran: Ran, *, is_alone: bool) -> None:
        """Add what a step said and read to the whole's, and have it judged.  `is_alone`: nothing else can have said it."""
        self._said.append((planned.index, bytes(ran.stdout), bytes(ran.stderr)))
        self._done.add(planned.index)
        attempt = attempts.get(planned.index)
        records = cuda_report.records(attempt.report if attempt else self._step_report(planned))
        self._records += cuda_report.without_below(records, self._folder)
        await asyncio.to_thread(cuda_jobs.tidy, planned.step)
        if attempt is not None and planned.job is not None:
            self._bench.stats.miss(*planned.job.job.names, ran.duration_ns, "never seen")
            log.debug("[%s]: cache miss of a step", planned.job.job.label)
            if is_alone:
                attempts.pop(planned.index)
                self._judging.append(asyncio.create_task(self._judge(planned.job, attempt, ran, records)))

    async def _judge(self, made: StepJob, attempt: Attempt, ran: Ran, records: Sequence[str]) -> None:
        """Keep a step's result, if it may be kept."""
        try:
            if not await asyncio.to_thread(self._can_report, made, attempt, records):
                return
            kept = await observed_results.collect(attempt, ran, self._bench, unobserved)
        finally:
            observed_results.end(attempt)
        if isinstance(kept, str):
            log.debug("[%s]: a step's result is not kept: %s", made.job.label, kept)
            return
        wanted = cuda_jobs.storable(kept, self._folder)
        if wanted is None:
            log.debug("[%s]: a step's result is of one run", made.job.label)
            return
        work = observed_results.keep(wanted, {}, self._bench)
        if not self._tools.store_soon(work):
            work.close()

    def _can_report(self, made: StepJob, attempt: Attempt, records: Sequence[str]) -> bool:
        """Leave what a step has read to be judged, and to be kept with its result; whether that can be done."""
        seen = cuda_report.kept(cuda_report.without_below(records, self._folder))
        if seen is None:
            return False
        _write(made.seen, seen)
        files = [made.step.source, *(path for _, path in made.step.outputs)]
        cuda_report.write(attempt.report, cuda_report.without_files(records, files, self._folder))
        return True

    def _line(self, planned: _Planned, attempt: Attempt | None) -> Line:
        if attempt is not None:
            words = (attempt.command.executable, *attempt.command.args)
        else:
            path, _ = cuda_jobs.find_program(planned.step, self._env, self._whole.request.cwd)
            words = self._observed(self._step_report(planned), path, planned.step.program, planned.step.args)
        if self._on_terminal:
            return Line(words)
        failed = self._file(f"{planned.index}.failed") if planned.step.kind in _PASSED_ON and self._at_a_time == 1 else ""
        return Line(words, self._file(f"{planned.index}.out"), self._file(f"{planned.index}.err"), failed)

    def _failure(self, wanted: Sequence[int], lines: Mapping[int, Line]) -> Exception:
        """What ends the walk: nvcc ends with its first step that fails and adds nothing: so do we, if all before it are known."""
        first = next((index for index in wanted if lines[index].failed and os.path.exists(lines[index].failed)), None)
        if first is None or not self._done.issuperset(set(range(first)) - set(wanted)):
            return _CannotGoOnError("a step failed")
        status = int(_content(lines[first].failed))
        if not 0 < status < _FIRST_SIGNAL or not _content(lines[first].stderr):
            return _CannotGoOnError(f"a step failed with status {status}")
        said = [one for one in self._said if one[0] < first]
        said += [(index, _content(lines[index].stdout), _content(lines[index].stderr)) for index in wanted if index <= first]
        said.sort(key=lambda one: one[0])
        stdout, stderr, script = (self._file(name) for name in ("said.out", "said.err", "said.sh"))
        _write(stdout, b"".join(out for _, out, _ in said))
        _write(stderr, b"".join(err for _, _, err in said))
        _write(script, cuda_script.replay(stdout, stderr, status))
        return _FailedError(script)

    def _script(self, lines: Sequence[Line], at_a_time: int) -> Command:
        folder = self._file(f"level{next(self._numbers)}")
        os.mkdir(folder)
        path = os.path.join(folder, "all.sh")
        for name, content in cuda_script.parts(lines, folder):
            _write(name, content)
        _write(path, cuda_script.text(self._variables, lines, at_a_time, folder))
        return Command(cuda_script.SHELL, (path,), on_terminal=self._on_terminal)

    def _observed(self, report: str, path: str, name: str, args: Sequence[str]) -> tuple[str, ...]:
        return (self._observer.program, report, self._observer.shim, path, name, *args)

    def _file(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _step_report(self, planned: _Planned) -> str:
        return self._file(f"{planned.index}.seen")

    def _dependencies(self, plan: Plan) -> bytes:
        """The dependency file, from the texts of the first level."""
        texts = [_content(step.source) for step in plan.steps if step.kind is Kind.PREPROCESS]
        content = cuda_depfile.text(self._style, plan.target, texts) if self._style else None
        if content is None:
            raise _CannotGoOnError("the dependency file is nvcc's")
        return content


def _content(path: str) -> bytes:
    if not path:
        return b""
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
