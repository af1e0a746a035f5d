"""A recovery whose task dies, is killed, cleared or retried: what it has cancelled it also reruns, once."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import RunsNotAsWanted, WaitTimedOut
from airflow_provider_adfruns.operators.recover import AdfRecoverStuckTriggerRunsOperator
from airflow_provider_adfruns.operators.state import TaskLedger
from tests.adf.talking import talk
from tests.conftest import calls
from tests.provider.tasks import Task
from tests.provider.test_recover_operator import NIGHT, STUCK, reasons, sent, windows
from tests.provider.test_rerun_resume import Store, Try, WorkerDiedError, store

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

__all__ = ["store"]

DONE = [*["Succeeded"] * 3, "WaitingOnDependency", *["Succeeded"] * 2]
WAYS_TO_WAIT = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def one_try(number: int, store: Store | None, *, max_tries: int = 3, **parameters: Any) -> Task:
    made = Task(AdfRecoverStuckTriggerRunsOperator, trigger_name="report", **{**NIGHT, **parameters})
    made.ti = Try(number, store)
    made.ti.max_tries = max_tries  # type: ignore[attr-defined]
    return made


def die_at(
    monkeypatch: pytest.MonkeyPatch, method: str, *, after: int, store: Store | None, **parameters: Any
) -> None:
    """Let the first try's worker die at its n-th call of a method, which arrives, its answer unseen."""
    call = getattr(FactoryClient, method)
    begun = 0

    async def dying(self: FactoryClient, *arguments: Any, **options: Any) -> None:
        nonlocal begun
        begun += 1
        if begun <= after:
            await call(self, *arguments, **options)
        if begun >= after:
            raise WorkerDiedError

    with monkeypatch.context() as patch:
        patch.setattr(FactoryClient, method, dying)
        with pytest.raises(WorkerDiedError):
            one_try(1, store, **parameters).run()


@WAYS_TO_WAIT
@pytest.mark.parametrize("method", ["cancel_trigger_run", "rerun_trigger_run"])
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("lag", [0, 20])
def test_after_a_crash_the_next_try_does_what_is_left_and_nothing_twice(
    factory: Start,
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
    method: str,
    after: int,
    lag: float,
    deferrable: bool,
) -> None:
    emulator = factory({**STUCK, "query_lag_seconds": lag})
    die_at(monkeypatch, method, after=after, store=store, deferrable=deferrable)
    assert one_try(2, store, deferrable=deferrable).run()["counts"] == {"Succeeded": 2}
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "two"]
    assert windows(emulator) == DONE


def test_after_a_crash_in_which_the_cancels_are_complete_none_is_cancelled_again(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(STUCK)
    die_at(monkeypatch, "rerun_trigger_run", after=0, store=store)
    one_try(2, store).run()
    assert sent(emulator, "TriggerRuns_Cancel") == ["four", "two"]


def slow() -> dict[str, Any]:
    scenario = deepcopy(STUCK)
    scenario["triggers"]["report"]["cancel_seconds"] = 600
    return scenario


@pytest.mark.parametrize(
    ("number", "max_tries", "minutes"),
    [(2, 3, 0), (2, 3, 60), (5, 6, 0), (5, 6, 60)],
    ids=["a retry", "a retry when they are cancelled", "a clear", "a clear when they are cancelled"],
)
def test_who_is_ended_while_the_runs_are_being_cancelled_goes_on_in_the_next_try(
    factory: Start, store: Store, number: int, max_tries: int, minutes: int
) -> None:
    emulator = factory(slow())
    one_try(1, store, deferrable=True).defer()
    emulator.advance(60 * minutes)
    result = one_try(number, store, max_tries=max_tries, deferrable=True).run()
    assert result["counts"] == {"Succeeded": 2}
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "two"]
    assert windows(emulator)[:6] == DONE


def test_a_batch_that_ran_out_of_time_while_it_cancelled_is_taken_up(factory: Start, store: Store) -> None:
    emulator = factory(slow())
    with pytest.raises(WaitTimedOut, match=r"not rerun: 2; clear the task, and it goes on"):
        one_try(1, store, timeout=300).run()
    assert sent(emulator, "TriggerRuns_Rerun") == []
    assert one_try(2, store).run()["counts"] == {"Succeeded": 2}


def test_a_window_that_a_person_has_rerun_meanwhile_is_left_alone(factory: Start, store: Store) -> None:
    emulator = factory(slow())
    one_try(1, store, deferrable=True).defer()
    emulator.advance(900)

    async def rerun(client: FactoryClient) -> None:
        await client.rerun_trigger_run("report", "two")

    talk(emulator, rerun)
    emulator.advance(900)
    result = one_try(2, store).run()
    assert result["counts"] == {"Succeeded": 2}
    assert [each["rerun_by"] for each in result["windows"]] == ["somebody else", "this batch"]
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "two"]


def test_a_retry_after_a_verdict_reruns_what_was_cancelled_and_not_rerun(
    factory: Start, store: Store
) -> None:
    emulator = factory(STUCK)
    emulator.fail_next("TriggerRuns_Rerun", status=400, count=2)
    with pytest.raises(RunsNotAsWanted):
        one_try(1, store).run()
    assert one_try(2, store).run()["counts"] == {"Succeeded": 2}
    assert windows(emulator) == DONE


def test_what_was_cancelled_before_a_deadline_is_not_told_as_not_cancelled_after_it(
    factory: Start, store: Store
) -> None:
    emulator = factory(slow())
    for number in (1, 2):
        with pytest.raises(WaitTimedOut, match=r"not rerun: 2; clear the task, and it goes on"):
            one_try(number, store, deadline="2026-03-01T06:45:00Z").run()
    assert len(calls(emulator, "TriggerRuns_Cancel")) == 2
    assert one_try(3, store).run()["counts"] == {"Succeeded": 2}


@pytest.mark.parametrize("start", ["2026-03-01T01:00:00Z", "2026-03-01T05:00:00Z"])
def test_what_was_cancelled_is_rerun_also_if_the_range_has_moved_on_until_the_next_try(
    factory: Start, store: Store, start: str
) -> None:
    emulator = factory(STUCK)
    emulator.fail_next("TriggerRuns_Rerun", status=400, count=2)
    with pytest.raises(RunsNotAsWanted):
        one_try(1, store).run()
    later: dict[str, Any] = {"window_start": start, "window_end": "2026-03-01T07:00:00Z"}
    assert one_try(2, store, **later).run()["counts"] == {"Succeeded": 2}
    assert windows(emulator)[:6] == DONE


@pytest.mark.parametrize("method", ["cancel_trigger_run", "rerun_trigger_run"])
@pytest.mark.parametrize("after", [1, 2])
def test_after_a_crash_what_was_cancelled_is_rerun_also_if_the_range_has_moved_on(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store, method: str, after: int
) -> None:
    emulator = factory({**STUCK, "query_lag_seconds": 20})
    die_at(monkeypatch, method, after=after, store=store)
    one_try(2, store, window_end="2026-03-01T06:30:00Z").run()
    emulator.advance(600)
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "two"]
    assert windows(emulator)[:6] == DONE


@pytest.mark.parametrize("number", [2, 5], ids=["a retry", "a clear"])
def test_what_was_cancelled_and_not_rerun_is_so_after_a_success_that_bears_it(
    factory: Start, store: Store, number: int
) -> None:
    emulator = factory(STUCK)
    emulator.fail_next("TriggerRuns_Rerun", status=400, count=2)
    assert one_try(1, store, fail_if="never").run()["counts"] == {"refused": 2}
    assert one_try(number, store, max_tries=number + 1, fail_if="never").run()["counts"] == {"Succeeded": 2}
    assert windows(emulator) == DONE


def test_a_retry_after_a_verdict_reruns_what_failed_again(factory: Start, store: Store) -> None:
    scenario = deepcopy(STUCK)
    scenario["triggers"]["report"]["windows"][0]["rerun_outcome"] = "failed"
    emulator = factory(scenario)
    with pytest.raises(RunsNotAsWanted):
        one_try(1, store).run()
    with pytest.raises(RunsNotAsWanted):
        one_try(2, store).run()
    assert len(sent(emulator, "TriggerRuns_Rerun")) == 4


def test_who_ended_well_and_died_before_airflow_heard_of_it_tells_the_same_and_sends_nothing(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(STUCK)
    finish = TaskLedger.finish

    def dying(self: TaskLedger, phase: Any) -> None:
        finish(self, phase)
        raise WorkerDiedError

    with monkeypatch.context() as patch:
        patch.setattr(TaskLedger, "finish", dying)
        with pytest.raises(WorkerDiedError):
            one_try(1, store).run()
    assert one_try(2, store).run()["counts"] == {"Succeeded": 2}
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "two"]


def test_a_clear_of_a_task_that_has_succeeded_looks_anew(factory: Start, store: Store) -> None:
    emulator = factory(STUCK)
    one_try(1, store).run()
    assert one_try(2, store, max_tries=4).run()["counts"] == {}
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 2


def test_without_a_store_a_next_try_names_what_was_cancelled_and_never_ran(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(STUCK)
    die_at(monkeypatch, "rerun_trigger_run", after=1, store=None)
    second = one_try(2, None)
    with pytest.raises(RunsNotAsWanted, match=r"1 of 1 windows.*it was cancelled.*earlier try"):
        second.run()
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 1
    [left] = second.ti.report["windows"]
    third = Task(AdfRecoverStuckTriggerRunsOperator, trigger_name="report", run_ids=[left["run_id"]])
    assert third.run()["counts"] == {"Succeeded": 1}
    assert windows(emulator) == DONE


def test_without_a_store_a_next_try_names_a_rerun_that_failed(factory: Start) -> None:
    scenario = deepcopy(STUCK)
    scenario["triggers"]["report"]["windows"][0]["rerun_outcome"] = "failed"
    emulator = factory(scenario)
    with pytest.raises(RunsNotAsWanted):
        one_try(1, None).run()
    with pytest.raises(RunsNotAsWanted, match=r"2 of 2 windows.*its rerun is Failed.*earlier try"):
        one_try(2, None).run()
    assert len(sent(emulator, "TriggerRuns_Rerun")) == 2


def test_without_a_store_a_window_named_by_its_run_is_not_rerun_twice(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory({**STUCK, "query_lag_seconds": 20})
    ids: dict[str, Any] = {"run_ids": ["two", "four"], "window_start": None, "window_end": None}
    die_at(monkeypatch, "rerun_trigger_run", after=1, store=None, **ids)
    result = one_try(2, None, **ids).run()
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "two"]
    assert result["counts"] == {"Succeeded": 1}
    assert "it does not wait on dependencies: its latest run is Running" in reasons(result).values()


def test_a_window_that_a_person_has_cancelled_is_left_alone_and_the_report_says_how_to_rerun_it(
    factory: Start,
) -> None:
    emulator = factory(STUCK)

    async def cancel(client: FactoryClient) -> None:
        await client.cancel_trigger_run("report", "two")

    talk(emulator, cancel)
    emulator.advance(60)
    result = one_try(1, None).run()
    assert sent(emulator, "TriggerRuns_Rerun") == ["four"]
    assert reasons(result)["two"].startswith("it was cancelled while it waited, and never ran; rerun it by")
