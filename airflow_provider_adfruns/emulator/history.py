"""A scenario's past made into runs: finished ones told after the fact, the others handed to the engine."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator import progress
from airflow_provider_adfruns.emulator.definitions import Outcome
from airflow_provider_adfruns.emulator.ids import IdSource, activity_run_id
from airflow_provider_adfruns.emulator.parameters import trigger_parameters
from airflow_provider_adfruns.emulator.pipelines import PipelineRunner, Start, failing_activity
from airflow_provider_adfruns.emulator.records import (
    FINAL,
    ActivityRun,
    ActivityState,
    ActivityStatus,
    InvokedBy,
    PipelineRun,
    PipelineState,
    PipelineStatus,
    RunPlan,
    TriggerRun,
    TriggerState,
    TriggerStatus,
)

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator.definitions import (
        PastRun,
        PastWindowRun,
        Scenario,
        TriggerDefinition,
        WindowPast,
    )
    from airflow_provider_adfruns.emulator.places import TriggerPlace
    from airflow_provider_adfruns.emulator.triggers import TriggerRunner

RERUN_PAUSE = timedelta(minutes=10)
_TOOK_HALF = 0.5
_OUTCOMES = {PipelineStatus.SUCCEEDED.value: Outcome.SUCCEEDED, PipelineStatus.FAILED.value: Outcome.FAILED}


class History:
    """Fills a factory's runs from a scenario, once, before its clock moves."""

    def __init__(
        self, scenario: Scenario, pipelines: PipelineRunner, triggers: TriggerRunner, ids: IdSource
    ) -> None:
        self._now = scenario.now
        # What is past can be queried from the start, even where a window has ended only now.
        self._seen = scenario.now - timedelta(seconds=scenario.query_lag_seconds, milliseconds=1)
        self._scenario = scenario
        self._pipelines = pipelines
        self._triggers = triggers
        self._ids = ids
        # Past runs go in one of three ways, and share them.
        self._plans = {outcome: RunPlan(outcome=outcome) for outcome in (None, *Outcome)}

    def load(self) -> None:
        """Make every run the scenario tells of."""
        for windows in self._scenario.windows:
            place = self._triggers.places[windows.trigger]
            for index, past in zip(windows.indices, windows.pasts, strict=True):
                self._load_window(place, index, past)
        named: dict[str, str] = {}
        for past_run in sorted(self._scenario.runs, key=lambda run: run.status == PipelineStatus.QUEUED):
            self._load_run(past_run, named)
        for place in self._triggers.places.values():
            for index, runs in place.by_window.items():
                if len(runs) > 1:
                    place.by_window[index] = tuple(sorted(runs, key=lambda run: run.timestamp))
            if place.definition.backfill and place.by_window:
                place.cursor = place.first = max(place.by_window) + 1
        self._pipelines.runs.sort()
        self._triggers.runs.sort()

    def _load_run(self, past: PastRun, named: dict[str, str]) -> None:
        run_id = past.run_id or self._ids.run_id()
        named[run_id] = named.get(past.group_of or "", past.group_of or run_id)
        if past.cancel is not None:
            self._pipelines.cancels.script(run_id, past.cancel)
        start = Start(
            definition=self._pipelines.definition(past.pipeline),
            parameters=past.parameters,
            invoked_by=InvokedBy(self._ids.invoker_id(), "Manual"),
            run_id=run_id,
            group_id=named[run_id],
            plan=RunPlan(failed_activity=past.failed_activity),
            at=past.started,
            queue=past.status == PipelineStatus.QUEUED,
            remaining_seconds=past.remaining_seconds,
        )
        if past.status in FINAL:
            usual = timedelta(seconds=self._pipelines.usual_seconds(past.pipeline))
            self._finished(start, past.status, past.ended or min(past.started + usual, self._now))
            return
        run = self._pipelines.start(start)
        if past.status == PipelineStatus.CANCELING:
            self._pipelines.cancel(run, recursive=False)

    def _load_window(self, place: TriggerPlace, index: int, past: WindowPast) -> None:
        if past.rerun_outcome is not None or past.rerun_seconds is not None:
            place.rerun_scripts[index] = past
        usual_at = (
            place.definition.grid.instant(index + 1)
            + place.definition.delay
            + timedelta(seconds=self._ids.jitter_seconds(0.3, 2.0))
        )
        group_id: str | None = None
        for past_run in past.runs:
            at = past_run.at or min(usual_at, self._seen)
            run = self._trigger_run(place.definition, past_run, index, at, group_id)
            group_id = run.group_id
            usual_at = self._pause_after(run)

    def _pause_after(self, run: TriggerRun) -> datetime:
        """Return when the next rerun of a window was asked for: some minutes later, but in the past."""
        ended = run.current.at
        pause = RERUN_PAUSE + timedelta(seconds=self._ids.jitter_seconds(0, 60))
        return ended + pause if ended + pause < self._seen else ended + (self._seen - ended) / 2

    def _trigger_run(
        self,
        definition: TriggerDefinition,
        past_run: PastWindowRun,
        index: int,
        at: datetime,
        group_id: str | None,
    ) -> TriggerRun:
        run_id = past_run.run_id or self._ids.trigger_run_id(at)
        run = TriggerRun(
            run_id=run_id,
            definition=definition,
            group_id=group_id or run_id,
            timestamp=at,
            index=index,
            stuck=past_run.stuck,
        )
        waits = past_run.status in {TriggerStatus.WAITING, TriggerStatus.WAITING_ON_DEPENDENCY}
        if waits:
            run.enter(TriggerState(at, past_run.status))
            self._triggers.remember(run)
            self._triggers.adopt(run)
            return run
        pipeline_run_id = past_run.pipeline_run_id or self._ids.run_id()
        reference = definition.pipelines[0]
        pipeline = self._pipelines.definition(reference.name)
        start = Start(
            definition=pipeline,
            parameters=trigger_parameters(pipeline.parameters, reference.parameters, run),
            invoked_by=InvokedBy(run_id, definition.name, definition.type),
            run_id=pipeline_run_id,
            trigger_run_id=run_id,
            at=min(at + timedelta(seconds=self._ids.jitter_seconds(0.1, 0.5)), self._seen),
            plan=self._plans[definition.outcome],
        )
        pipelines = ((reference.name, pipeline_run_id),)
        if past_run.status in FINAL:
            ended = self._finished(start, past_run.status, None)
            over = max(ended, min(ended + timedelta(seconds=self._ids.jitter_seconds(0.05, 0.5)), self._seen))
            run.enter(TriggerState(over, past_run.status, pipelines))
            self._triggers.remember(run)
        else:
            run.enter(TriggerState(at, TriggerStatus.RUNNING, pipelines))
            self._triggers.remember(run)
            self._triggers.adopt(run)
            self._pipelines.start(start)
        return run

    def _finished(self, start: Start, status: str, ended: datetime | None) -> datetime:
        """Make a finished pipeline run, with the children its activities started; return when it ended."""
        definition = start.definition
        began = start.at or self._now
        if ended is None:
            usual = timedelta(seconds=self._pipelines.usual_seconds(definition.name))
            part = _TOOK_HALF if status == PipelineStatus.CANCELLED else 1.0
            ended = max(began, min(began + usual * part, self._seen))
        plan = self._plans[_OUTCOMES.get(status)]
        if start.plan.failed_activity is not None:
            plan = replace(plan, failed_activity=start.plan.failed_activity)
        run_id = start.run_id or self._ids.run_id()
        run = PipelineRun(
            run_id=run_id,
            definition=definition,
            group_id=start.group_id or run_id,
            parameters=definition.run_parameters(start.parameters),
            invoked_by=start.invoked_by,
            plan=plan,
            parent=start.parent,
            trigger_run_id=start.trigger_run_id,
        )
        message = ""
        failing = failing_activity(run)
        if failing is not None:
            message = sys.intern(f"Operation on target {failing} failed: {_failure(failing)}")
        run.enter(PipelineState(at=ended, status=status, start=began, end=ended, message=message))
        self._pipelines.runs.add(run)
        if any(activity.child_pipeline for activity in definition.activities):
            self._past_children(run)
        return ended

    def _past_children(self, run: PipelineRun) -> None:
        run.activities = past_activities(run, self._pipelines)
        for activity in run.activities.values():
            state = activity.current
            if activity.child_pipeline is None:
                continue
            activity.child_run_id = self._ids.run_id()
            run.children += (activity.child_run_id,)
            child = Start(
                definition=self._pipelines.definition(activity.child_pipeline),
                parameters={},
                invoked_by=InvokedBy(
                    activity.run_id, activity.name, "PipelineActivity", run.name, run.run_id
                ),
                run_id=activity.child_run_id,
                parent=(run.run_id, activity.name),
                at=state.start,
            )
            self._finished(child, state.status, state.end)


def past_activities(run: PipelineRun, pipelines: PipelineRunner) -> dict[str, ActivityRun]:
    """Tell the activity runs of a finished run from its start, its end and its status.

    The activities keep their proportions and fill the run's whole time; a failed run ends with the activity
    it failed at, a cancelled run with the one that was in progress.
    """
    definition = run.definition
    usual = {each.child_pipeline or "": 0.0 for each in definition.activities}
    children = {name: pipelines.usual_seconds(name) for name in usual if name}
    spans = progress.spans(definition, children)
    state = run.current
    took = ((state.end or state.at) - state.start).total_seconds()
    failing = failing_activity(run)
    length = max(end for _, end in spans.values())
    if failing is not None:
        length = spans[failing][1]
    elif state.status == PipelineStatus.CANCELLED:
        length *= _TOOK_HALF
    scale = took / length if length else 0.0
    activities: dict[str, ActivityRun] = {}
    for activity in progress.in_order(definition):
        begin, end = spans[activity.name]
        if begin > length or (begin == length and begin != end):
            continue
        began = state.start + timedelta(seconds=begin * scale)
        over = state.start + timedelta(seconds=min(end, length) * scale)
        status = ActivityStatus.SUCCEEDED
        if activity.name == failing:
            status = ActivityStatus.FAILED
        elif end > length:
            status = ActivityStatus.CANCELLED if failing is None else ActivityStatus.SUCCEEDED
        error = _failure(activity.name) if status == ActivityStatus.FAILED else ""
        activities[activity.name] = ActivityRun(
            run_id=activity_run_id(run.run_id, activity.name),
            name=activity.name,
            type=activity.type,
            child_pipeline=activity.child_pipeline,
            states=(ActivityState(over, status, began, over, error),),
        )
    return activities


def _failure(activity: str) -> str:
    return f"'{activity}' fails as the scenario says"
