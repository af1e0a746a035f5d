"""Follow the reruns of tumbling windows to their end, and judge them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import WaitTimedOut
from airflow_provider_adfruns.batch.judgement import FailIf, judge
from airflow_provider_adfruns.batch.progress import Progress
from airflow_provider_adfruns.batch.report import RerunReport, Step, some
from airflow_provider_adfruns.batch.submit import RerunHistory, with_history
from airflow_provider_adfruns.batch.watch import QUERY_LAG_PATIENCE, wait_until_done

if TYPE_CHECKING:
    from airflow_provider_adfruns.adf.client import FactoryClient

log = logging.getLogger(__name__)

_LAG_POLL_SECONDS = 2.0


class RerunWatch:
    """The reruns of a report, until each awaited window's latest run is final, or there is room for more.

    :param client: the factory.
    :param report: a submitted rerun; ``report`` holds what was seen last.
    :param max_in_flight: while windows are still planned the watch is done as soon as a quarter of this many,
        or all of them, may be sent.
    """

    def __init__(self, client: FactoryClient, report: RerunReport, max_in_flight: int | None = None) -> None:
        self._client = client
        self._max_in_flight = max_in_flight
        self._history = RerunHistory(client, report.trigger_name, report.planned_at)
        self._progress = Progress()
        self._said = ""
        self.report = report

    async def look(self) -> bool:
        """Look once. :return: whether every awaited window is final, or there is room for planned ones.

        What goes through all windows is done in a thread: 50,000 would stop a triggerer's loop for 0.7 s.
        """
        if await asyncio.to_thread(self._is_done):
            return True
        if not self._said:
            await self._say()
        await self._history.look()
        self.report = await asyncio.to_thread(self._as_history_shows)
        await self._say()
        return await asyncio.to_thread(self._is_done)

    def _as_history_shows(self) -> RerunReport:
        return self.report.with_windows(
            with_history(outcome, self._history.newer(outcome)) for outcome in self.report.windows
        )

    def _is_done(self) -> bool:
        awaited = sum(outcome.is_awaited for outcome in self.report.windows)
        planned = len(self.report.planned)
        if self._max_in_flight is None or not planned:
            return not awaited
        return self._max_in_flight - awaited >= min(planned, max(1, self._max_in_flight // 4))

    @property
    def all_visible(self) -> bool:
        """Whether each submitted window's new run is known."""
        return all(each.new_run_id for each in self.report.windows if each.step is Step.SUBMITTED)

    def unfinished(self) -> list[str]:
        """Name the windows that are still awaited."""
        return [
            f"window {each.window} ({each.status or 'its rerun is not visible yet'})"
            for each in self.report.windows
            if each.is_awaited
        ] + [f"window {each.window} (not sent yet)" for each in self.report.planned]

    def progress(self) -> str:
        """Say in one line how far it is, how fast it goes and when it will end."""
        return self._said

    async def _say(self) -> None:
        now = await self._client.now()
        self._said = await asyncio.to_thread(self._progress.line, self.report, now)


async def find_new_runs(client: FactoryClient, report: RerunReport) -> RerunReport:
    """Wait only until queries show each rerun's new trigger run, or for as long as queries may lag."""
    watch = _VisibleWatch(RerunWatch(client, report))
    try:
        await wait_until_done(
            watch, client, poll_interval=_LAG_POLL_SECONDS, deadline=await client.now() + QUERY_LAG_PATIENCE
        )
    except WaitTimedOut:
        log.warning("Not all reruns are visible in queries yet: %s", some(watch.unfinished()))
    return watch.reruns.report


class _VisibleWatch:
    """A rerun's watch that is done as soon as all new runs can be seen."""

    def __init__(self, reruns: RerunWatch) -> None:
        self.reruns = reruns

    async def look(self) -> bool:
        return await self.reruns.look() or self.reruns.all_visible

    def unfinished(self) -> list[str]:
        return self.reruns.unfinished()

    def progress(self) -> str:
        return self.reruns.progress()


def check_outcome(report: RerunReport, fail_if: FailIf = FailIf.ANY) -> None:
    """Judge a rerun at its end; what was left alone is no problem.

    :param fail_if: how many windows may be not whole again.
    :raises RunsNotAsWanted: names the windows that failed again, were refused, or whose outcome is unclear,
        and the run ids that are unknown.
    """
    lines = report.problem_lines()
    judge(
        f"{len(lines)} of {len(report.windows) + len(report.unknown)} windows of trigger "
        f"{report.trigger_name!r} are not whole again: {some(lines)}",
        problems=len(lines),
        good=sum(each.succeeded or each.is_awaited for each in report.windows),
        fail_if=fail_if,
    )
