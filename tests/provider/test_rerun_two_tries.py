"""Two tries of one task at once, since Airflow may take a worker for dead that is not: one of them sends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import WritesStopped
from airflow_provider_adfruns.batch.ledger import LEDGER_KEY, Phase
from airflow_provider_adfruns.operators.state import TaskLedger
from tests.provider.tasks import event_of, through_json
from tests.provider.test_rerun_resume import Store, Try, die_in_first_try, night, sent, store, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.model import Trigger
    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

__all__ = ["store"]


def test_a_batch_is_its_new_trys_before_that_try_reads_how_the_batch_stands(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night(lag=20))
    die_in_first_try(monkeypatch, store, after=0)
    undead = TaskLedger(Try(1, store).context).kept()
    assert undead is not None
    get_trigger = FactoryClient.get_trigger

    async def meanwhile(self: FactoryClient, trigger_name: str) -> Trigger:
        with pytest.raises(WritesStopped, match="has taken up the batch"):
            undead.hand(undead.ledger.windows[-1:], [])
        return await get_trigger(self, trigger_name)

    monkeypatch.setattr(FactoryClient, "get_trigger", meanwhile)
    assert task(2, store).run()["counts"] == {"Succeeded": 12}
    assert len(sent(emulator)) == 12


def test_a_batch_that_was_only_waited_for_may_be_sent_again_from_when_another_try_takes_it_up(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    factory(night())
    die_in_first_try(monkeypatch, store, after=0)
    first = TaskLedger(Try(1, store).context).kept()
    assert first is not None
    first.move_to(Phase.WATCHING)
    assert TaskLedger(Try(2, store).context).take() == first.ledger
    assert store.get(LEDGER_KEY)["phase"] == Phase.SUBMITTING


def test_what_may_have_been_sent_before_is_sent_again_only_as_long_as_the_batch_is_this_trys(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night())
    die_in_first_try(monkeypatch, store, after=0)
    assert store.get(LEDGER_KEY)["handed"] == 12
    rerun = FactoryClient.rerun_trigger_run

    async def taken_up(self: FactoryClient, trigger_name: str, run_id: str) -> None:
        store.set(LEDGER_KEY, store.get(LEDGER_KEY) | {"owner": "another#3"})
        await rerun(self, trigger_name, run_id)

    monkeypatch.setattr(FactoryClient, "rerun_trigger_run", taken_up)
    with pytest.raises(WritesStopped, match="try another#3 has taken up the batch"):
        task(2, store, max_in_flight=4).run()
    assert len(sent(emulator)) == 4


def test_a_try_that_comes_back_from_the_triggerer_sends_nothing_of_a_batch_that_is_anothers_by_then(
    factory: Start, store: Store
) -> None:
    emulator = factory(night())
    options: dict[str, Any] = {"deferrable": True, "max_in_flight": 4}
    undead = task(1, store, **options)
    deferral = undead.defer()
    event = event_of(through_json(deferral.trigger))
    task(2, store, **options).defer()
    before = len(sent(emulator))
    with pytest.raises(WritesStopped, match="has taken up the batch"):
        undead.resume(deferral, event)
    assert len(sent(emulator)) == before


def test_a_try_that_plans_for_too_long_leaves_the_batch_to_the_one_that_has_begun_it_meanwhile(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night())
    get_trigger = FactoryClient.get_trigger

    async def meanwhile(self: FactoryClient, trigger_name: str) -> Trigger:
        monkeypatch.setattr(FactoryClient, "get_trigger", get_trigger)
        with ThreadPoolExecutor(1) as worker:
            worker.submit(task(2, store, deferrable=True, max_in_flight=4).defer).result()
        return await get_trigger(self, trigger_name)

    monkeypatch.setattr(FactoryClient, "get_trigger", meanwhile)
    with pytest.raises(WritesStopped, match="#2 has taken up the batch"):
        task(1, store).run()
    assert len(sent(emulator)) == 4
    assert store.get(LEDGER_KEY)["owner"].endswith("#2")
