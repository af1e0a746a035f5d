"""A rerun that is killed between its steps, before it sends anything more, cancels what was sent before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_provider_adfruns.batch import opening
from airflow_provider_adfruns.operators.state import TaskLedger
from tests.conftest import calls
from tests.provider.test_kill_on_worker import Interrupted, in_task, rerun, stop_while_waiting, windows
from tests.provider.test_rerun_resume import Store, store
from tests.provider.versions import TaskDeferred

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from airflow_provider_adfruns.triggers.runs import AdfWindowsRerunTrigger
    from tests.provider.killed_task import RunningTaskInstance

    Start = Callable[..., AdfEmulator]
    InTask = Callable[..., RunningTaskInstance]

__all__ = ["in_task", "store"]


def interrupt(*_: object) -> None:
    raise Interrupted


def test_killed_when_it_comes_back_from_the_triggerer(
    factory: Start, monkeypatch: pytest.MonkeyPatch, in_task: InTask
) -> None:
    emulator = factory(windows(5))
    ti = in_task()
    with pytest.raises(TaskDeferred) as deferred:
        rerun(deferrable=True, max_in_flight=2).execute(ti.context)
    trigger = cast("AdfWindowsRerunTrigger", deferred.value.trigger)
    event = {"status": "success", "message": "", "error": "", **trigger.seen(None)}
    task = rerun(deferrable=True, max_in_flight=2)
    monkeypatch.setattr(TaskLedger, "kept", interrupt)
    with pytest.raises(Interrupted):
        task.execute_complete(ti.context, event)
    task.on_kill()
    assert len(calls(emulator, "PipelineRuns_Cancel")) == 2


def test_killed_while_it_waits_for_cancels_after_a_clear(
    factory: Start, monkeypatch: pytest.MonkeyPatch, in_task: InTask, store: Store
) -> None:
    emulator = factory(windows(5))

    def context(**tries: int) -> Any:
        return {**in_task(**tries).context, "task_state_store": store}

    with monkeypatch.context() as patch:
        stop_while_waiting(patch)
        with pytest.raises(Interrupted):
            rerun().execute(context(try_number=1, max_tries=0))

    async def stop(*_: object, **__: object) -> None:
        raise Interrupted

    monkeypatch.setattr(opening, "reopen", stop)
    task = rerun()
    with pytest.raises(Interrupted):
        task.execute(context(try_number=2, max_tries=1))
    task.on_kill()
    assert len(calls(emulator, "PipelineRuns_Cancel")) == 5
