"""AdfCancelWaitingTriggerRunOperator: waiting trigger runs are cancelled; running ones as the DAG says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_adfruns.adf.errors import RunsNotAsWanted, TriggerRunNotFound, WaitTimedOut, WrongState
from airflow_provider_adfruns.operators.cancel import AdfCancelWaitingTriggerRunOperator
from tests.conftest import calls
from tests.provider.scenarios import NOW, ONLY_WAITING_RANGE, WAITING, WAITING_RANGE
from tests.provider.tasks import Task, latest_statuses, statuses, through_json, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

WAYS_TO_WAIT = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def cancel(**parameters: Any) -> Task:
    return Task(AdfCancelWaitingTriggerRunOperator, trigger_name="report", **parameters)


def report_windows(emulator: AdfEmulator) -> list[str]:
    return list(latest_statuses(emulator, "report").values())


@WAYS_TO_WAIT
def test_in_a_dag_run_the_waiting_runs_of_a_range_are_cancelled_and_waited_for(
    factory: Start, run_dag: RunDag, deferrable: bool
) -> None:
    emulator = factory(WAITING)
    with DAG("cancel_waiting", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfCancelWaitingTriggerRunOperator(
            task_id="cancel", trigger_name="report", **ONLY_WAITING_RANGE, deferrable=deferrable
        )
    ran = run_dag(dag)
    assert ran.states == {"cancel": "success"}
    assert report_windows(emulator) == ["Succeeded", "Running", *["Cancelled"] * 4]
    assert ran.xcom("cancel")["counts"] == {"Cancelled": 4}


def test_run_ids_choose_the_runs_to_cancel(factory: Start) -> None:
    emulator = factory(WAITING)
    cancel(run_ids="waiting").run()
    assert [entry.subject for entry in calls(emulator, "TriggerRuns_Cancel")] == ["waiting"]
    assert statuses(emulator)["waiting"] == "Cancelled"


def test_a_run_that_has_ended_is_left_alone_and_listed(factory: Start) -> None:
    emulator = factory(WAITING)
    result = cancel(run_ids=["succeeded", "waiting"]).run()
    assert len(writes(emulator)) == 1
    assert [(each["run_id"], each["reason"]) for each in result["skipped"]] == [
        ("succeeded", "it has ended already, Succeeded")
    ]


def test_only_ended_runs_are_a_success_that_sends_nothing(factory: Start) -> None:
    emulator = factory(WAITING)
    result = cancel(run_ids="succeeded").run()
    assert writes(emulator) == []
    assert result["run_ids"] == []


def test_a_running_run_fails_the_task_before_anything_is_cancelled(factory: Start) -> None:
    emulator = factory(WAITING)
    with pytest.raises(
        WrongState,
        match=r"Running.*WaitingOnDependency.*running \(window 2026-03-01 01:00:00.*on_running='skip'",
    ):
        cancel(**WAITING_RANGE).run()
    assert writes(emulator) == []


def test_a_running_run_is_left_alone_on_request(factory: Start) -> None:
    emulator = factory(WAITING)
    result = cancel(**WAITING_RANGE, on_running="skip").run()
    assert report_windows(emulator) == ["Succeeded", "Running", *["Cancelled"] * 4]
    assert ("running", "it is running already") in {
        (each["run_id"], each["reason"]) for each in result["skipped"]
    }


@WAYS_TO_WAIT
def test_the_pipeline_runs_of_a_running_run_are_cancelled_on_request_and_the_run_with_them(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(WAITING)
    result = cancel(**WAITING_RANGE, on_running="cancel_pipeline_runs", deferrable=deferrable).run()
    (call,) = calls(emulator, "PipelineRuns_Cancel")
    assert call.query["isRecursive"].lower() == "true"
    assert report_windows(emulator) == ["Succeeded", *["Cancelled"] * 5]
    assert result["counts"] == {"Cancelled": 5}


def test_a_dry_run_says_what_would_be_cancelled_and_changes_nothing(factory: Start) -> None:
    emulator = factory(WAITING)
    result = cancel(**WAITING_RANGE, on_running="cancel_pipeline_runs", dry_run=True).run()
    assert writes(emulator) == []
    assert result["counts"] == {"WaitingOnDependency": 4, "Running": 1}


def test_a_stuck_run_can_be_cancelled(factory: Start) -> None:
    stuck = {
        "from": "-PT2H",
        "count": 1,
        "runs": [{"status": "WaitingOnDependency", "id": "stuck", "stuck": True}],
    }
    emulator = factory(
        {
            "now": NOW,
            "pipelines": {"load": {}},
            "triggers": {
                "hourly": {"pipeline": "load", "windows": [{"from": "-PT6H", "count": 6}]},
                "report": {"pipeline": "load", "dependsOn": [{"trigger": "hourly"}], "windows": [stuck]},
            },
        }
    )
    cancel(run_ids="stuck").run()
    assert statuses(emulator)["stuck"] == "Cancelled"


@WAYS_TO_WAIT
def test_an_unknown_run_does_not_stop_the_others_and_fails_the_task_naming_it(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(WAITING)
    cancelling = cancel(run_ids=["unknown", "waiting"], deferrable=deferrable)
    with pytest.raises(RunsNotAsWanted, match=r"run unknown"):
        cancelling.run()
    assert statuses(emulator)["waiting"] == "Cancelled"
    assert cancelling.ti.xcoms["run_ids"] == ["waiting"]


def test_only_unknown_runs_fail_the_task_before_anything_is_sent(factory: Start) -> None:
    emulator = factory(WAITING)
    with pytest.raises(TriggerRunNotFound, match=r"run_ids: unknown: trigger 'report'.*Check the ids"):
        cancel(run_ids="unknown").run()
    assert writes(emulator) == []


@WAYS_TO_WAIT
@pytest.mark.parametrize(
    ("fault", "sent"),
    [({"status": 503}, 5), ({"drop_connection": True}, 5), ({"drop_connection": True, "processed": True}, 4)],
)
def test_a_cancel_whose_answer_is_lost_is_sent_again_only_if_it_was_not_carried_out(
    factory: Start, deferrable: bool, fault: dict[str, Any], sent: int
) -> None:
    emulator = factory(WAITING)
    emulator.fail_next("TriggerRuns_Cancel", **fault)
    result = cancel(**ONLY_WAITING_RANGE, deferrable=deferrable).run()
    assert len(calls(emulator, "TriggerRuns_Cancel")) == sent
    assert report_windows(emulator).count("Cancelled") == 4
    assert result["counts"] == {"Cancelled": 4}


def test_a_cancel_whose_answers_stay_unclear_is_named_with_its_status(factory: Start) -> None:
    emulator = factory(WAITING)
    emulator.fail_next("TriggerRuns_Cancel", status=503, count=9)
    with pytest.raises(RunsNotAsWanted, match=r"waiting: its cancel was sent 3 times.* still WaitingOnDep"):
        cancel(run_ids="waiting").run()
    assert len(writes(emulator)) == 3


@WAYS_TO_WAIT
def test_a_timeout_names_the_runs_and_sends_nothing_more(factory: Start, deferrable: bool) -> None:
    slow = {**WAITING["triggers"]["report"], "cancel_seconds": 7200}
    emulator = factory({**WAITING, "triggers": {**WAITING["triggers"], "report": slow}})
    cancelling = cancel(run_ids="waiting", deferrable=deferrable, timeout=600)
    with pytest.raises(WaitTimedOut, match=r"1 not final: trigger run waiting"):
        cancelling.run()
    assert len(writes(emulator)) == 1


def test_the_trigger_is_made_again_from_json_as_it_was(factory: Start) -> None:
    factory(WAITING)
    trigger = cancel(**ONLY_WAITING_RANGE, deferrable=True).defer().trigger
    assert through_json(trigger).serialize() == trigger.serialize()


MANY: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 60}, "report": {"seconds": 36000}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "state": "stopped",
            "windows": [{"from": "-PT240H", "count": 240, "status": "Failed"}],
        },
        "report": {
            "pipeline": "report",
            "state": "stopped",
            "dependsOn": [{"trigger": "hourly"}],
            "windows": [
                {
                    "from": "-PT240H",
                    "count": 240,
                    "status": "WaitingOnDependency",
                    "except": [{"windows": "100..119", "status": "Running"}],
                }
            ],
        },
    },
}


@WAYS_TO_WAIT
def test_of_many_windows_the_trigger_runs_themselves_are_seen_cancelled_through_lost_answers(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(MANY)
    for seed, operation in enumerate(["TriggerRuns_Cancel", "PipelineRuns_Cancel"]):
        emulator.fail_sometimes(operation, rate=0.05, seed=seed, drop_connection=True, processed=True)
        emulator.fail_sometimes(operation, rate=0.05, seed=seed + 2, status=503)
    result = cancel(
        window_start="2026-02-19T00:00:00Z",
        window_end="2026-03-01T07:00:00Z",
        on_running="cancel_pipeline_runs",
        deferrable=deferrable,
    ).run()
    assert report_windows(emulator) == ["Cancelled"] * 240
    assert result["counts"] == {"Cancelled": 240}
    assert {each["status_before"] for each in result["runs"]} == {"WaitingOnDependency", "Running"}


@pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
def test_queries_name_the_trigger_as_it_is_published_for_they_may_mind_the_case(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(WAITING)
    task = Task(
        AdfCancelWaitingTriggerRunOperator, trigger_name="REPORT", deferrable=deferrable, **ONLY_WAITING_RANGE
    )
    task.run()
    asked = [entry.body["filters"][0]["values"] for entry in calls(emulator, "TriggerRuns_QueryByFactory")]
    assert asked
    assert asked == [["report"]] * len(asked)
