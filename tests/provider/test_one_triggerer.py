"""Many deferred tasks in one triggerer: one sign-in, one pool of connections, all closed at the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.sdk import MOST_CONNECTIONS
from airflow_provider_adfruns.triggers.runs import AdfRunsFinalTrigger
from tests.conftest import CONN_ID, calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

TASKS = 50
RUNS: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {"load": {"seconds": 300}},
    "runs": [
        {"pipeline": "load", "status": "InProgress", "started": "-PT1M", "id": f"run-{number}"}
        for number in range(TASKS)
    ],
}


def test_fifty_watches_at_once_take_one_token_and_one_pool_and_leave_no_connection(
    factory: Callable[..., AdfEmulator],
) -> None:
    emulator = factory(RUNS, tls=True)

    async def watch(number: int) -> dict[str, Any]:
        trigger = AdfRunsFinalTrigger(
            azure_data_factory_conn_id=CONN_ID,
            resource_group_name=None,
            factory_name=None,
            poll_interval=30,
            deadline="2026-03-02T00:00:00+00:00",
            pipeline_run_ids=[f"run-{number}"],
            include_children=False,
            trigger_name=None,
            trigger_run_ids=[],
        )
        [event] = [event.payload async for event in trigger.run()]
        return dict(event)

    async def triggerer() -> list[dict[str, Any]]:
        events = await asyncio.gather(*(watch(number) for number in range(TASKS)))
        while emulator.connections[1]:
            await pause(0)
        return events

    events = asyncio.run(triggerer())
    assert [(event["status"], event["runs"][0]["status"]) for event in events] == [
        ("success", "Succeeded")
    ] * TASKS
    assert len(calls(emulator, "Token")) == 1
    assert emulator.connections[0] <= MOST_CONNECTIONS + 1  # the one is for the token
