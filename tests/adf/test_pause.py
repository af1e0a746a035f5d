"""Waits that move a clock instead of sleeping."""

from __future__ import annotations

import asyncio

from airflow_provider_adfruns.adf.pause import moving, pause


def test_a_wait_that_is_cut_off_holds_up_no_other_that_ends_later() -> None:
    moved: list[float] = []

    async def cut_off() -> None:
        first, second = asyncio.create_task(pause(1)), asyncio.create_task(pause(2))
        await asyncio.sleep(0)  # both have said until when they wait
        first.cancel()
        await asyncio.wait_for(second, 10)

    with moving(moved.append):
        asyncio.run(cut_off())
    assert moved == [2]
