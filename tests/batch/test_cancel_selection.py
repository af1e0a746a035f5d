"""Cancels of selected pipeline runs: all of them, in order, none missed that comes late."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    InvalidInput,
    PipelineNotFound,
    RunsNotAsWanted,
    TriggerNotFound,
)
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.cancel_report import check_outcome
from airflow_provider_adfruns.batch.cancel_selection import cancel_selected_runs
from airflow_provider_adfruns.batch.run_selection import CancelOrder, select_runs
from tests.adf.talking import talk
from tests.conftest import calls
from tests.provider.tasks import statuses, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch.cancel_report import CancelReport
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
MIXED: dict[str, Any] = {
    "now": NOW.isoformat(),
    "query_lag_seconds": 0,
    "pipelines": {
        "load": {"seconds": 36000, "cancel_seconds": 300},
        "report": {"seconds": 36000},
        "day": {"activities": [{"name": "Load", "pipeline": "load"}]},
    },
    "triggers": {
        "hourly": {
            "pipeline": "report",
            "state": "stopped",
            "windows": [{"from": "-PT2H", "count": 1, "runs": [{"status": "Running", "id": "window"}]}],
        }
    },
    "runs": [
        {"pipeline": "load", "status": "InProgress", "started": "-PT2H", "id": "old"},
        {"pipeline": "load", "status": "InProgress", "started": "-PT10M", "id": "new"},
        {"pipeline": "load", "status": "Queued", "started": "-PT5M", "id": "queued"},
        {"pipeline": "load", "status": "Canceling", "started": "-PT1H", "id": "canceling"},
        {"pipeline": "load", "status": "Failed", "started": "-PT4H", "id": "failed"},
        {"pipeline": "report", "status": "InProgress", "started": "-PT10M", "id": "report"},
        {"pipeline": "day", "status": "InProgress", "started": "-PT20M", "id": "day"},
    ],
}


def cancel(emulator: AdfEmulator, *, max_runs: int = 1000, **parameters: Any) -> CancelReport:
    options = {
        name: parameters.pop(name) for name in ("order", "queued_first", "dry_run") if name in parameters
    }
    selection = select_runs(parameters)
    return talk(
        emulator,
        lambda client: cancel_selected_runs(
            client, selection, is_recursive=True, max_runs=max_runs, **options
        ),
    )


def sent(emulator: AdfEmulator) -> list[str]:
    return [str(entry.subject) for entry in calls(emulator, "PipelineRuns_Cancel")]


def child_of_day(emulator: AdfEmulator) -> str:
    return next(
        str(run["runId"])
        for run in emulator.pipeline_runs()
        if run["invokedBy"].get("pipelineRunId") == "day"
    )


def of_window(emulator: AdfEmulator) -> str:
    [run] = emulator.trigger_runs("hourly")
    return str(run["triggeredPipelines"]["report"])


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"pipeline_names": "load"}, {"old", "new", "queued", "CHILD"}),
        ({"pipeline_names": ["load"], "statuses": ["Queued"]}, {"queued"}),
        ({"pipeline_names": ["load"], "statuses": "Canceling"}, {"canceling"}),
        ({"pipeline_names": "LOAD", "started_after": NOW - timedelta(hours=1)}, {"new", "queued", "CHILD"}),
        ({"started_before": NOW - timedelta(minutes=90)}, {"old", "WINDOW"}),
        ({"started_after": NOW - timedelta(minutes=15), "pipeline_names": "report"}, {"report"}),
        ({"trigger_name": "Hourly"}, {"WINDOW"}),
        ({"trigger_run_id": "window"}, {"WINDOW"}),
        ({"run_group_id": "old"}, {"old"}),
    ],
)
def test_the_runs_that_fulfil_every_condition_are_cancelled(
    factory: Factory, conditions: dict[str, Any], expected: set[str]
) -> None:
    emulator = factory(MIXED)
    names = {"CHILD": child_of_day(emulator), "WINDOW": of_window(emulator)}
    report = cancel(emulator, **conditions)
    assert set(sent(emulator)) == {names.get(each, each) for each in expected}
    assert not report.problems


def test_a_run_that_is_canceling_already_is_awaited_and_not_cancelled_again(factory: Factory) -> None:
    emulator = factory(MIXED)
    report = cancel(emulator, pipeline_names="load")
    [canceling] = [each for each in report.awaited if each.run_id == "canceling"]
    assert (canceling.status_before, canceling.problem) == ("Canceling", "")
    assert "canceling" not in sent(emulator)


def test_queued_runs_go_first_and_the_newest_of_them_before_the_others(factory: Factory) -> None:
    emulator = factory({**MIXED, "runs": MIXED["runs"][:3]})
    cancel(emulator, started_before=NOW, pipeline_names="load")
    first, *_ = sent(emulator)
    assert first == "queued"


def test_children_go_before_the_runs_that_started_them(factory: Factory) -> None:
    emulator = factory(MIXED)
    cancel(emulator, started_after=NOW - timedelta(minutes=25), order=CancelOrder.CHILDREN_FIRST)
    order = sent(emulator)
    assert order.index(child_of_day(emulator)) < order.index("day")


def test_more_runs_than_allowed_are_refused_before_anything_is_cancelled(factory: Factory) -> None:
    emulator = factory(MIXED)
    with pytest.raises(
        InvalidInput, match=r"max_runs: the selection has 4 runs .* is 3.* Nothing was cancelled"
    ):
        cancel(emulator, pipeline_names="load", max_runs=3)
    assert writes(emulator) == []


def test_runs_that_are_canceling_already_do_not_count_as_runs_to_cancel(factory: Factory) -> None:
    since = [("InProgress", "-PT50M"), ("Canceling", "-PT5M")]
    runs = [{"pipeline": "load", "status": status, "started": at, "count": 2} for status, at in since]
    emulator = factory({**MIXED, "runs": runs})
    report = cancel(emulator, pipeline_names="load", max_runs=2)
    check_outcome(report)
    assert len(report.awaited) == 4
    assert len(sent(emulator)) == 2


@pytest.mark.parametrize(
    ("conditions", "error", "name"),
    [
        ({"pipeline_names": ["load", "laod"]}, PipelineNotFound, "'laod'"),
        ({"pipeline_names": "load", "trigger_name": "hurly"}, TriggerNotFound, "'hurly'"),
    ],
)
def test_a_name_that_the_factory_does_not_have_is_refused_before_anything_is_cancelled(
    factory: Factory, conditions: dict[str, Any], error: type[Exception], name: str
) -> None:
    emulator = factory(MIXED)
    with pytest.raises(error, match=name):
        cancel(emulator, **conditions)
    assert writes(emulator) == []


def test_a_dry_run_names_the_runs_and_changes_nothing(factory: Factory) -> None:
    emulator = factory(MIXED)
    report = cancel(emulator, pipeline_names="load", dry_run=True)
    assert {each.run_id for each in report.runs} >= {"old", "new", "queued", "canceling"}
    assert writes(emulator) == []


def test_without_a_match_the_report_is_empty_after_a_second_look(factory: Factory) -> None:
    emulator = factory(MIXED)
    report = cancel(emulator, pipeline_names="load", started_before="2026-01-01T00:00:00Z")
    assert report.runs == ()
    assert len(calls(emulator, "PipelineRuns_QueryByFactory")) == 2


def test_a_run_that_queries_show_late_is_cancelled_all_the_same(factory: Factory) -> None:
    failed, fresh = "2f7fdb90-5df1-4b8e-ac2f-064cfa58202b", "75b3fbcb-8e83-4d1f-9a6c-0d8b6c1d9e11"
    runs = [{"pipeline": "load", "status": "Failed", "started": "-PT4H", "id": failed}]
    emulator = factory({**MIXED, "query_lag_seconds": 20, "runs": runs})

    async def start_and_cancel(client: FactoryClient) -> CancelReport:
        await client.create_recovery_run("load", failed, run_id=fresh)
        selection = select_runs({"pipeline_names": "load"})
        return await cancel_selected_runs(client, selection, is_recursive=True, max_runs=9)

    report = talk(emulator, start_and_cancel)
    assert [each.run_id for each in report.awaited] == [fresh]
    assert sent(emulator) == [fresh]


def recurring(count: int) -> dict[str, Any]:
    """Two triggers start a run every half minute, and some runs are going when the cancel begins."""
    often = {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Minute", "interval": 1}
    return {
        "now": NOW.isoformat(),
        "pipelines": {"load": {"seconds": 36000}},
        "triggers": {
            name: {**often, "startTime": f"2026-03-01T06:00:{second}Z"}
            for name, second in (("one", 10), ("other", 40))
        },
        "runs": [{"pipeline": "load", "status": "InProgress", "started": "-PT1M", "count": count}],
    }


def test_runs_that_never_stop_coming_fail_the_task_in_the_end_and_say_what_to_do(factory: Factory) -> None:
    emulator = factory(recurring(1))
    report = cancel(emulator, pipeline_names="load")
    with pytest.raises(RunsNotAsWanted, match=r"20 looks there are still new runs .* Stop what starts them"):
        check_outcome(report)


def test_runs_that_come_later_than_asked_for_are_left_alone(factory: Factory) -> None:
    emulator = factory(recurring(3))
    report = cancel(emulator, pipeline_names="load", started_before=NOW)
    check_outcome(report)
    assert len(sent(emulator)) == 3


def test_runs_that_come_meanwhile_do_not_exceed_the_number_allowed(factory: Factory) -> None:
    emulator = factory(recurring(3))
    report = cancel(emulator, pipeline_names="load", max_runs=4)
    assert len(sent(emulator)) == 4
    with pytest.raises(RunsNotAsWanted, match="it matches as well, and max_runs is 4: it was not cancelled"):
        check_outcome(report)


def test_trouble_in_a_later_look_keeps_the_report_and_fails_the_task(factory: Factory) -> None:
    emulator = factory(MIXED)

    async def spoil() -> None:
        while not sent(emulator):
            await pause(0)
        emulator.fail_next("PipelineRuns_QueryByFactory", status=503, count=1000)

    async def both(client: FactoryClient) -> CancelReport:
        selection = select_runs({"pipeline_names": "load", "statuses": "Queued"})
        report, _ = await asyncio.gather(
            cancel_selected_runs(client, selection, is_recursive=True, max_runs=9), spoil()
        )
        return report

    report = talk(emulator, both)
    assert {each.run_id for each in report.awaited} == {"queued", "canceling"}
    with pytest.raises(
        RunsNotAsWanted, match=r"not sure to be complete: whether more runs match .* HTTP 503"
    ):
        check_outcome(report)


QUEUES = 20
CROWD: dict[str, Any] = {
    "now": NOW.isoformat(),
    "query_lag_seconds": 3,
    "pipelines": {
        f"load{n}": {"seconds": 400, "concurrency": 2, "cancel": {"starts_queued": 0.03}}
        for n in range(QUEUES)
    },
    "runs": [
        part
        for n in range(QUEUES)
        for part in (
            {"pipeline": f"load{n}", "status": "InProgress", "started": "-PT5M", "count": 2},
            {"pipeline": f"load{n}", "status": "Queued", "started": "-PT4M", "count": 100},
        )
    ],
}


def test_of_two_thousand_queued_runs_none_starts_once_its_cancel_was_confirmed(factory: Factory) -> None:
    emulator = factory(CROWD)
    emulator.fail_sometimes("PipelineRuns_Cancel", rate=0.02, seed=1, drop_connection=True, processed=True)
    emulator.fail_sometimes("PipelineRuns_Cancel", rate=0.02, seed=2, status=503)
    names = [f"load{n}" for n in range(QUEUES)]
    report = cancel(emulator, pipeline_names=names, max_runs=3000)
    check_outcome(report)
    assert len(report.runs) == QUEUES * 102
    confirmed = {
        str(entry.subject): entry.at
        for entry in calls(emulator, "PipelineRuns_Cancel")
        if entry.status == 200
    }
    queued = {each.run_id for each in report.runs if each.status_before == "Queued"}
    assert len(queued) == QUEUES * 100
    emulator.advance(3600)
    begun = {
        run_id: min(datetime.fromisoformat(each["activityRunStart"]) for each in activities)
        for run_id in queued
        if (activities := emulator.activity_runs(run_id))
    }
    assert {run_id for run_id, at in begun.items() if run_id in confirmed and at > confirmed[run_id]} == set()
    now = statuses(emulator)
    assert {now[run_id] for run_id in queued} == {"Cancelled"}


def test_a_queued_run_that_its_cancel_misses_is_cancelled_before_another_one_s_end_lets_it_start(
    factory: Factory,
) -> None:
    queue = {"seconds": 36000, "concurrency": 1, "cancel": {"starts_queued": True}}
    emulator = factory(
        {
            **MIXED,
            "pipelines": {**MIXED["pipelines"], "queue": queue},
            "runs": [
                {"pipeline": "queue", "status": "InProgress", "started": "-PT1H"},
                {"pipeline": "queue", "status": "Queued", "started": "-PT30M", "count": 20},
            ],
        }
    )
    report = cancel(emulator, pipeline_names="queue")
    check_outcome(report)
    queued = {each.run_id for each in report.runs if each.status_before == "Queued"}
    assert len(queued) == 20
    assert {run_id for run_id in queued if emulator.activity_runs(run_id)} == set()
    assert {statuses(emulator)[run_id] for run_id in queued} == {"Cancelled"}


def test_a_run_that_starts_although_its_cancel_was_accepted_is_cancelled_again(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    queue = {"seconds": 36000, "concurrency": 1, "cancel": {"starts_queued": True}}
    runs = [
        {"pipeline": "queue", "status": "InProgress", "started": "-PT1H", "remaining_seconds": 20},
        {"pipeline": "queue", "status": "Queued", "started": "-PT30M", "id": "slippery"},
    ]
    emulator = factory({**MIXED, "pipelines": {**MIXED["pipelines"], "queue": queue}, "runs": runs})
    report = cancel(emulator, run_group_id="slippery")
    emulator.advance(60)
    [run] = report.runs
    assert (run.status_before, run.requested) == ("Queued", True)
    assert sent(emulator) == ["slippery", "slippery"]
    assert "slippery (queue) is InProgress although its cancel was accepted" in caplog.text
    assert statuses(emulator)["slippery"] == "Cancelled"
