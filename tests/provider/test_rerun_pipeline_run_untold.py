"""Reruns of pipeline runs that end well while Airflow does not hear of it: told again, never sent again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import AdfRunsError, RunsNotAsWanted
from airflow_provider_adfruns.operators.state import TaskBatch
from tests.conftest import calls
from tests.provider.test_rerun_pipeline_run_operator import BROKEN, FACTORY, FAILED, RUNNING, Store, rerun
from tests.provider.test_rerun_resume import WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.tasks import Task

    Start = Callable[..., AdfEmulator]

BOTH = {"run_ids": [FAILED, BROKEN], "fail_if": "never"}


def die_judged(monkeypatch: pytest.MonkeyPatch, store: Store, **parameters: Any) -> dict[str, Any]:
    """Let a try die once it has noted its verdict. :return: the report that it left."""
    finish = TaskBatch.finish

    def dying(self: TaskBatch, *verdict: Any) -> None:
        finish(self, *verdict)
        raise WorkerDiedError

    task = rerun(store, **parameters)
    with monkeypatch.context() as patch:
        patch.setattr(TaskBatch, "finish", dying)
        with pytest.raises(WorkerDiedError):
            task.run()
    return task.ti.report


def cleared(store: Store, **parameters: Any) -> Task:
    """Return the task in the try after a person's clear, at which Airflow raises ``max_tries``."""
    task = rerun(store, **parameters)
    task.ti.max_tries = 3  # type: ignore[attr-defined]
    return task


def sent(emulator: AdfEmulator) -> Counter[str]:
    """Return how often each run has been rerun."""
    created = calls(emulator, "Pipelines_CreateRun")
    return Counter(entry.query["referencePipelineRunId"] for entry in created)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"fail_if": "all"}, {"deferrable": True}, {"wait_for_completion": False}],
    ids=["on the worker", "if not all fail", "deferred", "not waiting"],
)
def test_the_next_try_by_itself_tells_the_same_reruns_and_sends_nothing(
    factory: Start, monkeypatch: pytest.MonkeyPatch, parameters: dict[str, Any]
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    told = die_judged(monkeypatch, store, **BOTH | parameters)
    emulator.advance(300)
    task = rerun(store, **BOTH | parameters)
    task.run()
    assert task.ti.report["run_ids"] == told["run_ids"]
    assert task.ti.report["counts"] == {"Succeeded": 1, "Failed": 1}
    assert sent(emulator) == {FAILED: 1, BROKEN: 1}


def test_so_does_the_one_after_it(factory: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = factory(FACTORY)
    store = Store()
    for _ in range(2):
        die_judged(monkeypatch, store, **BOTH)
    rerun(store, **BOTH).run()
    assert sent(emulator) == {FAILED: 1, BROKEN: 1}


def test_a_batch_that_made_up_for_another_tells_what_both_have_rerun(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    with pytest.raises(RunsNotAsWanted):
        rerun(store, **BOTH | {"fail_if": "any"}).run()
    told = die_judged(monkeypatch, store, **BOTH)
    task = rerun(store, **BOTH)
    task.run()
    assert task.ti.report == told
    assert sent(emulator) == {FAILED: 1, BROKEN: 2}


def test_a_persons_clear_starts_each_run_anew(factory: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = factory(FACTORY)
    store = Store()
    die_judged(monkeypatch, store, **BOTH)
    cleared(store, **BOTH).run()
    assert sent(emulator) == {FAILED: 2, BROKEN: 2}


def test_a_try_after_the_clear_that_dies_untold_again_tells_its_own_reruns(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    first = die_judged(monkeypatch, store, **BOTH)
    cleared(store, **BOTH).run()
    task = cleared(store, **BOTH)
    task.run()
    assert set(task.ti.report["run_ids"]).isdisjoint(first["run_ids"])
    assert sent(emulator) == {FAILED: 2, BROKEN: 2}


def test_after_a_verdict_of_failure_that_was_not_told_the_next_try_makes_up_for_what_failed(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    die_judged(monkeypatch, store, **BOTH | {"fail_if": "any"})
    rerun(store, **BOTH).run()
    assert sent(emulator) == {FAILED: 1, BROKEN: 2}


def test_a_run_that_could_not_be_rerun_is_not_when_it_has_ended(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    both = {"run_ids": [BROKEN, RUNNING], "fail_if": "never"}
    told = die_judged(monkeypatch, store, **both)
    emulator.advance(300)
    task = rerun(store, **both)
    task.run()
    assert task.ti.report["run_ids"] == told["run_ids"]
    assert "the task has ended well without that" in task.ti.report["runs"][1]["problem"]
    assert sent(emulator) == {BROKEN: 1}


def test_a_rerun_of_an_earlier_batch_that_has_failed_since_is_told_and_not_sent_again(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    with pytest.raises(RunsNotAsWanted, match="nope"):
        rerun(store, run_ids=[BROKEN, "nope"], wait_for_completion=False).run()
    going_on = {"run_ids": [BROKEN, "nope"], "fail_if": "all", "wait_for_completion": False}
    die_judged(monkeypatch, store, **going_on)
    emulator.advance(300)
    task = rerun(store, **going_on)
    task.run()
    assert task.ti.report["runs"][0]["status"] == "Failed"
    assert sent(emulator) == {BROKEN: 1}


def test_a_clear_of_the_try_that_was_to_tell_them_sends_nothing_either(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    told = die_judged(monkeypatch, store, **BOTH)
    emulator.fail_next("PipelineRuns_Get", for_seconds=3600, status=503)
    with pytest.raises(AdfRunsError):
        rerun(store, **BOTH).run()
    emulator.clear_faults()
    task = cleared(store, **BOTH)
    task.run()
    assert task.ti.report["run_ids"] == told["run_ids"]
    assert sent(emulator) == {FAILED: 1, BROKEN: 1}
