"""The service's errors, one by one: status and body, as collected beside the repository."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.emulator.conftest import Door, Serve

FILE = Path(__file__).parents[2].parent / "shared" / "adf-api" / "error-bodies.json"
EVER = {"lastUpdatedAfter": "2020-01-01T00:00:00Z", "lastUpdatedBefore": "2030-01-01T00:00:00Z"}
UNKNOWN = "16ac5348-ff82-4f95-a80d-638c1d47b721"
HOURLY = {"frequency": "Hour", "state": "stopped"}
SCENARIO: dict[str, Any] = {
    "pipelines": {"TestPipeline": {}, "limited": {"seconds": 600, "concurrency": 1}},
    "triggers": {
        "foo": {"pipeline": "TestPipeline", **HOURLY, "windows": {"count": 1}},
        "TestTrigger": {"type": "ScheduleTrigger", "pipeline": "TestPipeline", "frequency": "Hour"},
        "busy": {"pipeline": "TestPipeline", **HOURLY, "operation_seconds": 30},
    },
    "runs": [{"pipeline": "TestPipeline"}],
}


def tumbling(pipeline: str, start: str = "2026-03-01T00:00:00Z") -> dict[str, Any]:
    """Return a tumbling window trigger's document."""
    reference = {"type": "PipelineReference", "referenceName": pipeline}
    times = {"frequency": "Hour", "interval": 1, "startTime": start, "maxConcurrency": 5}
    pipeline_reference = {"pipelineReference": reference}
    return {
        "properties": {
            "type": "TumblingWindowTrigger",
            "pipeline": pipeline_reference,
            "typeProperties": times,
        }
    }


def cancel_finished_run(door: Door) -> httpx.Response:
    return door.post(f"/pipelineruns/{door.query('/queryPipelineRuns')[0]['runId']}/cancel")


def start_with_bad_reference(door: Door) -> httpx.Response:
    door.call("PUT", "/triggers/Tumbling_Trigger_1", json=tumbling("nowhere")).raise_for_status()
    return door.post("/triggers/Tumbling_Trigger_1/start")


def start_twice(door: Door) -> httpx.Response:
    door.post("/triggers/busy/start").raise_for_status()
    return door.post("/triggers/busy/stop")


def move_start_time(door: Door) -> httpx.Response:
    door.call("PUT", "/triggers/moved", json=tumbling("TestPipeline")).raise_for_status()
    return door.call("PUT", "/triggers/moved", json=tumbling("TestPipeline", "2026-03-01T01:00:00Z"))


def ask_for_several_groups(door: Door) -> httpx.Response:
    groups = {"operand": "RunGroupId", "operator": "In", "values": ["one", "two"]}
    return door.post("/queryPipelineRuns", EVER | {"filters": [groups]})


def fill_the_queue(door: Door) -> httpx.Response:
    for _ in range(101):
        door.post("/pipelines/limited/createRun", {}).raise_for_status()
    return door.post("/pipelines/limited/createRun", {})


def rerun_schedule_run(door: Door) -> httpx.Response:
    door.emulator.advance(3600)
    return door.rerun(door.only("TestTrigger")[0])


def answer_too_late(door: Door) -> httpx.Response:
    door.emulator.fail_next("Triggers_Start", status=504, processed=True)
    return door.post("/triggers/foo/start")


@dataclass(frozen=True, slots=True)
class Case:
    """One error: how to meet it, and what is answered."""

    meet: Callable[[Door], httpx.Response]
    status: int
    error: dict[str, Any]


def of_factory(code: str, message: str, target: str | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "target": target, "details": None}


FINISHED = (
    "Pipeline run has already completed with status 'Succeeded'."
    "Only pipeline runs that are in progress or queued can be canceled."
)
CASES: dict[str, Case] = {
    "cancel an already finished pipeline run": Case(
        cancel_finished_run, 400, of_factory("PipelineRunNotRunning", FINISHED)
    ),
    "cancel an unknown pipeline run id": Case(
        lambda door: door.post(f"/pipelineruns/{UNKNOWN}/cancel"),
        400,
        of_factory("ReferencedPipelineRunNotFound", f"Referenced pipeline run id {UNKNOWN} does not exist."),
    ),
    "createRun with a malformed referencePipelineRunId": Case(
        lambda door: door.post(
            "/pipelines/TestPipeline/createRun", {}, params={"referencePipelineRunId": "{}"}
        ),
        400,
        of_factory(
            "ReferencedPipelineRunNotValid",
            "Referenced pipeline run id {} is not a valid run id.",
            "pipeline/TestPipeline/",
        ),
    ),
    "cancel a trigger run that is not WaitingOnDependency (here: Succeeded)": Case(
        lambda door: door.cancel_waiting(door.only("foo")[0]),
        400,
        of_factory("BadRequest", "Trigger run {run} is not in WaitingOnDependency state", "foo"),
    ),
    "rerun a ScheduleTrigger's run": Case(
        rerun_schedule_run,
        400,
        of_factory("BadRequest", "Invalid trigger type: ScheduleTrigger", "TestTrigger"),
    ),
    "start a trigger with a bad pipeline reference": Case(
        start_with_bad_reference,
        400,
        of_factory(
            "BadRequest",
            "Missing or invalid pipeline references for trigger Tumbling_Trigger_1",
            "Tumbling_Trigger_1",
        ),
    ),
    "start/stop a trigger while another operation is in flight": Case(
        start_twice,
        400,
        of_factory("BadRequest", "Concurrent operations on a trigger are not allowed.", "busy"),
    ),
    "update startTime of a tumbling window trigger": Case(
        move_start_time,
        400,
        of_factory(
            "TumblingWindowTriggerStartTimeUpdateNotAllowed",
            "Start time cannot be updated for Tumbling Window Trigger.",
            "moved",
        ),
    ),
    "RunGroupId filter with several values": Case(
        ask_for_several_groups,
        400,
        of_factory(
            "BadRequest",
            "Filter operand 'RunGroupId' does not support and array of values."
            " Make sure to provide only one.",
        ),
    ),
    "pipeline with concurrency set and 100 runs queued": Case(
        fill_the_queue,
        400,
        of_factory(
            "BadRequest",
            "Pipeline execution throttled. If the concurrency value is set for a pipeline, a maximum of 100"
            " runs will be queued for execution.",
        ),
    ),
    "ADF did not answer ARM in time (trigger start)": Case(
        answer_too_late,
        504,
        {
            "code": "GatewayTimeout",
            "message": (
                "The gateway did not receive a response from 'Microsoft.DataFactory' within the specified"
                " time period."
            ),
        },
    ),
}
# What other tests hold against the collection, or nobody does.
ELSEWHERE = {
    "GET an unknown pipeline run id": "it has no body: see the test below",
    "monitoring query limit (1,000/min per factory) exceeded": "tests of throttling",
    "ARM subscription read throttling": "tests of throttling",
    "ARM internal error": "tests of faults",
    "collection list throttling (GET factories of a subscription)": "the subscription's list is not served",
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_has_the_services_status_and_body(serve: Serve, case: str) -> None:
    door = serve(SCENARIO)
    run = door.only("foo")[0]["triggerRunId"]
    answer = CASES[case].meet(door)
    expected = {**CASES[case].error}
    expected["message"] = expected["message"].replace("{run}", run)
    assert answer.status_code == CASES[case].status
    assert answer.json() == {"error": expected}
    assert list(answer.json()["error"]) == list(expected)


@pytest.mark.parametrize("generation", ["2021", "2022"])
def test_a_get_of_an_unknown_run_has_no_body_at_all(serve: Serve, generation: str) -> None:
    answer = serve(SCENARIO, wire_generation=generation).get(f"/pipelineruns/{UNKNOWN}")
    assert (answer.status_code, answer.content) == (404, b"")
    assert (answer.headers["content-length"], answer.headers.get("content-type")) == ("0", None)


@pytest.mark.skipif(not FILE.exists(), reason=f"the collection of errors is not at hand: {FILE}")
class TestTheCollection:
    """The cases above are the collection's."""

    COLLECTED: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []

    def test_every_case_is_met_or_said_to_be_met_elsewhere(self) -> None:
        assert {each["case"] for each in self.COLLECTED} == {*CASES, *ELSEWHERE}

    @pytest.mark.parametrize("collected", COLLECTED, ids=lambda each: str(each["case"]))
    def test_a_case_says_what_was_collected(self, collected: dict[str, Any]) -> None:
        case = CASES.get(collected["case"])
        if case is None:
            assert ELSEWHERE[collected["case"]]
            return
        error = (collected.get("body") or {"error": collected})["error"]
        words = error["message"].split(" ")
        # A collected id stands where the case has one of its own.
        ours = [
            theirs if mine == "{run}" else mine
            for mine, theirs in zip(case.error["message"].split(" "), words, strict=True)
        ]
        assert ours == words
        assert case.error["code"] == error.get("code", case.error["code"])
        assert collected.get("http_status") in {None, case.status}
        if error is not collected:
            assert list(error) == list(case.error)
            assert error.get("target") == case.error.get("target")
