"""What became of reruns: values, their JSON for XCom and triggers, and a table for people; pure."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_adfruns.adf.model import TriggerRunStatus, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MOST_NAMED = 20
_FEW = 5


class Step(StrEnum):
    """How far a window's rerun came."""

    PLANNED = "planned"
    SUBMITTED = "submitted"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    NOT_SENT = "not sent"


class RerunBy(StrEnum):
    """Whose rerun a window's latest run is."""

    THIS_BATCH = "this batch"
    SOMEBODY_ELSE = "somebody else"


@dataclass(frozen=True, slots=True)
class WindowOutcome:
    """One window of a rerun.

    :param run_id: the trigger run that was rerun, with its status and start in ``status_before`` and
        ``ran_at``.
    :param new_run_id: the rerun's trigger run, once queries show it, with its ``status`` and its start in
        ``started_at``. When a trigger run ended the service does not say.
    :param problem: why it was refused or what is unclear, else "".
    :param note: which runs there are beside ``new_run_id``, if any, else "".
    :param rerun_by: whose rerun ``new_run_id`` is, None if the window was not rerun.
    """

    window: Window
    run_id: str
    status_before: str
    ran_at: datetime
    step: Step = Step.PLANNED
    new_run_id: str | None = None
    status: str | None = None
    problem: str = ""
    note: str = ""
    rerun_by: RerunBy | None = None
    started_at: datetime | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether a rerun of this window is under way."""
        return self.step is Step.SUBMITTED and not (self.status and TriggerRunStatus(self.status).is_final)

    @property
    def succeeded(self) -> bool:
        """Whether the window is whole again."""
        return self.step is Step.SUBMITTED and self.status == TriggerRunStatus.SUCCEEDED

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: times in ISO 8601."""
        return {
            **window_json(self.window),
            "run_id": self.run_id,
            "status_before": self.status_before,
            "ran_at": self.ran_at.isoformat(),
            "step": str(self.step),
            "new_run_id": self.new_run_id,
            "status": self.status,
            "problem": self.problem,
            "note": self.note,
            "rerun_by": str(self.rerun_by) if self.rerun_by else None,
            "started_at": self.started_at.isoformat() if self.started_at else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(
            Window(datetime.fromisoformat(data["window_start"]), datetime.fromisoformat(data["window_end"])),
            data["run_id"],
            data["status_before"],
            datetime.fromisoformat(data["ran_at"]),
            Step(data["step"]),
            data["new_run_id"],
            data["status"],
            data["problem"],
            data["note"],
            RerunBy(data["rerun_by"]) if data["rerun_by"] else None,
            datetime.fromisoformat(data["started_at"]) if data["started_at"] else None,
        )


@dataclass(frozen=True, slots=True)
class RerunReport:
    """A rerun of windows, from plan to end.

    :param skipped: windows and runs left alone, each with ``reason``.
    """

    trigger_name: str
    planned_at: datetime
    dry_run: bool
    windows: tuple[WindowOutcome, ...]
    skipped: tuple[Mapping[str, Any], ...]

    def with_windows(self, windows: Iterable[WindowOutcome]) -> Self:
        """Return the same report with other outcomes."""
        return replace(self, windows=tuple(windows))

    def left(self, reason: str) -> Self:
        """Return the report of a task that ends: what is still planned was, for this reason, not sent."""
        problem = f"it was not sent: {reason}"
        unsent = {each.window: replace(each, step=Step.NOT_SENT, problem=problem) for each in self.planned}
        return self.with_windows(unsent.get(each.window, each) for each in self.windows)

    @property
    def failures(self) -> list[WindowOutcome]:
        """The windows that are not whole again although their wait is over, or that could not be rerun."""
        return [
            each
            for each in self.windows
            if each.step is not Step.PLANNED and not each.is_awaited and not each.succeeded
        ]

    @property
    def planned(self) -> list[WindowOutcome]:
        """The windows that are still to be sent."""
        return [each for each in self.windows if each.step is Step.PLANNED]

    @property
    def run_ids(self) -> list[str]:
        """What a next task can act on: the new trigger runs; of a dry run, those that would be rerun."""
        if self.dry_run:
            return [each.run_id for each in self.windows]
        return [each.new_run_id for each in self.windows if each.new_run_id]

    @property
    def unknown(self) -> list[str]:
        """What the history does not have: run ids asked for, and windows of a batch that was taken up."""
        return [
            f"{_named(each)}: {each['reason']}" if each["run_id"] is None else f"{_named(each)} is unknown"
            for each in self.skipped
            if each["status"] is None
        ]

    def problem_lines(self) -> list[str]:
        """Say what is not whole again: a line a window, and one for each window or run id that is unknown."""
        lines = [f"window {each.window} {each.problem or _how_it_stands(each)}" for each in self.failures]
        return lines + self.unknown

    def counts(self) -> dict[str, int]:
        """Count the windows by how far they came."""
        return dict(
            Counter(
                (each.status or "not visible yet") if each.step is Step.SUBMITTED else str(each.step)
                for each in self.windows
            )
        )

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes to XCom."""
        return {
            "trigger_name": self.trigger_name,
            "planned_at": self.planned_at.isoformat(),
            "dry_run": self.dry_run,
            "run_ids": self.run_ids,
            "counts": self.counts(),
            "windows": [each.to_json() for each in self.windows],
            "skipped": [dict(each) for each in self.skipped],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(
            data["trigger_name"],
            datetime.fromisoformat(data["planned_at"]),
            data["dry_run"],
            tuple(WindowOutcome.from_json(each) for each in data["windows"]),
            tuple(data["skipped"]),
        )

    def packed(self) -> str:
        """Return the form that goes to triggers and comes back in their events, some 50 bytes a window.

        It is the JSON with the windows' values column by column, where like stands beside like, compressed.
        """
        rows = [each.to_json() for each in self.windows]
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
        text = json.dumps(
            {
                "trigger_name": self.trigger_name,
                "planned_at": self.planned_at.isoformat(),
                "dry_run": self.dry_run,
                "windows": columns,
                "skipped": [dict(each) for each in self.skipped],
            }
        )
        return base64.b85encode(zlib.compress(text.encode())).decode()

    @classmethod
    def unpacked(cls, text: str) -> Self:
        """Read what ``packed`` wrote."""
        data = json.loads(zlib.decompress(base64.b85decode(text)))
        columns = data["windows"]
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return cls.from_json({**data, "windows": rows})

    def table(self) -> str:
        """Return the report for people: a line a window, oldest first, then what was left alone and why."""
        rows = [("window (UTC)", "was", "rerun", "by", "now", "trigger run")]
        rows.extend(
            (
                str(each.window),
                each.status_before,
                str(each.step),
                str(each.rerun_by or "-"),
                each.status or "-",
                each.new_run_id or each.run_id,
            )
            for each in self.windows
        )
        lines = columns(rows)
        lines.extend(
            f"  {each.window}: {each.problem or each.note}"
            for each in self.windows
            if each.problem or each.note
        )
        lines.extend(skipped_lines(self.skipped))
        return "\n".join(lines)


def _how_it_stands(outcome: WindowOutcome) -> str:
    if outcome.step is Step.UNCLEAR:
        return "(an earlier try may have rerun it; whether it did could not be seen)"
    return f"({outcome.status}, run {outcome.new_run_id})"


def window_json(window: Window) -> dict[str, str]:
    """Return a window's JSON form."""
    return {"window_start": window.start.isoformat(), "window_end": window.end.isoformat()}


def skipped_json(
    window: Window | None, run_id: str | None, status: str | None, reason: str
) -> dict[str, Any]:
    """Return the JSON form of something left alone."""
    return {
        **(window_json(window) if window else {}),
        "run_id": run_id,
        "status": str(status) if status else None,
        "reason": reason,
    }


def skipped_lines(skipped: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what was left alone, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for each in skipped:
        by_reason.setdefault(each["reason"], []).append(_named(each))
    return [
        f"left alone, {len(each)}: {reason}:"
        f" {', '.join(each) if len(each) <= _FEW else f'{each[0]} ... {each[-1]}'}"
        for reason, each in by_reason.items()
    ]


def _named(skipped: Mapping[str, Any]) -> str:
    start = skipped.get("window_start")
    return f"window {datetime.fromisoformat(start):%Y-%m-%d %H:%M}" if start else f"run {skipped['run_id']}"


def some(names: Sequence[str]) -> str:
    """Join names for a message, the first twenty."""
    shown = "; ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown}; and {len(names) - _MOST_NAMED} more"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
