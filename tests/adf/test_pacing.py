"""Requests leave no faster than the service's bucket refills, and one refusal holds back everybody."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.pacing import READS, WRITES, Bucket, Limit, Pacer, shared_pacer
from airflow_provider_adfruns.adf.pause import elapsed, moving, pause
from benchmarks.throttling import Figures, paced
from tests.adf.talking import talk
from tests.conftest import calls, connection_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

LIMIT = Limit(60, 20)
SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "query_lag_seconds": 0,
    "pipelines": {"load": {"seconds": 60}},
    "triggers": {
        "hourly": {"pipeline": "load", "state": "stopped", "windows": {"count": 40, "status": "Failed"}}
    },
}

limits = st.builds(Limit, st.integers(1, 300), st.floats(0.1, 200))


@pytest.fixture
def clock() -> Iterator[list[float]]:
    """Let waits move a clock; holds each move."""
    moves: list[float] = []
    with moving(moves.append):
        yield moves


async def admitted(pacer: Pacer, count: int) -> list[float]:
    """Ask for so many writes at once. :return: when each may leave."""

    async def one() -> float:
        await pacer.admit(write=True)
        return elapsed()

    return sorted(await asyncio.gather(*(one() for _ in range(count))))


@given(limits, st.lists(st.floats(0, 30), min_size=1, max_size=80))
def test_no_stretch_of_time_admits_more_than_the_burst_and_what_it_regains(
    limit: Limit, gaps: list[float]
) -> None:
    bucket, now, leaves = Bucket(limit), 0.0, []
    for gap in gaps:
        now += gap
        while (wait := bucket.take(now)) > 0:
            now += wait
        leaves.append(now)
    for first, since in enumerate(leaves):
        for last in range(first, len(leaves)):
            assert last - first + 1 <= limit.burst + limit.per_second * (leaves[last] - since) + 1e-6


@given(limits, st.lists(st.tuples(st.floats(0, 30), st.floats(-5, 400), st.integers(0, 9)), max_size=40))
def test_what_the_service_says_is_left_never_adds_a_token_or_speed(
    limit: Limit, answers: list[tuple[float, float, int]]
) -> None:
    bucket, now = Bucket(limit), 0.0
    for gap, remaining, under_way in answers:
        now += gap
        bucket.take(now)
        tokens, pace = bucket.tokens, bucket.pace
        bucket.told(remaining, under_way, now)
        assert bucket.tokens <= tokens
        assert bucket.pace == pace


def test_less_left_than_believed_is_believed_but_for_a_reserve_and_what_is_under_way() -> None:
    bucket = Bucket(LIMIT)
    bucket.told(10, 4, 0)
    waits = [bucket.take(0) for _ in range(4)]
    assert waits == [0, 0, 0, pytest.approx(1 / LIMIT.per_second)]


def test_the_less_is_left_the_longer_is_the_wait() -> None:
    waits = []
    for remaining in (3, 2, 1, 0):
        bucket = Bucket(LIMIT)
        bucket.told(remaining, 0, 0)
        waits.append(bucket.take(0))
    assert waits == pytest.approx([0.05, 0.1, 0.15, 0.2])


def test_a_bucket_that_was_full_for_an_hour_is_not_taken_for_one_that_does_not_refill() -> None:
    bucket = Bucket(LIMIT)
    bucket.take(0)
    bucket.told(LIMIT.burst - 1, 0, 0)
    taken = [bucket.take(3600) for _ in range(50)]
    bucket.told(LIMIT.burst - 50, 0, 3600)
    assert taken == [0] * 50
    assert bucket.pace == 1


def test_a_refusal_slows_down_and_time_brings_the_speed_back() -> None:
    bucket = Bucket(LIMIT)
    bucket.refused(0)
    assert bucket.pace == pytest.approx(0.8)
    bucket.refill(6)
    assert 0.8 < bucket.pace < 1
    bucket.refill(60)
    assert bucket.pace == 1


def test_however_often_it_is_refused_it_goes_on() -> None:
    bucket = Bucket(LIMIT)
    for second in range(1000):
        bucket.refused(second)
    assert bucket.take(1000) <= 1 / (LIMIT.per_second * 0.05)


def test_a_refusal_closes_the_gate_for_reads_and_writes_until_its_time_is_over(clock: list[float]) -> None:
    async def both() -> tuple[float, float]:
        pacer = Pacer()
        pacer.refused(17, write=True)
        reading = asyncio.create_task(pacer.admit(write=False))
        await pacer.admit(write=True)
        written_at = elapsed()
        await reading
        return written_at, elapsed()

    assert asyncio.run(both()) == (17, 17)
    assert sum(clock) == 17


def test_a_shorter_refusal_does_not_open_the_gate_earlier(clock: list[float]) -> None:
    pacer = Pacer()
    pacer.refused(17, write=True)
    pacer.refused(3, write=True)
    asyncio.run(pacer.admit(write=False))
    assert sum(clock) == 17


def test_those_who_wait_when_the_gate_closes_do_not_all_leave_when_it_opens(clock: list[float]) -> None:
    async def go() -> list[float]:
        pacer = Pacer(writes=Limit(3, 1))
        await pacer.admit(write=True)
        waiting = asyncio.create_task(admitted(pacer, 6))
        await pause(0)
        pacer.refused(10, write=True)
        return await waiting

    left = asyncio.run(go())
    assert left[0] >= 10
    assert len({round(each, 3) for each in left}) == 6
    assert clock


def test_refusals_of_requests_under_way_together_slow_down_once(clock: list[float]) -> None:
    pacer = Pacer(writes=LIMIT)
    for _ in range(8):
        pacer.refused(1, write=True)
    assert pacer._buckets[True].pace == 0.8
    assert clock == []


def test_one_pacer_serves_the_event_loops_of_several_threads() -> None:
    pacer, found = Pacer(writes=Limit(50, 1000)), []

    def work() -> None:
        found.append(asyncio.run(admitted(pacer, 25)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(each) for each in found] == [25] * 4
    assert pacer._under_way[True] == 100


def test_a_process_has_one_pacer_for_a_principal_of_a_subscription() -> None:
    assert shared_pacer("arm", "sub", "me") is shared_pacer("arm", "sub", "me")
    assert shared_pacer("arm", "sub", "me") is not shared_pacer("arm", "sub", "other")
    assert shared_pacer("arm", "sub", "me") is not shared_pacer("arm", "other", "me")


async def _after_refusal(refused: FactoryClient, ask: Callable[[], Awaitable[Any]]) -> None:
    while not refused.tally.throttled:
        await pause(0)
    await ask()


def test_a_refused_client_holds_back_the_other_clients_of_its_principal(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("Factories_Get", status=429, retry_after=40)

    async def two() -> None:
        connection = connection_to(emulator)
        async with FactoryClient(connection) as one, FactoryClient(connection) as other:
            await asyncio.gather(one.check_factory(), _after_refusal(one, other.list_triggers))

    asyncio.run(two())
    [listed] = calls(emulator, "Triggers_ListByFactory")
    refused, _ = calls(emulator, "Factories_Get")
    assert (listed.at - refused.at).total_seconds() >= 40


def test_at_most_so_many_requests_a_second_leave_as_the_connection_says(factory: Factory) -> None:
    emulator = factory(SCENARIO)

    async def often(client: FactoryClient) -> None:
        for _ in range(11):
            await client.check_factory()

    talk(emulator, often, max_requests_per_second="0.5")
    times = [entry.at for entry in calls(emulator, "Factories_Get")]
    assert (times[-1] - times[0]).total_seconds() == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize("rate", [20, 50])
def test_told_the_limit_many_writes_take_what_it_allows_and_hardly_one_is_refused(rate: int) -> None:
    found = paced(600, Limit(60, rate), Limit(60, rate))
    assert found.done == 600
    assert found.seconds <= 1.03 * (600 - 60) / rate
    assert found.refused_share <= 0.005


@pytest.mark.parametrize("rate", [20, 50])
def test_where_half_is_allowed_many_writes_take_hardly_longer_than_they_have_to(rate: int) -> None:
    found: Figures = paced(600, Limit(60, rate), Limit(60, rate / 2))
    assert found.done == 600
    assert found.seconds <= 1.15 * (600 - 60) / (rate / 2)
    assert found.refused_share <= 0.03


def test_the_documented_limits_are_what_is_believed_by_default() -> None:
    assert (Limit(250, 25), Limit(200, 10)) == (READS, WRITES)
