"""Carry out cancels of trigger runs that wait on their dependencies, and of what running ones started."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    NotWaitingOnDependency,
    OutcomeUnknown,
    TriggerRunNotFound,
    WrongState,
)
from airflow_provider_adfruns.adf.model import TriggerRun, TriggerRunStatus
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.queries import RunFilter
from airflow_provider_adfruns.batch.cancel import MOST_SENDS, cancel_run
from airflow_provider_adfruns.batch.cancel_report import CancelOutcome, CancelReport
from airflow_provider_adfruns.batch.deadline import is_over
from airflow_provider_adfruns.batch.plan import CancelPlan, Exclusion, plan_cancels
from airflow_provider_adfruns.batch.planning import read_history, tumbling_window_trigger
from airflow_provider_adfruns.batch.report import skipped_json, some
from airflow_provider_adfruns.batch.selection import OnRunning
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE, at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import Window
    from airflow_provider_adfruns.batch.selection import WindowSelection

log = logging.getLogger(__name__)

_LAG_POLL_SECONDS = 2.0
_MOST_LOOKS = 100
_STARTED_MEANWHILE = "it has begun to run since the first look, and on_running is 'fail'"


async def cancel_waiting_trigger_runs(
    client: FactoryClient,
    selection: WindowSelection,
    on_running: OnRunning,
    *,
    deadline: datetime | None = None,
    dry_run: bool = False,
) -> CancelReport:
    """Cancel trigger runs that wait on their dependencies.

    A range is looked at again until a look, half a minute after the one before, shows nothing new: queries
    lag, and each waiting run that is cancelled lets its trigger begin another window (maxConcurrency). From
    the first cancel on no error is raised, since the report would be lost with it.

    :param selection: which runs of which trigger.
    :param on_running: what to do about runs that are running already; ``fail`` raises before anything is
        cancelled, and names those that begin to run only later in the report.
    :param deadline: send nothing from then on, in the service's time; None for no end.
    :param dry_run: only plan.
    :raises WrongState: for running runs with ``on_running='fail'``; names them.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids.
    :raises WrongTriggerType: for another kind of trigger.
    :raises InvalidInput: for a range beyond the factory's history.
    """
    trigger = await tumbling_window_trigger(client, selection.trigger_name)
    selection = replace(selection, trigger_name=trigger.name)  # queries may mind the case
    selection.check_history(await client.now())
    plan = plan_cancels(await read_history(client, selection), selection)
    _check_plan(client, plan, selection, on_running)
    work = _WaitingCancel(client, selection, on_running, deadline)
    work.skipped = {each.run_id or "": each for each in plan.exclusions}
    if dry_run:
        work.skip_running(plan.running)
        to_cancel = plan.cancellable + (plan.running if on_running is OnRunning.CANCEL_PIPELINE_RUNS else ())
        work.outcomes = {run.trigger_run_id: _outcome(run) for run in to_cancel}
    else:
        await work.carry_out(plan)
    skipped = (skipped_json(*_said(each)) for each in work.skipped.values())
    return CancelReport(dry_run, tuple(work.outcomes.values()), tuple(skipped), work.problem)


def _said(each: Exclusion) -> tuple[Window | None, str | None, str | None, str]:
    return each.window, each.run_id, each.status, each.reason


def _check_plan(
    client: FactoryClient, plan: CancelPlan, selection: WindowSelection, on_running: OnRunning
) -> None:
    found = plan.cancellable or plan.running or any(each.status for each in plan.exclusions)
    if selection.run_ids and not found:
        raise TriggerRunNotFound(
            f"run_ids: {some(selection.run_ids)}: trigger {selection.trigger_name!r} of"
            f" {client.connection.address} has no such run within the last 45 days. Check the ids, the"
            " trigger's name and the factory."
        )
    if plan.running and on_running is OnRunning.FAIL:
        names = [f"{run.trigger_run_id} (window {run.window})" for run in plan.running]
        raise WrongState(
            f"{len(names)} trigger runs of {selection.trigger_name!r} are Running, and only"
            f" WaitingOnDependency can be cancelled directly: {some(names)}. Nothing was cancelled. Set"
            " on_running='skip' to leave them alone, or 'cancel_pipeline_runs' to cancel the pipeline runs"
            " they started, which cancels them too."
        )


def _outcome(run: TriggerRun) -> CancelOutcome:
    return CancelOutcome(
        "trigger",
        run.trigger_run_id,
        run.trigger_name,
        run.window,
        status_before=run.status,
        status=run.status,
    )


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A cancel that may have been carried out, or that was refused for a state that may have passed."""

    run: TriggerRun
    said: str
    was_lost: bool


@dataclass(slots=True)
class _WaitingCancel:
    """The cancel under way; its parameters are those of ``cancel_waiting_trigger_runs``.

    ``outcomes`` and ``skipped`` are by the trigger runs' ids.
    """

    client: FactoryClient
    selection: WindowSelection
    on_running: OnRunning
    deadline: datetime | None
    outcomes: dict[str, CancelOutcome] = field(default_factory=dict)
    skipped: dict[str, Exclusion] = field(default_factory=dict)
    problem: str = ""

    async def carry_out(self, plan: CancelPlan) -> None:
        """Cancel what the plan says, and of a range what further looks show."""
        await self._cancel(plan.cancellable, plan.running)
        if self.selection.window_range is None:
            return
        for _ in range(_MOST_LOOKS):
            await pause(QUERY_LAG_PATIENCE.total_seconds())
            try:
                plan = plan_cancels(await read_history(self.client, self.selection), self.selection)
            except AdfRunsError as error:
                self.problem = f"whether more windows wait could not be seen in the end: {error}"
                return
            known = {*self.outcomes, *self.skipped}
            waiting, running = (
                [run for run in runs if run.trigger_run_id not in known]
                for runs in (plan.cancellable, plan.running)
            )
            if not waiting and not running:
                return
            await self._cancel(waiting, running)
            if await is_over(self.client, self.deadline):
                self.problem = f"the deadline {self.deadline} came while there were new windows that wait"
                return
        self.problem = f"after {_MOST_LOOKS} looks there are still new windows. Stop the trigger first."

    async def _cancel(self, waiting: Sequence[TriggerRun], running: Sequence[TriggerRun]) -> None:
        await self._cancel_waiting(waiting)
        if self.on_running is OnRunning.CANCEL_PIPELINE_RUNS:
            for outcome in await at_once(self._cancel_pipelines_of(run) for run in running):
                self.outcomes[outcome.run_id] = outcome
        else:
            self.skip_running(running)

    def skip_running(self, running: Sequence[TriggerRun]) -> None:
        """Leave runs alone that are running, if that is what to do about them."""
        for run in running:
            if self.on_running is OnRunning.SKIP:
                self.skipped[run.trigger_run_id] = Exclusion(
                    run.window, run.trigger_run_id, run.status, "it is running already"
                )
            elif self.on_running is OnRunning.FAIL:
                self.outcomes[run.trigger_run_id] = replace(_outcome(run), problem=_STARTED_MEANWHILE)

    async def _cancel_waiting(self, runs: Sequence[TriggerRun]) -> None:
        """Cancel runs that wait; lost answers and refusals are settled by looking, all of them at once."""
        to_send = list(runs)
        for _ in range(MOST_SENDS):
            doubts = [doubt for doubt in await at_once(self._send(run) for run in to_send) if doubt]
            if not doubts:
                return
            try:
                seen = await self._look_until([doubt.run for doubt in doubts], _has_moved)
            except AdfRunsError as trouble:
                for doubt in doubts:
                    self._note(doubt.run, f"{doubt.said} It could not be looked at: {trouble}")
                return
            to_send = []
            for doubt in doubts:
                now = seen[doubt.run.trigger_run_id]
                if await self._settle(doubt, now):
                    to_send.append(now)
                    said = f"its cancel was sent {MOST_SENDS} times, and it is still {now.status}"
                    self._note(now, f"{said}; the last: {doubt.said}")

    def _note(self, run: TriggerRun, problem: str) -> None:
        self.outcomes[run.trigger_run_id] = replace(_outcome(run), problem=problem)

    async def _send(self, run: TriggerRun) -> _Doubt | None:
        """Ask for the cancel of one run.

        :return: the doubt that is left, if any; else the outcome is kept.
        """
        if await is_over(self.client, self.deadline):
            self._note(run, f"the deadline {self.deadline} came before its cancel was sent")
            return None
        try:
            await self.client.cancel_trigger_run(run.trigger_name, run.trigger_run_id)
        except (NotWaitingOnDependency, OutcomeUnknown) as error:
            log.warning("Trigger run %s (window %s): %s", run.trigger_run_id, run.window, error)
            return _Doubt(run, str(error), isinstance(error, OutcomeUnknown))
        except AdfRunsError as error:
            log.error("Trigger run %s (window %s): %s", run.trigger_run_id, run.window, error)  # noqa: TRY400
            self._note(run, str(error))
            return None
        log.info(
            "Trigger run %s (window %s): cancel requested, it was %s",
            run.trigger_run_id,
            run.window,
            run.status,
        )
        answer = self.client.answers_about(run.trigger_run_id)[-1]
        self.outcomes[run.trigger_run_id] = replace(_outcome(run), requested=True, cancel_request=answer)
        return None

    async def _settle(self, doubt: _Doubt, now: TriggerRun) -> bool:
        """Decide about a doubt by what the run is now. :return: whether the cancel is to be sent again."""
        run = doubt.run
        self.client.tally.settled += doubt.was_lost
        waits = now.status is TriggerRunStatus.WAITING_ON_DEPENDENCY
        if waits and (doubt.was_lost or now.status is not run.status):
            return True
        outcome: CancelOutcome = replace(_outcome(now), status_before=run.status)
        if now.status.is_final:
            outcome = replace(outcome, requested=now.status is TriggerRunStatus.CANCELLED)
        elif self.on_running is OnRunning.SKIP and now.status is TriggerRunStatus.RUNNING:
            self.outcomes.pop(now.trigger_run_id, None)
            self.skipped[now.trigger_run_id] = Exclusion(
                now.window, now.trigger_run_id, now.status, f"it waits no longer but is {now.status}"
            )
            return False
        elif self.on_running is OnRunning.CANCEL_PIPELINE_RUNS and now.status is TriggerRunStatus.RUNNING:
            outcome = replace(await self._cancel_pipelines_of(now), status_before=run.status)
        else:
            problem = f"it cannot be cancelled now: it was {run.status}, and is {now.status}. {doubt.said}"
            outcome = replace(outcome, problem=problem)
        self.outcomes[now.trigger_run_id] = outcome
        return False

    async def _look_until(
        self, runs: Sequence[TriggerRun], is_enough: Callable[[TriggerRun, TriggerRun], bool]
    ) -> dict[str, TriggerRun]:
        """Read runs, as long as queries may lag, until each is what is waited for.

        :param is_enough: says of a run, as it was and as it is, whether it need not be read again.
        :return: the runs as they are now, by id.
        """
        seen = {run.trigger_run_id: run for run in runs}
        until = await self.client.now() + QUERY_LAG_PATIENCE
        while not all(is_enough(run, seen[run.trigger_run_id]) for run in runs):
            if (now := await self.client.now()) >= until:
                break
            await pause(_LAG_POLL_SECONDS)
            found = await self.client.query_trigger_runs(
                last_updated_after=min(run.timestamp for run in runs),
                last_updated_before=now + AHEAD,
                filters=[RunFilter("TriggerName", "Equals", (runs[0].trigger_name,))],
            )
            seen.update((run.trigger_run_id, run) for run in found if run.trigger_run_id in seen)
        return seen

    async def _cancel_pipelines_of(self, run: TriggerRun) -> CancelOutcome:
        """Cancel what a running trigger run started; the service then marks it Cancelled, too."""
        outcome = _outcome(run)
        try:
            now = (await self._look_until([run], _has_pipelines))[run.trigger_run_id]
            pipelines = await at_once(
                self.client.get_pipeline_run(run_id) for run_id in now.triggered_pipelines.values()
            )
        except AdfRunsError as error:
            return replace(outcome, problem=f"the pipeline runs it started could not be read: {error}")
        parts = await at_once(
            cancel_run(self.client, each, is_recursive=True, deadline=self.deadline) for each in pipelines
        )
        problems = [f"pipeline run {part.run_id}: {part.problem}" for part in parts if part.problem]
        if not parts and not now.status.is_final:
            problems.append(f"it is {now.status} without a pipeline run that could be cancelled")
        # even if all of them had ended just then, the end of the trigger run itself is to be seen
        return replace(outcome, requested=not problems, problem="; ".join(problems), status=now.status)


def _has_moved(before: TriggerRun, now: TriggerRun) -> bool:
    return now.status is not before.status


def _has_pipelines(_: TriggerRun, now: TriggerRun) -> bool:
    return bool(now.triggered_pipelines) or now.status.is_final
