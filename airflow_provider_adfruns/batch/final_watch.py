"""RunsFinalWatch: pipeline runs, their children and trigger runs until all are final, or one is stuck."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import TriggerRunNotFound
from airflow_provider_adfruns.adf.queries import HISTORY
from airflow_provider_adfruns.batch.cancel_rules import CancelRules
from airflow_provider_adfruns.batch.report import some
from airflow_provider_adfruns.batch.tree import RunTree
from airflow_provider_adfruns.batch.verdict import Finding, Memory, due
from airflow_provider_adfruns.batch.watch import (
    QUERY_LAG_PATIENCE,
    ChangeQuery,
    WatchedRun,
    query_trigger,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient


class RunsFinalWatch:
    """Pipeline runs, with all their children on request, and one trigger's runs, until all are final.

    :param client: the factory.
    :param pipeline_run_ids: pipeline runs to follow.
    :param include_children: also the runs that ExecutePipeline activities of those started, at any depth.
    :param trigger_name: the trigger of ``trigger_run_ids``.
    :param trigger_run_ids: trigger runs to follow.
    :param rules: with these a look also ends the wait when something is to be done about a cancel.
    :param memory: what an earlier watch of these runs knew; brought up to date.
    """

    def __init__(
        self,
        client: FactoryClient,
        *,
        pipeline_run_ids: Iterable[str] = (),
        include_children: bool = False,
        trigger_name: str | None = None,
        trigger_run_ids: Iterable[str] = (),
        rules: CancelRules | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.memory = memory or Memory()
        self.due: list[Finding] = []
        self.is_done = False
        self._client = client
        self._rules = rules or CancelRules()
        self._tree = RunTree(
            client, pipeline_run_ids, include_children=include_children, rules=rules, memory=self.memory
        )
        self._trigger_name = trigger_name
        self._trigger_run_ids = list(trigger_run_ids)
        self._trigger_changes: ChangeQuery | None = None
        self._missing_since: datetime | None = None
        self._unsettled: list[str] = []

    @property
    def runs(self) -> list[WatchedRun]:
        """The runs as last seen: pipeline runs asked for, their children, trigger runs."""
        return self._tree.runs + [run for run in self.memory.runs.values() if run.kind == "trigger"]

    def unfinished(self) -> list[str]:
        """Name what is not final yet, and the runs that may turn out to have started others."""
        named = [
            f"{run.kind} run {run.run_id} ({run.name}, {run.status})" for run in self.runs if not run.is_final
        ]
        unseen = [run_id for run_id in self._trigger_run_ids if run_id not in self.memory.runs]
        named += [f"trigger run {run_id} (not visible)" for run_id in unseen]
        return named + [
            f"pipeline run {run_id} ({self.memory.runs[run_id].status} a moment ago, queries may not show"
            " everything it has started)"
            for run_id in self._unsettled
        ]

    def progress(self) -> str:
        """Say in one line how far it is."""
        counts = Counter(run.status for run in self.runs)
        final = sum(run.is_final for run in self.runs)
        shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        return f"{final} of {len(self.runs)} runs final: {shown}"

    @property
    def has_seen_all(self) -> bool:
        """Whether each trigger run has shown in a query; pipeline runs can be read from the start."""
        return self.memory.runs.keys() >= {*self._trigger_run_ids}

    async def look(self) -> bool:
        """Look once at all runs that are not final.

        :return: whether all are final (``is_done``), or something is to be done about some (``due``).
        :raises PipelineRunNotFound: for an unknown pipeline run.
        :raises TriggerRunNotFound: for a trigger run that stays out of queries for longer than they lag.
        """
        await self._tree.look()
        if self._trigger_run_ids:
            await self._look_at_trigger_runs()
        now = await self._client.now()
        self.due = []
        await self._judge(now)
        self._unsettled = self._tree.unsettled(now)
        self.memory.runs = {run.run_id: run for run in self.runs}
        self.is_done = not self.unfinished()
        return self.is_done or bool(self.due)

    async def read_rest(self) -> None:
        """Read what looks have left to later ones, where none is to follow, and judge again.

        Looks read the activities of many runs that are not final a few at a time, to save requests.
        """
        await self._tree.read_rest()
        await self._judge(await self._client.now())

    async def _judge(self, now: datetime) -> None:
        """Find what is due, by runs got by themselves: a query may show them as they were before."""
        known = {each.run.run_id for each in self.due}
        found = [each.run for each in due(self.memory, self._rules, now)]
        await self._tree.get([run.run_id for run in found if not (run.is_final or run.run_id in known)])
        self.due = due(self.memory, self._rules, now)

    async def _look_at_trigger_runs(self) -> None:
        if self._trigger_changes is None:
            self._trigger_changes = ChangeQuery(self._client, await self._client.now() - HISTORY)
        known = self.memory.runs
        if all(run_id in known and known[run_id].is_final for run_id in self._trigger_run_ids):
            return
        wanted = set(self._trigger_run_ids)
        for run in await query_trigger(self._client, self._trigger_name or "", self._trigger_changes):
            before = known.get(run.trigger_run_id)
            if run.trigger_run_id in wanted and not (before and before.is_final):
                known[run.trigger_run_id] = WatchedRun(
                    kind="trigger",
                    run_id=run.trigger_run_id,
                    name=run.trigger_name,
                    status=run.status,
                    is_final=run.status.is_final,
                    status_before=(before.status_before if before else None) or run.status,
                )
        missing = sorted(wanted - set(known))
        if not missing:
            self._missing_since = None
            return
        self._missing_since = self._missing_since or await self._client.now()
        if await self._client.now() - self._missing_since > QUERY_LAG_PATIENCE:
            raise TriggerRunNotFound(
                f"trigger {self._trigger_name!r} of {self._client.connection.address} has no run"
                f" {some(missing)} within the last 45 days. Check the ids and the trigger's name."
            )


async def read_tree(client: FactoryClient, run_ids: Iterable[str]) -> list[WatchedRun]:
    """Read pipeline runs and all that they have started, at any depth, as they are now.

    :param client: the factory.
    :param run_ids: the runs at the top.
    :return: these and, after them, their children, each with ``parent_run_id``.
    :raises PipelineRunNotFound: for an unknown run.
    """
    tree = RunTree(client, run_ids, include_children=True)
    await tree.look()
    return tree.runs
