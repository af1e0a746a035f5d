"""A batch that is taken up after a crash sends what is left of it, and nothing twice."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.model import TriggerRun, TriggerRunStatus, Window
from airflow_provider_adfruns.batch.ledger import Ledger, Phase
from airflow_provider_adfruns.batch.plan import plan_reruns
from airflow_provider_adfruns.batch.report import Step
from airflow_provider_adfruns.batch.rerun import resumed_report
from airflow_provider_adfruns.batch.selection import WindowSelection, select_windows
from tests.batch.histories import NOW, hour, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_adfruns.batch.report import RerunReport

FINAL = ("Failed", "Cancelled", "Succeeded")
ALL: WindowSelection = select_windows("hourly", window_start=hour(0).start, window_end=hour(11).end)


def histories(statuses: Iterable[str]) -> st.SearchStrategy[list[TriggerRun]]:
    """Runs of a few windows, some of them rerun before."""
    drawn = st.lists(st.lists(st.sampled_from(sorted(statuses)), min_size=1, max_size=3), max_size=8)
    return drawn.map(
        lambda families: [
            run(number, status, attempt=attempt)
            for number, family in enumerate(families)
            for attempt, status in enumerate(family)
        ]
    )


def ledger(*windows: Window) -> Ledger:
    return Ledger("batch", "asked", NOW, windows, Phase.SUBMITTING, "ti#1")


def planned(history: list[TriggerRun]) -> list[Window]:
    return [member.window for member in plan_reruns(history, ALL, None, NOW).members]


def resumed(history: list[TriggerRun], *windows: Window) -> RerunReport:
    return resumed_report(history, ALL, None, ledger(*windows))


def still_unsettled(report: RerunReport) -> set[Window]:
    """Return the windows that are sent again if no rerun shows."""
    return {each.window for each in report.windows if each.step in {Step.UNCLEAR, Step.PLANNED}}


def newer_run(window: Window, status: str, **options: Any) -> TriggerRun:
    number = int((window.start - hour(0).start) / timedelta(hours=1))
    return run(number, status, **{"at": NOW + timedelta(minutes=1), "attempt": 7, **options})


@given(histories({*FINAL, "Running", "Waiting"}), st.data())
def test_what_was_sent_before_a_crash_and_what_is_left_after_it_is_what_was_planned(
    history: list[TriggerRun], data: st.DataObject
) -> None:
    everything = planned(history)
    sent = everything[: data.draw(st.integers(0, len(everything)))]
    since = [newer_run(window, data.draw(st.sampled_from([*FINAL, "Running", "Waiting"]))) for window in sent]
    left = still_unsettled(resumed(history + since, *everything))
    assert left.union(sent) == set(everything)
    assert left.isdisjoint(sent)


@given(histories({*FINAL, "Running"}), st.data())
def test_a_window_that_was_not_planned_is_not_added_by_what_happened_since(
    history: list[TriggerRun], data: st.DataObject
) -> None:
    everything = planned(history)
    others = [hour(number) for number in range(12) if hour(number) not in everything]
    late = [
        newer_run(window, data.draw(st.sampled_from(FINAL)), at=NOW - timedelta(seconds=1))
        for window in data.draw(st.lists(st.sampled_from(others), unique=True))
    ]
    report = resumed(history + late, *everything)
    assert [each.window for each in report.windows] == everything


@given(st.sampled_from([*TriggerRunStatus]))
def test_a_colleagues_run_that_did_not_show_when_it_was_planned_is_not_rerun_upon(
    status: TriggerRunStatus,
) -> None:
    hidden = newer_run(hour(1), status, at=NOW - timedelta(seconds=3))
    report = resumed([run(1, "Failed"), hidden, run(2, "Failed")], hour(1), hour(2))
    assert still_unsettled(report) == {hour(2)}


def test_windows_that_fell_out_of_history_are_named() -> None:
    report = resumed([run(2, "Failed")], hour(1), hour(2))
    assert [each.window for each in report.windows] == [hour(2)]
    [named] = [dict(each) for each in report.skipped]
    assert named["window_start"] == hour(1).start.isoformat()
    assert named["reason"] == "its runs are older than the factory's history by now"


def test_a_window_whose_rerun_shows_is_done_with_its_new_run_and_status() -> None:
    report = resumed([run(1, "Failed"), newer_run(hour(1), "Running")], hour(1))
    [outcome] = report.windows
    assert (outcome.step, outcome.run_id, outcome.new_run_id, outcome.status) == (
        Step.SUBMITTED,
        "w1",
        "w1-7",
        "Running",
    )
