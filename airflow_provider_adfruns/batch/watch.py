"""Waiting for runs: what is known of one, look after look until a deadline, and since when to query."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from airflow_provider_adfruns.adf.errors import WaitTimedOut
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.queries import RunFilter
from airflow_provider_adfruns.batch.report import columns, some

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import TriggerRun

_Result = TypeVar("_Result")

log = logging.getLogger(__name__)

QUERY_LAG_PATIENCE = timedelta(seconds=30)
"""How long a run may stay out of queries before it counts as not there (1-3 s are recorded)."""

AHEAD = timedelta(days=1)
"""How far ahead queries reach, which the service accepts (recorded): no clock cuts off the newest."""

_OVERLAP = timedelta(minutes=2)
_FULL_LOOK_EVERY = 20
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """The latest that is known of a run.

    :param kind: ``pipeline`` or ``trigger``.
    :param name: the pipeline's or trigger's name.
    :param parent_run_id: the pipeline run whose ExecutePipeline activity has started it; None if nobody's.
    :param status_before: its status when it was first seen.
    :param started_at: when it began, None for a trigger run.
    :param ended_at: when it ended, None while it is not final and for a trigger run.
    :param canceling_since: since when it is known to be, or to have been, Canceling; None if it never was.
    """

    kind: str
    run_id: str
    name: str
    status: str
    is_final: bool
    parent_run_id: str | None = None
    status_before: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    canceling_since: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: times in ISO 8601."""
        return {
            "kind": self.kind,
            "run_id": self.run_id,
            "name": self.name,
            "status": self.status,
            "is_final": self.is_final,
            "parent_run_id": self.parent_run_id,
            "status_before": self.status_before,
            "started_at": _text(self.started_at),
            "ended_at": _text(self.ended_at),
            "canceling_since": _text(self.canceling_since),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        times = {name: _time(data[name]) for name in ("started_at", "ended_at", "canceling_since")}
        return cls(**{**data, **times})


def _text(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


class Watch(Protocol):
    """Something that is looked at until it is done."""

    async def look(self) -> bool:
        """Look once. :return: whether it is done."""

    def unfinished(self) -> list[str]:
        """Name what is not final yet."""

    def progress(self) -> str:
        """Say in one line how far it is."""


async def wait_until_done(
    watch: Watch, client: FactoryClient, *, poll_interval: float, deadline: datetime
) -> None:
    """Look until the watch is done.

    :param poll_interval: seconds between looks.
    :param deadline: in the service's time.
    :raises WaitTimedOut: at the deadline; names what is not final. Nothing is cancelled.
    """
    said = ""
    while not await watch.look():
        now = watch.progress()
        if now != said:
            log.info("%s", now)
            said = now
        remaining = (deadline - await client.now()).total_seconds()
        if remaining <= 0:
            names = watch.unfinished()
            raise WaitTimedOut(
                f"the wait ended at its deadline {deadline.isoformat()} with {len(names)} not final:"
                f" {some(names)}. They were left as they are; wait longer with a larger timeout, or look at"
                " them in ADF Studio."
            )
        await pause(min(poll_interval, max(remaining, 1.0)))
    log.info("%s", watch.progress())


class ChangeQuery:
    """Decides since when to query: what changed since the last look, now and then everything.

    :param client: for the service's time.
    :param start: since when everything has to be seen.
    """

    def __init__(self, client: FactoryClient, start: datetime) -> None:
        self._client = client
        self._start = start
        self._looks = 0
        self._last_look: datetime | None = None

    async def span(self, *, full: bool = False) -> tuple[datetime, datetime]:
        """Return the next query's times: updated after, updated before.

        :param full: ask for everything once more.
        """
        now = await self._client.now()
        full = full or self._last_look is None or self._looks % _FULL_LOOK_EVERY == 0
        after = (
            self._start if full or self._last_look is None else max(self._start, self._last_look - _OVERLAP)
        )
        self._looks += 1
        self._last_look = now
        return after, now + AHEAD


async def query_trigger(
    client: FactoryClient, trigger_name: str, changes: ChangeQuery, *, full: bool = False
) -> list[TriggerRun]:
    """Query what changed of one trigger's runs.

    :param full: query everything once more.
    """
    after, before = await changes.span(full=full)
    return await client.query_trigger_runs(
        last_updated_after=after,
        last_updated_before=before,
        filters=[RunFilter("TriggerName", "Equals", (trigger_name,))],
    )


async def at_once(calls: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Run calls side by side, a few at a time, and return their results in order.

    All run to their end before the first error, if there is one, is raised: no call is left half done. Where
    the wait for them is cancelled, calls that have not begun never do.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    waiting = list(calls)

    async def one(call: Coroutine[Any, Any, _Result]) -> _Result:
        async with gate:
            return await call

    tasks = [asyncio.create_task(one(call)) for call in waiting]
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for call in waiting:
            call.close()
    return [task.result() for task in tasks]


def runs_table(runs: Sequence[WatchedRun]) -> str:
    """Return runs for people, a line each; children stand indented below the run that started them."""
    rows = [("kind", "run", "name", "was", "now")]
    rows.extend(
        (run.kind, "  " * depth + run.run_id, run.name, run.status_before or "-", run.status)
        for depth, run in family_order(runs)
    )
    return "\n".join(columns(rows))


class _Started(Protocol):
    """Something that a pipeline run may have started."""

    @property
    def run_id(self) -> str: ...

    @property
    def parent_run_id(self) -> str | None: ...


_Run = TypeVar("_Run", bound=_Started)


def family_order(runs: Sequence[_Run]) -> list[tuple[int, _Run]]:
    """Return runs so that each stands after the one that started it, with how deep it stands."""
    known = {run.run_id for run in runs}
    children: dict[str | None, list[_Run]] = {}
    for run in runs:
        parent = run.parent_run_id if run.parent_run_id in known else None
        children.setdefault(parent, []).append(run)
    ordered: list[tuple[int, _Run]] = []
    waiting = [(0, run) for run in reversed(children.get(None, []))]
    while waiting:
        depth, run = waiting.pop()
        ordered.append((depth, run))
        waiting.extend((depth + 1, child) for child in reversed(children.get(run.run_id, [])))
    return ordered
