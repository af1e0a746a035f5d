"""Waits that move a clock instead: they end in order, and one that breaks off holds up no other."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_adfruns.adf.pause import elapsed, moving, pause


class ClockStoppedError(Exception):
    """Stands for a factory that is gone, whose clock cannot be moved."""


def stopped(_: float) -> None:
    raise ClockStoppedError


async def at_most_looks(wait: asyncio.Task[None], looks: int) -> bool:
    """Let the loop go round so often. :return: whether the wait has ended by then."""
    for _ in range(looks):
        await asyncio.sleep(0)
    ended = wait.done()
    wait.cancel()
    return ended


def test_a_wait_that_is_cancelled_holds_up_no_later_one() -> None:
    async def waits() -> bool:
        cancelled = asyncio.create_task(pause(10))
        await asyncio.sleep(0)  # it has begun, and has not moved the clock yet
        cancelled.cancel()
        return await at_most_looks(asyncio.create_task(pause(20)), 10)

    moves: list[float] = []
    with moving(moves.append):
        assert asyncio.run(waits())
        assert elapsed() == 20
    assert moves == [20]


def test_a_longer_wait_goes_on_when_the_one_it_comes_after_is_cancelled() -> None:
    async def waits() -> bool:
        longer = asyncio.create_task(pause(20))
        shorter = asyncio.create_task(pause(10))
        await asyncio.sleep(0)
        shorter.cancel()
        return await at_most_looks(longer, 10)

    moves: list[float] = []
    with moving(moves.append):
        assert asyncio.run(waits())
    assert moves == [20]


def test_a_wait_whose_clock_cannot_be_moved_holds_up_no_later_one() -> None:
    async def waits() -> bool:
        with pytest.raises(ClockStoppedError):
            await pause(10)
        later = asyncio.create_task(pause(20))
        later.add_done_callback(asyncio.Task.exception)  # it fails as the first did
        return await at_most_looks(later, 10)

    with moving(stopped):
        assert asyncio.run(waits())
