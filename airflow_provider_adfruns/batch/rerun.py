"""Carry out a rerun of tumbling windows: plan it, submit each window once, follow the reruns to their end."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    InvalidInput,
    OutcomeUnknown,
    RunsNotAsWanted,
    TriggerRunNotFound,
    WaitTimedOut,
    WrongTriggerType,
)
from airflow_provider_adfruns.adf.queries import RunFilter
from airflow_provider_adfruns.batch.plan import RerunPlan, newest_since, plan_reruns
from airflow_provider_adfruns.batch.report import RerunReport, Step, WindowOutcome, skipped_json, some
from airflow_provider_adfruns.batch.watch import (
    AHEAD,
    QUERY_LAG_PATIENCE,
    ChangeQuery,
    at_once,
    query_trigger,
    wait_until_done,
)

if TYPE_CHECKING:
    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import Trigger, TriggerRun, TriggerRunStatus, Window
    from airflow_provider_adfruns.batch.selection import WindowSelection

log = logging.getLogger(__name__)

_LAG_POLL_SECONDS = 2.0


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

    :raises InvalidInput: if the range reaches further back than the factory's history.
    """
    now = await client.now()
    selection.check_history(now)
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
) -> RerunReport:
    """Read the history and decide; nothing is changed.

    :param max_windows: refuse to rerun more than this.
    :raises InvalidInput: for a range beyond the factory's history, or more than ``max_windows`` windows.
    :raises WrongTriggerType: see ``tumbling_window_trigger``.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids.
    """
    trigger = await tumbling_window_trigger(client, selection.trigger_name)
    if trigger.runtime_state != "Started":
        log.warning(
            "Trigger %r is %s. Whether the service reruns windows of a trigger that is not started is not"
            " documented.",
            trigger.name,
            trigger.runtime_state,
        )
    planned_at = await client.now()
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
    return _report(plan, dry_run=dry_run)


def _report(plan: RerunPlan, *, dry_run: bool) -> RerunReport:
    windows = []
    for member in plan.members:
        outcome = WindowOutcome(
            member.window, member.run.trigger_run_id, member.run.status, member.run.timestamp
        )
        if member.newer is not None:
            outcome = _seen(replace(outcome, step=Step.SUBMITTED), member.newer)
        windows.append(outcome)
    skipped = tuple(
        skipped_json(each.window, each.run_id, each.status, each.reason) for each in plan.exclusions
    )
    return RerunReport(plan.trigger_name, plan.planned_at, dry_run, tuple(windows), skipped)


async def submit(client: FactoryClient, report: RerunReport) -> RerunReport:
    """Send one rerun for each planned window, and none a second time.

    One window's refusal does not stop the others; it stands in the report.
    """

    async def one(outcome: WindowOutcome) -> WindowOutcome:
        if outcome.step is not Step.PLANNED:
            return outcome
        try:
            await client.rerun_trigger_run(report.trigger_name, outcome.run_id)
        except OutcomeUnknown as error:
            log.error("Window %s: %s", outcome.window, error)  # noqa: TRY400 - the message is for people
            return replace(outcome, step=Step.UNCLEAR, problem=str(error))
        except AdfRunsError as error:
            log.error("Window %s: %s", outcome.window, error)  # noqa: TRY400 - the message is for people
            return replace(outcome, step=Step.REFUSED, problem=str(error))
        return replace(outcome, step=Step.SUBMITTED)

    log.info("Rerunning %d windows of trigger %r", len(report.windows), report.trigger_name)
    return report.with_windows(await at_once(one(outcome) for outcome in report.windows))


class RerunWatch:
    """The reruns of a report, until each awaited window's new run is final.

    :param client: the factory.
    :param report: a submitted rerun; ``report`` holds what was seen last.
    """

    def __init__(self, client: FactoryClient, report: RerunReport) -> None:
        self._client = client
        self._changes = ChangeQuery(client, report.planned_at - timedelta(minutes=2))
        self.report = report

    async def look(self) -> bool:
        """Look once. :return: whether every awaited window is final."""
        if not any(outcome.is_awaited for outcome in self.report.windows):
            return True
        by_window: dict[Window, list[TriggerRun]] = {}
        for run in await query_trigger(self._client, self.report.trigger_name, self._changes):
            if run.window is not None:
                by_window.setdefault(run.window, []).append(run)
        outcomes = []
        for outcome in self.report.windows:
            newest = newest_since(by_window.get(outcome.window, ()), outcome.window, outcome.ran_at)
            outcomes.append(_seen(outcome, newest) if outcome.is_awaited and newest else outcome)
        self.report = self.report.with_windows(outcomes)
        return not any(outcome.is_awaited for outcome in outcomes)

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
        ]

    def progress(self) -> str:
        """Say in one line how far it is."""
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.report.counts().items()))
        return f"Rerun of trigger {self.report.trigger_name!r}: {len(self.report.windows)} windows: {counts}"


def _seen(outcome: WindowOutcome, run: TriggerRun) -> WindowOutcome:
    return replace(outcome, new_run_id=run.trigger_run_id, status=str(run.status))


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


def check_outcome(report: RerunReport) -> None:
    """Judge a rerun at its end.

    :raises RunsNotAsWanted: names the windows that failed again, were refused, or whose outcome is unclear,
        and the run ids that are unknown.
    """
    names = [
        f"window {each.window} {each.problem or f'({each.status}, run {each.new_run_id})'}"
        for each in report.failures
    ]
    names += [f"run {run_id} is unknown" for run_id in report.unknown_run_ids]
    if names:
        raise RunsNotAsWanted(
            f"{len(names)} of {len(report.windows) + len(report.unknown_run_ids)} windows of trigger "
            f"{report.trigger_name!r} are not whole again: {some(names)}"
        )
