"""What is done about runs whose cancel is not complete: collect the evidence, cancel again on request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import AdfRunsError, OutcomeUnknown, PipelineRunEnded
from airflow_provider_adfruns.adf.queries import HISTORY
from airflow_provider_adfruns.batch.cancel_rules import OnStuck
from airflow_provider_adfruns.batch.evidence import Evidence, RunEvidence
from airflow_provider_adfruns.batch.verdict import cancelled_at, is_stuck, late_activities
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE, at_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_adfruns.adf.answers import Answer
    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import ActivityRun
    from airflow_provider_adfruns.batch.cancel_rules import CancelRules
    from airflow_provider_adfruns.batch.verdict import Finding, Memory
    from airflow_provider_adfruns.batch.watch import WatchedRun

log = logging.getLogger(__name__)

_MOST_RUNS = 50
_MOST_ACTIVITIES = 100


async def take_up(
    client: FactoryClient,
    memory: Memory,
    rules: CancelRules,
    due: Sequence[Finding],
    requests: Mapping[str, Answer],
) -> Evidence:
    """Do what the rules say about stuck and violated runs, and remember that it was done.

    A run is cancelled again by itself, not recursively: runs that it has started and that were never to be
    cancelled are not touched. A cancel whose answer is lost cannot be told from one that does nothing: it
    comes again when a look, half a minute later or more, has shown that the run is Canceling still. One that
    is refused is logged and stands in the evidence with its status; the wait goes on.

    :param due: what to do it about, as a look has just found it.
    :param requests: the answers that accepted the runs' cancels, by run id, as far as they are known.
    :return: the evidence, with the answers to the new cancels.
    """
    unclear: list[str] = []
    if rules.on_stuck is OnStuck.CANCEL_AGAIN:
        going_on = [each.run for each in due if not each.run.is_final]
        clear = await at_once(_cancel_again(client, run) for run in going_on)
        unclear = [run.run_id for run, is_clear in zip(going_on, clear, strict=True) if not is_clear]
    now = await client.now()
    memory.note(due, now)
    if rules.stuck_after:
        memory.acted_at.update(dict.fromkeys(unclear, now - rules.stuck_after + QUERY_LAG_PATIENCE))
    reason = f"the cancel of {len(due)} runs is stuck or violated"
    return await gather_evidence(client, memory, rules, [each.run for each in due], reason, requests)


async def _cancel_again(client: FactoryClient, run: WatchedRun) -> bool:
    """Cancel a run. :return: whether it is known what became of that."""
    try:
        await client.cancel_pipeline_run(run.run_id, is_recursive=False)
    except PipelineRunEnded:
        log.info("Pipeline run %s (%s) has ended meanwhile", run.run_id, run.name)
    except OutcomeUnknown as error:
        log.warning("Pipeline run %s (%s): %s", run.run_id, run.name, error)
        return False
    except AdfRunsError as error:
        log.error("Pipeline run %s (%s): %s", run.run_id, run.name, error)  # noqa: TRY400 - for people
    else:
        log.warning("Pipeline run %s (%s) is Canceling still: cancelled again", run.run_id, run.name)
    return True


async def gather_evidence(
    client: FactoryClient,
    memory: Memory,
    rules: CancelRules,
    runs: Sequence[WatchedRun],
    reason: str,
    requests: Mapping[str, Answer],
) -> Evidence:
    """Collect what proves the state of runs: 50 of them at most, each with 100 activity runs at most.

    :param runs: what to prove something about.
    :param reason: what was found, to begin with.
    :param requests: see ``take_up``.
    """
    told = await at_once(
        _of_run(client, rules, run, _cancel_of(run, memory, requests)) for run in runs[:_MOST_RUNS]
    )
    return Evidence(
        address=client.connection.address,
        reason=reason,
        seen_at=await client.now(),
        runs=tuple(told),
        left_out=max(0, len(runs) - _MOST_RUNS),
        not_final=sum(not run.is_final for run in memory.runs.values()),
    )


def _cancel_of(run: WatchedRun, memory: Memory, requests: Mapping[str, Answer]) -> list[Answer]:
    """Return the answer to the request that cancelled a run: its own, or that of a run above it."""
    above: WatchedRun | None = run
    while above is not None and above.run_id not in requests:
        above = memory.runs.get(above.parent_run_id or "")
    return [] if above is None else [requests[above.run_id]]


async def _of_run(
    client: FactoryClient, rules: CancelRules, run: WatchedRun, cancel: Sequence[Answer]
) -> RunEvidence:
    now = await client.now()
    activities: list[ActivityRun] = []
    if run.kind == "pipeline":
        activities = await client.query_activity_runs(
            run.run_id,
            last_updated_after=min(run.started_at or now, now - HISTORY),
            last_updated_before=now + AHEAD,
        )
    late = {each.activity_run_id for each in late_activities(run, activities, rules)}
    activities.sort(key=lambda each: (each.activity_run_id not in late, each.end is not None))
    return RunEvidence(
        run=run,
        since=cancelled_at(run, rules),
        is_stuck=is_stuck(run, rules, now),
        activities=tuple(activities[:_MOST_ACTIVITIES]),
        late=tuple(sorted(late)),
        activities_left_out=max(0, len(activities) - _MOST_ACTIVITIES),
        answers=(*cancel, *client.answers_about(run.run_id)),
    )
