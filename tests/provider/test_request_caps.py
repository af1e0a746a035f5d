"""max_requests_per_second: a hook's is for all its calls, a task's also deferred, a connection's for all."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.pause import elapsed
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cancel import (
    AdfCancelPipelineRunOperator,
    AdfCancelWaitingTriggerRunOperator,
)
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.conftest import CONN_ID
from tests.provider.scenarios import FAMILY, NIGHT, NIGHT_RANGE, NOW, WAITING, WAITING_RANGE
from tests.provider.tasks import Task, event_of, through_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

RUNS = [f"run-{number}" for number in range(6)]
BUSY: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 3600}},
    "runs": [{"pipeline": "load", "status": "InProgress", "started": "-PT1M", "id": each} for each in RUNS],
}
LOST = [f"00000000-0000-4000-8000-00000000000{digit}" for digit in "abc"]
FAILED: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 600}},
    "runs": [{"pipeline": "load", "status": "Failed", "started": "-PT2H", "id": each} for each in LOST],
}
OPERATORS: list[Any] = [
    (AdfCancelPipelineRunOperator, FAMILY, {"run_ids": ["day", "lone"]}),
    (
        AdfCancelWaitingTriggerRunOperator,
        WAITING,
        {"trigger_name": "report", "on_running": "cancel_pipeline_runs", **WAITING_RANGE},
    ),
    (AdfRerunTumblingWindowRunsOperator, NIGHT, {"trigger_name": "hourly", **NIGHT_RANGE}),
    (AdfRerunPipelineRunOperator, FAILED, {"run_ids": LOST}),
]


def cap_connection(monkeypatch: pytest.MonkeyPatch, emulator: AdfEmulator, rate: float) -> None:
    data = json.loads(emulator.connection_json())
    data["extra"] = {**data["extra"], "max_requests_per_second": rate}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(data))


class Watched:
    """What leaves from here on, and how long it takes.

    The factory's clock moves also while a request is on its way, so its journal does not say when one left.
    """

    def __init__(self, emulator: AdfEmulator) -> None:
        self._emulator, self._before, self._began = emulator, len(emulator.journal), elapsed()

    @property
    def requests(self) -> int:
        return len(self._emulator.journal) - self._before

    @property
    def seconds(self) -> float:
        return elapsed() - self._began


def test_the_calls_of_a_hook_without_with_share_its_cap(factory: Start) -> None:
    watched, hook = Watched(factory(FAMILY)), AdfRunsHook(max_requests_per_second=0.5)
    for _ in range(20):
        hook.get_pipeline_run("lone")
    assert watched.requests == 20
    assert watched.seconds == pytest.approx(38)


def test_with_or_without_with_it_is_the_same_cap(factory: Start) -> None:
    watched, hook = Watched(factory(FAMILY)), AdfRunsHook(max_requests_per_second=0.5)
    hook.get_pipeline_run("lone")
    with hook:
        hook.get_pipeline_run("lone")
    hook.get_pipeline_run("lone")

    async def ask() -> None:
        async with hook.client() as client:
            await client.get_pipeline_run("lone")

    asyncio.run(ask())
    assert watched.seconds == pytest.approx(6)


def test_a_hook_does_not_wait_for_another_hooks_cap(factory: Start) -> None:
    watched = Watched(factory(FAMILY))
    for _ in range(5):
        AdfRunsHook(max_requests_per_second=0.5).get_pipeline_run("lone")
    assert watched.seconds == 0


def test_the_hooks_of_a_connection_share_what_it_allows(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FAMILY)
    cap_connection(monkeypatch, emulator, 0.5)
    watched = Watched(emulator)
    for factory_name in [None, None, "other-adf"]:
        AdfRunsHook(factory_name=factory_name).test_connection()
    assert watched.seconds == pytest.approx(4)


def test_the_hooks_of_a_task_share_its_cap(factory: Start) -> None:
    watched = Watched(factory(FAMILY))
    operator = AdfCancelPipelineRunOperator(task_id="cancel", run_ids="lone", max_requests_per_second=0.5)
    for _ in range(3):
        operator.hook.get_pipeline_run("lone")
    assert watched.seconds == pytest.approx(4)


@pytest.mark.parametrize(("operator", "scenario", "parameters"), OPERATORS)
def test_a_task_on_a_worker_holds_to_its_cap_in_all_that_it_does(
    factory: Start, operator: Any, scenario: dict[str, Any], parameters: dict[str, Any]
) -> None:
    watched = Watched(factory(scenario))
    Task(operator, deferrable=False, max_requests_per_second=0.01, **parameters).run()
    assert watched.requests > 2
    assert watched.seconds >= (watched.requests - 1) / 0.01


@pytest.mark.parametrize(("operator", "scenario", "parameters"), OPERATORS)
def test_a_deferred_task_holds_to_its_cap(
    factory: Start, operator: Any, scenario: dict[str, Any], parameters: dict[str, Any]
) -> None:
    emulator = factory(scenario)
    task = Task(operator, deferrable=True, max_requests_per_second=0.01, **parameters)
    trigger = through_json(task.defer().trigger)
    watched = Watched(emulator)
    event_of(trigger)
    assert watched.requests > 1
    assert watched.seconds >= (watched.requests - 1) / 0.01


def deferred(run_id: str, **parameters: Any) -> Any:
    task = Task(AdfCancelPipelineRunOperator, run_ids=run_id, deferrable=True, **parameters)
    return through_json(task.defer().trigger)


async def in_one_triggerer(*triggers: Any) -> None:
    async def events(trigger: Any) -> None:
        assert [event.payload["status"] async for event in trigger.run()] == ["success"]

    await asyncio.gather(*map(events, triggers))


def test_the_tasks_of_a_triggerer_share_what_their_connection_allows(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(BUSY)
    triggers = [deferred(run_id) for run_id in RUNS]
    cap_connection(monkeypatch, emulator, 0.01)
    watched = Watched(emulator)
    asyncio.run(in_one_triggerer(*triggers))
    assert watched.requests >= len(RUNS)
    assert watched.seconds >= (watched.requests - 1) / 0.01


def test_the_tasks_of_a_triggerer_do_not_wait_for_one_anothers_caps(factory: Start) -> None:
    emulator = factory(BUSY)
    triggers = [deferred(run_id, max_requests_per_second=0.01) for run_id in RUNS]
    watched = Watched(emulator)
    asyncio.run(in_one_triggerer(*triggers))
    each = watched.requests / len(RUNS)
    assert each * 100 - 100 <= watched.seconds < each * 100 + 100


def test_a_deferred_sensor_holds_to_what_its_connection_allows(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FAMILY)
    AdfRunsHook().cancel_pipeline_run("day", is_recursive=True)
    cap_connection(monkeypatch, emulator, 0.01)
    watched = Watched(emulator)
    Task(
        AdfCancelCompleteSensor, pipeline_run_ids="day", include_children=True, deferrable=True, timeout=9e4
    ).run()
    assert watched.requests > 2
    assert watched.seconds >= (watched.requests - 1) / 0.01
