"""Submitting: what is unclear is settled by looking before it is sent again, and what others do is minded."""

from __future__ import annotations

import ast
import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import airflow_provider_adfruns
from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.pacing import Limit, Pacer
from airflow_provider_adfruns.batch.planning import plan_rerun
from airflow_provider_adfruns.batch.report import RerunBy, RerunReport, Step
from airflow_provider_adfruns.batch.selection import select_windows
from airflow_provider_adfruns.batch.submit import Rules, Submission
from tests.adf.talking import talk
from tests.conftest import calls, connection_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

PACKAGE = Path(airflow_provider_adfruns.__file__).parent


def failed(
    count: int, *, lag: float = 2, now: str = "2026-03-01T06:40:00+00:00", seconds: float = 60
) -> dict[str, Any]:
    return {
        "now": now,
        "query_lag_seconds": lag,
        "pipelines": {"load": {"seconds": 60}},
        "triggers": {
            "minutely": {
                "pipeline": "load",
                "state": "stopped",
                "frequency": "Minute",
                "interval": 5,
                "maxConcurrency": 50,
                "windows": {
                    "count": count,
                    "status": "Failed",
                    "rerun_outcome": "succeeded",
                    "rerun_seconds": seconds,
                },
            }
        },
    }


async def submit(
    client: FactoryClient, *, meanwhile: Callable[[RerunReport], None] = lambda _: None, **rules: Any
) -> RerunReport:
    """Plan all failed windows and submit them; ``meanwhile`` happens when they are planned."""
    now = await client.now()
    selection = select_windows("minutely", window_start=now - timedelta(days=40), window_end=now)
    report = await plan_rerun(client, selection, None, max_windows=10_000, dry_run=False)
    meanwhile(report)
    return await Submission(client, report, Rules(**rules)).run()


def sent(emulator: AdfEmulator) -> list[str]:
    return [entry.path.split("/")[-2] for entry in calls(emulator, "TriggerRuns_Rerun")]


def carried_out(emulator: AdfEmulator) -> list[str | None]:
    return [entry.subject for entry in calls(emulator, "TriggerRuns_Rerun") if entry.effect is not None]


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 504}, {"drop_connection": True}, {"status": 202}], ids=str
)
@pytest.mark.parametrize("lag", [0, 2, 20])
def test_a_rerun_that_was_done_although_its_answer_was_lost_is_found_and_not_sent_again(
    factory: Factory, fault: dict[str, Any], lag: float
) -> None:
    emulator = factory(failed(12, lag=lag))
    emulator.fail_next("TriggerRuns_Rerun", count=3, processed=True, **fault)
    report = talk(emulator, submit)
    assert sorted(sent(emulator)) == sorted(each.run_id for each in report.windows)
    assert {each.step for each in report.windows} == {Step.SUBMITTED}
    assert {each.rerun_by for each in report.windows} == {RerunBy.THIS_BATCH}


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop_connection": True}])
@pytest.mark.parametrize("lag", [0, 20])
def test_a_rerun_that_was_not_done_is_sent_again_after_it_has_had_time_to_show(
    factory: Factory, fault: dict[str, Any], lag: float
) -> None:
    emulator = factory(failed(12, lag=lag))
    emulator.fail_next("TriggerRuns_Rerun", **fault)
    report = talk(emulator, lambda client: submit(client, settle_seconds=25))
    assert sorted(carried_out(emulator), key=str) == sorted(each.run_id for each in report.windows)
    posts = calls(emulator, "TriggerRuns_Rerun")
    lost, again = [entry for entry in posts if [each.path for each in posts].count(entry.path) == 2]
    assert again.at - lost.at >= timedelta(seconds=25)


def test_a_rerun_whose_answers_are_lost_again_and_again_is_done_once_in_the_end(factory: Factory) -> None:
    emulator = factory(failed(1))
    emulator.fail_next("TriggerRuns_Rerun", status=503, count=4)
    report = talk(emulator, submit)
    assert [each.step for each in report.windows] == [Step.SUBMITTED]
    assert len(carried_out(emulator)) == 1


def test_who_may_not_rerun_asks_a_few_times_and_not_for_each_of_2000_windows(factory: Factory) -> None:
    emulator = factory(failed(2000))
    emulator.fail_next("TriggerRuns_Rerun", status=403, count=2000)
    report = talk(emulator, submit)
    assert len(sent(emulator)) <= 10
    assert report.counts() == {"refused": 2000}


def test_who_may_not_rerun_is_told_so_for_each_window(factory: Factory) -> None:
    emulator = factory(failed(3))
    emulator.fail_next("TriggerRuns_Rerun", status=403, count=3)
    report = talk(emulator, submit)
    assert all("403" in each.problem or "permi" in each.problem.lower() for each in report.windows)


@pytest.mark.parametrize("lag", [0, 2])
def test_windows_that_a_colleague_reruns_meanwhile_are_noted_and_not_rerun_again(
    factory: Factory, lag: float
) -> None:
    emulator = factory(failed(4, lag=lag))
    theirs: list[str] = []

    def colleague(report: RerunReport) -> None:
        async def rerun(client: FactoryClient) -> None:
            for outcome in report.windows[:2]:
                await client.rerun_trigger_run("minutely", outcome.run_id)

        with ThreadPoolExecutor(1) as pool:  # another process, as it were
            pool.submit(talk, emulator, rerun).result()
        theirs.extend(str(entry.effect["triggerRunId"]) for entry in calls(emulator, "TriggerRuns_Rerun"))
        emulator.advance(lag)

    report = talk(emulator, lambda client: submit(client, meanwhile=colleague))
    assert len(sent(emulator)) == len(set(sent(emulator))) == 4
    others = [each for each in report.windows if each.rerun_by is RerunBy.SOMEBODY_ELSE]
    assert [each.new_run_id for each in others] == theirs


@pytest.mark.parametrize("newest_first", [False, True])
def test_windows_are_sent_in_the_order_asked_for(factory: Factory, newest_first: bool) -> None:
    emulator = factory(failed(5))
    report = talk(emulator, lambda client: submit(client, newest_first=newest_first, max_in_flight=1))
    ordered = [each.run_id for each in sorted(report.windows, key=lambda each: each.window)]
    assert sent(emulator) == (ordered[::-1] if newest_first else ordered)


def most_running(emulator: AdfEmulator) -> int:
    """Return how many of the reruns ran at a time at most."""
    ended = {run["runId"]: run["runEnd"] for run in emulator.pipeline_runs()}
    reruns = {entry.effect["triggerRunId"] for entry in calls(emulator, "TriggerRuns_Rerun") if entry.effect}
    marks: list[tuple[datetime, int]] = []
    for run in emulator.trigger_runs("minutely"):
        if run["triggerRunId"] in reruns:
            [pipeline_run] = run["triggeredPipelines"].values()
            marks.append((datetime.fromisoformat(run["triggerRunTimestamp"]), 1))
            marks.append((datetime.fromisoformat(ended[pipeline_run]), -1))
    running = most = 0
    for _, change in sorted(marks):
        running += change
        most = max(most, running)
    return most


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_no_more_windows_run_at_a_time_than_may_be_in_flight(factory: Factory, limit: int) -> None:
    emulator = factory(failed(23))
    talk(emulator, lambda client: submit(client, max_in_flight=limit, poll_interval=10))
    emulator.advance(600)
    assert len(sent(emulator)) == 23
    assert most_running(emulator) == limit


@pytest.mark.parametrize("lag", [2, 20])
def test_reruns_whose_answers_were_lost_count_among_those_in_flight(factory: Factory, lag: float) -> None:
    emulator = factory(failed(9, lag=lag, seconds=300))
    emulator.fail_next("TriggerRuns_Rerun", status=503, processed=True, count=2)
    talk(emulator, lambda client: submit(client, max_in_flight=2, poll_interval=10))
    emulator.advance(600)
    assert len(sent(emulator)) == len(set(sent(emulator))) == 9
    assert most_running(emulator) == 2


def test_looking_what_others_do_costs_many_reruns_no_time(factory: Factory) -> None:
    reads, writes = Limit(20, 5), Limit(200, 50)
    throttling = {
        "reads": {"bucket": reads.burst, "per_second": reads.per_second},
        "writes": {"bucket": writes.burst, "per_second": writes.per_second},
    }
    emulator = factory({**failed(1000), "throttling": throttling})

    async def told_the_limits() -> None:
        async with FactoryClient(connection_to(emulator), pacer=Pacer(reads, writes)) as client:
            await submit(client)

    asyncio.run(told_the_limits())
    reruns = calls(emulator, "TriggerRuns_Rerun")
    best = (1000 - writes.burst) / writes.per_second
    assert (reruns[-1].at - reruns[0].at).total_seconds() <= best * 1.03
    assert [entry.status for entry in reruns] == [200] * 1000


@pytest.mark.parametrize("now", ["2006-03-01T06:40:00+00:00", "2096-03-01T06:40:00+00:00"])
def test_a_workers_clock_that_is_decades_off_changes_nothing(factory: Factory, now: str) -> None:
    emulator = factory(failed(12, now=now, lag=20))
    emulator.fail_next("TriggerRuns_Rerun", status=503, processed=True)
    emulator.fail_next("TriggerRuns_Rerun", status=503)
    report = talk(emulator, submit)
    assert sorted(carried_out(emulator), key=str) == sorted(each.run_id for each in report.windows)


@pytest.mark.parametrize(
    "path", [*PACKAGE.glob("batch/*.py"), *PACKAGE.glob("adf/*.py")], ids=lambda path: str(path.name)
)
def test_nothing_here_asks_the_worker_what_time_it_is(path: Path) -> None:
    asked = [
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today", "time"}
        if isinstance(node.value, ast.Name) and node.value.id in {"datetime", "date", "time", "dt"}
    ]
    assert asked == []
