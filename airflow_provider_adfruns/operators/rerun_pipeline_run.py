"""The operator that reruns pipeline runs, each exactly once; users import it from ``operators.rerun``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import AdfRunsError, InvalidInput, RunsNotAsWanted
from airflow_provider_adfruns.adf.names import check_run_ids
from airflow_provider_adfruns.batch.judgement import FailIf, check_fail_if
from airflow_provider_adfruns.batch.ledger import Phase
from airflow_provider_adfruns.batch.selection import listed
from airflow_provider_adfruns.killing import killable
from airflow_provider_adfruns.links import view_of
from airflow_provider_adfruns.operators.base import AdfRunsOperator
from airflow_provider_adfruns.operators.state import TaskBatch
from airflow_provider_adfruns.parameters import as_bool, is_templated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow.sdk import Context

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch import clearing
    from airflow_provider_adfruns.batch import final_watch as final_watches
    from airflow_provider_adfruns.batch import kill as kills
    from airflow_provider_adfruns.batch import pipeline_rerun as pipeline_reruns
    from airflow_provider_adfruns.batch import pipeline_rerun_report as reports
    from airflow_provider_adfruns.batch import watch as watches
    from airflow_provider_adfruns.triggers import runs as triggers
else:
    clearing = Lazily("airflow_provider_adfruns.batch.clearing")
    kills = Lazily("airflow_provider_adfruns.batch.kill")
    pipeline_reruns = Lazily("airflow_provider_adfruns.batch.pipeline_rerun")
    reports = Lazily("airflow_provider_adfruns.batch.pipeline_rerun_report")
    final_watches = Lazily("airflow_provider_adfruns.batch.final_watch")
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    triggers = Lazily("airflow_provider_adfruns.triggers.runs")


class AdfRerunPipelineRunOperator(AdfRunsOperator):
    """Rerun pipeline runs in their own run group, with their parameters, each once.

    The new run's id is chosen beforehand, so whether it exists can be asked: a lost answer, a crash of the
    worker and a retry lead to no second run. A retry after a verdict reruns only those whose rerun has failed
    or was cancelled, or that could not be rerun. A task that ended well and dies before Airflow hears of it
    tells the same reruns in its next try, and sends nothing.

    :param run_ids: ended pipeline runs, one or many. (templated)
    :param rerun_from: ``start`` for the whole run, ``failure`` (default) for its failed activities, or
        ``activity``. (templated)
    :param start_activity_name: the activity to begin with, where ``rerun_from`` is ``activity``. (templated)
    :param fail_if: ``any`` (default) fails the task if a run could not be rerun or its rerun has not
        succeeded, ``all`` only if that is so for each, ``never`` leaves the judgement to who reads the
        report. What hinders the task itself always fails it: parameters, sign-in, permission, the deadline, a
        factory that cannot be read. (templated)
    :param dry_run: only look: return what would be rerun, and change nothing. (templated)
    :param wait_for_completion: wait for the reruns and fail if one has not succeeded then.
    :param cancel_on_kill: cancel the reruns, with their children, when the task is ended by a person or by
        ``execution_timeout`` without a retry left. Default True.

    Leaves in XCom the report as ``return_value``: ``run_ids`` (the new runs; of a dry run those that would be
    rerun), ``counts``, ``runs`` (each with ``run_id``, ``name``, ``status_before``, ``new_run_id``,
    ``status``, ``problem``), ``dry_run``; and ``run_ids`` under its own key.

    :raises InvalidInput: for parameters that do not fit, when the DAG is parsed or before anything is sent.
    :raises PipelineRunNotFound: if none of the runs exists; one unknown run among others fails the task at
        its end.
    :raises RunsNotAsWanted: names the runs that could not be rerun, and those whose rerun has not succeeded.
    :raises WaitTimedOut: when ``timeout`` is over, or ``deadline``; what was not sent is named.
    """

    template_fields: Sequence[str] = (
        *AdfRunsOperator.template_fields,
        "run_ids",
        "rerun_from",
        "start_activity_name",
        "fail_if",
        "dry_run",
    )

    def __init__(
        self,
        *,
        run_ids: str | Sequence[str],
        rerun_from: str = "failure",
        start_activity_name: str | None = None,
        fail_if: str = FailIf.ANY.value,
        dry_run: bool | str = False,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_ids = run_ids
        self.rerun_from = rerun_from
        self.start_activity_name = start_activity_name
        self.cancel_on_kill = as_bool(cancel_on_kill, "cancel_on_kill")
        self._started: kills.Kill | None = None
        self.fail_if = fail_if
        self.dry_run = dry_run  # type: ignore[assignment,method-assign] # its namesake is never called
        if not is_templated(run_ids):
            check_run_ids(listed(run_ids))
        if not is_templated(rerun_from, start_activity_name):
            check_rerun_from(rerun_from, start_activity_name)
        if not is_templated(fail_if):
            check_fail_if(fail_if)
        if not is_templated(dry_run):
            as_bool(dry_run, "dry_run")

    @killable
    def execute(self, context: Context) -> dict[str, Any]:
        """Rerun, and wait or defer."""
        run_ids = check_run_ids(listed(self.run_ids))
        check_rerun_from(self.rerun_from, self.start_activity_name)
        check_fail_if(self.fail_if)
        dry_run = as_bool(self.dry_run, "dry_run")
        self.link_to(context, view_of(run_ids))
        self.prepare(context)
        batch = TaskBatch(context)
        if not dry_run:
            self._started = kills.ChosenRunsKill(batch.name, run_ids)
        with self.hook as hook:
            if not batch.may_have_begun:  # else what an earlier try has sent has to be found
                hook.run(self.check_deadline)
            if not dry_run:
                batch.begin()
            deadline = hook.run(self.end_of_wait)
            report = hook.run(
                lambda client: pipeline_reruns.rerun_pipeline_runs(
                    client,
                    run_ids,
                    batch.name,
                    pipeline_reruns.RerunFrom(self.rerun_from),
                    start_activity_name=self.start_activity_name,
                    dry_run=dry_run,
                    deadline=deadline,
                    judged=batch.judged,
                    cleared=batch.was_cleared,
                    has_succeeded=batch.has_succeeded,
                    patience_seconds=min(self.timeout, clearing.MOST_SECONDS),
                )
            )
            if not dry_run:
                batch.sent()
            if report.stopped is not None:
                return self._finish(context, report, (), report.stopped, has_waited=False)
            if report.run_ids and not dry_run:
                self.link_to(context, view_of(report.run_ids))
            if report.dry_run or not self.wait_for_completion or not report.run_ids:
                return self._finish(context, report, (), None, has_waited=False)
            watched: dict[str, Any] = {"pipeline_run_ids": report.run_ids, "include_children": False}
            if self.deferrable:
                self.leave_begun(context, "run_ids", report.run_ids)
                self.defer(
                    trigger=triggers.AdfRunsFinalTrigger(
                        **watched,
                        trigger_name=None,
                        trigger_run_ids=[],
                        report=report.to_json(),
                        cancel_on_kill=self.cancel_on_kill,
                        **self.place(deadline),
                    ),
                    method_name="execute_complete",
                )
            runs, error = hook.run(lambda client: self._follow(client, watched, deadline))
        return self._finish(context, report, runs, error)

    def started(self) -> kills.Kill | None:
        """Return what a kill has to cancel: the runs that may have been created."""
        return self._started

    @killable
    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take up the work again when the trigger has fired."""
        runs = [watches.WatchedRun.from_json(run) for run in event["runs"]]
        report = reports.RecoveryReport.from_json(event["report"])
        self.link_to(context, view_of(report.run_ids))
        return self._finish(context, report, runs, triggers.error_of(event))

    async def _follow(
        self, client: FactoryClient, watched: Mapping[str, Any], deadline: datetime
    ) -> tuple[list[watches.WatchedRun], AdfRunsError | None]:
        watch = final_watches.RunsFinalWatch(client, **watched)
        error = await self.wait_for(watch, client, deadline)
        return watch.runs, error

    def _finish(
        self,
        context: Context,
        report: reports.RecoveryReport,
        runs: Sequence[watches.WatchedRun],
        error: AdfRunsError | None,
        *,
        has_waited: bool = True,
    ) -> dict[str, Any]:
        """Show and leave the report, then judge it."""
        report = report.with_final_statuses(runs)
        self.log.info("%s:\n%s", "Would rerun" if report.dry_run else "Rerun", report.table())
        problems = report.problem_lines(has_waited=has_waited and not report.dry_run)
        result = self.leave(context, report.to_json(), problems)
        if error is not None:
            raise error
        if not report.dry_run:
            try:
                reports.check_outcome(report, has_waited=has_waited, fail_if=check_fail_if(self.fail_if))
            except RunsNotAsWanted:
                _note(context, report, Phase.FAILED)
                raise
            _note(context, report, Phase.SUCCEEDED)
        return result


def _note(context: Context, report: reports.RecoveryReport, verdict: Phase) -> None:
    """Note how the batch was judged; one that is not settled stays open: a next try asks for the same ids."""
    if report.is_settled:
        TaskBatch(context).finish(verdict)


def check_rerun_from(rerun_from: object, start_activity_name: object) -> None:
    """Check where a rerun of a pipeline run is to begin.

    :raises InvalidInput: for another word, and for an activity without its name or a name without need.
    """
    words = ("start", "failure", "activity")
    if rerun_from not in words:
        raise InvalidInput(f"rerun_from: {rerun_from!r} is not known. Expected one of {', '.join(words)}.")
    if (rerun_from == "activity") != bool(start_activity_name):
        raise InvalidInput(
            "start_activity_name and rerun_from='activity' belong together. Expected both or neither; got"
            f" start_activity_name={start_activity_name!r} and rerun_from={rerun_from!r}."
        )
