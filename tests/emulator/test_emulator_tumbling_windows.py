"""Tumbling window triggers: history, reruns, dependencies, concurrency, retries, waiting and stuck runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Serve

HOUR = 3600
PIPELINES = {"load": {"seconds": 60}}


def hourly(**options: Any) -> dict[str, Any]:
    return {"pipeline": "load", "frequency": "Hour", **options}


def failed_windows(count: int = 3, **options: Any) -> dict[str, Any]:
    windows = {"count": count, "status": "Failed", **options}
    return {"pipelines": PIPELINES, "triggers": {"hourly": hourly(windows=windows, state="stopped")}}


def test_failed_windows_some_of_them_rerun_take_a_few_lines(serve: Serve) -> None:
    door = serve(failed_windows(250, **{"except": [{"windows": "0..2", "runs": ["Failed", "Succeeded"]}]}))
    runs = door.emulator.trigger_runs("hourly")
    failed = [run for run in runs if run["status"] == "Failed"]
    succeeded = [run for run in runs if run["status"] == "Succeeded"]
    assert (len(failed), len(succeeded)) == (250, 3)
    assert {run["groupId"] for run in succeeded} < {run["groupId"] for run in failed}


def test_a_past_final_window_has_its_pipeline_run_with_activity_runs(serve: Serve) -> None:
    door = serve(failed_windows(1))
    [run] = door.only("hourly")
    pipeline_run = door.get(f"/pipelineruns/{run['triggeredPipelines']['load']}").json()
    [activity] = door.query(f"/pipelineruns/{pipeline_run['runId']}/queryActivityruns")
    assert (pipeline_run["status"], activity["status"]) == ("Failed", "Failed")
    assert pipeline_run["invokedBy"] == {
        "id": run["triggerRunId"],
        "name": "hourly",
        "invokedByType": "TumblingWindowTrigger",
    }


def test_a_past_run_was_made_just_after_its_window_ended(serve: Serve) -> None:
    [run] = serve(failed_windows(1)).only("hourly")
    assert run["properties"]["windowEndTime"] == "03/01/2026 06:00:00"
    assert "2026-03-01T06:00:00" < run["triggerRunTimestamp"] < "2026-03-01T06:00:03"


def test_a_window_that_ended_this_instant_can_be_queried_at_once(serve: Serve) -> None:
    door = serve({"now": "2026-03-01T06:00:00Z", **failed_windows(3)})
    assert len(door.trigger_runs(("Status", "Equals", ["Failed"]))) == 3


def test_a_rerun_is_a_new_run_in_the_same_group_and_leaves_the_old_one_alone(serve: Serve) -> None:
    door = serve(failed_windows(1))
    [before] = door.only("hourly")
    assert door.rerun(before).status_code == 200
    old, new = door.only("hourly")
    assert old == before
    assert new["triggerRunId"] != old["triggerRunId"]
    assert new["groupId"] == old["triggerRunId"]
    assert (new["status"], new["triggeredPipelines"]) == ("Waiting", {})
    assert new["properties"]["windowStartTime"] == old["properties"]["windowStartTime"]
    assert new["properties"]["TriggerTime"] == "03/01/2026 06:40:00"


def test_a_rerun_waits_then_runs_then_succeeds(serve: Serve) -> None:
    door = serve(failed_windows(1))
    door.rerun(door.only("hourly")[0])
    seen = []
    for seconds in (0, 3, 60):
        door.emulator.advance(seconds)
        seen.append(door.only("hourly")[-1]["status"])
    assert seen == ["Waiting", "Running", "Succeeded"]


def test_reruns_of_a_window_follow_its_script(serve: Serve) -> None:
    door = serve(failed_windows(1, rerun_outcome=["failed", "succeeded"]))
    seen = []
    for _ in range(2):
        door.rerun(door.only("hourly")[-1])
        door.emulator.advance(100)
        seen.append(door.only("hourly")[-1]["status"])
    assert seen == ["Failed", "Succeeded"]


def test_a_rerun_takes_the_seconds_its_block_says(serve: Serve) -> None:
    door = serve(failed_windows(1, rerun_outcome="succeeded", rerun_seconds=600))
    door.rerun(door.only("hourly")[0])
    door.emulator.advance(590)
    assert door.only("hourly")[-1]["status"] == "Running"
    door.emulator.advance(20)
    assert door.only("hourly")[-1]["status"] == "Succeeded"


def test_the_journal_says_which_run_a_rerun_made(serve: Serve) -> None:
    door = serve(failed_windows(1))
    old = door.only("hourly")[0]
    door.rerun(old)
    entry = door.emulator.journal[-1]
    assert (entry.operation, entry.subject) == ("TriggerRuns_Rerun", old["triggerRunId"])
    assert entry.effect == {
        "triggerRunId": door.only("hourly")[-1]["triggerRunId"],
        "groupId": old["triggerRunId"],
        "window": {"start": "2026-03-01T05:00:00+00:00", "end": "2026-03-01T06:00:00+00:00"},
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Succeeded", 200),
        ("Failed", 200),
        ("Cancelled", 200),
        ("Running", 400),
        ("Waiting", 400),
        ("WaitingOnDependency", 400),
    ],
)
def test_only_a_final_run_can_be_rerun(serve: Serve, status: str, expected: int) -> None:
    door = serve(failed_windows(1, status=status))
    assert door.rerun(door.only("hourly")[0]).status_code == expected


def test_a_schedule_triggers_run_cannot_be_rerun(serve: Serve) -> None:
    trigger = {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Hour"}
    door = serve({"pipelines": PIPELINES, "triggers": {"daily": trigger}})
    door.emulator.advance(HOUR)
    answer = door.rerun(door.only("daily")[0])
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "code": "BadRequest",
        "message": "Invalid trigger type: ScheduleTrigger",
        "target": "daily",
        "details": None,
    }


def test_a_schedule_trigger_fires_on_time_and_its_run_succeeds_at_once(serve: Serve) -> None:
    trigger = {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Hour"}
    door = serve({"pipelines": PIPELINES, "triggers": {"daily": trigger}})
    door.emulator.advance(2 * HOUR)
    runs = door.only("daily")
    assert [run["properties"]["ScheduleTime"] for run in runs] == [
        "03/01/2026 07:00:00",
        "03/01/2026 08:00:00",
    ]
    assert [run["status"] for run in runs] == ["Succeeded", "Succeeded"]
    assert list(runs[0]["triggeredPipelines"]) == ["load"]


def test_a_started_trigger_runs_each_window_when_it_ends(serve: Serve) -> None:
    door = serve({"pipelines": PIPELINES, "triggers": {"hourly": hourly()}})
    door.emulator.advance(2 * HOUR)
    runs = door.only("hourly")
    assert [run["properties"]["windowEndTime"] for run in runs] == [
        "03/01/2026 07:00:00",
        "03/01/2026 08:00:00",
    ]


def test_a_delay_holds_a_window_back(serve: Serve) -> None:
    door = serve({"pipelines": PIPELINES, "triggers": {"hourly": hourly(delay="00:10:00")}})
    door.emulator.advance(25 * 60)
    assert door.only("hourly") == []
    door.emulator.advance(5 * 60)
    assert len(door.only("hourly")) == 1


def test_a_stopped_trigger_runs_nothing_until_it_is_started(serve: Serve) -> None:
    door = serve({"pipelines": PIPELINES, "triggers": {"hourly": hourly(state="stopped")}})
    door.emulator.advance(2 * HOUR)
    assert door.only("hourly") == []
    assert door.post("/triggers/hourly/start").text == "{}"
    assert len(door.only("hourly")) == 2


def test_backfill_runs_the_windows_since_the_history_no_more_at_once_than_allowed(serve: Serve) -> None:
    windows = {"from": "-PT8H", "count": 4}
    trigger = hourly(backfill=True, maxConcurrency=2, windows=windows)
    door = serve({"pipelines": PIPELINES, "triggers": {"hourly": trigger}})
    assert len([run for run in door.only("hourly") if run["status"] == "Running"]) == 2
    door.emulator.advance(300)
    assert len(door.only("hourly")) == 8


def test_reruns_beyond_the_concurrency_stay_waiting(serve: Serve) -> None:
    scenario = failed_windows(3)
    scenario["triggers"]["hourly"]["maxConcurrency"] = 2
    door = serve(scenario)
    for run in door.only("hourly"):
        door.rerun(run)
    door.emulator.advance(10)
    assert sorted(run["status"] for run in door.only("hourly")[3:]) == ["Running", "Running", "Waiting"]
    door.emulator.advance(200)
    assert {run["status"] for run in door.only("hourly")[3:]} == {"Succeeded"}


def test_a_trigger_retries_with_a_new_pipeline_run_of_its_own_group(serve: Serve) -> None:
    trigger = hourly(outcome="failed", retryPolicy={"count": 1, "intervalInSeconds": 30})
    door = serve({"pipelines": PIPELINES, "triggers": {"hourly": trigger}})
    door.emulator.advance(20 * 60 + 70)
    assert door.only("hourly")[0]["status"] == "Running"
    door.emulator.advance(120)
    assert door.only("hourly")[0]["status"] == "Failed"
    runs = door.emulator.pipeline_runs()
    assert [run["status"] for run in runs] == ["Failed", "Failed"]
    assert len({run["runGroupId"] for run in runs}) == 2


def upstream_and_downstream(**options: Any) -> dict[str, Any]:
    upstream = hourly(state="stopped", windows={"from": "-PT1H", "count": 1, "status": "Failed"})
    waiting = {"from": "-PT1H", "count": 1, "status": "WaitingOnDependency", **options}
    downstream = hourly(state="stopped", dependsOn=[{"trigger": "up"}], windows=waiting)
    return {"pipelines": PIPELINES, "triggers": {"up": upstream, "down": downstream}}


def test_a_waiting_run_goes_on_when_its_upstream_window_is_rerun_successfully(serve: Serve) -> None:
    door = serve(upstream_and_downstream())
    assert door.only("down")[0]["status"] == "WaitingOnDependency"
    door.rerun(door.only("up")[0])
    door.emulator.advance(62)
    assert door.only("down")[0]["status"] == "Running"


def test_a_stuck_run_goes_on_only_by_cancel_and_rerun(serve: Serve) -> None:
    door = serve(upstream_and_downstream(stuck=True))
    door.rerun(door.only("up")[0])
    door.emulator.advance(HOUR)
    stuck = door.only("down")[0]
    assert stuck["status"] == "WaitingOnDependency"
    assert door.cancel_waiting(stuck).status_code == 200
    door.emulator.advance(2)
    assert door.only("down")[0]["status"] == "Cancelled"
    assert door.rerun(stuck).status_code == 200
    door.emulator.advance(65)
    assert door.only("down")[-1]["status"] == "Succeeded"


def test_a_cancelled_waiting_run_keeps_its_status_until_the_cancellation_is_complete(serve: Serve) -> None:
    door = serve(upstream_and_downstream())
    run = door.only("down")[0]
    door.cancel_waiting(run)
    assert door.only("down")[0]["status"] == "WaitingOnDependency"
    assert door.rerun(run).status_code == 400


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Cancelled", "Running", "Waiting"])
def test_a_run_not_waiting_on_a_dependency_cannot_be_cancelled(serve: Serve, status: str) -> None:
    door = serve(failed_windows(1, status=status))
    run = door.only("hourly")[0]
    answer = door.cancel_waiting(run)
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "code": "BadRequest",
        "message": f"Trigger run {run['triggerRunId']} is not in WaitingOnDependency state",
        "target": "hourly",
        "details": None,
    }


def test_a_run_waits_on_its_dependencies_for_seven_days_at_most(serve: Serve) -> None:
    door = serve(upstream_and_downstream())
    door.emulator.advance(7 * 24 * HOUR)
    assert door.only("down")[0]["status"] == "Failed"


def test_a_self_dependency_waits_for_the_window_before(serve: Serve) -> None:
    trigger = hourly(dependsOn=[{"self": True, "offset": "-01:00:00"}], outcome="failed")
    door = serve({"pipelines": PIPELINES, "triggers": {"hourly": trigger}})
    door.emulator.advance(2 * HOUR)
    assert [run["status"] for run in door.only("hourly")] == ["Failed", "WaitingOnDependency"]


def test_a_dependency_with_a_size_needs_every_window_in_it(serve: Serve) -> None:
    upstream = hourly(
        state="stopped", windows={"from": "-PT3H", "count": 3, "except": [{"windows": 0, "status": "Failed"}]}
    )
    daily = {
        "pipeline": "load",
        "frequency": "Hour",
        "interval": 3,
        "startTime": "2026-03-01T03:00:00Z",
        "backfill": True,
        "dependsOn": [{"trigger": "up", "offset": "00:00:00", "size": "03:00:00"}],
    }
    door = serve({"pipelines": PIPELINES, "triggers": {"up": upstream, "down": daily}})
    assert door.only("down")[0]["status"] == "WaitingOnDependency"
    door.rerun(door.only("up")[0])
    door.emulator.advance(62)
    assert door.only("down")[0]["status"] == "Running"


def test_waiting_windows_take_up_the_concurrency(serve: Serve) -> None:
    scenario = upstream_and_downstream(stuck=True)
    scenario["triggers"]["down"] |= {"maxConcurrency": 1, "state": "started"}
    door = serve(scenario)
    door.emulator.advance(3 * HOUR)
    assert len(door.only("down")) == 1


def test_cancelling_the_pipeline_run_of_a_running_window_cancels_the_trigger_run(serve: Serve) -> None:
    door = serve(failed_windows(1, status="Running"))
    run = door.only("hourly")[0]
    door.post(f"/pipelineruns/{run['triggeredPipelines']['load']}/cancel")
    door.emulator.advance(5)
    assert door.only("hourly")[0]["status"] == "Cancelled"


@pytest.mark.parametrize(
    ("words", "seen"),
    [({"at": "-PT5M"}, "2026-03-01T06:35:00"), ({"id": "my-run"}, "my-run")],
)
def test_a_past_run_can_be_pinned(serve: Serve, words: dict[str, str], seen: str) -> None:
    door = serve(failed_windows(1, runs=[{"status": "Failed", **words}]))
    run = door.only("hourly")[0]
    assert run["triggerRunTimestamp"].startswith(seen) or run["triggerRunId"] == seen


def test_month_windows_follow_the_calendar(serve: Serve) -> None:
    trigger = {
        "pipeline": "load",
        "frequency": "Month",
        "startTime": "2025-12-31T00:00:00Z",
        "state": "stopped",
        "windows": {"from": "2025-12-31T00:00:00Z", "count": 2},
    }
    runs = serve({"pipelines": PIPELINES, "triggers": {"monthly": trigger}}).only("monthly")
    assert [run["properties"]["windowEndTime"] for run in runs] == [
        "01/31/2026 00:00:00",
        "02/28/2026 00:00:00",
    ]


def test_window_times_reach_the_pipeline_as_parameters(serve: Serve) -> None:
    scenario = failed_windows(1)
    scenario["triggers"]["hourly"]["parameters"] = {"from": "@trigger().outputs.windowStartTime", "n": 3}
    door = serve(scenario)
    assert door.emulator.pipeline_runs()[0]["parameters"] == {"from": "2026-03-01T05:00:00Z", "n": "3"}
