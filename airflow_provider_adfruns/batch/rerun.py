"""Carry out a rerun of tumbling windows: plan it, submit each window once, follow the reruns to their end."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.errors import (
    InvalidInput,
    TriggerRunNotFound,
    WaitTimedOut,
    WrongTriggerType,
)
from airflow_provider_adfruns.adf.model import TriggerRunStatus
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.queries import RunFilter
from airflow_provider_adfruns.batch.judgement import FailIf, judge
from airflow_provider_adfruns.batch.plan import Exclusion, Member, RerunPlan, by_window, plan_reruns
from airflow_provider_adfruns.batch.progress import Progress
from airflow_provider_adfruns.batch.report import (
    RerunBy,
    RerunReport,
    Step,
    WindowOutcome,
    skipped_json,
    some,
)
from airflow_provider_adfruns.batch.submit import RerunHistory, with_history
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE, wait_until_done

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import Trigger, TriggerRun, Window
    from airflow_provider_adfruns.batch.ledger import Ledger
    from airflow_provider_adfruns.batch.selection import WindowSelection

log = logging.getLogger(__name__)

_LAG_POLL_SECONDS = 2.0
_HISTORY_PAUSE_SECONDS = 10.0


async def tumbling_window_trigger(client: FactoryClient, trigger_name: str) -> Trigger:
    """Get a trigger and see that its runs have windows.

    :raises TriggerNotFound: for an unknown name.
    :raises WrongTriggerType: for a schedule or event trigger: the service reruns and cancels only runs of
        tumbling window triggers.
    """
    trigger = await client.get_trigger(trigger_name)
    if not trigger.is_tumbling_window:
        raise WrongTriggerType(
            f"trigger_name: {trigger_name!r} is a {trigger.type}. Expected a TumblingWindowTrigger: only its"
            " runs have windows and can be rerun or cancelled. For other triggers act on the pipeline runs"
            " they started."
        )
    return trigger


async def read_history(client: FactoryClient, selection: WindowSelection) -> list[TriggerRun]:
    """Read the runs that the selection may mean, whatever their status: only the latest of a window counts.

    What is older than the factory's history is not there: see ``WindowSelection.check_history``.
    """
    now = await client.now()
    return await client.query_trigger_runs(
        last_updated_after=selection.history_start(now),
        last_updated_before=now + AHEAD,
        filters=[RunFilter("TriggerName", "Equals", (selection.trigger_name,))],
    )


async def plan_rerun(
    client: FactoryClient,
    selection: WindowSelection,
    statuses: frozenset[TriggerRunStatus] | None,
    *,
    max_windows: int,
    dry_run: bool,
    max_in_flight: int | None = None,
    may_hide_reruns: bool = False,
) -> RerunReport:
    """Read the history and decide; nothing is changed.

    :param max_windows: refuse to rerun more than this.
    :param max_in_flight: warn if the trigger's own ``maxConcurrency`` allows fewer at a time.
    :param may_hide_reruns: an earlier try may have sent reruns that queries do not show yet, so that each
        window is unclear until they have had time to show.
    :raises InvalidInput: for a range beyond the factory's history, or more than ``max_windows`` windows.
    :raises WrongTriggerType: see ``tumbling_window_trigger``.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids.
    """
    trigger = await tumbling_window_trigger(client, selection.trigger_name)
    selection = replace(selection, trigger_name=trigger.name)  # queries may mind the case
    if trigger.runtime_state != "Started":
        log.warning(
            "Trigger %r is %s. Whether the service reruns windows of a trigger that is not started is not"
            " documented.",
            trigger.name,
            trigger.runtime_state,
        )
    allowed = trigger.max_concurrency
    if max_in_flight is not None and allowed is not None and max_in_flight > allowed:
        log.warning(
            "max_in_flight is %d, and trigger %r runs %d windows at a time (its maxConcurrency): the others"
            " will wait in the factory.",
            max_in_flight,
            trigger.name,
            allowed,
        )
    planned_at = await client.now()
    selection.check_history(planned_at)
    plan = plan_reruns(await read_history(client, selection), selection, statuses, planned_at)
    if len(plan.members) > max_windows:
        first, last = plan.members[0].window, plan.members[-1].window
        raise InvalidInput(
            f"max_windows: the selection has {len(plan.members)} windows to rerun, from {first} to {last},"
            f" and max_windows is {max_windows}. Nothing was rerun. Narrow the selection, or raise"
            " max_windows if you mean it."
        )
    if selection.run_ids and not plan.members and all(each.status is None for each in plan.exclusions):
        raise TriggerRunNotFound(
            f"run_ids: {some(selection.run_ids)}: trigger {trigger.name!r} of {client.connection.address} has"
            " no such run within the last 45 days. Check the ids, the trigger's name and the factory."
        )
    is_unclear = may_hide_reruns and not dry_run
    return _report(plan, dry_run=dry_run, step=Step.UNCLEAR if is_unclear else Step.PLANNED)


def _report(plan: RerunPlan, *, dry_run: bool, step: Step) -> RerunReport:
    windows = tuple(
        with_history(_outcome(member.run, member.window, step), [member.newer] if member.newer else [])
        for member in plan.members
    )
    return RerunReport(
        plan.trigger_name,
        plan.planned_at,
        dry_run,
        windows,
        tuple(_skipped(each) for each in plan.exclusions),
    )


def _outcome(run: TriggerRun, window: Window, step: Step) -> WindowOutcome:
    return WindowOutcome(window, run.trigger_run_id, str(run.status), run.timestamp, step)


def _skipped(exclusion: Exclusion) -> Mapping[str, Any]:
    return skipped_json(exclusion.window, exclusion.run_id, exclusion.status, exclusion.reason)


async def resume_rerun(
    client: FactoryClient,
    selection: WindowSelection,
    statuses: frozenset[TriggerRunStatus] | None,
    ledger: Ledger,
) -> RerunReport:
    """Take up a batch that a try has died over: the same windows, as the ledger says, judged by history.

    What the ledger says may have been sent counts as unclear until history shows its rerun, or has had time
    to. What was certainly not sent is planned: a run that shows there is somebody else's.

    :param ledger: an open batch of the same selection.
    :raises TriggerNotFound: if the trigger has been deleted meanwhile.
    """
    trigger = await tumbling_window_trigger(client, selection.trigger_name)
    selection = replace(selection, trigger_name=trigger.name)  # as in plan_rerun
    history: dict[str, TriggerRun] = {}
    until = await client.now() + QUERY_LAG_PATIENCE
    while True:
        for run in await read_history(client, selection):
            known = history.get(run.trigger_run_id)
            if known is None or not known.status.is_final:
                history[run.trigger_run_id] = run
        now = await client.now()
        if _shows_all(history.values(), ledger) or now > until:
            return resumed_report(list(history.values()), selection, statuses, ledger)
        # an answer has lost a page, or lags behind the one by which the batch was planned
        await pause(_HISTORY_PAUSE_SECONDS)


def _shows_all(history: Iterable[TriggerRun], ledger: Ledger) -> bool:
    """Say whether history shows of each window what it was chosen by: an ended run from before the plan.

    A run from shortly before it may be a rerun that the plan was not shown. All older ones were shown, and
    had ended: only what has ended is chosen, or rerun.
    """
    earlier = [run for run in history if run.timestamp < ledger.planned_at]
    ended = {run.window for run in earlier if run.status.is_final}
    surely_seen = ledger.planned_at - QUERY_LAG_PATIENCE
    going = {run.window for run in earlier if run.timestamp < surely_seen and not run.status.is_final}
    return (ended - going).issuperset(ledger.windows)


def resumed_report(
    history: Sequence[TriggerRun],
    selection: WindowSelection,
    statuses: frozenset[TriggerRunStatus] | None,
    ledger: Ledger,
) -> RerunReport:
    """Judge a batch's windows by history; pure.

    A window whose latest run before the plan is no longer to be rerun has been rerun by somebody else, whose
    run did not show yet when the batch was planned.
    """
    plan = plan_reruns(history, selection, statuses, ledger.planned_at)
    surely_seen = plan_reruns(history, selection, statuses, ledger.planned_at - QUERY_LAG_PATIENCE)
    bases = _bases(plan.members, surely_seen.members, ledger)
    chosen, may_be_sent, families = frozenset(ledger.windows), ledger.may_be_sent, by_window(history)
    outcomes = []
    skipped = [each for each in plan.exclusions if each.window not in chosen]
    for window in ledger.windows:
        family = families.get(window)
        if not family:
            reason = "its runs are older than the factory's history by now"
            skipped.append(Exclusion(window, None, None, reason))
        elif window in bases:
            base = _cancelled(family, ledger) or bases[window]
            outcomes.append(_resumed(window, family, base, ledger, may_be_sent))
        else:
            changed = _outcome(family[0], window, Step.REFUSED)
            changed = replace(changed, problem="its only run is not final any more")
            outcomes.append(with_history(changed, family[1:]))
    reason = "it was not to be rerun when this was planned"
    skipped.extend(
        Exclusion(member.window, member.run.trigger_run_id, member.run.status, reason)
        for member in plan.members
        if member.window not in chosen
    )
    return RerunReport(
        selection.trigger_name,
        ledger.planned_at,
        False,
        tuple(outcomes),
        tuple(_skipped(each) for each in skipped),
    )


def _bases(
    members: Sequence[Member], surely_seen: Sequence[Member], ledger: Ledger
) -> dict[Window, TriggerRun]:
    """Return of each window the run that it was chosen by: its latest from before the plan.

    One that began just before the plan may have been hidden from it, and is somebody's rerun then of the one
    before; not so if the ledger says otherwise, or a newer run shows.

    :param members: by all runs from before the plan.
    :param surely_seen: by those that began so early that the plan was shown them.
    """
    latest = {each.window: each.run for each in members}
    sure = {each.window: each.run for each in surely_seen}
    shown = {
        each.window: each.run for each in members if each.newer is not None or each.window in ledger.fresh
    }
    return latest | sure | shown


def _cancelled(family: Sequence[TriggerRun], ledger: Ledger) -> TriggerRun | None:
    """Return the run that is to be rerun once more since a person has cleared the task, if it is so."""
    if ledger.cleared_at is None or family[0].window not in ledger.again:
        return None
    earlier = [run for run in family if run.timestamp < ledger.cleared_at]
    return next((run for run in reversed(earlier) if run.status is TriggerRunStatus.CANCELLED), None)


def _resumed(
    window: Window,
    family: Sequence[TriggerRun],
    base: TriggerRun,
    ledger: Ledger,
    may_be_sent: frozenset[Window],
) -> WindowOutcome:
    """Judge a window by what has come after the run that was to be rerun."""
    newer = [run for run in family if run.timestamp > base.timestamp]
    is_theirs = window in ledger.theirs or (newer and newer[-1].timestamp < ledger.planned_at)
    step = Step.UNCLEAR if is_theirs or window in may_be_sent else Step.PLANNED
    whose = RerunBy.SOMEBODY_ELSE if is_theirs else None
    return with_history(replace(_outcome(base, window, step), rerun_by=whose), newer)


class RerunWatch:
    """The reruns of a report, until each awaited window's latest run is final, or there is room for more.

    :param client: the factory.
    :param report: a submitted rerun; ``report`` holds what was seen last.
    :param max_in_flight: while windows are still planned the watch is done as soon as a quarter of this many,
        or all of them, may be sent.
    """

    def __init__(self, client: FactoryClient, report: RerunReport, max_in_flight: int | None = None) -> None:
        self._client = client
        self._max_in_flight = max_in_flight
        self._history = RerunHistory(client, report.trigger_name, report.planned_at)
        self._progress = Progress()
        self._said = ""
        self.report = report

    async def look(self) -> bool:
        """Look once. :return: whether every awaited window is final, or there is room for planned ones.

        What goes through all windows is done in a thread: 50,000 would stop a triggerer's loop for 0.7 s.
        """
        if await asyncio.to_thread(self._is_done):
            return True
        if not self._said:
            await self._say()
        await self._history.look()
        self.report = await asyncio.to_thread(self._as_history_shows)
        await self._say()
        return await asyncio.to_thread(self._is_done)

    def _as_history_shows(self) -> RerunReport:
        return self.report.with_windows(
            with_history(outcome, self._history.newer(outcome)) for outcome in self.report.windows
        )

    def _is_done(self) -> bool:
        awaited = sum(outcome.is_awaited for outcome in self.report.windows)
        planned = len(self.report.planned)
        if self._max_in_flight is None or not planned:
            return not awaited
        return self._max_in_flight - awaited >= min(planned, max(1, self._max_in_flight // 4))

    @property
    def all_visible(self) -> bool:
        """Whether each submitted window's new run is known."""
        return all(each.new_run_id for each in self.report.windows if each.step is Step.SUBMITTED)

    def unfinished(self) -> list[str]:
        """Name the windows that are still awaited."""
        return [
            f"window {each.window} ({each.status or 'its rerun is not visible yet'})"
            for each in self.report.windows
            if each.is_awaited
        ] + [f"window {each.window} (not sent yet)" for each in self.report.planned]

    def progress(self) -> str:
        """Say in one line how far it is, how fast it goes and when it will end."""
        return self._said

    async def _say(self) -> None:
        now = await self._client.now()
        self._said = await asyncio.to_thread(self._progress.line, self.report, now)


async def find_new_runs(client: FactoryClient, report: RerunReport) -> RerunReport:
    """Wait only until queries show each rerun's new trigger run, or for as long as queries may lag."""
    watch = _VisibleWatch(RerunWatch(client, report))
    try:
        await wait_until_done(
            watch, client, poll_interval=_LAG_POLL_SECONDS, deadline=await client.now() + QUERY_LAG_PATIENCE
        )
    except WaitTimedOut:
        log.warning("Not all reruns are visible in queries yet: %s", some(watch.unfinished()))
    return watch.reruns.report


class _VisibleWatch:
    """A rerun's watch that is done as soon as all new runs can be seen."""

    def __init__(self, reruns: RerunWatch) -> None:
        self.reruns = reruns

    async def look(self) -> bool:
        return await self.reruns.look() or self.reruns.all_visible

    def unfinished(self) -> list[str]:
        return self.reruns.unfinished()

    def progress(self) -> str:
        return self.reruns.progress()


def check_outcome(report: RerunReport, fail_if: FailIf = FailIf.ANY) -> None:
    """Judge a rerun at its end; what was left alone is no problem.

    :param fail_if: how many windows may be not whole again.
    :raises RunsNotAsWanted: names the windows that failed again, were refused, or whose outcome is unclear,
        and the run ids that are unknown.
    """
    lines = report.problem_lines()
    judge(
        f"{len(lines)} of {len(report.windows) + len(report.unknown)} windows of trigger "
        f"{report.trigger_name!r} are not whole again: {some(lines)}",
        problems=len(lines),
        good=sum(each.succeeded or each.is_awaited for each in report.windows),
        fail_if=fail_if,
    )
