"""A closed gate stops writes before they leave, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import WritesStopped
from airflow_provider_adfruns.adf.gate import WriteGate
from airflow_provider_adfruns.adf.pause import moving
from tests.conftest import calls, connection_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

RUNNING = {
    "pipelines": {"load": {"seconds": 3600}},
    "runs": [{"pipeline": "load", "status": "InProgress", "id": "run"}],
}


def test_after_the_gate_is_closed_a_write_is_not_sent_and_says_so(factory: Start) -> None:
    emulator = factory(RUNNING)
    gate = WriteGate()

    async def kill() -> None:
        async with FactoryClient(connection_to(emulator), gate=gate) as client:
            gate.close()
            await client.cancel_pipeline_run("run", is_recursive=True)

    with pytest.raises(WritesStopped, match=r"POST .*/pipelineruns/run/cancel.* was not sent"):
        asyncio.run(kill())
    assert calls(emulator, "PipelineRuns_Cancel") == []


def test_a_write_that_waits_for_throttling_to_end_is_stopped_too(factory: Start) -> None:
    emulator = factory(RUNNING)
    emulator.fail_next("PipelineRuns_Cancel", status=429, retry_after=30)
    gate = WriteGate()

    def close_while_waiting(seconds: float) -> None:
        gate.close()
        emulator.advance(seconds)

    async def kill() -> None:
        async with FactoryClient(connection_to(emulator), gate=gate) as client:
            await client.cancel_pipeline_run("run", is_recursive=True)

    with moving(close_while_waiting), pytest.raises(WritesStopped):
        asyncio.run(kill())
    assert [entry.status for entry in calls(emulator, "PipelineRuns_Cancel")] == [429]


def test_reads_pass_a_closed_gate(factory: Start) -> None:
    emulator = factory(RUNNING)
    gate = WriteGate()
    gate.close()

    async def look() -> str:
        async with FactoryClient(connection_to(emulator), gate=gate) as client:
            return (await client.get_pipeline_run("run")).status

    assert asyncio.run(look()) == "InProgress"
