"""AdfCancelCompleteSensor: waits on a worker or in the triggerer until runs are final."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_adfruns.adf.errors import (
    PipelineRunNotFound,
    TriggerRunNotFound,
    Unreachable,
)
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.provider.scenarios import FAMILY, WAITING
from tests.provider.tasks import Task, event_of, through_json, writes
from tests.provider.versions import AirflowRescheduleException, AirflowSensorTimeout, AirflowSkipException

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

WAYS_TO_WAIT = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
BOTH: dict[str, Any] = {
    **WAITING,
    "pipelines": {**FAMILY["pipelines"], **WAITING["pipelines"]},
    "runs": FAMILY["runs"][:1],
}


def sensor(**parameters: Any) -> Task:
    return Task(AdfCancelCompleteSensor, **parameters)


def poke(task: Task) -> tuple[bool, dict[str, Any]]:
    """Poke once. :return: whether it is done, and what it would leave in XCom."""
    answer = task.make().poke(task.ti.context)
    return answer.is_done, answer.xcom_value


def dag_with(**parameters: Any) -> DAG:
    with DAG("wait", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfCancelCompleteSensor(task_id="wait", **parameters)
    return dag


def test_in_a_dag_run_a_deferred_sensor_waits_for_runs_children_and_trigger_runs(
    factory: Start, run_dag: RunDag
) -> None:
    emulator = factory(BOTH)
    AdfRunsHook().cancel_pipeline_run("day", is_recursive=True)
    AdfRunsHook().cancel_trigger_run("report", "waiting")
    ran = run_dag(
        dag_with(
            pipeline_run_ids="day",
            include_children=True,
            trigger_name="report",
            trigger_run_ids="waiting",
            deferrable=True,
        )
    )
    assert ran.states == {"wait": "success"}
    assert ran.xcom("wait")["counts"] == {"Cancelled": 4}
    assert set(ran.xcom("wait", "run_ids")) == {
        "waiting",
        *(run["runId"] for run in emulator.pipeline_runs() if run["pipelineName"].startswith("close")),
    }


def test_in_a_dag_run_a_sensor_on_the_worker_leaves_its_result_in_xcom(
    factory: Start, run_dag: RunDag
) -> None:
    factory(FAMILY)
    ran = run_dag(dag_with(pipeline_run_ids=["done"], deferrable=False))
    assert ran.states == {"wait": "success"}
    assert ran.xcom("wait")["runs"] == [
        {
            "kind": "pipeline",
            "run_id": "done",
            "name": "load",
            "status": "Succeeded",
            "is_final": True,
            "parent_run_id": None,
            "status_before": "Succeeded",
            "started_at": "2026-02-28T21:40:00+00:00",
            "ended_at": "2026-02-28T22:40:00+00:00",
            "canceling_since": None,
        }
    ]


def test_in_a_dag_run_a_soft_fail_skips_at_the_timeout(factory: Start, run_dag: RunDag) -> None:
    factory(FAMILY)
    ran = run_dag(dag_with(pipeline_run_ids="lone", timeout=600, soft_fail=True, deferrable=True))
    assert ran.states == {"wait": "skipped"}


def test_a_run_is_done_when_its_cancel_is_complete_and_not_when_it_is_asked_for(factory: Start) -> None:
    emulator = factory(FAMILY)
    waiting = sensor(pipeline_run_ids="lone")
    AdfRunsHook().cancel_pipeline_run("lone", is_recursive=True)
    done, seen = poke(waiting)
    assert (done, seen["counts"]) == (False, {"Canceling": 1})
    emulator.advance(60)
    done, seen = poke(waiting)
    assert (done, seen["counts"]) == (True, {"Cancelled": 1})


def test_a_pipeline_run_beside_many_trigger_runs_is_seen_to_end_however_seldom_the_sensor_looks(
    factory: Start,
) -> None:
    windows = [{"from": "-PT30H", "count": 25, "status": "Succeeded"}]
    emulator = factory(
        {
            "now": FAMILY["now"],
            "pipelines": {"load": {"seconds": 150}},
            "triggers": {"hourly": {"pipeline": "load", "state": "stopped", "windows": windows}},
            "runs": [{"pipeline": "load", "status": "InProgress", "started": "-PT0S", "id": "lone"}],
        }
    )
    ids = [run["triggerRunId"] for run in emulator.trigger_runs()]
    task = sensor(pipeline_run_ids="lone", trigger_name="hourly", trigger_run_ids=ids)
    operator = task.make()
    assert not operator.poke(task.ti.context).is_done
    emulator.advance(600)
    assert operator.poke(task.ti.context).is_done


def test_children_are_waited_for_on_request(factory: Start) -> None:
    emulator = factory(FAMILY)
    AdfRunsHook().cancel_pipeline_run("day", is_recursive=False)
    emulator.advance(60)
    done, seen = poke(sensor(pipeline_run_ids="day", include_children=True))
    assert (done, seen["counts"]) == (False, {"Cancelled": 1, "InProgress": 2})
    emulator.advance(3600)
    done, seen = poke(sensor(pipeline_run_ids="day", include_children="true"))
    assert (done, seen["counts"]) == (True, {"Cancelled": 1, "Succeeded": 2})


def test_children_are_not_waited_for_otherwise(factory: Start) -> None:
    emulator = factory(FAMILY)
    AdfRunsHook().cancel_pipeline_run("day", is_recursive=False)
    emulator.advance(60)
    done, seen = poke(sensor(pipeline_run_ids="day"))
    assert (done, seen["run_ids"]) == (True, ["day"])


def test_each_child_names_the_run_that_started_it(factory: Start) -> None:
    factory(FAMILY)
    _, seen = poke(sensor(pipeline_run_ids="day", include_children=True))
    ids = {run["name"]: run["run_id"] for run in seen["runs"]}
    assert {run["name"]: run["parent_run_id"] for run in seen["runs"]} == {
        "close_day": None,
        "close_region": "day",
        "close_shop": ids["close_region"],
    }


def test_trigger_runs_are_waited_for(factory: Start) -> None:
    emulator = factory(WAITING)
    waiting = sensor(trigger_name="report", trigger_run_ids=["succeeded", "waiting"])
    done, seen = poke(waiting)
    assert (done, seen["counts"]) == (False, {"Succeeded": 1, "WaitingOnDependency": 1})
    AdfRunsHook().cancel_trigger_run("report", "waiting")
    emulator.advance(60)
    done, seen = poke(waiting)
    assert (done, seen["counts"]) == (True, {"Succeeded": 1, "Cancelled": 1})


def test_pipeline_runs_and_trigger_runs_have_both_to_be_final(factory: Start) -> None:
    emulator = factory(BOTH)
    waiting = sensor(pipeline_run_ids="day", trigger_name="report", trigger_run_ids="waiting")
    AdfRunsHook().cancel_trigger_run("report", "waiting")
    emulator.advance(60)
    done, seen = poke(waiting)
    assert (done, seen["counts"]) == (False, {"InProgress": 1, "Cancelled": 1})


@WAYS_TO_WAIT
def test_runs_that_are_final_already_end_the_wait_at_once(factory: Start, deferrable: bool) -> None:
    factory(FAMILY)
    waiting = sensor(pipeline_run_ids="done", deferrable=deferrable)
    assert waiting.begin()["counts"] == {"Succeeded": 1}
    assert waiting.ti.xcoms["run_ids"] == ["done"]


@WAYS_TO_WAIT
def test_an_unknown_pipeline_run_fails_the_task_naming_it(factory: Start, deferrable: bool) -> None:
    factory(FAMILY)
    with pytest.raises(PipelineRunNotFound, match=r"pipeline run unknown: factory 'night-adf'.* Check"):
        sensor(pipeline_run_ids=["lone", "unknown"], deferrable=deferrable).begin()


@WAYS_TO_WAIT
def test_an_unknown_trigger_run_fails_the_task_naming_it_instead_of_waiting_for_days(
    factory: Start, deferrable: bool
) -> None:
    factory(WAITING)
    waiting = sensor(trigger_name="report", trigger_run_ids=["waiting", "unknown"], deferrable=deferrable)
    with pytest.raises(TriggerRunNotFound, match=r"trigger 'report' .* has no run unknown .* Check the ids"):
        waiting.begin()


def test_a_trigger_run_that_queries_do_not_show_yet_is_waited_for(factory: Start) -> None:
    emulator = factory({**WAITING, "query_lag_seconds": 20})
    AdfRunsHook().rerun_trigger_run("hourly", emulator.trigger_runs("hourly")[0]["triggerRunId"])
    new = emulator.trigger_runs("hourly")[-1]["triggerRunId"]
    done, seen = poke(sensor(trigger_name="hourly", trigger_run_ids=new))
    assert seen["run_ids"] == [new]
    assert not done


def test_a_deferred_wait_ends_when_the_runs_are_final(factory: Start) -> None:
    factory(FAMILY)
    waiting = sensor(pipeline_run_ids="day", include_children=True, deferrable=True)
    deferral = waiting.defer()
    AdfRunsHook().cancel_pipeline_run("day", is_recursive=True)
    result = waiting.resume(deferral, event_of(through_json(deferral.trigger)))
    assert result["counts"] == {"Cancelled": 3}


def test_a_child_that_starts_late_is_waited_for_too(factory: Start) -> None:
    late = {
        "activities": [
            {"name": "First", "seconds": 1800},
            {"name": "Close regions", "pipeline": "close_region", "dependsOn": ["First"]},
        ]
    }
    factory({**FAMILY, "pipelines": {**FAMILY["pipelines"], "close_day": late}})
    result = sensor(pipeline_run_ids="day", include_children=True, deferrable=True).run()
    assert result["counts"] == {"Succeeded": 3}


def test_the_trigger_is_made_again_from_json_as_it_was(factory: Start) -> None:
    factory(BOTH)
    waiting = sensor(
        pipeline_run_ids="day",
        include_children=True,
        trigger_name="report",
        trigger_run_ids="waiting",
        deferrable=True,
        poke_interval=45,
    )
    trigger = waiting.defer().trigger
    assert through_json(trigger).serialize() == trigger.serialize()


@WAYS_TO_WAIT
def test_a_timeout_names_the_run_that_is_not_final_and_cancels_nothing(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(FAMILY)
    waiting = sensor(pipeline_run_ids=["lone", "done"], timeout=0, deferrable=deferrable)
    with pytest.raises(AirflowSensorTimeout, match=r"pipeline run lone \(load, InProgress\)"):
        waiting.run()
    assert writes(emulator) == []


def test_a_soft_fail_skips_at_the_timeout_on_the_worker(factory: Start) -> None:
    factory(FAMILY)
    with pytest.raises(AirflowSkipException):
        sensor(pipeline_run_ids="lone", timeout=0, soft_fail=True, deferrable=False).begin()


def test_a_rescheduled_sensor_gives_its_slot_back_between_looks(factory: Start) -> None:
    factory(FAMILY)
    with pytest.raises(AirflowRescheduleException):
        sensor(pipeline_run_ids="lone", mode="reschedule", deferrable=False).begin()


def test_trouble_in_the_triggerer_ends_the_wait_in_the_error_it_met(factory: Start) -> None:
    emulator = factory(FAMILY)
    waiting = sensor(pipeline_run_ids="lone", deferrable=True)
    deferral = waiting.defer()
    emulator.fail_next("*", status=503, count=10_000)
    event = event_of(through_json(deferral.trigger))
    with pytest.raises(Unreachable, match="kept answering HTTP 503"):
        waiting.resume(deferral, event)
    assert (event["status"], event["error"]) == ("error", "Unreachable")
