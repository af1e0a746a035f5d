"""What it costs a deferred sensor to watch many cancelling runs, by the factory's journal."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.watching import MOST_GROWN, MOST_REQUESTS, Cost, watched


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards the connection that the benchmark sets."""
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT", "")


def test_to_watch_a_thousand_cancelling_runs_for_ten_minutes_costs_at_most_200_requests() -> None:
    cost = watched(1000, violation_tolerance=None)
    assert cost.requests.total() <= 200
    assert set(cost.requests) == {"Factories_Get", "PipelineRuns_QueryByFactory"}


def test_activities_are_read_once_of_runs_that_were_canceling_for_over_a_minute() -> None:
    cost = watched(200)
    assert cost.canceling_for_over_a_minute == 180
    assert 180 <= cost.requests["ActivityRuns_QueryByPipelineRun"] <= 180 + 2 * 20
    assert cost.is_allowed


def test_to_read_them_also_of_runs_that_go_on_when_the_task_fails_costs_no_more() -> None:
    cost = watched(200, is_violated=True, on_stuck="fail")
    assert cost.canceling_for_over_a_minute == 180
    assert 180 <= cost.requests["ActivityRuns_QueryByPipelineRun"] <= 180 + 2 * 20
    assert cost.is_allowed


@pytest.mark.parametrize(
    ("sent", "slow", "grown", "is_allowed"),
    [
        (MOST_REQUESTS + 9, 9, MOST_GROWN, True),
        (MOST_REQUESTS + 10, 9, 0, False),
        (0, 9, MOST_GROWN + 1, False),
    ],
)
def test_more_requests_or_memory_than_agreed_are_not_allowed(
    sent: int, slow: int, grown: int, is_allowed: bool
) -> None:
    assert Cost(Counter({"PipelineRuns_Get": sent}), slow, grown).is_allowed is is_allowed
