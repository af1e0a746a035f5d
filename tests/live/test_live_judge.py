"""The live suite's judge finds what is wrong, in what a factory tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from airflow_provider_adfruns.emulator import AdfEmulator
from tests.live import judge
from tests.live.judge import Evidence, WrongError
from tests.live.night import due_windows, night, stuck_night

START = datetime(2026, 3, 1, tzinfo=UTC)


def rerun(start: datetime = START, trigger: str = "hourly") -> dict[str, Any]:
    """Return a journal's entry."""
    path = f"/subscriptions/1/factories/f/triggers/{trigger}/triggerRuns/1/rerun"
    effect = {"window": {"start": start.isoformat()}}
    return {"operation": "TriggerRuns_Rerun", "path": path, "effect": effect, "subject": "1"}


def evidence(*journal: dict[str, Any], **statuses: str) -> Evidence:
    """Return what a factory tells."""
    runs = [{"runId": run_id, "status": status} for run_id, status in statuses.items()]
    return Evidence(journal, {"triggers": [], "pipelineRuns": runs})


def test_a_window_that_was_rerun_once_is_well() -> None:
    assert judge.each_rerun(evidence(rerun()), [("hourly", START)]) == "1 windows rerun once"


@pytest.mark.parametrize(
    ("journal", "what"),
    [([rerun(), rerun()], "beyond"), ([], "missed"), ([rerun(), rerun(trigger="other")], "other")],
    ids=["twice", "never", "of another trigger"],
)
def test_a_window_rerun_too_often_or_never_is_found(journal: list[dict[str, Any]], what: str) -> None:
    with pytest.raises(WrongError, match=what):
        judge.each_rerun(evidence(*journal), [("hourly", START)])


def cancel(run_id: str) -> dict[str, Any]:
    """Return a journal's entry."""
    return {"operation": "TriggerRuns_Cancel", "path": "", "effect": None, "subject": run_id}


def test_trigger_runs_cancelled_once_are_well() -> None:
    assert (
        judge.each_cancelled(evidence(cancel("a"), cancel("b")), ["b", "a"])
        == "2 trigger runs cancelled once"
    )


@pytest.mark.parametrize(
    ("journal", "what"),
    [
        ([cancel("a"), cancel("a")], "beyond: {'a'"),
        ([], "missed: {'a'"),
        ([cancel("a"), cancel("b")], "beyond: {'b'"),
    ],
    ids=["twice", "never", "of another run"],
)
def test_a_trigger_run_cancelled_too_often_or_never_is_found(
    journal: list[dict[str, Any]], what: str
) -> None:
    with pytest.raises(WrongError, match=what):
        judge.each_cancelled(evidence(*journal), ["a"])


def test_a_cancel_is_found_even_if_it_changed_nothing() -> None:
    asked = {"operation": "PipelineRuns_Cancel", "path": "", "effect": None, "subject": "a"}
    with pytest.raises(WrongError, match="asked for: \\['a'\\]"):
        judge.nothing_cancelled(evidence(asked, a="Succeeded"))


def test_a_run_that_is_cancelled_without_a_call_is_found() -> None:
    with pytest.raises(WrongError, match="'a': 'Canceling'"):
        judge.nothing_cancelled(evidence(a="Canceling", b="Succeeded"))


def test_a_run_of_somebody_else_that_ended_is_found() -> None:
    with pytest.raises(WrongError, match="'a': 'Cancelled'"):
        judge.untouched(evidence(a="Cancelled", b="InProgress"), ["a", "b"])


def test_runs_that_go_on_are_not_yet_cancelled() -> None:
    assert judge.not_yet_cancelled(evidence(a="Cancelled", b="InProgress"), ["a", "b"]) == {"b": "InProgress"}


REPORTED = {"window_start": START.isoformat()}
LEFT_ALONE = {**REPORTED, "run_id": "again", "reason": "its latest run is not final but Running"}


def rerun_once() -> Evidence:
    """Return what a factory tells whose one window has been rerun."""
    runs = [{"triggerRunId": "first"}, {"triggerRunId": "again"}]
    return Evidence((), {"triggers": [{"name": "hourly", "windows": [{"runs": runs}]}], "pipelineRuns": []})


@pytest.mark.parametrize(
    ("windows", "skipped", "takes_up", "says"),
    [
        ([REPORTED], [], True, "all 1"),
        ([REPORTED], [], False, "leaves 0"),
        ([], [LEFT_ALONE], False, "leaves 1"),
    ],
)
def test_a_next_try_that_accounts_for_each_window_is_well(
    windows: list[Any], skipped: list[Any], takes_up: bool, says: str
) -> None:
    report = {"windows": windows, "skipped": skipped}
    assert says in judge.next_try(rerun_once(), report, [("hourly", START)], takes_up=takes_up)


@pytest.mark.parametrize(
    ("windows", "skipped", "takes_up"),
    [
        ([], [], False),
        ([], [LEFT_ALONE], True),
        ([REPORTED], [LEFT_ALONE], False),
        ([], [{**LEFT_ALONE, "run_id": "first"}], False),
    ],
    ids=["forgotten", "not taken up", "twice", "never rerun"],
)
def test_a_next_try_that_loses_a_window_or_sees_it_twice_is_found(
    windows: list[Any], skipped: list[Any], takes_up: bool
) -> None:
    report = {"windows": windows, "skipped": skipped}
    with pytest.raises(WrongError, match="next try"):
        judge.next_try(rerun_once(), report, [("hourly", START)], takes_up=takes_up)


def test_a_failed_task_that_names_each_window_is_well() -> None:
    report = {"windows": [{**REPORTED, "problem": "it was cancelled"}]}
    assert "names 1 windows" in judge.named(report, [("hourly", START)])


@pytest.mark.parametrize("windows", [[], [{**REPORTED, "problem": ""}]], ids=["lost", "without a problem"])
def test_a_failed_task_that_does_not_name_a_window_is_found(windows: list[Any]) -> None:
    with pytest.raises(WrongError, match="names"):
        judge.named({"windows": windows}, [("hourly", START)])


def told_by(emulator: AdfEmulator) -> Evidence:
    """Return what a factory tells now."""
    with httpx.Client(trust_env=False) as client:
        return Evidence((), client.get(f"{emulator.url}/_adf/state").json())


def test_a_night_with_stuck_windows_is_as_it_says() -> None:
    with AdfEmulator(stuck_night(3), clock="manual") as emulator:
        waiting = told_by(emulator).waiting("report")
        stuck = due_windows("report", due=3)
        (rightly,) = set(waiting) - set(stuck)
        assert rightly > max(stuck), "one that waits as it should comes after those that are stuck"
        assert set(waiting) > set(stuck)
        assert judge.left_waiting(told_by(emulator), "report", waiting)
        with pytest.raises(WrongError, match="wait on dependencies"):
            judge.left_waiting(told_by(emulator), "report", {rightly: waiting[rightly]})
        emulator.advance(30 * 60)
        assert told_by(emulator).waiting("report") == waiting, "none goes on by itself"


def test_a_night_is_as_it_says() -> None:
    with AdfEmulator(night("north", "south", due=3), clock="manual") as emulator:
        failed = [run for run in emulator.trigger_runs() if run["status"] == "Failed"]
        assert len(failed) == len(due_windows("north", "south", due=3))
        alive = [run for run in emulator.pipeline_runs() if run["status"] == "InProgress"]
        assert len(alive) == 3, "a window of each trigger that runs, and a run of somebody else"
