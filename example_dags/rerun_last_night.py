"""Rerun the windows of the last 24 hours whose latest run failed or was cancelled, each exactly once."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag

from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), tags=["adf"])
def rerun_last_night() -> None:
    AdfRerunTumblingWindowRunsOperator(
        task_id="rerun",
        trigger_name="orders_15min",
        window_start="{{ (dag_run.run_after - macros.timedelta(hours=24)).isoformat() }}",
        window_end="{{ dag_run.run_after.isoformat() }}",
        max_windows=100,  # a slip in the range must not rerun a year
        deferrable=True,
    )


rerun_last_night()
