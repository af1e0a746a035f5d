"""What a scenario makes a factory of: pipelines, triggers, principals, a past; runs are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from airflow_provider_adfruns.emulator.parameters import merged
from airflow_provider_adfruns.emulator.throttling import Throttling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from airflow_provider_adfruns.emulator.faults import Fault
    from airflow_provider_adfruns.emulator.windows import Grid


class Outcome(StrEnum):
    """How an activity, or a whole run, is scripted to end."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OutcomeScript:
    """Outcomes consumed run by run; the last one stays."""

    outcomes: tuple[Outcome, ...] = (Outcome.SUCCEEDED,)

    def at(self, number: int) -> Outcome:
        """Return the outcome of run ``number``, counted from 0."""
        return self.outcomes[min(number, len(self.outcomes) - 1)]


@dataclass(frozen=True, slots=True)
class ActivityDependency:
    """An activity waits for another one to end in one of ``conditions``."""

    activity: str
    conditions: tuple[str, ...] = ("Succeeded",)


@dataclass(frozen=True, slots=True)
class ActivityDefinition:
    """One activity of a pipeline.

    :param seconds: how long it takes; an ExecutePipeline that waits takes as long as its child.
    :param cancel_seconds: how long cancelling it takes; None: the pipeline's.
    :param child_pipeline: the pipeline an ExecutePipeline activity starts.
    """

    name: str
    type: str = "Wait"
    seconds: float = 60.0
    outcome: OutcomeScript = OutcomeScript()
    depends_on: tuple[ActivityDependency, ...] = ()
    cancel_seconds: float | None = None
    child_pipeline: str | None = None
    wait_on_completion: bool = True


class CancelWords(TypedDict, total=False):
    """What can be said of a cancel, as keyword arguments; `CancelScript` says what it means."""

    stuck: float
    cancels_needed: int
    unstopped: float
    late_activity: float
    late_child: float
    late_seconds: float
    starts_queued: float


@dataclass(frozen=True, slots=True)
class CancelScript:
    """What goes wrong when a run is cancelled, each with a probability from 0 to 1.

    :param stuck: the run stays Canceling for ever, and what it is doing stays in progress.
    :param cancels_needed: a stuck run is cancelled after all when it is asked for this often. Default: never.
    :param unstopped: what is in progress is not stopped but ends in its own time, and with it the run.
    :param late_activity: an activity that has not begun, and starts no pipeline, begins during the cancel.
    :param late_child: an activity that has not begun, and starts a pipeline, begins during the cancel.
    :param late_seconds: so many seconds after the cancel; until then the run does not end. Default 30.
    :param starts_queued: the first cancel of a queued run is accepted and does nothing.
    """

    stuck: float = 0.0
    cancels_needed: int | None = None
    unstopped: float = 0.0
    late_activity: float = 0.0
    late_child: float = 0.0
    late_seconds: float = 30.0
    starts_queued: float = 0.0


@dataclass(frozen=True, slots=True)
class PipelineDefinition:
    """A pipeline.

    :param concurrency: how many of its runs run at once, the others queue; None: no limit.
    :param cancel_seconds: how long cancelling a running activity takes.
    :param cancel: what goes wrong when its runs are cancelled; None: nothing.
    :param parameters: the defaults of those of its parameters that have one.
    :param declared: the parameters a run can be given, as others are dropped; None: whatever it is given.
    :param document: the properties it was published with; None: told from the rest.
    :param published: when it was published; None: before the scenario begins.
    """

    name: str
    activities: tuple[ActivityDefinition, ...]
    concurrency: int | None = None
    cancel_seconds: float = 5.0
    cancel: CancelScript | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    declared: frozenset[str] | None = None
    document: Mapping[str, Any] | None = None
    published: datetime | None = None

    def run_parameters(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return a run's parameters: the defaults, and of those given the ones that are declared."""
        if self.declared is not None and any(name not in self.declared for name in given):
            given = {name: value for name, value in given.items() if name in self.declared}
        return merged(self.parameters, given)

    def activity(self, name: str) -> ActivityDefinition | None:
        """Return the activity of this name, in any case, or None."""
        return next((each for each in self.activities if each.name.casefold() == name.casefold()), None)


@dataclass(frozen=True, slots=True)
class WindowDependency:
    """A tumbling window trigger waits for windows of ``trigger``, which may be itself.

    :param size: None: as long as the dependent window.
    """

    trigger: str
    offset: timedelta
    size: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after how many seconds, a trigger runs a failed pipeline again by itself."""

    count: int = 0
    interval_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class PipelineReference:
    """A pipeline a trigger starts, with the parameters it passes."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


TriggerType: TypeAlias = Literal["TumblingWindowTrigger", "ScheduleTrigger"]


@dataclass(frozen=True, slots=True)
class TriggerDefinition:
    """A trigger.

    :param delay: how long after a window's end its run is made.
    :param outcome: how the pipeline runs it starts end; None: as their activities say.
    :param rerun_outcome: the same for reruns, consumed rerun by rerun of one window.
    :param cancel_seconds: how long cancelling a run that waits on dependencies takes.
    :param operation_seconds: how long after a start or stop another one is refused as concurrent.
    :param document: the properties it was published with; None: told from the rest.
    """

    name: str
    type: TriggerType
    grid: Grid
    pipelines: tuple[PipelineReference, ...]
    delay: timedelta
    max_concurrency: int = 50
    retry: RetryPolicy = RetryPolicy()
    depends_on: tuple[WindowDependency, ...] = ()
    started: bool = True
    backfill: bool = False
    outcome: Outcome | None = None
    rerun_outcome: OutcomeScript | None = None
    rerun_seconds: float | None = None
    cancel_seconds: float = 2.0
    operation_seconds: float = 0.0
    description: str | None = None
    document: Mapping[str, Any] | None = None


Permission: TypeAlias = Literal["write", "read", "none"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who signs in with a client id and a secret, and what they may do."""

    name: str
    client_id: str
    client_secret: str = field(repr=False)
    object_id: str
    permission: Permission = "write"


@dataclass(frozen=True, slots=True)
class FactoryIdentity:
    """Where the factory is found."""

    subscription_id: str
    resource_group: str
    name: str
    tenant_id: str
    location: str = "westeurope"

    @property
    def resource_id(self) -> str:
        """The factory's ARM resource id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.DataFactory/factories/{self.name}"
        )


@dataclass(frozen=True, slots=True)
class PastWindowRun:
    """One past trigger run of a window: its status, and what a scenario chose to pin."""

    status: str
    at: datetime | None = None
    run_id: str | None = None
    pipeline_run_id: str | None = None
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class WindowPast:
    """A window's past: its trigger runs, oldest first, and how its reruns will end."""

    runs: tuple[PastWindowRun, ...]
    rerun_outcome: OutcomeScript | None = None
    rerun_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PastWindows:
    """Neighbouring windows of a trigger, the first one's index, and the past of each."""

    trigger: str
    first: int
    pasts: tuple[WindowPast, ...]

    @property
    def indices(self) -> range:
        """The windows' indices."""
        return range(self.first, self.first + len(self.pasts))


@dataclass(frozen=True, slots=True)
class PastRun:
    """A pipeline run the history begins with, finished or still going.

    :param remaining_seconds: how long what is in progress still takes; None: as long as its definition says.
    :param cancel: what goes wrong when it is cancelled; None: what its pipeline says.
    """

    pipeline: str
    status: str
    started: datetime
    ended: datetime | None = None
    run_id: str | None = None
    group_of: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    failed_activity: str | None = None
    remaining_seconds: float | None = None
    cancel: CancelScript | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything a scenario says.

    :param token_seconds: how long a token is good that the token endpoint gives out.
    """

    factory: FactoryIdentity
    now: datetime
    seed: int
    query_lag_seconds: float
    rerun_waiting_seconds: float
    principals: tuple[Principal, ...]
    pipelines: Mapping[str, PipelineDefinition]
    triggers: Mapping[str, TriggerDefinition]
    windows: tuple[PastWindows, ...] = ()
    runs: tuple[PastRun, ...] = ()
    throttling: Throttling = field(default_factory=Throttling)
    token_seconds: int = 3599
    faults: tuple[Fault, ...] = ()
