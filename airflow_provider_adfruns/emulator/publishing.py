"""Pipelines and triggers as the API publishes them: JSON documents read, or refused; no scenarios here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast, get_args

from airflow_provider_adfruns.emulator import refusals
from airflow_provider_adfruns.emulator.definitions import (
    ActivityDefinition,
    ActivityDependency,
    PipelineDefinition,
    PipelineReference,
    RetryPolicy,
    TriggerDefinition,
    TriggerType,
    WindowDependency,
)
from airflow_provider_adfruns.emulator.parameters import as_text
from airflow_provider_adfruns.emulator.progress import in_order
from airflow_provider_adfruns.emulator.query import parse_time
from airflow_provider_adfruns.emulator.reading import parse_duration
from airflow_provider_adfruns.emulator.refusals import bad_request
from airflow_provider_adfruns.emulator.windows import Frequency, Grid

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator.engine import Factory
    from airflow_provider_adfruns.emulator.places import TriggerPlace

USUAL_SECONDS = 60.0
MOST_DEPENDENCIES = 5
_TRAILING_ZEROS = re.compile(r"(\.\d*?)0+Z$")
_TUMBLING: tuple[Frequency, ...] = ("Minute", "Hour", "Month")


class Publisher:
    """Publishes pipelines and triggers to a factory, and deletes them.

    A trigger published anew is stopped, and begins with its startTime's window.
    """

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    def put_pipeline(self, name: str, body: Any) -> PipelineDefinition:
        """Publish a pipeline; runs that are under way keep the definition they began with."""
        definition = read_pipeline(_known(self._factory.definitions, name), body, self._factory.now)
        for activity in definition.activities:
            if (
                activity.child_pipeline is not None
                and activity.child_pipeline not in self._factory.definitions
            ):
                raise _invalid_reference(activity.child_pipeline)
        try:
            self._factory.pipelines.define(definition)
        except ValueError as error:
            raise bad_request(str(error), name) from None
        self._factory.definitions[definition.name] = definition
        return definition

    def delete_pipeline(self, name: str) -> bool:
        """Delete a pipeline that no trigger and no pipeline refers to; say whether there was one."""
        known = _known(self._factory.definitions, name)
        if known not in self._factory.definitions:
            return False
        for place in self.triggers():
            if any(each.name == known for each in place.definition.pipelines):
                raise _still_referenced(place.definition.name)
        for pipeline in self._factory.definitions.values():
            if any(each.child_pipeline == known for each in pipeline.activities):
                raise _still_referenced(pipeline.name)
        del self._factory.definitions[known]
        return True

    def put_trigger(self, name: str, body: Any) -> TriggerPlace:
        """Publish a trigger, which must not be started."""
        places = {place.definition.name: place for place in self.triggers()}
        name = _known(self._factory.triggers.places, name)
        old = places.get(name)
        definition = read_trigger(name, body)
        if old is not None:
            self._refuse_change(old, definition)
        for dependency in definition.depends_on:
            upstream = places.get(dependency.trigger)
            own = dependency.trigger == name
            if not own and (upstream is None or upstream.definition.type != "TumblingWindowTrigger"):
                raise _invalid_reference(dependency.trigger)
        self._factory.triggers.define(definition)
        return self._factory.triggers.places[name]

    def delete_trigger(self, name: str) -> bool:
        """Delete a stopped trigger on which no other depends; runs it has made go on."""
        places = {place.definition.name: place for place in self.triggers()}
        place = places.get(_known(self._factory.triggers.places, name))
        if place is None:
            return False
        name = place.definition.name
        if place.started:
            raise refusals.trigger_started(name)
        for other in places.values():
            if other is not place and any(each.trigger == name for each in other.definition.depends_on):
                raise _still_referenced(other.definition.name)
        place.deleted = True
        return True

    def triggers(self) -> list[TriggerPlace]:
        """Return where each trigger stands that has not been deleted."""
        return [place for place in self._factory.triggers.places.values() if not place.deleted]

    @staticmethod
    def _refuse_change(old: TriggerPlace, new: TriggerDefinition) -> None:
        if old.started:
            raise refusals.trigger_started(new.name)
        both_tumble = {old.definition.type, new.type} == {"TumblingWindowTrigger"}
        if both_tumble and old.definition.grid.start != new.grid.start:
            raise refusals.start_time_fixed(new.name)


def read_pipeline(name: str, body: Any, published: datetime) -> PipelineDefinition:
    """Read a pipeline's document; activities take the seconds a Wait waits, any other type a minute."""
    properties = _properties(body)
    declared = _table(properties.get("parameters") or {}, "parameters")
    activities = tuple(_activity(each) for each in _list(properties.get("activities"), "activities"))
    defaults = {
        parameter: as_text(said["defaultValue"])
        for parameter, said in declared.items()
        if isinstance(said, Mapping) and "defaultValue" in said
    }
    concurrency = properties.get("concurrency")
    definition = PipelineDefinition(
        name=name,
        activities=activities,
        concurrency=None if concurrency is None else _whole(concurrency, "concurrency"),
        parameters=defaults,
        declared=frozenset(declared),
        document=properties,
        published=published,
    )
    names = {activity.name for activity in activities}
    needed = {each.activity for activity in activities for each in activity.depends_on}
    if not names or len(names) < len(activities) or needed - names:
        raise bad_request(
            "A pipeline needs activities, each of its own name, that depend on each other.", name
        )
    try:
        in_order(definition)
    except ValueError as error:
        raise bad_request(str(error), name) from None
    return definition


def _activity(value: Any) -> ActivityDefinition:
    said = _table(value, "activities")
    properties = _table(said.get("typeProperties") or {}, "typeProperties")
    kind = _text(said, "type")
    seconds = properties.get("waitTimeInSeconds") if kind == "Wait" else None
    child = None
    if kind == "ExecutePipeline":
        child = _text(_table(properties.get("pipeline"), "pipeline"), "referenceName")
    depends_on = [_table(each, "dependsOn") for each in _list(said.get("dependsOn"), "dependsOn")]
    return ActivityDefinition(
        name=_text(said, "name"),
        type=kind,
        seconds=float(seconds) if isinstance(seconds, int | float) else USUAL_SECONDS,
        depends_on=tuple(
            ActivityDependency(
                _text(each, "activity"),
                tuple(map(str, _list(each.get("dependencyConditions"), "dependencyConditions"))),
            )
            for each in depends_on
        ),
        child_pipeline=child,
        wait_on_completion=bool(properties.get("waitOnCompletion", False)),
    )


def read_trigger(name: str, body: Any) -> TriggerDefinition:
    """Read a trigger's document: a tumbling window trigger, or a schedule without exceptions in UTC."""
    properties = _properties(body)
    kind = _text(properties, "type")
    said = _table(properties.get("typeProperties"), "typeProperties")
    if kind not in get_args(TriggerType):
        raise refusals.not_simulated(f"a trigger of type {kind}")
    tumbles = kind == "TumblingWindowTrigger"
    times = said if tumbles else _table(said.get("recurrence"), "recurrence")
    if times.get("schedule") or times.get("timeZone", "UTC") != "UTC":
        raise refusals.not_simulated("a recurrence with a schedule or in another time zone than UTC")
    written = {key: _trimmed(value) for key, value in times.items()}
    retry = _table(said.get("retryPolicy") or {}, "retryPolicy")
    pipelines = [properties.get("pipeline")] if tumbles else _list(properties.get("pipelines"), "pipelines")
    dependencies = _list(said.get("dependsOn"), "dependsOn") if tumbles else []
    if len(dependencies) > MOST_DEPENDENCIES:
        raise bad_request(f"A trigger can depend on at most {MOST_DEPENDENCIES} triggers.", name)
    return TriggerDefinition(
        name=name,
        type=cast("TriggerType", kind),
        grid=_grid(times, tumbles=tumbles),
        pipelines=tuple(_reference(each) for each in pipelines),
        delay=_duration(said, "delay") or timedelta(0),
        max_concurrency=_whole(said.get("maxConcurrency", 50), "maxConcurrency", 50),
        retry=RetryPolicy(
            _whole(retry.get("count") or 0, "count", least=0), float(retry.get("intervalInSeconds") or 30)
        ),
        depends_on=tuple(_dependency(name, each) for each in dependencies),
        started=False,
        backfill=True,
        document=properties | {"typeProperties": written if tumbles else {**said, "recurrence": written}},
    )


def _grid(times: Mapping[str, Any], *, tumbles: bool) -> Grid:
    frequency = _text(times, "frequency")
    if frequency not in (_TUMBLING if tumbles else get_args(Frequency)):
        raise bad_request(f"Invalid value '{frequency}' for property 'frequency'.")
    start, end = parse_time(times.get("startTime")), parse_time(times.get("endTime"))
    if start is None or (end is None and times.get("endTime") is not None):
        raise bad_request("'startTime' and 'endTime' must be times in ISO 8601.")
    return Grid(cast("Frequency", frequency), _whole(times.get("interval"), "interval"), start, end)


def _reference(value: Any) -> PipelineReference:
    said = _table(value, "pipelineReference")
    name = _text(_table(said.get("pipelineReference"), "pipelineReference"), "referenceName")
    given = _table(said.get("parameters") or {}, "parameters")
    return PipelineReference(name, {key: as_text(each) for key, each in given.items()})


def _dependency(name: str, value: Any) -> WindowDependency:
    said = _table(value, "dependsOn")
    offset, size = _duration(said, "offset") or timedelta(0), _duration(said, "size")
    if said.get("type") != "SelfDependencyTumblingWindowTriggerReference":
        upstream = _text(_table(said.get("referenceTrigger"), "referenceTrigger"), "referenceName")
        return WindowDependency(upstream, offset, size)
    if offset >= timedelta(0):
        raise bad_request("The offset of a dependency on the trigger itself must be negative.", name)
    return WindowDependency(name, offset, size)


def _properties(body: Any) -> dict[str, Any]:
    return dict(_table(_table(body, "body").get("properties"), "properties"))


def _known(names: Mapping[str, Any], name: str) -> str:
    """Return a name as it is known, for names know no case."""
    return next((known for known in names if known.casefold() == name.casefold()), name)


def _table(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise bad_request(f"Property '{key}' must be an object.")
    return dict(value)


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list | None):
        raise bad_request(f"Property '{key}' must be a list.")
    return value or []


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise bad_request(f"Missing required property '{key}'.")
    return value


def _whole(value: Any, key: str, most: int | None = None, least: int = 1) -> int:
    if not isinstance(value, int) or value < least or (most is not None and value > most):
        raise bad_request(f"Invalid value '{value}' for property '{key}'.")
    return value


def _duration(table: Mapping[str, Any], key: str) -> timedelta | None:
    value = table.get(key)
    found = parse_duration(value) if isinstance(value, str) else None
    if found is None and value is not None:
        raise bad_request(f"Invalid value '{value}' for property '{key}'.")
    return found


def _trimmed(value: Any) -> Any:
    """Return a time as the service writes it back: without the trailing zeros of its fraction."""
    return _TRAILING_ZEROS.sub(r"\1Z", value).replace(".Z", "Z") if isinstance(value, str) else value


def _invalid_reference(name: str) -> refusals.Refusal:
    """Return the refusal of a document that refers to what is not there; its wording is a guess."""
    return bad_request(f"The document creation or update failed because of invalid reference '{name}'.")


def _still_referenced(by: str) -> refusals.Refusal:
    """Return the refusal to delete what another document refers to; its wording is a guess."""
    return bad_request(f"The document cannot be deleted since it is referenced by {by}.")
