"""AdfRecoverStuckTriggerRunsOperator: what is stuck is cancelled and rerun once, what waits rightly is not."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_adfruns.adf.errors import (
    InvalidInput,
    RunsNotAsWanted,
    TriggerRunNotFound,
    UnexpectedAnswer,
    WaitTimedOut,
    WrongTriggerType,
)
from airflow_provider_adfruns.operators.recover import AdfRecoverStuckTriggerRunsOperator
from tests.conftest import calls
from tests.provider.scenarios import NOW
from tests.provider.tasks import Task, event_of, latest_statuses, statuses, through_json, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

# Of six hours of "report" two are stuck (2 and 4), one waits for a failed window (3), one for its turn (5).
STUCK: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 60}, "report": {"seconds": 60}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "windows": [{"from": "-PT6H", "count": 6, "except": [{"windows": 3, "status": "Failed"}]}],
        },
        "report": {
            "pipeline": "report",
            "dependsOn": [{"trigger": "hourly"}],
            "windows": [
                {
                    "from": "-PT6H",
                    "count": 6,
                    "except": [
                        {"windows": 2, "runs": [{"status": "WaitingOnDependency", "id": "two", "stuck": True}]},
                        {"windows": 3, "runs": [{"status": "WaitingOnDependency", "id": "three"}]},
                        {"windows": 4, "runs": [{"status": "WaitingOnDependency", "id": "four", "stuck": True}]},
                    ],
                }
            ],
        },
        "nightly": {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Day"},
    },
}
NIGHT: dict[str, Any] = {"window_start": "2026-03-01T00:00:00Z", "window_end": "2026-03-01T06:00:00Z"}
WAYS_TO_WAIT = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def recover(**parameters: Any) -> Task:
    return Task(AdfRecoverStuckTriggerRunsOperator, trigger_name="report", **parameters)


def windows(emulator: AdfEmulator) -> list[str]:
    return list(latest_statuses(emulator, "report").values())


def sent(emulator: AdfEmulator, operation: str) -> list[str]:
    return sorted(str(entry.subject) for entry in calls(emulator, operation))


@WAYS_TO_WAIT
def test_in_a_dag_run_stuck_windows_are_cancelled_then_rerun_and_others_left_waiting(
    factory: Start, run_dag: RunDag, deferrable: bool
) -> None:
    emulator = factory(STUCK)
    with DAG("recover", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfRecoverStuckTriggerRunsOperator(
            task_id="recover", trigger_name="report", **NIGHT, deferrable=deferrable
        )
    ran = run_dag(dag)
    assert ran.states == {"recover": "success"}
    assert sent(emulator, "TriggerRuns_Cancel") == ["four", "two"]
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "two"]
    assert windows(emulator) == [*["Succeeded"] * 3, "WaitingOnDependency", *["Succeeded"] * 2]
    assert ran.xcom("recover")["counts"] == {"Succeeded": 2}


def test_no_window_is_rerun_before_its_run_is_cancelled(factory: Start) -> None:
    slow = deepcopy(STUCK)
    slow["triggers"]["report"]["cancel_seconds"] = 600
    emulator = factory(slow)
    assert recover(**NIGHT).run()["counts"] == {"Succeeded": 2}
    assert {entry.status for entry in calls(emulator, "TriggerRuns_Rerun")} == {200}
    cancelled = max(entry.at for entry in calls(emulator, "TriggerRuns_Cancel"))
    rerun = min(entry.at for entry in calls(emulator, "TriggerRuns_Rerun"))
    assert rerun - cancelled >= timedelta(seconds=600)


def test_the_report_says_for_what_a_window_waits_rightly(factory: Start) -> None:
    factory(STUCK)
    skipped = {each["run_id"]: each["reason"] for each in recover(**NIGHT).run()["skipped"]}
    assert skipped["three"] == (
        "it waits as it should: window 2026-03-01 03:00:00 to 2026-03-01 04:00:00 of trigger 'hourly' is Failed"
    )
