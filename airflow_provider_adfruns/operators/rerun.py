"""AdfRerunTumblingWindowRunsOperator: rerun windows, each exactly once; planning and doing live in batch/."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import AdfRunsError
from airflow_provider_adfruns.batch.selection import check_choice, rerunnable_statuses, select_windows
from airflow_provider_adfruns.operators.base import AdfRunsOperator
from airflow_provider_adfruns.parameters import as_bool, count, is_templated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow.sdk import Context

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch import report as reports
    from airflow_provider_adfruns.batch import rerun as reruns
    from airflow_provider_adfruns.batch import watch as watches
    from airflow_provider_adfruns.triggers import runs as triggers
else:
    reports = Lazily("airflow_provider_adfruns.batch.report")
    reruns = Lazily("airflow_provider_adfruns.batch.rerun")
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    triggers = Lazily("airflow_provider_adfruns.triggers.runs")

DEFAULT_MAX_WINDOWS = 1000


class AdfRerunTumblingWindowRunsOperator(AdfRunsOperator):
    """Rerun windows of a tumbling window trigger, each once.

    A window is judged by its **latest** run, not by any run of the status asked for: a window that failed and
    has been rerun successfully since is left alone, and so is one that runs now. What is left alone is listed
    with the reason. One rerun is sent for each window; if its answer is lost it is not sent again, and the
    task fails naming the window.

    The service reruns a window with the parameters of its original run and the trigger's latest published
    definition, and evaluates its dependencies again. **New parameters cannot be passed to a rerun**; to run
    with others, run the pipeline itself (the official provider's ``AzureDataFactoryRunPipelineOperator``
    does).

    Only tumbling window triggers can be rerun; for a schedule or event trigger the task fails before anything
    is sent.

    :param trigger_name: the trigger, as ADF Studio shows it. (templated)
    :param run_ids: trigger run ids, one or many; each names its window, which is rerun if its latest run is
        Failed or Cancelled, or is the very run named. (templated)
    :param window_start: instead of ids: start of a range; an aware datetime or ISO 8601 with an offset. A
        window is meant if it lies wholly inside; at most 45 days back. (templated)
    :param window_end: end of the range; a window that ends at this time is inside. (templated)
    :param statuses: rerun windows whose latest run has one of these; default Failed and Cancelled.
        (templated)
    :param max_windows: fail before anything is sent if more windows than this would be rerun; default 1000.
    :param dry_run: only plan: return what would be rerun, and change nothing. (templated)
    :param wait_for_completion: wait for the reruns and fail if a window has not succeeded then; without it
        the task ends as soon as the new runs are visible.

    Leaves in XCom the report as ``return_value``: ``trigger_name``, ``planned_at``, ``dry_run``, ``run_ids``
    (the new trigger runs; of a dry run those that would be rerun), ``counts``, ``windows`` (each with
    ``window_start``, ``window_end``, ``run_id``, ``status_before``, ``step``, ``new_run_id``, ``status``,
    ``problem``), ``skipped`` (each with ``run_id``, ``status`` and ``reason``); and ``run_ids`` under its own
    key.

    :raises InvalidInput: for parameters that do not fit, when the DAG is parsed or before anything is sent.
    :raises WrongTriggerType: for a trigger without windows.
    :raises TriggerNotFound: for an unknown trigger.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids; one unknown id among others is
        listed, and fails the task at its end.
    :raises RunsNotAsWanted: names the windows that failed again, were refused, or whose outcome is unclear.
    :raises WaitTimedOut: when ``timeout`` is over; the reruns go on.
    """

    template_fields: Sequence[str] = (
        *AdfRunsOperator.template_fields,
        "trigger_name",
        "run_ids",
        "window_start",
        "window_end",
        "statuses",
        "dry_run",
    )

    def __init__(
        self,
        *,
        trigger_name: str,
        run_ids: str | Sequence[str] | None = None,
        window_start: datetime | str | None = None,
        window_end: datetime | str | None = None,
        statuses: str | Sequence[str] | None = None,
        max_windows: int = DEFAULT_MAX_WINDOWS,
        dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.trigger_name = trigger_name
        self.run_ids = run_ids
        self.window_start = window_start
        self.window_end = window_end
        self.statuses = statuses
        self.max_windows = count(max_windows, "max_windows")
        self.dry_run = dry_run  # type: ignore[assignment,method-assign] # its namesake is never called
        check_choice(run_ids, window_start, window_end)
        if not is_templated(trigger_name, run_ids, window_start, window_end):
            select_windows(trigger_name, run_ids, window_start, window_end)
        if not is_templated(statuses):
            rerunnable_statuses(statuses)
        if not is_templated(dry_run):
            as_bool(dry_run, "dry_run")

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, reruns.submit, and wait or defer."""
        self.link_to(context, "triggerruns")
        begun = self.hook.run(self._begin)
        if begun.deadline is not None:
            self.defer(
                trigger=triggers.AdfWindowsRerunTrigger(
                    report=begun.report.to_json(), **self.place(begun.deadline)
                ),
                method_name="execute_complete",
            )
        return self._finish(context, begun.report, begun.error)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take up the work again when the trigger has fired."""
        self.link_to(context, "triggerruns")
        return self._finish(context, reports.RerunReport.from_json(event["report"]), triggers.error_of(event))

    async def _begin(self, client: FactoryClient) -> _Begun:
        """Do the worker's part, which without deferral is all of it."""
        report = await reruns.plan_rerun(
            client,
            select_windows(self.trigger_name, self.run_ids, self.window_start, self.window_end),
            rerunnable_statuses(self.statuses),
            max_windows=self.max_windows,
            dry_run=as_bool(self.dry_run, "dry_run"),
        )
        if report.dry_run or not report.windows:
            return _Begun(report)
        report = await reruns.submit(client, report)
        if not self.wait_for_completion:
            return _Begun(await reruns.find_new_runs(client, report))
        deadline = await client.now() + timedelta(seconds=self.timeout)
        if self.deferrable:
            return _Begun(report, deadline)
        watch = reruns.RerunWatch(client, report)
        try:
            await watches.wait_until_done(watch, client, poll_interval=self.poll_interval, deadline=deadline)
        except AdfRunsError as error:
            return _Begun(watch.report, error=error)
        return _Begun(watch.report)

    def _finish(
        self, context: Context, report: reports.RerunReport, error: AdfRunsError | None
    ) -> dict[str, Any]:
        """Show and leave the report, then judge it."""
        title = "Would rerun" if report.dry_run else "Rerun of"
        self.log.info("%s trigger %r:\n%s", title, report.trigger_name, report.table())
        result = report.to_json()
        self.leave(context, result)
        if error is not None:
            raise error
        if not report.dry_run:
            reruns.check_outcome(report)
        return result


class _Begun(NamedTuple):
    """How far the worker came: with a deadline the rest of the wait is the triggerer's."""

    report: reports.RerunReport
    deadline: datetime | None = None
    error: AdfRunsError | None = None
