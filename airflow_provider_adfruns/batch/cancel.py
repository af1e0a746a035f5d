"""Carry out cancels: of pipeline runs, and of trigger runs that wait on their dependencies."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    NotWaitingOnDependency,
    PipelineRunEnded,
    PipelineRunNotFound,
    RunsNotAsWanted,
    TriggerRunNotFound,
    WrongState,
)
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.queries import RunFilter
from airflow_provider_adfruns.batch.final_watch import read_tree
from airflow_provider_adfruns.batch.plan import CancelPlan, Exclusion, plan_cancels
from airflow_provider_adfruns.batch.report import CancelOutcome, CancelReport, skipped_json, some
from airflow_provider_adfruns.batch.rerun import read_history, tumbling_window_trigger
from airflow_provider_adfruns.batch.selection import OnRunning
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE, at_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import TriggerRun
    from airflow_provider_adfruns.batch.selection import WindowSelection
    from airflow_provider_adfruns.batch.watch import WatchedRun

log = logging.getLogger(__name__)

_LAG_POLL_SECONDS = 2.0


async def cancel_pipeline_runs(
    client: FactoryClient, run_ids: Sequence[str], *, is_recursive: bool, dry_run: bool = False
) -> CancelReport:
    """Ask for the cancel of pipeline runs; one that fails does not stop the others.

    A run that has ended already is no problem: its final status is in the report.

    :param run_ids: the runs.
    :param is_recursive: also cancel the runs that their ExecutePipeline activities started.
    :param dry_run: only look.
    :raises PipelineRunNotFound: if none of the runs exists; one unknown run among others stands in the
        report.
    """
    outcomes = await at_once(
        _cancel_pipeline_run(client, run_id, is_recursive=is_recursive, dry_run=dry_run) for run_id in run_ids
    )
    if all(each.status_before is None for each in outcomes):
        raise PipelineRunNotFound(
            f"run_ids: {some(run_ids)}: {client.connection.address} has no such pipeline run. Check the ids"
            " and the factory; runs older than 45 days are gone."
        )
    return CancelReport(dry_run, tuple(outcomes))


async def _cancel_pipeline_run(
    client: FactoryClient, run_id: str, *, is_recursive: bool, dry_run: bool
) -> CancelOutcome:
    try:
        run = await client.get_pipeline_run(run_id)
    except PipelineRunNotFound as error:
        return CancelOutcome("pipeline", run_id, problem=str(error))
    outcome = CancelOutcome(
        "pipeline", run_id, run.pipeline_name, status_before=run.status, status=run.status
    )
    if run.status.is_final:
        log.info("Pipeline run %s (%s) has ended already: %s", run_id, run.pipeline_name, run.status)
        return await _with_children_left(
            client, outcome, "it has ended, which no cancel reaches them through"
        )
    if not is_recursive:
        outcome = await _with_children_left(client, outcome, "the cancel is not recursive")
    if dry_run:
        return outcome
    try:
        await client.cancel_pipeline_run(run_id, is_recursive=is_recursive)
    except PipelineRunEnded:
        ended = await client.get_pipeline_run(run_id)
        log.info("Pipeline run %s (%s) ended meanwhile: %s", run_id, run.pipeline_name, ended.status)
        return replace(outcome, status=str(ended.status))
    except AdfRunsError as error:
        log.error("Pipeline run %s: %s", run_id, error)  # noqa: TRY400 - the message is for people
        return replace(outcome, problem=str(error))
    log.info("Pipeline run %s (%s): cancel requested, it was %s", run_id, run.pipeline_name, run.status)
    return replace(outcome, requested=True)


async def _with_children_left(client: FactoryClient, outcome: CancelOutcome, why: str) -> CancelOutcome:
    """Note and name the runs it has started, at any depth, that will run to completion."""
    tree = await read_tree(client, [outcome.run_id])
    left = tuple(run.run_id for run in tree if run.run_id != outcome.run_id and not run.is_final)
    if left:
        log.warning(
            "Pipeline run %s (%s) has started child runs that will run to completion, since %s: %s. To end"
            " them, cancel them by their own ids.",
            outcome.run_id,
            outcome.name,
            why,
            some(left),
        )
    return replace(outcome, left_running=left)


async def cancel_waiting_trigger_runs(
    client: FactoryClient, selection: WindowSelection, on_running: OnRunning, *, dry_run: bool = False
) -> CancelReport:
    """Cancel trigger runs that wait on their dependencies.

    :param selection: which runs of which trigger.
    :param on_running: what to do about runs that are running already; ``fail`` raises before anything is
        cancelled.
    :param dry_run: only plan.
    :raises WrongState: for running runs with ``on_running='fail'``; names them.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids.
    :raises WrongTriggerType: for another kind of trigger.
    :raises InvalidInput: for a range beyond the factory's history.
    """
    await tumbling_window_trigger(client, selection.trigger_name)
    plan = plan_cancels(await read_history(client, selection), selection)
    _check_plan(client, plan, selection, on_running)
    skipped = [skipped_json(each.window, each.run_id, each.status, each.reason) for each in plan.exclusions]
    if on_running is OnRunning.SKIP:
        skipped.extend(
            skipped_json(run.window, run.trigger_run_id, run.status, "it is running already")
            for run in plan.running
        )
    if dry_run:
        to_cancel = plan.cancellable + (plan.running if on_running is OnRunning.CANCEL_PIPELINE_RUNS else ())
        return CancelReport(
            dry_run=True, runs=tuple(_outcome(run) for run in to_cancel), skipped=tuple(skipped)
        )
    outcomes: list[CancelOutcome | Exclusion] = await at_once(
        _cancel_trigger_run(client, run, on_running) for run in plan.cancellable
    )
    if on_running is OnRunning.CANCEL_PIPELINE_RUNS:
        outcomes += await at_once(_cancel_pipelines_of(client, run) for run in plan.running)
    left_alone = [each for each in outcomes if isinstance(each, Exclusion)]
    skipped.extend(skipped_json(each.window, each.run_id, each.status, each.reason) for each in left_alone)
    runs = tuple(each for each in outcomes if isinstance(each, CancelOutcome))
    return CancelReport(dry_run=False, runs=runs, skipped=tuple(skipped))


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


async def _cancel_trigger_run(
    client: FactoryClient, run: TriggerRun, on_running: OnRunning
) -> CancelOutcome | Exclusion:
    """Cancel a run that waits; one that has begun to run meanwhile is treated as ``on_running`` says."""
    outcome = _outcome(run)
    try:
        await client.cancel_trigger_run(run.trigger_name, run.trigger_run_id)
    except NotWaitingOnDependency as error:
        log.info("Trigger run %s (window %s) waits no longer: %s", run.trigger_run_id, run.window, error)
        return await _waits_no_longer(client, run, on_running, str(error))
    except AdfRunsError as error:
        log.error("Trigger run %s (window %s): %s", run.trigger_run_id, run.window, error)  # noqa: TRY400
        return replace(outcome, problem=str(error))
    log.info(
        "Trigger run %s (window %s): cancel requested, it was %s", run.trigger_run_id, run.window, run.status
    )
    return replace(outcome, requested=True)


async def _waits_no_longer(
    client: FactoryClient, run: TriggerRun, on_running: OnRunning, said: str
) -> CancelOutcome | Exclusion:
    """Look again at a run that the service would not cancel, as long as queries may lag."""
    until = await client.now() + QUERY_LAG_PATIENCE
    now = run
    while now.status is run.status and await client.now() < until:
        await pause(_LAG_POLL_SECONDS)
        now = await _read_again(client, run)
    outcome: CancelOutcome = replace(_outcome(now), status_before=str(run.status))
    if now.status.is_final:
        return outcome
    if on_running is OnRunning.SKIP:
        return Exclusion(
            now.window, now.trigger_run_id, now.status, f"it waits no longer but is {now.status}"
        )
    if on_running is OnRunning.CANCEL_PIPELINE_RUNS and now.triggered_pipelines:
        return replace(await _cancel_pipelines_of(client, now), status_before=str(run.status))
    return replace(
        outcome, problem=f"it cannot be cancelled now: it was {run.status}, and is {now.status}. {said}"
    )


async def _read_again(client: FactoryClient, run: TriggerRun) -> TriggerRun:
    found = await client.query_trigger_runs(
        last_updated_after=run.timestamp,
        last_updated_before=await client.now() + AHEAD,
        filters=[RunFilter("TriggerName", "Equals", (run.trigger_name,))],
    )
    return next((each for each in found if each.trigger_run_id == run.trigger_run_id), run)


async def _cancel_pipelines_of(client: FactoryClient, run: TriggerRun) -> CancelOutcome:
    """Cancel what a running trigger run started; the service then marks the trigger run itself Cancelled."""
    outcome = _outcome(run)
    parts = await at_once(
        _cancel_pipeline_run(client, run_id, is_recursive=True, dry_run=False)
        for run_id in run.triggered_pipelines.values()
    )
    problems = [f"pipeline run {part.run_id}: {part.problem}" for part in parts if part.problem]
    if not parts:
        problems.append("it is running without a pipeline run that could be cancelled; try again in a moment")
    return replace(outcome, requested=any(part.requested for part in parts), problem="; ".join(problems))


def with_final_statuses(report: CancelReport, runs: Iterable[WatchedRun]) -> CancelReport:
    """Enter what a watch has seen; children that it found besides are added to the report."""
    by_id = {run.run_id: run for run in runs}
    known = {each.run_id for each in report.runs}
    updated = [
        replace(each, status=by_id[each.run_id].status) if each.run_id in by_id else each
        for each in report.runs
    ]
    children = [
        CancelOutcome(run.kind, run.run_id, run.name, status=run.status)
        for run in by_id.values()
        if run.run_id not in known
    ]
    return report.with_runs(updated + children)


def check_outcome(report: CancelReport) -> None:
    """Judge a cancel at its end.

    :raises RunsNotAsWanted: names the runs that could not be cancelled and the run ids that are unknown; a
        run that ended by itself is none of them.
    """
    names = [f"{each.kind} run {each.run_id}: {each.problem}" for each in report.problems]
    names += [f"run {run_id} is unknown" for run_id in report.unknown_run_ids]
    if names:
        raise RunsNotAsWanted(
            f"{len(names)} of {len(report.runs) + len(report.unknown_run_ids)} runs could not be cancelled:"
            f" {some(names)}"
        )
