"""One try of the task, in a process of its own that may be killed at any time; files outlive it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from azure.core.pipeline.transport import AioHttpTransport

from airflow_provider_adfruns.adf.errors import RunsNotAsWanted
from airflow_provider_adfruns.adf.pause import moving, pause
from airflow_provider_adfruns.batch.ledger import Phase
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.chaos.factory import Control
from tests.provider.versions import TaskDeferred

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_adfruns.operators.windows import WindowsOperator
    from tests.chaos.factory import Served

SUCCESS, VERDICT, ERROR = "success", "verdict", "error"

# What a worker imports when it is needed, a try has from its parent: it takes a second.
for _name in (
    "adf.sdk",
    "batch.ledger",
    "batch.opening",
    "batch.report",
    "batch.rerun",
    "batch.submit",
    "batch.watch",
):
    import_module(f"airflow_provider_adfruns.{_name}")
import_module("airflow_provider_adfruns.triggers.runs")


def _write(path: Path, value: object) -> None:
    """Write at once or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value), encoding="utf-8")
    draft.replace(path)


def read(path: Path) -> Any:
    """Return what was written, None if nothing was."""
    with suppress(FileNotFoundError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None


class FileStore:
    """Stands for Airflow's task state store.

    :param dies_judged: kill the process, once in a night, as soon as a verdict is kept.
    """

    def __init__(self, path: Path, *, dies_judged: bool = False) -> None:
        self._path = path
        self._dies_judged = dies_judged

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value."""
        return (read(self._path) or {}).get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        _write(self._path, {**(read(self._path) or {}), key: value})
        if self._dies_judged and value["phase"] in {Phase.SUCCEEDED, Phase.FAILED}:
            with suppress(FileExistsError):
                self._path.with_suffix(".died").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)


class FileTaskInstance:
    """Stands for Airflow's task instance."""

    id = "chaos"

    def __init__(self, path: Path, try_number: int, max_tries: int = 0) -> None:
        self._path = path
        self.try_number = try_number
        self.max_tries = max_tries

    def xcom_push(self, key: str, value: Any) -> None:
        """Leave a value."""
        _write(self._path, {**(read(self._path) or {}), key: value})


def operate(
    home: Path,
    parameters: Mapping[str, Any],
    store: FileStore | None,
    try_number: int,
    *,
    operator: Callable[..., WindowsOperator] = AdfRerunTumblingWindowRunsOperator,
    max_tries: int = 0,
) -> None:
    """Execute the operator as a worker does, and whenever it defers its trigger as a triggerer does.

    :param store: None as before Airflow 3.3.
    :param max_tries: the task instance's; a person's clear raises it.
    """
    context: Any = {"ti": FileTaskInstance(home / "xcom.json", try_number, max_tries)}
    if store is not None:
        context["task_state_store"] = store
    task = operator(task_id="chaos", **parameters)
    step = partial(task.execute, cast("Context", context))
    while True:
        try:
            step()
        except TaskDeferred as deferral:
            event = json.loads(json.dumps(asyncio.run(_event_of(deferral.trigger))))
            task = operator(task_id="chaos", **parameters)
            step = partial(getattr(task, deferral.method_name), cast("Context", context), event)
        else:
            return


async def _event_of(trigger: BaseTrigger) -> Any:
    (payload,) = [event.payload async for event in trigger.run()]
    return payload


def begin(home: Path, served: Served, work: Callable[[], None]) -> int:
    """Start a try; what an earlier one has left in XCom is gone, as Airflow does it. :return: its process id.

    :param home: where it leaves ``outcome.json``, and its log.
    :param served: the factory; waits move its clock.
    """
    (home / "outcome.json").unlink(missing_ok=True)
    (home / "xcom.json").unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    with suppress(BaseException):
        _be_child(home, served, work)
    os._exit(0)


async def _move_clock(_: AioHttpTransport, seconds: float) -> None:
    """Let the sign-in library's waits between its repeats move the factory's clock, as ours do."""
    await pause(seconds)


def _be_child(home: Path, served: Served, work: Callable[[], None]) -> None:
    log = os.open(home / "tries.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    end, message = SUCCESS, ""
    AioHttpTransport.sleep = _move_clock
    try:
        with moving(Control(served).advance):
            work()
    except RunsNotAsWanted as error:
        end, message = VERDICT, str(error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent judges it
        traceback.print_exc()
        end, message = ERROR, f"{type(error).__name__}: {error}"
    sys.stdout.flush()
    sys.stderr.flush()
    _write(home / "outcome.json", {"end": end, "message": message})
