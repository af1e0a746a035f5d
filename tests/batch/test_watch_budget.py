"""Saving requests where many runs are watched hides nothing of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.batch.final_watch import RunsFinalWatch, read_tree
from airflow_provider_adfruns.batch.verdict import Memory
from airflow_provider_adfruns.batch.watch import WatchedRun, wait_until_done
from tests.adf.talking import talk
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)


def forest(count: int, noise: int = 0, **options: Any) -> dict[str, Any]:
    """Return a factory in which many runs have started a child each, beside others of no interest."""
    other = (
        [{"pipeline": "other", "status": "InProgress", "started": "-PT1M", "count": noise}] if noise else []
    )
    return {
        "now": NOW.isoformat(),
        "pipelines": {
            "parent": {"activities": [{"name": "Child", "pipeline": "child"}]},
            "child": {"seconds": 600},
            "other": {"seconds": 400},
        },
        "runs": [
            {"pipeline": "parent", "status": "InProgress", "started": "-PT1M", "count": count},
            *other,
        ],
        **options,
    }


def ids(emulator: AdfEmulator, pipeline: str) -> list[str]:
    return [run["runId"] for run in emulator.pipeline_runs() if run["pipelineName"] == pipeline]


def follow(emulator: AdfEmulator, *, include_children: bool = True) -> list[WatchedRun]:
    """Follow all parents to their end with a look every half minute."""
    run_ids = ids(emulator, "parent")

    async def work(client: FactoryClient) -> list[WatchedRun]:
        watch = RunsFinalWatch(client, pipeline_run_ids=run_ids, include_children=include_children)
        await wait_until_done(watch, client, poll_interval=30, deadline=NOW + timedelta(hours=3))
        return watch.runs

    return talk(emulator, work)


def test_children_of_many_runs_are_found_without_reading_activities(factory: Factory) -> None:
    emulator = factory(forest(60, noise=250))
    runs = follow(emulator)
    assert {run.run_id for run in runs} == {*ids(emulator, "parent"), *ids(emulator, "child")}
    assert {run.status for run in runs} == {"Succeeded"}
    assert calls(emulator, "ActivityRuns_QueryByPipelineRun") == []


def test_without_children_queries_name_the_pipelines_in_a_busy_factory(factory: Factory) -> None:
    emulator = factory(forest(60, noise=250))
    follow(emulator, include_children=False)
    filters = [entry.body.get("filters") for entry in calls(emulator, "PipelineRuns_QueryByFactory")]
    by_name = {"operand": "PipelineName", "operator": "In", "values": ["parent"]}
    assert by_name not in filters[0]
    assert all(by_name in each for each in filters[4:])


@pytest.mark.parametrize("fault", [{"lose": "page"}, {"lose": "rest"}, {"stale_seconds": 600}])
def test_a_query_that_shows_too_little_hides_no_run_for_ever(factory: Factory, fault: dict[str, Any]) -> None:
    emulator = factory(forest(150))
    emulator.fail_sometimes("PipelineRuns_QueryByFactory", rate=0.3, seed=7, **fault)
    runs = follow(emulator)
    assert {run.run_id for run in runs} == {*ids(emulator, "parent"), *ids(emulator, "child")}
    assert {run.status for run in runs} == {"Succeeded"}


def test_a_tree_that_turns_out_to_be_large_is_read_by_queries(factory: Factory) -> None:
    scenario = forest(0)
    scenario["pipelines"]["top"] = {"activities": [{"name": "Each", "pipeline": "parent", "count": 50}]}
    scenario["runs"] = [{"pipeline": "top", "status": "InProgress", "started": "-PT1M", "id": "top"}]
    emulator = factory(scenario)

    async def work(client: FactoryClient) -> list[WatchedRun]:
        return await read_tree(client, ["top"])

    runs = talk(emulator, work)
    assert {run.run_id for run in runs} == {run["runId"] for run in emulator.pipeline_runs()}
    assert len(emulator.journal) < 20


def test_a_watch_that_goes_on_from_memory_asks_only_for_what_has_changed(factory: Factory) -> None:
    emulator = factory(forest(60))
    run_ids = ids(emulator, "parent")

    async def look(client: FactoryClient, memory: Memory) -> Memory:
        watch = RunsFinalWatch(client, pipeline_run_ids=run_ids, include_children=True, memory=memory)
        await watch.look()
        return watch.memory

    memory = talk(emulator, lambda client: look(client, Memory()))
    before = len(emulator.journal)
    emulator.advance(700)
    again = talk(emulator, lambda client: look(client, Memory.from_json(memory.to_json())))
    assert {run.status for run in again.runs.values()} == {"Succeeded"}
    assert {run.status_before for run in again.runs.values()} == {"InProgress"}
    assert [entry.operation for entry in emulator.journal[before:]] == [
        "Factories_Get",
        "PipelineRuns_QueryByFactory",
        "PipelineRuns_QueryByFactory",
    ]
