"""Large factories: what a run costs in memory, and ordered queries over more runs than are sorted at once."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.emulator.engine import Factory
from airflow_provider_adfruns.emulator.scenario import load_scenario

if TYPE_CHECKING:
    from tests.emulator.conftest import Serve


def many(count: int, **trigger: Any) -> dict[str, Any]:
    """Return a scenario with so many windows in each of two triggers."""
    usual = {"pipeline": "load", "frequency": "Minute", "interval": 5, "windows": {"count": count}}
    return {
        "now": "2026-03-01T06:40:00Z",
        "pipelines": {"load": {}},
        "triggers": {"one": usual | trigger, "two": usual | trigger},
    }


def test_a_trigger_run_with_its_pipeline_run_takes_less_than_1800_bytes() -> None:
    scenario = many(2000, parameters={"from": "@trigger().outputs.windowStartTime"})
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        factory = Factory(load_scenario(scenario))
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(factory.triggers.runs) == 4000
    assert taken / 4000 < 1800


@pytest.mark.parametrize("order", ["ASC", "DESC"])
@pytest.mark.parametrize(
    ("path", "operand", "key"),
    [
        ("/queryTriggerRuns", "TriggerRunTimestamp", "triggerRunTimestamp"),
        ("/queryPipelineRuns", "RunStart", "runStart"),
    ],
)
def test_many_runs_come_in_the_order_asked_for_and_each_once(
    serve: Serve, path: str, operand: str, key: str, order: str
) -> None:
    door = serve(many(700))
    rows = door.query(path, orderBy=[{"orderBy": operand, "order": order}])
    identity = "triggerRunId" if "Trigger" in path else "runId"
    assert len({row[identity] for row in rows}) == len(rows) == 1400
    # to the second: the digits after it are not all the factory's
    assert [row[key][:19] for row in rows] == sorted((row[key][:19] for row in rows), reverse=order == "DESC")


def test_an_ordered_query_over_many_runs_keeps_to_its_filters_and_its_time(serve: Serve) -> None:
    door = serve(many(1500, windows={"count": 1500, "except": [{"windows": "700..702", "status": "Failed"}]}))
    order = [{"orderBy": "TriggerRunTimestamp", "order": "DESC"}]
    body = {"lastUpdatedBefore": "2026-02-28T00:00:00Z", "orderBy": order}
    rows = door.query("/queryTriggerRuns", ("TriggerName", "NotEquals", ["two"]), **body)
    expected = [
        run["triggerRunId"]
        for run in door.only("one")[::-1]
        if run["triggerRunTimestamp"] < "2026-02-28T00:00:00Z"
    ]
    assert len(expected) > 1000
    assert expected[0] == rows[0]["triggerRunId"]
    # A run that was made before and has ended after that time belongs to neither list's beginning.
    assert {row["triggerRunId"] for row in rows} <= set(expected)
    assert {row["triggerName"] for row in rows} == {"one"}


def test_a_run_made_between_two_pages_of_an_ordered_query_moves_no_row(serve: Serve) -> None:
    door = serve(many(600, state="stopped"))
    failed = door.only("one")[0]
    asked = {
        "lastUpdatedAfter": "2020-01-01T00:00:00Z",
        "lastUpdatedBefore": "2030-01-01T00:00:00Z",
        "orderBy": [{"orderBy": "TriggerRunTimestamp", "order": "DESC"}],
    }
    first = door.post("/queryTriggerRuns", asked).json()
    door.rerun(failed).raise_for_status()
    door.emulator.advance(60)
    token = first["continuationToken"]
    second = door.post("/queryTriggerRuns", {**asked, "continuationToken": token}).json()
    whole = sorted(door.emulator.trigger_runs(), key=lambda run: run["triggerRunTimestamp"], reverse=True)
    before = [run["triggerRunId"] for run in whole if run["triggerRunTimestamp"] < "2026-03-01T06:40"]
    shown = [row["triggerRunId"] for row in first["value"] + second["value"]]
    assert sorted(shown) == sorted(before[:200])


def test_only_the_newest_of_each_group_is_listed_among_many(serve: Serve) -> None:
    runs = [
        {"pipeline": "load", "status": "Failed", "id": "first", "started": "-PT3H"},
        {"pipeline": "load", "recovery_of": "first", "id": "again", "started": "-PT2H"},
    ]
    door = serve({**many(600), "runs": runs})
    latest = ("LatestOnly", "Equals", ["true"])
    rows = door.query("/queryPipelineRuns", latest, orderBy=[{"orderBy": "RunStart", "order": "ASC"}])
    ids = {row["runId"] for row in rows}
    assert (len(rows), "again" in ids, "first" in ids) == (1201, True, False)


def test_a_run_is_found_by_its_id_in_any_case(serve: Serve) -> None:
    door = serve(many(1))
    run = door.only("one")[0]
    run_id = run["triggeredPipelines"]["load"]
    assert door.get(f"/pipelineruns/{run_id.upper()}").json()["runId"] == run_id
    answer = door.post(f"/triggers/one/triggerRuns/{run['triggerRunId'].lower()}/rerun")
    assert answer.status_code == 200


def test_an_ordered_query_over_many_runs_keeps_to_the_status_and_to_the_lag(serve: Serve) -> None:
    runs = {
        "count": 600,
        "except": [{"windows": 599, "status": "Running"}, {"windows": 5, "status": "Failed"}],
    }
    door = serve(many(600, windows=runs, state="stopped"))
    order = [{"orderBy": "TriggerRunTimestamp", "order": "DESC"}]
    # A second ago both runs ended, which the query, two seconds behind, does not show.
    door.emulator.advance(61)
    assert {run["status"] for run in door.emulator.trigger_runs()} == {"Succeeded", "Failed"}
    rows = door.query("/queryTriggerRuns", ("Status", "NotEquals", ["Failed"]), orderBy=order)
    assert len(rows) == 1198
    assert [row["status"] for row in rows[:2]] == ["Running", "Running"]
    assert {row["status"] for row in rows[2:]} == {"Succeeded"}
