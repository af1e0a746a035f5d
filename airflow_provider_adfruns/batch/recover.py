"""Carry out the recovery of stuck windows up to their reruns: find them, and cancel the runs that wait."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import TriggerNotFound, UnexpectedAnswer
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.queries import HISTORY, RunFilter
from airflow_provider_adfruns.batch.cancel_waiting import cancel_waiting_trigger_runs
from airflow_provider_adfruns.batch.deadline import is_over, refuse_past
from airflow_provider_adfruns.batch.dependencies import Upstream, needs
from airflow_provider_adfruns.batch.ledger import Phase
from airflow_provider_adfruns.batch.opening import Batch, begin, is_same_trigger, left_open, take_up
from airflow_provider_adfruns.batch.plan import by_window, unknown_ids
from airflow_provider_adfruns.batch.planning import (
    check_chosen,
    read_until,
    skipped_of,
    tumbling_window_trigger,
    warn_unless_started,
)
from airflow_provider_adfruns.batch.report import RerunReport
from airflow_provider_adfruns.batch.selection import OnRunning, WindowSelection
from airflow_provider_adfruns.batch.stuck_windows import (
    Earlier,
    Stuckness,
    after_cancel,
    awaited_cancels,
    choose,
    shows_each,
    still_to_do,
)
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE, at_once

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import Dependency, Trigger, TriggerRun, Window
    from airflow_provider_adfruns.batch.ledger import Ledger
    from airflow_provider_adfruns.batch.opening import Asked, Try

log = logging.getLogger(__name__)

_READINGS = 2  # a page that one has lost, with a window's latest run, the other has


@dataclass(frozen=True, slots=True)
class StuckRules:
    """When a window that waits on its dependencies is stuck.

    :param stuck_after: it has waited for so long, and so long ago all that it waits for has succeeded.
    :param check_dependencies: False if it is enough that it has waited for so long.
    """

    stuck_after: timedelta
    check_dependencies: bool = True


async def open_recovery(
    client: FactoryClient, asked: Asked, rules: StuckRules, known: Ledger | None, this: Try
) -> Batch:
    """Find what is stuck, or take up the recovery that an earlier try has left open; nothing is changed.

    As long as a batch's ledger is in ``Phase.CANCELLING``, none of its windows has been rerun.

    :param known: what an earlier try has kept, if anything. Windows that it has cancelled and that could not
        be made whole belong to the next batch, too.
    :raises InvalidInput: for a range beyond the factory's history, or too many windows.
    :raises WrongTriggerType: for a trigger without windows.
    :raises TriggerNotFound: for an unknown trigger, or one that the windows wait for.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids.
    :raises UnexpectedAnswer: if the windows wait for something that the spec does not know.
    """
    ledger = left_open(client, asked, known, this)
    if ledger is not None and ledger.phase is not Phase.CANCELLING:
        return await take_up(client, asked, ledger, this)
    if ledger is None:
        await refuse_past(client, asked.deadline)
    trigger = await tumbling_window_trigger(client, asked.selection.trigger_name)
    selection = replace(asked.selection, trigger_name=trigger.name)  # queries may mind the case
    if ledger is not None:
        history = await read_until(
            client, selection, lambda runs: shows_each(runs, ledger.windows), at_least=_READINGS
        )
        unknown = tuple(skipped_of(each) for each in unknown_ids(selection, history))
        empty = RerunReport(trigger.name, ledger.planned_at, False, (), unknown)
        report = still_to_do(history, ledger.windows, empty)
        return Batch(ledger.taken_up(this.owner, this.max_tries), report, is_taken_up=True)
    warn_unless_started(trigger)
    earlier = _earlier(client, asked, known, this)
    if this.may_hide_reruns and not asked.dry_run:  # what an earlier try may have rerun has to show
        await pause(QUERY_LAG_PATIENCE.total_seconds())
    report = await _find(client, trigger, replace(asked, selection=selection), rules, earlier)
    return begin(client, asked, report, this, Phase.CANCELLING)


def _earlier(client: FactoryClient, asked: Asked, known: Ledger | None, this: Try) -> Earlier:
    """Return what earlier tries may have left.

    A range that is another one in each try, since it is taken from the clock, changes nothing about that.
    """
    if known is not None and is_same_trigger(client, asked, known):
        return Earlier(frozenset(known.windows), have_failed=known.phase is not Phase.SUCCEEDED)
    return Earlier(are_unknown=this.may_hide_reruns and not asked.dry_run)


async def _find(
    client: FactoryClient, trigger: Trigger, asked: Asked, rules: StuckRules, earlier: Earlier
) -> RerunReport:
    now = await client.now()
    asked.selection.check_history(now)
    history = await read_until(
        client,
        asked.selection,
        lambda runs: shows_each(runs, earlier.windows),
        at_least=1 if asked.dry_run else _READINGS,
    )
    stuckness = Stuckness(now, rules.stuck_after, trigger.name)
    if rules.check_dependencies:
        waiting = [
            window
            for window, family in by_window(history).items()
            if stuckness.has_waited(family[-1]) and any(asked.selection.includes(run) for run in family)
        ]
        dependencies = _depends_on(trigger)
        upstreams = await _read_upstreams(client, trigger, dependencies, waiting, now - rules.stuck_after)
        stuckness = replace(stuckness, dependencies=dependencies, upstreams=upstreams)
    chosen, exclusions = choose(history, asked.selection, stuckness, earlier)
    check_chosen(client, asked.selection, [each.window for each in chosen], exclusions, asked.max_windows)
    skipped = tuple(skipped_of(each) for each in exclusions)
    return RerunReport(trigger.name, now, asked.dry_run, tuple(chosen), skipped)


def _depends_on(trigger: Trigger) -> tuple[Dependency, ...]:
    try:
        return trigger.depends_on
    except (ValueError, LookupError, TypeError) as error:
        raise _unreadable(trigger, error) from error


def _unreadable(trigger: Trigger, error: Exception) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"trigger {trigger.name!r} has a definition that cannot be read: {error!r}. So it cannot be said"
        " which windows wait for what, and are stuck. Nothing was changed. Choose the windows yourself, and"
        " set check_dependencies=False."
    )


async def _read_upstreams(
    client: FactoryClient,
    trigger: Trigger,
    dependencies: Sequence[Dependency],
    waiting: Sequence[Window],
    recently: datetime,
) -> dict[str, Upstream]:
    """Read the runs that windows wait for.

    When a trigger run ended the service does not say; a query by time of change does.

    :param waiting: the windows.
    :param recently: what has changed since then may not have been seen by who waits for it.
    """
    since: dict[str, datetime] = {}
    for window in waiting:
        for needed in needs(window, trigger.name, dependencies):
            since[needed.trigger_name] = min(needed.start, since.get(needed.trigger_name, needed.start))

    async def read(name: str, start: datetime) -> Upstream:
        upstream = trigger if name == trigger.name else await _upstream(client, trigger, name)
        now = await client.now()
        runs = await _runs_of(client, upstream.name, max(start, now - HISTORY))
        changed = await _runs_of(client, upstream.name, recently)
        try:
            return Upstream(upstream, runs, frozenset(run.trigger_run_id for run in changed))
        except ValueError as error:
            raise _unreadable(upstream, error) from error

    found = await at_once(read(name, start) for name, start in since.items())
    return dict(zip(since, found, strict=True))


async def _upstream(client: FactoryClient, trigger: Trigger, name: str) -> Trigger:
    try:
        return await client.get_trigger(name)
    except TriggerNotFound as error:
        raise TriggerNotFound(
            f"trigger {trigger.name!r} waits for trigger {name!r}, which is not there: {error} Nothing was"
            " changed. Mend its dependsOn, or choose the windows yourself, and set check_dependencies=False."
        ) from error


async def _runs_of(client: FactoryClient, trigger_name: str, since: datetime) -> list[TriggerRun]:
    return await client.query_trigger_runs(
        last_updated_after=since,
        last_updated_before=await client.now() + AHEAD,
        filters=[RunFilter("TriggerName", "Equals", (trigger_name,))],
    )


async def cancel_stuck(client: FactoryClient, report: RerunReport, deadline: datetime | None) -> RerunReport:
    """Cancel the runs of a recovery that wait, and settle lost answers; their end is still to be waited for.

    :param report: what is to be recovered.
    :param deadline: send nothing from then on, in the service's time.
    :return: the report, in which windows that need no rerun any more are left alone, and those whose cancel
        was refused have a problem.
    :raises AdfRunsError: only before anything is cancelled.
    """
    run_ids = awaited_cancels(report)
    if not run_ids or await is_over(client, deadline):  # an earlier try may have sent the cancels
        return report
    selection = WindowSelection(report.trigger_name, tuple(run_ids), None)
    cancel = await cancel_waiting_trigger_runs(client, selection, OnRunning.SKIP, deadline=deadline)
    log.info("Cancel of what is stuck:\n%s", cancel.table())
    return after_cancel(report, cancel)
