"""Carry out cancels of pipeline runs by their ids; for those of a selection see cancel_selection.py."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
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
from airflow_provider_adfruns.batch.watch import at_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient

log = logging.getLogger(__name__)

MOST_SENDS = 3
"""How often a cancel is sent of which a look shows that it was not carried out."""

_SETTLE_PATIENCE = timedelta(seconds=10)
_SETTLE_POLL_SECONDS = 2.0


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
    outcomes = await with_children_left(client, outcomes, is_recursive)
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
                if not goes_on(now):
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


def goes_on(run: PipelineRun) -> bool:
    """Say whether a run shows nothing of a cancel; a status that nobody knows shows nothing."""
    return not run.status.is_final and run.status is not PipelineRunStatus.CANCELING


def _was_cancelled(run: PipelineRun) -> bool:
    return run.status in {PipelineRunStatus.CANCELING, PipelineRunStatus.CANCELLED}


async def _settled(client: FactoryClient, run_id: str) -> PipelineRun:
    """Look at a run whose cancel may have been carried out, until it shows that or has had the time to."""
    until = await client.now() + _SETTLE_PATIENCE
    run = await client.get_pipeline_run(run_id)
    while goes_on(run) and await client.now() < until:
        await pause(_SETTLE_POLL_SECONDS)
        run = await client.get_pipeline_run(run_id)
    return run


async def with_children_left(
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
