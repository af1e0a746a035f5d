"""The one place where this package waits, so that a test can move a factory's clock instead of sleeping."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_movers: list[Callable[[float], None]] = []


async def pause(seconds: float) -> None:
    """Wait.

    :param seconds: how long, in seconds; zero or less only lets other tasks run.
    """
    if _movers and seconds > 0:
        _movers[-1](seconds)
        await asyncio.sleep(0)
    else:
        await asyncio.sleep(max(seconds, 0))


@contextmanager
def moving(mover: Callable[[float], None]) -> Iterator[None]:
    """Let every wait of this process move a clock instead, while the context is open.

    :param mover: called with the seconds that would have been slept; ``AdfEmulator.advance`` of a factory
        whose clock is moved by hand.
    """
    _movers.append(mover)
    try:
        yield
    finally:
        _movers.remove(mover)
