"""One tree of runs whose cancel goes wrong, what the sensor says of it, and what the factory knows."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.errors import RunsNotAsWanted
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.provider.tasks import Task
from tests.provider.versions import AirflowSensorTimeout

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator import AdfEmulator

POKE_SECONDS = 30.0
STUCK_AFTER = timedelta(minutes=40)
TOLERANCE = timedelta(seconds=60)
TIMEOUT = timedelta(hours=1)
FINAL = frozenset({"Succeeded", "Failed", "Cancelled"})


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance has chosen for a seed.

    :param late_seconds: how long after the cancel late children start; above 60 that is a violation.
    """

    seed: int
    deferrable: bool
    on_stuck: str
    late_seconds: float
    lag_seconds: float
    has_faults: bool


def draw(seed: int) -> Draw:
    """Draw from a seed."""
    chance = random.Random(seed)  # noqa: S311 - reproducible
    deferrable = chance.random() < 0.5
    return Draw(
        seed,
        deferrable,
        chance.choice(["fail", "cancel_again"] + ["wait"] * deferrable),
        chance.choice([20.0, 110.0]),
        chance.choice([0.0, 2.0, 20.0]),
        chance.random() < 0.5,
    )


def scenario(drawn: Draw, regions: int, shops: int) -> dict[str, Any]:
    """Return a tree of three levels: half of its lowest runs finish by themselves, 5 % are stuck, 2 % late.

    :param regions: how many runs the top run has started.
    :param shops: how many runs each of these has started.
    """
    late = {"late_child": 0.04, "late_seconds": drawn.late_seconds}
    stuck = {"stuck": 0.05, "cancels_needed": 2}
    return {
        "now": "2026-03-01T06:40:00Z",
        "seed": drawn.seed,
        "query_lag_seconds": drawn.lag_seconds,
        "pipelines": {
            "top": {"activities": [{"name": "Region", "pipeline": "region", "count": regions}]},
            "region": {
                "cancel": stuck,
                "activities": [
                    {"name": "Load", "pipeline": "load", "count": shops // 2},
                    {"name": "Shop", "pipeline": "shop", "count": shops - shops // 2},
                ],
            },
            "load": {"seconds": 900, "cancel": {**stuck, "unstopped": 1.0}},
            "shop": {
                "cancel": {**stuck, **late},
                "activities": [
                    {"name": "Copy", "seconds": 1800},
                    {"name": "Report", "pipeline": "report", "dependsOn": ["Copy"]},
                ],
            },
            "report": {"seconds": 600},
            "other": {"seconds": 1200},
        },
        "runs": [
            {"pipeline": "top", "status": "InProgress", "started": "-PT10M", "id": "top"},
            {"pipeline": "other", "status": "InProgress", "started": "-PT10M", "count": 150},
        ],
    }


@dataclass(slots=True)
class Judgement:
    """What the sensor has said beside what is true.

    :param end: how the task has ended.
    :param findings: what it got wrong.
    """

    end: str
    runs: int
    stuck: int
    violated: int
    late_children: int
    requests: int
    findings: list[str] = field(default_factory=list)


def judge(emulator: AdfEmulator, drawn: Draw) -> Judgement:
    """Cancel the tree, let the sensor wait, and compare what it says with the factory.

    :param emulator: holds the scenario, its clock moved by waits.
    """
    hook = AdfRunsHook()
    hook.cancel_pipeline_run("top", is_recursive=True)
    cancelled_at = emulator.now
    if drawn.has_faults:
        emulator.fail_sometimes("*", rate=0.05, seed=drawn.seed, status=503)
        emulator.fail_sometimes("PipelineRuns_QueryByFactory", rate=0.1, seed=drawn.seed, stale_seconds=90)
    before = len(emulator.journal)
    waiting = Task(
        AdfCancelCompleteSensor,
        pipeline_run_ids="top",
        include_children=True,
        on_stuck=drawn.on_stuck,
        stuck_after=STUCK_AFTER.total_seconds(),
        poke_interval=POKE_SECONDS,
        timeout=TIMEOUT.total_seconds(),
        deferrable=drawn.deferrable,
    )
    try:
        said = waiting.run() if drawn.deferrable else _poke(emulator, waiting)
        end = "success"
    except RunsNotAsWanted:
        end, said = "failed", waiting.ti.report
    except AirflowSensorTimeout:
        end, said = "timed out", waiting.ti.report
    requests = len(emulator.journal) - before
    return _compare(emulator, cancelled_at, end, said, requests)


def _poke(emulator: AdfEmulator, waiting: Task) -> dict[str, Any]:
    """Poke as a worker does, less the sleep between."""
    sensor = waiting.make()
    while not (answer := sensor.poke(waiting.ti.context)).is_done:
        emulator.advance(POKE_SECONDS)
    return dict(answer.xcom_value)


def _compare(
    emulator: AdfEmulator, cancelled_at: datetime, end: str, said: dict[str, Any], requests: int
) -> Judgement:
    true = {run["runId"]: run for run in emulator.pipeline_runs() if run["pipelineName"] != "other"}
    now = emulator.now
    told = {run["run_id"]: run["status"] for run in said["runs"]}
    late = {run_id for run_id, run in true.items() if _time(run["runStart"]) > cancelled_at}
    stuck = {
        run_id
        for run_id, run in true.items()
        if run_id not in late and _ended_or(now, run) > cancelled_at + STUCK_AFTER
    }
    violated = {
        run_id
        for run_id in true
        for activity in emulator.activity_runs(run_id)
        if run_id not in late and _time(activity["activityRunStart"]) > cancelled_at + TOLERANCE
    }
    found = Judgement(end, len(true), len(said["stuck"]), len(violated), len(late), requests)
    if set(told) != set(true):
        found.findings.append(
            f"the tree: {len(set(true) - set(told))} missed, {len(set(told) - set(true))} made up"
        )
    lag = timedelta(seconds=130)
    for run_id, status in told.items():
        is_fresh = _time(true[run_id]["lastUpdated"]) > now - lag
        if status != true[run_id]["status"] and (status in FINAL or not is_fresh):
            found.findings.append(f"{run_id} is {true[run_id]['status']}, and not {status}")
    if end == "success":
        not_final = [run_id for run_id, run in true.items() if run["status"] not in FINAL]
        found.findings += [f"{run_id} is not final, and the task has succeeded" for run_id in not_final]
    for what, truth in (("violated", violated), ("stuck", stuck)):
        if set(said[what]) != truth:
            found.findings.append(
                f"{what}: {sorted(truth - set(said[what]))} missed, {sorted(set(said[what]) - truth)} made up"
            )
    if end == "failed" and not stuck and not violated:
        found.findings.append("the task has failed, and nothing is wrong")
    return found


def _ended_or(now: datetime, run: dict[str, Any]) -> datetime:
    return _time(run["runEnd"]) if run["status"] in FINAL else now


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
