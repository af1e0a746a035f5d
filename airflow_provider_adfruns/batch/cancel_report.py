"""What became of cancels: values, their JSON for XCom and triggers, a table, and the judgement; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_adfruns.adf.answers import Answer
from airflow_provider_adfruns.adf.errors import InvalidInput, RunsNotAsWanted
from airflow_provider_adfruns.adf.model import PipelineRunStatus, TriggerRunStatus, Window
from airflow_provider_adfruns.batch.report import columns, skipped_lines, some, window_json
from airflow_provider_adfruns.batch.watch import family_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_adfruns.batch.watch import WatchedRun


@dataclass(frozen=True, slots=True)
class CancelOutcome:
    """One run of a cancel.

    :param kind: ``pipeline`` or ``trigger``.
    :param name: the pipeline's or trigger's name, "" if the run is unknown.
    :param parent_run_id: the pipeline run whose ExecutePipeline activity has started it; None if nobody's.
    :param status_before: its status when it was first seen; None if the run is unknown.
    :param requested: whether its cancel was asked for and accepted, now or before this task came.
    :param status: the latest status seen.
    :param left_running: ids of child runs that run to completion, since the cancel was not recursive.
    :param problem: why it was not done or what is unclear, else "".
    :param cancel_request: the answer that accepted its cancel, with the ids that Microsoft finds it by; None
        if this task has none.
    """

    kind: str
    run_id: str
    name: str = ""
    window: Window | None = None
    status_before: str | None = None
    requested: bool = False
    status: str | None = None
    left_running: tuple[str, ...] = ()
    problem: str = ""
    parent_run_id: str | None = None
    cancel_request: Answer | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the run will not change any more."""
        kind = PipelineRunStatus if self.kind == "pipeline" else TriggerRunStatus
        return self.status is not None and kind(self.status).is_final

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "kind": self.kind,
            "run_id": self.run_id,
            "name": self.name,
            **(window_json(self.window) if self.window else {}),
            "status_before": self.status_before,
            "requested": self.requested,
            "status": self.status,
            "left_running": list(self.left_running),
            "problem": self.problem,
            "parent_run_id": self.parent_run_id,
            "cancel_request": self.cancel_request.to_json() if self.cancel_request else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        start, end = data.get("window_start"), data.get("window_end")
        return cls(
            data["kind"],
            data["run_id"],
            data["name"],
            Window(datetime.fromisoformat(start), datetime.fromisoformat(end)) if start and end else None,
            data["status_before"],
            data["requested"],
            data["status"],
            tuple(data["left_running"]),
            data["problem"],
            data["parent_run_id"],
            Answer.from_json(data["cancel_request"]) if data["cancel_request"] else None,
        )


@dataclass(frozen=True, slots=True)
class CancelReport:
    """A cancel of runs, from the request to the end.

    :param skipped: runs left alone, each with ``reason``.
    :param problem: what could not be made sure of for the selection as a whole, else "".
    """

    dry_run: bool
    runs: tuple[CancelOutcome, ...]
    skipped: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""

    def with_runs(self, runs: Iterable[CancelOutcome]) -> Self:
        """Return the same report with other outcomes."""
        return replace(self, runs=tuple(runs))

    @property
    def problems(self) -> list[CancelOutcome]:
        """The runs for which a cancel was wanted and could not be had."""
        return [each for each in self.runs if each.problem]

    @property
    def awaited(self) -> list[CancelOutcome]:
        """The runs whose cancel was requested, so that their end is to be waited for."""
        return [each for each in self.runs if each.requested]

    @property
    def unknown_run_ids(self) -> list[str]:
        """The trigger run ids asked for that the trigger does not have."""
        return [each["run_id"] for each in self.skipped if each["status"] is None]

    def ids(self, kind: str) -> list[str]:
        """The ids of the runs of one kind that a cancel was requested for."""
        return [each.run_id for each in self.awaited if each.kind == kind]

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes to XCom and to the trigger."""
        return {
            "dry_run": self.dry_run,
            "run_ids": [each.run_id for each in self.runs],
            "counts": dict(Counter(each.status or "unknown" for each in self.runs)),
            "runs": [each.to_json() for each in self.runs],
            "skipped": [dict(each) for each in self.skipped],
            "problem": self.problem,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(
            data["dry_run"],
            tuple(CancelOutcome.from_json(each) for each in data["runs"]),
            tuple(data["skipped"]),
            data["problem"],
        )

    def table(self) -> str:
        """Return the report for people: a line a run, children indented, then what was left alone and why."""
        rows = [("kind", "run", "name", "was", "cancel", "now")]
        rows.extend(
            (
                each.kind,
                "  " * depth + each.run_id,
                f"{each.name} {each.window}" if each.window else each.name,
                each.status_before or "unknown",
                "requested" if each.requested else "not sent",
                each.status or "-",
            )
            for depth, each in family_order(self.runs)
        )
        lines = columns(rows)
        lines.extend(f"  {each.run_id}: {each.problem}" for each in self.runs if each.problem)
        lines.extend(skipped_lines(self.skipped))
        if self.problem:
            lines.append(self.problem)
        going = [each for each in self.runs if each.kind == "pipeline" and each.status]
        if count := sum(not each.has_ended for each in going):
            lines.append(f"Not final yet, {count} pipeline runs: their activities go on, and are billed.")
        if left := sorted({run_id for each in self.runs for run_id in each.left_running}):
            lines.append(f"Left running and billed, {len(left)}: {some(left)}")
        return "\n".join(lines)


def with_final_statuses(report: CancelReport, runs: Iterable[WatchedRun]) -> CancelReport:
    """Enter what a watch has seen; children that it found besides are added to the report.

    Their ``status_before`` is the one in which they were found.
    """
    by_id = {run.run_id: run for run in runs}
    known = {each.run_id for each in report.runs}
    updated = [
        replace(each, status=by_id[each.run_id].status) if each.run_id in by_id else each
        for each in report.runs
    ]
    children = [
        CancelOutcome(
            run.kind,
            run.run_id,
            run.name,
            status_before=run.status_before,
            status=run.status,
            parent_run_id=run.parent_run_id,
        )
        for run in by_id.values()
        if run.run_id not in known
    ]
    return report.with_runs(updated + children)


def check_outcome(report: CancelReport) -> None:
    """Judge a cancel at its end.

    :raises RunsNotAsWanted: names the runs that could not be cancelled and the run ids that are unknown; a
        run that ended by itself is none of them.
    """
    names = [f"{each.kind} run {each.run_id}: {each.problem}" for each in report.problems]
    names += [f"run {run_id} is unknown" for run_id in report.unknown_run_ids]
    if names:
        more = f" Besides, {report.problem}" if report.problem else ""
        raise RunsNotAsWanted(
            f"{len(names)} of {len(report.runs) + len(report.unknown_run_ids)} runs could not be cancelled:"
            f" {some(names)}{more}"
        )
    if report.problem:
        raise RunsNotAsWanted(f"The cancel is not sure to be complete: {report.problem}")


def cancel_requests(report: object) -> dict[str, Answer]:
    """Return the answers that accepted cancels, by run id.

    :param report: what a cancel has left in XCom; of a mapped task a list of that; None if there is none.
    :raises InvalidInput: for anything else.
    """
    if report is None:
        return {}
    if isinstance(report, Sequence) and not isinstance(report, str):
        return {run_id: answer for each in report for run_id, answer in cancel_requests(each).items()}
    if not isinstance(report, Mapping) or "run_ids" not in report:
        raise InvalidInput(
            f"cancel_report: {str(report)[:100]!r} is no report of a cancel. Expected what its task has left"
            " in XCom, such as cancel_report=cancel.output."
        )
    runs = [each for each in report.get("runs", ()) if each.get("cancel_request")]
    return {each["run_id"]: Answer.from_json(each["cancel_request"]) for each in runs}
