"""Leave nothing running: when the DAG run fails, a teardown cancels what its tasks started in the factory."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag, task

from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cleanup import AdfCleanUpOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={"failed_run_id": "5f0c1a52-8d0e-4a53-9d0b-6c1b8d5f7a02"},
    tags=["adf"],
)
def clean_up_after_failure() -> None:
    @task(retries=0, multiple_outputs=True)  # a second try would start a second run
    def start_load(failed_run_id: str) -> dict[str, str]:
        run_id = AdfRunsHook().create_recovery_run("load_stock", failed_run_id, start_from_failure=True)
        return {"run_id": run_id}  # an XCom of this key, as the official provider's operator leaves it

    @task
    def check_source() -> None:
        raise ValueError("the stock source is closed for maintenance, so loading it makes no sense")

    started = start_load("{{ params.failed_run_id }}")
    # Whatever the tasks before it have started, as their XComs tell; the DAG run stays failed.
    clean_up = AdfCleanUpOperator(task_id="clean_up", deferrable=True).as_teardown(setups=started.operator)
    started >> check_source() >> clean_up


clean_up_after_failure()
