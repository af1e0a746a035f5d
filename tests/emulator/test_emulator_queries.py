"""Queries: filters, order, pages, query lag, retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Serve

EVER = {"lastUpdatedAfter": "2020-01-01T00:00:00Z", "lastUpdatedBefore": "2030-01-01T00:00:00Z"}
LOAD = {"load": {"seconds": 60}, "report": {"seconds": 10}}


def windows(count: int, **block: Any) -> dict[str, Any]:
    return {"pipeline": "load", "frequency": "Hour", "state": "stopped", "windows": {"count": count, **block}}


def two_triggers() -> dict[str, Any]:
    return {
        "pipelines": LOAD,
        "triggers": {"a": windows(3, status="Failed"), "b": windows(2) | {"pipeline": "report"}},
    }


def test_two_hundred_fifty_runs_come_in_three_pages(serve: Serve) -> None:
    door = serve({"pipelines": LOAD, "triggers": {"a": windows(250)}})
    sizes: list[int] = []
    token = None
    while not sizes or token is not None:
        body = EVER | ({"continuationToken": token} if token else {})
        answer = door.post("/queryTriggerRuns", body).json()
        sizes.append(len(answer["value"]))
        token = answer.get("continuationToken")
    assert sizes == [100, 100, 50]


def test_pages_hold_every_run_once_with_and_without_an_order(serve: Serve) -> None:
    door = serve(
        {
            "pipelines": LOAD,
            "triggers": {"a": windows(250, **{"except": [{"windows": "0..99", "status": "Failed"}]})},
        }
    )
    truth = sorted(run["triggerRunId"] for run in door.emulator.trigger_runs())
    order = [{"orderBy": "TriggerRunTimestamp", "order": "DESC"}]
    for asked in ({}, {"orderBy": order}):
        assert sorted(run["triggerRunId"] for run in door.query("/queryTriggerRuns", **asked)) == truth


def test_results_come_in_no_useful_order_but_in_the_same_one_every_time(serve: Serve) -> None:
    door = serve({"pipelines": LOAD, "triggers": {"a": windows(20)}})
    times = [[run["triggerRunTimestamp"] for run in door.trigger_runs()] for _ in range(2)]
    assert times[0] == times[1]
    assert times[0] not in (sorted(times[0]), sorted(times[0], reverse=True))


@pytest.mark.parametrize(("order", "reverse"), [("ASC", False), ("DESC", True)])
def test_results_come_in_the_order_asked_for(serve: Serve, order: str, reverse: bool) -> None:
    door = serve({"pipelines": LOAD, "triggers": {"a": windows(150)}})
    asked = [{"orderBy": "TriggerRunTimestamp", "order": order}]
    times = [run["triggerRunTimestamp"] for run in door.query("/queryTriggerRuns", orderBy=asked)]
    assert times == sorted(times, reverse=reverse)


@pytest.mark.parametrize(
    ("operand", "operator", "values", "expected"),
    [
        ("TriggerName", "Equals", ["A"], 3),
        ("TriggerName", "NotEquals", ["a"], 2),
        ("TriggerName", "In", ["a", "b"], 5),
        ("TriggerName", "NotIn", ["a", "b"], 0),
        ("Status", "Equals", ["Failed"], 3),
        ("Status", "In", ["Failed", "Succeeded"], 5),
    ],
)
def test_trigger_runs_can_be_filtered(
    serve: Serve, operand: str, operator: str, values: list[str], expected: int
) -> None:
    assert len(serve(two_triggers()).trigger_runs((operand, operator, values))) == expected


def test_filters_are_all_met(serve: Serve) -> None:
    door = serve(two_triggers())
    found = door.trigger_runs(("TriggerName", "Equals", ["b"]), ("Status", "Equals", ["Failed"]))
    assert found == []


def test_a_timestamp_of_an_answer_finds_its_run_again(serve: Serve) -> None:
    door = serve(two_triggers())
    run = door.only("a")[0]
    found = door.trigger_runs(("TriggerRunTimestamp", "Equals", [run["triggerRunTimestamp"]]))
    assert found == [run]


def test_a_query_shows_what_was_updated_between_two_times(serve: Serve) -> None:
    door = serve(two_triggers())
    run = door.only("a")[1]
    bounds = {"lastUpdatedAfter": "2026-03-01T05:00:00Z", "lastUpdatedBefore": "2026-03-01T05:59:00Z"}
    assert run in door.query("/queryTriggerRuns", **bounds)
    assert len(door.query("/queryTriggerRuns", **bounds)) == 2


def test_a_new_run_and_a_new_status_show_late_in_queries_but_not_in_a_get(serve: Serve) -> None:
    door = serve({"pipelines": LOAD, "query_lag_seconds": 5})
    run_id = door.post("/pipelines/load/createRun", {}).json()["runId"]
    assert (door.status(run_id), door.query("/queryPipelineRuns")) == ("InProgress", [])
    door.emulator.advance(60)
    assert door.status(run_id) == "Succeeded"
    assert door.query("/queryPipelineRuns")[0]["status"] == "InProgress"
    door.emulator.advance(5)
    assert door.query("/queryPipelineRuns")[0]["status"] == "Succeeded"


def test_a_recovered_run_stays_latest_in_queries_until_the_lag_has_passed(serve: Serve) -> None:
    door = serve({"pipelines": LOAD, "runs": [{"pipeline": "load", "status": "Failed", "started": "-PT1H"}]})
    old = door.emulator.pipeline_runs()[0]["runId"]
    door.post("/pipelines/load/createRun", {}, params={"referencePipelineRunId": old, "isRecovery": "true"})
    assert [run["isLatest"] for run in door.query("/queryPipelineRuns")] == [True]
    door.emulator.advance(2)
    group = door.query("/queryPipelineRuns", ("RunGroupId", "Equals", [old]))
    assert {run["runId"]: run["isLatest"] for run in group}[old] is False
    assert [run["runId"] for run in door.query("/queryPipelineRuns", ("LatestOnly", "Equals", ["true"]))] != [
        old
    ]


def test_pages_show_one_instant(serve: Serve) -> None:
    door = serve({"pipelines": LOAD, "triggers": {"a": windows(150, status="Failed")}})
    status = [{"operand": "Status", "operator": "Equals", "values": ["Failed"]}]
    first = door.post("/queryTriggerRuns", EVER | {"filters": status}).json()
    for run in first["value"]:
        door.rerun(run)
    door.emulator.advance(600)
    token = first["continuationToken"]
    second = door.post("/queryTriggerRuns", EVER | {"filters": status, "continuationToken": token}).json()
    ids = {run["triggerRunId"] for run in first["value"] + second["value"]}
    assert ids == {run["triggerRunId"] for run in door.emulator.trigger_runs() if run["status"] == "Failed"}


def test_runs_older_than_45_days_are_forgotten_without_a_word(serve: Serve) -> None:
    runs = [{"pipeline": "load", "started": start} for start in ("-P50D", "-P40D")]
    door = serve({"pipelines": LOAD, "runs": runs})
    assert len(door.query("/queryPipelineRuns")) == 1


def test_activity_runs_of_an_unknown_run_are_none(serve: Serve) -> None:
    door = serve({"pipelines": LOAD})
    assert door.query("/pipelineruns/00000000-0000-0000-0000-000000000000/queryActivityruns") == []


def filtered(operand: str, operator: str, values: Any) -> dict[str, Any]:
    return EVER | {"filters": [{"operand": operand, "operator": operator, "values": values}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/queryTriggerRuns", {"lastUpdatedAfter": "2026-01-01T00:00:00Z"}),
        ("/queryTriggerRuns", {"lastUpdatedBefore": "2026-01-01T00:00:00Z"}),
        ("/queryTriggerRuns", {**EVER, "lastUpdatedAfter": "yesterday"}),
        ("/queryTriggerRuns", filtered("TriggerRunId", "Equals", ["x"])),
        ("/queryTriggerRuns", filtered("PipelineName", "Equals", ["x"])),
        ("/queryTriggerRuns", filtered("TriggerName", "Like", ["x"])),
        ("/queryTriggerRuns", filtered("TriggerName", "Equals", ["x", "y"])),
        ("/queryTriggerRuns", filtered("TriggerName", "Equals", "x")),
        ("/queryTriggerRuns", EVER | {"orderBy": [{"orderBy": "RunStart", "order": "ASC"}]}),
        ("/queryTriggerRuns", EVER | {"orderBy": [{"orderBy": "Status", "order": "up"}]}),
        ("/queryTriggerRuns", EVER | {"continuationToken": "nonsense"}),
        ("/queryPipelineRuns", filtered("RunId", "In", ["x"])),
        ("/queryPipelineRuns", filtered("RunStart", "Equals", ["noon"])),
    ],
)
def test_what_the_service_cannot_be_asked_is_a_bad_request(serve: Serve, path: str, body: Any) -> None:
    answer = serve(two_triggers()).post(path, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_several_run_groups_are_refused_in_the_services_own_words(serve: Serve) -> None:
    answer = serve(two_triggers()).post("/queryPipelineRuns", filtered("RunGroupId", "In", ["x", "y"]))
    assert answer.json()["error"]["message"] == (
        "Filter operand 'RunGroupId' does not support and array of values. Make sure to provide only one."
    )


def test_a_token_fits_no_other_query(serve: Serve) -> None:
    door = serve({"pipelines": LOAD, "triggers": {"a": windows(150)}})
    token = door.post("/queryTriggerRuns", EVER).json()["continuationToken"]
    other = filtered("TriggerName", "Equals", ["a"]) | {"continuationToken": token}
    assert door.post("/queryTriggerRuns", other).status_code == 400
