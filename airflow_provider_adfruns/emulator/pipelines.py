"""Pipeline runs in motion: started, queued, carried through their activities, cancelled; no triggers here."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator import progress
from airflow_provider_adfruns.emulator.definitions import Outcome
from airflow_provider_adfruns.emulator.ids import IdSource, activity_run_id
from airflow_provider_adfruns.emulator.records import (
    ActivityRun,
    ActivityState,
    ActivityStatus,
    InvokedBy,
    PipelineRun,
    PipelineState,
    PipelineStatus,
    RunPlan,
)
from airflow_provider_adfruns.emulator.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_adfruns.emulator.cancelling import Cancelling, Cancels
    from airflow_provider_adfruns.emulator.definitions import ActivityDefinition, PipelineDefinition
    from airflow_provider_adfruns.emulator.timeline import Timeline

MAX_QUEUED = 100
NO_PLAN = RunPlan()


class QueueFullError(Exception):
    """A pipeline with a concurrency has 100 runs queued already."""


@dataclass(frozen=True, slots=True)
class ActivityDone:
    """An activity has taken its time."""

    run_id: str
    activity: str


@dataclass(frozen=True, slots=True)
class ActivityStopped:
    """An activity that was asked to stop has had the time to."""

    run_id: str
    activity: str


@dataclass(frozen=True, slots=True)
class LateStart:
    """An activity begins although its run is being cancelled."""

    run_id: str
    activity: str


@dataclass(frozen=True, slots=True)
class Start:
    """What a new pipeline run begins with; see `PipelineRun` for the fields."""

    definition: PipelineDefinition
    parameters: Mapping[str, str]
    invoked_by: InvokedBy
    run_id: str | None = None
    group_id: str | None = None
    plan: RunPlan = NO_PLAN
    parent: tuple[str, str] | None = None
    trigger_run_id: str | None = None
    at: datetime | None = None
    queue: bool = False
    remaining_seconds: float | None = None


class PipelineRunner:
    """Carries the pipeline runs of one factory.

    :param definitions: the factory's pipelines by name.
    :param on_end: told of every run that has ended.
    :param cancels: how the cancels of its runs go.
    """

    def __init__(
        self,
        definitions: Mapping[str, PipelineDefinition],
        ids: IdSource,
        timeline: Timeline,
        on_end: Callable[[PipelineRun], None],
        cancels: Cancels,
    ) -> None:
        self.cancels = cancels
        self.runs: RunStore[PipelineRun] = RunStore()
        self._definitions = definitions
        self._usual_seconds = progress.usual_seconds(definitions)
        self._ids = ids
        self._timeline = timeline
        self._on_end = on_end
        self._active: Counter[str] = Counter()
        self._queued: dict[str, deque[PipelineRun]] = {}
        self._script_positions: Counter[tuple[str, str]] = Counter()
        timeline.on(ActivityDone, self._activity_done)
        timeline.on(ActivityStopped, self._activity_stopped)
        timeline.on(LateStart, self._late_start)

    def definition(self, name: str) -> PipelineDefinition:
        """Return the pipeline of this name."""
        return self._definitions[name]

    def define(self, definition: PipelineDefinition) -> None:
        """Take in a pipeline as newly published; runs keep the definition that they began with.

        :raises ValueError: pipelines would start each other in a circle, or one that does not exist.
        """
        definitions = {**self._definitions, definition.name: definition}
        self._usual_seconds = progress.usual_seconds(definitions)
        self._definitions = definitions

    def usual_seconds(self, name: str) -> float:
        """Return how long a run of this pipeline takes when nothing goes wrong."""
        return self._usual_seconds[name]

    def start(self, start: Start) -> PipelineRun:
        """Start a run, or queue it where its pipeline's concurrency is taken.

        A start in the past (``at``) makes a run that is in progress now: what it is doing ends after the
        present, not after the start.

        :raises QueueFullError: 100 runs are queued already.
        """
        definition = start.definition
        queued = self._queued.setdefault(definition.name, deque())
        limit = definition.concurrency
        must_queue = start.queue or (limit is not None and self._active[definition.name] >= limit)
        if must_queue and len(queued) >= MAX_QUEUED:
            raise QueueFullError
        at = start.at or self._timeline.now
        run_id = start.run_id or self._ids.run_id()
        run = PipelineRun(
            run_id=run_id,
            definition=definition,
            group_id=start.group_id or run_id,
            parameters=definition.run_parameters(start.parameters),
            invoked_by=start.invoked_by,
            plan=start.plan,
            parent=start.parent,
            trigger_run_id=start.trigger_run_id,
            activities={},
        )
        status = PipelineStatus.QUEUED if must_queue else PipelineStatus.IN_PROGRESS
        run.enter(PipelineState(at=at, status=status, start=at))
        self.runs.add(run)
        if must_queue:
            queued.append(run)
        else:
            self._active[definition.name] += 1
            self._proceed(run, at, start.remaining_seconds)
        return run

    def cancel(self, run: PipelineRun, *, recursive: bool) -> list[str]:
        """Begin to cancel a run, with ``recursive`` its children of every depth too; return all ids touched.

        What has ended stays as it is. Best effort: an activity that ends before it is stopped keeps its end,
        and `CancelScript` says what else may happen. Cancelling again reaches what was not reached before.
        """
        touched = [run.run_id] if not run.is_final and self._cancel_one(run) else []
        if recursive:
            for child_id in run.children:
                child = self.runs.get(child_id)
                if child is not None:
                    touched += self.cancel(child, recursive=True)
        return touched

    def _cancel_one(self, run: PipelineRun) -> bool:
        """Cancel a run, perhaps not for the first time; say whether that changed anything."""
        now = self._timeline.now
        cancelling = self.cancels.count(run)
        status = run.current.status
        if status == PipelineStatus.QUEUED:
            # Nothing of it has begun, so nothing takes time.
            if not cancelling.is_ignored:
                self._queued[run.name].remove(run)
                self._end(run, PipelineStatus.CANCELLED, "")
            return not cancelling.is_ignored
        begins = status != PipelineStatus.CANCELING
        if begins:
            self.runs.update(run, replace(run.current, at=now, status=PipelineStatus.CANCELING))
            for name in cancelling.choose_late(progress.in_order(run.definition), _statuses(run)):
                late = now + timedelta(seconds=cancelling.late_seconds)
                self._timeline.schedule(late, LateStart(run.run_id, name))
        return self._stop_activities(run, cancelling) or begins

    def _stop_activities(self, run: PipelineRun, cancelling: Cancelling) -> bool:
        """Ask activities in progress to stop, where they were not asked yet; say whether there were any."""
        if cancelling.is_stuck or cancelling.unstopped:
            return False
        asked = [
            activity.name
            for activity in _activities(run).values()
            if activity.current.status == ActivityStatus.IN_PROGRESS and activity.name not in cancelling.asked
        ]
        for name in asked:
            seconds = _defined(run, name).cancel_seconds
            delay = run.definition.cancel_seconds if seconds is None else seconds
            stopped = ActivityStopped(run.run_id, name)
            self._timeline.schedule(self._timeline.now + timedelta(seconds=delay), stopped)
        cancelling.asked.update(asked)
        return bool(asked)

    def _late_start(self, event: LateStart) -> None:
        run = self.runs.get(event.run_id)
        cancelling = self.cancels.of(run) if run is not None else None
        if run is not None and cancelling is not None:
            cancelling.waiting.discard(event.activity)
            self._start_activity(run, _defined(run, event.activity), self._timeline.now, None)

    def _proceed(self, run: PipelineRun, at: datetime, remaining_seconds: float | None = None) -> None:
        """Start what may start; end the run when nothing is left to do."""
        statuses = _statuses(run)
        ready, skipped = progress.ready_activities(run.definition.activities, statuses)
        if run.current.status == PipelineStatus.CANCELING:
            cancelling = self.cancels.of(run)
            is_held = cancelling is not None and cancelling.waiting
            if ActivityStatus.IN_PROGRESS not in statuses.values() and not is_held:
                undone = bool(ready) or ActivityStatus.CANCELLED in statuses.values()
                self._conclude(run, cancelled=undone)
            return
        for name in skipped:
            self._begin(run, _defined(run, name), ActivityState(at, ActivityStatus.SKIPPED, at, at))
        for activity in ready:
            self._start_activity(run, activity, at, remaining_seconds)
        if ActivityStatus.IN_PROGRESS not in _statuses(run).values():
            self._conclude(run, cancelled=False)

    def _conclude(self, run: PipelineRun, *, cancelled: bool) -> None:
        failed = progress.failure_of(run.definition.activities, _statuses(run))
        if cancelled:
            self._end(run, PipelineStatus.CANCELLED, "")
        elif failed is None:
            self._end(run, PipelineStatus.SUCCEEDED, "")
        else:
            activity = _activities(run).get(failed)
            reason = activity.current.error if activity else "it was not run"
            self._end(run, PipelineStatus.FAILED, f"Operation on target {failed} failed: {reason}")

    def _end(self, run: PipelineRun, status: PipelineStatus, message: str) -> None:
        now = self._timeline.now
        was_queued = run.current.status == PipelineStatus.QUEUED
        self.runs.update(run, replace(run.current, at=now, status=status, end=now, message=message))
        self._on_end(run)
        if run.parent is not None:
            self._child_ended(run, *run.parent)
        if not was_queued:
            self._active[run.name] -= 1
            self._start_queued(run.name)

    def _start_queued(self, pipeline: str) -> None:
        queued = self._queued.get(pipeline)
        if queued:
            run = queued.popleft()
            now = self._timeline.now
            self._active[pipeline] += 1
            self.runs.update(run, replace(run.current, at=now, status=PipelineStatus.IN_PROGRESS))
            self._proceed(run, now)

    def _begin(self, run: PipelineRun, activity: ActivityDefinition, state: ActivityState) -> ActivityRun:
        begun = ActivityRun(
            run_id=activity_run_id(run.run_id, activity.name),
            name=activity.name,
            type=activity.type,
            child_pipeline=activity.child_pipeline,
            states=(state,),
        )
        _activities(run)[activity.name] = begun
        return begun

    def _start_activity(
        self, run: PipelineRun, activity: ActivityDefinition, at: datetime, remaining_seconds: float | None
    ) -> None:
        begun = self._begin(run, activity, ActivityState(at, ActivityStatus.IN_PROGRESS, at))
        if activity.child_pipeline is not None:
            invoked_by = InvokedBy(begun.run_id, activity.name, "PipelineActivity", run.name, run.run_id)
            child = Start(
                definition=self._definitions[activity.child_pipeline],
                parameters={},
                invoked_by=invoked_by,
                plan=_child_plan(run, activity),
                parent=(run.run_id, activity.name),
                at=at,
                remaining_seconds=remaining_seconds,
            )
            try:
                begun.child_run_id = self.start(child).run_id
            except QueueFullError:
                self._timeline.schedule(at, ActivityDone(run.run_id, activity.name))
                return
            run.children += (begun.child_run_id,)
            if activity.wait_on_completion:
                return
        seconds = activity.seconds * run.plan.pace if remaining_seconds is None else remaining_seconds
        done = ActivityDone(run.run_id, activity.name)
        self._timeline.schedule(self._timeline.now + timedelta(seconds=seconds), done)

    def _activity_done(self, event: ActivityDone) -> None:
        run, activity = self._running(event.run_id, event.activity)
        if run is None or activity is None:
            return
        defined = _defined(run, activity.name)
        if defined.child_pipeline is not None and activity.child_run_id is None:
            self._finish(run, activity, ActivityStatus.FAILED, "Pipeline execution throttled.")
        elif self._outcome(run, defined) is Outcome.FAILED:
            self._finish(
                run, activity, ActivityStatus.FAILED, f"'{activity.name}' fails as the scenario says"
            )
        else:
            self._finish(run, activity, ActivityStatus.SUCCEEDED, "")

    def _activity_stopped(self, event: ActivityStopped) -> None:
        run, activity = self._running(event.run_id, event.activity)
        if run is not None and activity is not None:
            self._finish(run, activity, ActivityStatus.CANCELLED, "")

    def _child_ended(self, child: PipelineRun, parent_id: str, activity_name: str) -> None:
        run, activity = self._running(parent_id, activity_name)
        if run is None or activity is None or not _defined(run, activity_name).wait_on_completion:
            return
        if child.current.status == PipelineStatus.SUCCEEDED:
            self._finish(run, activity, ActivityStatus.SUCCEEDED, "")
        elif run.current.status == PipelineStatus.CANCELING:
            self._finish(run, activity, ActivityStatus.CANCELLED, "")
        else:
            reason = child.current.message or f"pipeline run {child.run_id} was cancelled"
            self._finish(run, activity, ActivityStatus.FAILED, reason)

    def _finish(self, run: PipelineRun, activity: ActivityRun, status: ActivityStatus, error: str) -> None:
        now = self._timeline.now
        activity.enter(replace(activity.current, at=now, status=status, end=now, error=error))
        self._proceed(run, now)

    def _outcome(self, run: PipelineRun, activity: ActivityDefinition) -> Outcome:
        if run.plan.outcome is None:
            key = (run.name, activity.name)
            self._script_positions[key] += 1
            return activity.outcome.at(self._script_positions[key] - 1)
        return Outcome.FAILED if activity.name == failing_activity(run) else Outcome.SUCCEEDED

    def _running(self, run_id: str, activity_name: str) -> tuple[PipelineRun | None, ActivityRun | None]:
        run = self.runs.get(run_id)
        activity = None if run is None else _activities(run).get(activity_name)
        if run is None or activity is None or activity.current.status != ActivityStatus.IN_PROGRESS:
            return None, None
        if self.cancels.is_stuck(run):
            return None, None
        return run, activity


def failing_activity(run: PipelineRun) -> str | None:
    """Return the activity a run planned to fail fails at: the one the plan names, else the last one."""
    if run.plan.outcome is not Outcome.FAILED:
        return None
    if run.plan.failed_activity is not None:
        return run.plan.failed_activity
    possible = [
        activity.name
        for activity in progress.in_order(run.definition)
        if activity.name not in run.plan.skipped
        and (activity.child_pipeline is None or activity.wait_on_completion)
    ]
    return possible[-1] if possible else None


def _child_plan(run: PipelineRun, activity: ActivityDefinition) -> RunPlan:
    if run.plan.outcome is None:
        return NO_PLAN
    fails = activity.name == failing_activity(run)
    return RunPlan(outcome=Outcome.FAILED if fails else Outcome.SUCCEEDED, pace=run.plan.pace)


def _activities(run: PipelineRun) -> dict[str, ActivityRun]:
    if run.activities is None:
        run.activities = {}
    return run.activities


def _statuses(run: PipelineRun) -> dict[str, str]:
    statuses: dict[str, str] = dict.fromkeys(run.plan.skipped, ActivityStatus.SUCCEEDED)
    statuses.update({name: activity.current.status for name, activity in _activities(run).items()})
    return statuses


def _defined(run: PipelineRun, activity_name: str) -> ActivityDefinition:
    return next(each for each in run.definition.activities if each.name == activity_name)
