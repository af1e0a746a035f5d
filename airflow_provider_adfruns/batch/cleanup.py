"""Cancel what tasks have started, whichever operator started it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import PipelineRunNotFound, WaitTimedOut
from airflow_provider_adfruns.batch.cancel import cancel_pipeline_runs
from airflow_provider_adfruns.batch.cancel_report import CancelReport
from airflow_provider_adfruns.batch.cancel_waiting import cancel_waiting_trigger_runs
from airflow_provider_adfruns.batch.final_watch import RunsFinalWatch
from airflow_provider_adfruns.batch.report import RerunBy, skipped_json
from airflow_provider_adfruns.batch.rerun import find_new_runs
from airflow_provider_adfruns.batch.selection import OnRunning, WindowSelection
from airflow_provider_adfruns.batch.submit import RerunHistory
from airflow_provider_adfruns.batch.watch import wait_until_done

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import TriggerRun
    from airflow_provider_adfruns.batch.report import RerunReport
    from airflow_provider_adfruns.batch.started import Started

log = logging.getLogger(__name__)

_POLL_SECONDS = 2.0


async def cancel_started(
    client: FactoryClient, started: Started, *, deadline: datetime | None = None, dry_run: bool = False
) -> CancelReport:
    """Ask for the cancel of pipeline runs, with their children, and of rerun windows' trigger runs.

    Runs that have ended, and such that the factory does not know, are no problem: nothing of them runs. A
    rerun that runs is ended by its pipeline runs, which stand in the report instead of it; one that waits on
    dependencies by its own cancel.

    :param started: what tasks have started.
    :param deadline: wait until then for trigger runs that waited, which takes seconds; None for no wait.
    :param dry_run: only look.
    """
    for file in started.in_files:
        log.warning("What the task with the report %s has started is not known here", file)
    run_ids = dict.fromkeys(started.pipeline_run_ids)
    parts = []
    for rerun in started.reruns:
        for run in await _own_runs(client, rerun):
            run_ids |= dict.fromkeys(run.triggered_pipelines.values())
            if not run.triggered_pipelines:
                parts.append(await _cancel_waiting(client, run, deadline, dry_run=dry_run))
    parts.append(await _cancel_pipeline_runs(client, tuple(run_ids), dry_run=dry_run))
    return CancelReport(
        dry_run,
        tuple(each for part in parts for each in part.runs),
        tuple(each for part in parts for each in part.skipped),
        problem="; ".join(part.problem for part in parts if part.problem),
    )


async def _own_runs(client: FactoryClient, report: RerunReport) -> list[TriggerRun]:
    """Return the trigger runs of a batch that are not final, not those of somebody else."""
    seen = await find_new_runs(client, report)
    history = RerunHistory(client, report.trigger_name, report.planned_at)
    await history.look()
    runs = []
    for outcome in seen.windows:
        if outcome.is_awaited and outcome.rerun_by is RerunBy.THIS_BATCH:
            runs += [run for run in history.newer(outcome) if run.trigger_run_id == outcome.new_run_id]
    return [run for run in runs if not run.status.is_final]


async def _cancel_waiting(
    client: FactoryClient, run: TriggerRun, deadline: datetime | None, *, dry_run: bool
) -> CancelReport:
    """Cancel a trigger run that waits, or its pipeline runs if it runs by now, and wait for its end."""
    selection = WindowSelection(run.trigger_name, (run.trigger_run_id,), None)
    report = await cancel_waiting_trigger_runs(
        client, selection, OnRunning.CANCEL_PIPELINE_RUNS, dry_run=dry_run
    )
    if deadline is None or not report.awaited:
        return report
    watch = RunsFinalWatch(client, trigger_name=run.trigger_name, trigger_run_ids=[run.trigger_run_id])
    try:
        await wait_until_done(watch, client, poll_interval=_POLL_SECONDS, deadline=deadline)
    except WaitTimedOut as error:
        return replace(report, problem=str(error))
    return report.with_runs(
        replace(each, status=watch.runs[0].status, requested=False) for each in report.runs
    )


async def _cancel_pipeline_runs(
    client: FactoryClient, run_ids: Sequence[str], *, dry_run: bool
) -> CancelReport:
    if not run_ids:
        return CancelReport(dry_run, ())
    try:
        report = await cancel_pipeline_runs(client, run_ids, is_recursive=True, dry_run=dry_run)
    except PipelineRunNotFound:
        log.warning("The factory knows none of the pipeline runs %s", ", ".join(run_ids))
        return CancelReport(dry_run, (), tuple(_unknown(run_id) for run_id in run_ids))
    known = tuple(each for each in report.runs if each.status_before is not None)
    unknown = tuple(_unknown(each.run_id) for each in report.runs if each.status_before is None)
    return CancelReport(dry_run, known, (*report.skipped, *unknown), problem=report.problem)


def _unknown(run_id: str) -> dict[str, object]:
    return skipped_json(None, run_id, "unknown", "the factory does not know it")
