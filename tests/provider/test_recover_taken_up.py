"""A recovery that a next try takes up while its runs are being cancelled loses nothing of the first look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import RunsNotAsWanted
from airflow_provider_adfruns.operators.recover import AdfRecoverStuckTriggerRunsOperator
from tests.provider.scenarios import NOW
from tests.provider.tasks import Task
from tests.provider.test_rerun_resume import Store, Try, store

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

__all__ = ["store"]

STUCK: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 60}},
    "triggers": {
        "hourly": {"pipeline": "load", "windows": [{"from": "-PT3H", "count": 3}]},
        "report": {
            "pipeline": "load",
            "cancel_seconds": 600,
            "dependsOn": [{"trigger": "hourly"}],
            "windows": [
                {
                    "from": "-PT3H",
                    "count": 3,
                    "except": [
                        {
                            "windows": 1,
                            "runs": [{"status": "WaitingOnDependency", "id": "stuck", "stuck": True}],
                        }
                    ],
                }
            ],
        },
    },
}


def recover(number: int, store: Store, **parameters: Any) -> Task:
    made = Task(AdfRecoverStuckTriggerRunsOperator, trigger_name="report", **parameters)
    made.ti = Try(number, store)
    return made


def test_an_unknown_run_id_fails_the_next_try_as_it_would_have_failed_the_first(
    factory: Start, store: Store
) -> None:
    factory(STUCK)
    run_ids = ["stuck", "nobody-knows-it"]
    recover(1, store, run_ids=run_ids, deferrable=True).defer()
    with pytest.raises(RunsNotAsWanted, match="run nobody-knows-it is unknown"):
        recover(2, store, run_ids=run_ids).run()
