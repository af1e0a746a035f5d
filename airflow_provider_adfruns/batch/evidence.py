"""What proves that a cancel is not complete: values, their JSON for a support case, a table; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.batch.report import columns, some

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_adfruns.adf.answers import Answer
    from airflow_provider_adfruns.adf.identity import FactoryAddress
    from airflow_provider_adfruns.adf.model import ActivityRun
    from airflow_provider_adfruns.batch.watch import WatchedRun


@dataclass(frozen=True, slots=True)
class RunEvidence:
    """One run.

    :param since: when its cancel was asked for or seen, None if nobody knows.
    :param is_stuck: whether it is Canceling for too long.
    :param activities: its activity runs, those that started too late first.
    :param late: the ids of these.
    :param activities_left_out: how many more activity runs it has.
    :param answers: what the service answered about it, first of all to its cancel if that is known.
    """

    run: WatchedRun
    since: datetime | None
    is_stuck: bool = False
    activities: tuple[ActivityRun, ...] = ()
    late: tuple[str, ...] = ()
    activities_left_out: int = 0
    answers: tuple[Answer, ...] = ()

    def sentences(self, seen_at: datetime) -> list[str]:
        """Say what is wrong with it."""
        name = f"{self.run.kind} run {self.run.run_id} ({self.run.name})"
        said = []
        if self.is_stuck and self.run.canceling_since:
            minutes = (seen_at - self.run.canceling_since).total_seconds() / 60
            said.append(
                f"{name} is Canceling since {self.run.canceling_since.isoformat()}, for {minutes:.0f} minutes"
            )
        said += [
            f"activity {each.activity_name!r} ({each.activity_run_id}) of {name} started at"
            f" {each.start.isoformat()}, {(each.start - self.since).total_seconds():.0f} seconds after the"
            " run's cancel, although in Canceling no activity may start"
            for each in self.activities
            if each.activity_run_id in self.late and each.start and self.since
        ]
        return said or [f"{name} is {self.run.status}"]

    def to_json(self, seen_at: datetime) -> dict[str, Any]:
        """Return the JSON form: times in ISO 8601."""
        return {
            **self.run.to_json(),
            "cancelled_at": _text(self.since),
            "problems": self.sentences(seen_at),
            "activities": [
                {
                    "activity_run_id": each.activity_run_id,
                    "name": each.activity_name,
                    "type": each.activity_type,
                    "status": str(each.status),
                    "started_at": _text(each.start),
                    "ended_at": _text(each.end),
                    "is_late": each.activity_run_id in self.late,
                }
                for each in self.activities
            ],
            "activities_left_out": self.activities_left_out,
            "requests": [each.to_json() for each in self.answers],
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """A cancel that is not complete.

    :param reason: what was found, such as ``the cancel of 2 runs is stuck or violated``.
    :param seen_at: in the service's time.
    :param left_out: how many more runs are like these.
    :param not_final: how many of all runs watched are not final.
    """

    address: FactoryAddress
    reason: str
    seen_at: datetime
    runs: tuple[RunEvidence, ...]
    left_out: int
    not_final: int

    @property
    def problems(self) -> list[str]:
        """What is wrong, a sentence each."""
        return [sentence for each in self.runs for sentence in each.sentences(self.seen_at)]

    @property
    def support_case(self) -> str:
        """What to write to Microsoft."""
        return (
            f"In data factory {self.address.factory_name!r} (resource group"
            f" {self.address.resource_group_name!r}, subscription {self.address.subscription_id}), as seen at"
            f" {self.seen_at.isoformat()}, {self.reason}: {some(self.problems)}. The ids of our requests"
            " about these runs are attached (x-ms-request-id, x-ms-correlation-request-id); please find out"
            " why the cancel is not complete, and end the runs."
        )

    @property
    def billing(self) -> str:
        """Say what it costs to leave it so."""
        if not self.not_final:
            return "All runs are final: nothing of them goes on."
        return (
            f"{self.not_final} runs are not final: their activities go on, and are billed until they end,"
            " whether anybody waits for them or not."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes to XCom or a file."""
        return {
            "factory": {
                "subscription_id": self.address.subscription_id,
                "resource_group_name": self.address.resource_group_name,
                "factory_name": self.address.factory_name,
            },
            "seen_at": self.seen_at.isoformat(),
            "reason": self.reason,
            "support_case": self.support_case,
            "billing": self.billing,
            "not_final": self.not_final,
            "runs": [each.to_json(self.seen_at) for each in self.runs],
            "runs_left_out": self.left_out,
        }

    def table(self) -> str:
        """Return the evidence for people: runs with their activities and requests, then what to write."""
        rows = [("run or activity", "name", "status", "started", "ended", "")]
        for each in self.runs:
            run = each.run
            rows.append(
                (
                    run.run_id,
                    run.name,
                    run.status,
                    _text(run.started_at) or "-",
                    _text(run.ended_at) or "-",
                    f"cancelled {_text(each.since)}" if each.since else "",
                )
            )
            rows.extend(
                (
                    f"  {activity.activity_run_id}",
                    activity.activity_name,
                    str(activity.status),
                    _text(activity.start) or "-",
                    _text(activity.end) or "-",
                    "started too late" if activity.activity_run_id in each.late else "",
                )
                for activity in each.activities
            )
        lines = [f"{self.address}, {self.seen_at.isoformat()}: {self.reason}", *columns(rows)]
        if self.left_out:
            lines.append(f"and {self.left_out} more runs")
        lines += [
            f"  {answer.action}: HTTP {answer.status}, x-ms-request-id {answer.request_id},"
            f" x-ms-correlation-request-id {answer.correlation_request_id}"
            for each in self.runs
            for answer in each.answers
        ]
        return "\n".join([*lines, self.billing, f"For a support case: {self.support_case}"])


def _text(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
