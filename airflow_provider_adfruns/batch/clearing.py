"""What a person's clear means for a batch that is still open: what was cancelled is rerun once more.

A kill cancels a batch's reruns, and cannot say so in the ledger: the triggerer has no way to write there. So
it is the try after a clear that finds out which reruns are cancelled or being cancelled.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.model import PipelineRunStatus, TriggerRunStatus
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.queries import RunFilter
from airflow_provider_adfruns.batch.report import RerunBy, Step, some
from airflow_provider_adfruns.batch.submit import RerunHistory, with_history
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch.ledger import Ledger
    from airflow_provider_adfruns.batch.report import RerunReport

log = logging.getLogger(__name__)

MOST_SECONDS = 600.0
"""How long a try after a clear waits for reruns that are being cancelled."""

_LOOK_SECONDS = 10.0


async def reopen(client: FactoryClient, report: RerunReport, ledger: Ledger, until: datetime) -> Ledger:
    """Find out which reruns of a cleared task's batch are cancelled, waiting for those being cancelled.

    A run whose cancel began just before the clear may not show it yet: this looks for as long as queries may
    lag at least.

    :param report: the batch as history shows it.
    :param until: wait no longer than this, in the service's time; what is still being cancelled then is left
        to its end, and not rerun.
    :return: the ledger, in which those windows are to be rerun once more.
    """
    history = RerunHistory(client, report.trigger_name, ledger.planned_at)
    patience = await client.now() + QUERY_LAG_PATIENCE
    while True:
        await history.look()
        report = report.with_windows(with_history(each, history.newer(each)) for each in report.windows)
        canceling = await _canceling(client, history, report, ledger)
        now = await client.now()
        if canceling:
            patience = now + QUERY_LAG_PATIENCE
        if now >= min(until, patience):
            break
        await pause(min(_LOOK_SECONDS, max((min(until, patience) - now).total_seconds(), 1.0)))
    if canceling:
        log.warning("Not rerun once more, since they are still being cancelled: %s", some(canceling))
    return reopened(report, ledger, now)


async def _canceling(
    client: FactoryClient, history: RerunHistory, report: RerunReport, ledger: Ledger
) -> list[str]:
    """Name the windows whose rerun is being cancelled; its pipeline runs say so, not the trigger run."""
    canceling = {
        run.run_id
        for run in await client.query_pipeline_runs(
            last_updated_after=ledger.planned_at,
            last_updated_before=await client.now() + AHEAD,
            filters=[RunFilter("Status", "Equals", (PipelineRunStatus.CANCELING,))],
        )
    }
    return [
        f"window {each.window}"
        for each in report.windows
        if each.is_awaited
        for run in history.newer(each)[-1:]
        if canceling.intersection(run.triggered_pipelines.values())
    ]


def reopened(report: RerunReport, ledger: Ledger, at: datetime) -> Ledger:
    """Return the ledger of a batch after a clear; pure.

    :param report: the batch as history shows it.
    :param at: the service's time of that.
    """
    rerun = [each for each in report.windows if each.step is Step.SUBMITTED]
    theirs = {each.window for each in rerun if each.rerun_by is RerunBy.SOMEBODY_ELSE}
    cancelled = {each.window for each in rerun if each.status == TriggerRunStatus.CANCELLED}
    # what an earlier clear has sent once more stays this batch's
    return ledger.cleared(at, again=cancelled | (ledger.again - theirs), theirs=theirs)
