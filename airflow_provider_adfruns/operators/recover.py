"""The operator that recovers windows stuck on dependencies: cancel, wait until cancelled, rerun."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import AdfRunsError, InvalidInput, WaitTimedOut
from airflow_provider_adfruns.batch.judgement import FailIf
from airflow_provider_adfruns.batch.selection import DEFAULT_RERUN_STATUSES
from airflow_provider_adfruns.killing import killable
from airflow_provider_adfruns.operators.state import TaskLedger
from airflow_provider_adfruns.operators.windows import (
    DEFAULT_MAX_WINDOWS,
    DEFAULT_SETTLE_SECONDS,
    WindowsOperator,
)
from airflow_provider_adfruns.parameters import as_bool, is_templated, positive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch import final_watch as final_watches
    from airflow_provider_adfruns.batch import ledger as ledgers
    from airflow_provider_adfruns.batch import opening as openings
    from airflow_provider_adfruns.batch import recover as recoveries
    from airflow_provider_adfruns.batch import report as reports
    from airflow_provider_adfruns.batch import stuck_windows
    from airflow_provider_adfruns.batch import watch as watches
    from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
    from airflow_provider_adfruns.triggers import runs as triggers
else:
    final_watches = Lazily("airflow_provider_adfruns.batch.final_watch")
    ledgers = Lazily("airflow_provider_adfruns.batch.ledger")
    recoveries = Lazily("airflow_provider_adfruns.batch.recover")
    reports = Lazily("airflow_provider_adfruns.batch.report")
    stuck_windows = Lazily("airflow_provider_adfruns.batch.stuck_windows")
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    triggers = Lazily("airflow_provider_adfruns.triggers.runs")

DEFAULT_STUCK_AFTER_SECONDS = 900.0
_LEAST_STUCK_AFTER_SECONDS = 60.0


class AdfRecoverStuckTriggerRunsOperator(WindowsOperator):
    """Recover windows stuck on dependencies: cancel their runs, wait until Cancelled, rerun each once.

    A window is stuck if its latest run is WaitingOnDependency although all that it waits for has succeeded,
    both for ``stuck_after``: each window that its trigger's published ``dependsOn`` names, of other triggers
    or its own, by that window's latest run. One that waits as it should is left alone, and the report says
    for what it waits. A window that begins to run before its cancel arrives is left alone, too; one that has
    failed by then is rerun.

    The service cancels a trigger run only in WaitingOnDependency, and reruns only what is final; the rerun
    evaluates the dependencies again, by the trigger's latest published definition.

    A task that dies, is cleared or retried goes on where it was, by the ledger in Airflow's task state store
    (3.3): what it has cancelled it also reruns. Before 3.3 nothing is kept, and a next try fails naming the
    windows that were cancelled while they waited and never ran.

    :param trigger_name: the trigger whose windows wait, as ADF Studio shows it. (templated)
    :param run_ids: trigger run ids, one or many; each names its window. One that was cancelled while it
        waited, and never ran, is rerun, too. (templated)
    :param window_start: instead of ids: start of a range; an aware datetime or ISO 8601 with an offset. A
        window is meant if it lies wholly inside; at most 45 days back. (templated)
    :param window_end: end of the range; a window that ends at this time is inside. (templated)
    :param stuck_after: seconds that a window has waited, and that all it waits for has been whole, before it
        counts as stuck; default 900, at least 60. A cancel that is not complete after as long is named in the
        end, and holds up no other window.
    :param check_dependencies: False takes each window of the selection for stuck that has waited for
        ``stuck_after``, whatever it waits for: for dependencies older than the factory's 45 days of history.
        Default True. (templated)
    :param max_windows: fail before anything is sent if more windows than this would be recovered; default
        1000.
    :param settle_seconds: how long a rerun whose answer was lost is looked for before it counts as not
        carried out, in seconds, default 30; must be more than queries lag (1-3 s are recorded).
    :param fail_if: ``any`` (default) fails the task if a window is not whole again, ``all`` only if none is,
        ``never`` leaves the judgement to who reads the report. Windows left alone never fail it; what
        hinders the task itself always does. (templated)
    :param dry_run: only look: return what would be recovered, and change nothing. (templated)
    :param wait_for_completion: wait for the reruns and fail if a window has not succeeded then; without it
        the task ends as soon as the new runs are visible. The cancels are waited for in any case.
    :param cancel_on_kill: cancel the reruns that this task has sent, and those only, when it is ended by a
        person or by ``execution_timeout`` without a retry left. Default True.

    Leaves in XCom the report of ``AdfRerunTumblingWindowRunsOperator``. Where nothing is stuck, the task
    succeeds.

    :raises InvalidInput: for parameters that do not fit, when the DAG is parsed or before anything is sent.
    :raises WrongTriggerType: for a trigger without windows.
    :raises TriggerNotFound: for an unknown trigger, or one that the windows wait for.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids; one unknown id among others is
        listed, and fails the task at its end.
    :raises UnexpectedAnswer: if the windows wait for something that this package cannot read.
    :raises RunsNotAsWanted: names the windows that could not be cancelled, failed again, or are unclear.
    :raises WaitTimedOut: when ``timeout`` is over, or ``deadline``; names what is cancelled and not rerun.
    """

    template_fields: Sequence[str] = (*WindowsOperator.template_fields, "check_dependencies")

    def __init__(
        self,
        *,
        trigger_name: str,
        run_ids: str | Sequence[str] | None = None,
        window_start: datetime | str | None = None,
        window_end: datetime | str | None = None,
        stuck_after: float = DEFAULT_STUCK_AFTER_SECONDS,
        check_dependencies: bool | str = True,
        max_windows: int = DEFAULT_MAX_WINDOWS,
        settle_seconds: float = DEFAULT_SETTLE_SECONDS,
        fail_if: str = FailIf.ANY.value,
        dry_run: bool | str = False,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            trigger_name=trigger_name,
            run_ids=run_ids,
            window_start=window_start,
            window_end=window_end,
            max_windows=max_windows,
            settle_seconds=settle_seconds,
            fail_if=fail_if,
            dry_run=dry_run,
            cancel_on_kill=cancel_on_kill,
            **kwargs,
        )
        self.stuck_after = check_stuck_after(stuck_after)
        self.check_dependencies = check_dependencies
        if not is_templated(check_dependencies):
            as_bool(check_dependencies, "check_dependencies")

    @killable
    def execute(self, context: Context) -> dict[str, Any]:
        """Find what is stuck or take up a batch, cancel, rerun, and wait or defer."""
        self.link_to(context, "triggerruns")
        state = TaskLedger(context)
        with self.hook as hook:
            batch = self._open_batch(context, hook, state)
            if batch.report.dry_run:
                return self._finish(context, batch.report)
            deadline = hook.run(self.end_of_wait)
            ledger = state.keep(batch.ledger)
            if batch.ledger.phase is not ledgers.Phase.CANCELLING:
                return self._go_on(context, hook, ledger, batch.report, deadline)
            return self._cancel(context, hook, batch.report, deadline)

    @killable
    def execute_cancelled(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take up the work again when the runs are Cancelled: rerun them."""
        self.link_to(context, "triggerruns")
        report = reports.RerunReport.unpacked(event["report"]["recovery"])
        runs = [watches.WatchedRun.from_json(run) for run in event["runs"]]
        deadline = datetime.fromisoformat(event["report"]["deadline"])
        is_last = datetime.fromisoformat(event["deadline"]) == deadline
        report, error = self._waited(report, runs, triggers.error_of(event), is_last=is_last)
        with self.hook as hook:
            return self._rerun_cancelled(context, hook, report, deadline, error)

    def _open_batch(self, context: Context, hook: AdfRunsHook, state: TaskLedger) -> openings.Batch:
        asked = replace(self.asked(DEFAULT_RERUN_STATUSES), had_waited=True)
        rules = recoveries.StuckRules(
            timedelta(seconds=self.stuck_after), as_bool(self.check_dependencies, "check_dependencies")
        )
        self.prepare(context)
        known = state.read() if asked.dry_run else state.take()
        this = self.this_try(state, known)
        batch = hook.run(lambda client: recoveries.open_recovery(client, asked, rules, known, this))
        return self.taken_up(hook, asked, batch, this)

    def _cancel(
        self, context: Context, hook: AdfRunsHook, report: reports.RerunReport, deadline: datetime
    ) -> dict[str, Any]:
        """Cancel the runs that wait, and wait until they are Cancelled, or defer."""
        report = hook.run(lambda client: recoveries.cancel_stuck(client, report, deadline))
        run_ids = stuck_windows.awaited_cancels(report)
        if not run_ids:
            return self._rerun_cancelled(context, hook, report, deadline)
        end = hook.run(lambda client: self._end_of_cancels(client, deadline))
        watched: dict[str, Any] = {"trigger_name": report.trigger_name, "trigger_run_ids": run_ids}
        self.log.info(
            "Being cancelled, to be rerun then: %d. If the task is ended before: %s.",
            len(run_ids),
            _how_to_go_on(context),
        )
        if self.deferrable:
            self.defer(
                trigger=triggers.AdfRunsFinalTrigger(
                    pipeline_run_ids=[],
                    include_children=False,
                    report={"recovery": report.packed(), "deadline": deadline.isoformat()},
                    **watched,
                    **self.place(end),
                ),
                method_name="execute_cancelled",
            )
        runs, error = hook.run(lambda client: self._wait_for_cancels(client, watched, end))
        report, error = self._waited(report, runs, error, is_last=end == deadline)
        return self._rerun_cancelled(context, hook, report, deadline, error)

    async def _end_of_cancels(self, client: FactoryClient, deadline: datetime) -> datetime:
        """Return how long the cancels are waited for: a run that stays longer is stuck once more."""
        return min(deadline, await client.now() + timedelta(seconds=self.stuck_after))

    async def _wait_for_cancels(
        self, client: FactoryClient, watched: Mapping[str, Any], end: datetime
    ) -> tuple[list[watches.WatchedRun], AdfRunsError | None]:
        watch = final_watches.RunsFinalWatch(client, **watched)
        error = await self.wait_for(watch, client, end)
        return watch.runs, error

    def _waited(
        self,
        report: reports.RerunReport,
        runs: Sequence[watches.WatchedRun],
        error: AdfRunsError | None,
        *,
        is_last: bool,
    ) -> tuple[reports.RerunReport, AdfRunsError | None]:
        """Take over how the wait for the cancels has ended; unless it was the task's last time, it goes on.

        :return: the report, and what ends the task.
        """
        report = stuck_windows.after_wait(report, runs)
        if isinstance(error, WaitTimedOut) and not is_last:
            waited = timedelta(seconds=self.stuck_after)
            return stuck_windows.without_late_cancels(report, runs, waited), None
        return report, error

    def _rerun_cancelled(
        self,
        context: Context,
        hook: AdfRunsHook,
        report: reports.RerunReport,
        deadline: datetime,
        error: AdfRunsError | None = None,
    ) -> dict[str, Any]:
        """Rerun what is cancelled by now; if the wait for that has broken off, the batch stays open."""
        if error is not None:
            how = _how_to_go_on(context)
            reason = "the deadline came first" if isinstance(error, WaitTimedOut) else str(error)
            left = stuck_windows.not_rerun(report, f"{reason}; {how}")
            said = f"Cancelled or about to be, and not rerun: {len(report.planned)}; {how}."
            return self._finish(context, left, type(error)(f"{error} {said}"))
        ledger = TaskLedger(context).kept()
        if ledger is not None:
            ledger.move_to(ledgers.Phase.SUBMITTING)
        return self._go_on(context, hook, ledger, report, deadline)


def _how_to_go_on(context: Context) -> str:
    """Say what a person does about windows that are cancelled and not rerun."""
    if TaskLedger(context).has_notes:
        return "clear the task, and it goes on"
    return "rerun them by their run ids"


def check_stuck_after(value: object) -> float:
    """Check since when a window that waits is stuck, in seconds.

    :raises InvalidInput: for less than a minute: queries lag, and the service needs its time to begin a run.
    """
    seconds = positive(value, "stuck_after")
    if seconds < _LEAST_STUCK_AFTER_SECONDS:
        raise InvalidInput(
            f"stuck_after: {value} seconds are too few to tell a window that is stuck from one that is about"
            f" to begin. Expected at least {_LEAST_STUCK_AFTER_SECONDS:.0f}."
        )
    return seconds
