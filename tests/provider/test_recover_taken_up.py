"""A recovery that a next try takes up while its runs are being cancelled loses nothing of the first look."""

from __future__ import annotations

from copy import deepcopy
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


def long() -> dict[str, Any]:
    """Return the factory with more windows than a page of a query holds."""
    scenario = deepcopy(STUCK)
    for trigger in scenario["triggers"].values():
        trigger["windows"].insert(0, {"from": "-PT150H", "count": 147})
    return scenario


DAYS = {"window_start": "2026-02-24T00:00:00Z", "window_end": "2026-03-01T06:00:00Z"}


def test_a_lost_page_leaves_no_window_behind_that_an_earlier_try_has_cancelled(
    factory: Start, store: Store
) -> None:
    emulator = factory(long())
    recover(1, store, **DAYS, deferrable=True).defer()
    emulator.advance(3600)
    emulator.fail_next("TriggerRuns_QueryByFactory", lose="page")
    assert recover(2, store, **DAYS).run()["counts"] == {"Succeeded": 1}


def test_a_lost_page_hides_nothing_of_what_is_left_over_after_a_verdict(factory: Start, store: Store) -> None:
    emulator = factory(long())
    emulator.fail_next("TriggerRuns_Rerun", status=400)
    with pytest.raises(RunsNotAsWanted):
        recover(1, store, **DAYS).run()
    emulator.fail_next("TriggerRuns_QueryByFactory", lose="page")
    assert recover(2, store, **DAYS).run()["counts"] == {"Succeeded": 1}
