"""The clock a factory lives by: real, scaled, or moved by hand; what happens at a time is elsewhere."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

ClockSetting: TypeAlias = Literal["real", "manual"] | float

_SCALES = {"real": 1.0, "manual": 0.0}


class Clock:
    """Tells the factory's time. Whoever uses it from several threads does so under a lock.

    :param setting: how it runs; see `set`.
    :param start: what it shows now.
    """

    def __init__(self, setting: ClockSetting, start: datetime) -> None:
        self._scale = read_scale(setting)
        self._shown = start
        self._since = time.monotonic()

    @property
    def scale(self) -> float:
        """Factory seconds per real second; 0 for a clock that is moved by hand only."""
        return self._scale

    @property
    def setting(self) -> ClockSetting:
        """How it runs, in the words of `set`."""
        return {1.0: "real", 0.0: "manual"}.get(self._scale, self._scale)  # type: ignore[return-value]

    def now(self) -> datetime:
        """Return the factory's time."""
        if not self._scale:
            return self._shown
        return self._shown + timedelta(seconds=(time.monotonic() - self._since) * self._scale)

    def set(self, setting: ClockSetting) -> None:
        """Run otherwise from now on.

        :param setting: ``real``, ``manual`` (moved by hand only), or factory seconds per real second: 60.0.
        """
        scale = read_scale(setting)
        self.restart(self.now())
        self._scale = scale

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``; ValueError when they are negative."""
        if seconds < 0:
            raise ValueError(f"time only moves forward; advance({seconds}) was asked")
        try:
            instant = self.now() + timedelta(seconds=seconds)
        except OverflowError:
            raise ValueError(f"there is no time {seconds} seconds from now") from None
        self.restart(instant)

    def advance_to(self, instant: datetime) -> None:
        """Move forward to ``instant``; ValueError when that is over."""
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        if instant < self.now():
            raise ValueError(f"time only moves forward; it is after {instant.isoformat()} already")
        self.restart(instant)

    def restart(self, instant: datetime) -> None:
        """Show ``instant`` now, whatever was shown before."""
        self._shown, self._since = instant, time.monotonic()


def read_scale(setting: object) -> float:
    """Return the factory seconds per real second that a setting asks for.

    :raises ValueError: it is neither ``real`` nor ``manual`` nor a number above 0.
    """
    if isinstance(setting, str) and setting in _SCALES:
        return _SCALES[setting]
    if not isinstance(setting, int | float) or isinstance(setting, bool) or not 0 < setting < float("inf"):
        raise ValueError(f"clock must be 'real', 'manual' or a scale above 0 such as 60.0, not {setting!r}")
    return float(setting)
