"""The DAGs of what is there afterwards: links of all kinds of tasks, and callbacks of what has failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_adfruns.callbacks import cancel_runs_of_dag_run
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.operators.cleanup import AdfCleanUpOperator
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor

RANGE = {"window_start": "", "window_end": ""}
RERUN: dict[str, Any] = {
    "task_id": "rerun",
    "trigger_name": "hourly",
    "window_start": "{{ params.window_start }}",
    "window_end": "{{ params.window_end }}",
    "deferrable": True,
    "poll_interval": 2,
}
CONN: dict[str, Any] = {"azure_data_factory_conn_id": "live_in_the_cloud"}


def live_dag(dag_id: str, **more: Any) -> DAG:
    """Return a DAG that runs when it is told to."""
    return DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), tags=["live"], **more)


with live_dag("live_links", params={**RANGE, "running": "", "failed": "", "first": "", "second": ""}):
    AdfRerunTumblingWindowRunsOperator(**RERUN, **CONN)
    AdfCancelPipelineRunOperator(task_id="cancel", run_ids="{{ params.running }}", poll_interval=1, **CONN)
    AdfCancelCompleteSensor.partial(task_id="wait", **CONN).expand(
        pipeline_run_ids=["{{ params.first }}", "{{ params.second }}"]
    )
    started = AdfRerunPipelineRunOperator(
        task_id="rerun_run",
        run_ids="{{ params.failed }}",
        rerun_from="start",
        wait_for_completion=False,
        **CONN,
    )
    started >> AdfCleanUpOperator(task_id="clean_up", poll_interval=1, **CONN)


@task(retries=0, multiple_outputs=True)
def start(params: dict[str, Any] | None = None) -> dict[str, str]:
    """Start a pipeline run, and leave its id as the official provider's operator does."""
    return {"run_id": AdfRunsHook().create_recovery_run("load", str((params or {})["failed"]))}


@task
def go_on(params: dict[str, Any] | None = None) -> None:
    """Fail if told to."""
    if (params or {})["breaks_down"]:
        raise ValueError("the source is closed")


STARTED = {"failed": "", "breaks_down": True}

with live_dag("live_callback_of_dag", params=STARTED, on_failure_callback=cancel_runs_of_dag_run()):
    start() >> go_on()

with live_dag("live_callback_of_task", params=STARTED):
    start() >> go_on.override(on_failure_callback=cancel_runs_of_dag_run())()

with live_dag(
    "live_callback_of_marked", params=RANGE, on_failure_callback=cancel_runs_of_dag_run(task_ids="rerun")
):
    AdfRerunTumblingWindowRunsOperator(
        **RERUN, cancel_on_kill=False
    )  # all that is cancelled, the callback has
