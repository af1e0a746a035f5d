"""Several emulators in one process: each has its own runs, clock, faults, journal and page of a query."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Door, Serve

FACTORIES = 3


def night(number: int) -> dict[str, Any]:
    """Return a factory with so many failed windows, of which the last comes to be rerun."""
    return {
        "seed": 7,
        "factory": {"name": f"factory-{number}"},
        "pipelines": {"load": {"seconds": 60}},
        "triggers": {
            "hourly": {
                "pipeline": "load",
                "state": "stopped",
                "windows": {"count": number + 1, "status": "Failed"},
            }
        },
    }


def rerun_all(door: Door) -> list[str]:
    """Rerun every window, half a minute of the factory apart, and return their latest statuses."""
    for run in door.trigger_runs(("Status", "Equals", ["Failed"])):
        door.rerun(run).raise_for_status()
        door.emulator.advance(30)
    door.emulator.advance(60)
    return sorted(run["status"] for run in door.trigger_runs())


@pytest.fixture
def doors(serve: Serve) -> list[Door]:
    return [serve(night(number), wire_generation="2022" if number else "2021") for number in range(FACTORIES)]


def test_three_factories_are_worked_in_parallel_and_none_sees_the_others(doors: list[Door]) -> None:
    with ThreadPoolExecutor(FACTORIES) as pool:
        statuses = list(pool.map(rerun_all, doors))
    assert statuses == [["Failed"] * count + ["Succeeded"] * count for count in (1, 2, 3)]
    reruns = [
        [entry.status for entry in door.emulator.journal if entry.operation == "TriggerRuns_Rerun"]
        for door in doors
    ]
    assert reruns == [[200], [200, 200], [200, 200, 200]]
    assert [door.emulator.now.minute for door in doors] == [41, 42, 42]


def test_a_fault_of_one_factory_is_not_anothers(doors: list[Door]) -> None:
    doors[1].emulator.fail_next("Factories_Get", status=503)
    assert [door.get().status_code for door in doors] == [200, 503, 200]


def test_a_factory_does_not_know_the_others_names(doors: list[Door]) -> None:
    assert doors[0].client.get(doors[1].base, params={"api-version": "2018-06-01"}).status_code == 404
