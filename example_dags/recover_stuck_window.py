"""Recover windows waiting on dependencies that have long succeeded: cancel, wait until cancelled, rerun."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag

from airflow_provider_adfruns.operators.recover import AdfRecoverStuckTriggerRunsOperator


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), tags=["adf"])
def recover_stuck_window() -> None:
    AdfRecoverStuckTriggerRunsOperator(
        task_id="recover",
        trigger_name="report_hourly",
        window_start="{{ (dag_run.run_after - macros.timedelta(hours=48)).isoformat() }}",
        window_end="{{ dag_run.run_after.isoformat() }}",
        max_windows=100,  # a slip in the range must not cancel a year
        deferrable=True,
    )


recover_stuck_window()
