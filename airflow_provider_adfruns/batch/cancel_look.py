"""One look at runs that are being cancelled, and the evidence of a wait for them that ended badly."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.cancel_rules import OnStuck
from airflow_provider_adfruns.batch.final_watch import RunsFinalWatch
from airflow_provider_adfruns.batch.stuck import gather_evidence, take_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from airflow_provider_adfruns.adf.answers import Answer
    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch.cancel_rules import CancelRules
    from airflow_provider_adfruns.batch.evidence import Evidence
    from airflow_provider_adfruns.batch.verdict import Memory

log = logging.getLogger(__name__)

_LAG_POLL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Look:
    """What one look has seen.

    :param memory: what is known of the runs.
    :param unfinished: the runs that are not final, as people want them told.
    :param now: the service's time.
    :param evidence: about runs that it found stuck or violated, None if there are none.
    """

    memory: Memory
    unfinished: list[str]
    now: datetime
    evidence: Evidence | None


async def look_once(
    client: FactoryClient, watch: RunsFinalWatch, rules: CancelRules, requests: Mapping[str, Answer]
) -> Look:
    """Look at all runs once, and do what is to be done about stuck ones.

    Queries lag, and what a look knows may end with it: so one that misses a trigger run looks again until
    the run is there, or the watch says that there is none.

    :param watch: of the runs, by the same rules.
    :param requests: the answers that accepted the runs' cancels, by run id, as far as they are known.
    """
    await watch.look()
    while not watch.has_seen_all:
        await pause(_LAG_POLL_SECONDS)
        await watch.look()
    log.info("%s", watch.progress())
    evidence = None
    if watch.due and rules.on_stuck is OnStuck.FAIL:
        await watch.read_rest()
    if watch.due:
        evidence = await take_up(client, watch.memory, rules, watch.due, requests)
    return Look(watch.memory, watch.unfinished(), await client.now(), evidence)


async def prove(
    client: FactoryClient,
    memory: Memory,
    rules: CancelRules,
    run_ids: Iterable[str],
    reason: str,
    requests: Mapping[str, Answer],
) -> Evidence:
    """Collect the evidence about runs of a wait that has ended badly, and about what else is violated.

    :param run_ids: runs that the memory knows.
    :param reason: what was found, to begin with.
    :param requests: see ``look_once``.
    """
    watch = RunsFinalWatch(client, rules=rules, memory=memory)
    await watch.read_rest()
    named = dict.fromkeys([*(each.run.run_id for each in watch.due), *run_ids])
    runs = [memory.runs[run_id] for run_id in named]
    return await gather_evidence(client, memory, rules, runs, reason, requests)
