"""A try that takes up a batch reads a history that may lag behind what the batch was planned by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import RunsNotAsWanted
from tests.provider.test_rerun_resume import Store, die_in_first_try, night, sent, store, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

__all__ = ["store"]
QUERY = "TriggerRuns_QueryByFactory"


def just_failed(seconds: float) -> dict[str, Any]:
    """Return a factory whose window of six o'clock runs for so many seconds, and fails for the first time."""
    scenario = night(3)
    scenario["now"] = "2026-03-01T05:59:50Z"
    scenario["pipelines"]["load"]["seconds"] = seconds
    scenario["triggers"]["hourly"] |= {"state": "started", "outcome": "failed", "rerun_outcome": "succeeded"}
    scenario["triggers"]["hourly"]["windows"][0] |= {"from": "2026-03-01T02:00:00Z"}
    return scenario


@pytest.mark.parametrize("seconds", [5, 20], ids=["not visible yet", "visible as running"])
def test_a_window_that_had_just_failed_is_taken_up_although_queries_show_it_as_it_was_before(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store, seconds: float
) -> None:
    emulator = factory(just_failed(seconds))
    emulator.advance(16 + seconds)
    die_in_first_try(monkeypatch, store, after=0)
    emulator.fail_next(QUERY, stale_seconds=15, for_seconds=15)
    assert task(2, store).run()["counts"] == {"Succeeded": 4}
    assert len(sent(emulator)) == 4


def test_a_window_whose_rerun_had_just_failed_again_is_taken_up(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    scenario = night(3)
    scenario["pipelines"]["load"]["seconds"] = 5
    runs = ["Failed", {"status": "Failed", "at": "-PT20S"}]
    scenario["triggers"]["hourly"]["windows"][0]["except"] = [{"windows": 1, "runs": runs}]
    emulator = factory(scenario)
    die_in_first_try(monkeypatch, store, after=0)
    result = task(2, store).run()
    assert {(each["status"], each["rerun_by"]) for each in result["windows"]} == {("Succeeded", "this batch")}
    assert len(sent(emulator)) == 3


def test_a_window_of_the_batch_that_has_slipped_out_of_the_history_is_named(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    scenario = night(3)
    days = 44 * 24 + 23
    scenario["triggers"]["hourly"]["windows"][0] |= {"from": f"-PT{days}H"}
    emulator = factory(scenario)
    options = {"window_start": "2026-01-15T07:00:00Z"}
    die_in_first_try(monkeypatch, store, after=0, **options)
    emulator.advance(7200)
    with pytest.raises(RunsNotAsWanted, match=r"2026-01-15 \d\d:00.* older than the factory's history"):
        task(2, store, **options).run()
