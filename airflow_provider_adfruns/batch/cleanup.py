"""Cancel what tasks have started, whichever operator started it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import AdfRunsError, PipelineRunNotFound
from airflow_provider_adfruns.adf.names import is_run_id
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.cancel import cancel_pipeline_runs
from airflow_provider_adfruns.batch.cancel_report import CancelOutcome, CancelReport
from airflow_provider_adfruns.batch.cancel_waiting import cancel_waiting_trigger_runs
from airflow_provider_adfruns.batch.final_watch import RunsFinalWatch
from airflow_provider_adfruns.batch.report import RerunBy, Step, skipped_json, some
from airflow_provider_adfruns.batch.selection import OnRunning, WindowSelection
from airflow_provider_adfruns.batch.submit import RerunHistory, with_history
from airflow_provider_adfruns.batch.watch import QUERY_LAG_PATIENCE, wait_until_done

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import TriggerRun
    from airflow_provider_adfruns.batch.report import RerunReport
    from airflow_provider_adfruns.batch.started import Started

_POLL_SECONDS = 2.0


async def cancel_started(
    client: FactoryClient, started: Started, *, deadline: datetime | None = None, dry_run: bool = False
) -> CancelReport:
    """Ask for the cancel of pipeline runs, with their children, and of rerun windows' trigger runs.

    Runs that have ended, and such that the factory does not know, are no problem: nothing of them runs. A
    rerun that runs is ended by its pipeline runs, which stand in the report instead of it; one that waits on
    dependencies by its own cancel. What cannot be read stops nothing else, and stands in the report.

    :param started: what tasks have started.
    :param deadline: when all is asked for, wait until then for the end of trigger runs that waited, which
        takes seconds; None for no wait.
    :param dry_run: only look.
    """
    problems = [
        f"what the task with the report {file} has started is not known, for the file cannot be read"
        for file in started.in_files
    ]
    problems += [
        f"what a task has started is not known, for its report in XCom cannot be read: {text}"
        for text in started.unreadable
    ]
    parts = [await _cancel_pipeline_runs(client, started.pipeline_run_ids, dry_run=dry_run)]
    for rerun in started.reruns:
        try:
            await _cancel_rerun(client, rerun, parts, problems, dry_run=dry_run)
        except AdfRunsError as error:
            problems.append(f"the reruns of trigger {rerun.trigger_name!r} are not all cancelled: {error}")
    outcomes: dict[str, CancelOutcome] = {}
    for each in (run for part in parts for run in part.runs):
        outcomes.setdefault(each.run_id, each)  # to a second task that names it, it was cancelled already
    if deadline is not None and not dry_run:
        outcomes |= await _ended(client, list(outcomes.values()), deadline, problems)
    problems += [part.problem for part in parts if part.problem]
    skipped = tuple(each for part in parts for each in part.skipped)
    return CancelReport(dry_run, tuple(outcomes.values()), skipped, problem="; ".join(problems))


async def _cancel_rerun(
    client: FactoryClient,
    rerun: RerunReport,
    parts: list[CancelReport],
    problems: list[str],
    *,
    dry_run: bool,
) -> None:
    """Cancel what a batch has started: what runs first, since what waits costs nothing yet.

    :param parts: the reports of what was done are added, so that those before an error are kept.
    """
    own = await _own_runs(client, rerun, problems)
    run_ids = [run_id for run in own for run_id in run.triggered_pipelines.values()]
    parts.append(await _cancel_pipeline_runs(client, run_ids, dry_run=dry_run))
    if waiting := tuple(run.trigger_run_id for run in own if not run.triggered_pipelines):
        selection = WindowSelection(rerun.trigger_name, waiting, None)
        on_running = OnRunning.CANCEL_PIPELINE_RUNS
        parts.append(await cancel_waiting_trigger_runs(client, selection, on_running, dry_run=dry_run))


async def _own_runs(client: FactoryClient, report: RerunReport, problems: list[str]) -> list[TriggerRun]:
    """Return the trigger runs of a batch that are not final, not those of somebody else.

    A rerun whose answer was lost and that shows is the batch's; one that was accepted has to show.
    """
    sent = [each for each in report.windows if each.is_awaited or each.step is Step.UNCLEAR]
    history = RerunHistory(client, report.trigger_name, report.planned_at)
    until = await client.now() + QUERY_LAG_PATIENCE
    hidden = sent
    while hidden:
        await history.look()
        hidden = [each for each in sent if not history.newer(each)]
        if await client.now() >= until:
            break
        if hidden:
            await pause(_POLL_SECONDS)
    if lost := [str(each.window) for each in hidden if each.step is Step.SUBMITTED]:
        problems.append(
            f"the factory does not show the reruns of trigger {report.trigger_name!r} for {some(lost)}"
        )
    shown = [(each, newer) for each in sent if (newer := history.newer(each))]
    own = [newer[-1] for each, newer in shown if with_history(each, newer).rerun_by is RerunBy.THIS_BATCH]
    return [run for run in own if not run.status.is_final]


async def _ended(
    client: FactoryClient, outcomes: Sequence[CancelOutcome], deadline: datetime, problems: list[str]
) -> dict[str, CancelOutcome]:
    """Wait for the trigger runs among these, one trigger after the other. :return: them, as they are then."""
    awaited = [each for each in outcomes if each.kind == "trigger" and each.requested]
    statuses: dict[str, str] = {}
    for name in dict.fromkeys(each.name for each in awaited):
        run_ids = [each.run_id for each in awaited if each.name == name]
        watch = RunsFinalWatch(client, trigger_name=name, trigger_run_ids=run_ids)
        try:
            await wait_until_done(watch, client, poll_interval=_POLL_SECONDS, deadline=deadline)
        except AdfRunsError as error:
            problems.append(str(error))
        statuses |= {run.run_id: run.status for run in watch.runs}
    return {each.run_id: replace(each, status=statuses.get(each.run_id, each.status)) for each in awaited}


async def _cancel_pipeline_runs(
    client: FactoryClient, run_ids: Sequence[str], *, dry_run: bool
) -> CancelReport:
    ids = dict.fromkeys(run_ids)
    possible = [run_id for run_id in ids if is_run_id(run_id)]
    skipped = [
        _unknown(run_id, "it is no run id of Data Factory") for run_id in ids if run_id not in possible
    ]
    known: tuple[CancelOutcome, ...] = ()
    problem = ""
    if possible:
        try:
            report = await cancel_pipeline_runs(client, possible, is_recursive=True, dry_run=dry_run)
        except PipelineRunNotFound:
            skipped += [_unknown(run_id) for run_id in possible]
        except AdfRunsError as error:
            problem = f"the pipeline runs {some(possible)} could not be read, and none was cancelled: {error}"
        else:
            known = tuple(each for each in report.runs if each.status_before is not None)
            skipped += [_unknown(each.run_id) for each in report.runs if each.status_before is None]
    return CancelReport(dry_run, known, tuple(skipped), problem)


def _unknown(run_id: str, reason: str = "the factory does not know it") -> dict[str, object]:
    return skipped_json(None, run_id, "unknown", reason)
