"""Answers held back until the factory's clock shows a time or somebody lets go of them; sent elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_adfruns.emulator.clock import Clock


class HeldAnswers:
    """The answers one server holds back; those who wait do so in its loop, the others may be in any thread.

    :param clock: the factory's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._releases = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Event] = set()
        self._hanging = 0

    @property
    def hanging(self) -> int:
        """How many calls hang until they are released."""
        return self._hanging

    async def released(self) -> None:
        """Wait for the next release."""
        before = self._releases
        self._hanging += 1
        try:
            await self._until(lambda: None if self._releases == before else 0.0)
        finally:
            self._hanging -= 1

    async def reached(self, instant: datetime) -> None:
        """Wait until the factory's clock shows ``instant``, or for a release."""
        before = self._releases

        def left() -> float | None:
            seconds = (instant - self._clock.now()).total_seconds()
            if seconds <= 0 or self._releases != before:
                return 0.0
            return seconds / self._clock.scale if self._clock.scale else None

        await self._until(left)

    def release(self) -> None:
        """Let go of every answer that is held back."""
        with self._lock:
            self._releases += 1
        self.look_again()

    def look_again(self) -> None:
        """Have those who wait look at the clock again, for it was moved or set."""
        with self._lock:
            if self._loop is not None and self._waiting:
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    async def _until(self, left: Callable[[], float | None]) -> None:
        """Wait while there are real seconds left; None is until something happens."""
        event = asyncio.Event()
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._waiting.add(event)
        try:
            while (seconds := left()) != 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), seconds)
                event.clear()
        finally:
            with self._lock:
                self._waiting.discard(event)
