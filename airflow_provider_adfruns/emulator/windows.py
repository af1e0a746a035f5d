"""Window arithmetic: the grid of a trigger, and the windows a dependency needs; no run is known here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

Frequency: TypeAlias = Literal["Minute", "Hour", "Day", "Week", "Month"]

MONTHS_IN_A_YEAR = 12
_STEPS: dict[Frequency, timedelta] = {
    "Minute": timedelta(minutes=1),
    "Hour": timedelta(hours=1),
    "Day": timedelta(days=1),
    "Week": timedelta(weeks=1),
}


@dataclass(frozen=True, slots=True)
class Window:
    """One window: its place in the grid, its start (included) and its end (not included)."""

    index: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Grid:
    """The instants ``start + n * interval`` of a recurrence; a tumbling window lies between two neighbours.

    :param frequency: the unit of ``interval``; tumbling windows know Minute, Hour and Month only.
    :param interval: how many of the unit.
    :param start: instant number 0.
    :param end: no window ends, and no schedule fires, after it. Default None: for ever.
    """

    frequency: Frequency
    interval: int
    start: datetime
    end: datetime | None = None

    def instant(self, number: int) -> datetime:
        """Return instant ``number`` of the grid."""
        if self.frequency == "Month":
            return _add_months(self.start, number * self.interval)
        return self.start + number * self.interval * _STEPS[self.frequency]

    def window(self, index: int) -> Window:
        """Return the window at ``index``."""
        return Window(index, self.instant(index), self.instant(index + 1))

    def index_at(self, instant: datetime) -> int:
        """Return the index of the window that contains ``instant``; negative before the grid's start."""
        if self.frequency == "Month":
            months = (instant.year - self.start.year) * MONTHS_IN_A_YEAR + instant.month - self.start.month
            guess = months // self.interval + 1
            while self.instant(guess) > instant:
                guess -= 1
            return guess
        return (instant - self.start) // (self.interval * _STEPS[self.frequency])

    def exists(self, index: int) -> bool:
        """Say whether the grid has this window: not before its start, not beyond its end."""
        return index >= 0 and (self.end is None or self.instant(index + 1) <= self.end)

    def overlapping(self, start: datetime, end: datetime) -> range:
        """Return the indices of the windows that share time with ``[start, end)``."""
        first = self.index_at(start)
        last = self.index_at(end)
        return range(first, last if self.instant(last) == end else last + 1)


def needed_windows(window: Window, upstream: Grid, offset: timedelta, size: timedelta | None) -> range:
    """Return the upstream windows a window depends on.

    :param window: the dependent window.
    :param upstream: the grid of the trigger depended on.
    :param offset: added to the window's start.
    :param size: how much time is needed from there; None: as much as the dependent window is long.
    """
    start = window.start + offset
    return upstream.overlapping(start, start + (size or window.end - window.start))


def _add_months(instant: datetime, months: int) -> datetime:
    total = instant.month - 1 + months
    year, month = instant.year + total // MONTHS_IN_A_YEAR, total % MONTHS_IN_A_YEAR + 1
    for day in range(instant.day, 27, -1):
        try:
            return instant.replace(year=year, month=month, day=day)
        except ValueError:  # the 29th, 30th or 31st in a shorter month: its last day
            continue
    return instant.replace(year=year, month=month)
