"""The report of a cancel in a bad night equals what the local factory knows, and nothing else was touched."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import RunsNotAsWanted
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from tests.cancels.tree import FINAL
from tests.conftest import calls
from tests.provider.tasks import Task, statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_adfruns.emulator import AdfEmulator

READS = ("PipelineRuns_Get", "PipelineRuns_QueryByFactory", "ActivityRuns_QueryByPipelineRun")


def night(chance: random.Random) -> dict[str, Any]:
    """Draw pipelines that start each other, and runs of them in all states."""
    queue = {"concurrency": 3, "cancel": {"starts_queued": 0.3}} if chance.random() < 0.5 else {}
    start = {"waitOnCompletion": chance.random() < 0.7}
    pipelines = {
        "low": {
            "seconds": chance.choice([60, 600, 7200]),
            "cancel_seconds": chance.choice([0, 20, 200]),
            **queue,
        },
        "mid": {
            "activities": [
                {"name": "First", "pipeline": "low", **start},
                {"name": "Work", "seconds": 900},
                {"name": "Last", "pipeline": "low", "dependsOn": ["Work"]},
            ],
            "cancel": {"late_child": 0.3, "late_seconds": 20},
        },
        "top": {"activities": [{"name": "Mid", "pipeline": "mid", **start}]},
    }
    runs = [
        {
            "pipeline": chance.choice(["low", "low", "mid", "top"]),
            "status": chance.choice(["InProgress"] * 5 + ["Canceling", "Succeeded", "Failed"]),
            "started": f"-PT{chance.randint(1, 40)}M",
            "id": f"run-{number}",
        }
        for number in range(chance.choice([3, 12, 40]))
    ]
    lag = chance.choice([0, 3, 20])
    return {"now": "2026-03-01T06:40:00Z", "query_lag_seconds": lag, "pipelines": pipelines, "runs": runs}


def spoil(emulator: AdfEmulator, chance: random.Random) -> None:
    """Let answers be lost, cancels be refused and reads fail."""
    for fault in (
        {"drop_connection": True, "processed": True},
        {"status": 503},
        {"status": 429, "retry_after": 5},
        {"status": chance.choice([403, 404, 409])},
    ):
        if chance.random() < 0.5:
            emulator.fail_sometimes("PipelineRuns_Cancel", rate=0.15, seed=chance.randint(1, 99), **fault)
    for read in READS:
        emulator.fail_sometimes(read, rate=0.1, seed=chance.randint(1, 99), status=503)


def wanted(chance: random.Random, run_ids: list[str]) -> dict[str, Any]:
    """Draw what is to be cancelled: chosen runs, or those of some pipelines."""
    if chance.random() < 0.5:
        return {"run_ids": chance.sample(run_ids, k=(len(run_ids) + 1) // 2)}
    return {
        "pipeline_names": chance.sample(["low", "mid", "top"], k=chance.randint(1, 2)),
        "queued_first": chance.random() < 0.7,
        "order": chance.choice(["newest_first", "children_first"]),
    }


def is_meant(run: Mapping[str, Any] | None, runs: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Say whether a run, or with a recursive cancel one above it, was to be cancelled."""
    while run:
        if run["runId"] in parameters.get("run_ids", ()):
            return True
        if run["pipelineName"] in parameters.get("pipeline_names", ()):
            return True
        parent = run["invokedBy"].get("pipelineRunId", "") if parameters["is_recursive"] else ""
        run = runs.get(parent)
    return False


@pytest.mark.parametrize("seed", range(1, 13))
def test_the_report_is_the_truth_and_nothing_else_was_touched(
    factory: Callable[..., AdfEmulator], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible
    scenario = night(chance)
    emulator = factory(scenario)
    spoil(emulator, chance)
    parameters = wanted(chance, [run["id"] for run in scenario["runs"]]) | {
        "is_recursive": chance.random() < 0.7,
        "deferrable": chance.random() < 0.5,
    }
    task = Task(AdfCancelPipelineRunOperator, if_none="succeed", **parameters)
    with suppress(RunsNotAsWanted):
        task.run()
    truth, runs = statuses(emulator), {run["runId"]: run for run in emulator.pipeline_runs()}
    cancels = calls(emulator, "PipelineRuns_Cancel")
    touched = {run_id for call in cancels for run_id in (call.effect or {}).get("cancelling", ())}
    assert [run_id for run_id in touched if not is_meant(runs[run_id], runs, parameters)] == []
    report = {run["run_id"]: run for run in task.ti.report["runs"]}
    assert {str(call.subject) for call in cancels if call.subject} <= set(report)
    for run_id, run in report.items():
        assert run["status"] == truth[run_id] or run["problem"]
        assert run["status"] in FINAL or run["problem"]
        assert "Cancelled" not in {truth[left] for left in run["left_running"]}
