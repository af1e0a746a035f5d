"""What watching costs: requests and memory of one watch of many cancelling runs, by the factory's journal.

Run as ``python -m benchmarks.watching``; it ends in 1 if that is more than is allowed. 1,000 runs are
Canceling for ten minutes, and a deferred sensor looks at them every 30 seconds, on a clock that only the
waits move.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import tracemalloc
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import RunsNotAsWanted
from airflow_provider_adfruns.adf.pause import moving
from airflow_provider_adfruns.emulator import AdfEmulator
from benchmarks.throttling import connection_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RUNS = 1000
MINUTES = 10
POLL_SECONDS = 30.0
MOST_REQUESTS = 200
MOST_GROWN = 30_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What a watch has cost.

    :param requests: how many of each operation.
    :param canceling_for_over_a_minute: of how many runs activities may be read.
    :param grown: by how many bytes Python's memory had grown at the most while the trigger ran.
    """

    requests: Counter[str]
    canceling_for_over_a_minute: int
    grown: int

    @property
    def allowed(self) -> int:
        """How many requests may have been sent."""
        return MOST_REQUESTS + self.canceling_for_over_a_minute

    @property
    def is_allowed(self) -> bool:
        """Whether it is no more than is allowed."""
        return self.requests.total() <= self.allowed and self.grown <= MOST_GROWN


def scenario(runs: int, noise: int = 0, *, is_violated: bool = False) -> dict[str, Any]:
    """Return a factory with runs whose cancel takes ten minutes, for a few only half a minute.

    :param noise: how many other runs go on, and end, meanwhile.
    :param is_violated: an activity of the one run of ``odd`` starts seven minutes after the cancel.
    """
    quick = runs // 10
    late = {"late_activity": True, "late_seconds": 420}
    odd = [{"pipeline": "odd", "status": "InProgress", "started": "-PT10M"}] if is_violated else []
    return {
        "now": "2026-03-01T06:40:00Z",
        "pipelines": {
            "load": {"seconds": 7200, "cancel_seconds": MINUTES * 60},
            "quick": {"seconds": 7200, "cancel_seconds": 30},
            "other": {"seconds": 900},
            "odd": {
                "activities": [
                    {"name": "Copy", "seconds": 7200},
                    {"name": "Transform", "seconds": 30, "dependsOn": ["Copy"]},
                ],
                "cancel": late,
            },
        },
        "runs": [
            {
                "pipeline": "load",
                "status": "InProgress",
                "started": "-PT10M",
                "count": runs - quick - len(odd),
            },
            *odd,
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
    runs: int = RUNS,
    noise: int = 0,
    *,
    is_violated: bool = False,
    measure_memory: bool = False,
    **parameters: Any,
) -> Cost:
    """Cancel runs, let a deferred sensor wait for them and their children, and count.

    :param runs: how many.
    :param noise: how many other runs of the factory go on meanwhile.
    :param is_violated: let an activity start late, which the sensor has to find.
    :param measure_memory: trace what Python allocates, which takes several times as long.
    :param parameters: of the sensor; without a violation tolerance no run's activities are read.
    """
    with (
        AdfEmulator(scenario(runs, noise, is_violated=is_violated), clock="manual") as emulator,
        moving(emulator.advance),
    ):
        os.environ["AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"] = emulator.connection_json()
        run_ids = [run["runId"] for run in emulator.pipeline_runs() if run["pipelineName"] != "other"]
        asyncio.run(_cancel(emulator, run_ids))
        before = len(emulator.journal)
        result, grown = _wait(
            {"pipeline_run_ids": run_ids, "include_children": True, **parameters},
            measure_memory=measure_memory,
        )
        sent = Counter(entry.operation for entry in emulator.journal[before:])
        return Cost(sent, sum(_was_slow(run, emulator.now) for run in result["runs"]), grown)


async def _cancel(emulator: AdfEmulator, run_ids: Iterable[str]) -> None:
    async with FactoryClient(connection_to(emulator.connection())) as client:
        for run_id in run_ids:
            await client.cancel_pipeline_run(run_id, is_recursive=True)


def _wait(parameters: Mapping[str, Any], *, measure_memory: bool) -> tuple[dict[str, Any], int]:
    """Wait as a worker and a triggerer do. :return: the task's result, and by what the trigger grew."""
    from airflow_provider_adfruns.sensors.cancel_complete import (  # noqa: PLC0415 - after its environment
        AdfCancelCompleteSensor,
    )
    from tests.provider.tasks import Task, event_of, through_json  # noqa: PLC0415 - after its environment

    task = Task(AdfCancelCompleteSensor, deferrable=True, poke_interval=POLL_SECONDS, **parameters)
    deferral = task.defer()
    if measure_memory:
        tracemalloc.start()
    event = event_of(through_json(deferral.trigger))
    grown = tracemalloc.get_traced_memory()[1] if measure_memory else 0
    tracemalloc.stop()
    with suppress(RunsNotAsWanted):  # on_stuck="fail"
        task.resume(deferral, event)
    return task.ti.report, grown


def _was_slow(run: Mapping[str, Any], now: datetime) -> bool:
    """Say whether a run was Canceling for over a minute."""
    if run["canceling_since"] is None:
        return False
    ended = datetime.fromisoformat(run["ended_at"]) if run["ended_at"] else now
    return ended - datetime.fromisoformat(run["canceling_since"]) > timedelta(minutes=1)


def main() -> int:
    """Print the cost beside what is allowed. :return: 0 if that is nowhere more, else 1."""
    with tempfile.TemporaryDirectory(prefix="adfruns-watching-") as home:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        costs = {
            "no other runs": watched(measure_memory=True),
            "1,000 other runs": watched(noise=1000),
            "one late activity, and on_stuck='fail'": watched(is_violated=True, on_stuck="fail"),
        }
    print(f"{RUNS} runs, {MINUTES} minutes, a look every {POLL_SECONDS:.0f} s")
    for what, cost in costs.items():
        grown = f"; memory grew by {cost.grown / 1e6:.1f} MB, the local factory's share included"
        print(
            f"{what}: {cost.requests.total()} requests {dict(cost.requests)}, allowed {cost.allowed}"
            f" ({MOST_REQUESTS}, and one for each of {cost.canceling_for_over_a_minute} runs that were"
            f" Canceling for over a minute){grown if cost.grown else ''}"
            f"{'' if cost.is_allowed else ': too much'}"
        )
    return 0 if all(cost.is_allowed for cost in costs.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
