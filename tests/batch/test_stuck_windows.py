"""Which windows are stuck, by history alone: each reason by an example, the rules for all histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.model import Dependency, Trigger, TriggerRun, TriggerRunStatus
from airflow_provider_adfruns.batch.cancel_report import CancelOutcome, CancelReport
from airflow_provider_adfruns.batch.dependencies import Upstream
from airflow_provider_adfruns.batch.planning import outcome_of
from airflow_provider_adfruns.batch.report import RerunReport, Step, skipped_json
from airflow_provider_adfruns.batch.selection import select_windows
from airflow_provider_adfruns.batch.stuck_windows import (
    Earlier,
    Stuckness,
    after_cancel,
    after_wait,
    awaited_cancels,
    choose,
    still_to_do,
    without_late_cancels,
)
from airflow_provider_adfruns.batch.watch import WatchedRun
from tests.batch.histories import NOW, hour, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WAITS = "WaitingOnDependency"
DAY = select_windows("hourly", window_start=hour(0).start, window_end=hour(12).start)
QUARTER = timedelta(minutes=15)


def stuckness(*lacking: int) -> Stuckness:
    """Judge by an upstream trigger whose windows of these hours have failed; all others have succeeded."""
    runs = [run(each, "Failed" if each in lacking else "Succeeded") for each in range(24)]
    upstream = Upstream(Trigger("hourly", "", "Started", {}), runs, frozenset())
    return Stuckness(NOW, QUARTER, "hourly", [Dependency("up", timedelta(0), None)], {"up": upstream})


def chosen(history: Sequence[TriggerRun], *, lacking: Iterable[int] = (), **earlier: object) -> list[str]:
    found, _ = choose(history, DAY, stuckness(*lacking), Earlier(**earlier))  # type: ignore[arg-type]
    return [each.run_id for each in found if each.step is Step.PLANNED]


def reason(one: TriggerRun, *, lacking: Iterable[int] = ()) -> str:
    found, [left_alone] = choose([one], DAY, stuckness(*lacking), Earlier())
    assert found == []
    return left_alone.reason


def test_a_window_that_waits_for_what_has_succeeded_is_stuck() -> None:
    assert chosen([run(1, WAITS), run(2, "Succeeded"), run(3, WAITS)]) == ["w1", "w3"]


def test_a_window_waits_rightly_for_one_that_has_not_succeeded() -> None:
    assert "it waits as it should: window 2026-03-01 01:00" in reason(run(1, WAITS), lacking=[1])


@pytest.mark.parametrize("status", [each for each in TriggerRunStatus if each not in {WAITS, "Cancelled"}])
def test_a_window_that_does_not_wait_on_dependencies_is_left_alone(status: str) -> None:
    assert reason(run(1, status)) == f"it does not wait on dependencies: its latest run is {status}"


def test_a_window_is_stuck_from_the_very_second_that_it_has_waited_for_so_long() -> None:
    assert chosen([run(1, WAITS, at=NOW - QUARTER)]) == ["w1"]
    soon = reason(run(1, WAITS, at=NOW - QUARTER + timedelta(seconds=1)))
    assert soon == "it has begun to wait only at 2026-03-01 19:45:01"


def test_a_window_is_judged_by_its_latest_run() -> None:
    assert chosen([run(1, WAITS), run(1, "Running", attempt=1)]) == []
    assert chosen([run(1, "Failed"), run(1, WAITS, attempt=1)]) == ["w1-1"]


def test_a_window_cut_by_the_range_is_left_alone_and_others_are_not_mentioned() -> None:
    range_ = select_windows(
        "hourly", window_start=hour(1).start, window_end=hour(2).start + timedelta(minutes=30)
    )
    found, left_alone = choose([run(2, WAITS), run(5, WAITS)], range_, stuckness(), Earlier())
    assert found == []
    assert [each.reason for each in left_alone] == ["its window lies only partly inside the range"]


def test_what_an_earlier_try_has_cancelled_is_left_over_and_after_a_failure_what_failed_too() -> None:
    history = [run(1, "Cancelled"), run(2, "Failed"), run(3, "Succeeded"), run(4, "Cancelled")]
    windows = frozenset(hour(each) for each in (1, 2, 3))
    assert chosen(history, windows=windows, have_failed=True) == ["w1", "w2"]
    assert chosen(history, windows=windows) == ["w1"]


def test_a_window_cancelled_while_it_waited_is_left_alone_unless_it_is_named() -> None:
    assert reason(run(1, "Cancelled")).startswith("it was cancelled while it waited, and never ran; rerun it")
    named = select_windows("hourly", run_ids=["w1"])
    found, left_alone = choose([run(1, "Cancelled")], named, stuckness(), Earlier())
    assert ([each.run_id for each in found], left_alone) == (["w1"], [])


def test_where_a_try_may_have_left_no_note_it_is_a_problem_instead() -> None:
    [found], left_alone = choose([run(1, "Cancelled")], DAY, stuckness(), Earlier(are_unknown=True))
    assert (found.step, left_alone) == (Step.REFUSED, [])
    assert "An earlier try of this task may have done that" in found.problem


@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_where_a_try_may_have_left_no_note_so_is_a_rerun_that_was_not_well(status: str) -> None:
    rerun = replace(run(1, status, attempt=1), triggered_pipelines={"load": "a run"})
    [found], left_alone = choose([run(1, "Cancelled"), rerun], DAY, stuckness(), Earlier(are_unknown=True))
    assert (found.step, left_alone) == (Step.REFUSED, [])
    assert f"it was cancelled while it waited, and its rerun is {status}" in found.problem


def test_where_a_try_may_have_left_no_note_what_failed_without_a_cancel_is_none_of_its_business() -> None:
    found, [left_alone] = choose([run(1, "Failed")], DAY, stuckness(), Earlier(are_unknown=True))
    assert (found, left_alone.reason) == ([], "it does not wait on dependencies: its latest run is Failed")


HISTORIES = st.lists(
    st.builds(
        run,
        st.integers(0, 13),
        st.sampled_from([*TriggerRunStatus, WAITS, WAITS]),
        attempt=st.integers(0, 3),
    ),
    max_size=30,
    unique_by=lambda each: each.trigger_run_id,
)


@given(HISTORIES, st.sets(st.integers(0, 23)), st.booleans())
def test_for_all_histories_only_windows_are_chosen_whose_latest_run_waits_for_nothing_that_lacks(
    history: list[TriggerRun], lacking: set[int], are_unknown: bool
) -> None:
    found, left_alone = choose(history, DAY, stuckness(*lacking), Earlier(are_unknown=are_unknown))
    stuck = [each for each in found if each.step is Step.PLANNED]
    for each in stuck:
        family = [one for one in history if one.window == each.window]
        latest = max(family, key=lambda one: (one.timestamp, one.trigger_run_id))
        assert latest.trigger_run_id == each.run_id
        assert latest.status == WAITS
        assert each.window.start.hour not in lacking
    inside = {one.window for one in history if one.window and one.window.end <= hour(12).start}
    assert {each.window for each in found} | {each.window for each in left_alone} == inside
    assert not {each.window for each in found} & {each.window for each in left_alone}


def report(*runs: TriggerRun) -> RerunReport:
    return RerunReport(
        "hourly",
        NOW,
        False,
        tuple(outcome_of(each, each.window, Step.PLANNED) for each in runs if each.window),
        (),
    )


def steps(judged: RerunReport) -> dict[str, str]:
    return {each.run_id: f"{each.step}: {each.problem}" for each in judged.windows}


def test_only_runs_that_wait_have_to_be_cancelled_first() -> None:
    assert awaited_cancels(report(run(1, WAITS), run(2, "Cancelled"))) == ["w1"]


def test_a_window_whose_run_was_not_cancelled_is_not_rerun() -> None:
    cancel = CancelReport(
        False,
        (CancelOutcome("trigger", "w1", problem="no"), CancelOutcome("trigger", "w2", requested=True)),
    )
    judged = after_cancel(report(run(1, WAITS), run(2, WAITS)), cancel)
    assert steps(judged) == {"w1": "refused: its run was not cancelled: no", "w2": "planned: "}
    assert awaited_cancels(judged) == ["w2"]


@pytest.mark.parametrize(
    ("status", "left"),
    [("Succeeded", []), ("Running", []), ("Waiting", []), ("Cancelled", ["w1"]), ("Failed", ["w1"])],
)
def test_a_window_that_goes_on_before_its_cancel_is_left_alone_unless_it_fails(
    status: str, left: list[str]
) -> None:
    told = skipped_json(hour(1), "w1", status, "it waits no longer")
    judged = after_cancel(report(run(1, WAITS)), CancelReport(False, (), (told,)))
    assert list(steps(judged)) == left
    assert len(judged.skipped) == 1 - len(left)


def test_a_window_that_waits_for_room_only_when_its_cancel_comes_is_left_alone() -> None:
    refused = CancelOutcome("trigger", "w1", status="Waiting", problem="it cannot be cancelled now")
    judged = after_cancel(report(run(1, WAITS)), CancelReport(False, (refused,)))
    assert (judged.windows, judged.problem_lines()) == ((), [])
    assert [each["reason"] for each in judged.skipped] == ["it has gone on by itself"]


def test_a_window_that_waits_for_room_and_can_be_cancelled_nevertheless_is_rerun() -> None:
    accepted = CancelOutcome("trigger", "w1", status="Waiting", requested=True)
    judged = after_cancel(report(run(1, WAITS)), CancelReport(False, (accepted,)))
    assert awaited_cancels(judged) == ["w1"]


def test_a_run_that_is_not_found_any_more_is_a_problem() -> None:
    told = skipped_json(None, "w1", None, "there is no such run")
    judged = after_cancel(report(run(1, WAITS)), CancelReport(False, (), (told,)))
    assert steps(judged) == {"w1": "refused: its run was not cancelled: there is no such run"}


def watched(run_id: str, status: str) -> WatchedRun:
    return WatchedRun("trigger", run_id, "hourly", status, TriggerRunStatus(status).is_final)


def test_a_run_that_has_succeeded_in_spite_of_its_cancel_needs_no_rerun() -> None:
    ended = [watched("w1", "Cancelled"), watched("w2", "Succeeded"), watched("w3", "Failed")]
    judged = after_wait(report(*(run(each, WAITS) for each in (1, 2, 3))), ended)
    assert list(steps(judged)) == ["w1", "w3"]
    assert [each["run_id"] for each in judged.skipped] == ["w2"]


def test_a_run_that_has_begun_in_spite_of_its_cancel_is_left_alone_when_the_wait_for_it_ends() -> None:
    now = [watched("w1", "Running"), watched("w2", WAITS), watched("w3", "Cancelled")]
    judged = without_late_cancels(report(*(run(each, WAITS) for each in (1, 2, 3))), now, QUARTER)
    assert steps(judged) == {
        "w2": "refused: its run is WaitingOnDependency still, 900 seconds after its cancel",
        "w3": "planned: ",
    }
    assert [each["run_id"] for each in judged.skipped] == ["w1"]


def test_of_a_batch_taken_up_what_has_gone_on_or_is_older_than_the_history_is_told() -> None:
    history = [run(1, WAITS), run(2, "Cancelled"), run(3, "Cancelled"), run(3, "Running", attempt=1)]
    judged = still_to_do(history, [hour(each) for each in (1, 2, 3, 4)], report())
    assert list(steps(judged)) == ["w1", "w2"]
    assert awaited_cancels(judged) == ["w1"]
    assert judged.unknown == ["window 2026-03-01 04:00: its runs are older than the factory's history by now"]
    assert [each["run_id"] for each in judged.skipped] == [None, "w3-1"]
