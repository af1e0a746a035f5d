"""A cap on requests a second holds for all who share it together, and for every attempt that leaves."""

from __future__ import annotations

import asyncio
import copy
import threading
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import FactoryNotFound
from airflow_provider_adfruns.adf.pacing import Cap, Pacer, shared_cap
from airflow_provider_adfruns.adf.pause import elapsed, moving, pause
from tests.adf.fields import read
from tests.adf.playback import Played, playing
from tests.adf.talking import talk
from tests.conftest import calls, connection_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {"load": {"seconds": 60}},
    "triggers": {
        "hourly": {"pipeline": "load", "state": "stopped", "windows": {"count": 3, "status": "Failed"}}
    },
}


def seconds_of(emulator: AdfEmulator) -> float:
    """Return the time from the first request to the last."""
    times = [entry.at for entry in emulator.journal]
    return (times[-1] - times[0]).total_seconds()


async def check(times: int, emulator: AdfEmulator, *, cap: Cap | None = None, **fields: Any) -> None:
    async with FactoryClient(connection_to(emulator, **fields), cap=cap) as client:
        for _ in range(times):
            await client.check_factory()


async def all_at_once(*work: Any) -> None:
    await asyncio.gather(*work)


def test_ten_clients_of_a_connection_send_together_what_it_allows(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    ten = (check(20, emulator, max_requests_per_second=1) for _ in range(10))
    asyncio.run(all_at_once(*ten))
    assert len(calls(emulator, "Factories_Get")) == 200
    assert elapsed() == pytest.approx(199)


def test_clients_that_follow_one_another_share_it_as_well(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    for _ in range(5):
        talk(emulator, lambda client: client.check_factory(), max_requests_per_second="0.5")
    assert seconds_of(emulator) == pytest.approx(8, abs=0.01)


def test_the_event_loops_of_several_threads_share_it() -> None:
    cap, pacer, left = shared_cap(100, "arm", "sub", "me", "adf"), Pacer(), []

    async def admitted() -> None:
        for _ in range(5):
            await pacer.admit(write=False, cap=cap)
            left.append(elapsed())

    threads = [threading.Thread(target=lambda: asyncio.run(admitted())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(left) - min(left) >= 19 / 100 - 1e-6


def test_it_is_the_connections_whichever_factory_is_asked(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    others: list[dict[str, Any]] = [{}, {"factory_name": "other"}, {"resource_group_name": "other"}]
    for fields in others:
        with suppress(FactoryNotFound):
            asyncio.run(check(1, emulator, max_requests_per_second=0.5, **fields))
    assert len(emulator.journal) == 3
    assert elapsed() == pytest.approx(4)


@pytest.mark.parametrize("other", [{"conn_id": "other"}, {"client_id": "other"}])
def test_another_connection_or_principal_has_its_own(factory: Factory, other: dict[str, Any]) -> None:
    emulator = factory(SCENARIO)
    connection = connection_to(emulator, max_requests_per_second=0.5)
    for each in (connection, replace(connection, **other)):
        for _ in range(3):
            talk(each, lambda client: client.check_factory())
    assert len(emulator.journal) == 6
    assert elapsed() == pytest.approx(4 + 4)


def test_a_connection_that_says_another_number_now_holds_its_older_clients_to_it(factory: Factory) -> None:
    emulator = factory(SCENARIO)

    async def older() -> None:
        async with FactoryClient(connection_to(emulator, max_requests_per_second=10)) as client:
            await client.check_factory()
            await check(1, emulator, max_requests_per_second=0.5)
            for _ in range(4):
                await client.check_factory()

    asyncio.run(older())
    assert seconds_of(emulator) == pytest.approx(10, abs=0.11)


def test_a_cap_that_is_given_counts_instead_of_the_connections_and_takes_nothing_of_it(
    factory: Factory,
) -> None:
    emulator = factory(SCENARIO)
    asyncio.run(check(9, emulator, cap=Cap(4), max_requests_per_second=0.5))
    asyncio.run(check(5, emulator, max_requests_per_second=0.5))
    assert seconds_of(emulator) == pytest.approx(2 + 8, abs=0.01)


def test_two_caps_do_not_mix_in_clients_that_share_a_sign_in(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def in_turn() -> None:
        connection = connection_to(emulator)
        fast, slow = FactoryClient(connection, cap=Cap(4)), FactoryClient(connection, cap=Cap(0.5))
        async with fast, slow:
            for client in [fast] * 9 + [slow] * 5 + [fast] * 9:
                await client.check_factory()

    asyncio.run(in_turn())
    assert len(calls(emulator, "Token")) == 1
    times = [entry.at for entry in calls(emulator, "Factories_Get")]
    assert (times[-1] - times[0]).total_seconds() == pytest.approx(2 + 8 + 2, abs=0.01)


def test_two_caps_hold_side_by_side() -> None:
    async def leaving(pacer: Pacer, cap: Cap, times: int) -> float:
        for _ in range(times):
            await pacer.admit(write=False, cap=cap)
        return elapsed()

    async def both() -> tuple[float, float]:
        pacer = Pacer()
        return await asyncio.gather(leaving(pacer, Cap(4), 41), leaving(pacer, Cap(0.5), 6))

    with moving(lambda _: None):
        assert asyncio.run(both()) == pytest.approx((10, 10))


def test_every_attempt_counts(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("Factories_Get", status=503, count=3)
    talk(emulator, lambda client: client.check_factory(), max_requests_per_second=0.05)
    assert seconds_of(emulator) == pytest.approx(60, abs=0.01)


def test_every_page_of_a_list_counts() -> None:
    with playing() as asked, moving(lambda _: None):
        asked.answers = [Played(f'{{"value": [], "nextLink": "{asked.url}/{page}"}}') for page in range(4)]
        asked.answers.append(Played('{"value": []}'))
        talk(read(arm_endpoint=asked.url, max_requests_per_second=0.5), lambda client: client.list_triggers())
        assert len(asked.asked) == 5
        assert elapsed() == pytest.approx(8)


def test_what_a_cap_has_let_pass_does_not_gather_behind_a_closed_gate() -> None:
    async def go() -> list[float]:
        pacer, cap = Pacer(), Cap(1)

        async def one() -> float:
            await pacer.admit(write=True, cap=cap)
            return elapsed()

        pacer.refused(30, write=True)
        return sorted(await asyncio.gather(*(one() for _ in range(5))))

    with moving(lambda _: None):
        left = asyncio.run(go())
    assert left == pytest.approx([30, 31, 32, 33, 34])


def test_waiting_for_the_cap_uses_up_no_patience_with_throttling(factory: Factory) -> None:
    emulator = factory(SCENARIO)

    async def twice(client: FactoryClient) -> float:
        await client.check_factory()
        emulator.fail_next("Factories_Get", status=429, retry_after=1, count=2)
        await client.check_factory()
        return client.tally.paused_seconds

    assert talk(emulator, twice, max_requests_per_second=0.001) == pytest.approx(3000, abs=1)


def test_waiting_for_the_cap_is_not_said_to_be_the_services() -> None:
    async def go() -> tuple[float, float]:
        pacer, cap = Pacer(), Cap(0.1)
        pacer.refused(3, write=True)
        return await pacer.admit(write=True, cap=cap), await pacer.admit(write=True, cap=cap)

    with moving(lambda _: None):
        assert asyncio.run(go()) == (3, 0)


@given(st.floats(0.01, 200), st.lists(st.floats(0, 30), min_size=2, max_size=60))
def test_no_two_requests_leave_closer_together_than_a_cap_says(rate: float, gaps: list[float]) -> None:
    cap, now, leaves = Cap(rate), 0.0, []
    for gap in gaps:
        now += gap
        while (wait := cap.take(now)) > 0:
            now += wait
        leaves.append(now)
    for one, next_one in pairwise(leaves):
        assert next_one - one >= (1 - 1e-6) / rate


def test_a_cap_can_be_copied_as_operators_are() -> None:
    cap = Cap(2)
    assert copy.deepcopy(cap) == cap
    assert copy.deepcopy(cap) is not cap


def test_a_request_that_is_given_up_while_it_waits_takes_nothing() -> None:
    async def go() -> float:
        pacer, cap = Pacer(), Cap(0.1)
        await pacer.admit(write=False, cap=cap)
        waiting = asyncio.create_task(pacer.admit(write=False, cap=cap))
        await pause(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        await pacer.admit(write=False, cap=cap)
        return elapsed()

    with moving(lambda _: None):
        assert asyncio.run(go()) == pytest.approx(10)
