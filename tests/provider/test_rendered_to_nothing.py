"""A parameter that its template or XCom turns into nothing stops the task: without it, it would mean more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.operators.cleanup import AdfCleanUpOperator
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.provider.scenarios import FAMILY, NIGHT_RANGE
from tests.provider.tasks import TaskInstance, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

RUNS = {"pipeline_run_ids": "lone"}
TEMPLATE = "{{ var.value.chosen }}"


@task
def choose() -> None:
    """Leave nothing, as a task does that has forgotten to return."""


def test_a_condition_whose_xcom_is_empty_does_not_widen_the_selection(
    factory: Start, run_dag: RunDag
) -> None:
    emulator = factory(FAMILY)
    with DAG("widened", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        chosen: Any = choose()
        AdfCancelPipelineRunOperator(task_id="cancel", pipeline_names="load", trigger_run_id=chosen)
    assert run_dag(dag).states == {"choose": "success", "cancel": "failed"}
    assert writes(emulator) == []


@pytest.mark.parametrize("rendered", [None, "None"])
@pytest.mark.parametrize(
    ("operator", "parameters", "name"),
    [
        *(
            (AdfCancelPipelineRunOperator, {"pipeline_names": "load"}, name)
            for name in ("statuses", "started_after", "started_before", "trigger_name", "run_group_id")
        ),
        (AdfCancelPipelineRunOperator, {}, "run_ids"),
        (AdfCancelPipelineRunOperator, {"run_ids": "lone"}, "factory_name"),
        (AdfCancelPipelineRunOperator, {"run_ids": "lone"}, "resource_group_name"),
        (AdfRerunTumblingWindowRunsOperator, {"trigger_name": "hourly", **NIGHT_RANGE}, "factory_name"),
        (AdfRerunTumblingWindowRunsOperator, {"trigger_name": "hourly", **NIGHT_RANGE}, "statuses"),
        (AdfCleanUpOperator, {}, "task_ids"),
        (AdfCancelCompleteSensor, {}, "pipeline_run_ids"),
        (AdfCancelCompleteSensor, {**RUNS, "trigger_name": "report"}, "trigger_run_ids"),
        (AdfCancelCompleteSensor, RUNS, "factory_name"),
    ],
)
def test_what_was_given_and_comes_to_nothing_is_named_before_anything_is_sent(
    factory: Start, operator: Any, parameters: dict[str, Any], name: str, rendered: str | None
) -> None:
    emulator = factory(FAMILY)
    parsed = operator(task_id="task", **parameters, **{name: TEMPLATE})
    setattr(parsed, name, rendered)
    with pytest.raises(InvalidInput, match=rf"{name}: .*None"):
        parsed.execute(TaskInstance().context)
    assert writes(emulator) == []
