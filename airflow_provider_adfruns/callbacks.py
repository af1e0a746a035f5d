"""Callbacks for DAGs and tasks: cancel what a DAG run has started, when it or a task of it fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import AdfRunsError, InvalidInput
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cleanup import check_known, check_task_ids, xcoms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

    from airflow_provider_adfruns.batch import cleanup as cleanups
    from airflow_provider_adfruns.batch import started as starts
else:
    cleanups = Lazily("airflow_provider_adfruns.batch.cleanup")
    starts = Lazily("airflow_provider_adfruns.batch.started")

log = logging.getLogger(__name__)


def cancel_runs_of_dag_run(
    *,
    task_ids: str | Sequence[str] | None = None,
    azure_data_factory_conn_id: str = AdfRunsHook.default_conn_name,
    resource_group_name: str | None = None,
    factory_name: str | None = None,
) -> Callable[[Context], None]:
    """Make an ``on_failure_callback`` that cancels what tasks of the DAG run have started.

    It asks for the cancels and does not wait for their end; ``AdfCleanUpOperator`` as a teardown does. What
    was started is read from XCom as there. On a task Airflow calls it in the task's own process; on a DAG,
    and on a task whose process has died, in the DAG processor, which ends it after ``[dag_processor]
    dag_file_processor_timeout``. Where Airflow names no task instance to it, as for a DAG run none of whose
    tasks has failed, it only says so in the log. (``dag.test()`` gives a DAG's callbacks no XComs.) What the
    factory refuses is logged and not raised; whatever else goes wrong, Airflow logs.

    :param task_ids: the tasks, one or many; default all tasks of the DAG.
    :param azure_data_factory_conn_id: a connection of type ``adf_runs`` or ``azure_data_factory``.
    :param resource_group_name: instead of the connection's.
    :param factory_name: instead of the connection's.
    :raises InvalidInput: for an empty list of tasks, when the DAG is parsed.
    """
    chosen = None if task_ids is None else check_task_ids(task_ids)

    def cancel_runs(context: Context) -> None:
        ti: Any = context.get("ti")
        if ti is None:
            log.error("Airflow names no task instance to this callback, so no run can be found or cancelled.")
            return
        known = sorted(context["dag"].task_ids)
        try:
            check_known(chosen or (), known)
        except InvalidInput:
            log.exception("What these tasks have started is not found; what the others have is cancelled.")
        started = starts.started_by(xcoms_of(ti, chosen or known))
        if not started:
            log.info("No task has left a run in XCom; there is nothing to cancel.")
            return
        hook = AdfRunsHook(
            azure_data_factory_conn_id, resource_group_name=resource_group_name, factory_name=factory_name
        )
        try:
            report = hook.run(lambda client: cleanups.cancel_started(client, started))
        except AdfRunsError:
            log.exception("What the DAG run has started could not be cancelled; cancel it by hand.")
        else:
            log.info("Cancel of what the DAG run has started:\n%s", report.table())

    return cancel_runs
