"""Every operand with every operator and in every order, held against what the factory's runs are."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.emulator.conftest import Door, Serve

Row = dict[str, Any]
OPERATORS = ("Equals", "NotEquals", "In", "NotIn")
PIPELINE_RUNS = {
    "PipelineName": "pipelineName",
    "Status": "status",
    "RunStart": "runStart",
    "RunEnd": "runEnd",
    "RunGroupId": "runGroupId",
}
TRIGGER_RUNS = {
    "TriggerName": "triggerName",
    "Status": "status",
    "TriggerRunTimestamp": "triggerRunTimestamp",
}
ACTIVITY_RUNS = {
    "ActivityName": "activityName",
    "ActivityType": "activityType",
    "Status": "status",
    "ActivityRunStart": "activityRunStart",
    "ActivityRunEnd": "activityRunEnd",
}
OPERANDS = {"pipeline": PIPELINE_RUNS, "trigger": TRIGGER_RUNS, "activity": ACTIVITY_RUNS}
IDS = {"pipeline": "runId", "trigger": "triggerRunId", "activity": "activityRunId"}
EVERY = [(kind, operand) for kind, operands in OPERANDS.items() for operand in operands]
ORDERED = [
    (kind, operand, order)
    for kind, operand in EVERY
    for order in ("ASC", "DESC")
    if operand not in {"RunGroupId", "ActivityType"}
]


def factory(serve: Serve) -> Door:
    """Serve a factory with runs in every status."""
    statuses = ["Succeeded", "Failed", "Cancelled", "Running", "WaitingOnDependency", "Waiting"]
    exceptions = [{"windows": place, "status": status} for place, status in enumerate(statuses)]
    tumbling = {"pipeline": "load", "frequency": "Hour", "state": "stopped", "rerun_outcome": "succeeded"}
    steps = [
        {"name": "Copy", "type": "Copy", "seconds": 60},
        {"name": "Look", "type": "Lookup", "seconds": 600, "dependsOn": ["Copy"]},
        {"name": "Tell", "type": "WebActivity", "seconds": 60},
    ]
    pipelines = {
        "load": {"activities": steps, "cancel_seconds": 900},
        "slow": {"seconds": 9000, "concurrency": 1},
    }
    runs = [
        {"pipeline": "slow", "status": "InProgress", "started": "-PT30M"},
        {"pipeline": "slow", "status": "Queued", "started": "-PT20M"},
        {"pipeline": "load", "status": "InProgress", "started": "-PT3M", "remaining_seconds": 100},
        {"pipeline": "load", "status": "Canceling", "started": "-PT4M", "remaining_seconds": 300},
    ]
    triggers = {
        "night": tumbling | {"windows": {"count": 8, "except": exceptions}},
        "Day": tumbling | {"windows": {"count": 3, "status": "Failed"}},
    }
    scenario = {"query_lag_seconds": 0, "rerun_waiting_seconds": 600, "pipelines": pipelines}
    door = serve({**scenario, "triggers": triggers, "runs": runs})
    for run in door.emulator.trigger_runs("night"):
        if run["status"] == "Failed":
            door.rerun(run)
    door.emulator.advance(120)
    return door


def truth(door: Door, kind: str) -> tuple[str, list[Row]]:
    """Return where to query runs of a kind, and the runs there are."""
    if kind == "trigger":
        return "/queryTriggerRuns", door.emulator.trigger_runs()
    if kind == "pipeline":
        return "/queryPipelineRuns", door.emulator.pipeline_runs()
    busy = [run["runId"] for run in door.emulator.pipeline_runs() if run["pipelineName"] == "load"]
    run_id = next(each for each in busy if len({a["status"] for a in door.emulator.activity_runs(each)}) > 1)
    return f"/pipelineruns/{run_id}/queryActivityruns", door.emulator.activity_runs(run_id)


def comparable(value: Any, operand: str) -> Any:
    """Return a value as filters and orders compare it: text in any case, times to the microsecond."""
    if value is None:
        return None
    is_time = operand.endswith(("Start", "End", "Timestamp"))
    return datetime.fromisoformat(value) if is_time else str(value).casefold()


def passes(value: Any, operator: str, values: Iterable[Any]) -> bool:
    return (value in values) == (operator in {"Equals", "In"})


def ids(rows: Iterable[Row], kind: str) -> list[str]:
    return sorted(row[IDS[kind]] for row in rows)


@pytest.mark.parametrize(("kind", "operand"), EVERY)
def test_a_filter_returns_the_runs_it_describes(serve: Serve, kind: str, operand: str) -> None:
    door = factory(serve)
    path, rows = truth(door, kind)
    key = OPERANDS[kind][operand]
    known = sorted({row[key] for row in rows if row[key] is not None})
    assert known
    for operator in OPERATORS:
        several = operator in {"In", "NotIn"} and operand != "RunGroupId"
        for values in [known[:1], known[-1:]] + ([known[:2], known] if several else []):
            wanted = [comparable(value, operand) for value in values]
            expected = [row for row in rows if passes(comparable(row[key], operand), operator, wanted)]
            found = door.query(path, (operand, operator, values))
            assert ids(found, kind) == ids(expected, kind), (operator, values)


@pytest.mark.parametrize(("kind", "operand", "order"), ORDERED)
def test_results_come_in_the_order_of_each_operand(serve: Serve, kind: str, operand: str, order: str) -> None:
    door = factory(serve)
    path, rows = truth(door, kind)
    found = door.query(path, orderBy=[{"orderBy": operand, "order": order}])
    values = [comparable(row[OPERANDS[kind][operand]], operand) for row in found]
    expected = sorted(values, key=lambda value: (value is not None, value), reverse=order == "DESC")
    assert values == expected
    assert ids(found, kind) == ids(rows, kind)


def test_a_second_order_decides_between_equals(serve: Serve) -> None:
    door = factory(serve)
    asked = [{"orderBy": "Status", "order": "ASC"}, {"orderBy": "TriggerRunTimestamp", "order": "DESC"}]
    found = [
        (run["status"], run["triggerRunTimestamp"]) for run in door.query("/queryTriggerRuns", orderBy=asked)
    ]
    expected = sorted(sorted(found, key=lambda run: run[1], reverse=True), key=lambda run: run[0])
    assert found == expected


@pytest.mark.parametrize(("asked", "latest"), [("true", True), ("false", False)])
def test_latest_only_leaves_out_runs_that_were_recovered(serve: Serve, asked: str, latest: bool) -> None:
    runs = [{"pipeline": "load", "status": "Failed", "started": "-PT1H"}]
    door = serve({"query_lag_seconds": 0, "pipelines": {"load": {}}, "runs": runs})
    [old] = door.emulator.pipeline_runs()
    params = {"referencePipelineRunId": old["runId"], "isRecovery": "true"}
    door.post("/pipelines/load/createRun", {}, params=params)
    found = door.query("/queryPipelineRuns", ("LatestOnly", "Equals", [asked]))
    expected = [run for run in door.emulator.pipeline_runs() if run["isLatest"] or not latest]
    assert ids(found, "pipeline") == ids(expected, "pipeline")


@pytest.mark.parametrize(
    ("kind", "operand"),
    [(kind, each) for kind in OPERANDS for each in sorted({operand for _, operand in EVERY})],
)
def test_operands_of_other_runs_are_refused(serve: Serve, kind: str, operand: str) -> None:
    door = serve({"pipelines": {"load": {}}, "runs": [{"pipeline": "load"}]})
    run_id = door.emulator.pipeline_runs()[0]["runId"]
    paths = {"trigger": "/queryTriggerRuns", "pipeline": "/queryPipelineRuns"}
    path = paths.get(kind, f"/pipelineruns/{run_id}/queryActivityruns")
    bounds = {"lastUpdatedAfter": "2026-01-01T00:00:00Z", "lastUpdatedBefore": "2027-01-01T00:00:00Z"}
    value = "2026-01-01T00:00:00Z"
    asked = bounds | {"filters": [{"operand": operand, "operator": "Equals", "values": [value]}]}
    answer = door.post(path, asked)
    assert answer.status_code == (200 if operand in OPERANDS[kind] else 400)


def test_a_query_may_look_into_the_future(serve: Serve) -> None:
    door = factory(serve)
    body = {"lastUpdatedAfter": "2026-01-01T00:00:00Z", "lastUpdatedBefore": "2036-03-01T00:00:00Z"}
    assert len(door.query("/queryTriggerRuns", **body)) == len(door.emulator.trigger_runs())


def test_there_is_no_get_of_one_trigger_run(serve: Serve) -> None:
    door = factory(serve)
    run = door.emulator.trigger_runs()[0]
    assert door.get(f"/triggers/{run['triggerName']}/triggerRuns/{run['triggerRunId']}").status_code == 501


def test_a_rerun_shows_in_queries_only_when_the_lag_has_passed(serve: Serve) -> None:
    windows = {"count": 1, "status": "Failed"}
    trigger = {"pipeline": "load", "frequency": "Hour", "state": "stopped", "windows": windows}
    door = serve({"query_lag_seconds": 3, "pipelines": {"load": {}}, "triggers": {"night": trigger}})
    door.rerun(door.emulator.trigger_runs()[0])
    seen = []
    for _ in range(4):
        seen.append(len(door.trigger_runs()))
        door.emulator.advance(1)
    assert seen == [1, 1, 1, 2]
