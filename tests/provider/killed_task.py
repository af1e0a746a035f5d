"""`python -m tests.provider.killed_task`: a task process as Airflow's task runner makes it, to be killed.

Its environment names the connection, its arguments are the state that Airflow would answer and the operator's
parameters as JSON. After each line of progress it waits for a line of input. It ends as the task ends: with
the name of the exception as its last line.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import GetTaskStates, TaskStatesResult
from airflow.sdk.execution_time.context import set_current_context

from airflow_provider_adfruns import killing
from airflow_provider_adfruns.adf.errors import WritesStopped
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.provider.tasks import TaskInstance

if TYPE_CHECKING:
    from airflow.sdk import Context


PROGRESS = " windows: "
"""What is in each line of progress: one comes before anything is sent, and one after every fifty windows."""

PATIENCE = {"ON_KILL_SECONDS": 60.0, "_HOLD_SECONDS": 20.0, "_ASK_SECONDS": 20.0}
"""How long a kill may take where a test has no clock to hold it by: how fast a machine is proves nothing."""


class RunningTaskInstance(TaskInstance):
    """What the task runner gives to a task, as far as a kill asks for it."""

    dag_id = "nightly"
    run_id = "manual__1"
    task_id = "task"
    map_index = -1

    def __init__(self, *, try_number: int = 1, max_tries: int = 0) -> None:
        super().__init__()
        self.try_number = try_number
        self.max_tries = max_tries

    @property
    def context(self) -> Context:
        return cast("Context", {"ti": self})


class Supervisor:
    """Stands for the process above, which asks the API server: knows the state of one task instance.

    :param state: None for a task that is to be scheduled.
    """

    def __init__(self, state: str | None, key: str = "task") -> None:
        self._state = state
        self._key = key
        self.asked: list[GetTaskStates] = []

    def send(self, message: Any) -> TaskStatesResult:
        assert isinstance(message, GetTaskStates)
        self.asked.append(message)
        return TaskStatesResult(task_states={"manual__1": {self._key: self._state}})


class StepwiseHandler(logging.StreamHandler[TextIO]):
    """Writes the log, and holds the task after each line of progress until it is let go on."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if PROGRESS in record.getMessage():
            sys.stdin.readline()


def main(state: str, parameters: str) -> None:
    """Run the task until it ends or is ended."""
    logging.basicConfig(
        level=logging.INFO, handlers=[StepwiseHandler(sys.stdout)], format="%(message)s", force=True
    )
    vars(task_runner)["SUPERVISOR_COMMS"] = Supervisor(state)
    vars(killing).update(PATIENCE)
    task = AdfRerunTumblingWindowRunsOperator(task_id="task", **json.loads(parameters))
    ti = RunningTaskInstance()
    signal.signal(signal.SIGTERM, lambda *_: task.on_kill())  # as task_runner does
    with set_current_context(ti.context):
        try:
            task.execute(ti.context)
        except WritesStopped as error:
            sys.stdout.write(f"{type(error).__name__}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
