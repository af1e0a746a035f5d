"""What Airflow does with the operators and the sensor when it parses a DAG: import, template, serialize."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

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
from tests.provider.scenarios import NIGHT_RANGE
from tests.provider.versions import DagSerialization

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import BaseOperator

PLACE = ("azure_data_factory_conn_id", "resource_group_name", "factory_name")
EACH_OPERATOR = (*PLACE, "deadline", "result_path")
CANCEL_TEMPLATED = {
    *EACH_OPERATOR,
    "run_ids",
    "pipeline_names",
    "statuses",
    "started_after",
    "started_before",
    "trigger_name",
    "trigger_run_id",
    "run_group_id",
    "order",
    "queued_first",
    "if_none",
    "is_recursive",
    "dry_run",
}
TASKS: list[tuple[Callable[..., BaseOperator], dict[str, Any], set[str]]] = [
    (AdfCancelPipelineRunOperator, {"run_ids": ["a", "b"]}, CANCEL_TEMPLATED),
    (
        AdfCancelPipelineRunOperator,
        {"pipeline_names": ["load"], "statuses": ["Queued"], "order": "children_first", "max_runs": 5},
        CANCEL_TEMPLATED,
    ),
    (
        AdfCancelWaitingTriggerRunOperator,
        {"trigger_name": "hourly", **NIGHT_RANGE, "on_running": "skip"},
        {*EACH_OPERATOR, "trigger_name", "run_ids", "window_start", "window_end", "on_running", "dry_run"},
    ),
    (
        AdfRerunTumblingWindowRunsOperator,
        {"trigger_name": "hourly", **NIGHT_RANGE, "statuses": ["Failed"], "max_windows": 50},
        {
            *EACH_OPERATOR,
            *("trigger_name", "run_ids", "window_start", "window_end", "statuses", "fail_if", "dry_run"),
        },
    ),
    (
        AdfRecoverStuckTriggerRunsOperator,
        {"trigger_name": "report", **NIGHT_RANGE, "check_dependencies": False, "max_windows": 50},
        {
            *EACH_OPERATOR,
            *("trigger_name", "run_ids", "window_start", "window_end", "check_dependencies"),
            *("fail_if", "dry_run"),
        },
    ),
    (
        AdfRerunPipelineRunOperator,
        {"run_ids": ["a", "b"], "rerun_from": "activity", "start_activity_name": "Merge", "fail_if": "all"},
        {*EACH_OPERATOR, "run_ids", "rerun_from", "start_activity_name", "fail_if", "dry_run"},
    ),
    (AdfCleanUpOperator, {"task_ids": ["start"]}, {*EACH_OPERATOR, "task_ids", "dry_run"}),
    (
        AdfCancelCompleteSensor,
        {"pipeline_run_ids": "a", "trigger_name": "hourly", "trigger_run_ids": ["b"]},
        {
            *PLACE,
            "pipeline_run_ids",
            "include_children",
            "trigger_name",
            "trigger_run_ids",
            "accept_outcomes",
            "cancel_requested_at",
            "on_stuck",
            "cancel_report",
            "evidence_path",
        },
    ),
]
EACH = pytest.mark.parametrize(("operator", "parameters", "templated"), TASKS)

IMPORTS = """
import sys
from airflow.sdk import BaseOperator, BaseSensorOperator
import airflow.triggers.base

before = set(sys.modules)
import airflow_provider_adfruns.callbacks
import airflow_provider_adfruns.operators.cancel
import airflow_provider_adfruns.operators.recover
import airflow_provider_adfruns.operators.rerun
import airflow_provider_adfruns.sensors.cancel_complete
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


@EACH
def test_what_an_author_would_template_is_templated_and_is_an_attribute(
    operator: Callable[..., BaseOperator], parameters: dict[str, Any], templated: set[str]
) -> None:
    made = operator(task_id="task", **parameters)
    assert set(made.template_fields) == templated
    assert {name for name in templated if hasattr(made, name)} == templated


@EACH
def test_a_dag_survives_airflows_serialization(
    operator: Callable[..., BaseOperator], parameters: dict[str, Any], templated: set[str]
) -> None:
    with DAG("parsed", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        operator(task_id="task", deferrable=True, **parameters)
    stored = json.dumps(DagSerialization.to_dict(dag))
    task = DagSerialization.from_dict(json.loads(stored)).get_task("task")
    assert (task.task_type, task.ui_color) == (operator.__name__, "#e3effa")
    assert set(task.template_fields) == templated
    assert {name: getattr(task, name) for name in templated & set(parameters)} == {
        name: parameters[name] for name in templated & set(parameters)
    }


@EACH
def test_the_serialized_task_shows_the_link_to_adf_studio(
    operator: Callable[..., BaseOperator],
    parameters: dict[str, Any],
    templated: set[str],  # noqa: ARG001 - of the table
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with DAG("parsed", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        operator(task_id="task", **parameters)
    # as in the API server: a scheduler, and a clear, switch links off for their whole process
    monkeypatch.setattr(DagSerialization, "_load_operator_extra_links", True)
    task = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("task")
    assert [(link.name, link.xcom_key) for link in task.operator_extra_links] == [
        ("ADF Studio", "_link_AdfStudioLink")
    ]


def test_a_dag_with_a_datetime_survives_airflows_serialization() -> None:
    window_start = datetime(2026, 3, 1, tzinfo=UTC)
    with DAG("parsed", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfRerunTumblingWindowRunsOperator(
            task_id="task",
            trigger_name="hourly",
            window_start=window_start,
            window_end="2026-03-02T00:00:00Z",
        )
    stored = json.dumps(DagSerialization.to_dict(dag))
    task = DagSerialization.from_dict(json.loads(stored)).get_task("task")
    assert datetime.fromisoformat(str(vars(task)["window_start"])) == window_start


def test_importing_all_operators_and_the_sensor_loads_no_azure_nor_anything_else() -> None:
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-W", "ignore", "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "['airflow', 'airflow_provider_adfruns']"


def test_deferrable_takes_its_default_from_airflows_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    code = (
        "from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator as Cancel\n"
        "from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor as Sensor\n"
        "tasks = Cancel(task_id='a', run_ids='b'), Sensor(task_id='c', pipeline_run_ids='d')\n"
        "print(*[task.deferrable for task in tasks])"
    )
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "True True"


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("hooks.adf_runs", {"AdfRunsHook"}),
        ("operators.cancel", {"AdfCancelPipelineRunOperator", "AdfCancelWaitingTriggerRunOperator"}),
        ("operators.recover", {"AdfRecoverStuckTriggerRunsOperator"}),
        ("operators.rerun", {"AdfRerunTumblingWindowRunsOperator", "AdfRerunPipelineRunOperator"}),
        ("operators.cleanup", {"AdfCleanUpOperator"}),
        ("sensors.cancel_complete", {"AdfCancelCompleteSensor"}),
        ("triggers.runs", {"AdfRunsFinalTrigger", "AdfWindowsRerunTrigger"}),
        ("links", {"AdfStudioLink"}),
        ("emulator.server", {"AdfEmulator"}),
    ],
)
def test_each_room_has_the_public_classes_of_the_design_and_no_others(module: str, names: set[str]) -> None:
    room = import_module(f"airflow_provider_adfruns.{module}")
    here = {
        name
        for name, thing in vars(room).items()
        if isinstance(thing, type)
        and (thing.__module__ == room.__name__ or name in getattr(room, "__all__", ()))
        and not name.startswith("_")
    }
    assert here == names


def test_the_emulators_package_exports_its_class() -> None:
    emulator = import_module("airflow_provider_adfruns.emulator")
    assert {name: getattr(emulator, name).__name__ for name in emulator.__all__} == {
        "AdfEmulator": "AdfEmulator",
        "JournalEntry": "JournalEntry",
        "ScenarioError": "ScenarioError",
    }
