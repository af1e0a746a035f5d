"""Whether a cancel is complete, stuck or violated, and what is new about that; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_adfruns.adf.model import PipelineRunStatus
from airflow_provider_adfruns.batch.cancel_rules import OnStuck
from airflow_provider_adfruns.batch.watch import WatchedRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_adfruns.adf.model import ActivityRun
    from airflow_provider_adfruns.batch.cancel_rules import CancelRules

STUCK = "stuck"


@dataclass(slots=True)
class Memory:
    """What a watch knows: it goes from the task to its trigger, and back in the event.

    :param runs: by run id, in the order in which they became known.
    :param searched_at: when the activities of a pipeline run were last read.
    :param late: the activity runs of a pipeline run that started too late, by their ids.
    :param noticed: what somebody has been told about a run: ``stuck``, and ids of late activity runs.
    :param acted_at: when that was last done.
    :param looked_at: the time of the last query for changes; None if there was none.
    :param looks: how many of these there were.
    """

    runs: dict[str, WatchedRun] = field(default_factory=dict)
    searched_at: dict[str, datetime] = field(default_factory=dict)
    late: dict[str, tuple[str, ...]] = field(default_factory=dict)
    noticed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    acted_at: dict[str, datetime] = field(default_factory=dict)
    looked_at: datetime | None = None
    looks: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: times in ISO 8601."""
        return {
            "runs": [run.to_json() for run in self.runs.values()],
            "searched_at": {run_id: time.isoformat() for run_id, time in self.searched_at.items()},
            "late": {run_id: list(ids) for run_id, ids in self.late.items()},
            "noticed": {run_id: list(what) for run_id, what in self.noticed.items()},
            "acted_at": {run_id: time.isoformat() for run_id, time in self.acted_at.items()},
            "looked_at": self.looked_at.isoformat() if self.looked_at else None,
            "looks": self.looks,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        runs = [WatchedRun.from_json(run) for run in data["runs"]]
        return cls(
            {run.run_id: run for run in runs},
            {run_id: datetime.fromisoformat(time) for run_id, time in data["searched_at"].items()},
            {run_id: tuple(ids) for run_id, ids in data["late"].items()},
            {run_id: tuple(what) for run_id, what in data["noticed"].items()},
            {run_id: datetime.fromisoformat(time) for run_id, time in data["acted_at"].items()},
            datetime.fromisoformat(data["looked_at"]) if data["looked_at"] else None,
            data["looks"],
        )

    def note(self, findings: Iterable[Finding], now: datetime) -> None:
        """Remember that something was done about findings.

        :param now: the service's time.
        """
        for finding in findings:
            before = self.noticed.get(finding.run.run_id, ())
            self.noticed[finding.run.run_id] = tuple(dict.fromkeys(before + finding.what))
            self.acted_at[finding.run.run_id] = now


@dataclass(frozen=True, slots=True)
class Finding:
    """A run whose cancel is not as it should be.

    :param is_stuck: it is Canceling for too long.
    :param late: its activity runs that started too late, by their ids.
    """

    run: WatchedRun
    is_stuck: bool
    late: tuple[str, ...]

    @property
    def what(self) -> tuple[str, ...]:
        """What there is to tell."""
        return ((STUCK,) if self.is_stuck else ()) + self.late


def cancelled_at(run: WatchedRun, rules: CancelRules) -> datetime | None:
    """Return since when no activity of a run may start; None if it was not cancelled, or nobody knows when.

    A run that nobody has seen Canceling and that is Cancelled has gone through it between two looks.
    """
    if run.kind != "pipeline":
        return None
    if run.canceling_since is None and run.status != PipelineRunStatus.CANCELLED:
        return None
    return rules.requested_at or run.canceling_since


def may_be_violated(run: WatchedRun, rules: CancelRules, now: datetime) -> bool:
    """Say whether a run was on its way to be cancelled for so long that an activity can have started late.

    :param now: the service's time.
    """
    since = cancelled_at(run, rules)
    if since is None or rules.violation_tolerance is None:
        return False
    return (run.ended_at or now) - since > rules.violation_tolerance


def late_activities(
    run: WatchedRun, activities: Iterable[ActivityRun], rules: CancelRules
) -> list[ActivityRun]:
    """Return the activity runs that started later than the cancel and the tolerance allow.

    In Canceling no activity of a run may start (Microsoft's article on cancelling, which asks to report it).
    """
    since = cancelled_at(run, rules)
    if since is None or rules.violation_tolerance is None:
        return []
    last = since + rules.violation_tolerance
    return [each for each in activities if each.start is not None and each.start > last]


def is_stuck(run: WatchedRun, rules: CancelRules, now: datetime) -> bool:
    """Say whether a run is Canceling for too long. :param now: the service's time."""
    if run.status != PipelineRunStatus.CANCELING or not rules.stuck_after or run.canceling_since is None:
        return False
    return now - run.canceling_since > rules.stuck_after


def findings(memory: Memory, rules: CancelRules, now: datetime) -> list[Finding]:
    """Return every run that is stuck or violated now. :param now: the service's time."""
    return [
        Finding(run, stuck, late)
        for run in memory.runs.values()
        if (stuck := is_stuck(run, rules, now)) | bool(late := memory.late.get(run.run_id, ()))
    ]


def due(memory: Memory, rules: CancelRules, now: datetime) -> list[Finding]:
    """Return the findings that something is to be done about: those nobody was told of before.

    With ``cancel_again`` also those of which the last cancel is longer ago than ``stuck_after``.

    :param now: the service's time.
    """
    return [each for each in findings(memory, rules, now) if _is_due(each, memory, rules, now)]


def _is_due(finding: Finding, memory: Memory, rules: CancelRules, now: datetime) -> bool:
    run_id = finding.run.run_id
    if not set(finding.what) <= set(memory.noticed.get(run_id, ())):
        return True
    if rules.on_stuck is not OnStuck.CANCEL_AGAIN or finding.run.is_final or not rules.stuck_after:
        return False
    return now - memory.acted_at[run_id] > rules.stuck_after


def not_accepted(runs: Iterable[WatchedRun], accept_outcomes: Sequence[str]) -> list[WatchedRun]:
    """Return the runs that have ended otherwise than is accepted."""
    return [run for run in runs if run.is_final and run.status not in accept_outcomes]
