"""A batch that is taken up after a crash sends what is left of it, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.model import TriggerRun, TriggerRunStatus, Window
from airflow_provider_adfruns.batch.clearing import reopened
from airflow_provider_adfruns.batch.ledger import Ledger, Phase
from airflow_provider_adfruns.batch.plan import Member, plan_reruns
from airflow_provider_adfruns.batch.planning import resumed_report
from airflow_provider_adfruns.batch.report import RerunBy, Step
from airflow_provider_adfruns.batch.selection import WindowSelection, select_windows
from airflow_provider_adfruns.batch.watch import QUERY_LAG_PATIENCE
from tests.batch.histories import NOW, hour, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

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


def ledger(*windows: Window, **fields: Any) -> Ledger:
    made = Ledger("batch", "asked", NOW, windows, Phase.SUBMITTING, "ti#1", handed=len(windows))
    return replace(made, **fields)


def resumed(history: list[TriggerRun], *windows: Window, **fields: Any) -> RerunReport:
    return resumed_report(history, ALL, None, ledger(*windows, **fields))


def still_unsettled(report: RerunReport) -> set[Window]:
    """Return the windows that are sent again if no rerun shows."""
    return {each.window for each in report.windows if each.step in {Step.UNCLEAR, Step.PLANNED}}


def newer_run(window: Window, status: str, **options: Any) -> TriggerRun:
    number = int((window.start - hour(0).start) / timedelta(hours=1))
    return run(number, status, **{"at": NOW + timedelta(minutes=1), "attempt": 7, **options})


class Crash(NamedTuple):
    """A batch at the instant when its try died: ``history`` shows the reruns that it had sent.

    :param theirs: windows of the batch that somebody else has rerun, as the plan was not shown.
    """

    history: list[TriggerRun]
    selection: WindowSelection
    statuses: frozenset[TriggerRunStatus] | None
    ledger: Ledger
    sent: list[Window]
    theirs: set[Window]

    def resumed(self, known: Ledger | None = None, since: Iterable[TriggerRun] = ()) -> RerunReport:
        """Return the report of the next try, perhaps with another ledger and what has run since."""
        history = [*self.history, *since]
        return resumed_report(history, self.selection, self.statuses, known or self.ledger)


def selections(history: list[TriggerRun]) -> st.SearchStrategy[WindowSelection]:
    """Ranges, also such as cut windows or mean none, and ids, also unknown ones."""
    ids = st.lists(st.sampled_from([*(each.trigger_run_id for each in history), "unknown"]), min_size=1)
    ends = st.lists(st.integers(0, 24), min_size=2, max_size=2, unique=True).map(sorted)
    return st.one_of(
        st.just(ALL),
        ids.map(lambda run_ids: select_windows("hourly", run_ids=run_ids)),
        ends.map(
            lambda halves: select_windows(
                "hourly",
                window_start=hour(0).start + timedelta(minutes=30 * halves[0]),
                window_end=hour(0).start + timedelta(minutes=30 * halves[1]),
            )
        ),
    )


def instants(history: list[TriggerRun]) -> st.SearchStrategy[datetime]:
    """Instants about which a run began, since that is where it matters what a plan was shown."""
    seconds = st.sampled_from([-1, 0, 1, 29, 30, 31, 3600])
    began = [each.timestamp for each in history] or [NOW]
    again = [each.timestamp for each in history if each.timestamp.minute and each.status.is_final] or began
    times = st.sampled_from(began) | st.sampled_from(again)
    return st.builds(lambda time, since: time + timedelta(seconds=since), times, seconds)


def hidden_runs(members: Sequence[Member], at: datetime) -> st.SearchStrategy[list[TriggerRun]]:
    """Reruns by somebody else from just before a batch was planned, that did not show yet.

    Not of a run that is as young itself: docs/limits.md names that.
    """
    since = at - timedelta(seconds=20)
    windows = [each.window for each in members if each.run.timestamp < at - QUERY_LAG_PATIENCE]
    chosen = st.lists(st.sampled_from(windows), unique=True) if windows else st.just([])
    statuses = st.sampled_from([*FINAL, "Running", "Waiting"])
    return st.builds(
        lambda chosen, status: [newer_run(each, status, at=since, attempt=6) for each in chosen],
        chosen,
        statuses,
    )


@st.composite
def crashes(draw: st.DrawFn, *, alone: bool = False) -> Crash:
    """Draw a batch, how many windows it may have sent, and how many of these it has sent.

    :param alone: nobody else has rerun anything that the plan was not shown.
    """
    drawn = draw(histories({*FINAL, "Running", "Waiting"}))
    selection, at = draw(selections(drawn)), draw(instants(drawn))
    statuses = draw(st.none() | st.frozensets(st.sampled_from(TriggerRunStatus).filter(lambda x: x.is_final)))
    earlier = [each for each in drawn if each.timestamp < at]
    fresh = [each for each in earlier if each.timestamp >= at - QUERY_LAG_PATIENCE]
    members = plan_reruns(earlier, selection, statuses, at).members
    windows = [each.window for each in members]
    known = ledger(
        *windows,
        planned_at=at,
        newest_first=draw(st.booleans()),
        handed=draw(st.integers(0, len(windows))),
        max_tries=1,
        fresh=frozenset(each.window for each in members if each.run in fresh),
    )
    sent = list(known.in_order[: draw(st.integers(0, known.handed))])
    ours = [newer_run(window, draw(st.sampled_from([*FINAL, "Running", "Waiting"]))) for window in sent]
    others = [] if alone else [each for each in drawn if each not in earlier] + draw(hidden_runs(members, at))
    went_on = [
        each if each.status.is_final else replace(each, status=TriggerRunStatus(draw(st.sampled_from(FINAL))))
        for each in earlier
    ]
    history = draw(st.sampled_from([earlier, went_on])) + others + ours
    theirs = {each.window for each in others if each.window}.intersection(windows)
    return Crash(history, selection, statuses, known, sent, theirs)


@given(crashes())
def test_what_was_rerun_before_a_crash_and_what_is_left_after_it_is_what_was_planned(crash: Crash) -> None:
    left = still_unsettled(crash.resumed())
    assert left | crash.theirs | set(crash.sent) == set(crash.ledger.windows)
    assert left.isdisjoint(crash.theirs | set(crash.sent))


@given(crashes())
def test_only_what_may_have_been_sent_is_looked_for_after_a_crash(crash: Crash) -> None:
    certain = {each.window for each in crash.resumed().windows if each.step is Step.PLANNED}
    assert certain == set(crash.ledger.in_order[crash.ledger.handed :]) - crash.theirs


@given(crashes(alone=True), st.data())
def test_a_new_run_is_the_batchs_own_where_it_may_have_sent_it_and_else_somebody_elses(
    crash: Crash, data: st.DataObject
) -> None:
    others = [window for window in crash.ledger.windows if window not in crash.sent]
    theirs = data.draw(st.lists(st.sampled_from(others), unique=True)) if others else []
    report = crash.resumed(since=[newer_run(window, "Running") for window in theirs])
    whose = {each.window: each.rerun_by for each in report.windows if each.rerun_by}
    handed = set(crash.ledger.in_order[: crash.ledger.handed])
    assert whose == {
        window: RerunBy.THIS_BATCH if window in handed else RerunBy.SOMEBODY_ELSE
        for window in {*crash.sent, *theirs}
    }


@given(crashes(alone=True))
def test_what_somebody_else_was_seen_to_rerun_stays_theirs(crash: Crash) -> None:
    known = replace(crash.ledger, theirs=frozenset(crash.sent))
    report = crash.resumed(known)
    assert {each.rerun_by for each in report.windows} <= {None, RerunBy.SOMEBODY_ELSE}
    assert still_unsettled(report).isdisjoint(crash.sent)


def cleared(crash: Crash) -> Ledger:
    """Return the batch's ledger after a person's clear, an hour later."""
    return reopened(crash.resumed(), crash.ledger, NOW + timedelta(hours=1))


def cancelled(crash: Crash) -> set[Window]:
    return {each.window for each in crash.resumed().windows if each.status == "Cancelled"}


@given(crashes())
def test_after_a_clear_what_was_cancelled_is_left_as_well_as_what_was_not_sent(crash: Crash) -> None:
    left = still_unsettled(crash.resumed(cleared(crash)))
    assert left == set(crash.ledger.windows).difference(crash.sent, crash.theirs) | cancelled(crash)


@given(crashes(), st.data())
def test_a_crash_after_a_clear_leaves_what_was_not_sent_again(crash: Crash, data: st.DataObject) -> None:
    known = cleared(crash)
    left = still_unsettled(crash.resumed(known))
    again = data.draw(st.lists(st.sampled_from(sorted(left)), unique=True)) if left else []
    late = NOW + timedelta(hours=2)
    since = [
        newer_run(window, data.draw(st.sampled_from([*FINAL, "Running"])), at=late, attempt=8)
        for window in again
    ]
    resumed_again = still_unsettled(crash.resumed(Ledger.from_json(known.to_json()), since))
    assert resumed_again == left.difference(again)


@given(crashes())
def test_without_a_clear_nothing_is_sent_on_top_of_what_was_cancelled(crash: Crash) -> None:
    assert still_unsettled(crash.resumed()).isdisjoint(cancelled(crash))


@given(crashes(), st.data())
def test_a_window_that_was_not_planned_is_not_added_by_what_happened_since(
    crash: Crash, data: st.DataObject
) -> None:
    others = [hour(number) for number in range(12) if hour(number) not in crash.ledger.windows]
    late = [
        newer_run(
            window, data.draw(st.sampled_from(FINAL)), at=crash.ledger.planned_at - timedelta(seconds=1)
        )
        for window in data.draw(st.lists(st.sampled_from(others), unique=True))
    ]
    assert [each.window for each in crash.resumed(since=late).windows] == list(crash.ledger.windows)


@given(st.sampled_from([*TriggerRunStatus]))
def test_a_colleagues_run_that_did_not_show_when_it_was_planned_is_not_rerun_upon(
    status: TriggerRunStatus,
) -> None:
    hidden = newer_run(hour(1), status, at=NOW - timedelta(seconds=3))
    report = resumed([run(1, "Failed"), hidden, run(2, "Failed")], hour(1), hour(2))
    assert still_unsettled(report) == {hour(2)}


def test_a_run_from_just_before_the_plan_by_which_it_was_planned_is_rerun_upon() -> None:
    shown = newer_run(hour(1), "Failed", at=NOW - timedelta(seconds=3))
    report = resumed([run(1, "Failed"), shown], hour(1), fresh=frozenset({hour(1)}))
    assert still_unsettled(report) == {hour(1)}
    assert [each.run_id for each in report.windows] == [shown.trigger_run_id]


def test_windows_that_fell_out_of_history_are_named() -> None:
    report = resumed([run(2, "Failed")], hour(1), hour(2))
    assert [each.window for each in report.windows] == [hour(2)]
    [named] = [dict(each) for each in report.skipped]
    assert named["window_start"] == hour(1).start.isoformat()
    assert named["reason"] == "its runs are older than the factory's history by now"


HANDED = pytest.mark.parametrize("handed", [0, 2], ids=["certainly not sent", "perhaps sent"])


@HANDED
def test_a_window_whose_only_run_went_on_and_succeeded_is_left_alone(handed: int) -> None:
    report = resumed([run(1, "Succeeded"), run(2, "Failed")], hour(1), hour(2), handed=handed)
    assert [each.window for each in report.windows] == [hour(2)]
    [named] = [dict(each) for each in report.skipped]
    assert (named["run_id"], named["status"]) == ("w1", "Succeeded")
    assert named["reason"] == "it has succeeded without a rerun"


@HANDED
@pytest.mark.parametrize("status", [status for status in TriggerRunStatus if not status.is_final])
def test_a_window_whose_only_run_goes_on_is_not_rerun_and_says_so(
    status: TriggerRunStatus, handed: int
) -> None:
    report = resumed([run(1, status), run(2, "Failed")], hour(1), hour(2), handed=handed)
    assert still_unsettled(report) == {hour(2)}
    first, _ = report.windows
    assert (first.window, first.step, first.new_run_id) == (hour(1), Step.REFUSED, None)
    assert first.problem == f"its only run is {status} by now"


def test_a_window_that_has_been_rerun_since_its_run_went_on_is_told_by_its_rerun() -> None:
    report = resumed([run(1, "Succeeded"), newer_run(hour(1), "Running")], hour(1))
    [outcome] = report.windows
    assert (outcome.step, outcome.status, outcome.problem) == (Step.SUBMITTED, "Running", "")


def test_a_window_whose_rerun_shows_is_done_with_its_new_run_and_status() -> None:
    report = resumed([run(1, "Failed"), newer_run(hour(1), "Running")], hour(1))
    [outcome] = report.windows
    assert (outcome.step, outcome.run_id, outcome.new_run_id, outcome.status) == (
        Step.SUBMITTED,
        "w1",
        "w1-7",
        "Running",
    )
