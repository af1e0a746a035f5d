"""Pipeline runs: created, queued, carried through activities and children, recovered, cancelled."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.emulator.conftest import Door, Serve

TWO_STEPS = {
    "activities": [
        {"name": "Copy", "type": "Copy", "seconds": 60},
        {"name": "Transform", "seconds": 60, "dependsOn": ["Copy"], "outcome": ["failed", "succeeded"]},
    ]
}
NESTED = {
    "top": {"activities": [{"name": "Run middle", "pipeline": "middle"}], "cancel_seconds": 5},
    "middle": {"activities": [{"name": "Run bottom", "pipeline": "bottom"}]},
    "bottom": {"seconds": 600, "cancel_seconds": 20},
}


def created(door: Door, pipeline: str, body: Any = None, **params: str) -> str:
    answer = door.post(f"/pipelines/{pipeline}/createRun", body or {}, params=params)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["runId"])


def by_pipeline(door: Door) -> dict[str, dict[str, Any]]:
    return {run["pipelineName"]: run for run in door.emulator.pipeline_runs()}


def activities(door: Door, run_id: str) -> dict[str, str]:
    return {run["activityName"]: run["status"] for run in door.emulator.activity_runs(run_id)}


def test_a_run_takes_the_time_of_its_activities(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {"seconds": 60}}})
    run_id = created(door, "load")
    door.emulator.advance(59)
    assert door.status(run_id) == "InProgress"
    door.emulator.advance(1)
    assert door.status(run_id) == "Succeeded"


def test_the_run_id_is_the_callers_request_id(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {}}})
    chosen = str(uuid.uuid4())
    answer = door.post("/pipelines/load/createRun", {}, headers={"x-ms-client-request-id": chosen})
    assert answer.json() == {"runId": chosen}


def test_a_request_id_used_again_starts_nothing(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {}}})
    header = {"x-ms-client-request-id": str(uuid.uuid4())}
    answers = [door.post("/pipelines/load/createRun", {}, headers=header).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(door.emulator.pipeline_runs()) == 1
    assert door.emulator.journal[-1].effect is None


def test_parameters_are_text_on_the_run(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {}}})
    run_id = created(door, "load", {"names": ["a.csv"], "n": 1})
    parameters = door.get(f"/pipelineruns/{run_id}").json()["parameters"]
    assert parameters == {"names": '["a.csv"]', "n": "1"}


def test_a_run_takes_the_declared_parameters_and_drops_the_others(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {"parameters": {"day": "monday", "n": 0}}}})
    run_id = created(door, "load", {"names": ["a.csv"], "n": 1})
    assert door.get(f"/pipelineruns/{run_id}").json()["parameters"] == {"day": "monday", "n": "1"}


def test_outcomes_are_consumed_run_by_run(serve: Serve) -> None:
    door = serve({"pipelines": {"load": TWO_STEPS}})
    ends = []
    for _ in range(2):
        run_id = created(door, "load")
        door.emulator.advance(120)
        ends.append(door.status(run_id))
    assert ends == ["Failed", "Succeeded"]


def test_a_failed_run_says_where_it_failed(serve: Serve) -> None:
    door = serve({"pipelines": {"load": TWO_STEPS}})
    run_id = created(door, "load")
    door.emulator.advance(120)
    message = door.get(f"/pipelineruns/{run_id}").json()["message"]
    assert message.startswith("Operation on target Transform failed: ")


def test_an_activity_waiting_for_a_failure_is_skipped_when_all_goes_well(serve: Serve) -> None:
    alarm = {"name": "Alarm", "dependsOn": [{"activity": "Copy", "dependencyConditions": ["Failed"]}]}
    door = serve({"pipelines": {"load": {"activities": [{"name": "Copy", "seconds": 1}, alarm]}}})
    run_id = created(door, "load")
    door.emulator.advance(2)
    assert door.status(run_id) == "Succeeded"
    assert activities(door, run_id) == {"Copy": "Succeeded"}


def test_a_handled_failure_does_not_fail_the_run(serve: Serve) -> None:
    alarm = {
        "name": "Alarm",
        "seconds": 1,
        "dependsOn": [{"activity": "Copy", "dependencyConditions": ["Failed"]}],
    }
    copy = {"name": "Copy", "seconds": 1, "outcome": "failed"}
    door = serve({"pipelines": {"load": {"activities": [copy, alarm]}}})
    run_id = created(door, "load")
    door.emulator.advance(3)
    assert door.status(run_id) == "Succeeded"


def test_a_child_says_who_started_it_and_the_activity_names_the_child(serve: Serve) -> None:
    door = serve({"pipelines": NESTED})
    top = created(door, "top")
    runs = by_pipeline(door)
    [activity] = door.emulator.activity_runs(top)
    assert activity["output"] == {"pipelineName": "middle", "pipelineRunId": runs["middle"]["runId"]}
    assert runs["middle"]["invokedBy"] == {
        "id": activity["activityRunId"],
        "name": "Run middle",
        "invokedByType": "PipelineActivity",
        "pipelineName": "top",
        "pipelineRunId": top,
    }


def test_a_failed_child_fails_its_parents(serve: Serve) -> None:
    door = serve({"pipelines": NESTED | {"bottom": {"seconds": 10, "outcome": "failed"}}})
    top = created(door, "top")
    door.emulator.advance(10)
    assert door.status(top) == "Failed"


def test_a_parent_that_does_not_wait_ends_before_its_child(serve: Serve) -> None:
    pipelines = {
        "top": {"activities": [{"name": "Fire", "pipeline": "bottom", "waitOnCompletion": False}]},
        "bottom": {"seconds": 600},
    }
    door = serve({"pipelines": pipelines})
    created(door, "top")
    door.emulator.advance(5)
    runs = by_pipeline(door)
    assert (runs["top"]["status"], runs["bottom"]["status"]) == ("Succeeded", "InProgress")


def test_a_cancel_answers_at_once_and_takes_its_time(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {"seconds": 600, "cancel_seconds": 30}}})
    run_id = created(door, "load")
    assert door.post(f"/pipelineruns/{run_id}/cancel").text == '""'
    canceling = door.get(f"/pipelineruns/{run_id}").json()
    assert (canceling["status"], canceling["runEnd"]) == ("Canceling", None)
    door.emulator.advance(29)
    assert door.status(run_id) == "Canceling"
    door.emulator.advance(1)
    assert door.status(run_id) == "Cancelled"


def test_no_new_activity_starts_while_a_run_is_cancelled(serve: Serve) -> None:
    steps = [{"name": "Copy", "seconds": 10}, {"name": "Transform", "dependsOn": ["Copy"]}]
    door = serve({"pipelines": {"load": {"activities": steps, "cancel_seconds": 60}}})
    run_id = created(door, "load")
    door.post(f"/pipelineruns/{run_id}/cancel")
    door.emulator.advance(10)
    assert activities(door, run_id) == {"Copy": "Succeeded"}
    assert door.status(run_id) == "Cancelled"


def test_a_cancelled_parent_leaves_its_children_running(serve: Serve) -> None:
    door = serve({"pipelines": NESTED})
    top = created(door, "top")
    door.post(f"/pipelineruns/{top}/cancel")
    door.emulator.advance(600)
    assert {name: run["status"] for name, run in by_pipeline(door).items()} == {
        "top": "Cancelled",
        "middle": "Succeeded",
        "bottom": "Succeeded",
    }


def test_a_recursive_cancel_reaches_children_of_every_depth_each_in_its_time(serve: Serve) -> None:
    door = serve({"pipelines": NESTED})
    top = created(door, "top")
    door.post(f"/pipelineruns/{top}/cancel", params={"isRecursive": "true"})
    seen = []
    for seconds in (0, 6, 20):
        door.emulator.advance(seconds)
        seen.append([run["status"] for run in by_pipeline(door).values()])
    assert seen == [
        ["Canceling", "Canceling", "Canceling"],
        ["Cancelled", "Cancelled", "Canceling"],
        ["Cancelled", "Cancelled", "Cancelled"],
    ]


def test_the_journal_says_which_runs_a_cancel_reached(serve: Serve) -> None:
    door = serve({"pipelines": NESTED})
    top = created(door, "top")
    door.post(f"/pipelineruns/{top}/cancel", params={"isRecursive": "true"})
    effect = door.emulator.journal[-1].effect
    assert effect == {"cancelling": [run["runId"] for run in by_pipeline(door).values()]}


def test_a_run_beyond_the_concurrency_queues_and_starts_when_another_ends(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {"seconds": 60, "concurrency": 1}}})
    _, second = created(door, "load"), created(door, "load")
    assert door.status(second) == "Queued"
    door.emulator.advance(60)
    assert door.status(second) == "InProgress"


def test_a_queued_run_can_be_cancelled(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {"seconds": 60, "concurrency": 1}}})
    _, second = created(door, "load"), created(door, "load")
    door.post(f"/pipelineruns/{second}/cancel")
    assert door.status(second) == "Cancelled"


def test_no_more_than_a_hundred_runs_queue(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {"concurrency": 1}}})
    for _ in range(101):
        created(door, "load")
    answer = door.post("/pipelines/load/createRun", {})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("Pipeline execution throttled.")


def test_a_finished_run_cannot_be_cancelled(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {"seconds": 1}}})
    run_id = created(door, "load")
    door.emulator.advance(1)
    answer = door.post(f"/pipelineruns/{run_id}/cancel")
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "code": "PipelineRunNotRunning",
        "message": "Pipeline run has already completed with status 'Succeeded'."
        "Only pipeline runs that are in progress or queued can be canceled.",
        "target": None,
        "details": None,
    }


def test_an_unknown_run_cannot_be_cancelled_and_a_get_of_it_is_an_empty_404(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {}}})
    refused, missing = door.post("/pipelineruns/nope/cancel"), door.get("/pipelineruns/nope")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "ReferencedPipelineRunNotFound")
    assert refused.json()["error"]["message"] == "Referenced pipeline run id nope does not exist."
    assert (missing.status_code, missing.content) == (404, b"")


def failed_run(door: Door) -> str:
    run_id = created(door, "load", {"day": "monday"})
    door.emulator.advance(120)
    return run_id


def test_a_recovery_run_joins_the_group_with_the_same_parameters(serve: Serve) -> None:
    door = serve({"pipelines": {"load": TWO_STEPS}})
    first = failed_run(door)
    second = created(door, "load", referencePipelineRunId=first, isRecovery="true")
    runs = [door.get(f"/pipelineruns/{run_id}").json() for run_id in (first, second)]
    assert [run["runGroupId"] for run in runs] == [first, first]
    assert [run["isLatest"] for run in runs] == [False, True]
    assert runs[1]["parameters"] == {"day": "monday"}


def test_a_recovery_from_failure_runs_only_what_failed(serve: Serve) -> None:
    door = serve({"pipelines": {"load": TWO_STEPS}})
    params = {"referencePipelineRunId": failed_run(door), "isRecovery": "true", "startFromFailure": "true"}
    second = created(door, "load", **params)
    door.emulator.advance(60)
    assert door.status(second) == "Succeeded"
    assert activities(door, second) == {"Transform": "Succeeded"}


def test_a_recovery_from_an_activity_runs_it_and_what_follows(serve: Serve) -> None:
    door = serve({"pipelines": {"load": TWO_STEPS}})
    params = {
        "referencePipelineRunId": failed_run(door),
        "isRecovery": "true",
        "startActivityName": "Transform",
    }
    second = created(door, "load", **params)
    door.emulator.advance(60)
    assert activities(door, second) == {"Transform": "Succeeded"}


def test_a_reference_without_recovery_copies_parameters_into_a_group_of_its_own(serve: Serve) -> None:
    door = serve({"pipelines": {"load": TWO_STEPS}})
    second = created(door, "load", referencePipelineRunId=failed_run(door))
    run = door.get(f"/pipelineruns/{second}").json()
    assert (run["runGroupId"], run["parameters"]) == (second, {"day": "monday"})


def test_a_malformed_reference_is_refused(serve: Serve) -> None:
    door = serve({"pipelines": {"load": TWO_STEPS}})
    answer = door.post("/pipelines/load/createRun", {}, params={"referencePipelineRunId": "{}"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "ReferencedPipelineRunNotValid"


def test_history_holds_finished_and_running_runs(serve: Serve) -> None:
    runs = [
        {
            "pipeline": "load",
            "status": "Failed",
            "started": "-PT2H",
            "ended": "-PT1H",
            "failed_activity": "Copy",
        },
        {"pipeline": "load", "status": "InProgress", "started": "-PT5M", "remaining_seconds": 10, "count": 2},
    ]
    door = serve({"pipelines": {"load": TWO_STEPS}, "runs": runs})
    failed, *running = door.emulator.pipeline_runs()
    assert (failed["status"], failed["durationInMs"]) == ("Failed", 3_600_000)
    assert activities(door, failed["runId"]) == {"Copy": "Failed"}
    assert [run["status"] for run in running] == ["InProgress", "InProgress"]
    door.emulator.advance(10)
    assert activities(door, running[0]["runId"]) == {"Copy": "Succeeded", "Transform": "InProgress"}


def test_a_past_parent_has_its_children(serve: Serve) -> None:
    runs = [{"pipeline": "top", "status": "Failed", "started": "-PT2H"}]
    door = serve({"pipelines": NESTED, "runs": runs})
    assert {name: run["status"] for name, run in by_pipeline(door).items()} == dict.fromkeys(NESTED, "Failed")
