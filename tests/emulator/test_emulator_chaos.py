"""Chance: the same seed and the same calls give the same journal, whatever the port and the process."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator import JournalEntry
    from tests.emulator.conftest import Door, Serve

EVER = {"lastUpdatedAfter": "2020-01-01T00:00:00Z", "lastUpdatedBefore": "2030-01-01T00:00:00Z"}


def scenario(seed: int) -> dict[str, Any]:
    hourly = {"pipeline": "load", "frequency": "Hour", "windows": {"count": 150, "status": "Failed"}}
    return {
        "seed": 5,
        "pipelines": {"load": {"seconds": 60}},
        "triggers": {"hourly": hourly},
        "throttling": {"writes": {"bucket": 20, "per_second": 0.1}},
        "faults": [
            {"rate": rate, "seed": seed, **fault}
            for rate, fault in (
                (0.05, {"operation": "*", "status": 503, "retry_after": 1}),
                (0.1, {"operation": "TriggerRuns_Rerun", "drop_connection": True, "processed": True}),
                (0.05, {"operation": "*", "drop_connection": True}),
                (0.05, {"operation": "*", "truncate": True}),
                (0.05, {"operation": "*", "refuse_token": True}),
                (0.2, {"operation": "TriggerRuns_QueryByFactory", "stale_seconds": 100}),
                (0.2, {"operation": "TriggerRuns_QueryByFactory", "lose": "page"}),
                (0.2, {"operation": "PipelineRuns_QueryByFactory", "lose": "rest"}),
            )
        ],
    }


def journal_of(door: Door, calls: int) -> tuple[JournalEntry, ...]:
    """Make mixed calls, which depend on nothing but their number, and return the journal."""
    choice = random.Random(11)  # noqa: S311
    windows = sorted(run["triggerRunId"] for run in door.emulator.trigger_runs())
    for _ in range(calls):
        window, run_id = choice.choice(windows), str(uuid.UUID(int=choice.getrandbits(128)))
        method, path, body = choice.choice(
            [
                ("POST", "/queryTriggerRuns", EVER),
                ("POST", "/queryPipelineRuns", EVER),
                ("POST", f"/triggers/hourly/triggerRuns/{window}/rerun", None),
                ("POST", f"/triggers/hourly/triggerRuns/{window}/cancel", None),
                ("POST", "/pipelines/load/createRun", {"day": run_id}),
                ("POST", f"/pipelineruns/{run_id}/cancel", None),
                ("GET", "/triggers/hourly", None),
                ("GET", "/nothing", None),
            ]
        )
        try:
            door.call(method, path, json=body, headers={"x-ms-client-request-id": run_id})
        except httpx.TransportError:
            door.emulator.advance(1)
        door.emulator.advance(choice.randrange(20))
    return tuple(door.emulator.journal)


def test_the_same_seed_and_the_same_calls_give_the_same_journal(serve: Serve) -> None:
    one, other = (journal_of(serve(scenario(seed=7)), 200) for _ in range(2))
    assert len(one) == 200
    assert len({entry.fault for entry in one}) == 9  # each kind of fault, and none
    assert one == other


def test_another_seed_spoils_other_calls(serve: Serve) -> None:
    one, other = (journal_of(serve(scenario(seed=seed)), 40) for seed in (7, 8))
    assert [entry.fault for entry in one] != [entry.fault for entry in other]


def test_a_reset_brings_the_same_chance_again(serve: Serve) -> None:
    door = serve(scenario(seed=7))
    before = journal_of(door, 40)
    door.emulator.reset()
    assert journal_of(door, 40) == before


def test_another_fault_leaves_the_draws_of_the_first_as_they_are(serve: Serve) -> None:
    def spoilt(*others: float) -> list[int]:
        door = serve({"pipelines": {"load": {}}})
        door.emulator.fail_sometimes("Factories_Get", rate=0.5, seed=3, status=500)
        for rate in others:
            door.emulator.fail_sometimes("Triggers_ListByFactory", rate=rate, seed=3, status=502)
        return [
            code for _ in range(40) for code in (door.get().status_code, door.get("/triggers").status_code)
        ][::2]

    assert spoilt() == spoilt(0.5)
    assert set(spoilt()) == {200, 500}


@pytest.mark.parametrize(("rate", "count", "failures"), [(1.0, 3, 3), (1.0, None, 5)])
def test_chance_spoils_no_more_calls_than_it_may(
    serve: Serve, rate: float, count: int | None, failures: int
) -> None:
    door = serve({"pipelines": {"load": {}}})
    door.emulator.fail_sometimes("*", rate=rate, count=count, status=500)
    assert [door.get().status_code for _ in range(5)].count(500) == failures
