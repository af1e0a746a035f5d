"""With a limit in flight a deferrable rerun alternates: it sends what there is room for, and defers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import WaitTimedOut
from airflow_provider_adfruns.batch.ledger import LEDGER_KEY
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.conftest import calls
from tests.provider.scenarios import NIGHT_RANGE, NOW
from tests.provider.tasks import event_of, through_json
from tests.provider.test_rerun_resume import Store, WorkerDiedError, failed_ids, night, sent, store, task
from tests.provider.versions import TaskDeferred

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran
    from tests.provider.tasks import Task

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

__all__ = ["store"]


def limited(number: int, store: Store | None, **parameters: Any) -> Task:
    return task(
        number, store, **{"deferrable": True, "max_in_flight": 4, "poll_interval": 10.0, **parameters}
    )


def most_in_flight(emulator: AdfEmulator) -> int:
    """Return how many reruns were not final at a time at most."""
    ended = {run["runId"]: run["runEnd"] for run in emulator.pipeline_runs()}
    reruns = {entry.effect["triggerRunId"] for entry in calls(emulator, "TriggerRuns_Rerun")}
    marks: list[tuple[datetime, int]] = []
    for run in emulator.trigger_runs("hourly"):
        if run["triggerRunId"] in reruns:
            (pipeline_run,) = run["triggeredPipelines"].values()
            marks.append((datetime.fromisoformat(run["triggerRunTimestamp"]), 1))
            marks.append((datetime.fromisoformat(ended[pipeline_run]), -1))
    in_flight = most = 0
    for _, change in sorted(marks):
        in_flight += change
        most = max(most, in_flight)
    return most


@pytest.mark.parametrize("with_store", [True, False], ids=["with a store", "without one"])
def test_windows_are_sent_once_each_with_no_more_in_flight_than_allowed(
    factory: Start, store: Store, with_store: bool
) -> None:
    emulator = factory(night())
    expected = failed_ids(emulator)
    result = limited(1, store if with_store else None).run()
    assert result["counts"] == {"Succeeded": 12}
    assert sent(emulator) == expected
    assert most_in_flight(emulator) == 4
    assert {each["rerun_by"] for each in result["windows"]} == {"this batch"}


def test_the_worker_does_not_wait_for_room(factory: Start, store: Store) -> None:
    emulator = factory(night())
    limited(1, store).defer()
    assert len(sent(emulator)) == 4
    assert emulator.now - datetime.fromisoformat(NOW) < timedelta(seconds=1)


def test_while_windows_are_left_the_ledger_says_that_the_batch_is_being_submitted(
    factory: Start, store: Store
) -> None:
    factory(night())
    limited(1, store).defer()
    assert (store.get(LEDGER_KEY)["phase"], store.get(LEDGER_KEY)["handed"]) == ("submitting", 4)


@pytest.mark.parametrize(("limit", "room"), [(1, 1), (4, 1), (8, 2), (11, 1)])
def test_the_task_comes_back_when_a_quarter_of_the_limit_or_all_that_is_left_can_be_sent(
    factory: Start, store: Store, limit: int, room: int
) -> None:
    scenario = night()
    scenario["triggers"]["hourly"]["windows"][0]["except"] = [
        {"windows": place, "rerun_seconds": 60 + 100 * place} for place in range(12)
    ]
    emulator = factory(scenario)
    made = limited(1, store, max_in_flight=limit)
    deferral = made.defer()
    event = event_of(through_json(deferral.trigger))
    with pytest.raises(TaskDeferred):
        made.resume(deferral, event)
    assert len(sent(emulator)) == limit + room


def test_a_crash_between_two_deferrals_is_taken_up(
    factory: Start, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(night())
    expected = failed_ids(emulator)
    made = limited(1, store)
    deferral = made.defer()
    event = event_of(through_json(deferral.trigger))
    rerun = FactoryClient.rerun_trigger_run

    async def dying(self: FactoryClient, trigger_name: str, run_id: str) -> None:
        await rerun(self, trigger_name, run_id)
        raise WorkerDiedError

    with monkeypatch.context() as patch:
        patch.setattr(FactoryClient, "rerun_trigger_run", dying)
        with pytest.raises(WorkerDiedError):
            made.resume(deferral, event)
    assert limited(2, store).run()["counts"] == {"Succeeded": 12}
    assert sent(emulator) == expected


def test_the_deadline_is_one_instant_however_often_the_task_defers(factory: Start, store: Store) -> None:
    emulator = factory(night())
    made = limited(1, store, timeout=130)  # two rounds of a minute, and no third
    with pytest.raises(WaitTimedOut, match="not sent"):
        made.run()
    assert emulator.now - datetime.fromisoformat(NOW) < timedelta(seconds=150)
    assert made.ti.report["counts"]["not sent"] > 0
    before = len(sent(emulator))
    assert limited(2, store).run()["counts"] == {"Succeeded": 12}
    assert len(sent(emulator)) == 12 > before


def test_on_the_worker_the_wait_for_room_ends_at_the_deadline(factory: Start, store: Store) -> None:
    emulator = factory(night())
    made = limited(1, store, deferrable=False, timeout=100)
    with pytest.raises(WaitTimedOut, match=r"4 windows of trigger 'hourly' were not sent"):
        made.run()
    assert emulator.now - datetime.fromisoformat(NOW) < timedelta(seconds=120)
    assert limited(2, store).run()["counts"] == {"Succeeded": 12}
    assert len(sent(emulator)) == 12


def test_an_event_tells_all_that_the_task_has_to_know(factory: Start, store: Store) -> None:
    factory(night())
    deferral = limited(1, store).defer()
    event = event_of(through_json(deferral.trigger))
    assert set(json.loads(json.dumps(event))) == {"status", "message", "error", "report", "deadline"}
    assert event["status"] == "success"


def test_in_a_dag_run_it_alternates_to_the_end(factory: Start, run_dag: RunDag) -> None:
    emulator = factory(night())
    expected = failed_ids(emulator)
    with DAG("alternating", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfRerunTumblingWindowRunsOperator(
            task_id="rerun",
            trigger_name="hourly",
            **{**NIGHT_RANGE, "window_start": "2026-02-28T18:00:00Z"},
            deferrable=True,
            max_in_flight=5,
        )
    ran = run_dag(dag)
    assert ran.states == {"rerun": "success"}
    assert ran.xcom("rerun")["counts"] == {"Succeeded": 12}
    assert sent(emulator) == expected
