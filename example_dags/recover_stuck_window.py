"""Recover windows waiting on dependencies that have long succeeded: cancel, wait until cancelled, rerun."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag, task

from airflow_provider_adfruns.operators.cancel import AdfCancelWaitingTriggerRunOperator
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), tags=["adf"])
def recover_stuck_window() -> None:
    cancel = AdfCancelWaitingTriggerRunOperator(
        task_id="cancel_waiting",
        trigger_name="report_hourly",
        window_start="{{ (dag_run.run_after - macros.timedelta(hours=26)).isoformat() }}",
        window_end="{{ (dag_run.run_after - macros.timedelta(hours=6)).isoformat() }}",
        on_running="skip",  # a window that runs is not stuck
        wait_for_completion=False,
        retries=0,  # a second try would leave to nobody what the first has cancelled
    )

    @task.short_circuit
    def is_there_anything(run_ids: list[str]) -> bool:
        return bool(run_ids)  # in a quiet night the rest is skipped

    wait = AdfCancelCompleteSensor(
        task_id="wait_until_cancelled",
        trigger_name="report_hourly",
        trigger_run_ids=cancel.output["run_ids"],
        deferrable=True,
        poke_interval=15,
    )
    rerun = AdfRerunTumblingWindowRunsOperator(
        task_id="rerun",
        trigger_name="report_hourly",
        run_ids=cancel.output["run_ids"],
        deferrable=True,
    )
    is_there_anything(cancel.output["run_ids"]) >> wait >> rerun


recover_stuck_window()
