"""What becomes of a batch's reruns when its task is killed: whether they are cancelled (pure), and the doing.

Cancels are sent and not waited for, since a killed process has seconds; ``fates`` says at any moment how far
it came.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    NotWaitingOnDependency,
    PipelineRunEnded,
    PipelineRunNotFound,
)
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.pipeline_rerun import latest_rerun
from airflow_provider_adfruns.batch.report import RerunBy, Step, some
from airflow_provider_adfruns.batch.submit import RerunHistory, with_history

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import PipelineRun, TriggerRun, Window
    from airflow_provider_adfruns.batch.report import RerunReport

ENDED_STATES = frozenset({"success", "failed", "skipped", "removed", "upstream_failed"})
"""Airflow's states of a task instance that nobody takes up again by itself."""

UNKNOWN_STATE = "unknown"
"""Stands for a state that could not be asked."""

REQUESTED = "cancel requested"
HAD_ENDED = "had ended already"
NEVER_CREATED = "was never created"
NOT_REACHED = "not reached in time; cancel it by hand if it runs"

_AT_ONCE = 16
_LOOK_SECONDS = 1.0
_LOOK_FOR = timedelta(seconds=30)


class Decision(NamedTuple):
    """Whether a killed task's runs are cancelled, and why or why not, as the end of a sentence."""

    cancels: bool
    why: str


def decide(
    *, cancel_on_kill: bool, state: str | None, is_timeout: bool = False, has_retry_left: bool = False
) -> Decision:
    """Decide whether a kill cancels the runs that its task has started; pure.

    Airflow also calls ``on_kill`` when a worker or pod shuts down, when a trigger moves to another triggerer,
    and on a clear, after which a new try may be at work on the same batch. So only a task instance that has
    really ended counts.

    :param cancel_on_kill: the operator's parameter.
    :param state: of the task instance, asked now; None if it is to be scheduled, ``UNKNOWN_STATE`` if it
        could not be asked.
    :param is_timeout: it is ``execution_timeout`` that ends the task, whose state then is not changed yet.
    :param has_retry_left: a next try will come, and take up the batch.
    """
    if not cancel_on_kill:
        return Decision(False, "cancel_on_kill is False")
    if is_timeout:
        if has_retry_left:
            return Decision(False, "execution_timeout is over, and the next try takes them up")
        return Decision(True, "execution_timeout is over, and no try is left")
    if state == UNKNOWN_STATE:
        return Decision(False, "Airflow could not be asked whether the task has ended")
    if state not in ENDED_STATES:
        return Decision(
            False, f"the task has not ended but is {state or 'to be scheduled'}: a try takes them up"
        )
    return Decision(True, f"the task is {state}")


class Kill(ABC):
    """Cancels what a batch has started.

    ``fates`` names each run that may have to be cancelled, with what became of it so far.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.fates: dict[str, str] = dict.fromkeys(names, NOT_REACHED)
        self._room = asyncio.Semaphore(_AT_ONCE)

    @abstractmethod
    async def run(self, client: FactoryClient) -> None:
        """Ask for the cancels; one that fails does not stop the others."""

    @abstractmethod
    def by_hand(self) -> str:
        """Say how a person cancels them."""

    def summary(self) -> str:
        """Return what became of the runs, a line for each fate."""
        by_fate: dict[str, list[str]] = {}
        for name, fate in self.fates.items():
            by_fate.setdefault(fate, []).append(name)
        return "\n".join(f"  {len(names)} {fate}: {some(names)}" for fate, names in by_fate.items())

    async def _cancel_pipeline_run(self, client: FactoryClient, run_id: str) -> str:
        """Cancel a pipeline run with its children. :return: its fate."""
        try:
            async with self._room:
                await client.cancel_pipeline_run(run_id, is_recursive=True)
        except PipelineRunEnded:
            return HAD_ENDED
        except PipelineRunNotFound:
            return NEVER_CREATED
        except AdfRunsError as error:
            return f"not cancelled for sure: {error}"
        return REQUESTED


class PipelineRunsKill(Kill):
    """Cancels pipeline runs that a task has created, with their children.

    :param run_ids: the ids chosen for them; some may never have been created.
    """

    def __init__(self, run_ids: Iterable[str]) -> None:
        self._run_ids = tuple(run_ids)
        super().__init__(self._name(run_id) for run_id in self._run_ids)

    async def run(self, client: FactoryClient) -> None:
        """Ask for the cancels."""
        await asyncio.gather(*(self._end(client, run_id) for run_id in self._run_ids))

    async def _end(self, client: FactoryClient, run_id: str) -> None:
        try:
            async with self._room:
                run = await self._find(client, run_id)
        except AdfRunsError as error:
            fate = f"not cancelled, since it could not be read: {error}"
        else:
            if run is None:
                fate = NEVER_CREATED
            elif run.status.is_final:
                fate = HAD_ENDED
            else:
                fate = await self._cancel_pipeline_run(client, run.run_id)
        self.fates[self._name(run_id)] = fate

    async def _find(self, client: FactoryClient, run_id: str) -> PipelineRun | None:
        try:
            return await client.get_pipeline_run(run_id)
        except PipelineRunNotFound:
            return None

    def _name(self, run_id: str) -> str:
        return f"pipeline run {run_id}"

    def by_hand(self) -> str:
        """Say how a person cancels them."""
        return f"AdfCancelPipelineRunOperator with run_ids={list(self._run_ids[:20])}, or ADF Studio"


class ChosenRunsKill(PipelineRunsKill):
    """Cancels the reruns of pipeline runs that a batch may have created, by the ids chosen for them.

    :param batch: see ``pipeline_rerun.chosen_id``.
    :param run_ids: the runs that were to be rerun.
    """

    def __init__(self, batch: str, run_ids: Iterable[str]) -> None:
        self._batch = batch
        super().__init__(run_ids)

    async def _find(self, client: FactoryClient, run_id: str) -> PipelineRun | None:
        known, _ = await latest_rerun(client, self._batch, run_id)
        return known

    def _name(self, run_id: str) -> str:
        return f"rerun of pipeline run {run_id}"

    def by_hand(self) -> str:
        """Say how a person cancels them."""
        return f"in ADF Studio, the reruns in the run groups of {some(self._run_ids)}"


class WindowRerunsKill(Kill):
    """Cancels the reruns of windows that a batch has sent, as far as the factory's history shows them.

    A rerun that runs ends by the cancel of its pipeline runs, one that waits on its dependencies by its own.
    What somebody else has rerun is left alone.

    :param report: the batch as it stood when the task was killed; what was under way counts as unclear.
    """

    def __init__(self, report: RerunReport) -> None:
        self._report = report
        self._open = {
            outcome.window: outcome
            for outcome in report.windows
            if outcome.is_awaited or outcome.step is Step.UNCLEAR
        }
        super().__init__(f"window {window}" for window in self._open)

    async def run(self, client: FactoryClient) -> None:
        """Look, cancel what shows, and look again for what does not show yet."""
        history = RerunHistory(client, self._report.trigger_name, self._report.planned_at)
        until = await client.now() + _LOOK_FOR
        while self._open:
            await history.look()
            await self._judge_all(client, history)
            if await client.now() > until:
                return
            if self._open:
                await pause(_LOOK_SECONDS)

    async def _judge_all(self, client: FactoryClient, history: RerunHistory) -> None:
        """Cancel what shows and is this batch's: what runs first, since what waits costs nothing yet."""
        running, waiting = [], []
        for outcome in list(self._open.values()):
            newer = history.newer(outcome)
            known = with_history(outcome, newer)
            if not newer:
                continue
            run = newer[-1]
            if known.rerun_by is not RerunBy.THIS_BATCH:
                self._settle(outcome.window, "left alone, somebody else has rerun it")
            elif run.status.is_final:
                self._settle(outcome.window, HAD_ENDED)
            elif run.triggered_pipelines:
                running.append(self._cancel_running(client, outcome.window, run))
            else:
                waiting.append((outcome.window, run))
        await asyncio.gather(*running)
        await asyncio.gather(*(self._cancel_waiting(client, window, run) for window, run in waiting))

    async def _cancel_running(self, client: FactoryClient, window: Window, run: TriggerRun) -> None:
        """Cancel the pipeline runs of a trigger run, which ends it, too."""
        fates = {
            await self._cancel_pipeline_run(client, run_id) for run_id in run.triggered_pipelines.values()
        }
        self._settle(window, REQUESTED if REQUESTED in fates else "; ".join(sorted(fates)))

    async def _cancel_waiting(self, client: FactoryClient, window: Window, run: TriggerRun) -> None:
        """Cancel a trigger run that waits; one that has just begun is met again at the next look."""
        try:
            async with self._room:
                await client.cancel_trigger_run(run.trigger_name, run.trigger_run_id)
        except NotWaitingOnDependency:
            self.fates[f"window {window}"] = (
                f"its trigger run is {run.status}, and could not be cancelled yet"
            )
        except AdfRunsError as error:
            self._settle(window, f"not cancelled for sure: {error}")
        else:
            self._settle(window, REQUESTED)

    def _settle(self, window: Window, fate: str) -> None:
        self.fates[f"window {window}"] = fate
        del self._open[window]

    def by_hand(self) -> str:
        """Say how a person cancels them."""
        return (
            f"AdfCancelWaitingTriggerRunOperator for trigger {self._report.trigger_name!r} and these windows,"
            " with on_running='cancel_pipeline_runs', or ADF Studio"
        )
