"""What the operators share that cancel: requesting, waiting until the runs are final, judging."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.killing import killable
from airflow_provider_adfruns.operators.base import AdfRunsOperator
from airflow_provider_adfruns.parameters import as_bool, is_templated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime

    from airflow.sdk import Context

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.errors import AdfRunsError
    from airflow_provider_adfruns.batch import cancel_report as reports
    from airflow_provider_adfruns.batch import final_watch as final_watches
    from airflow_provider_adfruns.batch import watch as watches
    from airflow_provider_adfruns.triggers import runs as triggers

    Request = Callable[[FactoryClient, datetime], Awaitable[reports.CancelReport]]
else:
    reports = Lazily("airflow_provider_adfruns.batch.cancel_report")
    final_watches = Lazily("airflow_provider_adfruns.batch.final_watch")
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    triggers = Lazily("airflow_provider_adfruns.triggers.runs")


class _Begun(NamedTuple):
    """How far the worker came: with a deadline the rest of the wait is the triggerer's."""

    report: reports.CancelReport
    deadline: datetime | None = None
    runs: tuple[watches.WatchedRun, ...] = ()
    error: AdfRunsError | None = None


class CancelOperator(AdfRunsOperator):
    """An operator that cancels: it requests, waits until the runs are final, and reports.

    :param dry_run: only look: return what would be cancelled, and change nothing. (templated)
    """

    dry_run: bool | str  # type: ignore[assignment] # BaseOperator's method of this name is never called

    def __init__(self, *, dry_run: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dry_run = dry_run
        if not is_templated(dry_run):
            as_bool(dry_run, "dry_run")

    @abstractmethod
    def request(self, *, dry_run: bool) -> Request:
        """Check what has been rendered. :return: what asks for the cancels, until a deadline."""

    def watched(self, report: reports.CancelReport) -> dict[str, Any]:
        """Say what has to be final, as arguments of a watch or trigger."""
        return {
            "pipeline_run_ids": report.ids("pipeline"),
            "include_children": False,
            "trigger_name": None,
            "trigger_run_ids": report.ids("trigger"),
        }

    @abstractmethod
    def view(self) -> str:
        """Return the page of ADF Studio's monitoring to link to."""

    @killable
    def execute(self, context: Context) -> dict[str, Any]:
        """Request, and wait or defer."""
        self.link_to(context, self.view())
        self.prepare(context)
        begun = self.hook.run(self._begin)
        if begun.deadline is not None:
            self.defer(
                trigger=triggers.AdfRunsFinalTrigger(
                    report=begun.report.to_json(), **self.watched(begun.report), **self.place(begun.deadline)
                ),
                method_name="execute_complete",
            )
        return self._finish(context, begun.report, begun.runs, begun.error)

    @killable
    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take up the work again when the trigger has fired."""
        self.link_to(context, self.view())
        runs = [watches.WatchedRun.from_json(run) for run in event["runs"]]
        return self._finish(
            context, reports.CancelReport.from_json(event["report"]), runs, triggers.error_of(event)
        )

    async def _begin(self, client: FactoryClient) -> _Begun:
        request = self.request(dry_run=as_bool(self.dry_run, "dry_run"))
        await self.check_deadline(client)
        deadline = await self.end_of_wait(client)
        report = await request(client, deadline)
        watched = self.watched(report)
        has_runs = watched["pipeline_run_ids"] or watched["trigger_run_ids"]
        if report.dry_run or not self.wait_for_completion or not has_runs:
            return _Begun(report)
        if self.deferrable:
            return _Begun(report, deadline)
        watch = final_watches.RunsFinalWatch(client, **watched)
        error = await self.wait_for(watch, client, deadline)
        return _Begun(report, runs=tuple(watch.runs), error=error)

    def _finish(
        self,
        context: Context,
        report: reports.CancelReport,
        runs: Iterable[watches.WatchedRun],
        error: AdfRunsError | None,
    ) -> dict[str, Any]:
        """Show and leave the report, then judge it."""
        report = reports.with_final_statuses(report, runs)
        self.log.info("%s:\n%s", "Would cancel" if report.dry_run else "Cancel", report.table())
        problems = [f"{each.kind} run {each.run_id}: {each.problem}" for each in report.problems]
        result = self.leave(context, report.to_json(), problems)
        if error is not None:
            raise error
        self.judge(report)
        return result

    def judge(self, report: reports.CancelReport) -> None:
        """Say how the task ends; the report is in XCom already."""
        if not report.dry_run:
            reports.check_outcome(report)
