"""AdfRerunTumblingWindowRunsOperator in a real DAG run, against a local factory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

NIGHT: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {"load": {"seconds": 60}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "frequency": "Hour",
            "windows": [
                {
                    "from": "-PT12H",
                    "count": 12,
                    "status": "Failed",
                    "except": [{"windows": "0..2", "runs": ["Failed", "Succeeded"]}],
                }
            ],
        }
    },
}


def dag_of(**parameters: Any) -> DAG:
    with DAG("rerun_windows", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfRerunTumblingWindowRunsOperator(
            task_id="rerun",
            **{
                "trigger_name": "hourly",
                "window_start": "2026-02-28T12:00:00Z",
                "window_end": "2026-03-01T06:00:00Z",
                **parameters,
            },
        )
    return dag


@pytest.mark.parametrize("deferrable", [False, True])
def test_each_failed_window_is_rerun_once_and_waited_for(
    factory: Callable[..., AdfEmulator], run_dag: Callable[[DAG], Ran], deferrable: bool
) -> None:
    emulator = factory(NIGHT)
    ran = run_dag(dag_of(deferrable=deferrable))
    assert ran.states == {"rerun": "success"}
    report = ran.xcom("rerun")
    reruns = calls(emulator, "TriggerRuns_Rerun")
    assert sorted(entry.subject for entry in reruns) == sorted(each["run_id"] for each in report["windows"])
    assert report["counts"] == {"Succeeded": 9}
    assert len(report["skipped"]) == 3
