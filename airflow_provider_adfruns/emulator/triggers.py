"""Trigger runs in motion: windows that fall due, wait for others, run, are retried, rerun and cancelled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator.parameters import trigger_parameters
from airflow_provider_adfruns.emulator.pipelines import QueueFullError, Start
from airflow_provider_adfruns.emulator.places import TriggerPlace, dependencies_met, make_place
from airflow_provider_adfruns.emulator.records import (
    InvokedBy,
    RunPlan,
    TriggerRun,
    TriggerState,
    TriggerStatus,
)
from airflow_provider_adfruns.emulator.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adfruns.emulator.definitions import Outcome, TriggerDefinition
    from airflow_provider_adfruns.emulator.ids import IdSource
    from airflow_provider_adfruns.emulator.pipelines import PipelineRunner
    from airflow_provider_adfruns.emulator.records import PipelineRun
    from airflow_provider_adfruns.emulator.timeline import Timeline

DEPENDENCY_TIMEOUT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class TriggerDue:
    """A trigger may have a window or a schedule time due; void where the trigger was stopped since."""

    trigger: str
    session: int


@dataclass(frozen=True, slots=True)
class RerunReady:
    """A rerun has been Waiting for its moment."""

    run_id: str


@dataclass(frozen=True, slots=True)
class CancellationDone:
    """A waiting trigger run's cancellation is complete."""

    run_id: str


@dataclass(frozen=True, slots=True)
class DependencyTimeout:
    """A trigger run has waited on its dependencies as long as it may."""

    run_id: str


@dataclass(frozen=True, slots=True)
class RetryDue:
    """A failed trigger run is to run its pipeline again."""

    run_id: str


class TriggerRunner:
    """Carries the triggers of one factory and their runs.

    :param rerun_waiting_seconds: how long a rerun stays Waiting before its dependencies are looked at.
    """

    def __init__(
        self,
        definitions: Mapping[str, TriggerDefinition],
        ids: IdSource,
        timeline: Timeline,
        rerun_waiting_seconds: float,
    ) -> None:
        self.runs: RunStore[TriggerRun] = RunStore()
        self.places = {name: make_place(each, timeline.now) for name, each in definitions.items()}
        self.pipelines: PipelineRunner | None = None
        self._ids = ids
        self._timeline = timeline
        self._rerun_waiting = timedelta(seconds=rerun_waiting_seconds)
        timeline.on(TriggerDue, self._due)
        timeline.on(RerunReady, self._rerun_ready)
        timeline.on(CancellationDone, self._cancellation_done)
        timeline.on(DependencyTimeout, self._dependency_timeout)
        timeline.on(RetryDue, self._retry_due)

    # What may be asked of a trigger

    def define(self, definition: TriggerDefinition) -> None:
        """Take in a stopped trigger as newly published; the same grid goes on with the window it stood at."""
        old = self.places.get(definition.name)
        if old is not None and not old.deleted and _same_grid(old.definition, definition):
            old.definition = definition
            return
        place = make_place(definition, self._timeline.now)
        # What was due for the old trigger of this name stays void.
        place.session = old.session + 1 if old is not None else 0
        self.places[definition.name] = place

    def start(self, name: str) -> None:
        """Start a trigger; it goes on with the window it stood at."""
        place = self.places[name]
        if not place.started:
            place.started = True
            place.session, place.wake = place.session + 1, None
            if place.definition.type == "ScheduleTrigger":
                place.cursor = max(0, place.definition.grid.index_at(self._timeline.now) + 1)
        self.pump(place)

    def stop(self, name: str) -> None:
        """Stop a trigger; runs that exist go on."""
        place = self.places[name]
        if place.started:
            place.started = False
            place.session, place.wake = place.session + 1, None

    def rerun(self, run: TriggerRun) -> TriggerRun:
        """Make a new run of a final run's window, in the same group; the old one stays as it is."""
        place = self.places[run.name]
        runs = place.by_window.get(_index(run), ())
        number = sum(each.rerun_number is not None for each in runs)
        again = self._create(place, run.index, group_id=run.group_id, rerun_number=number)
        # A trigger that was published anew may have another grid by now; the window stays.
        again.grid = run.grid or run.definition.grid
        self._timeline.schedule(self._timeline.now + self._rerun_waiting, RerunReady(again.run_id))
        return again

    def cancel(self, run: TriggerRun) -> None:
        """Begin to cancel a run that waits on dependencies; until that is complete it keeps its status."""
        if not run.canceling:
            run.canceling = True
            delay = timedelta(seconds=run.definition.cancel_seconds)
            self._timeline.schedule(self._timeline.now + delay, CancellationDone(run.run_id))

    # What moves by itself

    def pump(self, place: TriggerPlace) -> None:
        """Let in waiting reruns, then due windows, as far as maxConcurrency allows; see to the next one."""
        if place.definition.type == "ScheduleTrigger":
            self._schedule_next(place)
            return
        limit = place.definition.max_concurrency
        while place.waiting and len(place.holding) < limit:
            self._admit(place, place.waiting.pop(0))
        while place.started and len(place.holding) < limit and self._next_due(place) is True:
            run = self._create(place, place.cursor)
            place.cursor += 1
            self._admit(place, run)
        self._schedule_next(place)

    def pipeline_ended(self, run: PipelineRun) -> None:
        """Give a trigger run the end of its pipeline run, or retry it as its policy says."""
        trigger_run = self.runs.get(run.trigger_run_id) if run.trigger_run_id else None
        if trigger_run is None or trigger_run.index is None or trigger_run.is_final:
            return
        if run.run_id not in dict(trigger_run.current.pipelines).values():
            return
        retry = trigger_run.definition.retry
        if run.current.status == TriggerStatus.FAILED and trigger_run.retries < retry.count:
            trigger_run.retries += 1
            again = self._timeline.now + timedelta(seconds=retry.interval_seconds)
            self._timeline.schedule(again, RetryDue(trigger_run.run_id))
            return
        self._end(trigger_run, run.current.status)

    def adopt(self, run: TriggerRun) -> None:
        """Take in a run of the history that is still going."""
        place = self.places[run.name]
        if run.current.status == TriggerStatus.WAITING:
            self._timeline.schedule(self._timeline.now + self._rerun_waiting, RerunReady(run.run_id))
            return
        place.holding.add(run.run_id)
        timeout = run.timestamp + DEPENDENCY_TIMEOUT
        if run.current.status == TriggerStatus.WAITING_ON_DEPENDENCY and timeout > self._timeline.now:
            self._timeline.schedule(timeout, DependencyTimeout(run.run_id))

    def remember(self, run: TriggerRun) -> None:
        """File a run under its window."""
        self.runs.add(run)
        if run.index is not None:
            by_window = self.places[run.name].by_window
            by_window[run.index] = (*by_window.get(run.index, ()), run)

    def _create(
        self,
        place: TriggerPlace,
        index: int | None,
        *,
        due: datetime | None = None,
        group_id: str | None = None,
        rerun_number: int | None = None,
    ) -> TriggerRun:
        now = self._timeline.now
        run_id = self._ids.trigger_run_id(now)
        run = TriggerRun(
            run_id=run_id,
            definition=place.definition,
            group_id=group_id or run_id,
            timestamp=now,
            index=index,
            due=due,
            rerun_number=rerun_number,
            states=(TriggerState(now, TriggerStatus.WAITING),),
        )
        self.remember(run)
        return run

    def _admit(self, place: TriggerPlace, run: TriggerRun) -> None:
        place.holding.add(run.run_id)
        if dependencies_met(run, self.places):
            self._run_pipeline(run)
        else:
            self._set(run, TriggerStatus.WAITING_ON_DEPENDENCY)
            self._timeline.schedule(self._timeline.now + DEPENDENCY_TIMEOUT, DependencyTimeout(run.run_id))

    def _run_pipeline(self, run: TriggerRun) -> None:
        if self.pipelines is None:
            raise RuntimeError("the trigger runner was not given its pipeline runner")
        started: dict[str, str] = {}
        invoked_by = InvokedBy(run.run_id, run.name, run.definition.type)
        # The run points at its pipeline runs before they can end, for an ending run looks for its trigger
        # run.
        for reference in run.definition.pipelines:
            definition = self.pipelines.definition(reference.name)
            start = Start(
                definition=definition,
                parameters=trigger_parameters(definition.parameters, reference.parameters, run),
                invoked_by=invoked_by,
                run_id=self._ids.run_id(),
                plan=self._plan(run),
                trigger_run_id=run.run_id,
            )
            started[reference.name] = start.run_id or ""
            self._set(run, TriggerStatus.RUNNING, pipelines=tuple(started.items()))
            try:
                self.pipelines.start(start)
            except QueueFullError:
                self._end(run, TriggerStatus.FAILED, "Pipeline execution throttled.")

    def _plan(self, run: TriggerRun) -> RunPlan:
        definition = run.definition
        if run.index is None or run.rerun_number is None:
            return RunPlan(outcome=definition.outcome)
        scripted = self.places[run.name].rerun_scripts.get(run.index)
        script = (scripted and scripted.rerun_outcome) or definition.rerun_outcome
        seconds = definition.rerun_seconds
        if scripted is not None and scripted.rerun_seconds is not None:
            seconds = scripted.rerun_seconds
        outcome: Outcome | None = script.at(run.rerun_number) if script else None
        if seconds is None or self.pipelines is None:
            return RunPlan(outcome=outcome)
        usual = self.pipelines.usual_seconds(definition.pipelines[0].name)
        return RunPlan(outcome=outcome, pace=seconds / usual if usual else 1.0)

    def _due(self, event: TriggerDue) -> None:
        place = self.places[event.trigger]
        if place.session != event.session:
            return
        place.wake = None
        if place.definition.type == "ScheduleTrigger":
            due = place.definition.grid.instant(place.cursor)
            place.cursor += 1
            run = self._create(place, None, due=due)
            self._run_pipeline(run)
            # A schedule trigger's run is over when its pipelines are started.
            if not run.is_final:
                self._end(run, TriggerStatus.SUCCEEDED, "")
        self.pump(place)

    def _next_due(self, place: TriggerPlace) -> bool | datetime:
        """Return True where the next window is due, the time when it will be, or False where none is."""
        grid = place.definition.grid
        if place.definition.type == "ScheduleTrigger":
            at = grid.instant(place.cursor)
            return False if grid.end is not None and at > grid.end else at
        if not grid.exists(place.cursor):
            return False
        at = grid.instant(place.cursor + 1) + place.definition.delay
        return True if at <= self._timeline.now else at

    def _schedule_next(self, place: TriggerPlace) -> None:
        at = self._next_due(place) if place.started else False
        if isinstance(at, datetime) and at != place.wake:
            # What was due for another time is void: a schedule trigger must not fire twice.
            place.session, place.wake = place.session + 1, at
            self._timeline.schedule(at, TriggerDue(place.definition.name, place.session))

    def _rerun_ready(self, event: RerunReady) -> None:
        run = self.runs.get(event.run_id)
        if run is not None and run.current.status == TriggerStatus.WAITING:
            place = self.places[run.name]
            place.waiting.append(run)
            self.pump(place)

    def _cancellation_done(self, event: CancellationDone) -> None:
        run = self.runs.get(event.run_id)
        if run is not None and run.current.status == TriggerStatus.WAITING_ON_DEPENDENCY:
            self._end(run, TriggerStatus.CANCELLED)

    def _dependency_timeout(self, event: DependencyTimeout) -> None:
        run = self.runs.get(event.run_id)
        if run is not None and run.current.status == TriggerStatus.WAITING_ON_DEPENDENCY:
            self._end(run, TriggerStatus.FAILED, "The dependencies were not met within 7 days.")

    def _retry_due(self, event: RetryDue) -> None:
        run = self.runs.get(event.run_id)
        if run is not None and run.current.status == TriggerStatus.RUNNING:
            self._run_pipeline(run)

    def _end(self, run: TriggerRun, status: str, message: str | None = None) -> None:
        self._set(run, status, message=message)
        place = self.places[run.name]
        place.holding.discard(run.run_id)
        if status == TriggerStatus.SUCCEEDED and run.index is not None:
            self._wake_dependents(run.name)
        if run.index is not None:
            self.pump(place)

    def _wake_dependents(self, upstream: str) -> None:
        for place in self.places.values():
            if all(dependency.trigger != upstream for dependency in place.definition.depends_on):
                continue
            for run_id in sorted(place.holding):
                run = self.runs.get(run_id)
                if run is None or run.current.status != TriggerStatus.WAITING_ON_DEPENDENCY:
                    continue
                if not run.stuck and not run.canceling and dependencies_met(run, self.places):
                    self._run_pipeline(run)

    def _set(
        self,
        run: TriggerRun,
        status: str,
        *,
        pipelines: tuple[tuple[str, str], ...] | None = None,
        message: str | None = None,
    ) -> None:
        state = replace(run.current, at=self._timeline.now, status=status, message=message)
        self.runs.update(run, replace(state, pipelines=pipelines) if pipelines is not None else state)


def _index(run: TriggerRun) -> int:
    if run.index is None:
        raise ValueError(f"trigger run {run.run_id} has no window")
    return run.index


def _same_grid(one: TriggerDefinition, other: TriggerDefinition) -> bool:
    """Say whether two triggers have the same windows, whenever they end."""
    return one.type == other.type and replace(one.grid, end=None) == replace(other.grid, end=None)
