"""AdfCancelPipelineRunOperator: runs are cancelled with or without their children, and waited for."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_adfruns.adf.errors import PipelineRunNotFound, RunsNotAsWanted, WaitTimedOut
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from tests.conftest import calls
from tests.provider.scenarios import FAMILY
from tests.provider.tasks import Task, event_of, statuses, through_json, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

WAYS_TO_WAIT = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def cancel(**parameters: Any) -> Task:
    return Task(AdfCancelPipelineRunOperator, **parameters)


def children(emulator: AdfEmulator) -> dict[str, str]:
    """Return the ids of the two runs that run "day" has started, by their pipelines."""
    return {
        run["pipelineName"]: run["runId"]
        for run in emulator.pipeline_runs()
        if run["pipelineName"] in {"close_region", "close_shop"}
    }


@WAYS_TO_WAIT
def test_in_a_dag_run_a_run_and_its_children_are_cancelled_and_listed(
    factory: Start, run_dag: RunDag, deferrable: bool
) -> None:
    emulator = factory(FAMILY)
    family = {"day", *children(emulator).values()}
    with DAG("cancel", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfCancelPipelineRunOperator(task_id="cancel", run_ids="day", deferrable=deferrable)
    ran = run_dag(dag)
    report = ran.xcom("cancel")
    after = statuses(emulator)
    assert ran.states == {"cancel": "success"}
    assert {run_id: after[run_id] for run_id in family} == dict.fromkeys(family, "Cancelled")
    assert {each["run_id"]: each["status"] for each in report["runs"]} == dict.fromkeys(family, "Cancelled")
    assert set(ran.xcom("cancel", "run_ids")) == family
    assert after["lone"] == "InProgress"


@pytest.mark.parametrize(
    "run_ids",
    ["{{ ti.xcom_pull(task_ids='choose') }}", "{{ ti.xcom_pull(task_ids='choose') | join(',') }}", None],
    ids=["a template of a list", "a template of a text", "another task's output"],
)
def test_in_a_dag_run_the_run_ids_may_come_from_another_task(
    factory: Start, run_dag: RunDag, run_ids: str | None
) -> None:
    emulator = factory(FAMILY)

    @task
    def choose() -> list[str]:
        return ["day", "lone"]

    with DAG("cancel_chosen", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        chosen: Any = choose()
        cancelled = AdfCancelPipelineRunOperator(task_id="cancel", run_ids=run_ids or chosen)
        chosen >> cancelled
    ran = run_dag(dag)
    assert ran.states == {"choose": "success", "cancel": "success"}
    assert sorted(entry.subject for entry in calls(emulator, "PipelineRuns_Cancel")) == ["day", "lone"]


@pytest.mark.parametrize("is_recursive", [True, "True", False, "false"])
def test_is_recursive_is_passed_on(factory: Start, is_recursive: bool | str) -> None:
    emulator = factory(FAMILY)
    cancel(run_ids="lone", is_recursive=is_recursive).run()
    (call,) = calls(emulator, "PipelineRuns_Cancel")
    assert call.query["isRecursive"].lower() == str(is_recursive).lower()


def test_without_recursion_a_warning_and_the_result_name_the_children_of_any_depth_that_go_on(
    factory: Start, caplog: pytest.LogCaptureFixture
) -> None:
    emulator = factory(FAMILY)
    family = children(emulator)
    below = [family["close_region"], family["close_shop"]]
    with caplog.at_level(logging.WARNING, logger="airflow_provider_adfruns"):
        result = cancel(run_ids="day", is_recursive=False).run()
    warned = [record.getMessage() for record in caplog.records if "airflow_provider" in record.name]
    assert [all(part in message for part in [*below, "completion", "billed"]) for message in warned] == [True]
    assert [each["left_running"] for each in result["runs"]] == [below]


def test_without_recursion_the_children_run_to_completion(factory: Start) -> None:
    emulator = factory(FAMILY)
    family = children(emulator)
    cancel(run_ids="day", is_recursive=False).run()
    assert {statuses(emulator)[run_id] for run_id in family.values()} == {"InProgress"}
    emulator.advance(3600)
    assert statuses(emulator)["day"] == "Cancelled"
    assert {statuses(emulator)[run_id] for run_id in family.values()} == {"Succeeded"}


@WAYS_TO_WAIT
def test_a_run_that_has_ended_is_no_error_and_nothing_is_sent(factory: Start, deferrable: bool) -> None:
    emulator = factory(FAMILY)
    result = cancel(run_ids="done", deferrable=deferrable).run()
    assert writes(emulator) == []
    assert [(each["status"], each["requested"]) for each in result["runs"]] == [("Succeeded", False)]


def test_a_run_that_ends_by_itself_while_it_is_being_cancelled_is_no_error(factory: Start) -> None:
    emulator = factory(
        {
            **FAMILY,
            "pipelines": {"load": {"seconds": 3600, "cancel_seconds": 60}},
            "runs": [
                {
                    "pipeline": "load",
                    "status": "InProgress",
                    "started": "-PT1M",
                    "id": "short",
                    "remaining_seconds": 10,
                }
            ],
        }
    )
    deferral = cancel(run_ids="short", deferrable=True).defer()
    emulator.advance(120)
    event = event_of(through_json(deferral.trigger))
    assert [run["is_final"] for run in event["runs"]] == [True]
    assert event["status"] == "success"


@WAYS_TO_WAIT
def test_an_unknown_run_does_not_stop_the_others_and_fails_the_task_naming_it(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(FAMILY)
    cancelling = cancel(run_ids=["unknown", "lone"], deferrable=deferrable)
    with pytest.raises(RunsNotAsWanted, match=r"1 of 2 runs could not be cancelled: pipeline run unknown"):
        cancelling.run()
    assert statuses(emulator)["lone"] == "Cancelled"
    assert cancelling.ti.report["counts"] == {"unknown": 1, "Cancelled": 1}
    assert cancelling.ti.xcoms["run_ids"] == ["unknown", "lone"]


def test_only_unknown_runs_fail_the_task_before_anything_is_sent(factory: Start) -> None:
    emulator = factory(FAMILY)
    with pytest.raises(PipelineRunNotFound, match=r"run_ids: nobody; unknown: factory 'night-adf'.*Check"):
        cancel(run_ids=["nobody", "unknown"]).run()
    assert writes(emulator) == []


def test_a_dry_run_says_what_would_be_cancelled_and_changes_nothing(factory: Start) -> None:
    emulator = factory(FAMILY)
    result = cancel(run_ids=["day", "done"], dry_run=True).run()
    assert writes(emulator) == []
    assert {each["run_id"]: each["status"] for each in result["runs"]} == {
        "day": "InProgress",
        "done": "Succeeded",
    }
    assert result["dry_run"] is True


@pytest.mark.parametrize("deferrable", [False, True])
def test_without_waiting_the_task_ends_when_the_cancel_is_requested(factory: Start, deferrable: bool) -> None:
    emulator = factory(FAMILY)
    result = cancel(run_ids="lone", wait_for_completion=False, deferrable=deferrable).run()
    assert statuses(emulator)["lone"] == "Canceling"
    assert [each["requested"] for each in result["runs"]] == [True]


@WAYS_TO_WAIT
def test_a_timeout_names_the_run_and_sends_nothing_more(factory: Start, deferrable: bool) -> None:
    emulator = factory(
        {**FAMILY, "pipelines": {**FAMILY["pipelines"], "load": {"seconds": 7200, "cancel_seconds": 7200}}}
    )
    cancelling = cancel(run_ids="lone", deferrable=deferrable, timeout=600)
    with pytest.raises(WaitTimedOut, match=r"1 not final: pipeline run lone \(load, Canceling\)"):
        cancelling.run()
    assert [entry.operation for entry in writes(emulator)] == ["PipelineRuns_Cancel"]
    assert cancelling.ti.report["counts"] == {"Canceling": 1}


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        ({"status": 503}, 2),
        ({"drop_connection": True}, 2),
        ({"drop_connection": True, "processed": True}, 1),
        ({"status": 504, "processed": True}, 1),
    ],
)
def test_a_cancel_whose_answer_is_lost_is_sent_again_only_if_it_was_not_carried_out(
    factory: Start, fault: dict[str, Any], sent: int
) -> None:
    emulator = factory(FAMILY)
    emulator.fail_next("PipelineRuns_Cancel", **fault)
    result = cancel(run_ids="lone").run()
    assert [(each["requested"], each["status"]) for each in result["runs"]] == [(True, "Cancelled")]
    assert len(writes(emulator)) == sent


def test_a_cancel_whose_answers_stay_unclear_is_named_with_its_status(factory: Start) -> None:
    emulator = factory(FAMILY)
    emulator.fail_next("PipelineRuns_Cancel", status=503, count=9)
    with pytest.raises(RunsNotAsWanted, match=r"lone: its cancel was sent 3 times.* still InProgress"):
        cancel(run_ids="lone").run()
    assert len(writes(emulator)) == 3


def test_a_refused_permission_fails_the_task_naming_the_action_to_grant(factory: Start) -> None:
    emulator = factory({**FAMILY, "principals": [{"name": "reader", "permission": "read"}]})
    with pytest.raises(RunsNotAsWanted, match=r"pipelineruns/cancel/action.*Grant it a role"):
        cancel(run_ids="lone").run()
    assert statuses(emulator)["lone"] == "InProgress"


def test_the_trigger_is_made_again_from_json_as_it_was(factory: Start) -> None:
    factory(FAMILY)
    trigger = cancel(run_ids=["day", "lone"], deferrable=True).defer().trigger
    assert through_json(trigger).serialize() == trigger.serialize()


def test_the_trigger_reads_only(factory: Start) -> None:
    emulator = factory(FAMILY)
    deferral = cancel(run_ids="day", deferrable=True).defer()
    before = len(writes(emulator))
    event_of(through_json(deferral.trigger))
    assert len(writes(emulator)) == before == 1


def test_nothing_is_left_in_xcom_with_do_xcom_push_off(factory: Start) -> None:
    factory(FAMILY)
    cancelling = cancel(run_ids="lone", do_xcom_push=False)
    cancelling.run()
    assert set(cancelling.ti.xcoms) == {"_link_AdfStudioLink"}
