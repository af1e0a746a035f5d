"""The classes that the documentation names, and what they take."""

from __future__ import annotations

import inspect
from typing import Any

from airflow_provider_adfruns.adf import errors
from airflow_provider_adfruns.callbacks import cancel_runs_of_dag_run
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.base import AdfRunsOperator
from airflow_provider_adfruns.operators.cancel import (
    AdfCancelPipelineRunOperator,
    AdfCancelWaitingTriggerRunOperator,
)
from airflow_provider_adfruns.operators.cleanup import AdfCleanUpOperator
from airflow_provider_adfruns.operators.recover import AdfRecoverStuckTriggerRunsOperator
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor

TASKS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        AdfCancelCompleteSensor,
        AdfCancelPipelineRunOperator,
        AdfCancelWaitingTriggerRunOperator,
        AdfCleanUpOperator,
        AdfRecoverStuckTriggerRunsOperator,
        AdfRerunPipelineRunOperator,
        AdfRerunTumblingWindowRunsOperator,
    )
}
"""What a DAG is made of."""

DOCUMENTED = {**TASKS, "AdfRunsOperator": AdfRunsOperator, "AdfRunsHook": AdfRunsHook}
FUNCTIONS = {cancel_runs_of_dag_run.__name__: cancel_runs_of_dag_run}
ERRORS = [
    name
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and kind.__module__ == errors.__name__ and kind is not errors.AdfRunsError
]


def parameters(kind: type) -> dict[str, Any]:
    """Return what a class takes, with defaults: its own parameters and those of the classes it is made of."""
    found: dict[str, Any] = {}
    for each in kind.__mro__:
        if "__init__" in vars(each) and each is not object:
            for name, parameter in inspect.signature(each.__init__).parameters.items():  # type: ignore[misc]
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                    found.setdefault(name, parameter.default)
    return found
