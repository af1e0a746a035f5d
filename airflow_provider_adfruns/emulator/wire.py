"""Runs, triggers, pipelines as the service writes them, in both its generations; nothing is decided here."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from airflow_provider_adfruns.emulator.definitions import (
        ActivityDefinition,
        FactoryIdentity,
        PipelineDefinition,
        PipelineReference,
        TriggerDefinition,
        WindowDependency,
    )
    from airflow_provider_adfruns.emulator.places import TriggerPlace
    from airflow_provider_adfruns.emulator.records import (
        ActivityRun,
        ActivityState,
        PipelineRun,
        PipelineState,
        TriggerRun,
        TriggerState,
    )

Generation: TypeAlias = Literal["2021", "2022"]

_LEAST_DIGITS = 5
_HALF_DAY = 12


def encode(answer: Any, generation: Generation) -> bytes:
    """Write JSON as the generation does: indented since 2022, compact before."""
    if generation == "2022":
        return json.dumps(answer, indent=2).encode()
    return json.dumps(answer, separators=(",", ":")).encode()


def timestamp(instant: datetime, salt: str) -> str:
    """Write a time with 5 to 7 fractional digits, trailing zeros trimmed.

    The factory keeps microseconds; the seventh digit, and those a round second lacks, come from ``salt``.
    """
    digit = zlib.crc32(salt.encode()) % 10
    fraction = f"{instant.microsecond:06d}{digit}".rstrip("0")
    if len(fraction) < _LEAST_DIGITS:
        fraction = f"{instant.microsecond:06d}{digit % 9 + 1}"
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{fraction}Z"


def us_time(instant: datetime, generation: Generation) -> str:
    """Write a window's time: ``06/05/2024 06:04:15`` since 2022, ``6/5/2024 6:04:15 AM`` before."""
    if generation == "2022":
        return f"{instant:%m/%d/%Y %H:%M:%S}"
    hour = instant.hour % _HALF_DAY or _HALF_DAY
    half = "AM" if instant.hour < _HALF_DAY else "PM"
    return f"{instant.month}/{instant.day}/{instant.year} {hour}:{instant:%M:%S} {half}"


def time_span(duration: timedelta) -> str:
    """Write a duration as .NET does: ``1.02:00:00``."""
    seconds = abs(int(duration.total_seconds()))
    sign = "-" if duration.total_seconds() < 0 else ""
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{sign}{days}.{clock}" if days else sign + clock


def milliseconds(start: datetime, end: datetime | None) -> int | None:
    """Return the whole milliseconds between two times, None where the second is still to come."""
    return None if end is None else int((end - start).total_seconds() * 1000)


def pipeline_run(
    run: PipelineRun,
    state: PipelineState,
    *,
    factory: FactoryIdentity,
    generation: Generation,
    is_latest: bool,
) -> dict[str, Any]:
    """Write a pipeline run; the ARM part of its id is upper-cased, as in the recordings."""
    invoked_by = {"id": run.invoked_by.id, "name": run.invoked_by.name, "invokedByType": run.invoked_by.type}
    if run.invoked_by.pipeline_run_id is not None:
        invoked_by["pipelineName"] = run.invoked_by.pipeline_name or ""
        invoked_by["pipelineRunId"] = run.invoked_by.pipeline_run_id
    written: dict[str, Any] = {
        "id": f"{factory.resource_id.upper()}/pipelineruns/{run.run_id}",
        "runId": run.run_id,
        "debugRunId": None,
        "runGroupId": run.group_id,
        "pipelineName": run.name,
        "parameters": dict(run.parameters),
        "invokedBy": invoked_by,
        "runStart": timestamp(state.start, run.run_id),
        "runEnd": timestamp(state.end, run.run_id + "end") if state.end else None,
        "durationInMs": milliseconds(state.start, state.end),
        "status": str(state.status),
        "message": state.message,
    }
    if generation == "2022":
        written["pipelineReturnValue"] = {}
    return written | {
        "lastUpdated": timestamp(state.at, run.run_id + "updated"),
        "annotations": [],
        "runDimension": {},
        "isLatest": is_latest,
    }


def activity_run(run: ActivityRun, state: ActivityState, pipeline: PipelineRun) -> dict[str, Any]:
    """Write an activity run; an ExecutePipeline's output names the child it started."""
    output: dict[str, Any] = {}
    if run.child_run_id is not None:
        output = {"pipelineName": run.child_pipeline, "pipelineRunId": run.child_run_id}
    failed = bool(state.error)
    return {
        "activityRunEnd": timestamp(state.end, run.run_id + "end") if state.end else None,
        "activityName": run.name,
        "activityRunStart": timestamp(state.start, run.run_id),
        "activityType": run.type,
        "durationInMs": milliseconds(state.start, state.end),
        "retryAttempt": None,
        "error": {
            "errorCode": "BadRequest" if failed else "",
            "message": state.error,
            "failureType": "UserError" if failed else "",
            "target": run.name,
        },
        "activityRunId": run.run_id,
        "input": {},
        "linkedServiceName": "",
        "output": output,
        "userProperties": {},
        "pipelineName": pipeline.name,
        "pipelineRunId": pipeline.run_id,
        "status": str(state.status),
    }


def trigger_run(run: TriggerRun, state: TriggerState, *, generation: Generation) -> dict[str, Any]:
    """Write a trigger run; no recording shows dependencyStatus of a waiting run, so it stays empty."""
    properties = {"TriggerTime": us_time(run.timestamp, generation)}
    if run.window is not None:
        properties["windowStartTime"] = us_time(run.window.start, generation)
        properties["windowEndTime"] = us_time(run.window.end, generation)
    if run.due is not None:
        properties["ScheduleTime"] = us_time(run.due, generation)
    return {
        "triggerName": run.name,
        "triggerRunId": run.run_id,
        "triggerType": run.definition.type,
        "triggerRunTimestamp": timestamp(run.timestamp, run.run_id),
        "status": str(state.status),
        "message": state.message,
        "properties": properties,
        "triggeredPipelines": dict(state.pipelines),
        "groupId": run.group_id,
        "dependencyStatus": {},
    }


def factory_resource(factory: FactoryIdentity, created: datetime) -> dict[str, Any]:
    """Write the factory itself."""
    return {
        "name": factory.name,
        "id": factory.resource_id,
        "type": "Microsoft.DataFactory/factories",
        "properties": {
            "provisioningState": "Succeeded",
            "createTime": timestamp(created, factory.name),
            "version": "2018-06-01",
        },
        "eTag": _etag(factory.name, ""),
        "location": factory.location,
        "tags": {},
    }


def pipeline_resource(
    pipeline: PipelineDefinition, factory: FactoryIdentity, published: datetime | None = None
) -> dict[str, Any]:
    """Write a pipeline's definition.

    :param published: when it was published, which a GET tells; None: the answer to its publishing does not.
    """
    properties = _pipeline_properties(pipeline) if pipeline.document is None else dict(pipeline.document)
    if published is not None:
        properties["lastPublishTime"] = f"{published:%Y-%m-%dT%H:%M:%SZ}"
    return _resource("pipelines", pipeline.name, properties, factory, str(pipeline.published))


def _pipeline_properties(pipeline: PipelineDefinition) -> dict[str, Any]:
    properties: dict[str, Any] = {"activities": [_activity(activity) for activity in pipeline.activities]}
    if pipeline.parameters:
        properties["parameters"] = {
            name: {"type": "String", "defaultValue": value} for name, value in pipeline.parameters.items()
        }
    if pipeline.concurrency is not None:
        properties["concurrency"] = pipeline.concurrency
    return properties


def _activity(activity: ActivityDefinition) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if activity.child_pipeline is not None:
        reference = {"type": "PipelineReference", "referenceName": activity.child_pipeline}
        properties = {"pipeline": reference, "waitOnCompletion": activity.wait_on_completion}
    depends_on = [
        {"activity": each.activity, "dependencyConditions": list(each.conditions)}
        for each in activity.depends_on
    ]
    return {
        "name": activity.name,
        "type": activity.type,
        "dependsOn": depends_on,
        "userProperties": [],
        "typeProperties": properties,
    }


def trigger_resource(place: TriggerPlace, factory: FactoryIdentity) -> dict[str, Any]:
    """Write a trigger's definition and whether it is started."""
    trigger = place.definition
    state = "Started" if place.started else "Stopped"
    properties = _trigger_properties(trigger) if trigger.document is None else dict(trigger.document)
    properties["runtimeState"] = state
    return _resource("triggers", trigger.name, properties, factory, f"{state} {trigger.grid}")


def _trigger_properties(trigger: TriggerDefinition) -> dict[str, Any]:
    properties: dict[str, Any] = {"type": trigger.type}
    if trigger.description is not None:
        properties["description"] = trigger.description
    grid = trigger.grid
    times: dict[str, Any] = {
        "frequency": grid.frequency,
        "interval": grid.interval,
        "startTime": f"{grid.start:%Y-%m-%dT%H:%M:%SZ}",
    }
    if grid.end is not None:
        times["endTime"] = f"{grid.end:%Y-%m-%dT%H:%M:%SZ}"
    if trigger.type == "ScheduleTrigger":
        properties["pipelines"] = [_reference(each) for each in trigger.pipelines]
        properties["typeProperties"] = {"recurrence": times | {"timeZone": "UTC"}}
    else:
        properties["pipeline"] = _reference(trigger.pipelines[0])
        properties["typeProperties"] = times | {
            "delay": time_span(trigger.delay),
            "maxConcurrency": trigger.max_concurrency,
            "retryPolicy": {
                "count": trigger.retry.count,
                "intervalInSeconds": int(trigger.retry.interval_seconds),
            },
            "dependsOn": [_dependency(trigger.name, each) for each in trigger.depends_on],
        }
    return properties


def _reference(reference: PipelineReference) -> dict[str, Any]:
    written: dict[str, Any] = {
        "pipelineReference": {"type": "PipelineReference", "referenceName": reference.name}
    }
    return written | {"parameters": dict(reference.parameters)} if reference.parameters else written


def _dependency(trigger: str, dependency: WindowDependency) -> dict[str, Any]:
    times = {"offset": time_span(dependency.offset)}
    if dependency.size is not None:
        times["size"] = time_span(dependency.size)
    if dependency.trigger == trigger:
        return {"type": "SelfDependencyTumblingWindowTriggerReference", **times}
    reference = {"type": "TriggerReference", "referenceName": dependency.trigger}
    return {"type": "TumblingWindowTriggerDependencyReference", **times, "referenceTrigger": reference}


def _resource(
    kind: str, name: str, properties: Mapping[str, Any], factory: FactoryIdentity, salt: str
) -> dict[str, Any]:
    return {
        "id": f"{factory.resource_id}/{kind}/{name}",
        "name": name,
        "type": f"Microsoft.DataFactory/factories/{kind}",
        "properties": dict(properties),
        "etag": _etag(kind + name, salt),
    }


def _etag(name: str, salt: str) -> str:
    return f"{zlib.crc32(name.encode()):08x}-0000-0d00-0000-{zlib.crc32((name + salt).encode()):08x}0000"
