"""Many deferred tasks in one triggerer: one sign-in, one pool of connections, all closed at the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.pause import moving, pause
from airflow_provider_adfruns.adf.sdk import MOST_CONNECTIONS
from airflow_provider_adfruns.emulator import AdfEmulator
from airflow_provider_adfruns.triggers.runs import AdfRunsFinalTrigger
from tests.conftest import CONN_ID, calls

if TYPE_CHECKING:
    from collections.abc import Iterator

TASKS = 50
RUNS_EACH = 22  # so many that they are found by queries, and not one by one
RUNS: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {f"load-{number}": {"seconds": 300} for number in range(TASKS)},
    "runs": [
        {
            "pipeline": f"load-{number}",
            "status": "InProgress",
            "started": "-PT1M",
            "id": f"run-{number}-{run}",
        }
        for number in range(TASKS)
        for run in range(RUNS_EACH)
    ],
}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[AdfEmulator]:
    """Start a local factory, and hold its many thousand answers against no spec: others do that."""
    with AdfEmulator(RUNS, clock="manual", tls=True) as emulator, moving(emulator.advance):
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT", emulator.connection_json())
        yield emulator


def test_fifty_watches_at_once_take_one_token_and_one_pool_and_leave_no_connection(
    emulator: AdfEmulator,
) -> None:
    async def watch(number: int) -> dict[str, Any]:
        trigger = AdfRunsFinalTrigger(
            azure_data_factory_conn_id=CONN_ID,
            resource_group_name=None,
            factory_name=None,
            poll_interval=120,
            deadline="2026-03-02T00:00:00+00:00",
            pipeline_run_ids=[f"run-{number}-{run}" for run in range(RUNS_EACH)],
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
    assert [(event["status"], [run["status"] for run in event["runs"]]) for event in events] == [
        ("success", ["Succeeded"] * RUNS_EACH)
    ] * TASKS
    assert len(calls(emulator, "Token")) == 1
    assert emulator.connections[2] <= MOST_CONNECTIONS + 1  # the one is for the token
