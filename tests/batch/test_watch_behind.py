"""A watch of many runs is not misled by queries that show the factory as it was a while ago."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.cancel_rules import CancelRules
from airflow_provider_adfruns.batch.final_watch import RunsFinalWatch
from airflow_provider_adfruns.batch.watch import wait_until_done
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from tests.adf.talking import talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
QUERY = "PipelineRuns_QueryByFactory"


def factory_of(lag: float = 2, **pipelines: Any) -> dict[str, Any]:
    """Return a factory in which 25 runs of each pipeline have just begun."""
    return {
        "now": NOW.isoformat(),
        "query_lag_seconds": lag,
        "pipelines": pipelines,
        "runs": [
            {"pipeline": name, "status": "InProgress", "started": "-PT1S", "count": 25} for name in pipelines
        ],
    }


def ids(emulator: AdfEmulator) -> list[str]:
    return [str(run["runId"]) for run in emulator.pipeline_runs()]


def test_a_run_that_has_ended_is_not_taken_back(factory: Factory) -> None:
    emulator = factory(factory_of(short={"seconds": 60}, long={"seconds": 600}))

    async def work(client: FactoryClient) -> list[int]:
        watch = RunsFinalWatch(client, pipeline_run_ids=ids(emulator), include_children=True)
        finals = []
        for stale in (0, 0, 0, 60):
            await pause(22)
            if stale:
                emulator.fail_next(QUERY, stale_seconds=stale)
            await watch.look()
            finals.append(sum(run.is_final for run in watch.runs))
        return finals

    assert talk(emulator, work) == [0, 0, 25, 25]


def test_an_end_that_no_query_for_changes_shows_is_found_all_the_same(factory: Factory) -> None:
    emulator = factory(factory_of(load={"seconds": 300}))

    async def work(client: FactoryClient) -> list[str]:
        watch = RunsFinalWatch(client, pipeline_run_ids=ids(emulator))
        await watch.look()
        emulator.fail_next(QUERY, stale_seconds=400, count=10)
        await wait_until_done(watch, client, poll_interval=60, deadline=NOW + timedelta(hours=2))
        return [run.status for run in watch.runs]

    assert talk(emulator, work) == ["Succeeded"] * 25


def test_a_run_whose_end_queries_do_not_show_yet_is_not_stuck(factory: Factory) -> None:
    emulator = factory(factory_of(60, load={"seconds": 3600, "cancel_seconds": 590}))
    AdfRunsHook().cancel_pipeline_run(ids(emulator)[0], is_recursive=False)

    async def work(client: FactoryClient) -> tuple[list[Any], str]:
        rules = CancelRules(stuck_after=timedelta(seconds=600))
        watch = RunsFinalWatch(client, pipeline_run_ids=ids(emulator), rules=rules)
        await pause(120)
        await watch.look()
        await pause(500)
        await watch.look()
        return watch.due, watch.runs[0].status

    assert talk(emulator, work) == ([], "Cancelled")


def test_a_child_that_queries_do_not_show_yet_is_waited_for(factory: Factory) -> None:
    parent = {
        "activities": [{"name": "Go", "pipeline": "child", "waitOnCompletion": False, "dependsOn": ["Copy"]}]
    }
    parent["activities"].insert(0, {"name": "Copy", "seconds": 3})
    scenario = factory_of(20, parent=parent)
    emulator = factory({**scenario, "pipelines": {"parent": parent, "child": {"seconds": 300}}})
    parents = ids(emulator)
    emulator.advance(4)

    async def work(client: FactoryClient) -> dict[str, int]:
        watch = RunsFinalWatch(client, pipeline_run_ids=parents, include_children=True)
        await wait_until_done(watch, client, poll_interval=30, deadline=NOW + timedelta(hours=2))
        return {name: sum(run.name == name for run in watch.runs) for name in ("parent", "child")}

    assert talk(emulator, work) == {"parent": 25, "child": 25}
