"""Cancel a pipeline run with all its children, wait until that is complete, rerun it where it left off."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag

from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.operators.rerun import AdfRerunPipelineRunOperator
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

    rerun = AdfRerunPipelineRunOperator(
        task_id="rerun",
        run_ids=cancel.output["run_ids"],
        rerun_from="failure",  # what succeeded before the cancel is not done again
        deferrable=True,
    )
    cancel >> wait >> rerun


cancel_and_rerun_from_failure()
