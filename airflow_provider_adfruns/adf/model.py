"""Runs, windows, triggers and their statuses; the wire is parsed here, once, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

TUMBLING_WINDOW = "TumblingWindowTrigger"
EXECUTE_PIPELINE = "ExecutePipeline"


class _Status(StrEnum):
    """A status that keeps strings it does not know, since the service knows more than its spec."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        for member in cls:
            if member.value.lower() == value.lower():
                return member
        unknown = str.__new__(cls, value)
        unknown._name_ = unknown._value_ = value
        return unknown


class PipelineRunStatus(_Status):
    """Statuses of a pipeline run; unknown strings count as not final."""

    QUEUED = "Queued"
    IN_PROGRESS = "InProgress"
    CANCELING = "Canceling"
    CANCELLED = "Cancelled"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def is_final(self) -> bool:
        """Whether the run will not change any more."""
        return self in {self.SUCCEEDED, self.FAILED, self.CANCELLED}


class TriggerRunStatus(_Status):
    """Statuses of a trigger run, as recorded; the published enum lacks most. Unknown ones are not final."""

    WAITING = "Waiting"
    WAITING_ON_DEPENDENCY = "WaitingOnDependency"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the run will not change any more; only final runs can be rerun."""
        return self in {self.SUCCEEDED, self.FAILED, self.CANCELLED}


class ActivityRunStatus(_Status):
    """Statuses of an activity run."""

    QUEUED = "Queued"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The slice of time that one run of a tumbling window trigger stands for: start included, end not."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M:%S} to {self.end:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class InvokedBy:
    """Who started a pipeline run; for a child, the run that did."""

    id: str
    name: str
    type: str
    pipeline_name: str | None
    pipeline_run_id: str | None


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A pipeline run as the service reported it; ``run_end`` is None until it is final."""

    run_id: str
    run_group_id: str | None
    pipeline_name: str
    status: PipelineRunStatus
    parameters: Mapping[str, str]
    invoked_by: InvokedBy | None
    run_start: datetime | None
    run_end: datetime | None
    last_updated: datetime | None
    message: str
    is_latest: bool

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Parse one member of a query's ``value``, or the answer of a GET."""
        by = wire.get("invokedBy")
        return cls(
            run_id=wire["runId"],
            run_group_id=wire.get("runGroupId"),
            pipeline_name=wire["pipelineName"],
            status=PipelineRunStatus(wire["status"]),
            parameters=wire.get("parameters") or {},
            invoked_by=(
                None
                if not by
                else InvokedBy(
                    id=by.get("id") or "",
                    name=by.get("name") or "",
                    type=by.get("invokedByType") or "",
                    pipeline_name=by.get("pipelineName"),
                    pipeline_run_id=by.get("pipelineRunId"),
                )
            ),
            run_start=parse_time(wire.get("runStart")),
            run_end=parse_time(wire.get("runEnd")),
            last_updated=parse_time(wire.get("lastUpdated")),
            message=wire.get("message") or "",
            is_latest=bool(wire.get("isLatest", True)),
        )


@dataclass(frozen=True, slots=True)
class TriggerRun:
    """A trigger run as the service reported it.

    ``window`` is None for other triggers than tumbling window triggers; ``group_id`` is the id of the
    window's first run, which all its reruns share; ``triggered_pipelines`` maps pipeline names to run ids and
    is empty while the run waits.
    """

    trigger_run_id: str
    trigger_name: str
    trigger_type: str
    timestamp: datetime
    status: TriggerRunStatus
    message: str
    window: Window | None
    group_id: str | None
    triggered_pipelines: Mapping[str, str]

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Parse one member of a query's ``value``."""
        properties = wire.get("properties") or {}
        start = parse_time(properties.get("windowStartTime"))
        end = parse_time(properties.get("windowEndTime"))
        timestamp = parse_time(wire["triggerRunTimestamp"])
        if timestamp is None:
            raise ValueError("triggerRunTimestamp is empty")
        return cls(
            trigger_run_id=wire["triggerRunId"],
            trigger_name=wire["triggerName"],
            trigger_type=wire["triggerType"],
            timestamp=timestamp,
            status=TriggerRunStatus(wire["status"]),
            message=wire.get("message") or "",
            window=Window(start, end) if start and end else None,
            group_id=wire.get("groupId"),
            triggered_pipelines=wire.get("triggeredPipelines") or {},
        )


@dataclass(frozen=True, slots=True)
class ActivityRun:
    """An activity run; ``child_run_id`` is the pipeline run that an ExecutePipeline activity started."""

    activity_run_id: str
    activity_name: str
    activity_type: str
    pipeline_run_id: str
    status: ActivityRunStatus
    start: datetime | None
    end: datetime | None
    child_run_id: str | None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Parse one member of a query's ``value``."""
        output = wire.get("output")
        is_execute_pipeline = wire["activityType"] == EXECUTE_PIPELINE
        return cls(
            activity_run_id=wire["activityRunId"],
            activity_name=wire["activityName"],
            activity_type=wire["activityType"],
            pipeline_run_id=wire["pipelineRunId"],
            status=ActivityRunStatus(wire["status"]),
            start=parse_time(wire.get("activityRunStart")),
            end=parse_time(wire.get("activityRunEnd")),
            child_run_id=(
                output.get("pipelineRunId") if is_execute_pipeline and isinstance(output, Mapping) else None
            ),
        )


@dataclass(frozen=True, slots=True)
class Dependency:
    """What each window of a tumbling window trigger waits for before it runs.

    :param trigger_name: the trigger that is waited for; None for the window's own.
    :param offset: added to the window's start.
    :param size: how much time is needed from there; None for as much as the window itself is long (spec).
    """

    trigger_name: str | None
    offset: timedelta
    size: timedelta | None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Parse one member of ``dependsOn``.

        :raises ValueError: for a kind of dependency that the spec does not know.
        """
        kind = wire.get("type")
        if kind == "SelfDependencyTumblingWindowTriggerReference":
            name = None
        elif kind == "TumblingWindowTriggerDependencyReference":
            name = wire["referenceTrigger"]["referenceName"]
        else:
            raise ValueError(f"a dependency of type {kind!r}")
        offset, size = wire.get("offset") or "00:00:00", wire.get("size")
        return cls(name, parse_timespan(offset), parse_timespan(size) if size else None)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger's published definition; ``runtime_state`` is Started, Stopped or Disabled."""

    name: str
    type: str
    runtime_state: str
    definition: Mapping[str, Any]

    @property
    def is_tumbling_window(self) -> bool:
        """Whether its runs have windows and can be rerun."""
        return self.type == TUMBLING_WINDOW

    @property
    def max_concurrency(self) -> int | None:
        """How many windows a tumbling window trigger runs at a time; None if its definition does not say."""
        allowed = self._type_properties.get("maxConcurrency")
        return allowed if isinstance(allowed, int) else None

    @property
    def depends_on(self) -> tuple[Dependency, ...]:
        """What its windows wait for. :raises ValueError: for what cannot be read."""
        return tuple(Dependency.from_wire(each) for each in self._type_properties.get("dependsOn") or ())

    @property
    def lifetime(self) -> tuple[datetime | None, datetime | None]:
        """When its first window begins, and when its last one ends, None for not at all."""
        said = self._type_properties
        return parse_time(said.get("startTime")), parse_time(said.get("endTime"))

    @property
    def _type_properties(self) -> Mapping[str, Any]:
        return self.definition.get("typeProperties") or {}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Parse the answer of a GET, or one member of a list."""
        properties = wire["properties"]
        return cls(wire["name"], properties["type"], properties.get("runtimeState") or "", properties)


_TIMESPAN = re.compile(r"(-?)(?:(\d+)\.)?(\d\d):(\d\d):(\d\d)")


def parse_timespan(text: str) -> timedelta:
    """Parse a length of time of the wire: days, hours, minutes and seconds, ``-1.02:03:04`` (spec).

    :raises ValueError: for any other form.
    """
    match = _TIMESPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time span")
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups()[1:])
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -length if match[1] else length


_US_TIME = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2}):(\d{2})(?: ([AP])M)?")


def parse_time(text: str | None) -> datetime | None:
    """Parse a time of the wire, always UTC.

    Most end in Z with 5 to 7 fractional digits; the window times of trigger runs are month/day/year, with AM
    and PM until 2021 and 24 hours since 2022 (recorded).

    :param text: the time, or None or "" for none.
    :raises ValueError: for any other form.
    """
    if not text:
        return None
    if match := _US_TIME.fullmatch(text):
        month, day, year, hour, minute, second = (int(group) for group in match.groups()[:6])
        if match[7]:
            hour = hour % 12 + (12 if match[7] == "P" else 0)
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    parsed = datetime.fromisoformat(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
