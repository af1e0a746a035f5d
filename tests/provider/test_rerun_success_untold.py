"""A rerun that ended well, and whose worker dies before Airflow hears of it: told once more, sent never."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.batch.ledger import LEDGER_KEY, Phase
from airflow_provider_adfruns.operators.state import TaskLedger
from tests.provider.test_rerun_cleared import one_try
from tests.provider.test_rerun_resume import Store, WorkerDiedError, night, sent, store

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

__all__ = ["store"]


def die_judged(monkeypatch: pytest.MonkeyPatch, store: Store, **parameters: Any) -> dict[str, Any]:
    """Let the first try die once it has noted its verdict. :return: the report that it left."""
    finish = TaskLedger.finish

    def dying(self: TaskLedger, phase: Phase) -> None:
        finish(self, phase)
        raise WorkerDiedError

    first = one_try(1, 1, store, **parameters)
    with monkeypatch.context() as patch:
        patch.setattr(TaskLedger, "finish", dying)
        with pytest.raises(WorkerDiedError):
            first.run()
    return first.ti.report


@pytest.mark.parametrize(
    ("outcome", "parameters"),
    [
        ("succeeded", {}),
        ("succeeded", {"deferrable": True, "max_in_flight": 5}),
        ("succeeded", {"wait_for_completion": False}),
        ("failed", {"fail_if": "never"}),
    ],
    ids=["on the worker", "deferred", "not waiting", "failed windows that fail nothing"],
)
def test_the_next_try_by_itself_tells_the_same_windows_and_sends_nothing(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store, outcome: str, parameters: dict[str, Any]
) -> None:
    emulator = factory(night(outcome=outcome))
    told = die_judged(monkeypatch, store, **parameters)
    emulator.advance(300)
    again = one_try(2, 1, store, **parameters).run()
    assert again["run_ids"] == told["run_ids"]
    assert again["counts"] == {outcome.capitalize(): 12}
    assert [each["rerun_by"] for each in again["windows"]] == ["this batch"] * 12
    assert len(sent(emulator)) == 12
    assert store.get(LEDGER_KEY)["phase"] == Phase.SUCCEEDED


def test_so_does_the_one_after_it(factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    emulator = factory(night())
    die_judged(monkeypatch, store)
    one_try(2, 1, store).run()
    assert one_try(3, 1, store).run()["counts"] == {"Succeeded": 12}
    assert len(sent(emulator)) == 12


def test_a_persons_clear_begins_a_new_batch(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night(outcome="failed"))
    die_judged(monkeypatch, store, fail_if="never")
    assert len(one_try(2, 2, store, fail_if="never").run()["windows"]) == 12
    assert len(sent(emulator)) == 24


def test_after_a_verdict_that_was_not_told_the_next_try_reruns_what_has_failed_again(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night(outcome="failed"))
    die_judged(monkeypatch, store)
    assert store.get(LEDGER_KEY)["phase"] == Phase.FAILED
    one_try(2, 1, store, fail_if="never").run()
    assert len(sent(emulator)) == 24
