"""Many runs followed to their end by one watch: by GETs while they are few, else by queries."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    PipelineRunNotFound,
    TriggerRunNotFound,
    Unreachable,
    WaitTimedOut,
)
from airflow_provider_adfruns.batch.final_watch import RunsFinalWatch
from airflow_provider_adfruns.batch.watch import (
    WatchedRun,
    at_once,
    runs_table,
    wait_until_done,
)
from tests.adf.talking import talk
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
PARENT = "11111111-1111-4111-8111-111111111111"
UNKNOWN = "99999999-9999-4999-8999-999999999999"


def running(count: int, *, lag: float = 2, seconds: float = 600) -> dict[str, Any]:
    return {
        "now": NOW.isoformat(),
        "query_lag_seconds": lag,
        "pipelines": {"load": {"seconds": seconds}},
        "runs": [{"pipeline": "load", "status": "InProgress", "started": "-PT1M", "count": count}],
    }


def run_ids(emulator: AdfEmulator) -> list[str]:
    return [str(run["runId"]) for run in emulator.pipeline_runs()]


def follow(emulator: AdfEmulator, *, hours: float = 3, budget: float = 120, **what: Any) -> list[WatchedRun]:
    """Follow runs to their end with a look every minute."""

    async def work(client: FactoryClient) -> list[WatchedRun]:
        watch = RunsFinalWatch(client, **what)
        deadline = NOW + timedelta(hours=hours)
        await wait_until_done(watch, client, poll_interval=60, deadline=deadline)
        return watch.runs

    return talk(emulator, work, trouble_budget_seconds=budget)


def test_a_few_runs_are_got_one_by_one(factory: Factory) -> None:
    emulator = factory(running(20))
    runs = follow(emulator, pipeline_run_ids=run_ids(emulator))
    assert {(run.status, run.is_final) for run in runs} == {("Succeeded", True)}
    assert {entry.operation for entry in emulator.journal} == {"PipelineRuns_Get"}


@pytest.mark.parametrize("lag", [0, 2, 20])
def test_many_runs_are_followed_by_queries(factory: Factory, lag: float) -> None:
    emulator = factory(running(25, lag=lag))
    runs = follow(emulator, pipeline_run_ids=run_ids(emulator))
    assert [run.status for run in runs] == ["Succeeded"] * 25
    assert calls(emulator, "PipelineRuns_Get") == []
    assert 9 <= len(calls(emulator, "PipelineRuns_QueryByFactory")) <= 12


def test_later_looks_ask_only_for_what_changed_and_now_and_then_for_all_that_go_on(factory: Factory) -> None:
    emulator = factory(running(25, seconds=3000))
    follow(emulator, pipeline_run_ids=run_ids(emulator))
    reaches = [
        entry.at - datetime.fromisoformat(entry.body["lastUpdatedAfter"])
        for entry in calls(emulator, "PipelineRuns_QueryByFactory")
    ]
    full = [place for place, reach in enumerate(reaches) if reach > timedelta(minutes=4)]
    assert full == [0, 21, 42]


def test_runs_that_end_while_no_query_shows_them_are_seen_to_the_end(factory: Factory) -> None:
    emulator = factory(running(30, lag=100, seconds=70))
    runs = follow(emulator, pipeline_run_ids=run_ids(emulator))
    assert [run.status for run in runs] == ["Succeeded"] * 30


FAMILY: dict[str, Any] = {
    "now": NOW.isoformat(),
    "pipelines": {
        "region": {
            "activities": [
                {"name": "Wait", "seconds": 30},
                {"name": "Shops", "pipeline": "shop", "dependsOn": ["Wait"]},
            ]
        },
        "shop": {"seconds": 900},
        "close_day": {
            "activities": [
                {"name": "Prepare", "seconds": 300},
                {
                    "name": "Close regions",
                    "pipeline": "region",
                    "waitOnCompletion": False,
                    "seconds": 60,
                    "dependsOn": ["Prepare"],
                },
            ]
        },
    },
    "runs": [{"pipeline": "close_day", "status": "InProgress", "started": "-PT10S", "id": PARENT}],
}


def test_children_at_any_depth_are_found_although_they_start_late_and_outlive_their_parent(
    factory: Factory,
) -> None:
    emulator = factory(FAMILY)
    runs = follow(emulator, pipeline_run_ids=[PARENT], include_children=True)
    by_name = {run.name: run for run in runs}
    assert {name: run.status for name, run in by_name.items()} == dict.fromkeys(
        ("close_day", "region", "shop"), "Succeeded"
    )
    assert by_name["region"].parent_run_id == PARENT
    assert by_name["shop"].parent_run_id == by_name["region"].run_id
    assert len(runs) == len(emulator.pipeline_runs())


def test_without_children_the_watch_ends_with_the_run_itself(factory: Factory) -> None:
    emulator = factory(FAMILY)
    runs = follow(emulator, pipeline_run_ids=[PARENT])
    assert [run.run_id for run in runs] == [PARENT]
    assert "InProgress" in {run["status"] for run in emulator.pipeline_runs()}


def test_a_child_that_starts_while_its_parents_cancel_is_on_the_way_is_waited_for(factory: Factory) -> None:
    emulator = factory(FAMILY)
    emulator.advance(299)  # the child starts a second later
    emulator.fail_next("PipelineRuns_Cancel", status=429, retry_after=1.5)

    async def work(client: FactoryClient) -> list[WatchedRun]:
        watch = RunsFinalWatch(client, pipeline_run_ids=[PARENT], include_children=True)
        assert not await watch.look()
        await client.cancel_pipeline_run(PARENT, is_recursive=False)
        await wait_until_done(watch, client, poll_interval=10, deadline=NOW + timedelta(hours=3))
        return watch.runs

    statuses = {run.name: run.status for run in talk(emulator, work)}
    assert statuses == {"close_day": "Cancelled", "region": "Succeeded", "shop": "Succeeded"}


TRIGGER_RUNS: dict[str, Any] = {
    "now": NOW.isoformat(),
    "query_lag_seconds": 2,
    "pipelines": {"load": {"seconds": 600}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "state": "stopped",
            "windows": [
                {"from": "-PT3H", "count": 1, "runs": [{"status": "Running", "id": "running"}]},
                {"from": "-PT2H", "count": 1, "runs": [{"status": "Failed", "id": "ended"}]},
            ],
        }
    },
}


def test_trigger_runs_are_followed_to_their_end(factory: Factory) -> None:
    runs = follow(factory(TRIGGER_RUNS), trigger_name="hourly", trigger_run_ids=["running", "ended"])
    assert {run.run_id: (run.kind, run.status) for run in runs} == {
        "running": ("trigger", "Succeeded"),
        "ended": ("trigger", "Failed"),
    }


def test_a_trigger_run_that_stays_out_of_queries_longer_than_they_lag_is_unknown(factory: Factory) -> None:
    emulator = factory(TRIGGER_RUNS)
    with pytest.raises(TriggerRunNotFound) as unknown:
        follow(emulator, trigger_name="hourly", trigger_run_ids=["ended", "nope"])
    for part in ("nope", "'hourly'", "night-adf", "45 days", "Check"):
        assert part in str(unknown.value)
    assert "ended" not in str(unknown.value)
    assert emulator.now - NOW >= timedelta(seconds=30)


@pytest.mark.parametrize("lag", [20, 29])
def test_a_trigger_run_that_queries_show_late_is_waited_for(factory: Factory, lag: float) -> None:
    emulator = factory(TRIGGER_RUNS | {"query_lag_seconds": lag})

    async def work(client: FactoryClient) -> list[WatchedRun]:
        await client.rerun_trigger_run("hourly", "ended")
        [rerun] = calls(emulator, "TriggerRuns_Rerun")
        watch = RunsFinalWatch(client, trigger_name="hourly", trigger_run_ids=[rerun.effect["triggerRunId"]])
        await wait_until_done(watch, client, poll_interval=5, deadline=NOW + timedelta(hours=3))
        return watch.runs

    assert [run.status for run in talk(emulator, work)] == ["Succeeded"]


@pytest.mark.parametrize("count", [2, 30])
def test_an_id_in_another_case_keeps_no_other_run_from_being_seen(factory: Factory, count: int) -> None:
    emulator = factory(running(count))
    first, *others = run_ids(emulator)
    runs = follow(emulator, hours=0.25, pipeline_run_ids=[first.upper(), *others])
    assert {run.run_id: run.status for run in runs} == dict.fromkeys([first, *others], "Succeeded")


def test_an_unknown_pipeline_run_is_named(factory: Factory) -> None:
    emulator = factory(running(1))
    with pytest.raises(PipelineRunNotFound, match=UNKNOWN):
        follow(emulator, pipeline_run_ids=[*run_ids(emulator), UNKNOWN])


@pytest.mark.parametrize("count", [2, 25])
def test_at_the_deadline_the_runs_are_named_and_left_alone(factory: Factory, count: int) -> None:
    emulator = factory(running(count, seconds=9000))
    ids = run_ids(emulator)
    with pytest.raises(WaitTimedOut) as ended:
        follow(emulator, hours=1, pipeline_run_ids=ids)
    for part in (
        f"{count} not final",
        f"pipeline run {ids[0]} (load, InProgress)",
        "left as they are",
        "timeout",
    ):
        assert part in str(ended.value)
    assert {run["status"] for run in emulator.pipeline_runs()} == {"InProgress"}
    assert calls(emulator, "PipelineRuns_Cancel") == []
    assert NOW + timedelta(hours=1) <= emulator.now <= NOW + timedelta(hours=1, minutes=1)


@pytest.mark.parametrize(
    ("count", "operation"), [(2, "PipelineRuns_Get"), (25, "PipelineRuns_QueryByFactory")]
)
@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 429, "retry_after": 10}, {"drop_connection": True}]
)
def test_trouble_that_is_shorter_than_the_budget_changes_nothing(
    factory: Factory, count: int, operation: str, fault: dict[str, Any]
) -> None:
    emulator = factory(running(count))
    emulator.fail_next(operation, count=3, **fault)
    runs = follow(emulator, pipeline_run_ids=run_ids(emulator))
    assert {run.status for run in runs} == {"Succeeded"}
    assert calls(emulator, "PipelineRuns_Cancel") == []


def test_trouble_that_is_longer_than_the_budget_ends_the_wait_and_leaves_the_runs_alone(
    factory: Factory,
) -> None:
    emulator = factory(running(1))
    emulator.fail_next("PipelineRuns_Get", status=503, count=100)
    with pytest.raises(Unreachable, match="Nothing was changed"):
        follow(emulator, budget=30, pipeline_run_ids=run_ids(emulator))
    assert calls(emulator, "PipelineRuns_Cancel") == []


def test_calls_at_once_all_end_before_the_first_error_is_raised() -> None:
    ended: list[int] = []

    async def call(number: int) -> int:
        for _ in range(number):
            await asyncio.sleep(0)
        ended.append(number)
        if number % 2:
            raise ValueError(f"call {number}")
        return number

    with pytest.raises(ValueError, match="call 1"):
        asyncio.run(at_once(call(number) for number in range(20)))
    assert sorted(ended) == list(range(20))


def test_calls_at_once_keep_their_order() -> None:
    async def call(number: int) -> int:
        for _ in range(20 - number):
            await asyncio.sleep(0)
        return number

    assert asyncio.run(at_once(call(number) for number in range(20))) == list(range(20))


def test_runs_are_shown_a_line_each_below_the_run_that_started_them() -> None:
    runs = [
        WatchedRun("pipeline", "p1", "close_day", "Cancelled", is_final=True, status_before="InProgress"),
        WatchedRun("pipeline", "p3", "load", "Succeeded", is_final=True, status_before="Succeeded"),
        WatchedRun("pipeline", "p2", "region", "Canceling", is_final=False, parent_run_id="p1"),
    ]
    assert runs_table(runs) == (
        "kind      run   name       was         now\n"
        "pipeline  p1    close_day  InProgress  Cancelled\n"
        "pipeline    p2  region     -           Canceling\n"
        "pipeline  p3    load       Succeeded   Succeeded"
    )
