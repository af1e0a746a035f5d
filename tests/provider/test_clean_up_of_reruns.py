"""A clean-up reaches reruns however their task has ended, and one that it cannot reach stops no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import RunsNotAsWanted
from airflow_provider_adfruns.operators.cleanup import AdfCleanUpOperator
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from tests.conftest import calls
from tests.provider.scenarios import FAMILY, NOW
from tests.provider.tasks import Task, TaskInstance, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

RANGE = {"window_start": "2026-03-01T00:00:00Z", "window_end": "2026-03-01T06:40:00Z"}
WINDOWS: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 3600}, "report": {"seconds": 3600}},
    "triggers": {
        "hourly": {"pipeline": "load", "windows": [{"from": "-PT3H", "count": 3, "status": "Failed"}]},
        "report": {
            "pipeline": "report",
            "dependsOn": [{"trigger": "hourly"}],
            "windows": [{"from": "-PT3H", "count": 3, "status": "Failed"}],
        },
    },
}


class Upstream(TaskInstance):
    """Pulls what other tasks, by their ids, have left in XCom."""

    def __init__(self, **left: dict[str, Any]) -> None:
        super().__init__()
        self.left = left

    def xcom_pull(self, task_ids: list[str], key: str) -> Any:
        return self.left[task_ids[0]].get(key)


def clean_up(**left: dict[str, Any]) -> Task:
    """Return a clean-up of tasks that have left these XComs."""
    task = Task(AdfCleanUpOperator, task_ids=list(left))
    task.ti = Upstream(**left)
    return task


def rerun(trigger_name: str, **parameters: Any) -> Task:
    return Task(AdfRerunTumblingWindowRunsOperator, trigger_name=trigger_name, **{**RANGE, **parameters})


def reruns_of(emulator: AdfEmulator) -> dict[str, str]:
    """Return the status of each trigger run that a rerun has made."""
    ids = [call.effect["triggerRunId"] for call in calls(emulator, "TriggerRuns_Rerun")]
    return {run_id: statuses(emulator)[run_id] for run_id in ids}


def test_windows_that_wait_on_dependencies_are_cancelled_and_said_to_be(factory: Start) -> None:
    emulator = factory(WINDOWS)
    started = rerun("report", wait_for_completion=False)
    started.run()
    task = clean_up(rerun=started.ti.xcoms)
    task.run()
    assert set(reruns_of(emulator).values()) == {"Cancelled"}
    assert [(run["kind"], run["requested"], run["status"]) for run in task.ti.report["runs"]] == [
        ("trigger", True, "Cancelled")
    ] * 3


def test_what_runs_is_cancelled_before_the_end_of_what_waits_is_awaited(factory: Start) -> None:
    emulator = factory({**WINDOWS, "runs": [{"pipeline": "load", "status": "InProgress", "id": "lone"}]})
    started = rerun("report", wait_for_completion=False)
    started.run()
    clean_up(rerun=started.ti.xcoms, other={"run_id": "lone"}).run()
    cancels = [entry.operation for entry in emulator.journal if entry.operation.endswith("_Cancel")]
    assert cancels == ["PipelineRuns_Cancel"] + ["TriggerRuns_Cancel"] * 3
    assert statuses(emulator)["lone"] == "Cancelled"


@pytest.mark.parametrize("trigger_name", ["hourly", "report"])
def test_a_deferred_rerun_that_was_killed_leaves_enough_to_be_cleaned_up(
    factory: Start, trigger_name: str
) -> None:
    emulator = factory(WINDOWS)
    killed = rerun(trigger_name, deferrable=True)
    killed.defer()
    clean_up(rerun=killed.ti.xcoms).run()
    assert set(reruns_of(emulator).values()) == {"Cancelled"}


def test_a_deferred_rerun_of_pipeline_runs_that_was_killed_leaves_enough_to_be_cleaned_up(
    factory: Start,
) -> None:
    failed = "00000000-0000-4000-8000-00000000000a"
    emulator = factory({**WINDOWS, "runs": [{"pipeline": "load", "status": "Failed", "id": failed}]})
    killed = Task(AdfRerunPipelineRunOperator, run_ids=failed, rerun_from="start", deferrable=True)
    killed.defer()
    clean_up(rerun=killed.ti.xcoms).run()
    reruns = [
        run for run in emulator.pipeline_runs() if run["runGroupId"] == failed and run["runId"] != failed
    ]
    assert [run["status"] for run in reruns] == ["Cancelled"]


def test_a_report_behind_a_result_path_is_read(factory: Start, tmp_path: Path) -> None:
    emulator = factory(WINDOWS)
    started = rerun("hourly", wait_for_completion=False, result_path=f"{tmp_path}/rerun.json")
    started.run()
    clean_up(rerun=started.ti.xcoms).run()
    assert set(reruns_of(emulator).values()) == {"Cancelled"}


def test_a_report_whose_file_is_gone_fails_the_clean_up_after_all_else_is_cancelled(
    factory: Start, tmp_path: Path
) -> None:
    emulator = factory(FAMILY)
    left = {"dry_run": False, "run_ids": ["new"], "counts": {}, "result_path": f"{tmp_path}/gone.json"}
    with pytest.raises(RunsNotAsWanted, match=r"gone\.json"):
        clean_up(rerun={"return_value": left}, other={"run_id": "lone"}).run()
    assert statuses(emulator)["lone"] == "Cancelled"


def test_a_rerun_whose_answer_was_lost_is_found(factory: Start) -> None:
    emulator = factory(WINDOWS)
    started = rerun("hourly", wait_for_completion=False)
    started.run()
    report = started.ti.report
    for window in report["windows"]:
        window.update(step="unclear", new_run_id=None, status=None, rerun_by=None)
    clean_up(rerun={"return_value": report}).run()
    assert set(reruns_of(emulator).values()) == {"Cancelled"}


def test_a_rerun_by_somebody_else_is_left_alone(factory: Start) -> None:
    emulator = factory(WINDOWS)
    started = rerun("hourly", wait_for_completion=False)
    started.run()
    report = started.ti.report
    for window in report["windows"]:
        window["rerun_by"] = "somebody else"
    clean_up(rerun={"return_value": report}).run()
    assert set(reruns_of(emulator).values()) <= {"Running", "Waiting"}


def test_an_id_of_another_kind_of_run_stops_no_other(factory: Start) -> None:
    emulator = factory(FAMILY)
    task = clean_up(other={"run_id": "manual__2026-03-01T00:00:00+00:00"}, adf={"run_id": "lone"})
    task.run()
    assert statuses(emulator)["lone"] == "Cancelled"
    assert [each["run_id"] for each in task.ti.report["skipped"]] == ["manual__2026-03-01T00:00:00+00:00"]


def test_what_is_no_report_fails_the_clean_up_after_all_else_is_cancelled(factory: Start) -> None:
    emulator = factory(FAMILY)
    left = {"run_ids": ["x"], "counts": {}, "windows": []}
    with pytest.raises(RunsNotAsWanted, match=r"its report in XCom cannot be read: \{'run_ids': \['x'\]"):
        clean_up(odd={"return_value": left, "begun": "yes"}, other={"run_id": "lone"}).run()
    assert statuses(emulator)["lone"] == "Cancelled"


def test_a_batch_of_which_only_a_part_can_be_cancelled_leaves_that_part_in_the_report(factory: Start) -> None:
    emulator = factory(
        WINDOWS
        | {
            "triggers": {
                "hourly": {
                    "pipeline": "load",
                    "state": "stopped",
                    "windows": [
                        {"from": "-PT3H", "count": 2, "status": "Failed"},
                        {"from": "-PT1H", "count": 1, "status": "Succeeded"},
                    ],
                },
                "report": WINDOWS["triggers"]["report"],
            }
        }
    )
    started = rerun("report", wait_for_completion=False)
    started.run()
    emulator.advance(30)
    emulator.fail_next("Triggers_Get", status=403)
    task = clean_up(rerun=started.ti.xcoms)
    with pytest.raises(RunsNotAsWanted, match="the reruns of trigger 'report' are not all cancelled"):
        task.run()
    [cancelled] = calls(emulator, "PipelineRuns_Cancel")
    assert [(run["run_id"], run["status"]) for run in task.ti.report["runs"]] == [
        (cancelled.subject, "Cancelled")
    ]


def test_a_run_that_two_tasks_name_is_reported_as_it_was_before_it_was_cancelled(factory: Start) -> None:
    emulator = factory(WINDOWS)
    started = rerun("hourly", wait_for_completion=False)
    started.run()
    emulator.advance(30)
    names = {
        run["triggerRunId"]: run["triggeredPipelines"]["load"]
        for run in emulator.trigger_runs("hourly")
        if run["triggerRunId"] in reruns_of(emulator)
    }
    queued, *_ = names.values()
    task = clean_up(lookup={"run_id": queued}, rerun=started.ti.xcoms)
    task.run()
    [run] = [run for run in task.ti.report["runs"] if run["run_id"] == queued]
    assert (run["status_before"], run["requested"], run["status"]) == ("InProgress", True, "Cancelled")


def test_a_trigger_that_is_gone_stops_no_other_and_fails_the_clean_up(factory: Start) -> None:
    emulator = factory(FAMILY)
    report = {
        "trigger_name": "gone",
        "planned_at": "2026-03-01T06:00:00+00:00",
        "dry_run": False,
        "run_ids": ["0858"],
        "counts": {},
        "windows": [
            {
                "window_start": "2026-03-01T00:00:00+00:00",
                "window_end": "2026-03-01T01:00:00+00:00",
                "run_id": "0857",
                "status_before": "Failed",
                "ran_at": "2026-03-01T01:00:00+00:00",
                "step": "submitted",
                "new_run_id": "0858",
                "status": "WaitingOnDependency",
                "problem": "",
                "note": "",
                "rerun_by": "this batch",
                "started_at": None,
            }
        ],
        "skipped": [],
    }
    with pytest.raises(RunsNotAsWanted, match="gone"):
        clean_up(rerun={"return_value": report}, other={"run_id": "lone"}).run()
    assert statuses(emulator)["lone"] == "Cancelled"
