"""What is due when: events handled in the order of their time; what an event means is its handler's."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

E = TypeVar("E")


class Timeline:
    """Events on one line of time; two at the same instant happen in the order in which they were scheduled.

    :param start: the first instant.
    """

    def __init__(self, start: datetime) -> None:
        self.now = start
        self._queue: list[tuple[datetime, int, object]] = []
        self._scheduled = 0
        self._handlers: dict[type, Callable[[Any], None]] = {}

    def on(self, kind: type[E], handler: Callable[[E], None]) -> None:
        """Let ``handler`` take every event of this kind."""
        self._handlers[kind] = handler

    def schedule(self, at: datetime, event: object) -> None:
        """Put an event on the line; one in the past is due at once."""
        self._scheduled += 1
        heapq.heappush(self._queue, (max(at, self.now), self._scheduled, event))

    def run_until(self, instant: datetime) -> None:
        """Handle everything due up to and including ``instant``, each event at its own time."""
        while self._queue and self._queue[0][0] <= instant:
            at, _, event = heapq.heappop(self._queue)
            self.now = max(self.now, at)
            self._handlers[type(event)](event)
        self.now = max(self.now, instant)
