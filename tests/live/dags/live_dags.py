"""The DAGs of the live suite: the same rerun of a night's windows, and what Airflow can be told to do with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator

NIGHT: dict[str, Any] = {
    "window_start": "{{ params.window_start }}",
    "window_end": "{{ params.window_end }}",
    "poll_interval": 2,
}
RETRIED = {"retries": 3, "retry_delay": timedelta(seconds=1)}


def live_dag(dag_id: str, **params: Any) -> DAG:
    """Return a DAG that runs when it is told to."""
    start_date = datetime(2026, 1, 1, tzinfo=UTC)
    return DAG(dag_id, schedule=None, start_date=start_date, tags=["live"], params=params)


def rerun(dag_id: str, **parameters: Any) -> None:
    """Make a DAG that reruns the windows of one trigger."""
    with live_dag(dag_id, trigger_name="hourly", window_start="", window_end=""):
        AdfRerunTumblingWindowRunsOperator(
            task_id="rerun",
            trigger_name="{{ params.trigger_name }}",
            **{**NIGHT, "deferrable": True, **parameters},
        )


rerun("live_rerun")
rerun("live_rerun_retried", **RETRIED)
rerun("live_rerun_deadline", timeout=300)
rerun("live_rerun_on_worker", deferrable=False, execution_timeout=timedelta(seconds=15))
rerun("live_rerun_on_worker_retried", deferrable=False, execution_timeout=timedelta(seconds=15), **RETRIED)

with live_dag("live_rerun_mapped", window_start="", window_end=""):
    AdfRerunTumblingWindowRunsOperator.partial(task_id="rerun", deferrable=True, **NIGHT).expand(
        trigger_name=["north", "south", "west"]
    )
