"""A deadline ends sending and waiting at a time of the service's clock, and says what it left over."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_provider_adfruns.adf.errors import InvalidInput, RunsNotAsWanted, WaitTimedOut
from airflow_provider_adfruns.operators.cancel import (
    AdfCancelPipelineRunOperator,
    AdfCancelWaitingTriggerRunOperator,
)
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from tests.conftest import calls
from tests.provider.scenarios import FAMILY, NIGHT_RANGE, NOW, ONLY_WAITING_RANGE, WAITING
from tests.provider.tasks import Task, TaskInstance, event_of, through_json, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

BOTH = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
RUNS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(20)]
PAST = "2026-03-01T06:39:00Z"
QUARTER_OF_AN_HOUR = "2026-03-01T07:55:00+01:00"

THREE: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 60}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "windows": [
                {
                    "from": "-PT3H",
                    "count": 3,
                    "status": "Failed",
                    "rerun_outcome": "succeeded",
                    "rerun_seconds": 600,
                }
            ],
        }
    },
    "runs": [{"pipeline": "load", "id": run_id, "status": "Failed"} for run_id in RUNS],
}


def rerun(**parameters: Any) -> Task:
    return Task(AdfRerunTumblingWindowRunsOperator, **{"trigger_name": "hourly", **NIGHT_RANGE, **parameters})


@pytest.mark.parametrize(
    ("scenario", "operator", "parameters"),
    [
        (THREE, AdfRerunTumblingWindowRunsOperator, {"trigger_name": "hourly", **NIGHT_RANGE}),
        (THREE, AdfRerunPipelineRunOperator, {"run_ids": RUNS[1]}),
        (FAMILY, AdfCancelPipelineRunOperator, {"run_ids": "lone"}),
        (WAITING, AdfCancelWaitingTriggerRunOperator, {"trigger_name": "report", **ONLY_WAITING_RANGE}),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_deadline_that_is_over_by_the_services_clock_is_refused_before_anything_is_changed(
    factory: Start, scenario: Any, operator: Any, parameters: dict[str, Any], dry_run: bool
) -> None:
    emulator = factory(scenario)
    with pytest.raises(InvalidInput, match=r"deadline: 2026-03-01T06:39:00\+00:00 is over; the service's"):
        Task(operator, deadline=PAST, dry_run=dry_run, **parameters).run()
    assert writes(emulator) == []


def test_after_the_deadline_nothing_more_is_sent_and_what_was_not_is_named(factory: Start) -> None:
    emulator = factory(THREE)
    task = rerun(deadline=QUARTER_OF_AN_HOUR, max_in_flight=1)
    with pytest.raises(
        WaitTimedOut, match=r"1 windows of trigger 'hourly' were not sent: 2026-03-01 05:00:00 to .*"
    ):
        task.run()
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 2
    assert task.ti.report["counts"] == {"Succeeded": 1, "Running": 1, "not sent": 1}
    assert [each["step"] for each in task.ti.report["windows"]] == ["submitted", "submitted", "not sent"]


def test_the_timeout_ends_sending_as_well(factory: Start) -> None:
    emulator = factory(THREE)
    task = rerun(timeout=900, max_in_flight=1)
    with pytest.raises(WaitTimedOut, match="1 windows of trigger 'hourly' were not sent"):
        task.run()
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 2


@BOTH
@pytest.mark.parametrize(
    "limits",
    [
        {"deadline": "2026-03-01T06:45:00Z"},
        {"deadline": datetime.fromisoformat("2026-03-01T06:45:00+00:00"), "timeout": 3600},
        {"deadline": "2026-03-01T16:45:00Z", "timeout": 300},
    ],
    ids=["the deadline", "the deadline before the timeout", "the timeout before the deadline"],
)
def test_the_wait_ends_at_the_earlier_of_deadline_and_timeout(
    factory: Start, deferrable: bool, limits: dict[str, Any]
) -> None:
    emulator = factory(THREE)
    task = rerun(deferrable=deferrable, **limits)
    with pytest.raises(WaitTimedOut, match="3 not final"):
        task.run()
    assert task.ti.report["counts"] == {"Running": 3}
    assert "06:45" <= f"{emulator.now:%H:%M}" <= "06:46"


def test_the_trigger_ends_at_the_deadline_however_late_it_starts(factory: Start) -> None:
    emulator = factory(THREE)
    deferral = rerun(deferrable=True, deadline="2026-03-01T06:45:00Z").defer()
    emulator.advance(400)
    event = event_of(through_json(deferral.trigger))
    assert event["status"] == "timeout"


@BOTH
def test_a_cancel_waits_until_the_deadline_and_leaves_the_cancel_alone(
    factory: Start, deferrable: bool
) -> None:
    slow = {**FAMILY, "pipelines": {**FAMILY["pipelines"], "load": {"seconds": 3600, "cancel_seconds": 1800}}}
    emulator = factory(slow)
    task = Task(
        AdfCancelPipelineRunOperator, run_ids="lone", deferrable=deferrable, deadline=QUARTER_OF_AN_HOUR
    )
    with pytest.raises(WaitTimedOut, match="1 not final: pipeline run lone"):
        task.run()
    assert len(writes(emulator)) == 1


@pytest.mark.parametrize(
    "end", [{"timeout": 60}, {"deadline": "2026-03-01T06:41:00Z"}], ids=["timeout", "deadline"]
)
@pytest.mark.parametrize("wait", [False, True])
def test_a_cancel_by_conditions_looks_and_sends_no_longer_than_that(
    factory: Start, end: dict[str, Any], wait: bool
) -> None:
    often = {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Minute", "interval": 1}
    emulator = factory(
        {
            "now": NOW,
            "pipelines": {"load": {"seconds": 36000}},
            "triggers": {
                name: {**often, "startTime": f"2026-03-01T06:00:{second}Z"}
                for name, second in (("one", 10), ("other", 40))
            },
        }
    )
    task = Task(AdfCancelPipelineRunOperator, pipeline_names="load", wait_for_completion=wait, **end)
    with pytest.raises((RunsNotAsWanted, WaitTimedOut)):
        task.run()
    assert max(call.at for call in calls(emulator, "PipelineRuns_Cancel")) < datetime.fromisoformat(
        "2026-03-01T06:42:00+00:00"
    )
    assert re.search("the deadline .* came while there were new runs that match", task.ti.report["problem"])


@pytest.mark.parametrize(
    ("operator", "parameters", "operation"),
    [
        (AdfCancelPipelineRunOperator, {"run_ids": RUNS}, "PipelineRuns_Cancel"),
        (
            AdfCancelWaitingTriggerRunOperator,
            {"trigger_name": "waits", **NIGHT_RANGE},
            "TriggerRuns_Cancel",
        ),
    ],
)
def test_what_was_not_cancelled_before_the_deadline_is_named(
    factory: Start, operator: Any, parameters: dict[str, Any], operation: str
) -> None:
    waits = {
        "pipeline": "load",
        "dependsOn": [{"trigger": "hourly"}],
        "windows": [{"from": "-PT20H", "count": 18, "status": "WaitingOnDependency"}],
    }
    emulator = factory(
        {
            **THREE,
            "triggers": {**THREE["triggers"], "waits": waits},
            "runs": [{**run, "status": "InProgress"} for run in THREE["runs"]],
        }
    )
    emulator.fail_next(operation, status=429, retry_after=60)
    task = Task(operator, timeout=30, **parameters)
    with pytest.raises((RunsNotAsWanted, WaitTimedOut)):
        task.run()
    unsent = [run for run in task.ti.report["runs"] if "came before its cancel was sent" in run["problem"]]
    assert unsent
    assert {run["run_id"] for run in unsent}.isdisjoint(call.subject for call in calls(emulator, operation))


def test_pipeline_runs_are_not_rerun_after_the_deadline(factory: Start) -> None:
    emulator = factory(THREE)
    # the first answers are late: by then the deadline has come for all the others
    emulator.fail_next("Pipelines_CreateRun", status=429, retry_after=600)
    task = Task(AdfRerunPipelineRunOperator, run_ids=RUNS, deadline="2026-03-01T06:41:00Z")
    with pytest.raises(WaitTimedOut, match=r"the deadline .* came before all was sent"):
        task.run()
    sent = len([entry for entry in writes(emulator) if entry.effect is not None])
    assert 0 < sent <= 8
    left = [each for each in task.ti.report["runs"] if each["problem"]]
    assert len(left) == 20 - sent
    assert all(each["new_run_id"] is None for each in left)
    assert len(task.ti.report["run_ids"]) == sent


class Try(TaskInstance):
    """A try of a task whose state store is this dictionary."""

    max_tries = 2

    def __init__(self, number: int, store: Any) -> None:
        super().__init__()
        self.try_number = number
        self._store = store

    @property
    def context(self) -> Context:
        return cast("Context", {"ti": self, "task_state_store": self._store})


class Store(dict[str, Any]):
    """Stands for Airflow's task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


def test_a_next_try_after_the_deadline_says_what_became_of_the_batch_and_sends_nothing(
    factory: Start,
) -> None:
    emulator = factory(THREE)
    store = Store()
    for number in (1, 2):
        task = rerun(deadline=QUARTER_OF_AN_HOUR, max_in_flight=1)
        task.ti = Try(number, store)
        with pytest.raises(WaitTimedOut):
            task.run()
        emulator.advance(3600)
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 2
    assert task.ti.report["counts"] == {"Succeeded": 2, "not sent": 1}


def test_a_next_try_of_a_pipeline_runs_rerun_finds_what_the_first_has_sent(factory: Start) -> None:
    emulator = factory({**THREE, "pipelines": {"load": {"seconds": 7200}}})
    store = Store()
    first, second = Try(1, store), Try(2, store)
    for ti in (first, second):
        task = Task(AdfRerunPipelineRunOperator, run_ids=RUNS[1], deadline=QUARTER_OF_AN_HOUR)
        task.ti = ti
        with pytest.raises(WaitTimedOut):
            task.run()
    assert len(writes(emulator)) == 1
    assert second.report["run_ids"] == first.report["run_ids"]
