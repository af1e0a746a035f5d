"""What the operators share that rerun windows: their parameters, submitting, waiting, judging."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import AdfRunsError, RunsNotAsWanted, WaitTimedOut
from airflow_provider_adfruns.batch.judgement import FailIf, check_fail_if
from airflow_provider_adfruns.batch.selection import aware_time, check_choice, select_windows
from airflow_provider_adfruns.killing import killable
from airflow_provider_adfruns.operators.base import AdfRunsOperator
from airflow_provider_adfruns.operators.state import TaskLedger
from airflow_provider_adfruns.parameters import as_bool, count, is_templated, positive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import TriggerRunStatus
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
    clearing = Lazily("airflow_provider_adfruns.batch.clearing")
    kills = Lazily("airflow_provider_adfruns.batch.kill")
    ledgers = Lazily("airflow_provider_adfruns.batch.ledger")
    openings = Lazily("airflow_provider_adfruns.batch.opening")
    reports = Lazily("airflow_provider_adfruns.batch.report")
    reruns = Lazily("airflow_provider_adfruns.batch.rerun")
    starts = Lazily("airflow_provider_adfruns.batch.started")
    submits = Lazily("airflow_provider_adfruns.batch.submit")
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    triggers = Lazily("airflow_provider_adfruns.triggers.runs")

DEFAULT_MAX_WINDOWS = 1000
DEFAULT_SETTLE_SECONDS = 30.0


class WindowsOperator(AdfRunsOperator):
    """An operator that reruns windows of a tumbling window trigger, each once.

    :param trigger_name: the trigger, as ADF Studio shows it. (templated)
    :param run_ids: trigger run ids, one or many. (templated)
    :param window_start: instead of ids: start of a range. (templated)
    :param window_end: end of the range. (templated)
    :param max_windows: fail before anything is sent if more windows than this would be rerun.
    :param settle_seconds: how long a rerun whose answer was lost is looked for.
    :param fail_if: ``any``, ``all`` or ``never``. (templated)
    :param dry_run: only plan. (templated)
    :param cancel_on_kill: cancel the reruns that this task has sent when it is ended.
    """

    template_fields: Sequence[str] = (
        *AdfRunsOperator.template_fields,
        "trigger_name",
        "run_ids",
        "window_start",
        "window_end",
        "fail_if",
        "dry_run",
    )
    max_in_flight: int | None = None
    newest_first = False

    def __init__(
        self,
        *,
        trigger_name: str,
        run_ids: str | Sequence[str] | None = None,
        window_start: datetime | str | None = None,
        window_end: datetime | str | None = None,
        max_windows: int = DEFAULT_MAX_WINDOWS,
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
        self.max_windows = count(max_windows, "max_windows")
        self.settle_seconds = positive(settle_seconds, "settle_seconds")
        self.cancel_on_kill = as_bool(cancel_on_kill, "cancel_on_kill")
        self._submission: submits.Submission | None = None
        self._begun: reports.RerunReport | None = None
        self.fail_if = fail_if
        self.dry_run = dry_run  # type: ignore[assignment,method-assign] # its namesake is never called
        check_choice(run_ids, window_start, window_end)
        if not is_templated(trigger_name, run_ids, window_start, window_end):
            select_windows(trigger_name, run_ids, window_start, window_end)
        if not is_templated(fail_if):
            check_fail_if(fail_if)
        if not is_templated(dry_run):
            as_bool(dry_run, "dry_run")

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

    def asked(self, statuses: frozenset[TriggerRunStatus] | None) -> openings.Asked:
        """Check what has been rendered. :return: what the task is asked to rerun."""
        check_fail_if(self.fail_if)
        return openings.Asked(
            select_windows(self.trigger_name, self.run_ids, self.window_start, self.window_end),
            statuses,
            max_windows=self.max_windows,
            max_in_flight=self.max_in_flight,
            newest_first=self.newest_first,
            dry_run=as_bool(self.dry_run, "dry_run"),
            deadline=None if self.deadline is None else aware_time(self.deadline, "deadline"),
        )

    def this_try(self, state: TaskLedger, known: ledgers.Ledger | None) -> openings.Try:
        """Return what the batch has to know of the task.

        :param known: what an earlier try has kept, if anything.
        """
        return openings.Try(
            state.owner,
            state.max_tries,
            may_hide_reruns=state.may_hide_reruns(known),
            patience_seconds=min(self.timeout, clearing.MOST_SECONDS),
        )

    def taken_up(
        self, hook: AdfRunsHook, asked: openings.Asked, batch: openings.Batch, this: openings.Try
    ) -> openings.Batch:
        """Return a batch as it is to be gone on with; a kill from now on knows of what was taken up."""
        if batch.is_taken_up:
            self._begun = batch.report
        if batch.is_cleared:
            return hook.run(lambda client: openings.after_clear(client, asked, batch, this))
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
        error = await self.wait_for(watch, client, deadline)
        return watch.report, error

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
