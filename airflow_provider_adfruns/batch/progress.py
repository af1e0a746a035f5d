"""How far a rerun has come, how fast it goes and when it will end, in one line; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from airflow_provider_adfruns.adf.model import TriggerRunStatus
from airflow_provider_adfruns.batch.report import Step

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_adfruns.batch.report import RerunReport


@dataclass(frozen=True, slots=True)
class Standing:
    """How many windows of a rerun have come how far.

    :param planned: still to be sent.
    :param submitted: sent, whatever became of them: ``running`` and ``done`` are among these.
    :param unclear: sent, and the answer was lost.
    :param failed: not whole again, among them those that the service refused.
    """

    planned: int
    submitted: int
    unclear: int
    running: int
    done: int
    failed: int

    @classmethod
    def of(cls, report: RerunReport) -> Self:
        """Count a report's windows."""
        counted = Counter((each.step, each.status) for each in report.windows)
        final = {status for _, status in counted if status and TriggerRunStatus(status).is_final}

        def count(*steps: Step, among: Collection[str | None] | None = None) -> int:
            return sum(
                number
                for (step, status), number in counted.items()
                if step in steps and (among is None or status in among)
            )

        submitted = count(Step.SUBMITTED)
        ended = count(Step.SUBMITTED, among=final)
        done = count(Step.SUBMITTED, among={TriggerRunStatus.SUCCEEDED})
        return cls(
            planned=count(Step.PLANNED),
            submitted=submitted,
            unclear=count(Step.UNCLEAR),
            running=submitted - ended,
            done=done,
            failed=ended - done + count(Step.REFUSED, Step.NOT_SENT),
        )

    def __str__(self) -> str:
        return (
            f"{self.planned} planned, {self.submitted} submitted, {self.unclear} unclear,"
            f" {self.running} running, {self.done} done, {self.failed} failed"
        )


class Progress:
    """Says how far a rerun has come since it was first looked at."""

    def __init__(self) -> None:
        self._first: tuple[datetime, Standing] | None = None
        self._last: tuple[Standing, str] | None = None

    def line(self, report: RerunReport, at: datetime) -> str:
        """Return the line; the same as before as long as no window has come further.

        :param at: the service's time at which the report was true.
        """
        standing = Standing.of(report)
        if self._first is None:
            self._first = (at, standing)
        if self._last is None or self._last[0] != standing:
            began, first = self._first
            said = (
                f"Rerun of trigger {report.trigger_name!r}: {len(report.windows)} windows: {standing}"
                f"{speed(first, standing, at - began, at)}"
            )
            self._last = (standing, said)
        return self._last[1]


def speed(first: Standing, now: Standing, passed: timedelta, at: datetime) -> str:
    """Say how many windows a minute are sent, or after the last has been sent end, and when that is through.

    :param first: how it stood in the beginning.
    :param passed: the time since then.
    :param at: the time now.
    :return: "" as long as nothing can be said.
    """
    is_sending = bool(now.planned or now.unclear)
    if is_sending:
        moved, left = now.submitted - first.submitted, now.planned + now.unclear
    else:
        moved, left = now.done + now.failed - first.done - first.failed, now.running
    if moved <= 0 or passed <= timedelta(0):
        return ""
    end = at + passed / moved * left
    said = f"; {moved / (passed / timedelta(minutes=1)):.1f} {'sent' if is_sending else 'ended'} a minute"
    return f"{said}, the last about {end:%Y-%m-%d %H:%M} UTC" if left else said
