"""Cancels of trigger runs that wait on their dependencies, on a local factory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    RunsNotAsWanted,
    TriggerRunNotFound,
    WrongState,
    WrongTriggerType,
)
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.cancel_report import check_outcome
from airflow_provider_adfruns.batch.cancel_waiting import cancel_waiting_trigger_runs
from airflow_provider_adfruns.batch.selection import OnRunning, select_windows
from tests.adf.talking import talk
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch.cancel_report import CancelReport
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
# Trigger runs: one waits for nothing that will come, one runs, one has ended.
WINDOWS: dict[str, Any] = {
    "now": NOW.isoformat(),
    "query_lag_seconds": 0,
    "pipelines": {"load": {"seconds": 3600}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "state": "stopped",
            "windows": [
                {
                    "from": "-PT4H",
                    "count": 1,
                    "runs": [{"status": "WaitingOnDependency", "id": "waiting", "stuck": True}],
                },
                {"from": "-PT3H", "count": 1, "runs": [{"status": "Running", "id": "running"}]},
                {"from": "-PT2H", "count": 1, "runs": [{"status": "Succeeded", "id": "ended"}]},
            ],
        },
        "daily": {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Day"},
    },
}
ALL_NIGHT = select_windows("hourly", window_start=NOW - timedelta(hours=12), window_end=NOW)


def cancel_waiting(
    emulator: AdfEmulator, on_running: OnRunning, selection: Any = ALL_NIGHT, **options: Any
) -> CancelReport:
    return talk(
        emulator, lambda client: cancel_waiting_trigger_runs(client, selection, on_running, **options)
    )


def trigger_statuses(emulator: AdfEmulator, trigger: str = "hourly") -> dict[str, str]:
    return {run["triggerRunId"]: run["status"] for run in emulator.trigger_runs(trigger)}


def test_with_fail_a_running_window_stops_everything_before_it_begins(factory: Factory) -> None:
    emulator = factory(WINDOWS)
    with pytest.raises(WrongState) as refused:
        cancel_waiting(emulator, OnRunning.FAIL)
    for part in (
        "running (window 2026-03-01 03:00:00",
        "Nothing was cancelled",
        "on_running='skip'",
        "'cancel_pipeline_runs'",
    ):
        assert part in str(refused.value)
    assert {
        entry.method + entry.operation for entry in emulator.journal if "Cancel" in entry.operation
    } == set()


def test_with_skip_a_running_window_is_left_alone_and_said_so(factory: Factory) -> None:
    emulator = factory(WINDOWS)
    report = cancel_waiting(emulator, OnRunning.SKIP)
    emulator.advance(60)
    assert trigger_statuses(emulator) == {"waiting": "Cancelled", "running": "Running", "ended": "Succeeded"}
    assert [(each.run_id, each.requested) for each in report.runs] == [("waiting", True)]
    assert {each["run_id"]: each["reason"] for each in report.skipped} == {
        "ended": "it has ended already, Succeeded",
        "running": "it is running already",
    }


def test_with_cancel_pipeline_runs_a_running_window_is_cancelled_by_what_it_started(factory: Factory) -> None:
    emulator = factory(WINDOWS)
    report = cancel_waiting(emulator, OnRunning.CANCEL_PIPELINE_RUNS)
    emulator.advance(60)
    assert trigger_statuses(emulator) == {
        "waiting": "Cancelled",
        "running": "Cancelled",
        "ended": "Succeeded",
    }
    assert [(each.run_id, each.requested) for each in report.runs] == [("waiting", True), ("running", True)]
    [pipeline] = calls(emulator, "PipelineRuns_Cancel")
    assert pipeline.query["isRecursive"].lower() == "true"


@pytest.mark.parametrize(
    ("on_running", "planned"),
    [(OnRunning.SKIP, ["waiting"]), (OnRunning.CANCEL_PIPELINE_RUNS, ["waiting", "running"])],
)
def test_a_dry_run_names_what_would_be_cancelled(
    factory: Factory, on_running: OnRunning, planned: list[str]
) -> None:
    emulator = factory(WINDOWS)
    report = cancel_waiting(emulator, on_running, dry_run=True)
    assert [(each.run_id, each.requested) for each in report.runs] == [(run_id, False) for run_id in planned]
    assert trigger_statuses(emulator) == {
        "waiting": "WaitingOnDependency",
        "running": "Running",
        "ended": "Succeeded",
    }


def test_a_run_is_cancelled_by_its_id_and_others_are_left_alone(factory: Factory) -> None:
    emulator = factory(WINDOWS)
    cancel_waiting(emulator, OnRunning.FAIL, select_windows("hourly", run_ids=["waiting", "ended", "nope"]))
    assert [entry.subject for entry in calls(emulator, "TriggerRuns_Cancel")] == ["waiting"]


def test_an_unknown_trigger_run_id_fails_the_task_at_its_end_and_the_others_are_cancelled(
    factory: Factory,
) -> None:
    emulator = factory(WINDOWS)
    report = cancel_waiting(emulator, OnRunning.SKIP, select_windows("hourly", run_ids=["waiting", "nope"]))
    assert [each.run_id for each in report.awaited] == ["waiting"]
    with pytest.raises(RunsNotAsWanted, match=r"1 of 2 runs could not be cancelled: run nope is unknown"):
        check_outcome(report)


def test_unknown_trigger_run_ids_alone_are_refused(factory: Factory) -> None:
    with pytest.raises(TriggerRunNotFound) as refused:
        cancel_waiting(factory(WINDOWS), OnRunning.SKIP, select_windows("hourly", run_ids=["nope"]))
    for part in ("nope", "'hourly'", "night-adf", "45 days"):
        assert part in str(refused.value)


def test_a_schedule_trigger_has_no_waiting_runs_to_cancel(factory: Factory) -> None:
    with pytest.raises(WrongTriggerType, match=r"'daily' is a ScheduleTrigger"):
        cancel_waiting(factory(WINDOWS), OnRunning.SKIP, select_windows("daily", run_ids=["x"]))


def late_waiter(factory: Factory) -> AdfEmulator:
    """Return a factory in which `late` begins to run while the cancel of it is throttled."""
    emulator = factory(
        {
            "now": NOW.isoformat(),
            "query_lag_seconds": 0,
            "pipelines": {"first": {"seconds": 60}, "second": {"seconds": 3600}},
            "triggers": {
                "up": {
                    "pipeline": "first",
                    "state": "stopped",
                    "windows": {"from": "-PT2H", "count": 1, "status": "Running"},
                },
                "down": {
                    "pipeline": "second",
                    "state": "stopped",
                    "dependsOn": [{"trigger": "up"}],
                    "windows": [
                        {
                            "from": "-PT4H",
                            "count": 1,
                            "runs": [{"status": "WaitingOnDependency", "id": "stuck", "stuck": True}],
                        },
                        {
                            "from": "-PT2H",
                            "count": 1,
                            "runs": [{"status": "WaitingOnDependency", "id": "late"}],
                        },
                    ],
                },
            },
        }
    )
    emulator.fail_next("TriggerRuns_Cancel", status=429, count=2, retry_after=100)
    return emulator


EVERYTHING = select_windows("down", window_start=NOW - timedelta(hours=12), window_end=NOW)


def test_a_waiting_run_that_runs_meanwhile_is_left_alone_where_running_ones_are_skipped(
    factory: Factory,
) -> None:
    emulator = late_waiter(factory)
    report = cancel_waiting(emulator, OnRunning.SKIP, EVERYTHING)
    emulator.advance(5)
    assert trigger_statuses(emulator, "down") == {"stuck": "Cancelled", "late": "Running"}
    assert [each.run_id for each in report.runs] == ["stuck"]
    [left] = [each for each in report.skipped if each["run_id"] == "late"]
    assert left["reason"] == "it waits no longer but is Running"
    check_outcome(report)


def test_a_waiting_run_that_runs_meanwhile_is_cancelled_where_running_ones_are(factory: Factory) -> None:
    emulator = late_waiter(factory)
    report = cancel_waiting(emulator, OnRunning.CANCEL_PIPELINE_RUNS, EVERYTHING)
    emulator.advance(60)
    assert trigger_statuses(emulator, "down") == {"stuck": "Cancelled", "late": "Cancelled"}
    assert sorted(each.run_id for each in report.awaited) == ["late", "stuck"]


def test_a_waiting_run_that_runs_meanwhile_is_named_where_running_ones_fail_the_task(
    factory: Factory,
) -> None:
    emulator = late_waiter(factory)
    report = cancel_waiting(emulator, OnRunning.FAIL, EVERYTHING)
    with pytest.raises(RunsNotAsWanted, match=r"late: .*was WaitingOnDependency, and is Running"):
        check_outcome(report)


def test_what_was_cancelled_of_a_trigger_stays_in_the_report_though_reads_fail_from_then_on(
    factory: Factory,
) -> None:
    emulator = factory(WINDOWS)

    async def spoil() -> None:
        while not calls(emulator, "TriggerRuns_Cancel"):
            await pause(0)
        emulator.fail_next("TriggerRuns_QueryByFactory", status=503, count=1000)

    async def both(client: FactoryClient) -> CancelReport:
        report, _ = await asyncio.gather(
            cancel_waiting_trigger_runs(client, ALL_NIGHT, OnRunning.SKIP), spoil()
        )
        return report

    report = talk(emulator, both)
    assert [(each.run_id, each.requested) for each in report.runs] == [("waiting", True)]
    with pytest.raises(RunsNotAsWanted, match="whether more windows wait could not be seen in the end"):
        check_outcome(report)


@pytest.mark.parametrize(
    ("on_running", "problems"), [(OnRunning.FAIL, 3), (OnRunning.SKIP, 0)], ids=["fail", "skip"]
)
def test_what_a_range_lets_begin_to_run_is_judged_as_what_ran_before(
    factory: Factory, on_running: OnRunning, problems: int
) -> None:
    emulator = factory(
        {
            "now": NOW.isoformat(),
            "pipelines": {"load": {"seconds": 3600}},
            "triggers": {
                "up": {
                    "pipeline": "load",
                    "state": "stopped",
                    "windows": [
                        {"from": "2026-03-01T00:00:00Z", "count": 3, "status": "Failed"},
                        {"from": "2026-03-01T03:00:00Z", "count": 3, "status": "Succeeded"},
                    ],
                },
                "down": {
                    "pipeline": "load",
                    "maxConcurrency": 3,
                    "dependsOn": [{"trigger": "up"}],
                    "startTime": "2026-03-01T00:00:00Z",
                    "backfill": True,
                },
            },
        }
    )
    whole = select_windows("down", window_start=NOW - timedelta(hours=12), window_end=NOW)
    report = cancel_waiting(emulator, on_running, whole)
    assert sorted(trigger_statuses(emulator, "down").values()) == ["Cancelled"] * 3 + ["Running"] * 3
    assert len(report.problems) == problems
    assert sum("running already" in each["reason"] for each in report.skipped) == 3 - problems
    assert calls(emulator, "PipelineRuns_Cancel") == []


def test_what_a_range_lets_begin_as_others_are_cancelled_is_cancelled_as_well(factory: Factory) -> None:
    emulator = factory(
        {
            "now": NOW.isoformat(),
            "pipelines": {"load": {"seconds": 3600}},
            "triggers": {
                "up": {
                    "pipeline": "load",
                    "state": "stopped",
                    "windows": {"from": "2026-03-01T00:00:00Z", "count": 6, "status": "Failed"},
                },
                "down": {
                    "pipeline": "load",
                    "maxConcurrency": 2,
                    "dependsOn": [{"trigger": "up"}],
                    "startTime": "2026-03-01T00:00:00Z",
                    "backfill": True,
                },
            },
        }
    )
    assert [run["status"] for run in emulator.trigger_runs("down")] == ["WaitingOnDependency"] * 2
    whole = select_windows("down", window_start=NOW - timedelta(hours=12), window_end=NOW)
    report = cancel_waiting(emulator, OnRunning.FAIL, whole)
    emulator.advance(60)
    assert [run["status"] for run in emulator.trigger_runs("down")] == ["Cancelled"] * 6
    assert len(report.awaited) == 6
