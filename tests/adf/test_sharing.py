"""Clients that sign in alike share credential, token and connections; the last of them closes everything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from airflow_provider_adfruns.adf import sharing
from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import AuthenticationFailed
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.adf.sdk import MOST_CONNECTIONS, build
from airflow_provider_adfruns.adf.sharing import SignIn
from tests.conftest import calls, connection_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {"load": {"seconds": 3600}},
    "runs": [{"pipeline": "load", "status": "InProgress", "started": "-PT1M", "id": "lone"}],
}


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    yield
    assert sharing._open == {}


def tokens(emulator: AdfEmulator) -> int:
    return len(calls(emulator, "Token"))


async def closed(emulator: AdfEmulator) -> None:
    """Wait until the server has seen the end of every connection."""
    while emulator.connections[1]:
        await pause(0)


async def use(emulator: AdfEmulator, **fields: Any) -> None:
    async with FactoryClient(connection_to(emulator, **fields)) as client:
        await client.get_pipeline_run("lone")


async def all_of(users: list[Awaitable[None]]) -> None:
    await asyncio.gather(*users)


def test_fifty_clients_at_once_take_one_token_and_one_pool_and_close_them(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def fifty() -> None:
        await all_of([use(emulator) for _ in range(50)])
        await closed(emulator)

    asyncio.run(fifty())
    assert len(calls(emulator, "PipelineRuns_Get")) == 50
    assert tokens(emulator) == 1
    for_tokens = 1
    assert emulator.connections[0] <= MOST_CONNECTIONS + for_tokens


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_is_used_again(factory: Factory, tls: bool) -> None:
    emulator = factory(SCENARIO, tls=tls)

    async def often() -> None:
        async with FactoryClient(connection_to(emulator)) as client:
            for _ in range(10):
                await client.get_pipeline_run("lone")

    asyncio.run(often())
    for_tokens = 1 if tls else 0
    assert emulator.connections[0] == 1 + for_tokens


def test_a_client_goes_on_when_another_one_has_left(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def outlive() -> None:
        async with FactoryClient(connection_to(emulator)) as client:
            await use(emulator)
            assert (await client.get_pipeline_run("lone")).run_id == "lone"

    asyncio.run(outlive())
    assert tokens(emulator) == 1


def test_after_the_last_has_left_the_next_one_opens_anew(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def twice() -> None:
        await use(emulator)
        await closed(emulator)
        await use(emulator)

    asyncio.run(twice())
    assert tokens(emulator) == 2


def test_who_comes_while_the_last_one_closes_is_served(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def overlap() -> None:
        first = FactoryClient(connection_to(emulator))
        await first.__aenter__()
        await first.get_pipeline_run("lone")
        await asyncio.gather(first.__aexit__(), *(use(emulator) for _ in range(5)))

    asyncio.run(overlap())
    assert {entry.status for entry in calls(emulator, "PipelineRuns_Get")} == {200}


def test_factories_are_told_apart_call_by_call(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def both() -> None:
        other = FactoryClient(connection_to(emulator, factory_name="other-adf"))
        async with other, FactoryClient(connection_to(emulator)) as client:
            await client.get_pipeline_run("lone")
            with pytest.raises(Exception, match="other-adf"):
                await other.get_pipeline_run("lone")

    asyncio.run(both())
    assert tokens(emulator) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"login": "somebody"},
        {"password": "another-secret"},
        {"tenantId": "00000000-0000-4000-8000-000000000001"},
    ],
)
def test_who_signs_in_otherwise_shares_nothing(factory: Factory, fields: dict[str, Any]) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def both() -> None:
        async with FactoryClient(connection_to(emulator)) as client:
            await client.get_pipeline_run("lone")
            with pytest.raises(AuthenticationFailed):
                await use(emulator, **fields)

    asyncio.run(both())
    assert [entry.status for entry in calls(emulator, "Token")][:1] == [200]
    assert len({entry.status for entry in calls(emulator, "Token")}) == 2


def test_each_client_keeps_the_service_s_time_for_itself(factory: Factory) -> None:
    emulator = factory(SCENARIO)

    async def later() -> tuple[Any, Any]:
        async with FactoryClient(connection_to(emulator)) as early:
            before = await early.now()
            emulator.advance(3600)
            async with FactoryClient(connection_to(emulator)) as late:
                return before, await late.now()

    before, after = asyncio.run(later())
    assert (after - before).total_seconds() == 3600


def test_whose_opening_fails_leaves_the_next_one_to_try(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)
    connection = connection_to(emulator)
    failures = iter([ValueError("its fields do not fit"), None])

    def failing_once(*arguments: Any) -> Any:
        if failure := next(failures):
            raise failure
        return build(*arguments)

    async def two() -> Any:
        async def enter() -> str:
            async with sharing.shared_client(connection, failing_once) as client:
                return type(client).__name__

        return await asyncio.gather(enter(), enter(), return_exceptions=True)

    failed, opened = asyncio.run(two())
    assert str(failed) == "its fields do not fit"
    assert opened == "DataFactoryManagementClient"


def test_whose_opening_is_cancelled_leaves_it_to_the_next_one(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def cancelled_and_served() -> bool:
        first = asyncio.create_task(use(emulator))
        others = [asyncio.create_task(use(emulator)) for _ in range(3)]
        while not sharing._open:
            await pause(0)
        first.cancel()
        await asyncio.gather(*others)
        await asyncio.gather(first, return_exceptions=True)
        return first.cancelled()

    assert asyncio.run(cancelled_and_served())
    assert len(calls(emulator, "PipelineRuns_Get")) == 3


def test_a_client_that_is_cancelled_at_work_takes_nothing_from_the_others(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def forever() -> None:
        async with FactoryClient(connection_to(emulator)) as client:
            while True:
                await client.get_pipeline_run("lone")

    async def run() -> None:
        async with FactoryClient(connection_to(emulator)) as client:
            busy = [asyncio.create_task(forever()) for _ in range(5)]
            while len(calls(emulator, "PipelineRuns_Get")) < 10:
                await pause(0)
            for each in busy:
                each.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
            assert (await client.get_pipeline_run("lone")).run_id == "lone"
        await closed(emulator)

    asyncio.run(run())
    assert tokens(emulator) == 1


def test_loops_share_nothing(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)
    asyncio.run(use(emulator))
    asyncio.run(use(emulator))
    assert tokens(emulator) == 2


def test_what_is_shared_shows_no_secret(factory: Factory) -> None:
    connection = connection_to(factory(SCENARIO, tls=True))
    assert connection.client_secret
    assert connection.client_secret not in repr(SignIn.of(connection))


def test_a_local_factory_keeps_an_idle_connection_longer_than_a_client_which_may_be_using_it_again(
    factory: Factory,
) -> None:
    emulator = factory(SCENARIO)

    async def compare() -> None:
        async with FactoryClient(connection_to(emulator)) as client, aiohttp.TCPConnector() as pool:
            await client.get_pipeline_run("lone")
            (served,) = emulator._connections._transports.values()
            protocol: Any = served.get_protocol()
            assert pool._keepalive_timeout is not None
            assert protocol.timeout_keep_alive > pool._keepalive_timeout

    asyncio.run(compare())
