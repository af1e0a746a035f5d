"""AdfCleanUpOperator: cancel what other tasks of the DAG run have started; the doing lives in batch/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.batch.selection import listed
from airflow_provider_adfruns.operators.cancelling import CancelOperator
from airflow_provider_adfruns.parameters import check_given, given, is_templated
from airflow_provider_adfruns.results import whole_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.sdk import Context

    from airflow_provider_adfruns.batch import cancel_report as reports
    from airflow_provider_adfruns.batch import cleanup as cleanups
    from airflow_provider_adfruns.batch import started as starts
    from airflow_provider_adfruns.operators.cancelling import Request
else:
    cleanups = Lazily("airflow_provider_adfruns.batch.cleanup")
    starts = Lazily("airflow_provider_adfruns.batch.started")


class AdfCleanUpOperator(CancelOperator):
    """Cancel everything that tasks of this DAG run have started in the factory, and wait until it has ended.

    What they have started is read from their XComs: reports of this package's reruns (of windows only those
    that the task itself has sent; also behind ``result_path``, and of a task that was killed while it was
    deferred), ``run_ids`` or ``run_id`` of any other task, such as the official provider's. Runs are
    cancelled with their children; a run that has ended or is unknown is no problem, and neither is that there
    is none. What a task has not left in XCom cannot be found.

    As a teardown (``.as_teardown()``) it does not hide that the DAG run has failed. Airflow leaves a teardown
    out whose ``setups`` have not succeeded: what may fail or be killed stands before it, and is none of them.
    ``timeout`` and ``deadline`` end its wait alone: all that it has found is cancelled.

    :param task_ids: the tasks, one or many; mapped tasks with all their instances. Default: all tasks
        upstream of this one. (templated)
    :param trigger_rule: default ``all_done``: also, and first of all, after a failure.
    :param dry_run: only look: return what would be cancelled, and change nothing. (templated)

    Leaves in XCom the report of a cancel, see ``AdfCancelPipelineRunOperator``.

    :raises InvalidInput: for tasks that the DAG does not have.
    :raises RunsNotAsWanted: names the runs that could not be cancelled, and what could not be seen: a report
        whose file is gone or that cannot be read, reruns of a trigger that cannot be read.
    :raises WaitTimedOut: when ``timeout`` is over; the cancels go on.
    """

    template_fields: Sequence[str] = (*CancelOperator.template_fields, "task_ids", "dry_run")

    def __init__(
        self, *, task_ids: str | Sequence[str] | None = None, trigger_rule: str = "all_done", **kwargs: Any
    ) -> None:
        super().__init__(trigger_rule=trigger_rule, **kwargs)
        self.task_ids = task_ids
        self._given |= given(self, "task_ids")
        self._begun_by: starts.Started | None = None
        if task_ids is not None and not is_templated(task_ids):
            check_task_ids(task_ids)

    def execute(self, context: Context) -> dict[str, Any]:
        """Read what was started, cancel it, and wait or defer."""
        check_given(self, self._given)
        task_ids = (
            sorted(self.get_flat_relative_ids(upstream=True))
            if self.task_ids is None
            else check_task_ids(self.task_ids)
        )
        known = self.dag.task_ids if self.has_dag() else task_ids  # type: ignore[no-untyped-call]
        check_known(task_ids, known)
        self._begun_by = starts.started_by(xcoms_of(context["ti"], task_ids))
        if not self._begun_by:
            self.log.info("The tasks %s have left no run in XCom; there is nothing to cancel.", task_ids)
        return super().execute(context)

    def view(self) -> str:
        """Return the page of all pipeline runs."""
        return "pipelineruns"

    def request(self, *, dry_run: bool) -> Request:
        """Return what asks for the cancels, for all of them whatever the time."""
        begun_by = self._begun_by or starts.Started()
        return lambda client, deadline: cleanups.cancel_started(
            client, begun_by, deadline=deadline if self.wait_for_completion else None, dry_run=dry_run
        )

    def watched(self, report: reports.CancelReport) -> dict[str, Any]:
        """Say what has to be final: the pipeline runs with their children."""
        return {**super().watched(report), "include_children": True, "trigger_run_ids": []}


def check_task_ids(task_ids: object) -> list[str]:
    """Return the ids of tasks.

    :param task_ids: one or many.
    :raises InvalidInput: for none, and for anything but texts.
    """
    ids = [str(each) for each in listed(task_ids, "task_ids", "task id") if isinstance(each, str) and each]
    if not ids or len(ids) != len(listed(task_ids, "task_ids", "task id")):
        raise InvalidInput(
            f"task_ids: {task_ids!r} is not possible. Expected the ids of the tasks that have started runs,"
            " or no task_ids at all for every task."
        )
    return ids


def check_known(task_ids: Iterable[str], known: Iterable[str]) -> None:
    """See that a DAG has tasks.

    :param known: the ids of all its tasks.
    :raises InvalidInput: names those that it does not have.
    """
    if unknown := sorted(set(task_ids) - set(known)):
        raise InvalidInput(
            f"task_ids: the DAG has no task {', '.join(unknown)}. Expected ids as the DAG's page shows them,"
            " those of a task group's tasks with the group's in front ('group.task')."
        )


def xcoms_of(ti: Any, task_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Pull what tasks have left in XCom of what says which runs they have started.

    :param ti: any task instance of the DAG run.
    :param task_ids: the tasks.
    :return: of each task its XComs by key; reports that are in files are read.
    """
    return [
        {key: whole_of(ti.xcom_pull(task_ids=[task_id], key=key)) for key in starts.KEYS}
        for task_id in task_ids
    ]
