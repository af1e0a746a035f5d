"""Which windows are stuck, and what is left to rerun of them once their runs are cancelled; pure.

A window is stuck whose trigger run stays WaitingOnDependency although all that it waits for has succeeded.
The cure is to cancel that run, and to rerun it once the cancel is complete (Microsoft's support article).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.model import TriggerRunStatus
from airflow_provider_adfruns.batch.dependencies import needs
from airflow_provider_adfruns.batch.plan import Exclusion, by_window, exclude, unknown_ids
from airflow_provider_adfruns.batch.planning import outcome_of, skipped_of
from airflow_provider_adfruns.batch.report import RerunReport, Step, WindowOutcome, skipped_json
from airflow_provider_adfruns.batch.selection import DEFAULT_RERUN_STATUSES
from airflow_provider_adfruns.batch.submit import with_history
from airflow_provider_adfruns.batch.watch import QUERY_LAG_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from airflow_provider_adfruns.adf.model import Dependency, TriggerRun, Window
    from airflow_provider_adfruns.batch.cancel_report import CancelReport
    from airflow_provider_adfruns.batch.dependencies import Upstream
    from airflow_provider_adfruns.batch.selection import WindowSelection
    from airflow_provider_adfruns.batch.watch import WatchedRun

WAITS = TriggerRunStatus.WAITING_ON_DEPENDENCY
_NEVER_RAN = "it was cancelled while it waited, and never ran; rerun it by its run id if it is wanted"
_PERHAPS_BY_THIS_TASK = (
    "An earlier try of this task may have done that, for nothing is kept between tries here, or a person:"
    " rerun it by its run id if it is wanted"
)


@dataclass(frozen=True, slots=True)
class Stuckness:
    """Judges whether a window that waits on its dependencies is stuck.

    :param now: the service's time.
    :param stuck_after: it has to have waited for so long, and all that it waits for to have succeeded so long
        ago.
    :param trigger_name: the trigger whose windows are judged.
    :param dependencies: what it waits for; None if that is not to be looked at.
    :param upstreams: the triggers of these, by the names that the dependencies use.
    """

    now: datetime
    stuck_after: timedelta
    trigger_name: str
    dependencies: Sequence[Dependency] | None = None
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)

    def has_waited(self, run: TriggerRun) -> bool:
        """Whether a run waits on its dependencies for long enough."""
        return run.status is WAITS and run.timestamp <= self.now - self.stuck_after

    def why_not(self, run: TriggerRun, window: Window) -> str | None:
        """Say why a window is not stuck, by its latest run; None if it is."""
        if _never_ran(run):
            return _NEVER_RAN
        if run.status is not WAITS:
            return f"it does not wait on dependencies: its latest run is {run.status}"
        if not self.has_waited(run):
            return f"it has begun to wait only at {run.timestamp:%Y-%m-%d %H:%M:%S}"
        for needed in needs(window, self.trigger_name, self.dependencies or ()):
            lack = self.upstreams[needed.trigger_name].lacks(needed)
            if lack is not None:
                return f"it waits as it should: {lack}"
        return None


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is known of earlier tries of the task.

    :param windows: those of an earlier batch.
    :param have_failed: it was not judged well, so that what failed again is made up for.
    :param are_unknown: there may have been a try that has left no note.
    """

    windows: frozenset[Window] = frozenset()
    have_failed: bool = False
    are_unknown: bool = False

    def has_left(self, window: Window, latest: TriggerRun, *, is_asked: bool) -> bool:
        """Whether a window is left over of an earlier batch, by its latest run.

        :param is_asked: the selection means it. Of what it does not mean any more, only what a batch that has
            failed left without a rerun is.
        """
        if window not in self.windows:
            return False
        if _never_ran(latest):
            return is_asked or self.have_failed
        return is_asked and self.have_failed and latest.status in DEFAULT_RERUN_STATUSES


def choose(
    history: Sequence[TriggerRun], selection: WindowSelection, stuckness: Stuckness, earlier: Earlier
) -> tuple[list[WindowOutcome], list[Exclusion]]:
    """Decide which windows to recover; each is judged by its latest run.

    Beside those that are stuck these are windows whose run was cancelled while it waited, if an earlier try
    has done that, whatever is selected now, or they are named by this very run.

    :param history: the trigger's runs; at least all those of the selected windows.
    :return: the windows to recover, from the oldest to the newest, and what is left alone.
    """
    named = {run.trigger_run_id for run in history if selection.includes(run)}
    chosen: list[WindowOutcome] = []
    exclusions = unknown_ids(selection, history)
    for window, family in sorted(by_window(history).items()):
        latest = family[-1]
        is_asked = any(run.trigger_run_id in named for run in family)
        if earlier.has_left(window, latest, is_asked=is_asked):
            chosen.append(outcome_of(latest, window, Step.PLANNED))
        elif not is_asked:
            if selection.cuts(latest):
                exclusions.append(exclude(latest, "its window lies only partly inside the range"))
        elif _never_ran(latest) and selection.names(latest):
            chosen.append(outcome_of(latest, window, Step.PLANNED))
        elif earlier.are_unknown and (problem := _perhaps_left_over(family)):
            chosen.append(replace(outcome_of(latest, window, Step.REFUSED), problem=problem))
        elif reason := stuckness.why_not(latest, window):
            exclusions.append(exclude(latest, reason))
        else:
            chosen.append(outcome_of(latest, window, Step.PLANNED))
    return chosen, exclusions


def _never_ran(run: TriggerRun) -> bool:
    """Say whether a run was cancelled while it waited."""
    return run.status is TriggerRunStatus.CANCELLED and not run.triggered_pipelines


def _perhaps_left_over(family: Sequence[TriggerRun]) -> str:
    """Say what is wrong with a window that may be left over of a try that has left no note; "" if nothing."""
    latest = family[-1]
    if _never_ran(latest):
        return f"it was cancelled while it waited, and never ran. {_PERHAPS_BY_THIS_TASK}"
    if latest.status in DEFAULT_RERUN_STATUSES and any(_never_ran(run) for run in family[:-1]):
        return f"it was cancelled while it waited, and its rerun is {latest.status}. {_PERHAPS_BY_THIS_TASK}"
    return ""


def shows_each(history: Iterable[TriggerRun], windows: Iterable[Window]) -> bool:
    """Say whether history shows a run of each of these windows."""
    return by_window(history).keys() >= {*windows}


def still_to_do(history: Iterable[TriggerRun], windows: Iterable[Window], report: RerunReport) -> RerunReport:
    """Judge the windows of a batch that a try has died over before it has rerun any.

    What has been rerun since has been so by somebody else, and is neither cancelled nor rerun.

    :param windows: the batch's.
    :param report: without windows yet.
    """
    families = by_window(history)
    known = [window for window in windows if window in families]
    gone = [window for window in windows if window not in families]
    report = report.with_windows(_since_the_plan(families[window], window, report) for window in known)
    reason = "its runs are older than the factory's history by now"
    lost = [skipped_of(Exclusion(window, None, None, reason)) for window in gone]
    report = replace(report, skipped=(*report.skipped, *lost))
    return without_what_went_on(report, {each.run_id: each.status_before for each in report.planned})


def _since_the_plan(family: Sequence[TriggerRun], window: Window, report: RerunReport) -> WindowOutcome:
    """Judge a window by its latest run before the plan, and what has come after it.

    A run that began just before the plan and has not ended was hidden from it: what waits only since then is
    not stuck.
    """
    surely_seen = report.planned_at - QUERY_LAG_PATIENCE
    earlier = [
        run
        for run in family
        if run.timestamp < surely_seen or (run.timestamp < report.planned_at and run.status.is_final)
    ]
    base = earlier[-1] if earlier else family[0]
    newer = [run for run in family if run.timestamp > base.timestamp]
    return with_history(outcome_of(base, window, Step.PLANNED), newer)


def awaited_cancels(report: RerunReport) -> list[str]:
    """Return the trigger runs that have to be Cancelled before their windows are rerun."""
    return [each.run_id for each in report.planned if each.status_before == WAITS]


def after_cancel(report: RerunReport, cancel: CancelReport) -> RerunReport:
    """Take over what became of the cancels: a window whose run could not be cancelled is not rerun.

    :param cancel: of the runs that wait.
    """
    refused = {each.run_id: each for each in cancel.runs if each.problem}
    waits_for_room = {run_id for run_id, each in refused.items() if each.status == TriggerRunStatus.WAITING}
    problems = {run_id: each.problem for run_id, each in refused.items() if run_id not in waits_for_room}
    left_alone = {each["run_id"]: each for each in cancel.skipped}
    problems |= {run_id: each["reason"] for run_id, each in left_alone.items() if each["status"] is None}
    report = report.with_windows(
        replace(each, step=Step.REFUSED, problem=f"its run was not cancelled: {problems[each.run_id]}")
        if each.run_id in problems
        else each
        for each in report.windows
    )
    went_on: dict[str, str] = dict.fromkeys(waits_for_room, TriggerRunStatus.WAITING)
    went_on |= {run_id: each["status"] for run_id, each in left_alone.items() if each["status"]}
    return without_what_went_on(report, went_on)


def after_wait(report: RerunReport, runs: Iterable[WatchedRun]) -> RerunReport:
    """Take over how the cancelled runs have ended."""
    return without_what_went_on(report, {run.run_id: run.status for run in runs if run.is_final})


def without_late_cancels(report: RerunReport, runs: Sequence[WatchedRun], waited: timedelta) -> RerunReport:
    """Give up the windows whose cancels are not complete, so that they hold up no others.

    One whose run has begun in spite of its cancel is left alone.

    :param runs: the cancelled runs as they are now.
    :param waited: how long that was waited for.
    """
    begun = {run.run_id: run.status for run in runs if run.status == TriggerRunStatus.RUNNING}
    report = without_what_went_on(report, begun)
    late = set(awaited_cancels(report)) - {run.run_id for run in runs if run.is_final}
    problem = f"its run is {WAITS} still, {waited.total_seconds():.0f} seconds after its cancel"
    return report.with_windows(
        replace(each, step=Step.REFUSED, problem=problem) if each.run_id in late else each
        for each in report.windows
    )


def not_rerun(report: RerunReport, reason: str) -> RerunReport:
    """Return the report of a task that ends before its windows, whose cancels were sent, are rerun."""
    problem = f"its run is cancelled or about to be, and it was not rerun: {reason}"
    unsent = {each.window: replace(each, step=Step.NOT_SENT, problem=problem) for each in report.planned}
    return report.with_windows(unsent.get(each.window, each) for each in report.windows)


def without_what_went_on(report: RerunReport, statuses: Mapping[str, str]) -> RerunReport:
    """Leave windows alone that have gone on by themselves and not failed: they are not stuck any more.

    :param statuses: of trigger runs, by id, as they are now.
    """
    good = {
        run_id: status
        for run_id, status in statuses.items()
        if status != WAITS and TriggerRunStatus(status) not in DEFAULT_RERUN_STATUSES
    }
    gone = [each for each in report.planned if each.run_id in good]
    skipped = [
        skipped_json(each.window, each.run_id, good[each.run_id], "it has gone on by itself") for each in gone
    ]
    windows = {each.window for each in gone}
    report = replace(report, skipped=(*report.skipped, *skipped))
    return report.with_windows(each for each in report.windows if each.window not in windows)
