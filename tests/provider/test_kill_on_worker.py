"""A task killed on the worker sends nothing more, and cancels what it has started if it has really ended."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from concurrent.futures import thread as executors
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.context import set_current_context
from structlog._output import WRITE_LOCKS

from airflow_provider_adfruns import killing
from airflow_provider_adfruns.adf.errors import InvalidInput, WritesStopped
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from tests.conftest import calls
from tests.provider.killed_task import PATIENCE, PROGRESS, RunningTaskInstance, Supervisor
from tests.provider.scenarios import FAMILY, NOW
from tests.provider.tasks import statuses, writes
from tests.provider.versions import AirflowTaskTimeout, needs_airflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]
    InTask = Callable[..., RunningTaskInstance]

ROOT = Path(__file__).parents[2]


def windows(count: int, **pipeline: Any) -> dict[str, Any]:
    """Return a factory with failed windows, a minute each, whose reruns take an hour."""
    return {
        "now": NOW,
        "pipelines": {"load": {"seconds": 3600, "cancel_seconds": 0, **pipeline}},
        "triggers": {
            "minutely": {
                "pipeline": "load",
                "frequency": "Minute",
                "interval": 5,
                "state": "stopped",
                "windows": [{"from": f"-PT{count * 5}M", "count": count, "status": "Failed"}],
            }
        },
    }


RANGE: dict[str, Any] = {
    "trigger_name": "minutely",
    "window_start": "2026-02-26T00:00:00Z",
    "window_end": "2026-03-01T06:40:00Z",
}

UNDER_WAY = 8  # as many requests may have passed the gate when the signal came


def rerun_ids(emulator: AdfEmulator) -> list[str]:
    return [entry.effect["triggerRunId"] for entry in calls(emulator, "TriggerRuns_Rerun") if entry.effect]


def pipelines_of(emulator: AdfEmulator, run_ids: list[str]) -> set[str]:
    """Return the pipeline runs that trigger runs have started."""
    return {
        run_id
        for run in emulator.trigger_runs("minutely")
        if run["triggerRunId"] in run_ids
        for run_id in run["triggeredPipelines"].values()
    }


class KilledTask:
    """A task in a process of its own, held after each line of progress, and sent SIGTERM as it goes on."""

    def __init__(self, state: str, **parameters: Any) -> None:
        arguments = {**RANGE, "max_requests_per_second": 40, "timeout": 600, **parameters}
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and code from here
            [sys.executable, "-u", "-m", "tests.provider.killed_task", state, json.dumps(arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._read_progress()

    def _read_progress(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if PROGRESS in line:
                return

    def go_on(self) -> None:
        """Let it send fifty windows more."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._read_progress()

    def kill(self) -> str:
        """Let it go on, and kill it as Airflow does. :return: all that it has logged."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.stdin = None  # of no use to communicate() any more
        rest, _ = self._process.communicate(timeout=180)
        return "".join(self._lines) + rest


def test_a_task_killed_while_it_sends_stops_and_cancels_its_reruns_and_nobody_elses(factory: Start) -> None:
    emulator = factory(windows(300), clock="real")
    task = KilledTask("failed")
    foreign = max(
        emulator.trigger_runs("minutely"), key=lambda run: str(run["properties"]["windowStartTime"])
    )
    AdfRunsHook().rerun_trigger_run("minutely", foreign["triggerRunId"])
    (foreign_rerun,) = (
        entry.effect["triggerRunId"]
        for entry in calls(emulator, "TriggerRuns_Rerun")
        if entry.effect and entry.subject == foreign["triggerRunId"]
    )
    task.go_on()
    log = task.kill()
    sent = [run_id for run_id in rerun_ids(emulator) if run_id != foreign_rerun]
    cancelled = {entry.subject for entry in calls(emulator, "PipelineRuns_Cancel")}
    operations = [entry.operation for entry in writes(emulator)]
    assert log.splitlines()[-1] == WritesStopped.__name__
    assert len(sent) < 300
    late = operations[operations.index("PipelineRuns_Cancel") :].count("TriggerRuns_Rerun")
    assert late <= UNDER_WAY
    assert cancelled
    assert cancelled <= pipelines_of(emulator, sent)
    assert "cancel requested: window" in log  # and what did not fit into a kill's seconds is named as well
    assert {statuses(emulator)[run_id] for run_id in cancelled} <= {"Cancelled", "Canceling"}
    assert statuses(emulator)[foreign_rerun] in {"Waiting", "Running"}


def test_a_worker_that_shuts_down_stops_sending_and_leaves_the_reruns_to_the_next_try(factory: Start) -> None:
    emulator = factory(windows(300), clock="real")
    task = KilledTask("running")
    task.go_on()
    log = task.kill()
    assert log.splitlines()[-1] == WritesStopped.__name__
    assert 0 < len(rerun_ids(emulator)) < 300
    assert calls(emulator, "PipelineRuns_Cancel") == []
    assert "the task has not ended but is running" in log


@pytest.fixture
def in_task(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RunningTaskInstance]]:
    """Put the test where Airflow puts a task: with a context, and a supervisor that knows its state."""
    for name, seconds in PATIENCE.items():
        monkeypatch.setattr(killing, name, seconds)
    with ExitStack() as stack:

        def enter(state: str | None = "failed", **tries: int) -> RunningTaskInstance:
            monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(state), raising=False)
            ti = RunningTaskInstance(**tries)
            stack.enter_context(set_current_context(ti.context))
            return ti

        yield enter


class Interrupted(BaseException):
    """Stands for what ends `execute` in the middle of its wait."""


def stop_while_waiting(monkeypatch: pytest.MonkeyPatch, what: type[BaseException] = Interrupted) -> None:
    async def stop(*_: object, **__: object) -> None:
        raise what

    import_module("airflow_provider_adfruns.batch.rerun")  # it would keep what it finds when first imported
    monkeypatch.setattr("airflow_provider_adfruns.batch.watch.wait_until_done", stop)


def rerun(**parameters: Any) -> AdfRerunTumblingWindowRunsOperator:
    return AdfRerunTumblingWindowRunsOperator(task_id="task", **RANGE, **parameters)


@pytest.mark.parametrize(
    ("state", "cancels"),
    [("failed", 5), ("success", 5), ("running", 0), ("restarting", 0), ("up_for_retry", 0), (None, 0)],
)
def test_only_a_task_that_has_really_ended_cancels(
    factory: Start, monkeypatch: pytest.MonkeyPatch, in_task: InTask, state: str | None, cancels: int
) -> None:
    emulator = factory(windows(5))
    ti = in_task(state)
    stop_while_waiting(monkeypatch)
    task = rerun()
    with pytest.raises(Interrupted):
        task.execute(ti.context)
    task.on_kill()
    assert len(calls(emulator, "PipelineRuns_Cancel")) == cancels


@contextmanager
def thread_pools() -> Iterator[None]:
    with executors._global_shutdown_lock:
        yield


@contextmanager
def log_handlers() -> Iterator[None]:
    with ExitStack() as stack:
        for handler in logging.getLogger().handlers:
            if handler.lock is not None:
                stack.enter_context(handler.lock)
        yield


@contextmanager
def structlog_files() -> Iterator[None]:
    with ExitStack() as stack:
        for lock in WRITE_LOCKS.values():
            stack.enter_context(lock)
        yield


@pytest.mark.parametrize("held", [thread_pools, log_handlers, structlog_files])
def test_a_signal_that_comes_while_the_work_holds_a_lock_cancels_nevertheless(
    factory: Start,
    monkeypatch: pytest.MonkeyPatch,
    in_task: InTask,
    held: Callable[[], AbstractContextManager[None]],
) -> None:
    emulator = factory(windows(5))
    ti = in_task("failed")
    task = rerun()

    async def signalled(*_: object, **__: object) -> None:
        with held():
            task.on_kill()
        raise Interrupted

    import_module("airflow_provider_adfruns.batch.rerun")
    monkeypatch.setattr("airflow_provider_adfruns.batch.watch.wait_until_done", signalled)
    with pytest.raises(Interrupted):
        task.execute(ti.context)
    assert len(calls(emulator, "PipelineRuns_Cancel")) == 5


def test_a_second_signal_does_not_cancel_once_more(
    factory: Start, monkeypatch: pytest.MonkeyPatch, in_task: InTask
) -> None:
    emulator = factory(windows(5))
    ti = in_task("failed")
    stop_while_waiting(monkeypatch)
    task = rerun()
    with pytest.raises(Interrupted):
        task.execute(ti.context)
    task.on_kill()
    task.on_kill()
    assert len(calls(emulator, "PipelineRuns_Cancel")) == 5


def test_without_cancel_on_kill_the_reruns_go_on(
    factory: Start, monkeypatch: pytest.MonkeyPatch, in_task: InTask
) -> None:
    emulator = factory(windows(5))
    ti = in_task()
    stop_while_waiting(monkeypatch)
    task = rerun(cancel_on_kill=False)
    with pytest.raises(Interrupted):
        task.execute(ti.context)
    task.on_kill()
    assert calls(emulator, "PipelineRuns_Cancel") == []


@needs_airflow(3, 3, "its task runner carries execution_timeout out elsewhere")
@pytest.mark.parametrize(("try_number", "cancels"), [(1, 0), (2, 0), (3, 5)])
def test_execution_timeout_cancels_only_if_no_try_is_left(
    factory: Start, monkeypatch: pytest.MonkeyPatch, in_task: InTask, try_number: int, cancels: int
) -> None:
    emulator = factory(windows(5))
    ti = in_task("running", try_number=try_number, max_tries=2)
    stop_while_waiting(monkeypatch, AirflowTaskTimeout)
    task = rerun(execution_timeout=timedelta(hours=1))
    with pytest.raises(AirflowTaskTimeout):
        task_runner._run_execute_callable(ti.context, task.execute, task)
    assert len(calls(emulator, "PipelineRuns_Cancel")) == cancels


def test_a_state_that_cannot_be_asked_cancels_nothing(
    factory: Start, monkeypatch: pytest.MonkeyPatch, in_task: InTask
) -> None:
    emulator = factory(windows(5))
    ti = in_task()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor("failed", key="another"), raising=False)
    stop_while_waiting(monkeypatch)
    task = rerun()
    with pytest.raises(Interrupted):
        task.execute(ti.context)
    task.on_kill()
    assert calls(emulator, "PipelineRuns_Cancel") == []


def test_a_killed_rerun_of_pipeline_runs_cancels_what_it_has_created(
    factory: Start, monkeypatch: pytest.MonkeyPatch, in_task: InTask
) -> None:
    ended = "5f0c1a52-8d0e-4a53-9d0b-6c1b8d5f7a01"
    run = {"pipeline": "load", "status": "Failed", "started": "-PT9H", "ended": "-PT8H", "id": ended}
    emulator = factory({"now": NOW, "pipelines": {"load": {"seconds": 3600}}, "runs": [run]})
    ti = in_task()
    stop_while_waiting(monkeypatch)
    task = AdfRerunPipelineRunOperator(task_id="task", run_ids=ended, rerun_from="start")
    with pytest.raises(Interrupted):
        task.execute(ti.context)
    task.on_kill()
    (created,) = calls(emulator, "Pipelines_CreateRun")
    assert [entry.subject for entry in calls(emulator, "PipelineRuns_Cancel")] == [created.answer["runId"]]


def test_a_killed_cancel_sends_no_more_and_undoes_nothing(factory: Start, in_task: InTask) -> None:
    emulator = factory(FAMILY)
    ti = in_task()
    task = AdfCancelPipelineRunOperator(task_id="task", run_ids="day")
    task.on_kill()
    with pytest.raises(WritesStopped):
        task.execute(ti.context)
    assert writes(emulator) == []


def test_cancel_on_kill_has_to_be_true_or_false() -> None:
    with pytest.raises(InvalidInput, match="cancel_on_kill: 'maybe' is neither true nor false"):
        rerun(cancel_on_kill="maybe")


def test_a_signal_after_the_task_has_ended_cancels_nothing_and_raises_nothing(factory: Start) -> None:
    emulator = factory(windows(2))
    task = rerun(wait_for_completion=False)
    task.execute(RunningTaskInstance().context)
    task.on_kill()
    assert calls(emulator, "PipelineRuns_Cancel") == []
