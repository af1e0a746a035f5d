"""A person's clear of a rerun that was killed: only what the kill has cancelled is rerun once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import RunsNotAsWanted, WaitTimedOut
from airflow_provider_adfruns.batch.ledger import LEDGER_KEY
from tests.adf.talking import talk
from tests.conftest import calls
from tests.provider.test_rerun_resume import Store, night, sent, store, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.tasks import Task

    Start = Callable[..., AdfEmulator]

__all__ = ["store"]


def one_try(number: int, max_tries: int, store: Store, **parameters: Any) -> Task:
    made = task(number, store, **parameters)
    made.ti.max_tries = max_tries  # type: ignore[attr-defined]
    return made


def kill(emulator: AdfEmulator, count: int) -> list[str]:
    """Cancel the first reruns, as a kill does. :return: their trigger runs."""
    reruns = [str(entry.effect["triggerRunId"]) for entry in calls(emulator, "TriggerRuns_Rerun")][:count]
    pipeline_runs = [
        pipeline_run
        for run in emulator.trigger_runs("hourly")
        if run["triggerRunId"] in reruns
        for pipeline_run in run["triggeredPipelines"].values()
    ]

    async def cancel(client: FactoryClient) -> None:
        for pipeline_run in pipeline_runs:
            await client.cancel_pipeline_run(pipeline_run, is_recursive=True)

    talk(emulator, cancel)
    return reruns


def killed(emulator: AdfEmulator, store: Store, count: int = 2) -> list[str]:
    """Let a first try submit three windows and be killed. :return: the reruns that were cancelled."""
    with pytest.raises(WaitTimedOut):
        one_try(1, 1, store, timeout=20, poll_interval=10).run()
    assert len(sent(emulator)) == 3
    return kill(emulator, count)


@pytest.mark.parametrize("lag", [2, 20])
def test_after_a_clear_what_was_cancelled_is_rerun_once_more(
    factory: Start, store: Store, lag: float
) -> None:
    emulator = factory(night(3, lag=lag))
    cancelled = killed(emulator, store)
    result = one_try(2, 2, store).run()
    assert result["counts"] == {"Succeeded": 3}
    again = [str(entry.subject) for entry in calls(emulator, "TriggerRuns_Rerun")[3:]]
    assert sorted(again) == sorted(cancelled)
    assert {each["rerun_by"] for each in result["windows"]} == {"this batch"}
    was = {each["run_id"]: each["status_before"] for each in result["windows"]}
    assert {run_id for run_id, status in was.items() if status == "Cancelled"} == set(cancelled)


def test_after_a_clear_what_takes_minutes_to_be_cancelled_is_waited_for(factory: Start, store: Store) -> None:
    scenario = night(3)
    scenario["pipelines"]["load"] = {"seconds": 600, "cancel_seconds": 180}
    emulator = factory(scenario)
    killed(emulator, store)
    assert one_try(2, 2, store).run()["counts"] == {"Succeeded": 3}
    assert len(sent(emulator)) == 5


def test_an_automatic_retry_reruns_nothing_on_top_of_what_was_cancelled(factory: Start, store: Store) -> None:
    emulator = factory(night(3))
    killed(emulator, store)
    retry = one_try(2, 1, store)
    with pytest.raises(RunsNotAsWanted):
        retry.run()
    assert len(sent(emulator)) == 3
    assert retry.ti.report["counts"] == {"Cancelled": 2, "Succeeded": 1}


def test_a_retry_after_the_clear_does_not_rerun_what_a_colleague_has_cancelled_since(
    factory: Start, store: Store
) -> None:
    emulator = factory(night(3))
    killed(emulator, store)
    with pytest.raises(WaitTimedOut):
        one_try(2, 2, store, timeout=1).run()
    before = len(sent(emulator))
    kill(emulator, 5)
    retry = one_try(3, 2, store)
    with pytest.raises(RunsNotAsWanted):
        retry.run()
    assert len(sent(emulator)) == before


def test_a_window_that_is_being_cancelled_for_too_long_is_left_to_its_end(
    factory: Start, store: Store
) -> None:
    scenario = night(3)
    scenario["pipelines"]["load"] = {"seconds": 7200, "cancel_seconds": 3600}
    emulator = factory(scenario)
    killed(emulator, store)
    cleared = one_try(2, 2, store)
    with pytest.raises(RunsNotAsWanted):
        cleared.run()
    assert len(sent(emulator)) == 3
    assert cleared.ti.report["counts"] == {"Cancelled": 2, "Succeeded": 1}


def test_a_clear_of_a_batch_in_which_nothing_was_cancelled_only_waits(factory: Start, store: Store) -> None:
    emulator = factory(night(3))
    killed(emulator, store, count=0)
    assert one_try(2, 2, store).run()["counts"] == {"Succeeded": 3}
    assert len(sent(emulator)) == 3


def test_the_ledger_knows_the_clear_only_when_it_has_been_dealt_with(factory: Start, store: Store) -> None:
    factory(night(3))
    with pytest.raises(WaitTimedOut):
        one_try(1, 1, store, timeout=20, poll_interval=10).run()
    assert store.get(LEDGER_KEY)["max_tries"] == 1
    one_try(2, 2, store).run()
    assert store.get(LEDGER_KEY)["max_tries"] == 2


def test_after_a_second_clear_what_the_first_has_sent_once_more_is_still_the_batchs(
    factory: Start, store: Store
) -> None:
    emulator = factory(night(3))
    killed(emulator, store)
    with pytest.raises(WaitTimedOut):
        one_try(2, 2, store, timeout=50, poll_interval=10).run()
    assert len(sent(emulator)) == 5
    result = one_try(3, 3, store).run()
    assert len(sent(emulator)) == 5
    assert {(each["rerun_by"], each["note"]) for each in result["windows"]} == {("this batch", "")}
