"""Pipelines and triggers published and deleted over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.emulator.conftest import Door, Serve

HOUR = 3600
EMPTY: dict[str, Any] = {"pipelines": {}}


def wait(seconds: int, **properties: Any) -> dict[str, Any]:
    """Return the document of a pipeline that waits."""
    activity = {"name": "Wait", "type": "Wait", "typeProperties": {"waitTimeInSeconds": seconds}}
    return {"properties": {"activities": [activity], **properties}}


def tumbling(pipeline: str = "load", **times: Any) -> dict[str, Any]:
    """Return the document of an hourly tumbling window trigger that began at four."""
    reference = {"pipelineReference": {"type": "PipelineReference", "referenceName": pipeline}}
    said = {"frequency": "Hour", "interval": 1, "startTime": "2026-03-01T04:00:00.000Z", "maxConcurrency": 5}
    return {
        "properties": {"type": "TumblingWindowTrigger", "pipeline": reference, "typeProperties": said | times}
    }


def upstream(name: str, **times: str) -> dict[str, Any]:
    reference = {"type": "TriggerReference", "referenceName": name}
    return {"type": "TumblingWindowTriggerDependencyReference", "referenceTrigger": reference, **times}


def put(door: Door, path: str, document: Any) -> httpx.Response:
    return door.call("PUT", path, json=document)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def published(serve: Serve) -> Door:
    """Serve a factory to which a pipeline of a minute and an hourly trigger were published."""
    door = serve(EMPTY)
    put(door, "/pipelines/load", wait(60)).raise_for_status()
    put(door, "/triggers/hourly", tumbling()).raise_for_status()
    return door


def test_a_published_pipeline_runs_as_long_as_it_waits(serve: Serve) -> None:
    door = serve(EMPTY)
    put(door, "/pipelines/load", wait(20))
    run_id = door.post("/pipelines/load/createRun", {}).json()["runId"]
    door.emulator.advance(19)
    assert door.status(run_id) == "InProgress"
    door.emulator.advance(1)
    assert door.status(run_id) == "Succeeded"


def test_a_published_document_is_given_back_with_when_it_was_published(serve: Serve) -> None:
    door = serve(EMPTY)
    document = wait(20, parameters={"day": {"type": "String"}}, annotations=["mine"])
    answer, got = put(door, "/pipelines/load", document), door.get("/pipelines/load")
    assert answer.json()["properties"] == document["properties"]
    assert got.json()["properties"] == document["properties"] | {"lastPublishTime": "2026-03-01T06:40:00Z"}


def test_a_published_trigger_is_stopped_and_begins_with_its_first_window_when_started(serve: Serve) -> None:
    door = published(serve)
    assert door.get("/triggers/hourly").json()["properties"]["runtimeState"] == "Stopped"
    door.post("/triggers/hourly/start")
    starts = [run["properties"]["windowStartTime"] for run in door.only("hourly")]
    assert sorted(starts) == ["03/01/2026 04:00:00", "03/01/2026 05:00:00"]


def test_a_triggers_times_come_back_without_trailing_zeros(serve: Serve) -> None:
    times = published(serve).get("/triggers/hourly").json()["properties"]["typeProperties"]
    assert times["startTime"] == "2026-03-01T04:00:00Z"


def test_a_published_schedule_fires(serve: Serve) -> None:
    door = published(serve)
    recurrence = {
        "frequency": "Minute",
        "interval": 30,
        "startTime": "2026-01-01T00:00:00Z",
        "timeZone": "UTC",
    }
    pipelines = [{"pipelineReference": {"type": "PipelineReference", "referenceName": "load"}}]
    properties = {
        "type": "ScheduleTrigger",
        "pipelines": pipelines,
        "typeProperties": {"recurrence": recurrence},
    }
    put(door, "/triggers/often", {"properties": properties}).raise_for_status()
    door.post("/triggers/often/start")
    door.emulator.advance(HOUR)
    assert [run["properties"]["ScheduleTime"] for run in door.only("often")] == [
        "03/01/2026 07:00:00",
        "03/01/2026 07:30:00",
    ]


def test_a_rerun_uses_the_triggers_latest_definition(serve: Serve) -> None:
    door = published(serve)
    door.post("/triggers/hourly/start")
    door.emulator.advance(100)
    door.post("/triggers/hourly/stop")
    put(door, "/pipelines/other", wait(5))
    put(door, "/triggers/hourly", tumbling("other")).raise_for_status()
    [old] = door.only("hourly", "03/01/2026 04:00:00")
    door.rerun(old).raise_for_status()
    door.emulator.advance(60)
    [_, again] = door.only("hourly", "03/01/2026 04:00:00")
    assert (list(old["triggeredPipelines"]), list(again["triggeredPipelines"])) == (["load"], ["other"])
    assert again["status"] == "Succeeded"


def test_a_rerun_evaluates_its_dependencies_again(serve: Serve) -> None:
    door = published(serve)
    door.post("/triggers/hourly/start")
    door.emulator.advance(100)
    door.post("/triggers/hourly/stop")
    put(door, "/triggers/never", tumbling(startTime="2026-03-01T04:00:00Z")).raise_for_status()
    put(door, "/triggers/hourly", tumbling(dependsOn=[upstream("never")])).raise_for_status()
    [old] = door.only("hourly", "03/01/2026 04:00:00")
    door.rerun(old).raise_for_status()
    door.emulator.advance(60)
    assert door.only("hourly", "03/01/2026 04:00:00")[-1]["status"] == "WaitingOnDependency"


def test_a_run_goes_on_by_the_definition_it_began_with(serve: Serve) -> None:
    door = published(serve)
    run_id = door.post("/pipelines/load/createRun", {}).json()["runId"]
    put(door, "/pipelines/load", wait(5))
    door.emulator.advance(30)
    assert door.status(run_id) == "InProgress"


def test_a_deleted_trigger_is_gone_but_its_runs_go_on(serve: Serve) -> None:
    door = published(serve)
    door.post("/triggers/hourly/start")
    door.post("/triggers/hourly/stop")
    assert door.call("DELETE", "/triggers/hourly").content == b""
    assert code(door.get("/triggers/hourly")) == (404, "TriggerNotFound")
    assert door.get("/triggers").json() == {"value": []}
    door.emulator.advance(HOUR)
    assert {run["status"] for run in door.only("hourly")} == {"Succeeded"}


def test_a_trigger_can_be_published_again_after_it_was_deleted(serve: Serve) -> None:
    door = published(serve)
    door.call("DELETE", "/triggers/hourly")
    put(door, "/triggers/HOURLY", tumbling(startTime="2026-03-01T05:00:00Z")).raise_for_status()
    door.post("/triggers/hourly/start")
    assert [run["properties"]["windowStartTime"] for run in door.only("hourly")] == ["03/01/2026 05:00:00"]


@pytest.mark.parametrize("path", ["/triggers/nowhere", "/pipelines/nowhere"])
def test_deleting_what_is_not_there_is_no_content(serve: Serve, path: str) -> None:
    assert published(serve).call("DELETE", path).status_code == 204


def test_a_pipeline_in_use_cannot_be_deleted(serve: Serve) -> None:
    door = published(serve)
    assert code(door.call("DELETE", "/pipelines/load")) == (400, "BadRequest")
    door.call("DELETE", "/triggers/hourly").raise_for_status()
    assert door.call("DELETE", "/pipelines/load").status_code == 200
    assert code(door.get("/pipelines/load")) == (404, "PipelineNotFound")


def test_a_started_trigger_can_neither_be_changed_nor_deleted(serve: Serve) -> None:
    door = published(serve)
    door.post("/triggers/hourly/start")
    expected = (400, "TriggerEnabledCannotUpdate")
    assert code(put(door, "/triggers/hourly", tumbling())) == expected
    assert code(door.call("DELETE", "/triggers/hourly")) == expected


def test_a_trigger_on_which_another_depends_cannot_be_deleted(serve: Serve) -> None:
    door = published(serve)
    put(door, "/triggers/report", tumbling(dependsOn=[upstream("hourly")])).raise_for_status()
    assert code(door.call("DELETE", "/triggers/hourly")) == (400, "BadRequest")


def test_an_operation_on_a_trigger_ends_after_its_time(serve: Serve) -> None:
    trigger = {"pipeline": "load", "frequency": "Hour", "state": "stopped", "operation_seconds": 30}
    door = serve({"pipelines": {"load": {}}, "triggers": {"hourly": trigger}})
    seen = [door.post("/triggers/hourly/start").status_code]
    seen.append(door.post("/triggers/hourly/stop").status_code)
    door.emulator.advance(30)
    seen.append(door.post("/triggers/hourly/stop").status_code)
    assert seen == [200, 400, 200]


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"properties": {"activities": []}},
        {"properties": {"activities": [{"name": "Wait"}]}},
        {"properties": {"activities": wait(1)["properties"]["activities"] * 2}},
        wait(1, concurrency=0),
        {
            "properties": {
                "activities": [
                    {
                        "name": "Run",
                        "type": "ExecutePipeline",
                        "typeProperties": {"pipeline": {"referenceName": "nowhere"}},
                    }
                ]
            }
        },
    ],
)
def test_a_pipeline_that_makes_no_sense_is_refused(serve: Serve, document: Any) -> None:
    answer = put(serve(EMPTY), "/pipelines/load", document)
    assert code(answer) == (400, "BadRequest")


@pytest.mark.parametrize(
    "times",
    [
        {"frequency": "Day"},
        {"interval": 0},
        {"startTime": "soon"},
        {"maxConcurrency": 51},
        {"delay": "a while"},
        {"dependsOn": [upstream("nowhere")]},
        {"dependsOn": [{"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "01:00:00"}]},
        {"dependsOn": [upstream("hourly")] * 6},
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused(serve: Serve, times: dict[str, Any]) -> None:
    door = published(serve)
    assert code(put(door, "/triggers/report", tumbling(**times))) == (400, "BadRequest")


@pytest.mark.parametrize(
    "properties",
    [
        {"type": "BlobEventsTrigger", "typeProperties": {}},
        {
            "type": "ScheduleTrigger",
            "typeProperties": {"recurrence": {"timeZone": "W. Europe Standard Time"}},
        },
        {"type": "ScheduleTrigger", "typeProperties": {"recurrence": {"schedule": {"hours": [3]}}}},
    ],
)
def test_a_trigger_that_cannot_be_simulated_is_refused_loudly(serve: Serve, properties: Any) -> None:
    answer = put(published(serve), "/triggers/report", {"properties": properties})
    assert answer.status_code == 501
    assert "docs/emulator.md" in answer.json()["error"]["message"]


def test_a_scenarios_trigger_depends_on_five_others_at_most(serve: Serve) -> None:
    hourly = {"pipeline": "load", "frequency": "Hour"}
    many = {**hourly, "dependsOn": [{"trigger": "hourly"}] * 6}
    with pytest.raises(ValueError, match="at most 5"):
        serve({"pipelines": {"load": {}}, "triggers": {"hourly": hourly, "report": many}})


def test_a_rerun_keeps_its_window_where_the_trigger_was_published_with_others_since(serve: Serve) -> None:
    door = serve(
        {
            "pipelines": {"load": {}},
            "triggers": {
                "hourly": {
                    "pipeline": "load",
                    "state": "stopped",
                    "windows": {"count": 1, "status": "Failed"},
                }
            },
        }
    )
    failed = door.only("hourly")[0]
    door.call("DELETE", "/triggers/hourly").raise_for_status()
    put(door, "/triggers/hourly", tumbling(interval=3, startTime="2026-02-28T00:00:00Z")).raise_for_status()
    door.rerun(failed).raise_for_status()
    windows = [
        (run["properties"]["windowStartTime"], run["properties"]["windowEndTime"])
        for run in door.only("hourly")
    ]
    assert windows == [("03/01/2026 05:00:00", "03/01/2026 06:00:00")] * 2


def test_a_deleted_trigger_is_not_in_the_state_that_the_page_shows(serve: Serve) -> None:
    door = published(serve)
    assert [each["name"] for each in door.client.get("/_adf/state").json()["triggers"]] == ["hourly"]
    door.call("DELETE", "/triggers/hourly").raise_for_status()
    assert door.client.get("/_adf/state").json()["triggers"] == []
