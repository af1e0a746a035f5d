"""The one place where this package waits, so that a test can move a factory's clock instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(slots=True)
class _Moved:
    """A clock that waits move: waits that overlap move it once, the earliest end first."""

    mover: Callable[[float], None]
    seconds: float = 0.0
    ends: list[float] = field(default_factory=list)

    async def wait(self, seconds: float) -> None:
        end = self.seconds + seconds
        self.ends.append(end)
        try:
            await asyncio.sleep(0)  # whoever waits at the same time comes to say until when
            while self.seconds < end:
                if min(self.ends) == end:
                    self.mover(end - self.seconds)
                    self.seconds = end
                else:
                    await asyncio.sleep(0)
        finally:  # a wait may be cancelled, and whoever waits longer would wait for its end forever
            self.ends.remove(end)


_moved: list[_Moved] = []


async def pause(seconds: float) -> None:
    """Wait.

    :param seconds: how long, in seconds; zero or less only lets other tasks run.
    """
    if _moved and seconds > 0:
        await _moved[-1].wait(seconds)
    else:
        await asyncio.sleep(max(seconds, 0))


def elapsed() -> float:
    """Return seconds that only grow: the machine's, or while waits move a clock, the seconds moved."""
    return _moved[-1].seconds if _moved else time.monotonic()


@contextmanager
def moving(mover: Callable[[float], None]) -> Iterator[None]:
    """Let every wait of this process move a clock instead, while the context is open.

    :param mover: called with the seconds that would have been slept; ``AdfEmulator.advance`` of a factory
        whose clock is moved by hand.
    """
    moved = _Moved(mover)
    _moved.append(moved)
    try:
        yield
    finally:
        _moved.remove(moved)
