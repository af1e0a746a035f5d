"""Cancels of pipeline runs on a local factory, with and without children."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    FactoryNotFound,
    PipelineRunNotFound,
    RunsNotAsWanted,
)
from airflow_provider_adfruns.adf.pause import moving, pause
from airflow_provider_adfruns.batch.cancel import cancel_pipeline_runs
from airflow_provider_adfruns.batch.cancel_report import check_outcome, with_final_statuses
from airflow_provider_adfruns.batch.final_watch import RunsFinalWatch
from airflow_provider_adfruns.batch.watch import wait_until_done
from tests.adf.fields import read
from tests.adf.playback import Played, playing
from tests.adf.talking import talk
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch.cancel_report import CancelReport
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
PARENT = "11111111-1111-4111-8111-111111111111"
LONE = "22222222-2222-4222-8222-22222222abcd"
DONE = "33333333-3333-4333-8333-333333333333"
UNKNOWN = "99999999-9999-4999-8999-999999999999"
RUNS: dict[str, Any] = {
    "now": NOW.isoformat(),
    "pipelines": {
        "region": {"seconds": 3600, "cancel_seconds": 40},
        "close_day": {"activities": [{"name": "Close regions", "pipeline": "region"}]},
        "load": {"seconds": 100},
    },
    "runs": [
        {"pipeline": "close_day", "status": "InProgress", "started": "-PT5M", "id": PARENT},
        {"pipeline": "load", "status": "InProgress", "started": "-PT50S", "id": LONE},
        {"pipeline": "load", "status": "Succeeded", "started": "-PT5H", "id": DONE},
    ],
}


def status_of(emulator: AdfEmulator, run_id: str) -> str:
    return next(str(run["status"]) for run in emulator.pipeline_runs() if run["runId"] == run_id)


def child_of(emulator: AdfEmulator, run_id: str) -> str:
    [child] = [run for run in emulator.pipeline_runs() if run["invokedBy"].get("pipelineRunId") == run_id]
    return str(child["runId"])


def cancel(emulator: AdfEmulator, run_ids: Sequence[str], **options: Any) -> CancelReport:
    options = {"is_recursive": True, **options}
    return talk(emulator, lambda client: cancel_pipeline_runs(client, run_ids, **options))


def test_running_runs_are_cancelled_and_one_that_has_ended_is_no_error(factory: Factory) -> None:
    emulator = factory(RUNS)
    report = cancel(emulator, [LONE, DONE])
    assert [(each.status_before, each.requested, each.problem) for each in report.runs] == [
        ("InProgress", True, ""),
        ("Succeeded", False, ""),
    ]
    check_outcome(report)
    assert [entry.subject for entry in calls(emulator, "PipelineRuns_Cancel")] == [LONE]


@pytest.mark.parametrize("given", [[LONE.upper()], [LONE.upper(), LONE]], ids=["once", "twice"])
def test_an_id_in_another_case_is_the_same_run(factory: Factory, given: list[str]) -> None:
    emulator = factory(RUNS)
    report = cancel(emulator, given)
    assert [(each.run_id, each.requested) for each in report.runs] == [(LONE, True)]
    assert [entry.subject for entry in calls(emulator, "PipelineRuns_Cancel")] == [LONE]


def at(status: str, minute: int = 40) -> Played:
    """Return the answer that a run is in a status, at a minute after six."""
    body = {"runId": LONE, "pipelineName": "load", "status": status}
    return Played(json.dumps(body), headers={"Date": f"Sun, 01 Mar 2026 06:{minute}:00 GMT"})


def cancel_at(*answers: Played) -> CancelReport:
    """Cancel a run of a service that answers so, which the local factory never would."""
    with playing(*answers) as service, moving(lambda _: None):
        return talk(
            read(arm_endpoint=service.url),
            lambda client: cancel_pipeline_runs(client, [LONE], is_recursive=True),
        )


@pytest.mark.parametrize(
    ("status", "requested", "problem"),
    [
        ("Canceling", True, ""),
        ("InProgress", False, "its cancel was refused as if it had ended, and it is InProgress"),
        ("Suspended", False, "its cancel was refused as if it had ended, and it is Suspended"),
    ],
)
def test_a_cancel_refused_for_a_run_that_has_ended_counts_as_such_only_if_the_run_says_so(
    status: str, requested: bool, problem: str
) -> None:
    error = {"code": "PipelineRunNotRunning", "message": "The run is not running."}
    report = cancel_at(at("InProgress"), Played(json.dumps({"error": error}), status=400), at(status))
    [run] = report.runs
    assert (run.status, run.requested) == (status, requested)
    assert run.problem.startswith(problem)
    assert bool(run.problem) == bool(problem)


def test_a_lost_cancel_of_a_run_in_a_status_that_nobody_knows_is_not_taken_for_done() -> None:
    lost = Played(status=503, headers={"Date": "Sun, 01 Mar 2026 06:40:00 GMT"})
    looks = [answer for minute in (41, 42, 43) for answer in (lost, at("Suspended", minute))]
    report = cancel_at(at("Suspended"), *looks)
    with pytest.raises(RunsNotAsWanted, match=r"without a clear answer, and it is still Suspended"):
        check_outcome(report)


def test_a_recursive_cancel_takes_the_children_along_without_asking_for_them(factory: Factory) -> None:
    emulator = factory(RUNS)
    report = cancel(emulator, [PARENT])
    emulator.advance(600)
    assert report.runs[0].left_running == ()
    assert [status_of(emulator, each) for each in (PARENT, child_of(emulator, PARENT))] == ["Cancelled"] * 2
    assert calls(emulator, "ActivityRuns_QueryByPipelineRun") == []


def test_a_cancel_that_is_not_recursive_names_the_children_that_run_to_completion(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    emulator = factory(RUNS)
    report = cancel(emulator, [PARENT], is_recursive=False)
    child = child_of(emulator, PARENT)
    assert report.runs[0].left_running == (child,)
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    for part in (PARENT, "close_day", "not recursive", "run to completion", child):
        assert part in warning
    emulator.advance(7200)
    assert [status_of(emulator, each) for each in (PARENT, child)] == ["Cancelled", "Succeeded"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_that_is_cancelled_with_another_one_is_not_left_running_by_one_that_has_ended(
    factory: Factory, dry_run: bool
) -> None:
    start = {"name": "Start", "pipeline": "close_day", "waitOnCompletion": False}
    emulator = factory(
        RUNS
        | {
            "pipelines": RUNS["pipelines"] | {"kick_off": {"activities": [start]}},
            "runs": [{"pipeline": "kick_off", "status": "InProgress", "started": "-PT5M", "id": PARENT}],
        }
    )
    emulator.advance(120)
    day = child_of(emulator, PARENT)
    report = cancel(emulator, [PARENT, day], dry_run=dry_run)
    assert status_of(emulator, PARENT) == "Succeeded"
    assert [each.left_running for each in report.runs] == [(), ()]


def test_a_child_that_somebody_else_cancels_is_not_named_as_running_on(factory: Factory) -> None:
    emulator = factory(RUNS)
    child = child_of(emulator, PARENT)

    async def both(client: FactoryClient) -> CancelReport:
        await client.cancel_pipeline_run(child, is_recursive=True)
        return await cancel_pipeline_runs(client, [PARENT], is_recursive=False)

    assert talk(emulator, both).runs[0].left_running == ()


def test_children_that_have_ended_are_not_named(factory: Factory) -> None:
    close_day = [
        {"name": "Close regions", "pipeline": "load"},
        {"name": "Report", "seconds": 9000, "dependsOn": ["Close regions"]},
    ]
    pipelines = RUNS["pipelines"] | {"close_day": {"activities": close_day}}
    emulator = factory(RUNS | {"pipelines": pipelines})
    emulator.advance(150)
    report = cancel(emulator, [PARENT], is_recursive=False)
    assert status_of(emulator, child_of(emulator, PARENT)) == "Succeeded"
    assert (report.runs[0].requested, report.runs[0].left_running) == (True, ())


def test_an_unknown_run_stands_in_the_report_and_does_not_stop_the_others(factory: Factory) -> None:
    emulator = factory(RUNS)
    report = cancel(emulator, [UNKNOWN, LONE])
    assert [(each.run_id, each.requested) for each in report.runs] == [(UNKNOWN, False), (LONE, True)]
    with pytest.raises(RunsNotAsWanted) as failed:
        check_outcome(report)
    for part in ("1 of 2 runs", UNKNOWN, "night-adf"):
        assert part in str(failed.value)


def test_unknown_runs_alone_are_refused(factory: Factory) -> None:
    emulator = factory(RUNS)
    with pytest.raises(PipelineRunNotFound) as refused:
        cancel(emulator, [UNKNOWN, "someGuid"])
    for part in (f"{UNKNOWN}; someGuid", "night-adf", "Check", "45 days"):
        assert part in str(refused.value)
    assert calls(emulator, "PipelineRuns_Cancel") == []


def test_a_factory_that_is_not_there_is_not_taken_for_an_unknown_run(factory: Factory) -> None:
    emulator = factory(RUNS)
    with pytest.raises(FactoryNotFound, match="other-adf"):
        talk(
            emulator,
            lambda client: cancel_pipeline_runs(client, [LONE], is_recursive=True),
            factory_name="other-adf",
        )


def test_a_run_that_ends_between_the_look_and_the_cancel_is_no_error(factory: Factory) -> None:
    emulator = factory(RUNS)
    emulator.fail_next("PipelineRuns_Cancel", status=429, retry_after=110)  # it has 100 seconds to go
    report = cancel(emulator, [LONE])
    [run] = report.runs
    assert (run.status_before, run.requested, run.status, run.problem) == (
        "InProgress",
        False,
        "Succeeded",
        "",
    )
    assert [entry.status for entry in calls(emulator, "PipelineRuns_Cancel")] == [429, 400]
    check_outcome(report)


def test_a_cancel_that_goes_wrong_is_named_and_does_not_stop_the_others(factory: Factory) -> None:
    emulator = factory(RUNS)
    emulator.fail_next("PipelineRuns_Cancel", status=403)
    report = cancel(emulator, [LONE, PARENT])
    [wrong] = report.problems
    assert sorted(each.requested for each in report.runs) == [False, True]
    with pytest.raises(RunsNotAsWanted, match=f"1 of 2 runs.*{wrong.run_id}"):
        check_outcome(report)
    assert len(calls(emulator, "PipelineRuns_Cancel")) == 2


def test_a_dry_run_only_looks(factory: Factory) -> None:
    emulator = factory(RUNS)
    report = cancel(emulator, [PARENT, DONE], is_recursive=False, dry_run=True)
    assert [(each.status_before, each.requested) for each in report.runs] == [
        ("InProgress", False),
        ("Succeeded", False),
    ]
    assert report.runs[0].left_running == (child_of(emulator, PARENT),)
    assert calls(emulator, "PipelineRuns_Cancel") == []


def test_what_a_watch_saw_is_entered_and_children_are_added(factory: Factory) -> None:
    emulator = factory(RUNS)

    async def cancel_and_wait(client: FactoryClient) -> CancelReport:
        report = await cancel_pipeline_runs(client, [PARENT], is_recursive=True)
        watch = RunsFinalWatch(client, pipeline_run_ids=report.ids("pipeline"), include_children=True)
        await wait_until_done(watch, client, poll_interval=10, deadline=NOW + timedelta(hours=1))
        return with_final_statuses(report, watch.runs)

    report = talk(emulator, cancel_and_wait)
    assert [(each.run_id, each.status, each.requested) for each in report.runs] == [
        (PARENT, "Cancelled", True),
        (child_of(emulator, PARENT), "Cancelled", False),
    ]


def test_a_cancel_whose_answer_was_lost_has_time_to_show_before_it_is_sent_again(factory: Factory) -> None:
    emulator = factory(RUNS)
    emulator.fail_next("PipelineRuns_Cancel", status=504)
    cancel(emulator, [PARENT])
    first, second = (entry.at for entry in calls(emulator, "PipelineRuns_Cancel"))
    assert second - first >= timedelta(seconds=10)


def test_what_was_cancelled_stays_in_the_report_though_reads_fail_from_then_on(factory: Factory) -> None:
    emulator = factory(RUNS)
    emulator.fail_next("PipelineRuns_Cancel", status=504, processed=True)

    async def spoil() -> None:
        while not calls(emulator, "PipelineRuns_Cancel"):
            await pause(0)
        emulator.fail_next("PipelineRuns_Get", status=503, count=1000)

    async def both(client: FactoryClient) -> CancelReport:
        report, _ = await asyncio.gather(
            cancel_pipeline_runs(client, [LONE, PARENT], is_recursive=True), spoil()
        )
        return report

    report = talk(emulator, both)
    assert sorted(each.requested for each in report.runs) == [False, True]
    with pytest.raises(RunsNotAsWanted, match=r"1 of 2 runs could not be cancelled.*kept answering HTTP 503"):
        check_outcome(report)


def test_a_recursive_cancel_of_an_ended_run_names_its_children_that_still_run(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    emulator = factory(
        {
            "now": NOW.isoformat(),
            "pipelines": {
                "parent": {"activities": [{"name": "Start", "pipeline": "child", "waitOnCompletion": False}]},
                "child": {"seconds": 3600},
            },
            "runs": [{"pipeline": "parent", "id": "ended", "status": "InProgress", "started": "-PT1M"}],
        }
    )
    emulator.advance(60)
    statuses = {run["pipelineName"]: run for run in emulator.pipeline_runs()}
    assert (statuses["parent"]["status"], statuses["child"]["status"]) == ("Succeeded", "InProgress")
    report = cancel(emulator, ["ended"], is_recursive=True)
    assert report.runs[0].left_running == (statuses["child"]["runId"],)
    assert "cancel them by their own ids" in caplog.text
    assert calls(emulator, "PipelineRuns_Cancel") == []
