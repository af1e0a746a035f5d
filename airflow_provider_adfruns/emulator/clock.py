"""The clocks a factory can live by: real, scaled, or moved by hand; what happens at a time is elsewhere."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol, TypeAlias

ClockSetting: TypeAlias = Literal["real", "manual"] | float


class Clock(Protocol):
    """Tells the factory's time."""

    def now(self) -> datetime:
        """Return the factory's time, timezone-aware."""


class RunningClock:
    """A clock that runs by itself.

    :param start: what the clock shows now.
    :param factor: factory seconds per real second; 60.0 is a minute a second. Default 1.0.
    """

    def __init__(self, start: datetime, factor: float = 1.0) -> None:
        if factor <= 0:
            raise ValueError(f"a clock's scale must be above 0, not {factor}")
        self._start = start
        self._factor = factor
        self._begun = time.monotonic()

    def now(self) -> datetime:
        """Return the factory's time."""
        return self._start + timedelta(seconds=(time.monotonic() - self._begun) * self._factor)


class ManualClock:
    """A clock that stands still until somebody moves it.

    :param start: what the clock shows now.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the factory's time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``; ValueError when they are negative."""
        if seconds < 0:
            raise ValueError(f"time only moves forward; advance({seconds}) was asked")
        self._now += timedelta(seconds=seconds)


def make_clock(setting: ClockSetting, start: datetime | None) -> Clock:
    """Make the clock a setting asks for, beginning at ``start`` or, where that is None, at the real now."""
    begin = start or datetime.now(UTC)
    if setting == "manual":
        return ManualClock(begin)
    if setting == "real":
        return RunningClock(begin)
    if not isinstance(setting, int | float):
        raise ValueError(  # noqa: TRY004 - a wrong word is a wrong value
            f"clock must be 'real', 'manual' or a scale such as 60.0, not {setting!r}"
        )
    return RunningClock(begin, float(setting))
