"""Carry out reruns of pipeline runs in their own run group, each exactly once by an id chosen beforehand."""

from __future__ import annotations

import itertools
import logging
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    ConnectionProblem,
    FactoryNotFound,
    OutcomeUnknown,
    PipelineRunNotFound,
    WaitTimedOut,
)
from airflow_provider_adfruns.adf.model import PipelineRunStatus
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.clearing import MOST_SECONDS
from airflow_provider_adfruns.batch.pipeline_rerun_report import RecoveryOutcome, RecoveryReport
from airflow_provider_adfruns.batch.report import some
from airflow_provider_adfruns.batch.watch import at_once

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import PipelineRun

log = logging.getLogger(__name__)

_CHOSEN_IDS = uuid.UUID("8f0d3f5e-6a0e-4c55-9a53-3c1f1f0c2b11")
_TIMES = 3
_SETTLE_SECONDS = 5.0
_SAME_FOR_EACH_RUN = (ConnectionProblem, FactoryNotFound, WaitTimedOut)
_CANCEL_LOOK_SECONDS = 10.0
_NOT_WELL = (PipelineRunStatus.FAILED, PipelineRunStatus.CANCELLED)


class RerunFrom(StrEnum):
    """Where a rerun of a pipeline run begins."""

    START = "start"
    FAILURE = "failure"
    ACTIVITY = "activity"


def chosen_id(batch: str, run_id: str, number: int = 0) -> str:
    """Return the id that a run's rerun shall have: the same for every try of the same batch.

    :param batch: names the batch among all of all factories.
    :param run_id: the run to rerun.
    :param number: of the rerun: a batch has a second one where the first was cancelled and the task cleared.
    """
    return str(uuid.uuid5(_CHOSEN_IDS, f"{batch}\n{run_id}\n{number}"))


@dataclass(frozen=True, slots=True)
class _Manner:
    """How to rerun; see ``rerun_pipeline_runs``.

    :param until: after a person's clear, when the wait for a rerun that is being cancelled ends; else None.
    """

    batch: str
    rerun_from: RerunFrom
    start_activity_name: str | None
    deadline: datetime | None
    judged: tuple[str, ...]
    has_succeeded: bool
    until: datetime | None


async def rerun_pipeline_runs(
    client: FactoryClient,
    run_ids: Sequence[str],
    batch: str,
    rerun_from: RerunFrom,
    *,
    start_activity_name: str | None = None,
    dry_run: bool = False,
    deadline: datetime | None = None,
    judged: tuple[str, ...] = (),
    cleared: bool = False,
    has_succeeded: bool = False,
    patience_seconds: float = MOST_SECONDS,
) -> RecoveryReport:
    """Rerun pipeline runs; one that cannot be rerun does not stop the others.

    createRun takes the new run's id from the caller (recorded), and a GET of a run is strongly consistent: so
    whether a rerun exists is asked before it is sent, and again when the answer was lost.

    :param batch: see ``chosen_id``.
    :param rerun_from: where each begins.
    :param start_activity_name: the activity, where ``rerun_from`` says so.
    :param deadline: after this time of the service nothing more is sent; None for no such time.
    :param judged: earlier batches, which this one makes up for: a run with a rerun in one of them that goes
        on or has succeeded is not rerun again.
    :param cleared: a person has cleared the task since the batch began: a rerun of it that was cancelled is
        followed by another.
    :param has_succeeded: the batch was judged well before, and is only to be told once more: nothing is sent,
        and reruns are found whatever has become of them.
    :param patience_seconds: how long a rerun that is being cancelled is waited for then.
    :raises PipelineRunNotFound: if none of the runs exists.
    """
    stopped: list[AdfRunsError] = []
    unknown: list[str] = []
    until = await client.now() + timedelta(seconds=patience_seconds) if cleared else None
    manner = _Manner(batch, rerun_from, start_activity_name, deadline, judged, has_succeeded, until)

    async def one(run_id: str) -> RecoveryOutcome:
        outcome = RecoveryOutcome(run_id)
        hindered = [each for each in stopped if not isinstance(each, WaitTimedOut)]
        if hindered:  # at a deadline an earlier try's are found
            return replace(outcome, problem=f"it was not looked at: {hindered[0]}")
        try:
            run = await client.get_pipeline_run(run_id)
            new_run_id = None if dry_run else chosen_id(batch, run_id)
            outcome = RecoveryOutcome(run_id, run.pipeline_name, str(run.status), new_run_id)
            if not run.status.is_final:
                problem = (
                    f"it is {run.status}; only a run that has ended can be rerun. Cancel it or wait for it"
                )
                return replace(outcome, new_run_id=None, problem=problem)
            return outcome if dry_run else await _rerun_once(client, outcome, manner)
        except PipelineRunNotFound as error:
            unknown.append(run_id)
            return replace(outcome, problem=str(error))
        except _SAME_FOR_EACH_RUN as error:
            stopped.append(error)
            return replace(outcome, new_run_id=None, problem=f"it was not rerun: {error}")
        except AdfRunsError as error:  # whether an earlier try has rerun it was not asked either
            chosen = None if dry_run else chosen_id(batch, run_id)
            return replace(outcome, new_run_id=chosen, problem=str(error))

    outcomes = await at_once(one(run_id) for run_id in run_ids)
    if stopped and all(each.status_before is None for each in outcomes):
        raise stopped[0]
    if len(unknown) == len(run_ids):
        raise PipelineRunNotFound(
            f"run_ids: {some(run_ids)}: {client.connection.address} has no such pipeline run. Check the ids"
            " and the factory; runs older than 45 days are gone."
        )
    return RecoveryReport(dry_run, tuple(outcomes), stopped[0] if stopped else None)


async def _rerun_once(client: FactoryClient, outcome: RecoveryOutcome, manner: _Manner) -> RecoveryOutcome:
    """Find the batch's rerun of a run that has ended, or send it.

    :raises WaitTimedOut: if it was not sent before the deadline.
    :raises ConnectionProblem: if it was not sent, or not carried out, for that.
    """
    try:
        known, free = await latest_rerun(client, manner.batch, outcome.run_id)
        if known is not None and manner.until is not None:
            known = await _cancelled(client, known, manner.until)
        if known is None:
            known = await _earlier(client, manner, outcome.run_id)
    except ConnectionProblem:
        raise
    except AdfRunsError as error:
        return replace(outcome, problem=str(error))
    if known is None and manner.has_succeeded:
        problem = "it was not rerun, and it is not now: the task has ended well without that"
        return replace(outcome, new_run_id=None, problem=problem)
    if known is None or (manner.until is not None and known.status is PipelineRunStatus.CANCELLED):
        return await _create_once(client, replace(outcome, new_run_id=free), manner)
    return replace(outcome, new_run_id=known.run_id, status=str(known.status))


async def latest_rerun(client: FactoryClient, batch: str, run_id: str) -> tuple[PipelineRun | None, str]:
    """Find a batch's latest rerun of a run. :return: it, if there is any, and the first id that is free."""
    latest: PipelineRun | None = None
    for number in itertools.count():
        chosen = chosen_id(batch, run_id, number)
        try:
            latest = await client.get_pipeline_run(chosen)
        except PipelineRunNotFound:
            return latest, chosen
    raise AssertionError("there is no last number")


async def _earlier(client: FactoryClient, manner: _Manner, run_id: str) -> PipelineRun | None:
    """Find the rerun of a run by which earlier batches have made another needless."""
    for batch in reversed(manner.judged):
        known, _ = await latest_rerun(client, batch, run_id)
        if known is not None and (manner.has_succeeded or known.status not in _NOT_WELL):
            return known
    return None


async def _cancelled(client: FactoryClient, run: PipelineRun, until: datetime) -> PipelineRun:
    """Wait for the end of a run that is being cancelled.

    :raises WaitTimedOut: if it does not end in time.
    """
    while run.status is PipelineRunStatus.CANCELING:
        if await client.now() >= until:
            raise WaitTimedOut(
                f"its rerun {run.run_id} is still being cancelled at {until.isoformat()}, so it was not"
                " rerun again. Clear the task once the run has ended."
            )
        await pause(_CANCEL_LOOK_SECONDS)
        run = await client.get_pipeline_run(run.run_id)
    return run


async def _create_once(client: FactoryClient, outcome: RecoveryOutcome, manner: _Manner) -> RecoveryOutcome:
    """Send one createRun, unless the chosen id is known already; raises as ``_rerun_once``."""
    for _ in range(_TIMES):
        found = await _known(client, outcome)
        if found is not None:
            return found
        outcome = replace(outcome, problem="")
        await _check_time(client, manner.deadline)
        outcome = await _create(client, outcome, manner)
        if not outcome.problem or not outcome.new_run_id:
            return outcome
        await pause(_SETTLE_SECONDS)
    return await _known(client, outcome) or replace(
        outcome,
        problem=f"it was not rerun: {_TIMES} answers were lost, and no run {outcome.new_run_id} came of them",
    )


async def _known(client: FactoryClient, outcome: RecoveryOutcome) -> RecoveryOutcome | None:
    """Ask for the chosen id; raises as ``_rerun_once`` unless an answer was lost before.

    :param outcome: with a problem if the answer to its createRun was lost, which this settles.
    :return: what is known of the rerun, or that it could not be asked; None if there surely is none.
    """
    was_lost = bool(outcome.problem)
    try:
        known = await client.get_pipeline_run(outcome.new_run_id or "")
    except PipelineRunNotFound:
        client.tally.settled += was_lost
        return None
    except AdfRunsError as error:
        if not was_lost and isinstance(error, _SAME_FOR_EACH_RUN):
            raise
        return replace(outcome, problem=outcome.problem or str(error))
    client.tally.settled += was_lost
    return replace(outcome, status=str(known.status), problem="")


async def _create(client: FactoryClient, outcome: RecoveryOutcome, manner: _Manner) -> RecoveryOutcome:
    """Send a createRun. :return: with a problem if its answer was lost, or, without an id, if refused."""
    rerun_from, activity = manner.rerun_from, manner.start_activity_name
    try:
        await client.create_recovery_run(
            outcome.name,
            outcome.run_id,
            start_from_failure=rerun_from is RerunFrom.FAILURE,
            start_activity_name=activity if rerun_from is RerunFrom.ACTIVITY else None,
            run_id=outcome.new_run_id,
        )
    except OutcomeUnknown as error:
        log.warning("Pipeline run %s: %s", outcome.run_id, error)
        return replace(outcome, problem=str(error))
    except _SAME_FOR_EACH_RUN:
        raise
    except AdfRunsError as error:
        log.error("Pipeline run %s: %s", outcome.run_id, error)  # noqa: TRY400 - the message is for people
        return replace(outcome, new_run_id=None, problem=str(error))
    log.info("Pipeline run %s (%s) is rerun as %s", outcome.run_id, outcome.name, outcome.new_run_id)
    return replace(outcome, status=str(PipelineRunStatus.QUEUED))


async def _check_time(client: FactoryClient, deadline: datetime | None) -> None:
    """See that something may still be sent. :raises WaitTimedOut: after the deadline."""
    if deadline is not None and await client.now() >= deadline:
        raise WaitTimedOut(
            f"the deadline {deadline} came before all was sent. What was sent goes on; send the rest with a"
            " later deadline or a larger timeout."
        )
