"""One simulated factory: what may be asked of it, and its time; it knows neither HTTP nor JSON nor locks."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.emulator import refusals
from airflow_provider_adfruns.emulator.cancelling import Cancels
from airflow_provider_adfruns.emulator.history import History, past_activities
from airflow_provider_adfruns.emulator.ids import IdSource
from airflow_provider_adfruns.emulator.pipelines import PipelineRunner, QueueFullError, Start
from airflow_provider_adfruns.emulator.progress import downstream_of
from airflow_provider_adfruns.emulator.records import (
    ActivityRun,
    ActivityStatus,
    Effect,
    InvokedBy,
    PipelineRun,
    RunPlan,
    TriggerRun,
    TriggerStatus,
)
from airflow_provider_adfruns.emulator.store import RETENTION, visible
from airflow_provider_adfruns.emulator.timeline import Timeline
from airflow_provider_adfruns.emulator.triggers import TriggerRunner

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_adfruns.emulator.definitions import PipelineDefinition, Scenario
    from airflow_provider_adfruns.emulator.places import TriggerPlace


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a createRun asks for.

    :param run_id: the caller's request id, which becomes the run's; None: the factory chooses.
    """

    run_id: str | None
    parameters: Mapping[str, str]
    reference_run_id: str | None = None
    is_recovery: bool = False
    start_activity: str | None = None
    start_from_failure: bool = False


class Factory:
    """A factory as its scenario describes it, living by the times it is told.

    :param scenario: what it is made of, and its past.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._timeline = Timeline(scenario.now)
        self._ids = IdSource(scenario.seed)
        self.definitions = dict(scenario.pipelines)
        self.triggers = TriggerRunner(
            scenario.triggers, self._ids, self._timeline, scenario.rerun_waiting_seconds
        )
        self.pipelines = PipelineRunner(
            scenario.pipelines,
            self._ids,
            self._timeline,
            self.triggers.pipeline_ended,
            Cancels(scenario.seed),
        )
        self.triggers.pipelines = self.pipelines
        History(scenario, self.pipelines, self.triggers, self._ids).load()
        for place in self.triggers.places.values():
            self.triggers.pump(place)

    @property
    def now(self) -> datetime:
        """The instant up to which everything has happened."""
        return self._timeline.now

    def advance_to(self, instant: datetime) -> None:
        """Let everything happen that is due by ``instant``, in order."""
        self._timeline.run_until(instant)

    def pipeline(self, name: str) -> PipelineDefinition:
        """Return a pipeline by its name in any case."""
        for known, definition in self.definitions.items():
            if known.casefold() == name.casefold():
                return definition
        raise refusals.entity_missing("Pipeline", name)

    def trigger(self, name: str) -> TriggerPlace:
        """Return where a trigger stands, by its name in any case."""
        for known, place in self.triggers.places.items():
            if known.casefold() == name.casefold() and not place.deleted:
                return place
        raise refusals.entity_missing("Trigger", name)

    def pipeline_run(self, run_id: str) -> PipelineRun | None:
        """Return a remembered pipeline run, or None."""
        run = self.pipelines.runs.get(run_id)
        return run if run is not None and visible(run, self.now - RETENTION) else None

    def activities(self, run: PipelineRun) -> list[ActivityRun]:
        """Return a run's activity runs; skipped activities have none."""
        if run.activities is None:
            run.activities = past_activities(run, self.pipelines)
        return [each for each in run.activities.values() if each.current.status != ActivityStatus.SKIPPED]

    def is_latest(self, run: PipelineRun, instant: datetime) -> bool:
        """Say whether a run was the newest of its group at ``instant``."""
        newest = run
        for each in self.pipelines.runs.group(run.group_id):
            if newest.states[0].start <= each.states[0].start <= instant:
                newest = each
        return newest is run

    def create_run(self, pipeline: str, request: RunRequest) -> Effect:
        """Start a pipeline run; with a run id that is taken, start nothing and answer that run (a guess)."""
        definition = self.pipeline(pipeline)
        taken = self.pipelines.runs.get(request.run_id) if request.run_id else None
        if taken is not None:
            return Effect(taken.run_id, None)
        start = Start(
            definition=definition,
            parameters=request.parameters,
            invoked_by=InvokedBy(self._ids.invoker_id(), "Manual"),
            run_id=request.run_id,
        )
        if request.reference_run_id is not None:
            start = self._referring(start, request)
        try:
            run = self.pipelines.start(start)
        except QueueFullError:
            raise refusals.queue_full() from None
        return Effect(run.run_id, {"pipelineRunId": run.run_id, "groupId": run.group_id})

    def _referring(self, start: Start, request: RunRequest) -> Start:
        reference_id = request.reference_run_id or ""
        if not _is_uuid(reference_id):
            raise refusals.run_id_malformed(reference_id, start.definition.name)
        reference = self.pipeline_run(reference_id)
        if reference is None or reference.name != start.definition.name:
            raise refusals.pipeline_run_missing(reference_id)
        plan, group_id = RunPlan(), None
        if request.is_recovery:
            if not reference.is_final:
                raise refusals.bad_request(f"Pipeline run {reference.run_id} has not completed", None)
            group_id = reference.group_id
            plan = RunPlan(skipped=self._not_recovered(reference, request))
        return Start(
            definition=start.definition,
            parameters=reference.parameters,
            invoked_by=start.invoked_by,
            run_id=start.run_id,
            group_id=group_id,
            plan=plan,
        )

    def _not_recovered(self, reference: PipelineRun, request: RunRequest) -> frozenset[str]:
        """Return the activities a recovery run does not run again."""
        names = frozenset(activity.name for activity in reference.definition.activities)
        if request.start_activity is not None:
            first = reference.definition.activity(request.start_activity)
            if first is None:
                missing = f"Activity '{request.start_activity}' does not exist in pipeline '{reference.name}'"
                raise refusals.bad_request(missing)
            return names - downstream_of(reference.definition, first.name)
        if request.start_from_failure:
            succeeded = {
                activity.name
                for activity in self.activities(reference)
                if activity.current.status == ActivityStatus.SUCCEEDED
            }
            return frozenset(succeeded | reference.plan.skipped)
        return frozenset()

    def cancel_pipeline_run(self, run_id: str, *, recursive: bool) -> Effect:
        """Begin to cancel a pipeline run."""
        run = self.pipeline_run(run_id)
        if run is None:
            raise refusals.pipeline_run_missing(run_id)
        if run.is_final:
            raise refusals.pipeline_run_over(run.current.status)
        touched = self.pipelines.cancel(run, recursive=recursive)
        return Effect(run.run_id, {"cancelling": touched} if touched else None)

    def rerun_trigger_run(self, trigger: str, run_id: str) -> Effect:
        """Rerun the window of a final tumbling window run."""
        place = self.trigger(trigger)
        if place.definition.type != "TumblingWindowTrigger":
            raise refusals.wrong_trigger_type(place.definition.type, place.definition.name)
        run = self._trigger_run(place, run_id)
        if not run.is_final:
            raise refusals.trigger_run_not_final(run.run_id, run.name, run.current.status)
        again = self.triggers.rerun(run)
        changes: dict[str, Any] = {"triggerRunId": again.run_id, "groupId": again.group_id}
        if run.window is not None:
            changes["window"] = {"start": run.window.start.isoformat(), "end": run.window.end.isoformat()}
        return Effect(run.run_id, changes)

    def cancel_trigger_run(self, trigger: str, run_id: str) -> Effect:
        """Begin to cancel a trigger run that waits on dependencies."""
        place = self.trigger(trigger)
        run = self._trigger_run(place, run_id)
        if run.current.status != TriggerStatus.WAITING_ON_DEPENDENCY:
            raise refusals.trigger_run_not_waiting(run.run_id, run.name)
        changes = None if run.canceling else {"cancelling": [run.run_id]}
        self.triggers.cancel(run)
        return Effect(run.run_id, changes)

    def set_started(self, trigger: str, *, started: bool) -> Effect:
        """Start or stop a trigger; one that is started or stopped already stays so."""
        place = self.trigger(trigger)
        name = place.definition.name
        if place.busy_until is not None and self.now < place.busy_until:
            raise refusals.trigger_busy(name)
        if started and any(each.name not in self.definitions for each in place.definition.pipelines):
            raise refusals.pipeline_reference_missing(name)
        place.busy_until = self.now + timedelta(seconds=place.definition.operation_seconds)
        changes = {"started": started} if place.started != started else None
        if started:
            self.triggers.start(name)
        else:
            self.triggers.stop(name)
        return Effect(name, changes)

    def _trigger_run(self, place: TriggerPlace, run_id: str) -> TriggerRun:
        run = self.triggers.runs.get(run_id)
        if run is None or run.name != place.definition.name or not visible(run, self.now - RETENTION):
            raise refusals.trigger_run_missing(run_id, place.definition.name)
        return run


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
