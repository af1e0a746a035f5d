"""Triggers: one watches all runs of a task and only reads, a kill aside; each ends in one typed event.

An event is ``{"status": "success" | "stuck" | "timeout" | "error", "message": str, "error": str, ...}`` with
what was watched beside it: ``dag.test()`` and a triggerer restart lose everything else.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_adfruns._airflow import task_state
from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf import errors
from airflow_provider_adfruns.adf.errors import AdfRunsError, WaitTimedOut
from airflow_provider_adfruns.adf.pacing import Cap
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.triggers.loading import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch import cancel_rules
    from airflow_provider_adfruns.batch import final_watch as final_watches
    from airflow_provider_adfruns.batch import kill as kills
    from airflow_provider_adfruns.batch import report as reports
    from airflow_provider_adfruns.batch import rerun as reruns
    from airflow_provider_adfruns.batch import verdict as verdicts
    from airflow_provider_adfruns.batch import watch as watches
    from airflow_provider_adfruns.hooks import adf_runs as hooks
else:  # Airflow imports this module on the triggerer's event loop
    cancel_rules = Lazily("airflow_provider_adfruns.batch.cancel_rules")
    final_watches = Lazily("airflow_provider_adfruns.batch.final_watch")
    kills = Lazily("airflow_provider_adfruns.batch.kill")
    reports = Lazily("airflow_provider_adfruns.batch.report")
    reruns = Lazily("airflow_provider_adfruns.batch.rerun")
    verdicts = Lazily("airflow_provider_adfruns.batch.verdict")
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    hooks = Lazily("airflow_provider_adfruns.hooks.adf_runs")

_FIRST_LOOK_SECONDS = 5.0
_KILL_SECONDS = 28.0  # Airflow's [triggerer] on_kill_timeout is 30 s
_ASK_SECONDS = 18.0  # of these; the very first question makes a supervisor build its API: 3 to 15 s
_KILLS: set[asyncio.Task[None]] = set()  # under way: a loop by itself may lose a task that nobody holds


class _WatchTrigger(BaseTrigger):
    """Looks until the watch is done, the deadline passes, or the factory cannot be read any more.

    :param azure_data_factory_conn_id: the connection.
    :param resource_group_name: instead of the connection's.
    :param factory_name: instead of the connection's.
    :param poll_interval: seconds between looks.
    :param deadline: in the service's time, ISO 8601; a restart of the triggerer does not move it.
    :param cancel_on_kill: the operator's parameter; None where the task has not started what it watches.
    :param max_requests_per_second: the task's own; None for the connection's, which is shared.
    """

    def __init__(
        self,
        *,
        azure_data_factory_conn_id: str,
        resource_group_name: str | None,
        factory_name: str | None,
        poll_interval: float,
        deadline: str,
        cancel_on_kill: bool | None = None,
        max_requests_per_second: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.azure_data_factory_conn_id = azure_data_factory_conn_id
        self.resource_group_name = resource_group_name
        self.factory_name = factory_name
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.cancel_on_kill = cancel_on_kill
        self.max_requests_per_second = max_requests_per_second
        self._cap = Cap.of(max_requests_per_second)

    @abstractmethod
    def watched(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""

    @abstractmethod
    def watch(self, client: FactoryClient) -> watches.Watch:
        """Return a fresh watch."""

    def outcome(self, watch: watches.Watch) -> str:
        """Return the status of a wait that has ended neither in its deadline nor in an error."""
        del watch
        return "success"

    @abstractmethod
    def seen(self, watch: watches.Watch | None) -> dict[str, Any]:
        """Return what the event tells of the watch, which is None if none could be started."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments to make it again."""
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", {
            "azure_data_factory_conn_id": self.azure_data_factory_conn_id,
            "resource_group_name": self.resource_group_name,
            "factory_name": self.factory_name,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
            "cancel_on_kill": self.cancel_on_kill,
            "max_requests_per_second": self.max_requests_per_second,
            **self.watched(),
        }

    @abstractmethod
    def started(self) -> kills.Kill:
        """Return what a kill has to cancel, if the task has started what is watched."""

    @property
    def _hook(self) -> hooks.AdfRunsHook:
        return hooks.AdfRunsHook(
            self.azure_data_factory_conn_id,
            resource_group_name=self.resource_group_name,
            factory_name=self.factory_name,
            max_requests_per_second=self._cap,
        )

    async def on_kill(self) -> None:
        """Cancel what the task has started, if it has really ended.

        Airflow (3.3 on) calls this after ``run`` was cancelled: when a person ends or clears the deferred
        task, but also when the trigger has moved to another triggerer. The task's state tells them apart.

        Airflow 3.3.2 then cancels the trigger again, about once a second until it has ended, and with it
        this method. So what is to be done is a task of its own, which nobody else cancels.
        """
        if self.cancel_on_kill is None:
            return
        work = asyncio.get_running_loop().create_task(self._end(cancel_on_kill=self.cancel_on_kill))
        _KILLS.add(work)
        work.add_done_callback(_KILLS.discard)
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(work)

    async def _end(self, *, cancel_on_kill: bool) -> None:
        """Decide about what the task has started; takes no longer than Airflow lets a kill take."""
        end = asyncio.get_running_loop().time() + _KILL_SECONDS
        await asyncio.to_thread(load)
        kill = await asyncio.to_thread(self.started)  # unpacking much would block the loop
        state = await self._task_state() if cancel_on_kill else None
        decision = kills.decide(cancel_on_kill=cancel_on_kill, state=state)
        if not decision.cancels:
            self.log.warning(
                "Killed; what the task has started goes on, since %s. To cancel it by hand: %s.",
                decision.why,
                kill.by_hand(),
            )
            return
        self.log.warning("Killed; cancelling what the task has started, since %s.", decision.why)
        try:
            async with asyncio.timeout_at(end), self._hook.client() as client:
                await kill.run(client)
        except (AdfRunsError, TimeoutError) as error:
            self.log.warning("The cancels did not come to their end: %r. By hand: %s.", error, kill.by_hand())
        self.log.warning("What became of it:\n%s", kill.summary())

    async def _task_state(self) -> str | None:
        """Ask for the task's state in a thread, since that blocks; whatever goes wrong, it is unknown."""
        asked = asyncio.ensure_future(asyncio.to_thread(task_state, self.task_instance))
        await asyncio.wait({asked}, timeout=_ASK_SECONDS)
        if not asked.done() or asked.exception() is not None:
            self.log.warning("Airflow could not be asked for the task's state: %r", asked)
            return kills.UNKNOWN_STATE
        return asked.result()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch, and yield one event.

        Not at once: Airflow's scheduler (3.3.2) may fail a task that is to be resumed while the worker's
        process that deferred it is still ending.
        """
        await asyncio.to_thread(load)
        await pause(_FIRST_LOOK_SECONDS)
        watch: watches.Watch | None = None
        event: dict[str, Any] = {"status": "success", "message": "", "error": ""}
        try:
            async with self._hook.client() as client:
                watch = await asyncio.to_thread(self.watch, client)  # unpacking much would block the loop
                await watches.wait_until_done(
                    watch,
                    client,
                    poll_interval=self.poll_interval,
                    deadline=datetime.fromisoformat(self.deadline),
                )
                event["status"] = self.outcome(watch)
        except AdfRunsError as error:
            status = "timeout" if isinstance(error, WaitTimedOut) else "error"
            event = {"status": status, "message": str(error), "error": type(error).__name__}
        seen = await asyncio.to_thread(self.seen, watch)  # and so would packing it
        yield TriggerEvent({**event, **seen})  # type: ignore[no-untyped-call]


class AdfRunsFinalTrigger(_WatchTrigger):
    """Waits until pipeline runs and trigger runs are final.

    :param pipeline_run_ids: pipeline runs.
    :param include_children: also the runs that their ExecutePipeline activities started.
    :param trigger_name: the trigger of ``trigger_run_ids``.
    :param trigger_run_ids: trigger runs.
    :param report: what the task has to remember; comes back in the event as it is.
    :param rules: ``CancelRules.to_json()``: with these the wait also ends in the status ``stuck`` when there
        is something to be done about a cancel, which the task does on a worker before it waits on.
    :param memory: ``Memory.to_json()``, what the task knows of the runs.

    The event carries ``runs``, a list of ``WatchedRun.to_json()``, ``report``, the ``deadline`` and, in
    ``memory``, what else the next trigger has to know.
    """

    def __init__(
        self,
        *,
        pipeline_run_ids: list[str],
        include_children: bool,
        trigger_name: str | None,
        trigger_run_ids: list[str],
        report: dict[str, Any] | None = None,
        rules: dict[str, Any] | None = None,
        memory: dict[str, Any] | None = None,
        **place: Any,
    ) -> None:
        super().__init__(**place)
        self.pipeline_run_ids = pipeline_run_ids
        self.include_children = include_children
        self.trigger_name = trigger_name
        self.trigger_run_ids = trigger_run_ids
        self.report = report
        self.rules = rules
        self.memory = memory

    def watched(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""
        return {
            "pipeline_run_ids": self.pipeline_run_ids,
            "include_children": self.include_children,
            "trigger_name": self.trigger_name,
            "trigger_run_ids": self.trigger_run_ids,
            "report": self.report,
            "rules": self.rules,
            "memory": self.memory,
        }

    def watch(self, client: FactoryClient) -> final_watches.RunsFinalWatch:
        """Return a fresh watch."""
        return final_watches.RunsFinalWatch(
            client,
            pipeline_run_ids=self.pipeline_run_ids,
            include_children=self.include_children,
            trigger_name=self.trigger_name,
            trigger_run_ids=self.trigger_run_ids,
            rules=None if self.rules is None else cancel_rules.CancelRules.from_json(self.rules),
            memory=None if self.memory is None else verdicts.Memory.from_json(self.memory),
        )

    def outcome(self, watch: watches.Watch) -> str:
        """Say whether there is something to be done about a cancel."""
        return "stuck" if isinstance(watch, final_watches.RunsFinalWatch) and watch.due else "success"

    def started(self) -> kills.PipelineRunsKill:
        """Return what a kill has to cancel."""
        return kills.PipelineRunsKill(self.pipeline_run_ids)

    def seen(self, watch: watches.Watch | None) -> dict[str, Any]:
        """Return the runs as last seen, what else is known, and the task's report."""
        memory = watch.memory if isinstance(watch, final_watches.RunsFinalWatch) else verdicts.Memory()
        runs = (
            [run.to_json() for run in watch.runs] if isinstance(watch, final_watches.RunsFinalWatch) else []
        )
        return {
            "runs": runs,
            "memory": {**memory.to_json(), "runs": None},
            "report": self.report,
            "deadline": self.deadline,
        }


class AdfWindowsRerunTrigger(_WatchTrigger):
    """Waits until the new run of each rerun window is final, or there is room for those still planned.

    :param report: ``RerunReport.packed()`` after submission.
    :param max_in_flight: how many windows may run at a time, None for no limit.

    The event carries ``report``, packed and brought up to date, and ``deadline``. Of a success whose report
    has planned windows the task makes use by sending as many as there is room for.
    """

    def __init__(self, *, report: str, max_in_flight: int | None = None, **place: Any) -> None:
        super().__init__(**place)
        self.report = report
        self.max_in_flight = max_in_flight

    def watched(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""
        return {"report": self.report, "max_in_flight": self.max_in_flight}

    def watch(self, client: FactoryClient) -> reruns.RerunWatch:
        """Return a fresh watch."""
        return reruns.RerunWatch(client, reports.RerunReport.unpacked(self.report), self.max_in_flight)

    def started(self) -> kills.WindowRerunsKill:
        """Return what a kill has to cancel."""
        return kills.WindowRerunsKill(reports.RerunReport.unpacked(self.report))

    def seen(self, watch: watches.Watch | None) -> dict[str, Any]:
        """Return the report as last seen."""
        report = watch.report.packed() if isinstance(watch, reruns.RerunWatch) else self.report
        return {"report": report, "deadline": self.deadline}


def error_of(event: Mapping[str, Any]) -> AdfRunsError | None:
    """Return what ended a watch before it was done, of the class that the trigger met, or None.

    :param event: a trigger's event.
    """
    if event["status"] in {"success", "stuck"}:
        return None
    kind = getattr(errors, event["error"], AdfRunsError)
    error = kind(event["message"])
    return error if isinstance(error, AdfRunsError) else AdfRunsError(event["message"])
