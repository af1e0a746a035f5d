"""What an operator's ``on_kill`` does on the worker: ask, decide and cancel, in the few seconds it has."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from airflow_provider_adfruns._airflow import AirflowTaskTimeout, has_retry_left, task_state
from airflow_provider_adfruns._lazily import Lazily

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk.types import Logger

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch import kill as kills
    from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
else:
    kills = Lazily("airflow_provider_adfruns.batch.kill")

ON_KILL_SECONDS = 4.0
"""How long it may take: Airflow sends SIGKILL five seconds after SIGTERM."""

_ASK_SECONDS = 1.5
_MARGIN_SECONDS = 0.3


def cancel_started(kill: kills.Kill, hook: AdfRunsHook, *, cancel_on_kill: bool, log: Logger) -> None:
    """Cancel what a killed task has started, if it has really ended; say in the log what was done or why not.

    Airflow calls ``on_kill`` on the main thread, from a signal handler that has interrupted ``execute`` and
    its event loop, or after ``execution_timeout`` when that loop is gone. So the work is done by a thread
    with a loop and a client of its own; the main thread may hold locks that it needs, and waits only so long.

    :param kill: what has been started.
    :param hook: for a client of its own.
    :param cancel_on_kill: the operator's parameter.
    :param log: the task's.
    """
    until = time.monotonic() + ON_KILL_SECONDS
    is_timeout = isinstance(sys.exception(), AirflowTaskTimeout)  # on_kill is called while it is handled
    try:
        ti: Any = get_current_context()["ti"]
    except RuntimeError:  # a signal after the task has ended, in a process that lives on, as dag.test()'s
        log.warning("Killed when no task was running; nothing is cancelled. By hand: %s.", kill.by_hand())
        return
    state: str | None = kills.UNKNOWN_STATE
    if cancel_on_kill and not is_timeout:
        asked = _begun(task_state, ti)
        problem = _problem(asked, _ASK_SECONDS)
        if problem is None:
            state = asked.result()
        else:
            log.warning("Airflow could not be asked for the task's state: %r", problem)
    decision = kills.decide(
        cancel_on_kill=cancel_on_kill,
        state=state,
        is_timeout=is_timeout,
        has_retry_left=has_retry_left(ti),
    )
    if not decision.cancels:
        log.warning(
            "Killed; what this task has started goes on, since %s. To cancel it by hand: %s.",
            decision.why,
            kill.by_hand(),
        )
    else:
        log.warning("Killed; cancelling what this task has started, since %s.", decision.why)
        seconds = until - time.monotonic()
        problem = _problem(_begun(_cancel, kill, hook, seconds - _MARGIN_SECONDS), seconds)
        if problem is not None:
            log.warning("The cancels did not come to their end: %r. By hand: %s.", problem, kill.by_hand())
        log.warning("What became of it:\n%s", kill.summary())


class _InPlace(ThreadPoolExecutor):
    """Does what a loop gives to threads in the loop's own thread.

    All executors of a process share a lock. The main thread holds it if the signal has interrupted it just
    as its own loop gave something to a thread, as aiohttp does for each request.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it now."""
        future: Future[Any] = Future()
        _carry_out(future, fn, *args, **kwargs)
        return future


def _begun(fn: Callable[..., Any], *args: Any) -> Future[Any]:
    """Begin work in a thread of its own: not by an executor, see ``_InPlace``."""
    future: Future[Any] = Future()
    threading.Thread(target=_carry_out, args=(future, fn, *args), name="adfruns-on-kill").start()
    return future


def _carry_out(future: Future[Any], fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
        future.set_exception(error)
    else:
        future.set_result(result)


def _loop_in_place() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_InPlace(1))
    return loop


def _cancel(kill: kills.Kill, hook: AdfRunsHook, seconds: float) -> None:
    async def within_seconds(client: FactoryClient) -> None:
        await asyncio.wait_for(kill.run(client), seconds)

    hook.run(within_seconds, loop_factory=_loop_in_place)


def _problem(work: Future[Any], seconds: float) -> BaseException | None:
    """Wait for work, and return what went wrong with it, if anything; that its time was over, too."""
    try:
        return work.exception(timeout=max(seconds, 0.0))
    except TimeoutError as error:
        return error
