"""Carry out cancels of the pipeline runs that fulfil conditions, until no more of them show up."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import AdfRunsError, InvalidInput
from airflow_provider_adfruns.adf.model import PipelineRun, PipelineRunStatus
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.cancel import (
    MOST_SENDS,
    cancel_run,
    goes_on,
    outcome_of,
    with_children_left,
)
from airflow_provider_adfruns.batch.cancel_report import CancelOutcome, CancelReport
from airflow_provider_adfruns.batch.deadline import is_over
from airflow_provider_adfruns.batch.run_selection import CancelOrder, in_waves
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE, at_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch.run_selection import RunSelection

log = logging.getLogger(__name__)

_MOST_LOOKS = 20


async def cancel_selected_runs(
    client: FactoryClient,
    selection: RunSelection,
    *,
    is_recursive: bool,
    max_runs: int,
    order: CancelOrder = CancelOrder.NEWEST_FIRST,
    queued_first: bool = True,
    deadline: datetime | None = None,
    dry_run: bool = False,
) -> CancelReport:
    """Cancel the pipeline runs that fulfil conditions, and look again until no more of them show up.

    Queries lag, and a run that was started just before may appear only later: the factory is looked at again
    until a look, half a minute after the one before, shows nothing new, twenty times at most. Runs that
    appear meanwhile are cancelled as well. A run whose cancel was accepted and that goes on nevertheless, a
    queued one that has started, say, is cancelled again. Runs that are Canceling already are not cancelled
    again, unless the selection's statuses say so, but belong to the report as requested.

    :param selection: the conditions.
    :param is_recursive: also cancel the runs that their ExecutePipeline activities started.
    :param max_runs: refuse to cancel more than this.
    :param order: which of them go first.
    :param queued_first: cancel Queued runs before all others, for none to start as others end.
    :param deadline: look and send nothing from then on, in the service's time; None for no end.
    :param dry_run: only look, once.
    :raises PipelineNotFound: for a pipeline that the factory does not have.
    :raises TriggerNotFound: for a trigger that it does not have.
    :raises InvalidInput: for more than ``max_runs`` runs, before any is cancelled.
    """
    selection = await _as_published(client, selection)
    runs = await _select(client, selection)
    to_cancel = [run for run in runs if run.status in selection.statuses]
    if len(to_cancel) > max_runs:
        raise InvalidInput(
            f"max_runs: the selection has {len(to_cancel)} runs to cancel, and max_runs is {max_runs}."
            f" Nothing was cancelled. Narrow the selection ({selection}), or raise max_runs if you mean it."
        )
    if dry_run:
        waves = in_waves(runs, order, queued_first=queued_first)
        planned = [outcome_of(run) for wave in waves for run in wave]
        outcomes = await with_children_left(client, planned, is_recursive)
        return CancelReport(dry_run=True, runs=tuple(outcomes))
    work = _SelectionCancel(client, selection, is_recursive, max_runs, order, queued_first, deadline)
    await work.carry_out(runs)
    outcomes = await with_children_left(client, work.outcomes.values(), is_recursive)
    return CancelReport(dry_run=False, runs=tuple(outcomes), problem=work.problem)


async def _as_published(client: FactoryClient, selection: RunSelection) -> RunSelection:
    """Return the selection with the names as the factory writes them: queries may mind the case."""
    names = await at_once(client.get_pipeline_name(name) for name in selection.pipeline_names)
    trigger_name = selection.trigger_name
    if trigger_name is not None:
        trigger_name = (await client.get_trigger(trigger_name)).name
    return replace(selection, pipeline_names=tuple(names), trigger_name=trigger_name)


async def _select(client: FactoryClient, selection: RunSelection) -> list[PipelineRun]:
    now = await client.now()
    found = await client.query_pipeline_runs(
        last_updated_after=selection.updated_since(now),
        last_updated_before=now + AHEAD,
        filters=selection.filters(),
    )
    return [run for run in found if selection.includes(run, now)]


@dataclass(slots=True)
class _SelectionCancel:
    """The cancel of a selection under way; its parameters are those of ``cancel_selected_runs``.

    ``cancelled`` are the ids that count for ``max_runs``: a run that was Canceling before is only awaited.
    """

    client: FactoryClient
    selection: RunSelection
    is_recursive: bool
    max_runs: int
    order: CancelOrder
    queued_first: bool
    deadline: datetime | None
    outcomes: dict[str, CancelOutcome] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    problem: str = ""

    async def carry_out(self, runs: Sequence[PipelineRun]) -> None:
        """Cancel these runs, and those that further looks show; errors are kept with what was done."""
        await self._cancel(runs)
        for _ in range(_MOST_LOOKS):
            await pause(QUERY_LAG_PATIENCE.total_seconds())
            try:
                found = await _select(self.client, self.selection)
                slipped = await self._still_going(found)
            except AdfRunsError as error:
                self.problem = f"whether more runs match could not be seen in the end: {error}"
                return
            new = [run for run in found if run.run_id not in self.outcomes]
            if not new and not slipped:
                return
            await self._cancel([*new, *slipped])
            if await is_over(self.client, self.deadline):
                self.problem = f"the deadline {self.deadline} came while there were new runs that match"
                return
        self.problem = (
            f"after {_MOST_LOOKS} looks there are still new runs that match ({self.selection}). Stop what"
            " starts them, or set started_before."
        )

    async def _cancel(self, runs: Sequence[PipelineRun]) -> None:
        """Cancel runs, wave by wave, as far as ``max_runs`` allows."""
        waves = in_waves(runs, self.order, queued_first=self.queued_first)
        for number, wave in enumerate(waves, 1):
            to_cancel: list[PipelineRun] = []
            for run in wave:
                if run.status not in self.selection.statuses and run.run_id not in self.outcomes:
                    self.outcomes[run.run_id] = replace(outcome_of(run), requested=True)
                elif run.run_id not in self.cancelled and len(self.cancelled) >= self.max_runs:
                    problem = f"it matches as well, and max_runs is {self.max_runs}: it was not cancelled"
                    self.outcomes[run.run_id] = replace(outcome_of(run), problem=problem)
                else:
                    to_cancel.append(run)
                    self.cancelled.add(run.run_id)
            await self._send(to_cancel)
            if self.queued_first and number < len(waves) and wave[0].status is PipelineRunStatus.QUEUED:
                await self._confirm()

    async def _send(self, runs: Sequence[PipelineRun]) -> None:
        for outcome in await at_once(
            cancel_run(self.client, run, is_recursive=self.is_recursive, deadline=self.deadline)
            for run in runs
        ):
            first = self.outcomes.get(outcome.run_id, outcome)
            self.outcomes[outcome.run_id] = replace(
                outcome,
                status_before=first.status_before,
                requested=first.requested or outcome.requested,
                cancel_request=outcome.cancel_request or first.cancel_request,
            )

    async def _confirm(self) -> None:
        """See that no queued run is left to start when the running ones are cancelled now.

        A query that lags shows a run that is Queued as such all the same, since it was before.
        """
        try:
            for _ in range(MOST_SENDS):
                slipped = await self._still_going(await _select(self.client, self.selection))
                if not slipped:
                    return
                await self._send(slipped)
        except AdfRunsError as error:
            log.warning("Whether all queued runs are cancelled is seen only at the next look: %s", error)

    async def _still_going(self, found: Iterable[PipelineRun]) -> list[PipelineRun]:
        """Return the runs that go on although their cancel was accepted, as a GET shows, not a late query."""
        doubtful = [
            run.run_id
            for run in found
            if goes_on(run) and run.run_id in self.outcomes and self.outcomes[run.run_id].requested
        ]
        runs = await at_once(self.client.get_pipeline_run(run_id) for run_id in doubtful)
        slipped = [run for run in runs if goes_on(run)]
        for run in slipped:
            log.warning(
                "Pipeline run %s (%s) is %s although its cancel was accepted; it is cancelled again.",
                run.run_id,
                run.pipeline_name,
                run.status,
            )
        return slipped
