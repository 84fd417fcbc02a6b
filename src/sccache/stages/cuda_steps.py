"""An nvcc compile step by step, so that what is known already of its parts is not made again (docs/decisions/0016).

nvcc is a driver: `nvcc --dryrun` says in 10 ms which commands it would run.  They are run here level by level, each under the observer.
cudafe++, cicc and ptxas are looked up before they are run, and kept as entries of their own.  What all of them read together is left
as the report of the whole command, which is then judged and kept as if nvcc itself had been run.

Owns: the order of levels.  Must not know: nvcc's command line, how a command is found to be worth this.
"""

from sccache.stages.bench import Bench
from sccache.stages.hands import Hands, Ran, StoreSoon
from sccache.stages.observed_results import Attempt
from sccache.stages.recipes import Scratch


async def run(attempt: Attempt, hands: Hands, scratch: Scratch, bench: Bench, store_soon: StoreSoon) -> Ran | None:  # noqa: ARG001
    """Do what `attempt.command` would do, step by step; None: not possible here, run that command.

    For the pipeline, after a miss of the whole nvcc command, instead of `hands.run(attempt.command)`:
    - A result has status 0 and the messages of all steps; the outputs are written, and the observer's report of the whole stands at
      `attempt.report`.  Go on with `observed_results.collect(attempt, ran, …)` and count the miss as always.  The answer to the
      launcher must be `Finish(0, ran.stdout, ran.stderr)`, not Replay: its last command was only the last level.
    - None after anything unexpected, a step that failed included: the user's own command tells what is wrong.  Outputs may have been
      written; `attempt.before` is as it was.
    - Steps are counted as hits and misses here: "PTX" (`ptx [cicc]`), "CUBIN" (`cubin [ptxas]`), "CUDA (Device code)" (`cuda [cudafe++]`).
    """
    return None
