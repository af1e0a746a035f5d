"""A factory's present in JSON, for people and pages: triggers with windows, runs, counts; no history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_adfruns.emulator.engine import Factory
    from airflow_provider_adfruns.emulator.places import TriggerPlace
    from airflow_provider_adfruns.emulator.records import PipelineRun, TriggerRun

NEWEST = 200


def factory_state(factory: Factory, *, windows: int = NEWEST, runs: int = NEWEST) -> dict[str, Any]:
    """Write a factory as it is now, without query lag or retention.

    :param windows: how many windows of each trigger, and runs of each schedule trigger, the newest.
    :param runs: how many pipeline runs, the newest.
    """
    identity = factory.scenario.factory
    return {
        "now": _written(factory.now),
        "factory": {
            "name": identity.name,
            "resourceGroup": identity.resource_group,
            "subscriptionId": identity.subscription_id,
        },
        "counts": {
            "triggerRuns": factory.triggers.runs.counts(),
            "pipelineRuns": factory.pipelines.runs.counts(),
        },
        "triggers": [
            _trigger(place, factory, windows)
            | {"counts": factory.triggers.runs.counts(place.definition.name)}
            for place in factory.triggers.places.values()
            if not place.deleted
        ],
        "pipelineRuns": [
            _pipeline_run(run) | {"stuck": factory.pipelines.cancels.is_stuck(run)}
            for run in factory.pipelines.runs.newest(runs)
        ],
    }


def _trigger(place: TriggerPlace, factory: Factory, most: int) -> dict[str, Any]:
    definition = place.definition
    written: dict[str, Any] = {
        "name": definition.name,
        "type": definition.type,
        "started": place.started,
        "pipelines": [each.name for each in definition.pipelines],
        "dependsOn": sorted({each.trigger for each in definition.depends_on}),
    }
    if definition.type == "TumblingWindowTrigger":
        indexes = sorted(place.by_window)[-most:] if most else []
        return written | {"windows": [_window(place.by_window[index]) for index in indexes]}
    newest = factory.triggers.runs.newest(most, definition.name)
    return written | {"runs": [_trigger_run(run) for run in newest]}


def _window(runs: Sequence[TriggerRun]) -> dict[str, Any]:
    """Write a window, whose status is that of its latest run."""
    window = runs[-1].window
    return {
        "start": _written(window.start) if window else None,
        "end": _written(window.end) if window else None,
        "status": str(runs[-1].current.status),
        "runs": [_trigger_run(run) for run in runs],
    }


def _trigger_run(run: TriggerRun) -> dict[str, Any]:
    state = run.current
    return {
        "triggerRunId": run.run_id,
        "status": str(state.status),
        "timestamp": _written(run.timestamp),
        "pipelineRuns": list(dict(state.pipelines).values()),
        "stuck": run.stuck,
    }


def _pipeline_run(run: PipelineRun) -> dict[str, Any]:
    state = run.current
    return {
        "runId": run.run_id,
        "pipelineName": run.name,
        "status": str(state.status),
        "start": _written(state.start),
        "end": _written(state.end) if state.end else None,
        "groupId": run.group_id,
        "parentRunId": run.invoked_by.pipeline_run_id,
        "triggerRunId": run.trigger_run_id,
    }


def _written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
