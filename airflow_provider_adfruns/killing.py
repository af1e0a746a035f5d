"""What an operator's ``on_kill`` does on the worker: ask, decide and cancel, in the few seconds it has."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from airflow.sdk import get_current_context

from airflow_provider_adfruns._airflow import AirflowTaskTimeout, has_retry_left, task_state
from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import AdfRunsError

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

_HOLD_SECONDS = 1.0
"""How long the interrupted work waits for the answer of Airflow, which is asked for the task's state."""

_ASK_SECONDS = 2.5
_MARGIN_SECONDS = 0.3

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class Killing:
    """Does what a kill asks for in a thread of its own, which the task's work waits for at its end.

    Airflow calls ``on_kill`` on the main thread, from a signal handler that has interrupted ``execute``
    anywhere: also where it holds a lock of logging's, of an executor's or of the supervisor's messages. What
    waits for such a lock while the handler waits for it waits in vain. So the handler returns, and the work
    goes on until it ends; its writes are refused by then.
    """

    def __init__(self) -> None:
        self._is_at_work = False
        self._thread: threading.Thread | None = None
        self._until = 0.0

    def __enter__(self) -> Self:
        self._is_at_work = True
        return self

    def __exit__(self, *_: object) -> None:
        self._is_at_work = False
        self._join()

    def begin(self, do: Callable[[float, Callable[[], None]], None]) -> None:
        """Begin what is to be done, the first time; wait for it here if no work does so at its end.

        :param do: takes the time by which it has to be done, of the monotonic clock, and what it calls when
            the interrupted work may go on, which waits for that first, a second at most.
        """
        if self._thread is not None:
            return
        self._until = time.monotonic() + ON_KILL_SECONDS
        may_go_on = threading.Event()

        def carry_out() -> None:
            try:
                do(self._until, may_go_on.set)
            finally:
                may_go_on.set()

        self._thread = threading.Thread(target=carry_out, name="adfruns-on-kill")
        self._thread.start()
        may_go_on.wait(_HOLD_SECONDS)
        if not self._is_at_work:
            self._join()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join(max(self._until - time.monotonic(), 0.0))


class _Killable(Protocol):
    killing: Killing


_Task = TypeVar("_Task", bound=_Killable)


def killable(
    work: Callable[Concatenate[_Task, _Parameters], _Result],
) -> Callable[Concatenate[_Task, _Parameters], _Result]:
    """Let a task's method wait at its end for what a kill has begun."""

    @functools.wraps(work)
    def wrapper(task: _Task, /, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        with task.killing:
            return work(task, *args, **kwargs)

    return wrapper


def say_killed(killing: Killing, log: Logger) -> None:
    """Say in the log that a task that has nothing to cancel sends no more."""
    killing.begin(lambda *_: log.warning("Killed; nothing more is sent to the factory."))


def cancel_started(
    killing: Killing, kill: kills.Kill, hook: AdfRunsHook, *, cancel_on_kill: bool, log: Logger
) -> None:
    """Cancel what a killed task has started, if it has really ended; say in the log what was done or why not.

    After ``execution_timeout`` Airflow calls ``on_kill`` while that is handled, and ``execute`` is over.

    :param killing: the task's.
    :param kill: what has been started.
    :param hook: for a client of its own.
    :param cancel_on_kill: the operator's parameter.
    :param log: the task's.
    """
    is_timeout = isinstance(sys.exception(), AirflowTaskTimeout)
    try:
        ti: Any = get_current_context()["ti"]
    except RuntimeError:  # a signal after the task has ended, in a process that lives on, as dag.test()'s
        killing.begin(
            lambda *_: log.warning(
                "Killed when no task was running; nothing is cancelled. By hand: %s.", kill.by_hand()
            )
        )
        return

    def do(until: float, may_go_on: Callable[[], None]) -> None:
        state: str | None = kills.UNKNOWN_STATE
        problem = None
        if cancel_on_kill and not is_timeout:
            state, problem = _asked(ti)
        may_go_on()  # not before: in Airflow 3.1 two threads that ask get one another's answers
        if problem is not None:
            log.warning("Airflow could not be asked for the task's state: %r", problem)
        decision = kills.decide(
            cancel_on_kill=cancel_on_kill,
            state=state,
            is_timeout=is_timeout,
            has_retry_left=has_retry_left(ti),
        )
        _carry_out(decision, kill, hook, until, log)

    killing.begin(do)


def _asked(ti: Any) -> tuple[str | None, BaseException | None]:
    """Ask for the state of the task, so long and no longer. :return: it, and what went wrong, if anything."""
    answer: Future[str | None] = Future()

    def ask() -> None:
        try:
            answer.set_result(task_state(ti))
        except BaseException as error:  # noqa: BLE001 - whoever waits for the answer gets it
            answer.set_exception(error)

    threading.Thread(target=ask, name="adfruns-on-kill-state", daemon=True).start()
    problem: BaseException | None
    try:
        problem = answer.exception(timeout=_ASK_SECONDS)
    except TimeoutError as error:
        problem = error
    return (answer.result(), None) if problem is None else (kills.UNKNOWN_STATE, problem)


def _carry_out(
    decision: kills.Decision, kill: kills.Kill, hook: AdfRunsHook, until: float, log: Logger
) -> None:
    if not decision.cancels:
        log.warning(
            "Killed; what this task has started goes on, since %s. To cancel it by hand: %s.",
            decision.why,
            kill.by_hand(),
        )
        return
    log.warning("Killed; cancelling what this task has started, since %s.", decision.why)

    async def within_seconds(client: FactoryClient) -> None:
        await asyncio.wait_for(kill.run(client), until - _MARGIN_SECONDS - time.monotonic())

    try:
        hook.run(within_seconds)
    except (AdfRunsError, TimeoutError) as error:
        log.warning("The cancels did not come to their end: %r. By hand: %s.", error, kill.by_hand())
    finally:
        log.warning("What became of it:\n%s", kill.summary())
