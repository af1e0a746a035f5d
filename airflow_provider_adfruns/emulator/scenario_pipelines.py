"""A scenario's pipelines read: their activities, parameters, and how their cancels go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator import progress
from airflow_provider_adfruns.emulator.definitions import (
    ActivityDefinition,
    ActivityDependency,
    OutcomeScript,
    PipelineDefinition,
)
from airflow_provider_adfruns.emulator.parameters import as_text
from airflow_provider_adfruns.emulator.reading import ScenarioError
from airflow_provider_adfruns.emulator.scenario_past import read_cancel, read_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adfruns.emulator.reading import Table, Value

_CONDITIONS = ("Succeeded", "Failed", "Completed", "Skipped")
_MOST_ALIKE = 1000


def read_pipelines(value: Value) -> dict[str, PipelineDefinition]:
    """Read ``pipelines``, and check that they start each other without a circle."""
    places = value.table().rest()
    pipelines = {name: _pipeline(name, each) for name, each in places.items()}
    for pipeline in pipelines.values():
        for activity in pipeline.activities:
            if activity.child_pipeline is not None and activity.child_pipeline not in pipelines:
                places[pipeline.name].fail(
                    f"a pipeline whose children exist: '{activity.name}' starts '{activity.child_pipeline}'"
                )
    try:
        progress.usual_seconds(pipelines)
    except ValueError as error:
        raise ScenarioError(f"{value.source}: {error}") from error
    return pipelines


def read_parameters(value: Value | None) -> dict[str, str]:
    """Read ``parameters``: values by name."""
    return {name: as_text(each.plain()) for name, each in value.table().rest().items()} if value else {}


def _pipeline(name: str, value: Value) -> PipelineDefinition:
    """Read a pipeline; one without ``activities`` is a single activity described in place."""
    table = value.table()
    concurrency, seconds_to_cancel = table.take("concurrency"), table.take("cancel_seconds")
    cancel, parameters = table.take("cancel"), table.take("parameters")
    activities = table.take("activities")
    if activities is not None:
        defined = _activities(activities)
    else:
        seconds, outcome = table.take("seconds"), table.take("outcome")
        script = read_script(outcome) if outcome else OutcomeScript()
        defined = (ActivityDefinition("Work", "Wait", seconds.number() if seconds else 60.0, script),)
    table.done()
    pipeline = PipelineDefinition(
        name=name,
        activities=defined,
        concurrency=concurrency.integer(1) if concurrency else None,
        cancel_seconds=seconds_to_cancel.number() if seconds_to_cancel else 5.0,
        cancel=read_cancel(cancel) if cancel else None,
        parameters=read_parameters(parameters),
        declared=frozenset(read_parameters(parameters)) if parameters else None,
    )
    names = [activity.name for activity in defined]
    for activity in defined:
        for dependency in activity.depends_on:
            if dependency.activity not in names:
                value.fail(
                    f"a pipeline whose activities exist: '{activity.name}' depends on '{dependency.activity}'"
                )
    if len(set(names)) != len(names) or not names:
        value.fail("a pipeline with at least one activity, each of another name")
    try:
        progress.in_order(pipeline)
    except ValueError as error:
        raise ScenarioError(f"{value.source}, line {value.node.start_mark.line + 1}: {error}") from error
    return pipeline


def _activities(value: Value) -> tuple[ActivityDefinition, ...]:
    """Read activities; one with ``count`` is several alike: ``Name 1`` and so on, ``Name`` means them all."""
    defined: list[ActivityDefinition] = []
    alike: dict[str, tuple[str, ...]] = {}
    for each in value.items():
        table = each.table()
        name, count = table.need("name").text(), table.take("count")
        names: tuple[str, ...] = (name,)
        if count is not None:
            names = tuple(f"{name} {number}" for number in range(1, count.integer(1, _MOST_ALIKE) + 1))
            alike[name] = names
        defined += _activity(table, names)
    return tuple(_with_dependencies_on_all(activity, alike) for activity in defined)


def _with_dependencies_on_all(
    activity: ActivityDefinition, alike: Mapping[str, tuple[str, ...]]
) -> ActivityDefinition:
    depends_on = tuple(
        ActivityDependency(name, each.conditions)
        for each in activity.depends_on
        for name in alike.get(each.activity, (each.activity,))
    )
    return replace(activity, depends_on=depends_on)


def _activity(table: Table, names: tuple[str, ...]) -> list[ActivityDefinition]:
    child, kind, seconds = table.take("pipeline"), table.take("type"), table.take("seconds")
    outcome, cancel, wait = (
        table.take("outcome"),
        table.take("cancel_seconds"),
        table.take("waitOnCompletion"),
    )
    depends_on = table.take("dependsOn")
    table.done()
    waits = wait.flag() if wait else True
    usual = 1.0 if child and not waits else 60.0
    return [
        ActivityDefinition(
            name=name,
            type=kind.text() if kind else "ExecutePipeline" if child else "Wait",
            seconds=seconds.number() if seconds else usual,
            outcome=read_script(outcome) if outcome else OutcomeScript(),
            depends_on=tuple(_dependency(each) for each in depends_on.items()) if depends_on else (),
            cancel_seconds=cancel.number() if cancel else None,
            child_pipeline=child.text() if child else None,
            wait_on_completion=waits,
        )
        for name in names
    ]


def _dependency(value: Value) -> ActivityDependency:
    if not value.is_table:
        return ActivityDependency(value.text())
    table = value.table()
    name, conditions = table.need("activity").text(), table.take("dependencyConditions")
    table.done()
    words = tuple(each.choice(*_CONDITIONS) for each in conditions.items()) if conditions else ("Succeeded",)
    return ActivityDependency(name, words)
