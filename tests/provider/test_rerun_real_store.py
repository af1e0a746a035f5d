"""With Airflow's own task state store and task instances: a retry takes up the batch, a clear is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.batch.ledger import LEDGER_KEY
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.provider.test_rerun_resume import failed_ids, night, sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

stores = pytest.importorskip("airflow.models.task_state_store", reason="Airflow has the store since 3.3")


class DiedError(Exception):
    """Stands for the end of a worker; Airflow sees it, and retries."""


def die_once(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Let the first worker die when so many reruns have been accepted."""
    rerun = FactoryClient.rerun_trigger_run
    begun = 0

    async def dying(self: FactoryClient, trigger_name: str, run_id: str) -> None:
        nonlocal begun
        begun += 1
        await rerun(self, trigger_name, run_id)
        if begun == after:
            raise DiedError

    monkeypatch.setattr(FactoryClient, "rerun_trigger_run", dying)


def retrying(dag_id: str, **parameters: Any) -> DAG:
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfRerunTumblingWindowRunsOperator(
            task_id="rerun",
            trigger_name="hourly",
            window_start="2026-02-28T12:00:00Z",
            window_end="2026-03-01T06:00:00Z",
            retries=1,
            retry_delay=timedelta(0),
            **parameters,
        )
    return dag


def kept(dag_id: str) -> dict[str, Any]:
    """Return the ledger as Airflow's database has it."""
    row = stores.TaskStateStoreModel
    with create_session() as session:
        value = session.scalars(select(row.value).where(row.dag_id == dag_id, row.key == LEDGER_KEY)).one()
    return dict(json.loads(value))


@pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
def test_a_retry_takes_up_the_batch_of_the_try_that_died(
    factory: Start, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    emulator = factory(night(lag=20))
    expected = failed_ids(emulator)
    die_once(monkeypatch, after=5)
    dag_id = f"retried_{deferrable}"
    ran = run_dag(retrying(dag_id, deferrable=deferrable, max_in_flight=6))
    assert ran.states == {"rerun": "success"}
    assert sent(emulator) == expected
    assert ran.xcom("rerun")["counts"] == {"Succeeded": 12}
    assert {each["rerun_by"] for each in ran.xcom("rerun")["windows"]} == {"this batch"}
    assert (kept(dag_id)["phase"], kept(dag_id)["max_tries"]) == ("succeeded", 1)


def test_a_clear_changes_max_tries_and_a_retry_does_not(
    factory: Start, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory(night(3))
    die_once(monkeypatch, after=2)
    run_dag(retrying("cleared"))
    with create_session() as session:
        (ti,) = session.scalars(select(TaskInstance).where(TaskInstance.dag_id == "cleared"))
        assert ti.max_tries == 1
        clear_task_instances([ti], session)
        assert ti.max_tries == 2
