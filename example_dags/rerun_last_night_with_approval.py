"""Rerun last night's failed windows after a person has seen a dry run and approved it."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import dag, task

from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), tags=["adf"])
def rerun_last_night_with_approval() -> None:
    plan = AdfRerunTumblingWindowRunsOperator(
        task_id="plan",
        trigger_name="orders_15min",
        window_start="{{ (dag_run.run_after - macros.timedelta(hours=24)).isoformat() }}",
        window_end="{{ dag_run.run_after.isoformat() }}",
        dry_run=True,
    )

    @task.short_circuit
    def is_there_anything(run_ids: list[str]) -> bool:
        return bool(run_ids)

    approve = ApprovalOperator(
        task_id="approve",
        subject="Rerun {{ ti.xcom_pull('plan')['run_ids'] | length }} windows of orders_15min?",
        body="""{% for each in ti.xcom_pull('plan')['windows'] -%}
        - {{ each['window_start'] }}: {{ each['status_before'] }}
        {% endfor %}""",
        # It waits for ever. To limit that: response_timeout, in older standard providers execution_timeout.
    )
    rerun = AdfRerunTumblingWindowRunsOperator(
        task_id="rerun",
        trigger_name="orders_15min",
        run_ids=plan.output["run_ids"],  # what was approved, not what has failed since
        deferrable=True,
    )
    is_there_anything(plan.output["run_ids"]) >> approve >> rerun


rerun_last_night_with_approval()
