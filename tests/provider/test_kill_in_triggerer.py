"""A deferred task that is killed cancels what it has started; a restart or a clear cancels nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.execution_time import task_runner

from airflow_provider_adfruns.batch.report import RerunBy, RerunReport, Step
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.conftest import calls
from tests.provider.killed_task import RunningTaskInstance, Supervisor
from tests.provider.scenarios import FAMILY, NOW
from tests.provider.tasks import Task, statuses, through_json
from tests.provider.versions import needs_airflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk.execution_time.comms import TaskStatesResult

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

pytestmark = needs_airflow(3, 3, "it tells no trigger of a kill")

WINDOWS: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 3600}, "report": {"seconds": 3600}},
    "triggers": {
        "hourly": {"pipeline": "load", "windows": [{"from": "-PT3H", "count": 3, "status": "Failed"}]},
        "report": {
            "pipeline": "report",
            "dependsOn": [{"trigger": "hourly"}],
            "windows": [{"from": "-PT3H", "count": 3, "status": "Failed"}],
        },
    },
}
RANGE = {"window_start": "2026-03-01T00:00:00Z", "window_end": "2026-03-01T06:40:00Z"}


def deferred(trigger_name: str = "hourly", **parameters: Any) -> Any:
    """Return the trigger of a task that has rerun windows and waits, as the triggerer makes it."""
    task = Task(
        AdfRerunTumblingWindowRunsOperator,
        trigger_name=trigger_name,
        deferrable=True,
        **{**RANGE, **parameters},
    )
    return through_json(task.defer().trigger)


def kill(
    monkeypatch: pytest.MonkeyPatch, trigger: Any, state: str | None = "failed", map_index: int = -1
) -> None:
    """Do as the triggerer does after a person has acted on the task; its supervisor knows the state."""
    know_state(monkeypatch, trigger, state, map_index)
    asyncio.run(trigger.on_kill())


def know_state(
    monkeypatch: pytest.MonkeyPatch, trigger: Any, state: str | None = "failed", map_index: int = -1
) -> None:
    """Let the triggerer's supervisor know the state of the trigger's task."""
    key = "task" if map_index < 0 else f"task_{map_index}"
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(state, key), raising=False)
    ti = RunningTaskInstance()
    ti.map_index = map_index
    trigger._task_instance = ti


@pytest.mark.parametrize("map_index", [-1, 7])
def test_a_killed_rerun_cancels_its_running_windows(
    factory: Start, monkeypatch: pytest.MonkeyPatch, map_index: int
) -> None:
    emulator = factory(WINDOWS)
    kill(monkeypatch, deferred(), map_index=map_index)
    emulator.advance(60)
    reruns = [call.effect["triggerRunId"] for call in calls(emulator, "TriggerRuns_Rerun")]
    assert {statuses(emulator)[run_id] for run_id in reruns} == {"Cancelled"}


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_kill_goes_on_although_airflow_cancels_its_trigger_again(
    factory: Start, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    emulator = factory(WINDOWS)
    trigger = deferred()
    know_state(monkeypatch, trigger)

    async def triggerer() -> None:
        # Airflow 3.3.2 cancels a killed trigger about once a second, until it has ended.
        killed = asyncio.ensure_future(asyncio.wait_for(trigger.on_kill(), timeout=30))
        for _ in range(times):
            await asyncio.wait({killed}, timeout=0.02)
            killed.cancel()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    asyncio.run(triggerer())
    emulator.advance(60)
    reruns = [call.effect["triggerRunId"] for call in calls(emulator, "TriggerRuns_Rerun")]
    assert {statuses(emulator)[run_id] for run_id in reruns} == {"Cancelled"}


class BusySupervisor(Supervisor):
    """Answers when it has been let."""

    def __init__(self) -> None:
        super().__init__("failed")
        self.met, self.let = threading.Event(), threading.Event()

    def send(self, message: Any) -> TaskStatesResult:
        self.met.set()
        self.let.wait()
        return super().send(message)


def test_a_kill_cancels_although_a_busy_triggerer_takes_15_seconds_to_tell_the_state(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(WINDOWS)
    trigger = deferred()
    know_state(monkeypatch, trigger)
    supervisor = BusySupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor)

    async def triggerer() -> None:
        loop = asyncio.get_running_loop()
        killed = asyncio.ensure_future(trigger.on_kill())
        try:
            await asyncio.to_thread(supervisor.met.wait)
            with monkeypatch.context() as moved:
                moved.setattr(loop, "time", lambda: time.monotonic() + 15)
                for _ in range(10):  # turns for whoever waits no longer than that
                    await asyncio.sleep(0)
        finally:
            supervisor.let.set()
        await killed

    asyncio.run(triggerer())
    emulator.advance(60)
    reruns = [call.effect["triggerRunId"] for call in calls(emulator, "TriggerRuns_Rerun")]
    assert {statuses(emulator)[run_id] for run_id in reruns} == {"Cancelled"}


def test_a_killed_rerun_cancels_windows_that_wait_on_dependencies_by_themselves(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(WINDOWS)
    kill(monkeypatch, deferred("report"))
    emulator.advance(60)
    reruns = [call.effect["triggerRunId"] for call in calls(emulator, "TriggerRuns_Rerun")]
    assert sorted(call.subject for call in calls(emulator, "TriggerRuns_Cancel")) == sorted(reruns)
    assert calls(emulator, "PipelineRuns_Cancel") == []
    assert {statuses(emulator)[run_id] for run_id in reruns} == {"Cancelled"}


def test_a_killed_rerun_leaves_windows_alone_that_somebody_else_has_rerun(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(WINDOWS)
    trigger = deferred()
    report = RerunReport.unpacked(trigger.report)
    first, *others = report.windows
    foreign = [replace(each, rerun_by=RerunBy.SOMEBODY_ELSE) for each in others]
    trigger.report = report.with_windows([first, *foreign]).packed()
    kill(monkeypatch, trigger)
    emulator.advance(60)
    reruns = [call.effect["triggerRunId"] for call in calls(emulator, "TriggerRuns_Rerun")]
    assert sorted(statuses(emulator)[run_id] for run_id in reruns) == ["Cancelled", "Running", "Running"]


def test_a_killed_rerun_cancels_windows_of_which_it_is_unclear_whether_they_were_rerun(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(WINDOWS)
    trigger = deferred()
    report = RerunReport.unpacked(trigger.report)
    unclear = [replace(each, step=Step.UNCLEAR, rerun_by=None) for each in report.windows]
    trigger.report = report.with_windows(unclear).packed()
    kill(monkeypatch, trigger)
    emulator.advance(60)
    reruns = [call.effect["triggerRunId"] for call in calls(emulator, "TriggerRuns_Rerun")]
    assert {statuses(emulator)[run_id] for run_id in reruns} == {"Cancelled"}


@pytest.mark.parametrize("state", ["deferred", "running", "queued", "scheduled", "restarting", None])
def test_a_task_that_goes_on_or_was_cleared_cancels_nothing(
    factory: Start, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    emulator = factory(WINDOWS)
    kill(monkeypatch, deferred(), state)
    assert calls(emulator, "PipelineRuns_Cancel") == []


def test_without_cancel_on_kill_the_windows_go_on(factory: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = factory(WINDOWS)
    kill(monkeypatch, deferred(cancel_on_kill=False))
    assert calls(emulator, "PipelineRuns_Cancel") == []


def test_a_killed_cancel_undoes_nothing_and_sends_nothing(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FAMILY)
    task = Task(AdfCancelPipelineRunOperator, run_ids="day", deferrable=True)
    trigger = through_json(task.defer().trigger)
    before = len(emulator.journal)
    kill(monkeypatch, trigger)
    assert len(emulator.journal) == before


def test_a_triggerer_that_restarts_cancels_nothing(factory: Start) -> None:
    emulator = factory(WINDOWS)
    trigger = deferred()

    async def restart() -> None:
        async def watch() -> None:
            async for _ in trigger.run():
                raise AssertionError("nothing has ended yet")

        running = asyncio.ensure_future(watch())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        await trigger.cleanup()

    asyncio.run(restart())
    assert calls(emulator, "PipelineRuns_Cancel") == []
