"""A rerun carried out on a local factory: each planned window once, and each one's end told truly."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    InvalidInput,
    RunsNotAsWanted,
    TriggerNotFound,
    TriggerRunNotFound,
    WaitTimedOut,
    WrongTriggerType,
)
from airflow_provider_adfruns.batch.planning import plan_rerun
from airflow_provider_adfruns.batch.report import RerunReport, Step
from airflow_provider_adfruns.batch.rerun import RerunWatch, check_outcome, find_new_runs
from airflow_provider_adfruns.batch.selection import select_windows
from airflow_provider_adfruns.batch.submit import Rules, Submission
from airflow_provider_adfruns.batch.watch import wait_until_done
from tests.adf.talking import talk
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)


def failed(count: int, *, lag: float = 2, but: Any = (), **windows: Any) -> dict[str, Any]:
    """Return a factory with so many failed windows up to six o'clock."""
    return {
        "now": NOW.isoformat(),
        "query_lag_seconds": lag,
        "pipelines": {"load": {"seconds": 60}},
        "triggers": {
            "hourly": {
                "pipeline": "load",
                "state": "stopped",
                "windows": {
                    "count": count,
                    "status": "Failed",
                    "rerun_outcome": "succeeded",
                    **windows,
                    "except": list(but),
                },
            },
            "daily": {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Day"},
        },
    }


async def plan(client: FactoryClient, **parameters: Any) -> RerunReport:
    usual = {"window_start": NOW - timedelta(days=40), "window_end": NOW}
    options: dict[str, Any] = {"statuses": None, "max_windows": 1000, "dry_run": False}
    selection = select_windows(
        parameters.pop("trigger_name", "hourly"),
        **({key: parameters.pop(key) for key in list(parameters) if key not in options} or usual),
    )
    options |= parameters
    return await plan_rerun(
        client, selection, options["statuses"], max_windows=options["max_windows"], dry_run=options["dry_run"]
    )


async def submit(client: FactoryClient, report: RerunReport, **rules: Any) -> RerunReport:
    return await Submission(client, report, Rules(**rules)).run()


async def rerun(client: FactoryClient, *, hours: float = 2, **parameters: Any) -> RerunReport:
    """Plan, submit, and follow to the end."""
    report = await submit(client, await plan(client, **parameters))
    watch = RerunWatch(client, report)
    await wait_until_done(
        watch, client, poll_interval=30, deadline=await client.now() + timedelta(hours=hours)
    )
    return watch.report


@pytest.mark.parametrize("generation", ["2021", "2022"])
@pytest.mark.parametrize("lag", [0, 2, 20])
def test_each_failed_window_is_rerun_once_however_long_queries_lag(
    factory: Factory, generation: str, lag: float
) -> None:
    emulator = factory(failed(3, lag=lag), wire_generation=generation)
    report = talk(emulator, rerun)
    reruns = calls(emulator, "TriggerRuns_Rerun")
    assert sorted(entry.subject for entry in reruns) == sorted(each.run_id for each in report.windows)
    assert report.counts() == {"Succeeded": 3}
    assert sorted(report.run_ids) == sorted(entry.effect["triggerRunId"] for entry in reruns)
    check_outcome(report)


def test_more_windows_than_a_page_holds_are_all_rerun(factory: Factory) -> None:
    emulator = factory(failed(250))
    report = talk(emulator, rerun)
    assert report.counts() == {"Succeeded": 250}
    assert len({entry.subject for entry in calls(emulator, "TriggerRuns_Rerun")}) == 250
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 250


def test_windows_that_were_rerun_with_success_since_are_not_rerun(factory: Factory) -> None:
    emulator = factory(failed(4, but=[{"windows": "0..1", "runs": ["Failed", "Succeeded"]}]))
    report = talk(emulator, rerun)
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 2
    assert [each["reason"] for each in report.skipped] == [
        "it has been rerun since, and its latest run is Succeeded"
    ] * 2


def test_a_refused_window_stands_in_the_report_and_does_not_stop_the_others(factory: Factory) -> None:
    emulator = factory(failed(12))
    emulator.fail_next("TriggerRuns_Rerun", status=409)
    report = talk(emulator, rerun)
    [refused] = [each for each in report.windows if each.step is Step.REFUSED]
    assert "HTTP 409" in refused.problem
    assert report.counts() == {"Succeeded": 11, "refused": 1}
    with pytest.raises(RunsNotAsWanted) as failed_task:
        check_outcome(report)
    message = str(failed_task.value)
    for part in ("1 of 12 windows", "'hourly'", str(refused.window), refused.run_id):
        assert part in message


def test_a_window_that_fails_again_is_named_with_its_new_run(factory: Factory) -> None:
    scenario = failed(2, but=[{"windows": 1, "rerun_outcome": "failed"}])
    report = talk(factory(scenario), rerun)
    assert report.counts() == {"Succeeded": 1, "Failed": 1}
    [again] = report.failures
    with pytest.raises(RunsNotAsWanted) as failed_task:
        check_outcome(report)
    for part in ("1 of 2 windows", str(again.window), "Failed", str(again.new_run_id)):
        assert part in str(failed_task.value)


def test_a_run_id_that_is_unknown_fails_the_task_at_its_end_and_the_others_are_rerun(
    factory: Factory,
) -> None:
    emulator = factory(failed(1))
    known = emulator.trigger_runs("hourly")[0]["triggerRunId"]
    report = talk(emulator, lambda client: rerun(client, run_ids=[known, "nope"]))
    assert report.counts() == {"Succeeded": 1}
    with pytest.raises(RunsNotAsWanted, match="run nope is unknown"):
        check_outcome(report)


def test_unknown_run_ids_alone_are_refused_before_anything_is_sent(factory: Factory) -> None:
    emulator = factory(failed(1))
    with pytest.raises(TriggerRunNotFound) as refused:
        talk(emulator, lambda client: plan(client, run_ids=["nope", "neither"]))
    for part in ("nope; neither", "'hourly'", "night-adf", "45 days", "Check"):
        assert part in str(refused.value)
    assert calls(emulator, "TriggerRuns_Rerun") == []


def test_a_schedule_trigger_is_refused_before_anything_is_sent(factory: Factory) -> None:
    emulator = factory(failed(1))
    with pytest.raises(WrongTriggerType) as refused:
        talk(emulator, lambda client: plan(client, trigger_name="daily"))
    for part in ("'daily'", "ScheduleTrigger", "Expected a TumblingWindowTrigger", "pipeline runs"):
        assert part in str(refused.value)
    assert [entry.operation for entry in emulator.journal] == ["Triggers_Get"]


def test_an_unknown_trigger_is_refused(factory: Factory) -> None:
    with pytest.raises(TriggerNotFound, match="'nope'"):
        talk(factory(failed(1)), lambda client: plan(client, trigger_name="nope"))


def test_a_range_that_means_more_windows_than_allowed_reruns_none(factory: Factory) -> None:
    emulator = factory(failed(5))
    with pytest.raises(InvalidInput) as refused:
        talk(emulator, lambda client: plan(client, max_windows=4))
    for part in ("max_windows", "5 windows", "is 4", "Nothing was rerun", "2026-03-01 01:00:00"):
        assert part in str(refused.value)


@pytest.mark.parametrize("now", ["2026-03-01T06:40:00+00:00", "2033-03-01T06:40:00+00:00"])
def test_a_range_beyond_the_history_is_judged_by_the_services_time(factory: Factory, now: str) -> None:
    emulator = factory(failed(1) | {"now": now})
    end = datetime.fromisoformat(now)
    with pytest.raises(InvalidInput, match="45 days"):
        talk(emulator, lambda client: plan(client, window_start=end - timedelta(days=46), window_end=end))
    assert calls(emulator, "TriggerRuns_QueryByFactory") == []


def test_a_stopped_trigger_is_warned_about(factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    talk(factory(failed(1)), plan)
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.startswith("Trigger 'hourly' is Stopped.")


def test_a_plan_alone_changes_nothing(factory: Factory) -> None:
    emulator = factory(failed(3))
    report = talk(emulator, lambda client: plan(client, dry_run=True))
    assert report.counts() == {"planned": 3}
    assert {entry.operation for entry in emulator.journal} == {"Triggers_Get", "TriggerRuns_QueryByFactory"}


def test_a_submitted_report_that_is_submitted_again_sends_nothing(factory: Factory) -> None:
    emulator = factory(failed(3))

    async def twice(client: FactoryClient) -> RerunReport:
        return await submit(client, await submit(client, await plan(client)))

    talk(emulator, twice)
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 3


def test_a_report_that_went_through_json_is_followed_to_its_end(factory: Factory) -> None:
    emulator = factory(failed(3))
    submitted = talk(emulator, _submitted)

    async def follow(client: FactoryClient) -> RerunReport:
        watch = RerunWatch(client, RerunReport.from_json(json.loads(json.dumps(submitted.to_json()))))
        await wait_until_done(watch, client, poll_interval=30, deadline=NOW + timedelta(hours=1))
        return watch.report

    assert talk(emulator, follow).counts() == {"Succeeded": 3}


async def _submitted(client: FactoryClient) -> RerunReport:
    return await submit(client, await plan(client))


def test_the_new_runs_are_found_without_waiting_for_their_end(factory: Factory) -> None:
    emulator = factory(failed(3, lag=20))

    async def find(client: FactoryClient) -> RerunReport:
        return await find_new_runs(client, await _submitted(client))

    report = talk(emulator, find)
    assert sorted(report.run_ids) == sorted(
        entry.effect["triggerRunId"] for entry in calls(emulator, "TriggerRuns_Rerun")
    )
    assert "Succeeded" not in report.counts()


def test_new_runs_that_queries_do_not_show_in_time_are_warned_about(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    emulator = factory(failed(2, lag=100))

    async def find(client: FactoryClient) -> RerunReport:
        return await find_new_runs(client, await _submitted(client))

    assert talk(emulator, find).counts() == {"not visible yet": 2}
    assert "Not all reruns are visible in queries yet: window 2026-03-01 04:00:00" in caplog.text


def test_at_the_deadline_the_windows_under_way_are_named_and_left_alone(factory: Factory) -> None:
    emulator = factory(failed(2, rerun_seconds=7200))
    with pytest.raises(WaitTimedOut) as ended:
        talk(emulator, lambda client: rerun(client, hours=1))
    for part in (
        "2 not final",
        "window 2026-03-01 04:00:00 to 2026-03-01 05:00:00 (Running)",
        "left as they are",
    ):
        assert part in str(ended.value)
    assert emulator.now < NOW + timedelta(hours=1, minutes=1)
    assert {entry.operation for entry in emulator.journal if "Cancel" in entry.operation} == set()


def test_trouble_that_is_shorter_than_the_budget_changes_nothing(factory: Factory) -> None:
    emulator = factory(failed(3))

    async def with_trouble(client: FactoryClient) -> RerunReport:
        submitted = await _submitted(client)
        emulator.fail_next("TriggerRuns_QueryByFactory", status=503, count=4)
        watch = RerunWatch(client, submitted)
        await wait_until_done(watch, client, poll_interval=30, deadline=NOW + timedelta(hours=1))
        return watch.report

    assert talk(emulator, with_trouble).counts() == {"Succeeded": 3}
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 3


def test_the_log_says_how_far_the_rerun_is(factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    talk(factory(failed(2)), rerun)
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Rerun of")]
    begins = "Rerun of trigger 'hourly': 2 windows: "
    assert said[0] == f"{begins}2 planned, 0 submitted, 0 unclear, 0 running, 0 done, 0 failed"
    assert said[-1].startswith(f"{begins}0 planned, 2 submitted, 0 unclear, 0 running, 2 done, 0 failed; ")
    assert said[-1].endswith(" ended a minute")
