"""The DAGs of the live suite: reruns of a night's windows, in what ways Airflow can be told to do it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_adfruns.operators.cleanup import AdfCleanUpOperator
from airflow_provider_adfruns.operators.recover import AdfRecoverStuckTriggerRunsOperator
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor

NIGHT: dict[str, Any] = {
    "window_start": "{{ params.window_start }}",
    "window_end": "{{ params.window_end }}",
    "poll_interval": 2,
}
TIMEOUT = timedelta(seconds=30)  # on a worker: all is sent by then
RETRIED: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(seconds=1)}


def live_dag(dag_id: str, **params: Any) -> DAG:
    """Return a DAG that runs when it is told to."""
    start_date = datetime(2026, 1, 1, tzinfo=UTC)
    return DAG(dag_id, schedule=None, start_date=start_date, tags=["live"], params=params)


def rerun(dag_id: str, *, cleaned_up: bool = False, **parameters: Any) -> None:
    """Make a DAG that reruns the windows of one trigger.

    :param cleaned_up: it has a teardown that cancels what the task has started.
    """
    with live_dag(dag_id, trigger_name="hourly", window_start="", window_end=""):
        windows = AdfRerunTumblingWindowRunsOperator(
            task_id="rerun",
            trigger_name="{{ params.trigger_name }}",
            **{**NIGHT, "deferrable": True, **parameters},
        )
        if cleaned_up:
            windows >> AdfCleanUpOperator(task_id="clean_up", poll_interval=2).as_teardown()


rerun("live_rerun")
rerun("live_rerun_retried", **RETRIED)
rerun("live_rerun_cleaned_up", cleaned_up=True)
rerun("live_rerun_deadline", timeout=300)
rerun("live_rerun_on_worker", deferrable=False, execution_timeout=TIMEOUT)
rerun("live_rerun_on_worker_retried", deferrable=False, execution_timeout=TIMEOUT, **RETRIED)

with live_dag("live_rerun_mapped", window_start="", window_end=""):
    AdfRerunTumblingWindowRunsOperator.partial(task_id="rerun", deferrable=True, **NIGHT).expand(
        trigger_name=["north", "south", "west"]
    )

with live_dag("live_recover", window_start="", window_end=""):
    AdfRecoverStuckTriggerRunsOperator(
        task_id="recover", trigger_name="report", deferrable=True, wait_for_completion=False, **NIGHT
    )

with live_dag("live_soak", pipeline_run_ids=[], trigger_run_ids=[]):

    @task
    def listed(name: str, params: dict[str, Any] | None = None) -> list[str]:
        """Return one of the lists that the DAG run was given."""
        return list((params or {})[name])

    AdfCancelCompleteSensor.partial(task_id="wait", deferrable=True, poke_interval=30).expand(
        pipeline_run_ids=listed.override(task_id="pipeline_runs")("pipeline_run_ids")
    )
    AdfRerunTumblingWindowRunsOperator.partial(
        task_id="rerun", trigger_name="hourly", deferrable=True, poll_interval=30
    ).expand(run_ids=listed.override(task_id="trigger_runs")("trigger_run_ids"))
