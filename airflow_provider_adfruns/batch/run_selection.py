"""Which pipeline runs a cancel means, and in which order they go: parameters -> a checked selection; pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.model import PipelineRun, PipelineRunStatus
from airflow_provider_adfruns.adf.names import check_pipeline_name, check_run_id, check_trigger_name
from airflow_provider_adfruns.adf.queries import HISTORY, RunFilter
from airflow_provider_adfruns.batch.selection import aware_time, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

SELECTION_PARAMETERS = (
    "pipeline_names",
    "statuses",
    "started_after",
    "started_before",
    "trigger_name",
    "trigger_run_id",
    "run_group_id",
)
DEFAULT_CANCEL_STATUSES = frozenset({PipelineRunStatus.QUEUED, PipelineRunStatus.IN_PROGRESS})
_NOT_FINAL = DEFAULT_CANCEL_STATUSES | {PipelineRunStatus.CANCELING}


class CancelOrder(StrEnum):
    """Which of many runs are cancelled first."""

    NEWEST_FIRST = "newest_first"
    CHILDREN_FIRST = "children_first"


class IfNone(StrEnum):
    """What a task does whose selection matches no run."""

    SKIP = "skip"
    FAIL = "fail"
    SUCCEED = "succeed"


@dataclass(frozen=True, slots=True)
class RunSelection:
    """Pipeline runs that are not final and fulfil every condition given.

    :param statuses: those to cancel; a run that is Canceling already belongs to the selection in any case.
    :param started_after: this time or later. A run that has not begun yet counts as beginning now.
    :param started_before: before this time.
    :param trigger_name: started by this trigger.
    :param trigger_run_id: started by this trigger run, whose id the service gives as ``invokedBy.id``
        (inferred).
    """

    pipeline_names: tuple[str, ...] = ()
    statuses: frozenset[PipelineRunStatus] = DEFAULT_CANCEL_STATUSES
    started_after: datetime | None = None
    started_before: datetime | None = None
    trigger_name: str | None = None
    trigger_run_id: str | None = None
    run_group_id: str | None = None

    def filters(self) -> list[RunFilter]:
        """Return the conditions that the service can judge; it has no filter for the start or the trigger."""
        found = [RunFilter("Status", "In", tuple(sorted(self.statuses | {PipelineRunStatus.CANCELING})))]
        if self.pipeline_names:
            found.append(RunFilter("PipelineName", "In", self.pipeline_names))
        if self.run_group_id:
            found.append(RunFilter("RunGroupId", "Equals", (self.run_group_id,)))
        return found

    def updated_since(self, now: datetime) -> datetime:
        """Return since when matching runs were updated last: none was before it began."""
        return max(now - HISTORY, min(self.started_after or now - HISTORY, now))

    def includes(self, run: PipelineRun, now: datetime) -> bool:
        """Whether the run fulfils what the service cannot judge.

        :param now: the service's time.
        """
        start = run.run_start or now
        if self.started_after is not None and start < self.started_after:
            return False
        if self.started_before is not None and start >= self.started_before:
            return False
        by = run.invoked_by
        if self.trigger_name is not None:
            name = by.name if by is not None and by.type.endswith("Trigger") else ""
            if name.casefold() != self.trigger_name.casefold():
                return False
        return self.trigger_run_id is None or (by is not None and by.id == self.trigger_run_id)

    def __str__(self) -> str:
        said = {
            "pipeline_names": ", ".join(self.pipeline_names),
            "statuses": ", ".join(sorted(self.statuses)),
            "started_after": self.started_after.isoformat() if self.started_after else "",
            "started_before": self.started_before.isoformat() if self.started_before else "",
            "trigger_name": self.trigger_name,
            "trigger_run_id": self.trigger_run_id,
            "run_group_id": self.run_group_id,
        }
        return "; ".join(f"{name} {value}" for name, value in said.items() if value)


def check_run_choice(run_ids: object, conditions: Mapping[str, object]) -> None:
    """Check that either ids or conditions are given, whatever they will be rendered to.

    :param conditions: the parameters of a selection by name, None for those not given.
    :raises InvalidInput: for both, for neither, and for statuses alone.
    """
    given = [name for name, value in conditions.items() if value is not None]
    if run_ids is not None and given:
        raise InvalidInput(
            f"run_ids and {', '.join(given)} are both given. Expected one of them: run_ids for chosen runs,"
            " or conditions for all runs that fulfil them."
        )
    if run_ids is None and not given:
        raise InvalidInput(
            f"neither run_ids nor a selection is given. Expected run_ids, or some of"
            f" {', '.join(SELECTION_PARAMETERS)}."
        )
    if given == ["statuses"]:
        raise InvalidInput(
            "statuses alone select every run of the factory. Expected another condition beside it; if you"
            " mean the whole factory, set started_before to the present time."
        )


def select_runs(conditions: Mapping[str, object]) -> RunSelection:
    """Check the parameters that select pipeline runs.

    :param conditions: by the names of SELECTION_PARAMETERS, None for those not given.
    :raises InvalidInput: names the parameter, what was expected and what to do.
    """
    names, statuses, after, before, trigger, trigger_run, group = (
        conditions.get(name) for name in SELECTION_PARAMETERS
    )
    started_after = None if after is None else aware_time(after, "started_after")
    started_before = None if before is None else aware_time(before, "started_before")
    if started_after and started_before and started_before <= started_after:
        raise InvalidInput(
            f"started_before: {started_before.isoformat()} is not after started_after"
            f" {started_after.isoformat()}. Expected a range with its start first; swap them if they are the"
            " wrong way round."
        )
    return RunSelection(
        pipeline_names=() if names is None else _pipeline_names(names),
        statuses=DEFAULT_CANCEL_STATUSES if statuses is None else cancellable_statuses(statuses),
        started_after=started_after,
        started_before=started_before,
        trigger_name=None if trigger is None else check_trigger_name(trigger),
        trigger_run_id=None if trigger_run is None else check_run_id(trigger_run, "trigger_run_id"),
        run_group_id=None if group is None else check_run_id(group, "run_group_id"),
    )


def _pipeline_names(values: object) -> tuple[str, ...]:
    names = listed(values, "pipeline_names", "pipeline name")
    if not names:
        raise InvalidInput("pipeline_names: the list is empty. Expected at least one pipeline's name.")
    return tuple(dict.fromkeys(check_pipeline_name(name) for name in names))


def cancellable_statuses(values: object) -> frozenset[PipelineRunStatus]:
    """Check the statuses that a cancel selects by.

    :param values: one or several.
    :raises InvalidInput: for an empty list or a status that is final or not known.
    """
    given = listed(values, "statuses", "status")
    allowed = ", ".join(sorted(_NOT_FINAL))
    if not given:
        raise InvalidInput(f"statuses: the list is empty. Expected at least one of {allowed}.")
    chosen = set()
    for value in given:
        status = PipelineRunStatus(value) if isinstance(value, str) else None
        if status is None or status not in _NOT_FINAL:
            raise InvalidInput(
                f"statuses: {value!r} cannot be cancelled. Expected {allowed}; a run of another status has"
                " ended."
            )
        chosen.add(status)
    return frozenset(chosen)


def in_waves(
    runs: Iterable[PipelineRun], order: CancelOrder, *, queued_first: bool
) -> list[list[PipelineRun]]:
    """Put runs in the order in which to cancel them; a wave waits until the one before it has been sent.

    Within a wave the newest come first, and among them those that have not begun.

    :param order: with ``children_first`` a run comes in a later wave than those that it has started.
    :param queued_first: Queued runs come in waves of their own, before all others.
    """
    newest_first = sorted(runs, key=lambda run: (run.run_start is None, run.run_start), reverse=True)
    parents = {run.run_id: run.invoked_by.pipeline_run_id if run.invoked_by else None for run in newest_first}
    waves: dict[tuple[bool, int], list[PipelineRun]] = {}
    for run in newest_first:
        begun = queued_first and run.status is not PipelineRunStatus.QUEUED
        height = -_depth(run.run_id, parents) if order is CancelOrder.CHILDREN_FIRST else 0
        waves.setdefault((begun, height), []).append(run)
    return [waves[key] for key in sorted(waves)]


def _depth(run_id: str, parents: Mapping[str, str | None]) -> int:
    """Return how many of the runs stand above this one."""
    seen = {run_id}
    parent = parents[run_id]
    while parent is not None and parent in parents and parent not in seen:
        seen.add(parent)
        parent = parents[parent]
    return len(seen) - 1
