"""The runs of a factory: who they are, and every state they were in; what moves them is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_adfruns.emulator.definitions import Outcome, PipelineDefinition, TriggerDefinition
    from airflow_provider_adfruns.emulator.windows import Grid, Window


class PipelineStatus(StrEnum):
    """The statuses of a pipeline run."""

    QUEUED = "Queued"
    IN_PROGRESS = "InProgress"
    CANCELING = "Canceling"
    CANCELLED = "Cancelled"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class TriggerStatus(StrEnum):
    """The statuses of a trigger run, as recorded; the spec's enum is wrong for tumbling windows."""

    WAITING = "Waiting"
    WAITING_ON_DEPENDENCY = "WaitingOnDependency"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class ActivityStatus(StrEnum):
    """The statuses of an activity run; a skipped activity has no run on the wire."""

    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SKIPPED = "Skipped"


FINAL = frozenset({"Succeeded", "Failed", "Cancelled"})


class State(Protocol):
    """A state of a run."""

    @property
    def at(self) -> datetime:
        """When the run came into this state: its last update, as long as the state lasts."""

    @property
    def status(self) -> str:
        """The run's status in this state."""


S = TypeVar("S", bound=State)


@dataclass(slots=True, eq=False)
class Recorded(Generic[S]):
    """A run with the states it was in, oldest first.

    Factories hold hundreds of thousands of runs, most of them with one state: a tuple is half a list.
    """

    states: tuple[S, ...] = field(default=(), kw_only=True)

    def enter(self, state: S) -> None:
        """Come into the next state."""
        self.states = (*self.states, state)

    @property
    def current(self) -> S:
        """The state it is in."""
        return self.states[-1]

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.states[-1].status in FINAL

    def as_of(self, instant: datetime) -> S | None:
        """Return the state it was in at ``instant``, or None where it did not exist yet."""
        return next((state for state in reversed(self.states) if state.at <= instant), None)

    def was_current(self, index: int, instant: datetime) -> bool:
        """Say whether state number ``index`` was the newest at ``instant``."""
        return index + 1 == len(self.states) or self.states[index + 1].at > instant


@dataclass(frozen=True, slots=True)
class InvokedBy:
    """Who started a pipeline run."""

    id: str
    name: str
    type: str = "Manual"
    pipeline_name: str | None = None
    pipeline_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How a pipeline run goes, where that differs from its definition.

    :param outcome: its end; None: as the activities' scripts say.
    :param failed_activity: where it fails when ``outcome`` is failed; None: at its last activity.
    :param pace: factor on every activity's seconds.
    :param skipped: activities that count as succeeded without running: recovery.
    """

    outcome: Outcome | None = None
    failed_activity: str | None = None
    pace: float = 1.0
    skipped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ActivityState:
    """An activity run at a time."""

    at: datetime
    status: str
    start: datetime
    end: datetime | None = None
    error: str = ""


@dataclass(slots=True, eq=False)
class ActivityRun(Recorded[ActivityState]):
    """One activity's run."""

    run_id: str
    name: str
    type: str
    child_pipeline: str | None = None
    child_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class PipelineState:
    """A pipeline run at a time."""

    at: datetime
    status: str
    start: datetime
    end: datetime | None = None
    message: str = ""


@dataclass(slots=True, eq=False)
class PipelineRun(Recorded[PipelineState]):
    """One run of a pipeline.

    ``activities`` is None for a past run until somebody asks; it is then told from the run's own state.
    """

    run_id: str
    definition: PipelineDefinition
    group_id: str
    parameters: Mapping[str, str]
    invoked_by: InvokedBy
    plan: RunPlan = RunPlan()
    parent: tuple[str, str] | None = None
    trigger_run_id: str | None = None
    children: tuple[str, ...] = ()
    activities: dict[str, ActivityRun] | None = None

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.definition.name

    @property
    def born(self) -> datetime:
        """Its RunStart, which never changes."""
        return self.states[0].start


@dataclass(frozen=True, slots=True)
class TriggerState:
    """A trigger run at a time.

    :param pipelines: each pipeline it started, by name, with the run's id.
    """

    at: datetime
    status: str
    pipelines: tuple[tuple[str, str], ...] = ()
    message: str | None = None


@dataclass(slots=True, eq=False)
class TriggerRun(Recorded[TriggerState]):
    """One run of a trigger.

    :param index: its window's place in the trigger's grid; None for a schedule trigger, whose run has
        ``due`` instead.
    :param grid: the windows ``index`` counts, where the trigger has others since; None: its definition's.
    :param stuck: it waits on dependencies for ever, whatever its upstream windows do.
    :param canceling: a cancellation was accepted and is on its way.
    """

    run_id: str
    definition: TriggerDefinition
    group_id: str
    timestamp: datetime
    index: int | None = None
    grid: Grid | None = None
    due: datetime | None = None
    stuck: bool = False
    canceling: bool = False
    rerun_number: int | None = None
    retries: int = 0

    @property
    def name(self) -> str:
        """The trigger's name."""
        return self.definition.name

    @property
    def born(self) -> datetime:
        """Its TriggerRunTimestamp, which never changes."""
        return self.timestamp

    @property
    def window(self) -> Window | None:
        """Its window, computed when asked for; None for a schedule trigger."""
        return None if self.index is None else (self.grid or self.definition.grid).window(self.index)


@dataclass(slots=True)
class Effect:
    """What a call changed in the factory: the run, trigger or pipeline acted on, and what came of it."""

    subject: str | None = None
    changes: dict[str, Any] | None = None
