"""What watching costs: requests and memory of one watch of many cancelling runs, by the factory's journal.

Run as ``python -m benchmarks.watching``. 1,000 runs are Canceling for ten minutes and are looked at every 30
seconds, on a clock that only the waits move.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.pause import moving
from airflow_provider_adfruns.batch.cancel_rules import CancelRules
from airflow_provider_adfruns.batch.final_watch import RunsFinalWatch
from airflow_provider_adfruns.batch.watch import wait_until_done
from airflow_provider_adfruns.emulator import AdfEmulator
from benchmarks.throttling import connection_to

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNS = 1000
MINUTES = 10
POLL_SECONDS = 30.0
_RULES = CancelRules(stuck_after=timedelta(hours=1), violation_tolerance=timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a watch has cost.

    :param requests: how many of each operation.
    :param canceling_for_over_a_minute: of how many runs activities may be read.
    :param grown: by how many bytes Python's memory had grown at the most.
    """

    requests: Counter[str]
    canceling_for_over_a_minute: int
    grown: int

    @property
    def allowed(self) -> int:
        """How many requests may have been sent."""
        return 200 + self.canceling_for_over_a_minute


def scenario(runs: int, noise: int) -> dict[str, Any]:
    """Return a factory with runs whose cancel takes ten minutes, for a few only half a minute.

    :param noise: how many other runs go on, and end, meanwhile.
    """
    quick = runs // 10
    return {
        "now": "2026-03-01T06:40:00Z",
        "pipelines": {
            "load": {"seconds": 7200, "cancel_seconds": MINUTES * 60},
            "quick": {"seconds": 7200, "cancel_seconds": 30},
            "other": {"seconds": 900},
        },
        "runs": [
            {"pipeline": "load", "status": "InProgress", "started": "-PT10M", "count": runs - quick},
            {"pipeline": "quick", "status": "InProgress", "started": "-PT10M", "count": quick},
            *(
                {
                    "pipeline": "other",
                    "status": "InProgress",
                    "started": f"-PT{minute}M",
                    "count": noise // 10,
                }
                for minute in range(1, 11)
                if noise
            ),
        ],
    }


def watched(
    runs: int = RUNS, noise: int = 0, *, rules: CancelRules = _RULES, measure_memory: bool = False
) -> Cost:
    """Cancel runs, watch them and their children to their end, and count.

    :param runs: how many.
    :param noise: how many other runs of the factory go on meanwhile.
    :param rules: without a violation tolerance no run's activities are read.
    :param measure_memory: trace what Python allocates, which takes several times as long.
    """
    with AdfEmulator(scenario(runs, noise), clock="manual") as emulator, moving(emulator.advance):
        run_ids = [run["runId"] for run in emulator.pipeline_runs() if run["pipelineName"] != "other"]
        if measure_memory:
            tracemalloc.start()
        slow = asyncio.run(_cancel_and_watch(emulator, run_ids, rules))
        grown = tracemalloc.get_traced_memory()[1] if measure_memory else 0
        tracemalloc.stop()
        sent = Counter(entry.operation for entry in emulator.journal)
        del sent["PipelineRuns_Cancel"]
        return Cost(sent, slow, grown)


async def _cancel_and_watch(emulator: AdfEmulator, run_ids: Sequence[str], rules: CancelRules) -> int:
    """Cancel and watch. :return: how many runs were Canceling for over a minute."""
    async with FactoryClient(connection_to(emulator.connection())) as client:
        for run_id in run_ids:
            await client.cancel_pipeline_run(run_id, is_recursive=True)
        if tracemalloc.is_tracing():
            tracemalloc.clear_traces()
        watch = RunsFinalWatch(client, pipeline_run_ids=run_ids, include_children=True, rules=rules)
        deadline = await client.now() + timedelta(hours=1)
        await wait_until_done(watch, client, poll_interval=POLL_SECONDS, deadline=deadline)
        slow = [
            run
            for run in watch.runs
            if run.canceling_since
            and run.ended_at
            and run.ended_at - run.canceling_since > timedelta(minutes=1)
        ]
        return len(slow)


def main() -> None:
    """Print the cost beside what is allowed."""
    for noise in (0, 1000):
        cost = watched(noise=noise, measure_memory=not noise)
        print(
            f"{RUNS} runs, {MINUTES} minutes, a look every {POLL_SECONDS:.0f} s, {noise} other runs:"
            f" {cost.requests.total()} requests {dict(cost.requests)}, allowed {cost.allowed} (200, and one"
            f" for each of {cost.canceling_for_over_a_minute} runs that were Canceling for over a minute)"
            f"; memory grew by {cost.grown / 2**20:.1f} MiB at the most, the local factory's share included"
            if cost.grown
            else f"{cost.requests.total()} requests beside {noise} other runs, allowed {cost.allowed}",
            flush=True,
        )


if __name__ == "__main__":
    main()
