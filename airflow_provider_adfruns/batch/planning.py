"""Read a trigger's history and plan a rerun of its windows, or take up the one that a try has died over."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.errors import InvalidInput, TriggerRunNotFound, WrongTriggerType
from airflow_provider_adfruns.adf.model import TriggerRunStatus
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.queries import RunFilter
from airflow_provider_adfruns.batch.plan import Exclusion, Member, RerunPlan, by_window, exclude, plan_reruns
from airflow_provider_adfruns.batch.report import (
    RerunBy,
    RerunReport,
    Step,
    WindowOutcome,
    skipped_json,
    some,
)
from airflow_provider_adfruns.batch.submit import with_history
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import Trigger, TriggerRun, Window
    from airflow_provider_adfruns.batch.ledger import Ledger
    from airflow_provider_adfruns.batch.selection import WindowSelection

log = logging.getLogger(__name__)

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
    warn_unless_started(trigger)
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
    check_chosen(client, selection, [each.window for each in plan.members], plan.exclusions, max_windows)
    is_unclear = may_hide_reruns and not dry_run
    return _report(plan, dry_run=dry_run, step=Step.UNCLEAR if is_unclear else Step.PLANNED)


def warn_unless_started(trigger: Trigger) -> None:
    """Say that reruns of a trigger that is not started may not be carried out."""
    if trigger.runtime_state != "Started":
        log.warning(
            "Trigger %r is %s. Whether the service reruns windows of a trigger that is not started is not"
            " documented.",
            trigger.name,
            trigger.runtime_state,
        )


def check_chosen(
    client: FactoryClient,
    selection: WindowSelection,
    windows: Sequence[Window],
    exclusions: Sequence[Exclusion],
    max_windows: int,
) -> None:
    """See that what was chosen may be rerun.

    :param windows: what was chosen, from the oldest to the newest.
    :param exclusions: what was left alone.
    :raises InvalidInput: for more than ``max_windows`` windows.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids.
    """
    if len(windows) > max_windows:
        raise InvalidInput(
            f"max_windows: the selection has {len(windows)} windows to rerun, from {windows[0]} to"
            f" {windows[-1]}, and max_windows is {max_windows}. Nothing was rerun. Narrow the selection, or"
            " raise max_windows if you mean it."
        )
    if selection.run_ids and not windows and all(each.status is None for each in exclusions):
        raise TriggerRunNotFound(
            f"run_ids: {some(selection.run_ids)}: trigger {selection.trigger_name!r} of"
            f" {client.connection.address} has no such run within the last 45 days. Check the ids, the"
            " trigger's name and the factory."
        )


def _report(plan: RerunPlan, *, dry_run: bool, step: Step) -> RerunReport:
    windows = tuple(
        with_history(outcome_of(member.run, member.window, step), [member.newer] if member.newer else [])
        for member in plan.members
    )
    return RerunReport(
        plan.trigger_name,
        plan.planned_at,
        dry_run,
        windows,
        tuple(skipped_of(each) for each in plan.exclusions),
    )


def outcome_of(run: TriggerRun, window: Window, step: Step) -> WindowOutcome:
    """Return a window before anything is known of its rerun.

    :param run: the one to be rerun.
    """
    return WindowOutcome(window, run.trigger_run_id, str(run.status), run.timestamp, step)


def skipped_of(exclusion: Exclusion) -> Mapping[str, Any]:
    """Return what a report says of something left alone."""
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
    run did not show yet when the batch was planned. If that run is its only one, it went on by itself: the
    trigger's own retries start new pipeline runs under the same trigger run. Nothing is sent then; it is a
    problem unless it has succeeded.
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
        elif (waited := _waited(family, ledger)) is not None:
            if waited.status is TriggerRunStatus.WAITING_ON_DEPENDENCY:
                problem = f"its run was not cancelled, and is {waited.status}"
                outcomes.append(replace(outcome_of(waited, window, Step.REFUSED), problem=problem))
            else:
                skipped.append(exclude(waited, "it has gone on by itself"))
        elif [run.status for run in family] == [TriggerRunStatus.SUCCEEDED]:
            skipped.append(exclude(family[0], "it has succeeded without a rerun"))
        else:
            changed = outcome_of(family[0], window, Step.REFUSED)
            changed = replace(changed, problem=f"its only run is {family[0].status} by now")
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
        tuple(skipped_of(each) for each in skipped),
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


def _waited(family: Sequence[TriggerRun], ledger: Ledger) -> TriggerRun | None:
    """Return the run that a recovery was to cancel and that has not ended; a rerun chooses by ended ones."""
    surely_seen = [run for run in family if run.timestamp < ledger.planned_at - QUERY_LAG_PATIENCE]
    return surely_seen[-1] if surely_seen and not surely_seen[-1].status.is_final else None


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
    return with_history(replace(outcome_of(base, window, step), rerun_by=whose), newer)
