"""What a large factory costs: memory and loading time of N trigger runs, and a page of each kind of query.

``python -m benchmarks.emulator_size [N]`` prints a table; N is 100,000 by default, in ten triggers, and each
of the trigger runs has its pipeline run. Nothing here is a test: a machine's speed is not a fact of the code.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.emulator.engine import Factory
from airflow_provider_adfruns.emulator.operations import Call, Operations
from airflow_provider_adfruns.emulator.scenario import load_scenario

if TYPE_CHECKING:
    from collections.abc import Callable

TRIGGERS = 10
REPEATS = 15
MEBIBYTE = 2**20


def scenario(runs: int) -> dict[str, Any]:
    """Return a factory of ten triggers with so many windows in all, one in four of them failed."""
    windows = runs // TRIGGERS
    trigger = {
        "pipeline": "load",
        "frequency": "Minute",
        "interval": 5,
        "startTime": "2026-01-20T00:00:00Z",
        "parameters": {"from": "@trigger().outputs.windowStartTime"},
        "windows": {
            "count": windows,
            "except": [{"windows": f"{windows // 2}..{windows // 2 + windows // 4}", "status": "Failed"}],
        },
    }
    return {
        "now": "2026-03-01T06:40:00Z",
        "pipelines": {"load": {"seconds": 60}},
        "triggers": {f"trigger_{number}": trigger for number in range(TRIGGERS)},
    }


def resident_bytes() -> int:
    """Return what this process holds of the machine's memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def traced(runs: int) -> int:
    """Return the bytes Python allocated for a factory, as its own bookkeeping counts them."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    factory = Factory(load_scenario(scenario(runs)))
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del factory
    return taken


def queries(factory: Factory) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the queries measured: their operation and body, under what they ask."""
    hour = timedelta(hours=1)
    ever = {"lastUpdatedAfter": "2026-01-01T00:00:00Z", "lastUpdatedBefore": "2027-01-01T00:00:00Z"}
    day = ever | {"lastUpdatedAfter": (factory.now - 24 * hour).isoformat()}
    name = {"operand": "TriggerName", "operator": "Equals", "values": ["trigger_3"]}
    failed = {"operand": "Status", "operator": "Equals", "values": ["Failed"]}
    newest = [{"orderBy": "TriggerRunTimestamp", "order": "DESC"}]
    triggers, pipelines = "TriggerRuns_QueryByFactory", "PipelineRuns_QueryByFactory"
    return {
        "trigger runs: name, a day": (triggers, day | {"filters": [name]}),
        "trigger runs: name, ever": (triggers, ever | {"filters": [name]}),
        "trigger runs: name and status": (triggers, ever | {"filters": [name, failed]}),
        "trigger runs: everything": (triggers, ever),
        "trigger runs: name, a day, ordered": (triggers, day | {"filters": [name], "orderBy": newest}),
        "trigger runs: name, ever, ordered": (triggers, ever | {"filters": [name], "orderBy": newest}),
        "trigger runs: everything, ordered": (triggers, ever | {"orderBy": newest}),
        "pipeline runs: status": (pipelines, ever | {"filters": [failed]}),
        "pipeline runs: newest of groups": (
            pipelines,
            ever | {"filters": [{"operand": "LatestOnly", "operator": "Equals", "values": ["true"]}]},
        ),
        "pipeline runs: a day, oldest first": (
            pipelines,
            day | {"orderBy": [{"orderBy": "RunStart", "order": "ASC"}]},
        ),
        "pipeline runs: status, ordered": (
            pipelines,
            ever | {"filters": [failed], "orderBy": [{"orderBy": "RunStart", "order": "ASC"}]},
        ),
    }


def seconds_of(act: Callable[[], Any]) -> tuple[float, float]:
    """Return the median and the worst of several tries."""
    tries = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        act()
        tries.append(time.perf_counter() - begun)
    return statistics.median(tries), max(tries)


def main(runs: int) -> None:
    """Measure, and print."""
    gc.collect()
    before = resident_bytes()
    begun = time.perf_counter()
    factory = Factory(load_scenario(scenario(runs)))
    loaded = time.perf_counter() - begun
    gc.collect()
    grown = resident_bytes() - before
    print(f"{len(factory.triggers.runs):,} trigger runs and {len(factory.pipelines.runs):,} pipeline runs")
    print(f"  loaded in {loaded:.1f} s")
    print(f"  memory: the process grew by {grown / MEBIBYTE:.0f} MiB")
    # Tracing slows everything down, and what was freed before would be used again: so it has its own process.
    apart = [sys.executable, "-c", f"from {__spec__.name} import traced; print(traced({runs}))"]
    counted = int(subprocess.run(apart, check=True, capture_output=True, text=True).stdout)  # noqa: S603
    print(
        f"          Python allocated {counted / MEBIBYTE:.0f} MiB, {counted / runs:.0f} bytes a trigger run"
    )
    operations = Operations(factory, "2022")
    print(f"  {'a page of':<38}{'first page':>12}{'worst':>9}{'second page':>14}")
    for title, (operation, body) in queries(factory).items():

        def page(asked: dict[str, Any], operation: str = operation) -> dict[str, Any]:
            done = operations.carry_out(operation, Call((), {}, asked, None))
            operations.written(done.answer)
            return dict(done.answer)

        median, worst = seconds_of(lambda: page(body))  # noqa: B023 - called before the next turn
        following = {**body, "continuationToken": page(body).get("continuationToken")}
        second, _ = seconds_of(lambda: page(following))  # noqa: B023
        print(f"  {title:<38}{median * 1000:>9.1f} ms{worst * 1000:>6.1f} ms{second * 1000:>11.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
