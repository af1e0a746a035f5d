"""Cancel a pipeline run with all its children, wait until that is complete, rerun it where it left off."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={"run_id": "5f0c1a52-8d0e-4a53-9d0b-6c1b8d5f7a01"},
    tags=["adf"],
)
def cancel_and_rerun_from_failure() -> None:
    cancel = AdfCancelPipelineRunOperator(
        task_id="cancel",
        run_ids="{{ params.run_id }}",
        is_recursive=True,
        wait_for_completion=False,
    )
    wait = AdfCancelCompleteSensor(
        task_id="wait",
        pipeline_run_ids=cancel.output["run_ids"],
        include_children=True,  # a cancelled parent with a running child still costs money
        deferrable=True,
        poke_interval=30,
    )

    @task(retries=0)  # a second try would start a second run
    def rerun_from_failure(cancelled: dict[str, Any]) -> str:
        root = cancelled["runs"][0]
        return AdfRunsHook().create_recovery_run(root["name"], root["run_id"], start_from_failure=True)

    new_run_id = rerun_from_failure(wait.output)
    finish = AdfCancelCompleteSensor(
        task_id="wait_for_rerun", pipeline_run_ids=new_run_id, include_children=True, deferrable=True
    )
    cancel >> wait >> finish


cancel_and_rerun_from_failure()
