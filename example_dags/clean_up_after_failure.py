"""Leave nothing running: when the DAG run fails, a teardown cancels the pipeline run that it started."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag, task

from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={"failed_run_id": "5f0c1a52-8d0e-4a53-9d0b-6c1b8d5f7a02"},
    tags=["adf"],
)
def clean_up_after_failure() -> None:
    @task(retries=0)  # a second try would start a second run
    def start_load(failed_run_id: str) -> str:
        return AdfRunsHook().create_recovery_run("load_stock", failed_run_id, start_from_failure=True)

    @task
    def check_source() -> None:
        raise ValueError("the stock source is closed for maintenance, so loading it makes no sense")

    started = start_load("{{ params.failed_run_id }}")
    clean_up = AdfCancelPipelineRunOperator(
        task_id="clean_up",
        run_ids=started,
        is_recursive=True,
        deferrable=True,
    ).as_teardown(setups=started.operator)
    started >> check_source() >> clean_up


clean_up_after_failure()
