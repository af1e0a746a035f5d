"""Runs one task as a worker and a triggerer would, and keeps what it leaves in XCom."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_provider_adfruns.emulator.routes import OPERATIONS
from tests.provider.versions import TaskDeferred

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import BaseOperator, Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_adfruns.emulator import AdfEmulator, JournalEntry

WRITES = frozenset(operation.name for operation in OPERATIONS if operation.writes)


class TaskInstance:
    """Stands for Airflow's task instance: keeps what the task pushes, as the JSON that XCom makes of it."""

    dag_id, task_id, run_id, map_index, try_number = "dag", "task", "manual__1", -1, 1

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def get_first_reschedule_date(self, context: Context) -> None:
        """Say that the task has not been rescheduled before."""
        del context

    @property
    def report(self) -> dict[str, Any]:
        """What the task has left for the next one."""
        return cast("dict[str, Any]", self.xcoms["return_value"])

    @property
    def context(self) -> Context:
        return cast("Context", {"ti": self})


class Task:
    """A task of one operator class, made anew for each step, as Airflow does.

    :param parameters: the operator's; a poll interval of the emulator's clock costs no real time.
    """

    def __init__(self, operator: Callable[..., BaseOperator], **parameters: Any) -> None:
        self._operator = operator
        self._parameters = parameters
        self.ti = TaskInstance()

    def make(self) -> Any:
        """Return the operator as the parsing of a DAG makes it."""
        return self._operator(task_id="task", **self._parameters)

    def begin(self) -> Any:
        """Do the worker's first step. :return: the result. :raises TaskDeferred: if it defers."""
        return self.make().execute(self.ti.context)

    def defer(self) -> TaskDeferred:
        """Do the worker's first step, which has to end in a deferral."""
        with pytest.raises(TaskDeferred) as caught:
            self.begin()
        return caught.value

    def resume(self, deferral: TaskDeferred, event: Any) -> Any:
        """Do the worker's second step, with an event that went through the database."""
        return getattr(self.make(), deferral.method_name)(self.ti.context, json.loads(json.dumps(event)))

    def run(self) -> Any:
        """Execute, and whenever the task defers let the trigger fire and resume. :return: the result."""
        step = self.begin
        while True:
            try:
                return step()
            except TaskDeferred as deferral:
                step = partial(self.resume, deferral, event_of(through_json(deferral.trigger)))


def through_json(trigger: BaseTrigger) -> BaseTrigger:
    """Make a trigger again from what the database keeps of it."""
    path, arguments = json.loads(json.dumps(trigger.serialize()))
    module, _, name = path.rpartition(".")
    return cast("BaseTrigger", getattr(import_module(module), name)(**arguments))


def event_of(trigger: BaseTrigger) -> dict[str, Any]:
    """Run a trigger as the triggerer does, and return the payload of its one event."""

    async def events() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(events())
    return cast("dict[str, Any]", payload)


def writes(emulator: AdfEmulator) -> list[JournalEntry]:
    """Return the journal's entries that ARM counts as writes."""
    return [entry for entry in emulator.journal if entry.operation in WRITES]


def statuses(emulator: AdfEmulator) -> dict[str, str]:
    """Return the true status of each pipeline run and trigger run, by its id."""
    return {
        **{run["runId"]: run["status"] for run in emulator.pipeline_runs()},
        **{run["triggerRunId"]: run["status"] for run in emulator.trigger_runs()},
    }


def latest_statuses(emulator: AdfEmulator, trigger_name: str) -> dict[str, str]:
    """Return the status of each window's latest run, by the window's start as the service writes it."""
    runs = sorted(emulator.trigger_runs(trigger_name), key=lambda run: str(run["triggerRunTimestamp"]))
    return {run["properties"]["windowStartTime"]: run["status"] for run in runs}
