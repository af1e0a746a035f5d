"""Operators that rerun windows and pipeline runs, each exactly once; planning and doing live in batch/.

The operator for windows is here, the one for pipeline runs next door.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import AdfRunsError, RunsNotAsWanted, WaitTimedOut
from airflow_provider_adfruns.batch.judgement import FailIf, check_fail_if
from airflow_provider_adfruns.batch.selection import (
    aware_time,
    check_choice,
    rerunnable_statuses,
    select_windows,
)
from airflow_provider_adfruns.killing import killable
from airflow_provider_adfruns.operators.base import AdfRunsOperator
from airflow_provider_adfruns.operators.rerun_pipeline_run import AdfRerunPipelineRunOperator
from airflow_provider_adfruns.operators.state import TaskLedger
from airflow_provider_adfruns.parameters import as_bool, count, given, is_templated, positive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch import clearing
    from airflow_provider_adfruns.batch import kill as kills
    from airflow_provider_adfruns.batch import ledger as ledgers
    from airflow_provider_adfruns.batch import opening as openings
    from airflow_provider_adfruns.batch import report as reports
    from airflow_provider_adfruns.batch import rerun as reruns
    from airflow_provider_adfruns.batch import started as starts
    from airflow_provider_adfruns.batch import submit as submits
    from airflow_provider_adfruns.batch import watch as watches
    from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
    from airflow_provider_adfruns.triggers import runs as triggers
else:
    kills = Lazily("airflow_provider_adfruns.batch.kill")
    clearing = Lazily("airflow_provider_adfruns.batch.clearing")
    ledgers = Lazily("airflow_provider_adfruns.batch.ledger")
    openings = Lazily("airflow_provider_adfruns.batch.opening")
    reports = Lazily("airflow_provider_adfruns.batch.report")
    reruns = Lazily("airflow_provider_adfruns.batch.rerun")
    starts = Lazily("airflow_provider_adfruns.batch.started")
    submits = Lazily("airflow_provider_adfruns.batch.submit")
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    triggers = Lazily("airflow_provider_adfruns.triggers.runs")

__all__ = ["AdfRerunPipelineRunOperator", "AdfRerunTumblingWindowRunsOperator"]

DEFAULT_MAX_WINDOWS = 1000
DEFAULT_SETTLE_SECONDS = 30.0


class AdfRerunTumblingWindowRunsOperator(AdfRunsOperator):
    """Rerun windows of a tumbling window trigger, each once.

    A window is judged by its **latest** run, not by any run of the status asked for: a window that failed and
    has been rerun successfully since is left alone, and so is one that runs now. What is left alone is listed
    with the reason. A rerun whose answer was lost is looked for in the factory's history, and sent again only
    if it has not shown after ``settle_seconds``. A task that dies takes up the same batch in its next try, by
    the ledger in Airflow's task state store (3.3; before, a next try looks for reruns first and plans anew).
    A task that ended well and dies before Airflow hears of it tells the same windows in its next try.
    If it is a person's clear that starts the next try, reruns that were cancelled are sent once more.

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
    :param max_in_flight: at most so many windows run at a time. The wait for room is the worker's, or with
        ``deferrable`` the triggerer's: the task comes back to a worker whenever a quarter of the limit is
        free. Default: no limit but the trigger's own.
    :param newest_first: begin with the newest window; default the oldest.
    :param settle_seconds: how long a rerun whose answer was lost is looked for before it counts as not
        carried out, in seconds, default 30; must be more than queries lag (1-3 s are recorded).
    :param fail_if: ``any`` (default) fails the task if a window is not whole again, ``all`` only if none is,
        ``never`` leaves the judgement to who reads the report. Windows left alone never fail it; what
        hinders the task itself always does: parameters, sign-in, permission, the deadline, a factory that
        cannot be read. (templated)
    :param dry_run: only plan: return what would be rerun, and change nothing. (templated)
    :param wait_for_completion: wait for the reruns and fail if a window has not succeeded then; without it
        the task ends as soon as the new runs are visible.
    :param cancel_on_kill: cancel the reruns that this task has sent, and those only, when it is ended by a
        person or by ``execution_timeout`` without a retry left. Default True. A clear or a restart of Airflow
        cancels nothing: the next try takes up the batch.

    Leaves in XCom the report as ``return_value``: ``trigger_name``, ``planned_at``, ``dry_run``, ``run_ids``
    (the new trigger runs; of a dry run those that would be rerun), ``counts``, ``windows`` (each with
    ``window_start``, ``window_end``; of the run before ``run_id``, ``status_before``, ``ran_at``; ``step``;
    of the new run ``new_run_id``, ``status``, ``started_at``, and ``rerun_by``: ``this batch`` or ``somebody
    else``; ``problem``, ``note``), ``skipped`` (each with ``run_id``, ``status`` and ``reason``); and
    ``run_ids`` under its own key. Before it defers, ``begun``: by it ``AdfCleanUpOperator`` finds the reruns
    of a task that was killed.

    :raises InvalidInput: for parameters that do not fit, when the DAG is parsed or before anything is sent.
    :raises WrongTriggerType: for a trigger without windows.
    :raises TriggerNotFound: for an unknown trigger.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids; one unknown id among others is
        listed, and fails the task at its end.
    :raises RunsNotAsWanted: names the windows that failed again, were refused, or whose outcome is unclear.
    :raises WaitTimedOut: when ``timeout`` is over, or ``deadline``; what was not sent is named.
    """

    template_fields: Sequence[str] = (
        *AdfRunsOperator.template_fields,
        "trigger_name",
        "run_ids",
        "window_start",
        "window_end",
        "statuses",
        "fail_if",
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
        max_in_flight: int | None = None,
        newest_first: bool = False,
        settle_seconds: float = DEFAULT_SETTLE_SECONDS,
        fail_if: str = FailIf.ANY.value,
        dry_run: bool | str = False,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.trigger_name = trigger_name
        self.run_ids = run_ids
        self.window_start = window_start
        self.window_end = window_end
        self.statuses = statuses
        self.max_windows = count(max_windows, "max_windows")
        self.max_in_flight = None if max_in_flight is None else count(max_in_flight, "max_in_flight")
        self.newest_first = as_bool(newest_first, "newest_first")
        self.settle_seconds = positive(settle_seconds, "settle_seconds")
        self.cancel_on_kill = as_bool(cancel_on_kill, "cancel_on_kill")
        self._submission: submits.Submission | None = None
        self._begun: reports.RerunReport | None = None
        self.fail_if = fail_if
        self.dry_run = dry_run  # type: ignore[assignment,method-assign] # its namesake is never called
        self._given |= given(self, "statuses")
        check_choice(run_ids, window_start, window_end)
        if not is_templated(trigger_name, run_ids, window_start, window_end):
            select_windows(trigger_name, run_ids, window_start, window_end)
        if not is_templated(statuses):
            rerunnable_statuses(statuses)
        if not is_templated(fail_if):
            check_fail_if(fail_if)
        if not is_templated(dry_run):
            as_bool(dry_run, "dry_run")

    @killable
    def execute(self, context: Context) -> dict[str, Any]:
        """Plan or take up a batch, submit, and wait or defer."""
        self.link_to(context, "triggerruns")
        state = TaskLedger(context)
        with self.hook as hook:
            batch = self._open_batch(context, hook, state)
            if batch.report.dry_run:
                return self._finish(context, batch.report)
            deadline = hook.run(self.end_of_wait)
            return self._go_on(context, hook, state.keep(batch.ledger), batch.report, deadline)

    def started(self) -> kills.Kill | None:
        """Return what a kill has to cancel: the reruns that have been sent, by this try or an earlier one."""
        report = self._submission.interrupted if self._submission else self._begun
        return kills.WindowRerunsKill(report) if report else None

    @killable
    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take up the work again when the trigger has fired: send what there is room for now, or end."""
        self.link_to(context, "triggerruns")
        report, error = reports.RerunReport.unpacked(event["report"]), triggers.error_of(event)
        self._begun = report
        if error is not None or not report.planned:
            return self._finish(context, report, error)
        deadline = datetime.fromisoformat(event["deadline"])
        with self.hook as hook:
            return self._go_on(context, hook, TaskLedger(context).kept(), report, deadline)

    def _go_on(
        self,
        context: Context,
        hook: AdfRunsHook,
        ledger: ledgers.KeptLedger | None,
        report: reports.RerunReport,
        deadline: datetime,
    ) -> dict[str, Any]:
        """Submit, as many as there is room for, and wait or defer; a batch that is stopped stays open."""
        submission = hook.run(lambda client: self._submit(client, report, ledger, deadline))
        report, error = submission.report, submission.stopped
        if error is not None:
            return self._finish(context, report, error)
        if ledger is not None and not submission.is_full:
            ledger.move_to(ledgers.Phase.WATCHING)
        if not self.wait_for_completion:
            report, error = hook.run(lambda client: self._find_new_runs(client, report))
        elif submission.is_full or any(outcome.is_awaited for outcome in report.windows):
            if self.deferrable:
                self.leave_begun(context, starts.BEGUN, report.packed())
                self.defer(
                    trigger=triggers.AdfWindowsRerunTrigger(
                        report=report.packed(),
                        max_in_flight=self.max_in_flight,
                        cancel_on_kill=self.cancel_on_kill,
                        **self.place(deadline),
                    ),
                    method_name="execute_complete",
                )
            report, error = hook.run(lambda client: self._follow(client, report, deadline))
        return self._finish(context, report, error)

    def _open_batch(self, context: Context, hook: AdfRunsHook, state: TaskLedger) -> openings.Batch:
        check_fail_if(self.fail_if)
        asked = openings.Asked(
            select_windows(self.trigger_name, self.run_ids, self.window_start, self.window_end),
            rerunnable_statuses(self.statuses),
            max_windows=self.max_windows,
            max_in_flight=self.max_in_flight,
            newest_first=self.newest_first,
            dry_run=as_bool(self.dry_run, "dry_run"),
            deadline=None if self.deadline is None else aware_time(self.deadline, "deadline"),
        )
        self.prepare(context)
        known = state.read() if asked.dry_run else state.take()
        this = openings.Try(
            state.owner,
            state.max_tries,
            may_hide_reruns=state.may_hide_reruns(known),
            patience_seconds=min(self.timeout, clearing.MOST_SECONDS),
        )
        batch = hook.run(lambda client: openings.open_batch(client, asked, known, this))
        if batch.is_taken_up:
            self._begun = batch.report
        if batch.is_cleared:
            batch = hook.run(lambda client: openings.after_clear(client, asked, batch, this))
        return batch

    async def _submit(
        self,
        client: FactoryClient,
        report: reports.RerunReport,
        ledger: ledgers.KeptLedger | None,
        deadline: datetime,
    ) -> submits.Submission:
        rules = submits.Rules(
            settle_seconds=self.settle_seconds,
            max_in_flight=self.max_in_flight,
            newest_first=ledger.ledger.newest_first if ledger is not None else self.newest_first,
            poll_interval=self.poll_interval,
            leaves_when_full=self.deferrable and self.wait_for_completion,
            deadline=deadline,
        )
        submission = self._submission = submits.Submission(client, report, rules, ledger)
        await submission.run()
        return submission

    async def _find_new_runs(
        self, client: FactoryClient, report: reports.RerunReport
    ) -> tuple[reports.RerunReport, AdfRunsError | None]:
        try:
            return await reruns.find_new_runs(client, report), None
        except AdfRunsError as error:
            return report, error

    async def _follow(
        self, client: FactoryClient, report: reports.RerunReport, deadline: datetime
    ) -> tuple[reports.RerunReport, AdfRunsError | None]:
        watch = reruns.RerunWatch(client, report)
        try:
            await watches.wait_until_done(watch, client, poll_interval=self.poll_interval, deadline=deadline)
        except AdfRunsError as error:
            return watch.report, error
        return watch.report, None

    def _finish(
        self, context: Context, report: reports.RerunReport, error: AdfRunsError | None = None
    ) -> dict[str, Any]:
        """Show and leave the report, then judge it; a batch whose wait broke off stays open."""
        if error is not None:
            report = report.left("the deadline came first" if isinstance(error, WaitTimedOut) else str(error))
        title = "Would rerun" if report.dry_run else "Rerun of"
        self.log.info("%s trigger %r:\n%s", title, report.trigger_name, report.table())
        result = self.leave(context, report.to_json(), report.problem_lines())
        if error is not None:
            raise error
        if not report.dry_run:
            try:
                reruns.check_outcome(report, check_fail_if(self.fail_if))
            except RunsNotAsWanted:
                TaskLedger(context).finish(ledgers.Phase.FAILED)
                raise
            TaskLedger(context).finish(ledgers.Phase.SUCCEEDED)
        return result
