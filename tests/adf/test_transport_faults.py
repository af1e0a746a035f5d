"""One write is sent once whatever comes back, and a read goes on through trouble for as long as it may."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    ConnectionProblem,
    OutcomeUnknown,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
)
from airflow_provider_adfruns.adf.model import PipelineRun
from tests.adf.fields import read
from tests.adf.talking import talk
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]
    Work = Callable[[FactoryClient], Awaitable[Any]]

RUNNING = "11111111-1111-4111-8111-111111111111"
FAILED = "22222222-2222-4222-8222-222222222222"
CHOSEN = "33333333-3333-4333-8333-333333333333"
SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "query_lag_seconds": 0,
    "pipelines": {"load": {"seconds": 3600}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "state": "stopped",
            "windows": [
                {"from": "-PT2H", "count": 1, "runs": [{"status": "Failed", "id": "rerun-me"}]},
                {"from": "-PT4H", "count": 1, "runs": [{"status": "WaitingOnDependency", "id": "cancel-me"}]},
            ],
        }
    },
    "runs": [
        {"pipeline": "load", "status": "InProgress", "started": "-PT5M", "id": RUNNING},
        {"pipeline": "load", "status": "Failed", "started": "-PT5H", "id": FAILED},
    ],
}
WRITES: list[Any] = [
    pytest.param(
        "TriggerRuns_Rerun", lambda client: client.rerun_trigger_run("hourly", "rerun-me"), id="rerun"
    ),
    pytest.param(
        "TriggerRuns_Cancel",
        lambda client: client.cancel_trigger_run("hourly", "cancel-me"),
        id="cancel trigger",
    ),
    pytest.param(
        "PipelineRuns_Cancel",
        lambda client: client.cancel_pipeline_run(RUNNING, is_recursive=True),
        id="cancel pipeline",
    ),
    pytest.param(
        "Pipelines_CreateRun",
        lambda client: client.create_recovery_run("load", FAILED, run_id=CHOSEN),
        id="createRun",
    ),
]
FAULTS: list[Any] = [
    *[pytest.param({"status": status}, id=str(status)) for status in (500, 502, 503, 504, 408)],
    pytest.param({"status": 503, "retry_after": 1}, id="503 with Retry-After"),
    pytest.param({"status": 504, "processed": True}, id="504, done"),
    pytest.param({"drop_connection": True, "processed": True}, id="dropped, done"),
    pytest.param({"drop_connection": True}, id="dropped, not done"),
]
ROOT_URL = "http://127.0.0.1:9"  # the discard port, on which nothing listens


def outcome(factory: Any, work: Work, **options: Any) -> AdfRunsError:
    with pytest.raises(AdfRunsError) as failed:
        talk(factory, work, **options)
    return failed.value


@pytest.mark.parametrize(("operation", "write"), WRITES)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kept_alive", [False, True], ids=["first call", "kept-alive connection"])
def test_a_write_whose_answer_is_unclear_is_sent_once_and_said_to_be_unknown(
    factory: Factory, operation: str, write: Work, fault: dict[str, Any], kept_alive: bool
) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next(operation, **fault)

    async def work(client: FactoryClient) -> None:
        if kept_alive:
            await client.check_factory()
        await write(client)

    error = outcome(emulator, work)
    assert isinstance(error, OutcomeUnknown)
    assert len(calls(emulator, operation)) == 1


@pytest.mark.parametrize(
    ("write", "names"),
    [
        (WRITES[0].values[1], ["rerun-me", "'hourly'"]),
        (WRITES[1].values[1], ["cancel-me", "'hourly'"]),
        (WRITES[2].values[1], [RUNNING]),
        (WRITES[3].values[1], [FAILED, "'load'", CHOSEN]),
    ],
)
def test_an_unknown_outcome_names_the_run_and_says_to_look_before_repeating(
    factory: Factory, write: Work, names: list[str]
) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("*", status=503)
    message = str(outcome(emulator, write))
    for part in (
        *names,
        "HTTP 503 ServiceUnavailable",
        "may have been carried out",
        "not sent again",
        "Look",
    ):
        assert part in message


@pytest.mark.parametrize(("operation", "write"), WRITES)
def test_a_throttled_write_is_sent_again_after_the_wait_that_was_asked_for(
    factory: Factory, operation: str, write: Work
) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next(operation, status=429, retry_after=17)
    talk(emulator, write)
    refused, done = calls(emulator, operation)
    assert (refused.status, done.status) == (429, 200)
    assert (done.at - refused.at).total_seconds() == 17
    assert [entry.effect is not None for entry in (refused, done)] == [False, True]


def test_a_repeated_create_run_keeps_the_id_that_was_chosen(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("Pipelines_CreateRun", status=429, retry_after=1)
    assert talk(emulator, WRITES[3].values[1]) == CHOSEN


@pytest.mark.parametrize(("operation", "write"), WRITES)
def test_a_write_still_throttled_at_the_end_of_its_budget_was_not_done(
    factory: Factory, operation: str, write: Work
) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next(operation, status=429, count=100, retry_after=200)
    error = outcome(emulator, write)
    assert isinstance(error, Throttled)
    assert "it was not done" in str(error)
    assert [entry.effect for entry in calls(emulator, operation)] == [None] * 6


@pytest.mark.parametrize(("operation", "write"), WRITES)
def test_throttling_spends_nothing_of_the_budget_for_trouble(
    factory: Factory, operation: str, write: Work
) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next(operation, status=429, count=5, retry_after=100)
    talk(emulator, write, trouble_budget_seconds=1)
    assert [entry.status for entry in calls(emulator, operation)] == [429] * 5 + [200]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503},
        {"status": 429},
        {"status": 429, "retry_after": 3},
        {"drop_connection": True},
    ],
)
@pytest.mark.parametrize("count", [1, 4])
def test_a_read_is_repeated_through_trouble_until_it_succeeds(
    factory: Factory, fault: dict[str, Any], count: int
) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("PipelineRuns_Get", count=count, **fault)
    run = talk(emulator, lambda client: client.get_pipeline_run(RUNNING))
    assert isinstance(run, PipelineRun)
    assert len(calls(emulator, "PipelineRuns_Get")) == count + 1


def test_a_query_is_a_read_although_it_is_a_post(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("TriggerRuns_QueryByFactory", status=503)

    async def query(client: FactoryClient) -> int:
        now = await client.now()
        return len(
            await client.query_trigger_runs(
                last_updated_after=now.replace(year=2025), last_updated_before=now
            )
        )

    assert talk(emulator, query) == 2


def test_the_waits_between_attempts_grow_up_to_twenty_seconds(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("PipelineRuns_Get", status=503, count=7)
    talk(emulator, lambda client: client.get_pipeline_run(RUNNING))
    times = [entry.at for entry in calls(emulator, "PipelineRuns_Get")]
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert waits == [1, 2, 4, 8, 16, 20, 20]


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop_connection": True}])
def test_a_read_gives_up_at_the_end_of_its_budget_and_changes_nothing(
    factory: Factory, fault: dict[str, Any]
) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("PipelineRuns_Get", count=100, **fault)
    error = outcome(emulator, lambda client: client.get_pipeline_run(RUNNING), trouble_budget_seconds=10)
    assert isinstance(error, Unreachable)
    assert f"reading pipeline run {RUNNING}" in str(error)
    assert "Nothing was changed" in str(error)
    assert {entry.method for entry in emulator.journal} == {"GET"}


@pytest.mark.parametrize(("operation", "write"), WRITES)
def test_a_connection_that_cannot_be_made_leaves_nothing_unclear(
    factory: Factory, operation: str, write: Work
) -> None:
    emulator = factory(SCENARIO)  # its clock is moved by the waits
    error = outcome(read(arm_endpoint=ROOT_URL), write, trouble_budget_seconds=5)
    assert isinstance(error, Unreachable)
    for part in (ROOT_URL, "Nothing was changed", "network", "'adf'"):
        assert part in str(error)
    assert calls(emulator, operation) == []


@pytest.mark.parametrize(
    ("status", "expected"), [(400, UnexpectedAnswer), (409, UnexpectedAnswer), (418, UnexpectedAnswer)]
)
def test_an_answer_that_is_clear_but_not_understood_is_quoted_and_not_repeated(
    factory: Factory, status: int, expected: type[AdfRunsError]
) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("TriggerRuns_Rerun", status=status)
    error = outcome(emulator, WRITES[0].values[1])
    assert type(error) is expected
    assert f"HTTP {status}" in str(error)
    assert "rerun-me" in str(error)
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 1


def test_trouble_and_throttling_share_one_branch_of_the_tree() -> None:
    assert issubclass(Unreachable, ConnectionProblem)
    assert issubclass(Throttled, ConnectionProblem)
    assert not issubclass(OutcomeUnknown, ConnectionProblem)
