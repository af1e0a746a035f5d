"""Pipeline runs and the runs they have started, read within a budget of requests; judges nothing.

A few runs are got one by one, and the activities of each tell its children. Many are found by factory
queries: first those that are not final, then what changed since the last look, and now and then once more
those that are not final, for a query may lag or lose a page; a run that is missing there is got by itself.
Their children name the run that started them in ``invokedBy`` (in the spec), so that no run's activities have
to be read for that.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.model import EXECUTE_PIPELINE, PipelineRunStatus
from airflow_provider_adfruns.adf.queries import HISTORY, RunFilter
from airflow_provider_adfruns.batch.cancel_rules import CancelRules
from airflow_provider_adfruns.batch.verdict import Memory, late_activities, may_be_violated
from airflow_provider_adfruns.batch.watch import AHEAD, QUERY_LAG_PATIENCE, WatchedRun, at_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import ActivityRun, PipelineRun

FEW_RUNS = 20
"""Up to so many runs are got one by one."""

_FINAL = tuple(str(status) for status in PipelineRunStatus if status.is_final)
_OVERLAP = timedelta(minutes=2)
_FULL_LOOK_EVERY = 20
_RECENTLY = (timedelta(hours=1), timedelta(days=1))
_GETS_SAVED_BY_A_PAGE = 10
_SEARCHES_AHEAD = 2


class RunTree:
    """Pipeline runs, with all their children on request.

    :param client: the factory.
    :param run_ids: the runs asked for.
    :param include_children: also the runs that ExecutePipeline activities of those started, at any depth.
    :param rules: by which activities of cancelled runs are judged late.
    :param memory: what is known already; brought up to date.
    """

    def __init__(
        self,
        client: FactoryClient,
        run_ids: Iterable[str],
        *,
        include_children: bool,
        rules: CancelRules | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.memory = memory or Memory()
        self._client = client
        self._run_ids = list(run_ids)
        self._asked = frozenset(self._run_ids)
        self._include_children = include_children
        self._rules = rules or CancelRules()
        self._parents: dict[str, str] = {}
        self._doubtful: list[str] = []

    @property
    def runs(self) -> list[WatchedRun]:
        """The pipeline runs as last seen: those asked for, and then the others as they were found."""
        found = self.memory.runs
        asked = [found[run_id] for run_id in self._run_ids if run_id in found]
        return asked + [
            run for run_id, run in found.items() if run.kind == "pipeline" and run_id not in self._asked
        ]

    def pending(self) -> list[str]:
        """Return the ids of those that are not final."""
        return [run.run_id for run in self.runs if not run.is_final]

    def unsettled(self, now: datetime) -> list[str]:
        """Return the ids of those that are final, and of which queries may not show everything yet.

        :param now: the service's time.
        """
        return [
            run.run_id
            for run in self.runs
            if run.is_final and (self._is_unread(run, now) or self._hides_children(run, now))
        ]

    async def look(self) -> None:
        """Look once at all runs that are not final.

        :raises PipelineRunNotFound: for an unknown run.
        """
        unseen = [run_id for run_id in self._run_ids if run_id not in self.memory.runs]
        if self._is_small:
            await self._get(unseen or self.pending())
        elif self.memory.looked_at is None:
            await self._list(unseen)
        else:
            await self._query_changes(self.memory.looked_at)
        await self._search(self._to_search(await self._client.now()))

    async def get(self, run_ids: Sequence[str]) -> None:
        """Look at these runs by themselves, which is exact where a query lags."""
        await self._get(run_ids)

    async def read_rest(self) -> None:
        """Read the activities of every run that may have more to tell about its cancel than is known.

        A query for each run that is not final and may be violated, so only where no look is to follow: looks
        read those of many runs a few at a time, and the others when they have ended.
        """
        now = await self._client.now()
        await self._search(
            [
                run
                for run in self.runs
                if may_be_violated(run, self._rules, now) and (not run.is_final or self._is_unread(run, now))
            ]
        )

    @property
    def _is_small(self) -> bool:
        return max(len(self._run_ids), len(self.memory.runs)) <= FEW_RUNS

    # Statuses

    async def _get(self, run_ids: Iterable[str]) -> None:
        given = list(run_ids)
        found = await at_once(self._client.get_pipeline_run(run_id) for run_id in given)
        written = {one: run.run_id for one, run in zip(given, found, strict=True) if one != run.run_id}
        if written:  # the service's paths do not mind the case
            self._run_ids = list(dict.fromkeys(written.get(one, one) for one in self._run_ids))
            self._asked = frozenset(self._run_ids)
        for run in found:
            self._see(run)

    async def _list(self, unseen: Sequence[str]) -> None:
        """Find many runs for the first time: what goes on, what has ended lately, and the rest by GET.

        Of runs that were seen to go on before, when they were few, those that do not any more are among them.
        """
        now = await self._client.now()
        listed = await self._query(now - HISTORY, RunFilter("Status", "NotIn", _FINAL))
        self._take(listed)
        shown = {run.run_id for run in listed}
        sought = [run_id for run_id in (*unseen, *self.pending()) if run_id not in shown]
        for reach in _RECENTLY:
            if len(missing := self._without_end(sought)) > FEW_RUNS:
                ended = RunFilter("Status", "In", _FINAL)
                pages = len(missing) // _GETS_SAVED_BY_A_PAGE
                self._take(await self._query(now - reach, ended, most_pages=pages))
        await self._get(self._without_end(sought))
        if self._include_children:
            starts = [run.started_at for run in self.runs]
            earliest = min((start for start in starts if start), default=now - HISTORY)
            self._take(await self._query(earliest))
        self._looked(now)

    def _without_end(self, run_ids: Iterable[str]) -> list[str]:
        known = self.memory.runs
        return [run_id for run_id in run_ids if run_id not in known or not known[run_id].is_final]

    async def _query_changes(self, looked_at: datetime) -> None:
        now = await self._client.now()
        names = {self.memory.runs[run_id].name for run_id in self.pending()}
        by_name = [RunFilter("PipelineName", "In", tuple(sorted(names)))]
        narrow = by_name if names and len(names) <= FEW_RUNS and not self._include_children else []
        self._take(await self._query(looked_at - _OVERLAP, *narrow))
        if self.memory.looks % _FULL_LOOK_EVERY == 0:
            listed = await self._query(now - HISTORY, RunFilter("Status", "NotIn", _FINAL), *narrow)
            self._take(listed)
            shown = {run.run_id for run in listed}
            self._doubtful = [run_id for run_id in self.pending() if run_id not in shown]
        some, self._doubtful = self._doubtful[:FEW_RUNS], self._doubtful[FEW_RUNS:]
        await self._get(run_id for run_id in some if not self.memory.runs[run_id].is_final)
        self._looked(now)

    def _looked(self, now: datetime) -> None:
        self.memory.looked_at = now
        self.memory.looks += 1

    async def _query(
        self, after: datetime, *filters: RunFilter, most_pages: int | None = None
    ) -> list[PipelineRun]:
        before = await self._client.now() + AHEAD
        return await self._client.query_pipeline_runs(
            last_updated_after=after, last_updated_before=before, filters=filters, most_pages=most_pages
        )

    def _take(self, found: Sequence[PipelineRun]) -> None:
        """Take in what a query shows of the runs asked for and, on request, of their children."""
        wanted = {*self._run_ids, *self._parents, *self.memory.runs}
        children: dict[str, list[PipelineRun]] = {}
        todo = []
        for run in found:
            parent = run.invoked_by.pipeline_run_id if run.invoked_by else None
            if run.run_id in wanted:
                todo.append(run)
            elif parent and self._include_children:
                children.setdefault(parent, []).append(run)
        todo += [child for parent in wanted for child in children.pop(parent, ())]
        while todo:
            run = todo.pop(0)
            self._see(run)
            todo += children.pop(run.run_id, ())

    def _see(self, run: PipelineRun) -> None:
        known = self.memory.runs.get(run.run_id)
        if known and known.is_final:
            return  # a lagging query cannot take a final status back
        since = known.canceling_since if known else None
        if run.status is PipelineRunStatus.CANCELING and since is None:
            since = run.last_updated
        self.memory.runs[run.run_id] = WatchedRun(
            kind="pipeline",
            run_id=run.run_id,
            name=run.pipeline_name,
            status=run.status,
            is_final=run.status.is_final,
            parent_run_id=self._parents.get(run.run_id)
            or (run.invoked_by.pipeline_run_id if run.invoked_by else None),
            status_before=(known.status_before if known else None) or run.status,
            started_at=run.run_start,
            ended_at=run.run_end or (run.last_updated if run.status.is_final else None),
            canceling_since=since,
        )

    # Activities: children of a few runs, and activities that started late

    async def _search(self, todo: Sequence[WatchedRun]) -> None:
        """Read the activities of runs, and of a few runs those of children found by that as well."""
        searched: set[str] = set()
        while todo:
            searched.update(run.run_id for run in todo)
            families = await at_once(self._search_one(run) for run in todo)
            for run, activities in zip(todo, families, strict=True):
                for child in (each.child_run_id for each in activities if each.child_run_id):
                    self._parents[child] = run.run_id
            new = [child for child in self._parents if child not in self.memory.runs]
            if not self._include_children or not new:
                return
            if self._is_small and len(self.memory.runs) + len(new) > FEW_RUNS:
                await self._list(new)
                return
            await self._get(new)
            found = self._to_search(await self._client.now()) if self._is_small else []
            todo = [run for run in found if run.run_id not in searched]

    async def _search_one(self, run: WatchedRun) -> list[ActivityRun]:
        """Read the activities of a run: all where they are judged, else only those with children."""
        asked = await self._client.now()
        judged = may_be_violated(run, self._rules, asked)
        only_children = [RunFilter("ActivityType", "Equals", (EXECUTE_PIPELINE,))]
        activities = await self._client.query_activity_runs(
            run.run_id,
            last_updated_after=min(run.started_at or asked, asked - HISTORY),
            last_updated_before=asked + AHEAD,
            filters=[] if judged else only_children,
        )
        self.memory.searched_at[run.run_id] = asked
        if late := late_activities(run, activities, self._rules):
            self.memory.late[run.run_id] = tuple(each.activity_run_id for each in late)
        return activities

    def _to_search(self, now: datetime) -> list[WatchedRun]:
        """Return the runs whose activities are to be read now: of many as few as the verdict allows.

        Of many runs each is read once, when it has ended and queries show all of it. Before that it costs few
        requests to look at two of them at each look, the longest unread first.
        """
        ended = [run for run in self.runs if run.is_final and self._is_unread(run, now)]
        running = [run for run in self.runs if not run.is_final and self._has_to_tell(run, now)]
        if self._is_small:
            return ended + running
        running.sort(key=lambda run: self.memory.searched_at.get(run.run_id, now - HISTORY))
        return [run for run in ended if _settled_at(run, now) <= now] + running[:_SEARCHES_AHEAD]

    def _has_to_tell(self, run: WatchedRun, now: datetime) -> bool:
        """Say whether a run's activities tell something that nothing else does."""
        return (self._is_small and self._include_children) or may_be_violated(run, self._rules, now)

    def _is_unread(self, run: WatchedRun, now: datetime) -> bool:
        """Say whether a final run's activities have to be read once more."""
        read = self.memory.searched_at.get(run.run_id)
        return self._has_to_tell(run, now) and (read is None or read < _settled_at(run, now))

    def _hides_children(self, run: WatchedRun, now: datetime) -> bool:
        """Say whether queries may not show yet what a final run, one of many, has started."""
        if self._is_small or not self._include_children or self.memory.looked_at is None:
            return False
        return self.memory.looked_at < _settled_at(run, now)


def _settled_at(run: WatchedRun, now: datetime) -> datetime:
    """Return from when on queries show all of a final run."""
    return now if run.ended_at is None else run.ended_at + QUERY_LAG_PATIENCE
