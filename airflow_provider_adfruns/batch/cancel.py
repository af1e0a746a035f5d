"""Carry out cancels of pipeline runs, chosen by ids or by a selection."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    InvalidInput,
    OutcomeUnknown,
    PipelineRunEnded,
    PipelineRunNotFound,
)
from airflow_provider_adfruns.adf.model import PipelineRun, PipelineRunStatus
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.cancel_report import CancelOutcome, CancelReport
from airflow_provider_adfruns.batch.deadline import is_over
from airflow_provider_adfruns.batch.final_watch import read_tree
from airflow_provider_adfruns.batch.report import some
from airflow_provider_adfruns.batch.run_selection import CancelOrder, in_waves
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE, at_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch.run_selection import RunSelection

log = logging.getLogger(__name__)

MOST_SENDS = 3
"""How often a cancel is sent of which a look shows that it was not carried out."""

_SETTLE_PATIENCE = timedelta(seconds=10)
_SETTLE_POLL_SECONDS = 2.0
_MOST_LOOKS = 20


async def cancel_pipeline_runs(
    client: FactoryClient,
    run_ids: Sequence[str],
    *,
    is_recursive: bool,
    deadline: datetime | None = None,
    dry_run: bool = False,
) -> CancelReport:
    """Ask for the cancel of pipeline runs; one that fails does not stop the others.

    A run that has ended already is no problem: its final status is in the report. All runs are read before
    the first is cancelled; from then on no error is raised, since the report would be lost with it.

    :param run_ids: the runs; in the report an id stands as the service writes it, whose paths do not mind the
        case, and each run once.
    :param is_recursive: also cancel the runs that their ExecutePipeline activities started.
    :param deadline: send nothing from then on, in the service's time; None for no end.
    :param dry_run: only look.
    :raises PipelineRunNotFound: if none of the runs exists; one unknown run among others stands in the
        report.
    """
    looked = {each.run_id: each for each in await at_once(_read(client, run_id) for run_id in run_ids)}
    runs = [run for run in looked.values() if isinstance(run, PipelineRun)]
    if not runs:
        raise PipelineRunNotFound(
            f"run_ids: {some(run_ids)}: {client.connection.address} has no such pipeline run. Check the ids"
            " and the factory; runs older than 45 days are gone."
        )
    if dry_run:
        outcomes = [outcome_of(run) for run in runs]
    else:
        outcomes = await at_once(
            cancel_run(client, run, is_recursive=is_recursive, deadline=deadline) for run in runs
        )
    outcomes = await _with_children_left(client, outcomes, is_recursive)
    outcomes += [each for each in looked.values() if isinstance(each, CancelOutcome)]
    found = {each.run_id: each for each in outcomes}
    return CancelReport(dry_run, tuple(found[run_id] for run_id in looked))


async def _read(client: FactoryClient, run_id: str) -> PipelineRun | CancelOutcome:
    """Read a run; one that is unknown stands in the report and stops no other."""
    try:
        return await client.get_pipeline_run(run_id)
    except PipelineRunNotFound as error:
        return CancelOutcome("pipeline", run_id, problem=str(error))


def outcome_of(run: PipelineRun) -> CancelOutcome:
    """Return what is to be said of a run before anything was done to it."""
    return CancelOutcome(
        "pipeline",
        run.run_id,
        run.pipeline_name,
        status_before=run.status,
        status=run.status,
        parent_run_id=run.invoked_by.pipeline_run_id if run.invoked_by else None,
    )


async def cancel_run(
    client: FactoryClient, run: PipelineRun, *, is_recursive: bool, deadline: datetime | None = None
) -> CancelOutcome:
    """Ask for the cancel of one run; what goes wrong stands in the outcome and is not raised.

    A cancel whose answer was lost is settled by the run's status, which a GET tells exactly (recorded): it
    is sent again only if the run goes on as before, which harms nothing even if the first one comes late.

    :param run: as it was read last.
    :param deadline: see ``cancel_pipeline_runs``.
    """
    outcome = outcome_of(run)
    if run.status.is_final:
        log.info("Pipeline run %s (%s) has ended already: %s", run.run_id, run.pipeline_name, run.status)
    elif await is_over(client, deadline):
        outcome = replace(outcome, problem=f"the deadline {deadline} came before its cancel was sent")
    if outcome.has_ended or outcome.problem:
        return outcome
    unclear = ""
    try:
        for _ in range(MOST_SENDS):
            try:
                await client.cancel_pipeline_run(run.run_id, is_recursive=is_recursive)
            except PipelineRunEnded as error:
                now = await client.get_pipeline_run(run.run_id)
                return _refused(replace(outcome, status=now.status), error)
            except OutcomeUnknown as error:
                log.warning("Pipeline run %s (%s): %s", run.run_id, outcome.name, error)
                unclear = str(error)
                now = await _settled(client, run.run_id)
                client.tally.settled += 1
                outcome = replace(outcome, status=now.status)
                if not _goes_on(now):
                    return replace(outcome, requested=_was_cancelled(now))
            else:
                log.info("Pipeline run %s (%s): cancel requested, it was %s", *_told(outcome))
                return replace(outcome, requested=True, cancel_request=client.answers_about(run.run_id)[-1])
    except AdfRunsError as error:
        log.error("Pipeline run %s: %s", run.run_id, error)  # noqa: TRY400 - the message is for people
        return replace(outcome, problem=str(error))
    return replace(
        outcome,
        problem=f"its cancel was sent {MOST_SENDS} times without a clear answer, and it is still"
        f" {outcome.status}; the last: {unclear}",
    )


def _told(outcome: CancelOutcome) -> tuple[str, str, str | None]:
    return outcome.run_id, outcome.name, outcome.status_before


def _refused(outcome: CancelOutcome, error: PipelineRunEnded) -> CancelOutcome:
    """Return what became of a cancel that was refused as if the run had ended: its status may deny that.

    :param outcome: with the run's status after the refusal.
    """
    if outcome.has_ended:
        log.info("Pipeline run %s (%s) ended meanwhile: %s", outcome.run_id, outcome.name, outcome.status)
        return outcome
    if outcome.status == PipelineRunStatus.CANCELING:
        return replace(outcome, requested=True)
    return replace(
        outcome, problem=f"its cancel was refused as if it had ended, and it is {outcome.status}: {error}"
    )


def _goes_on(run: PipelineRun) -> bool:
    """Say whether a run shows nothing of a cancel; a status that nobody knows shows nothing."""
    return not run.status.is_final and run.status is not PipelineRunStatus.CANCELING


def _was_cancelled(run: PipelineRun) -> bool:
    return run.status in {PipelineRunStatus.CANCELING, PipelineRunStatus.CANCELLED}


async def _settled(client: FactoryClient, run_id: str) -> PipelineRun:
    """Look at a run whose cancel may have been carried out, until it shows that or has had the time to."""
    until = await client.now() + _SETTLE_PATIENCE
    run = await client.get_pipeline_run(run_id)
    while _goes_on(run) and await client.now() < until:
        await pause(_SETTLE_POLL_SECONDS)
        run = await client.get_pipeline_run(run_id)
    return run


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
        outcomes = await _with_children_left(client, planned, is_recursive)
        return CancelReport(dry_run=True, runs=tuple(outcomes))
    work = _SelectionCancel(client, selection, is_recursive, max_runs, order, queued_first, deadline)
    await work.carry_out(runs)
    outcomes = await _with_children_left(client, work.outcomes.values(), is_recursive)
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
            if _goes_on(run) and run.run_id in self.outcomes and self.outcomes[run.run_id].requested
        ]
        runs = await at_once(self.client.get_pipeline_run(run_id) for run_id in doubtful)
        slipped = [run for run in runs if _goes_on(run)]
        for run in slipped:
            log.warning(
                "Pipeline run %s (%s) is %s although its cancel was accepted; it is cancelled again.",
                run.run_id,
                run.pipeline_name,
                run.status,
            )
        return slipped


async def _with_children_left(
    client: FactoryClient, outcomes: Iterable[CancelOutcome], is_recursive: bool
) -> list[CancelOutcome]:
    """Note and name the runs, at any depth, that no cancel reaches and that run to completion.

    Those are all children of a cancel that is not recursive, and those of a run that had ended before, but no
    run that is being cancelled, by itself or with another one.
    """
    by_id = {each.run_id: each for each in outcomes}
    unreached = {
        run_id: "it has ended, which no cancel reaches them through"
        if each.has_ended and not each.requested
        else "the cancel is not recursive"
        for run_id, each in by_id.items()
        if (each.has_ended and not each.requested) or (not is_recursive and not each.problem)
    }
    if not unreached:
        return list(by_id.values())
    try:
        tree = await read_tree(client, unreached)
    except AdfRunsError as error:
        problem = f"which of its children run on could not be seen: {error}"
        by_id.update((run_id, replace(by_id[run_id], problem=problem)) for run_id in unreached)
        return list(by_id.values())
    reached = {run_id for run_id, each in by_id.items() if not each.problem} - set(unreached)
    parents = {run.run_id: run.parent_run_id for run in tree}
    left: dict[str, list[str]] = {}
    for run in tree:
        is_canceling = run.status == PipelineRunStatus.CANCELING
        if run.is_final or is_canceling or run.run_id in by_id:
            continue
        top = run.parent_run_id
        while top is not None and top not in unreached and top not in reached:
            top = parents.get(top)
        if top in unreached:
            left.setdefault(top, []).append(run.run_id)
    for run_id, children in left.items():
        log.warning(
            "Pipeline run %s (%s) has started child runs that will run to completion, and are billed, since"
            " %s: %s. To end them, cancel them by their own ids.",
            run_id,
            by_id[run_id].name,
            unreached[run_id],
            some(children),
        )
        by_id[run_id] = replace(by_id[run_id], left_running=tuple(children))
    return list(by_id.values())
