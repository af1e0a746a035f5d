"""A task killed on the worker sends nothing more, and cancels what it has started if it has really ended."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.context import set_current_context

from airflow_provider_adfruns.adf.errors import WritesStopped
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from tests.conftest import calls
from tests.provider.killed_task import RunningTaskInstance, Supervisor
from tests.provider.scenarios import FAMILY, NOW
from tests.provider.tasks import statuses, writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

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
    """A task in a process of its own, which is sent SIGTERM after it has sent some fifty reruns."""

    def __init__(self, state: str, **parameters: Any) -> None:
        arguments = {**RANGE, "max_requests_per_second": 60, **parameters}
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and code from here
            [sys.executable, "-m", "tests.provider.killed_task", state, json.dumps(arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.lines: list[str] = []
        for line in self._process.stdout:
            self.lines.append(line)
            if "300 windows of trigger 'minutely':" in line:
                break

    def kill(self) -> str:
        """Kill it as Airflow does. :return: all that it has logged."""
        self._process.send_signal(signal.SIGTERM)
        rest, _ = self._process.communicate(timeout=60)
        return "".join(self.lines) + rest


def test_a_task_killed_while_it_sends_stops_and_cancels_its_reruns_and_nobody_elses(factory: Start) -> None:
    emulator = factory(windows(300), clock="real")
    task = KilledTask("failed")
    foreign = max(emulator.trigger_runs("minutely"), key=lambda run: str(run["properties"]))
    AdfRunsHook().rerun_trigger_run("minutely", foreign["triggerRunId"])
    (foreign_rerun,) = rerun_ids(emulator)[-1:]
    log = task.kill()
    sent = [run_id for run_id in rerun_ids(emulator) if run_id != foreign_rerun]
    cancelled = {entry.subject for entry in calls(emulator, "PipelineRuns_Cancel")}
    operations = [entry.operation for entry in writes(emulator)]
    print(len(sent), len(cancelled), log)
    assert log.splitlines()[-1] == WritesStopped.__name__
    assert len(sent) < 300
    assert "TriggerRuns_Rerun" not in operations[operations.index("PipelineRuns_Cancel") :]
    assert cancelled == pipelines_of(emulator, sent)
    assert {statuses(emulator)[run_id] for run_id in cancelled} <= {"Cancelled", "Canceling"}
    assert {statuses(emulator)[run_id] for run_id in pipelines_of(emulator, [foreign_rerun])} == {
        "InProgress"
    }
