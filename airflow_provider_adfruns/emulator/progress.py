"""Which activities of a pipeline run may start, are skipped, or decide its end; nothing is started here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator.records import ActivityStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_adfruns.emulator.definitions import ActivityDefinition, PipelineDefinition

_COMPLETED = (ActivityStatus.SUCCEEDED, ActivityStatus.FAILED)


def ready_activities(
    activities: Sequence[ActivityDefinition], statuses: Mapping[str, str]
) -> tuple[list[ActivityDefinition], list[str]]:
    """Return the activities that may start now, and the names of those that will never run.

    :param statuses: the status of each activity begun, skipped or over.
    """
    known = dict(statuses)
    ready: list[ActivityDefinition] = []
    skipped: list[str] = []
    settled = False
    while not settled:
        settled = True
        for activity in activities:
            if activity.name in known or activity in ready:
                continue
            verdict = _readiness(activity, known)
            if verdict is True:
                ready.append(activity)
            elif verdict is False:
                skipped.append(activity.name)
                known[activity.name] = ActivityStatus.SKIPPED
                settled = False
    return ready, skipped


def _readiness(activity: ActivityDefinition, statuses: Mapping[str, str]) -> bool | None:
    met = True
    for dependency in activity.depends_on:
        status = statuses.get(dependency.activity)
        if status is None or status == ActivityStatus.IN_PROGRESS:
            met = False
        elif not (
            status in dependency.conditions or ("Completed" in dependency.conditions and status in _COMPLETED)
        ):
            return False
    return True if met else None


def failure_of(activities: Sequence[ActivityDefinition], statuses: Mapping[str, str]) -> str | None:
    """Return the activity a pipeline run fails by, or None where it succeeds.

    The service judges a run by its leaves; where a leaf was skipped, by the activities the leaf waited for.
    """
    by_name = {activity.name: activity for activity in activities}
    inner = {dependency.activity for activity in activities for dependency in activity.depends_on}
    judged = [name for name in by_name if name not in inner]
    seen: set[str] = set()
    while judged:
        name = judged.pop(0)
        if name in seen:
            continue
        seen.add(name)
        status = statuses.get(name)
        if status == ActivityStatus.SKIPPED:
            judged.extend(dependency.activity for dependency in by_name[name].depends_on)
        elif status != ActivityStatus.SUCCEEDED:
            return name
    return None


def in_order(pipeline: PipelineDefinition) -> tuple[ActivityDefinition, ...]:
    """Return a pipeline's activities so that each comes after those it depends on."""
    ordered: list[ActivityDefinition] = []
    names: set[str] = set()
    waiting = list(pipeline.activities)
    while waiting:
        free = [each for each in waiting if all(d.activity in names for d in each.depends_on)]
        if not free:
            raise ValueError(f"the activities of pipeline '{pipeline.name}' depend on each other in a circle")
        ordered.extend(free)
        names.update(each.name for each in free)
        waiting = [each for each in waiting if each.name not in names]
    return tuple(ordered)


def downstream_of(pipeline: PipelineDefinition, name: str) -> frozenset[str]:
    """Return the activity ``name`` and every activity that depends on it, directly or not."""
    found = {name}
    for activity in in_order(pipeline):
        if any(dependency.activity in found for dependency in activity.depends_on):
            found.add(activity.name)
    return frozenset(found)


def spans(pipeline: PipelineDefinition, child_seconds: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return when each activity begins and ends, in seconds from the run's start, when nothing goes wrong.

    :param child_seconds: how long the pipelines started by ExecutePipeline activities take, by pipeline name.
    """
    found: dict[str, tuple[float, float]] = {}
    for activity in in_order(pipeline):
        begin = max((found[dependency.activity][1] for dependency in activity.depends_on), default=0.0)
        seconds = activity.seconds
        if activity.child_pipeline and activity.wait_on_completion:
            seconds = child_seconds.get(activity.child_pipeline, seconds)
        found[activity.name] = (begin, begin + seconds)
    return found


def usual_seconds(definitions: Mapping[str, PipelineDefinition]) -> dict[str, float]:
    """Return how long a run of each pipeline takes when nothing goes wrong and nothing queues.

    :raises ValueError: pipelines that start each other in a circle.
    """
    found: dict[str, float] = {}

    def seconds_of(name: str, callers: tuple[str, ...]) -> float:
        if name in callers:
            raise ValueError(f"pipelines start each other in a circle: {' -> '.join((*callers, name))}")
        if name not in found:
            children = {
                each.child_pipeline: seconds_of(each.child_pipeline, (*callers, name))
                for each in definitions[name].activities
                if each.child_pipeline is not None
            }
            found[name] = max(end for _, end in spans(definitions[name], children).values())
        return found[name]

    for name in definitions:
        seconds_of(name, ())
    return found
