"""A rerun whose worker dies is taken up by the next try: no window twice, none forgotten."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import RunsNotAsWanted, Unreachable, WritesStopped
from airflow_provider_adfruns.batch.ledger import LEDGER_KEY, KeptLedger, Phase
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.conftest import calls
from tests.provider.scenarios import NIGHT_RANGE, NOW
from tests.provider.tasks import Task, TaskInstance, event_of, through_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow.sdk import Context

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]


class Store:
    """Stands for Airflow's task state store: a file of JSON that outlives tries."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _all(self) -> dict[str, Any]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}

    def get(self, key: str, default: Any = None) -> Any:
        return self._all().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self._path.write_text(json.dumps(self._all() | {key: value}))


class Try(TaskInstance):
    """One try of a task instance."""

    id = "0199-task-instance"

    def __init__(self, number: int, store: Store | None) -> None:
        super().__init__()
        self.try_number = number
        self._store = store

    @property
    def context(self) -> Context:
        return cast("Context", {"ti": self} | ({"task_state_store": self._store} if self._store else {}))


class WorkerDiedError(BaseException):
    """Stands for SIGKILL: nothing of the task runs after it."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.json")


def task(number: int, store: Store | None, **parameters: Any) -> Task:
    made = Task(AdfRerunTumblingWindowRunsOperator, trigger_name="hourly", **{**NIGHT_RANGE, **parameters})
    made.ti = Try(number, store)
    return made


def night(count: int = 12, *, lag: float = 2, outcome: str = "succeeded") -> dict[str, Any]:
    windows = {"from": f"-PT{count}H", "count": count, "status": "Failed", "rerun_outcome": outcome}
    return {
        "now": NOW,
        "query_lag_seconds": lag,
        "pipelines": {"load": {"seconds": 60}},
        "triggers": {"hourly": {"pipeline": "load", "state": "stopped", "windows": [windows]}},
    }


def die_in_first_try(
    monkeypatch: pytest.MonkeyPatch, store: Store | None, *, after: int, **parameters: Any
) -> None:
    """Let the first try's worker die after so many reruns, the last one's answer unseen."""
    rerun = FactoryClient.rerun_trigger_run
    begun = 0

    async def dying(self: FactoryClient, trigger_name: str, run_id: str) -> None:
        nonlocal begun
        begun += 1
        if begun <= after:
            await rerun(self, trigger_name, run_id)
        if begun >= after:
            raise WorkerDiedError

    with monkeypatch.context() as patch:
        patch.setattr(FactoryClient, "rerun_trigger_run", dying)
        with pytest.raises(WorkerDiedError):
            task(1, store, **parameters).run()


def sent(emulator: AdfEmulator) -> list[str]:
    return sorted(entry.path.split("/")[-2] for entry in calls(emulator, "TriggerRuns_Rerun"))


def failed_ids(emulator: AdfEmulator) -> list[str]:
    return sorted(run["triggerRunId"] for run in emulator.trigger_runs("hourly") if run["status"] == "Failed")


@pytest.mark.parametrize("with_store", [True, False], ids=["with a store", "without one"])
@pytest.mark.parametrize("posts", [0, 1, 5, 12])
@pytest.mark.parametrize("lag", [0, 20])
def test_a_try_after_a_crash_sends_what_is_left_and_nothing_twice(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store, with_store: bool, posts: int, lag: float
) -> None:
    emulator = factory(night(lag=lag))
    expected = failed_ids(emulator)
    kept = store if with_store else None
    die_in_first_try(monkeypatch, kept, after=posts)
    task(2, kept).run()
    assert sent(emulator) == expected


def test_the_report_after_a_crash_is_that_of_the_whole_batch(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    factory(night())
    die_in_first_try(monkeypatch, store, after=5)
    assert task(2, store).run()["counts"] == {"Succeeded": 12}


def test_a_try_that_dies_while_it_waits_is_followed_by_one_that_only_waits(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night())

    async def die(*_: object, **__: object) -> None:
        raise WorkerDiedError

    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_adfruns.batch.watch.wait_until_done", die)
        with pytest.raises(WorkerDiedError):
            task(1, store).run()
    assert store.get(LEDGER_KEY)["phase"] == Phase.WATCHING
    assert task(2, store).run()["counts"] == {"Succeeded": 12}
    assert len(sent(emulator)) == 12


def test_a_retry_after_the_verdict_reruns_what_has_failed_again(factory: Start, store: Store) -> None:
    emulator = factory(night(3, outcome="failed"))
    with pytest.raises(RunsNotAsWanted):
        task(1, store).run()
    assert store.get(LEDGER_KEY)["phase"] == Phase.FAILED
    first = {entry.effect["triggerRunId"] for entry in calls(emulator, "TriggerRuns_Rerun")}
    with pytest.raises(RunsNotAsWanted):
        task(2, store).run()
    again = [entry.path.split("/")[-2] for entry in calls(emulator, "TriggerRuns_Rerun")][3:]
    assert sorted(again) == sorted(first)


@pytest.mark.parametrize(
    ("other", "windows"), [({"window_start": "2026-03-01T04:00:00Z"}, 2), ({"statuses": "Cancelled"}, 0)]
)
def test_another_selection_is_another_batch(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store, other: dict[str, Any], windows: int
) -> None:
    emulator = factory(night())
    die_in_first_try(monkeypatch, store, after=0)
    assert len(task(2, store, **other).run()["windows"]) == windows
    assert len(sent(emulator)) == windows


def test_a_batch_that_is_taken_up_goes_on_in_the_order_in_which_it_began(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night(3))
    began = {run["triggerRunId"]: str(run["triggerRunTimestamp"]) for run in emulator.trigger_runs("hourly")}
    die_in_first_try(monkeypatch, store, after=0)
    task(2, store, newest_first=True, max_in_flight=1).run()
    assert [entry.subject for entry in calls(emulator, "TriggerRuns_Rerun")] == sorted(
        began, key=began.__getitem__
    )


def test_another_factory_is_another_batch(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    factory(night())
    die_in_first_try(monkeypatch, store, after=0)
    other = factory(night(3) | {"factory": {"name": "other"}})
    assert len(task(2, store).run()["windows"]) == 3
    assert len(sent(other)) == 3


def test_a_first_try_does_not_wait_for_reruns_that_nobody_can_have_sent(factory: Start, store: Store) -> None:
    emulator = factory(night(3))
    task(1, store, wait_for_completion=False).run()
    first, *_ = calls(emulator, "TriggerRuns_Rerun")
    assert first.at.isoformat() == NOW.replace("Z", "+00:00")


def test_a_dry_run_leaves_an_open_batch_as_it_is(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night())
    die_in_first_try(monkeypatch, store, after=5)
    before = store.get(LEDGER_KEY)
    task(2, store, dry_run=True).run()
    assert store.get(LEDGER_KEY) == before
    assert len(sent(emulator)) == 5


@pytest.mark.parametrize("kept", ["cut short", {"batch_id": "x", "phase": "submitting"}, {"handed": "5"}])
def test_a_ledger_that_cannot_be_read_is_as_good_as_none(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store, kept: Any
) -> None:
    emulator = factory(night(lag=20))
    expected = failed_ids(emulator)
    die_in_first_try(monkeypatch, store, after=5)
    store.set(LEDGER_KEY, store.get(LEDGER_KEY) | kept if "handed" in kept else kept)
    assert task(2, store).run()["counts"] == {"Succeeded": 12}
    assert sent(emulator) == expected


@pytest.mark.parametrize("with_store", [True, False], ids=["with a store", "without one"])
def test_a_dry_run_of_a_later_try_plans_as_that_of_the_first(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store, with_store: bool
) -> None:
    factory(night())
    kept = store if with_store else None
    die_in_first_try(monkeypatch, kept, after=0)
    assert task(2, kept, dry_run=True).run()["counts"] == {"planned": 12}


def test_a_batch_whose_range_has_slipped_out_of_the_history_is_taken_up_nevertheless(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night())
    oldest = {"window_start": (emulator.now - timedelta(days=45) + timedelta(minutes=1)).isoformat()}
    die_in_first_try(monkeypatch, store, after=5, **oldest)
    emulator.advance(120)
    assert task(2, store, **oldest).run()["counts"] == {"Succeeded": 12}


def dead_after(monkeypatch: pytest.MonkeyPatch, emulator: AdfEmulator, *, posts: int) -> None:
    """Let queries fail from this rerun on, whose answer is lost."""
    rerun = FactoryClient.rerun_trigger_run

    begun = 0

    async def counting(self: FactoryClient, trigger_name: str, run_id: str) -> None:
        nonlocal begun
        begun += 1
        if begun == posts:
            emulator.fail_next("TriggerRuns_Rerun", drop_connection=True, processed=True)
            emulator.fail_next("TriggerRuns_QueryByFactory", for_seconds=3600, status=503)
        await rerun(self, trigger_name, run_id)

    monkeypatch.setattr(FactoryClient, "rerun_trigger_run", counting)


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "not waiting"])
def test_a_factory_that_cannot_be_read_while_reruns_are_sent_leaves_a_report_and_an_open_batch(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store, waits: bool
) -> None:
    emulator = factory(night(60))
    options: dict[str, Any] = {"window_start": "2026-02-26T00:00:00Z", "wait_for_completion": waits}
    options["max_requests_per_second"] = 5  # so that it is time to look again after the first fifty
    made = task(1, store, **options)
    with monkeypatch.context() as patch:
        dead_after(patch, emulator, posts=50)
        with pytest.raises(Unreachable):
            made.run()
    assert made.ti.report["counts"] == {"not visible yet": 49, "unclear": 1, "not sent": 10}
    emulator.clear_faults()
    task(2, store, **options).run()
    assert len(sent(emulator)) == len(set(sent(emulator))) == 60


def test_a_factory_that_cannot_be_read_after_the_last_rerun_leaves_a_report(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night())
    made = task(1, store, wait_for_completion=False)
    move_to = KeptLedger.move_to

    def moving_to(self: KeptLedger, phase: Phase) -> None:
        emulator.fail_next("TriggerRuns_QueryByFactory", for_seconds=3600, status=503)
        move_to(self, phase)

    monkeypatch.setattr(KeptLedger, "move_to", moving_to)
    with pytest.raises(Unreachable):
        made.run()
    assert made.ti.report["counts"] == {"not visible yet": 12}


def test_a_try_that_was_taken_for_dead_sends_nothing_more_once_another_has_taken_up_its_batch(
    factory: Start, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    emulator = factory(night(120))
    rerun = FactoryClient.rerun_trigger_run

    async def taken_up(self: FactoryClient, trigger_name: str, run_id: str) -> None:
        store.set(LEDGER_KEY, store.get(LEDGER_KEY) | {"owner": "another#2"})
        await rerun(self, trigger_name, run_id)

    monkeypatch.setattr(FactoryClient, "rerun_trigger_run", taken_up)
    with pytest.raises(WritesStopped, match="try another#2 has taken up the batch"):
        task(1, store, window_start="2026-02-20T00:00:00Z").run()
    assert len(sent(emulator)) == 50
    assert store.get(LEDGER_KEY)["owner"] == "another#2"


def test_a_try_that_was_taken_for_dead_does_not_judge_the_batch_that_another_has_taken_up(
    factory: Start, store: Store
) -> None:
    factory(night())
    made = task(1, store, deferrable=True)
    deferral = made.defer()
    store.set(LEDGER_KEY, store.get(LEDGER_KEY) | {"owner": "another#2"})
    made.resume(deferral, event_of(through_json(deferral.trigger)))
    assert store.get(LEDGER_KEY)["phase"] == Phase.WATCHING
