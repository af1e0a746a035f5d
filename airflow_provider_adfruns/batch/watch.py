"""Follow many runs to their end: one watch a task, by factory queries of what changed since the last look."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_adfruns.adf.errors import TriggerRunNotFound, WaitTimedOut
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.queries import HISTORY, RunFilter
from airflow_provider_adfruns.batch.report import columns, some

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import PipelineRun, TriggerRun

_Result = TypeVar("_Result")

log = logging.getLogger(__name__)

QUERY_LAG_PATIENCE = timedelta(seconds=30)
"""How long a run may stay out of queries before it counts as not there (1-3 s are recorded)."""

AHEAD = timedelta(days=1)
"""How far ahead queries reach, which the service accepts (recorded): no clock cuts off the newest."""

_OVERLAP = timedelta(minutes=2)
_FULL_LOOK_EVERY = 20
_FEW_RUNS = 20
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """The latest that is known of a run."""

    kind: str
    run_id: str
    name: str
    status: str
    is_final: bool
    parent_run_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "kind": self.kind,
            "run_id": self.run_id,
            "name": self.name,
            "status": self.status,
            "is_final": self.is_final,
            "parent_run_id": self.parent_run_id,
        }


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

    async def span(self) -> tuple[datetime, datetime]:
        """Return the next query's times: updated after, updated before."""
        now = await self._client.now()
        full = self._last_look is None or self._looks % _FULL_LOOK_EVERY == 0
        after = (
            self._start if full or self._last_look is None else max(self._start, self._last_look - _OVERLAP)
        )
        self._looks += 1
        self._last_look = now
        return after, now + AHEAD


class RunsFinalWatch:
    """Pipeline runs, with all their children on request, and one trigger's runs, until all are final.

    :param client: the factory.
    :param pipeline_run_ids: pipeline runs to follow.
    :param include_children: also the runs that ExecutePipeline activities of those started, at any depth.
    :param trigger_name: the trigger of ``trigger_run_ids``.
    :param trigger_run_ids: trigger runs to follow.
    """

    def __init__(
        self,
        client: FactoryClient,
        *,
        pipeline_run_ids: Iterable[str] = (),
        include_children: bool = False,
        trigger_name: str | None = None,
        trigger_run_ids: Iterable[str] = (),
    ) -> None:
        self._client = client
        self._include_children = include_children
        self._trigger_name = trigger_name
        self._pipeline_run_ids = list(pipeline_run_ids)
        self._trigger_run_ids = list(trigger_run_ids)
        self._runs: dict[str, WatchedRun] = {}
        self._searched_when_final: set[str] = set()
        self._earliest_start: datetime | None = None
        self._pipeline_changes: ChangeQuery | None = None
        self._trigger_changes: ChangeQuery | None = None
        self._missing_since: datetime | None = None

    @property
    def runs(self) -> list[WatchedRun]:
        """The runs as last seen, children after the runs that were asked for."""
        return list(self._runs.values())

    def unfinished(self) -> list[str]:
        """Name what is not final yet."""
        named = [
            f"{run.kind} run {run.run_id} ({run.name}, {run.status})" for run in self.runs if not run.is_final
        ]
        unseen = [run_id for run_id in self._trigger_run_ids if run_id not in self._runs]
        return named + [f"trigger run {run_id} (not visible)" for run_id in unseen]

    def progress(self) -> str:
        """Say in one line how far it is."""
        counts: dict[str, int] = {}
        for run in self.runs:
            counts[run.status] = counts.get(run.status, 0) + 1
        final = sum(run.is_final for run in self.runs)
        shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        return f"{final} of {len(self.runs)} runs final: {shown}"

    async def look(self) -> bool:
        """Look once at all runs that are not final.

        :return: whether all are final.
        :raises PipelineRunNotFound: for an unknown pipeline run.
        :raises TriggerRunNotFound: for a trigger run that stays out of queries for longer than they lag.
        """
        if self._pipeline_run_ids:
            await self._look_at_pipeline_runs()
        if self._trigger_run_ids:
            await self._look_at_trigger_runs()
        return not self.unfinished()

    async def _look_at_pipeline_runs(self) -> None:
        unseen = [run_id for run_id in self._pipeline_run_ids if run_id not in self._runs]
        for run in await at_once(self._client.get_pipeline_run(run_id) for run_id in unseen):
            self._see(run)
        pending = [run.run_id for run in self.runs if run.kind == "pipeline" and not run.is_final]
        if len(pending) > _FEW_RUNS:
            await self._query_pipeline_runs()
        elif not unseen:
            for run in await at_once(self._client.get_pipeline_run(run_id) for run_id in pending):
                self._see(run)
        if self._include_children:
            await self._find_children()

    async def _query_pipeline_runs(self) -> None:
        if self._pipeline_changes is None:
            start = self._earliest_start or await self._client.now() - HISTORY
            self._pipeline_changes = ChangeQuery(self._client, start)
        after, before = await self._pipeline_changes.span()
        for run in await self._client.query_pipeline_runs(
            last_updated_after=after, last_updated_before=before
        ):
            parent = run.invoked_by.pipeline_run_id if run.invoked_by else None
            if run.run_id in self._runs or (self._include_children and parent in self._runs):
                self._see(run)

    async def _find_children(self) -> None:
        """Search each run's activities at every look until it is final, and once after: some come late."""
        searched: set[str] = set()
        while todo := [
            run
            for run in self.runs
            if run.kind == "pipeline"
            and run.run_id not in searched
            and run.run_id not in self._searched_when_final
        ]:
            families = await at_once(child_run_ids(self._client, run.run_id) for run in todo)
            for run, children in zip(todo, families, strict=True):
                searched.add(run.run_id)
                if run.is_final:
                    self._searched_when_final.add(run.run_id)
                new = [child for child in children if child not in self._runs]
                for child in await at_once(self._client.get_pipeline_run(child) for child in new):
                    self._see(child, parent_run_id=run.run_id)

    async def _look_at_trigger_runs(self) -> None:
        if self._trigger_changes is None:
            self._trigger_changes = ChangeQuery(self._client, await self._client.now() - HISTORY)
        wanted = set(self._trigger_run_ids)
        if all(run_id in self._runs and self._runs[run_id].is_final for run_id in wanted):
            return
        for run in await query_trigger(self._client, self._trigger_name or "", self._trigger_changes):
            if run.trigger_run_id in wanted:
                self._runs[run.trigger_run_id] = WatchedRun(
                    "trigger", run.trigger_run_id, run.trigger_name, run.status, run.status.is_final
                )
        missing = sorted(wanted - set(self._runs))
        if not missing:
            self._missing_since = None
            return
        self._missing_since = self._missing_since or await self._client.now()
        if await self._client.now() - self._missing_since > QUERY_LAG_PATIENCE:
            raise TriggerRunNotFound(
                f"trigger {self._trigger_name!r} of {self._client.connection.address} has no run"
                f" {some(missing)} within the last 45 days. Check the ids and the trigger's name."
            )

    def _see(self, run: PipelineRun, parent_run_id: str | None = None) -> None:
        parent = parent_run_id or (run.invoked_by.pipeline_run_id if run.invoked_by else None)
        if run.run_start:
            self._earliest_start = min(run.run_start, self._earliest_start or run.run_start)
        known = self._runs.get(run.run_id)
        if known and known.is_final:
            return  # a lagging query cannot take a final status back
        self._runs[run.run_id] = WatchedRun(
            "pipeline", run.run_id, run.pipeline_name, run.status, run.status.is_final, parent
        )


async def query_trigger(client: FactoryClient, trigger_name: str, changes: ChangeQuery) -> list[TriggerRun]:
    """Query what changed of one trigger's runs."""
    after, before = await changes.span()
    return await client.query_trigger_runs(
        last_updated_after=after,
        last_updated_before=before,
        filters=[RunFilter("TriggerName", "Equals", (trigger_name,))],
    )


async def child_run_ids(client: FactoryClient, run_id: str) -> list[str]:
    """Return the ids of the runs that a pipeline run's ExecutePipeline activities have started."""
    now = await client.now()
    activities = await client.query_activity_runs(
        run_id,
        last_updated_after=now - HISTORY,
        last_updated_before=now + AHEAD,
        filters=[RunFilter("ActivityType", "Equals", ("ExecutePipeline",))],
    )
    return [activity.child_run_id for activity in activities if activity.child_run_id]


async def at_once(calls: Iterable[Awaitable[_Result]]) -> list[_Result]:
    """Run calls side by side, a few at a time, and return their results in order.

    All run to their end before the first error, if there is one, is raised: no call is left half done.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Awaitable[_Result]) -> _Result:
        async with gate:
            return await call

    results = await asyncio.gather(*(one(call) for call in calls), return_exceptions=True)
    done: list[_Result] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done


def runs_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return runs for people, a line each.

    :param runs: as ``WatchedRun.to_json`` gives them.
    """
    rows = [("kind", "run", "name", "status", "started by")]
    rows.extend(
        (run["kind"], run["run_id"], run["name"], run["status"], run["parent_run_id"] or "-") for run in runs
    )
    return "\n".join(columns(rows))
