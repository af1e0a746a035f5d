"""Cancels that go wrong: stuck runs, late activities and children, queued runs that start after all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from airflow_provider_adfruns.emulator import ScenarioError

if TYPE_CHECKING:
    from tests.emulator.conftest import Door, Serve

STEPS = [{"name": "Copy", "seconds": 600}, {"name": "Transform", "seconds": 60, "dependsOn": ["Copy"]}]
TREE = {
    "top": {
        "activities": [
            {"name": "Region", "pipeline": "region", "count": 20},
            {"name": "Tidy", "pipeline": "tidy", "dependsOn": ["Region"]},
        ]
    },
    "region": {
        "cancel": {"stuck": 0.05, "late_child": 0.1, "late_seconds": 20},
        "activities": [
            {"name": "Load", "pipeline": "load", "count": 19},
            {"name": "Report", "pipeline": "tidy", "dependsOn": ["Load"], "waitOnCompletion": False},
        ],
    },
    "load": {"seconds": 60, "cancel": {"stuck": 0.05, "unstopped": 0.5}},
    "tidy": {"seconds": 900},
}


def running(pipeline: dict[str, Any], **run: Any) -> dict[str, Any]:
    """Return a scenario in which one run of a pipeline is in progress."""
    return {
        "pipelines": {"load": pipeline},
        "runs": [{"pipeline": "load", "status": "InProgress", "started": "-PT1M", "id": "run-1", **run}],
    }


def cancel(door: Door, run_id: str = "run-1", *, recursive: bool = False) -> httpx.Response:
    params = {"isRecursive": str(recursive).lower()}
    return door.post(f"/pipelineruns/{run_id}/cancel", params=params).raise_for_status()


def begun(door: Door, run_id: str = "run-1") -> dict[str, str]:
    """Return when each activity of a run began, without fractions."""
    return {
        each["activityName"]: each["activityRunStart"][:19] for each in door.emulator.activity_runs(run_id)
    }


def tree(door: Door) -> Counter[tuple[str, str]]:
    return Counter((run["pipelineName"], run["status"]) for run in door.emulator.pipeline_runs())


def test_a_stuck_run_stays_canceling_with_what_it_was_doing(serve: Serve) -> None:
    door = serve(running({"activities": STEPS, "cancel": {"stuck": True}}))
    cancel(door)
    door.emulator.advance(30 * 24 * 3600)
    cancel(door)
    door.emulator.advance(3600)
    assert door.status("run-1") == "Canceling"
    assert [run["status"] for run in door.emulator.activity_runs("run-1")] == ["InProgress"]


def test_a_stuck_run_can_need_a_second_cancel(serve: Serve) -> None:
    door = serve(running({"activities": STEPS, "cancel": {"stuck": True, "cancels_needed": 2}}))
    cancel(door)
    door.emulator.advance(3600)
    before = door.status("run-1")
    cancel(door)
    door.emulator.advance(5)
    assert (before, door.status("run-1")) == ("Canceling", "Cancelled")
    assert [entry.effect for entry in door.emulator.journal if entry.operation == "PipelineRuns_Cancel"] == [
        {"cancelling": ["run-1"]},
        {"cancelling": ["run-1"]},
    ]


def test_a_run_that_is_stuck_by_itself_leaves_the_others_of_its_pipeline_alone(serve: Serve) -> None:
    runs = [
        {"pipeline": "load", "status": "InProgress", "id": "stuck", "cancel": {"stuck": True}},
        {"pipeline": "load", "status": "InProgress", "id": "sound"},
    ]
    door = serve({"pipelines": {"load": {"seconds": 7200}}, "runs": runs})
    cancel(door, "stuck")
    cancel(door, "sound")
    door.emulator.advance(60)
    assert (door.status("stuck"), door.status("sound")) == ("Canceling", "Cancelled")


def test_a_cancel_before_a_stuck_run_reaches_its_children(serve: Serve) -> None:
    pipelines = {
        "top": {"activities": [{"name": "Load", "pipeline": "load"}], "cancel": {"stuck": True}},
        "load": {"seconds": 7200},
    }
    runs = [{"pipeline": "top", "status": "InProgress", "id": "run-1"}]
    door = serve({"pipelines": pipelines, "runs": runs})
    cancel(door, recursive=True)
    door.emulator.advance(60)
    assert tree(door) == {("top", "Canceling"): 1, ("load", "Cancelled"): 1}


def test_what_is_unstopped_ends_in_its_own_time(serve: Serve) -> None:
    door = serve(running({"seconds": 600, "cancel": {"unstopped": True}}, remaining_seconds=90))
    cancel(door)
    door.emulator.advance(89)
    before = door.status("run-1")
    door.emulator.advance(1)
    assert (before, door.status("run-1")) == ("Canceling", "Succeeded")


def test_a_late_activity_begins_although_its_run_is_canceling(serve: Serve) -> None:
    door = serve(running({"activities": STEPS, "cancel": {"late_activity": True, "late_seconds": 45}}))
    cancel(door)
    door.emulator.advance(45)
    assert door.status("run-1") == "Canceling"
    assert begun(door)["Transform"] == "2026-03-01T06:40:45"
    door.emulator.advance(60)
    assert door.status("run-1") == "Cancelled"


def test_a_late_activity_can_be_cancelled_again(serve: Serve) -> None:
    door = serve(running({"activities": STEPS, "cancel": {"late_activity": True, "late_seconds": 45}}))
    cancel(door)
    door.emulator.advance(50)
    cancel(door)
    door.emulator.advance(5)
    assert {run["status"] for run in door.emulator.activity_runs("run-1")} == {"Cancelled"}


def test_a_run_with_nothing_left_to_begin_has_no_late_activity(serve: Serve) -> None:
    door = serve(running({"seconds": 7200, "cancel": {"late_activity": True, "late_child": True}}))
    cancel(door)
    door.emulator.advance(5)
    assert door.status("run-1") == "Cancelled"


@pytest.mark.parametrize(("waits", "status"), [(True, "Canceling"), (False, "Cancelled")])
def test_a_late_child_is_no_part_of_the_recursive_cancel(serve: Serve, waits: bool, status: str) -> None:
    report = {"name": "Report", "pipeline": "report", "dependsOn": ["Copy"], "waitOnCompletion": waits}
    pipelines = {
        "load": {"activities": [STEPS[0], report], "cancel": {"late_child": True, "late_seconds": 10}},
        "report": {"seconds": 600},
    }
    door = serve({**running({}), "pipelines": pipelines})
    cancel(door, recursive=True)
    door.emulator.advance(60)
    assert tree(door) == {("load", status): 1, ("report", "InProgress"): 1}
    [child] = [run for run in door.emulator.pipeline_runs() if run["pipelineName"] == "report"]
    assert child["runStart"][:19] == "2026-03-01T06:40:10"
    assert child["invokedBy"]["pipelineRunId"] == "run-1"


def test_a_queued_run_can_start_although_its_cancel_was_accepted(serve: Serve) -> None:
    runs = [
        {"pipeline": "load", "status": "InProgress", "remaining_seconds": 60},
        {"pipeline": "load", "status": "Queued", "id": "run-1", "cancel": {"starts_queued": True}},
    ]
    door = serve({"pipelines": {"load": {"seconds": 600, "concurrency": 1}}, "runs": runs})
    cancel(door)
    assert door.emulator.journal[-1].effect is None
    door.emulator.advance(60)
    before = door.status("run-1")
    cancel(door)
    door.emulator.advance(5)
    assert (before, door.status("run-1")) == ("InProgress", "Cancelled")


def test_the_second_cancel_of_a_queued_run_holds(serve: Serve) -> None:
    run = {"pipeline": "load", "status": "Queued", "id": "run-1", "cancel": {"starts_queued": True}}
    door = serve({"pipelines": {"load": {}}, "runs": [run]})
    cancel(door)
    cancel(door)
    assert door.status("run-1") == "Cancelled"


def test_a_tree_of_400_runs_is_a_short_scenario_and_its_troubles_are_those_of_its_seed(serve: Serve) -> None:
    ends = []
    for seed in (1, 1, 2):
        runs = [{"pipeline": "top", "status": "InProgress", "id": "run-1", "started": "-PT1S"}]
        door = serve({"seed": seed, "pipelines": TREE, "runs": runs})
        assert len(door.emulator.pipeline_runs()) == 1 + 20 + 20 * 19
        cancel(door, recursive=True)
        door.emulator.advance(600)
        ends.append(tree(door))
    first, again, other = ends
    assert first == again
    assert first != other
    assert 0.4 < first["load", "Succeeded"] / 380 < 0.6
    assert 0.01 < first["load", "Canceling"] / 380 < 0.1
    assert first["tidy", "InProgress"] > 0


def test_the_order_of_the_cancels_changes_nothing_of_their_troubles(serve: Serve) -> None:
    names = [f"run-{number}" for number in range(40)]
    runs = [{"pipeline": "load", "status": "InProgress", "id": name} for name in names]
    found = []
    for order in (names, names[::-1]):
        door = serve({"pipelines": {"load": {"seconds": 7200, "cancel": {"stuck": 0.5}}}, "runs": runs})
        for name in order:
            cancel(door, name)
        door.emulator.advance(60)
        found.append([door.status(name) for name in names])
    assert found[0] == found[1]
    assert set(found[0]) == {"Canceling", "Cancelled"}


def test_a_run_that_does_not_exist_yet_is_scripted_by_the_id_it_will_have(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {"seconds": 600}}})
    chosen = "6b1f2c1e-0000-4000-8000-000000000001"
    door.emulator.script_cancel(chosen, stuck=True)
    door.post("/pipelines/load/createRun", {}, headers={"x-ms-client-request-id": chosen})
    cancel(door, chosen)
    door.emulator.advance(60)
    assert door.status(chosen) == "Canceling"


def test_the_control_api_scripts_a_cancel_and_shows_which_run_is_stuck(serve: Serve) -> None:
    door = serve(running({"seconds": 600}))
    answer = door.control("PUT", "/cancels/run-1", {"stuck": True, "cancels_needed": 3})
    assert answer["cancel"]["cancels_needed"] == 3
    cancel(door)
    [run] = door.control("GET", "/state")["pipelineRuns"]
    assert (run["status"], run["stuck"]) == ("Canceling", True)


def test_a_script_that_comes_after_the_cancel_is_refused(serve: Serve) -> None:
    door = serve(running({"seconds": 600}))
    cancel(door)
    with pytest.raises(ValueError, match="on its way"):
        door.emulator.script_cancel("run-1", stuck=True)


def test_a_word_that_no_cancel_knows_is_refused(serve: Serve) -> None:
    door = serve(running({"seconds": 600}))
    words: Any = {"stuk": True}
    with pytest.raises(ScenarioError, match="Did you mean 'stuck'"):
        door.emulator.script_cancel("run-1", **words)
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        door.control("PUT", "/cancels/run-1", ["stuck"])


def test_a_reset_brings_back_the_runs_as_they_were_before_their_cancels(serve: Serve) -> None:
    door = serve(running({"seconds": 7200, "cancel": {"stuck": True, "cancels_needed": 2}}))
    cancel(door)
    door.emulator.reset()
    cancel(door)
    door.emulator.advance(60)
    assert door.status("run-1") == "Canceling"


def test_cancelling_again_what_is_cancelled_already_changes_nothing(serve: Serve) -> None:
    door = serve(running({"seconds": 600, "cancel_seconds": 30}))
    cancel(door)
    door.emulator.advance(20)
    cancel(door)
    assert door.emulator.journal[-1].effect is None
    door.emulator.advance(10)
    assert door.status("run-1") == "Cancelled"
