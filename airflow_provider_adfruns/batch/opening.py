"""Begin a batch of window reruns, or take up the one that an earlier try has begun."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_adfruns.batch.clearing import reopen
from airflow_provider_adfruns.batch.deadline import refuse_past
from airflow_provider_adfruns.batch.ledger import Ledger, Phase, fingerprint
from airflow_provider_adfruns.batch.planning import plan_rerun, resume_rerun
from airflow_provider_adfruns.batch.report import Step
from airflow_provider_adfruns.batch.watch import QUERY_LAG_PATIENCE

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import TriggerRunStatus
    from airflow_provider_adfruns.batch.report import RerunReport
    from airflow_provider_adfruns.batch.selection import WindowSelection

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """A batch that is to be submitted.

    :param is_taken_up: an earlier try has begun it.
    :param is_cleared: and a person has cleared the task since: ``after_clear`` comes first.
    """

    ledger: Ledger
    report: RerunReport
    is_taken_up: bool = False
    is_cleared: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task is asked to rerun; see ``plan_rerun`` for the parameters.

    :param deadline: a new batch is refused if this is over by the service's clock; None for no deadline.
    :param had_waited: windows are chosen whose runs wait, to be cancelled first.
    """

    selection: WindowSelection
    statuses: frozenset[TriggerRunStatus] | None
    max_windows: int
    max_in_flight: int | None
    newest_first: bool
    dry_run: bool
    deadline: datetime | None
    had_waited: bool = False


@dataclass(frozen=True, slots=True)
class Try:
    """The try of a task instance that works on a batch.

    :param owner: names it in logs.
    :param max_tries: the task instance's; a change tells of a person's clear.
    :param may_hide_reruns: see ``plan_rerun``.
    :param patience_seconds: how long reruns that are being cancelled are waited for after a clear.
    """

    owner: str
    max_tries: int
    may_hide_reruns: bool
    patience_seconds: float


async def open_batch(client: FactoryClient, asked: Asked, known: Ledger | None, this: Try) -> Batch:
    """Resume the batch that an earlier try has left open or has not told the success of, else plan a new one.

    :param known: what an earlier try has kept, if anything.
    :raises AdfRunsError: see ``plan_rerun`` and ``resume_rerun``.
    """
    ledger = left_open(client, asked, known, this)
    if ledger is not None:
        return await take_up(client, asked, ledger, this)
    await refuse_past(client, asked.deadline)
    report = await plan_rerun(
        client,
        asked.selection,
        asked.statuses,
        max_windows=asked.max_windows,
        max_in_flight=asked.max_in_flight,
        dry_run=asked.dry_run,
        may_hide_reruns=this.may_hide_reruns,
    )
    return begin(client, asked, report, this, Phase.SUBMITTING)


def _fingerprint(client: FactoryClient, asked: Asked) -> str:
    work = {
        "selection": repr(asked.selection),
        "statuses": sorted(asked.statuses or ()),
        "had_waited": asked.had_waited,
    }
    return f"{_place(client, asked)}/{fingerprint(work)}"


def _place(client: FactoryClient, asked: Asked) -> str:
    return fingerprint(
        {"trigger_name": asked.selection.trigger_name, "factory": repr(client.connection.address)}
    )


def _is_same_work(client: FactoryClient, asked: Asked, known: Ledger) -> bool:
    return known.selection == _fingerprint(client, asked)


def is_same_trigger(client: FactoryClient, asked: Asked, known: Ledger) -> bool:
    """Say whether a batch is of the same trigger of the same factory, whichever windows were selected."""
    return known.selection.startswith(f"{_place(client, asked)}/")


def left_open(client: FactoryClient, asked: Asked, known: Ledger | None, this: Try) -> Ledger | None:
    """Return the batch that this try is to take up, None if it has to plan one.

    :param known: what an earlier try has kept, if anything.
    """
    if known is None or asked.dry_run or not known.is_resumed_with(this.max_tries):
        return None
    if not _is_same_work(client, asked, known):
        return None
    log.info(
        "Taking up batch %s, planned at %s, which try %s left while %s: %d windows",
        known.batch_id,
        known.planned_at,
        known.owner,
        known.phase,
        len(known.windows),
    )
    return known


async def take_up(client: FactoryClient, asked: Asked, ledger: Ledger, this: Try) -> Batch:
    """Resume the batch that an earlier try has left open or has not told the success of.

    :raises AdfRunsError: see ``resume_rerun``.
    """
    report = await _resume(client, asked, ledger)
    return Batch(
        ledger.taken_up(this.owner, ledger.max_tries),
        report,
        is_taken_up=True,
        is_cleared=this.max_tries != ledger.max_tries,
    )


async def _resume(client: FactoryClient, asked: Asked, ledger: Ledger) -> RerunReport:
    return await resume_rerun(client, asked.selection, asked.statuses, ledger, had_waited=asked.had_waited)


def begin(client: FactoryClient, asked: Asked, report: RerunReport, this: Try, phase: Phase) -> Batch:
    """Return a new batch.

    :param report: what is planned.
    :param phase: what comes first.
    """
    to_rerun = [outcome for outcome in report.windows if outcome.step is not Step.REFUSED]
    ledger = Ledger(
        uuid.uuid4().hex[:12],
        _fingerprint(client, asked),
        report.planned_at,
        tuple(outcome.window for outcome in to_rerun),
        phase,
        this.owner,
        newest_first=asked.newest_first,
        max_tries=this.max_tries,
        fresh=frozenset(
            outcome.window for outcome in to_rerun if outcome.ran_at >= report.planned_at - QUERY_LAG_PATIENCE
        ),
    )
    return Batch(ledger, report)


async def after_clear(client: FactoryClient, asked: Asked, batch: Batch, this: Try) -> Batch:
    """Rerun once more what has been cancelled of a batch that was taken up after a person's clear.

    :param batch: as ``open_batch`` returned it.
    :raises AdfRunsError: see ``resume_rerun``.
    """
    log.info("The task was cleared: reruns of the batch that were cancelled are sent once more")
    until = await client.now() + timedelta(seconds=this.patience_seconds)
    ledger = await reopen(client, batch.report, batch.ledger, until)
    report = await _resume(client, asked, ledger)
    return Batch(ledger.taken_up(this.owner, this.max_tries), report, is_taken_up=True)
