"""Operators that rerun windows and pipeline runs, each exactly once; planning and doing live in batch/.

The operator for windows is here, the one for pipeline runs next door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.batch.judgement import FailIf
from airflow_provider_adfruns.batch.selection import rerunnable_statuses
from airflow_provider_adfruns.killing import killable
from airflow_provider_adfruns.operators.rerun_pipeline_run import AdfRerunPipelineRunOperator
from airflow_provider_adfruns.operators.state import TaskLedger
from airflow_provider_adfruns.operators.windows import (
    DEFAULT_MAX_WINDOWS,
    DEFAULT_SETTLE_SECONDS,
    WindowsOperator,
)
from airflow_provider_adfruns.parameters import as_bool, count, given, is_templated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.sdk import Context

    from airflow_provider_adfruns.batch import opening as openings
    from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
else:
    openings = Lazily("airflow_provider_adfruns.batch.opening")

__all__ = ["AdfRerunPipelineRunOperator", "AdfRerunTumblingWindowRunsOperator"]


class AdfRerunTumblingWindowRunsOperator(WindowsOperator):
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

    template_fields: Sequence[str] = (*WindowsOperator.template_fields, "statuses")

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
        self.statuses = statuses
        self.max_in_flight = None if max_in_flight is None else count(max_in_flight, "max_in_flight")
        self.newest_first = as_bool(newest_first, "newest_first")
        self._given |= given(self, "statuses")
        if not is_templated(statuses):
            rerunnable_statuses(statuses)

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

    def _open_batch(self, context: Context, hook: AdfRunsHook, state: TaskLedger) -> openings.Batch:
        asked = self.asked(rerunnable_statuses(self.statuses))
        self.prepare(context)
        known = state.read() if asked.dry_run else state.take()
        this = self.this_try(state, known)
        batch = hook.run(lambda client: openings.open_batch(client, asked, known, this))
        return self.taken_up(hook, asked, batch, this)
