"""History, selection and one instant -> a plan: each reason by an example, the rules for all histories."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.model import TriggerRun, TriggerRunStatus
from airflow_provider_adfruns.batch.plan import RerunPlan, by_window, plan_cancels, plan_reruns
from airflow_provider_adfruns.batch.selection import (
    DEFAULT_RERUN_STATUSES,
    FINAL_STATUSES,
    WindowSelection,
    select_windows,
)
from tests.batch.histories import NOW, hour, run

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED_ONLY = frozenset({TriggerRunStatus.FAILED})


def of_hours(first: int, last: int) -> WindowSelection:
    """Select the windows from one hour to another, both included."""
    return select_windows("hourly", window_start=hour(first).start, window_end=hour(last).end)


def of_ids(*run_ids: str) -> WindowSelection:
    return select_windows("hourly", run_ids=run_ids)


def members(plan: RerunPlan) -> list[str]:
    return [member.run.trigger_run_id for member in plan.members]


def reasons(plan: Any) -> dict[Any, str]:
    return {each.run_id: each.reason for each in plan.exclusions}


def test_failed_and_cancelled_windows_of_a_range_are_rerun_the_oldest_first() -> None:
    history = [run(3, "Cancelled"), run(1, "Failed"), run(2, "Succeeded"), run(9, "Failed")]
    plan = plan_reruns(history, of_hours(0, 5), None, NOW)
    assert members(plan) == ["w1", "w3"]
    assert reasons(plan) == {"w2": "its latest run is Succeeded"}


def test_a_window_that_was_rerun_with_success_since_is_left_alone_with_that_reason() -> None:
    plan = plan_reruns([run(1, "Failed"), run(1, "Succeeded", attempt=1)], of_hours(0, 5), None, NOW)
    assert members(plan) == []
    assert reasons(plan) == {"w1-1": "it has been rerun since, and its latest run is Succeeded"}


def test_a_window_that_failed_again_is_rerun_by_its_latest_run() -> None:
    history = [run(1, "Failed"), run(1, "Succeeded", attempt=1), run(1, "Failed", attempt=2)]
    assert members(plan_reruns(history, of_hours(0, 5), None, NOW)) == ["w1-2"]


@pytest.mark.parametrize("status", ["Running", "Waiting", "WaitingOnDependency", "SomethingNew"])
def test_a_window_whose_latest_run_is_not_final_is_left_alone(status: str) -> None:
    history = [run(1, "Failed"), run(1, status, attempt=1)]
    plan = plan_reruns(history, of_hours(0, 5), None, NOW)
    assert members(plan) == []
    assert reasons(plan) == {"w1-1": f"its latest run is not final but {status}"}


def test_a_window_that_lies_only_partly_in_the_range_is_left_alone_and_said_so() -> None:
    selection = select_windows(
        "hourly", window_start=hour(1).start + timedelta(minutes=30), window_end=hour(3).end
    )
    plan = plan_reruns([run(1, "Failed"), run(2, "Failed")], selection, None, NOW)
    assert members(plan) == ["w2"]
    assert reasons(plan) == {"w1": "its window lies only partly inside the range"}


def test_a_window_that_first_ran_after_the_plan_is_left_alone() -> None:
    plan = plan_reruns([run(1, "Failed", at=NOW + timedelta(seconds=1))], of_hours(0, 5), None, NOW)
    assert members(plan) == []
    assert reasons(plan) == {"w1": "it first ran after this rerun was planned"}


@pytest.mark.parametrize("seconds", [0, 0.3, 60])
def test_a_run_from_the_plans_instant_on_is_the_rerun_itself(seconds: float) -> None:
    newer = run(1, "Running", attempt=1, at=NOW + timedelta(seconds=seconds))
    plan = plan_reruns([run(1, "Failed"), newer], of_hours(0, 5), None, NOW)
    [member] = plan.members
    assert (member.run.trigger_run_id, member.newer) == ("w1", newer)


def test_an_unknown_run_id_is_left_out_and_named() -> None:
    plan = plan_reruns([run(1, "Failed")], of_ids("w1", "nope"), None, NOW)
    assert members(plan) == ["w1"]
    assert reasons(plan) == {"nope": "trigger 'hourly' has no run of this id within the last 45 days"}


def test_a_succeeded_run_is_rerun_if_it_is_named_itself() -> None:
    assert members(plan_reruns([run(1, "Succeeded")], of_ids("w1"), None, NOW)) == ["w1"]


def test_a_named_run_that_has_been_rerun_with_success_since_is_left_alone() -> None:
    history = [run(1, "Failed"), run(1, "Succeeded", attempt=1)]
    plan = plan_reruns(history, of_ids("w1"), None, NOW)
    assert members(plan) == []
    assert reasons(plan) == {"w1-1": "it has been rerun since, and its latest run is Succeeded"}


def test_two_named_runs_of_one_window_are_one_rerun() -> None:
    history = [run(1, "Failed"), run(1, "Failed", attempt=1)]
    assert members(plan_reruns(history, of_ids("w1", "w1-1"), None, NOW)) == ["w1-1"]


def test_chosen_statuses_count_for_named_runs_too() -> None:
    plan = plan_reruns([run(1, "Succeeded"), run(2, "Failed")], of_ids("w1", "w2"), FAILED_ONLY, NOW)
    assert members(plan) == ["w2"]
    assert reasons(plan) == {"w1": "its latest run is Succeeded"}


def test_of_two_runs_at_the_same_instant_one_is_always_the_latest() -> None:
    twins = [
        run(1, status, run_id=name, at=hour(1).end) for name, status in (("a", "Failed"), ("b", "Succeeded"))
    ]
    assert reasons(plan_reruns(twins, of_hours(0, 5), None, NOW)) == reasons(
        plan_reruns(twins[::-1], of_hours(0, 5), None, NOW)
    )


STATUSES = st.sampled_from([*TriggerRunStatus, "SomethingNew"])
MINUTES = st.integers(0, 60 * 24)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 12) -> list[TriggerRun]:
    """Runs of a few windows at any times of a day, in any order."""
    drawn = draw(st.lists(st.tuples(st.integers(0, 4), STATUSES, MINUTES), max_size=max_size))
    return [
        run(number, status, run_id=f"r{place}", at=hour(0).start + timedelta(minutes=minutes))
        for place, (number, status, minutes) in enumerate(drawn)
    ]


SELECTIONS = st.one_of(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda ends: of_hours(min(ends), max(ends))),
    st.lists(st.integers(0, 12), min_size=1).map(
        lambda numbers: of_ids(*(f"r{number}" for number in numbers))
    ),
)
CHOSEN = st.none() | st.frozensets(st.sampled_from(sorted(FINAL_STATUSES)), min_size=1)
INSTANTS = MINUTES.map(lambda minutes: hour(0).start + timedelta(minutes=minutes))


def selected_windows(history: Sequence[TriggerRun], selection: WindowSelection) -> set[Any]:
    return {each.window for each in history if selection.includes(each)}


@given(histories(), SELECTIONS, CHOSEN, INSTANTS)
def test_each_selected_window_is_once_a_member_or_once_excluded(
    history: list[TriggerRun], selection: WindowSelection, statuses: Any, instant: Any
) -> None:
    plan = plan_reruns(history, selection, statuses, instant)
    windows = [each.window for each in plan.members]
    windows += [each.window for each in plan.exclusions if each.window is not None]
    assert len(windows) == len(set(windows))
    assert set(windows) == selected_windows(history, selection)


@given(histories(), SELECTIONS, CHOSEN, INSTANTS)
def test_a_member_is_the_latest_run_before_the_instant_and_of_an_allowed_final_status(
    history: list[TriggerRun], selection: WindowSelection, statuses: Any, instant: Any
) -> None:
    plan = plan_reruns(history, selection, statuses, instant)
    assert list(plan.members) == sorted(plan.members, key=lambda member: member.window)
    for member in plan.members:
        family = [each for each in history if each.window == member.window]
        assert member.run.timestamp == max(each.timestamp for each in family if each.timestamp < instant)
        named = member.run.trigger_run_id in selection.run_ids
        assert member.run.status in (statuses or (FINAL_STATUSES if named else DEFAULT_RERUN_STATUSES))
        assert member.newer is None or member.newer.timestamp >= instant


@given(histories(), SELECTIONS, CHOSEN, INSTANTS, st.randoms(use_true_random=False))
def test_the_order_of_the_history_does_not_matter(
    history: list[TriggerRun], selection: WindowSelection, statuses: Any, instant: Any, random: Any
) -> None:
    shuffled = list(history)
    random.shuffle(shuffled)
    assert plan_reruns(shuffled, selection, statuses, instant) == plan_reruns(
        history, selection, statuses, instant
    )


@given(histories(), histories(4), SELECTIONS, CHOSEN, INSTANTS)
def test_what_happens_after_the_instant_neither_adds_nor_removes_members(
    history: list[TriggerRun],
    later: list[TriggerRun],
    selection: WindowSelection,
    statuses: Any,
    instant: Any,
) -> None:
    since = [
        run(hour_of(each), each.status, run_id=f"late-{place}", at=instant + (each.timestamp - hour(0).start))
        for place, each in enumerate(later)
    ]
    before = plan_reruns(history, selection, statuses, instant)
    after = plan_reruns(history + since, selection, statuses, instant)
    assert members(after) == members(before)


def hour_of(each: TriggerRun) -> int:
    assert each.window is not None
    return int((each.window.start - hour(0).start).total_seconds() // 3600)


def test_the_runs_of_each_window_are_told_apart_and_ordered_from_the_oldest() -> None:
    first, second, third = run(1, "Failed"), run(1, "Failed", attempt=1), run(1, "Running", attempt=2)
    other, none = run(2, "Failed", attempt=9), run(3, "Failed", windowless=True)
    families = by_window([third, other, none, first, second])
    assert families == {hour(1): [first, second, third], hour(2): [other]}


def test_a_cancel_takes_what_waits_and_leaves_what_runs_to_the_caller() -> None:
    history = [
        run(1, "WaitingOnDependency"),
        run(2, "Waiting"),
        run(3, "Running"),
        run(4, "SomethingNew"),
        run(5, "Succeeded"),
        run(9, "WaitingOnDependency"),
    ]
    plan = plan_cancels(history, of_hours(0, 5))
    assert [each.trigger_run_id for each in plan.cancellable] == ["w1", "w2", "w4"]
    assert [each.trigger_run_id for each in plan.running] == ["w3"]
    assert reasons(plan) == {"w5": "it has ended already, Succeeded"}


def test_a_cancel_of_a_range_speaks_of_the_latest_run_of_each_window_only() -> None:
    history = [
        run(1, "Failed"),
        run(1, "WaitingOnDependency", attempt=1),
        run(2, "Failed"),
        run(2, "Failed", attempt=1),
    ]
    plan = plan_cancels(history, of_hours(0, 5))
    assert [each.trigger_run_id for each in plan.cancellable] == ["w1-1"]
    assert reasons(plan) == {"w2-1": "it has ended already, Failed"}


def test_a_cancel_by_ids_speaks_of_each_id() -> None:
    history = [run(1, "Failed"), run(1, "WaitingOnDependency", attempt=1)]
    plan = plan_cancels(history, of_ids("w1", "w1-1", "nope"))
    assert [each.trigger_run_id for each in plan.cancellable] == ["w1-1"]
    assert reasons(plan) == {
        "w1": "it has ended already, Failed",
        "nope": "trigger 'hourly' has no run of this id within the last 45 days",
    }


def test_a_cancel_leaves_alone_a_waiting_run_whose_window_is_cut() -> None:
    selection = select_windows(
        "hourly", window_start=hour(1).start + timedelta(minutes=1), window_end=hour(3).end
    )
    plan = plan_cancels([run(1, "Waiting"), run(1, "Failed", attempt=-1)], selection)
    assert plan.cancellable == ()
    assert reasons(plan) == {"w1": "its window lies only partly inside the range"}


class Compared(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)


def test_many_ids_are_not_compared_with_each_of_many_runs() -> None:
    history = [run(number, "Failed") for number in range(500)]
    selection = WindowSelection("hourly", tuple(Compared(each.trigger_run_id) for each in history), None)
    assert len(plan_reruns(history, selection, None, NOW + timedelta(days=30)).members) == 500
    assert Compared.times < 10 * 500


@given(histories(), SELECTIONS)
def test_a_cancel_never_takes_a_run_that_has_ended_or_was_not_meant(
    history: list[TriggerRun], selection: WindowSelection
) -> None:
    plan = plan_cancels(history, selection)
    chosen = [*plan.cancellable, *plan.running]
    assert {each.trigger_run_id for each in chosen} == {
        each.trigger_run_id for each in history if selection.includes(each) and not each.status.is_final
    }
    assert len({each.trigger_run_id for each in chosen}) == len(chosen)
