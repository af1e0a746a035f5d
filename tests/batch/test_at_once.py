"""at_once: side by side and in order, whatever becomes of one of the calls."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_adfruns.batch.watch import at_once


def test_results_come_in_the_order_of_the_calls() -> None:
    async def turn(number: int) -> int:
        for _ in range(20 - number):
            await asyncio.sleep(0)
        return number

    assert asyncio.run(at_once(turn(number) for number in range(20))) == list(range(20))


def test_an_error_is_raised_after_all_others_have_come_to_their_end() -> None:
    done: list[int] = []

    async def turn(number: int) -> None:
        if number == 0:
            raise ValueError("the first")
        await asyncio.sleep(0)
        done.append(number)

    with pytest.raises(ValueError, match="the first"):
        asyncio.run(at_once(turn(number) for number in range(20)))
    assert done == list(range(1, 20))


def test_an_error_that_is_a_result_is_returned() -> None:
    async def turn() -> ValueError:
        return ValueError("found")

    (result,) = asyncio.run(at_once([turn()]))
    assert str(result) == "found"


def test_calls_that_have_not_begun_when_the_wait_is_cancelled_never_do() -> None:
    begun: list[int] = []
    under_way = asyncio.Event()

    async def turn(number: int) -> None:
        begun.append(number)
        if len(begun) == 8:
            under_way.set()
        await asyncio.Event().wait()

    async def cancelled() -> None:
        wait = asyncio.ensure_future(at_once(turn(number) for number in range(20)))
        await under_way.wait()
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait

    asyncio.run(cancelled())
    assert begun == list(range(8))
