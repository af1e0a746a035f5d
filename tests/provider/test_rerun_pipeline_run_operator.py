"""AdfRerunPipelineRunOperator on a local factory: each run once, whatever becomes of answers and tries."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import (
    InvalidInput,
    PipelineRunNotFound,
    RunsNotAsWanted,
    WaitTimedOut,
)
from airflow_provider_adfruns.operators.rerun import AdfRerunPipelineRunOperator
from tests.adf.talking import talk
from tests.conftest import calls
from tests.provider.tasks import Task, TaskInstance, statuses, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_provider_adfruns.emulator import AdfEmulator

BOTH = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])

FAILED = "00000000-0000-4000-8000-00000000000a"
ALSO = "00000000-0000-4000-8000-00000000000b"
RUNNING = "00000000-0000-4000-8000-00000000000c"
BROKEN = "00000000-0000-4000-8000-00000000000d"

FACTORY: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {
        "load": {
            "activities": [
                {"name": "Copy", "seconds": 60},
                {"name": "Merge", "seconds": 60, "dependsOn": ["Copy"]},
            ]
        },
        "broken": {"seconds": 10, "outcome": "failed"},
    },
    "runs": [
        {"pipeline": "load", "id": FAILED, "status": "Failed", "started": "-PT3H"},
        {"pipeline": "load", "id": ALSO, "status": "Cancelled", "started": "-PT2H"},
        {"pipeline": "load", "id": RUNNING, "status": "InProgress", "started": "-PT1M"},
        {"pipeline": "broken", "id": BROKEN, "status": "Failed", "started": "-PT2H"},
    ],
}


class Store(dict[str, Any]):
    """Stands for Airflow's task state store."""

    def set(self, key: str, value: Any, retention: Any = None) -> None:
        del retention
        self[key] = value


class Instance(TaskInstance):
    """A task instance with a store, in its first try of three."""

    max_tries = 2

    def __init__(self, store: Store | None) -> None:
        super().__init__()
        self.store = store

    @property
    def context(self) -> Context:
        extra = {} if self.store is None else {"task_state_store": self.store}
        return cast("Context", {"ti": self, **extra})


def rerun(store: Store | None = None, **parameters: Any) -> Task:
    task = Task(AdfRerunPipelineRunOperator, **parameters)
    task.ti = Instance(store)
    return task


@BOTH
def test_runs_are_rerun_from_their_failure_in_their_own_group(
    factory: Callable[..., AdfEmulator], deferrable: bool
) -> None:
    emulator = factory(FACTORY)
    task = rerun(run_ids=[FAILED, ALSO], deferrable=deferrable)
    task.run()
    created = calls(emulator, "Pipelines_CreateRun")
    sent = [(entry.query["referencePipelineRunId"], entry.query["startFromFailure"]) for entry in created]
    assert sorted(sent) == [(FAILED, "true"), (ALSO, "true")]
    groups = {run["runId"]: run["runGroupId"] for run in emulator.pipeline_runs()}
    assert {groups[run_id] for run_id in task.ti.xcoms["run_ids"]} == {FAILED, ALSO}
    assert {statuses(emulator)[run_id] for run_id in task.ti.xcoms["run_ids"]} == {"Succeeded"}


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        ({"rerun_from": "start"}, {}),
        ({"rerun_from": "activity", "start_activity_name": "Merge"}, {"startActivityName": "Merge"}),
    ],
)
def test_a_rerun_begins_where_it_is_told_to(
    factory: Callable[..., AdfEmulator], parameters: dict[str, Any], sent: dict[str, str]
) -> None:
    emulator = factory(FACTORY)
    rerun(run_ids=FAILED, **parameters).run()
    (entry,) = calls(emulator, "Pipelines_CreateRun")
    begins = {
        key: entry.query[key] for key in ("startActivityName", "startFromFailure") if key in entry.query
    }
    assert begins == sent


@pytest.mark.parametrize(
    ("fault", "posts"),
    [
        ({"drop_connection": True, "processed": True}, 1),
        ({"status": 504, "processed": True}, 1),
        ({"status": 503}, 2),
        ({"drop_connection": True}, 2),
    ],
)
def test_a_lost_answer_is_settled_by_asking_for_the_chosen_id(
    factory: Callable[..., AdfEmulator], fault: dict[str, Any], posts: int
) -> None:
    emulator = factory(FACTORY)
    emulator.fail_next("Pipelines_CreateRun", **fault)
    rerun(run_ids=FAILED).run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == posts
    reruns = [run for run in emulator.pipeline_runs() if run["runGroupId"] == FAILED]
    assert sorted(run["status"] for run in reruns) == ["Failed", "Succeeded"]


def test_the_last_lost_answer_is_settled_too(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    emulator.fail_next("Pipelines_CreateRun", count=2, status=503)
    emulator.fail_next("Pipelines_CreateRun", status=503, processed=True)
    task = rerun(run_ids=FAILED)
    task.run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 3
    assert task.ti.report["counts"] == {"Succeeded": 1}


def test_what_always_fails_unclearly_is_named_after_three_times(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    emulator.fail_next("Pipelines_CreateRun", count=9, status=503)
    with pytest.raises(RunsNotAsWanted, match=f"run {FAILED}: it was not rerun: 3 answers were lost"):
        rerun(run_ids=FAILED).run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 3


def test_a_retry_after_an_answer_that_could_not_be_settled_starts_no_second_run(
    factory: Callable[..., AdfEmulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    create = FactoryClient.create_recovery_run

    async def then_the_factory_is_dead(self: FactoryClient, *arguments: Any, **options: Any) -> str:
        emulator.fail_next("Pipelines_CreateRun", drop_connection=True, processed=True)
        emulator.fail_next("PipelineRuns_Get", for_seconds=3600, status=503)
        return await create(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FactoryClient, "create_recovery_run", then_the_factory_is_dead)
        with pytest.raises(RunsNotAsWanted, match=f"run {FAILED}: "):
            rerun(store, run_ids=FAILED).run()
    emulator.clear_faults()
    task = rerun(store, run_ids=FAILED)
    task.run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 1
    assert task.ti.report["counts"] == {"Succeeded": 1}


def test_a_dag_run_that_was_deleted_and_made_again_takes_no_earlier_rerun_for_its_own(
    factory: Callable[..., AdfEmulator],
) -> None:
    emulator = factory(FACTORY)
    for _ in range(2):  # with the DAG run its store goes
        rerun(Store(), run_ids=FAILED).run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 2


def test_a_try_after_a_crash_takes_up_the_run_of_the_first(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    store = Store()
    with pytest.raises(WaitTimedOut):  # the first try breaks off without a verdict
        rerun(store, run_ids=FAILED, timeout=30).run()
    task = rerun(store, run_ids=FAILED)
    task.run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 1
    assert task.ti.report["runs"][0]["status"] == "Succeeded"


def broken_off(emulator: AdfEmulator, store: Store | None, *, cancel: bool) -> str:
    """Let a first try break off, its rerun perhaps being cancelled, as a kill does. :return: the rerun."""
    with pytest.raises(WaitTimedOut):
        rerun(store, run_ids=FAILED, timeout=30).run()
    (entry,) = calls(emulator, "Pipelines_CreateRun")
    new_run_id = str(entry.answer["runId"])
    if cancel:

        async def kill(client: FactoryClient) -> None:
            await client.cancel_pipeline_run(new_run_id, is_recursive=True)

        talk(emulator, kill)
    return new_run_id


def cleared(store: Store | None, **parameters: Any) -> Task:
    """Return the task in the try after a person's clear, at which Airflow raises ``max_tries``."""
    task = rerun(store, run_ids=FAILED, **parameters)
    task.ti.max_tries = 3  # type: ignore[attr-defined]
    return task


def test_after_a_clear_a_cancelled_rerun_is_followed_by_another_once_it_has_ended(
    factory: Callable[..., AdfEmulator],
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    first = broken_off(emulator, store, cancel=True)
    assert statuses(emulator)[first] == "Canceling"
    task = cleared(store)
    task.run()
    assert statuses(emulator)[first] == "Cancelled"
    _, again = calls(emulator, "Pipelines_CreateRun")
    assert task.ti.report["run_ids"] == [again.answer["runId"]] != [first]


def test_after_a_clear_a_rerun_that_goes_on_is_taken_up(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    store = Store()
    first = broken_off(emulator, store, cancel=False)
    task = cleared(store)
    task.run()
    assert task.ti.report["run_ids"] == [first]
    assert len(calls(emulator, "Pipelines_CreateRun")) == 1


def test_an_automatic_retry_starts_nothing_on_top_of_a_cancelled_rerun(
    factory: Callable[..., AdfEmulator],
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    first = broken_off(emulator, store, cancel=True)
    with pytest.raises(RunsNotAsWanted, match=rf"its rerun {first} is Cancelled"):
        rerun(store, run_ids=FAILED).run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 1


def test_a_retry_after_the_clear_knows_the_second_rerun(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    store = Store()
    broken_off(emulator, store, cancel=True)
    with pytest.raises(WaitTimedOut):
        cleared(store, timeout=30).run()
    task = cleared(store)
    task.run()
    _, again = calls(emulator, "Pipelines_CreateRun")
    assert task.ti.report["run_ids"] == [again.answer["runId"]]


def test_without_a_store_a_clear_starts_nothing_on_top_of_a_cancelled_rerun(
    factory: Callable[..., AdfEmulator],
) -> None:
    emulator = factory(FACTORY)
    broken_off(emulator, None, cancel=True)
    with pytest.raises(RunsNotAsWanted, match="is Cancelled"):
        cleared(None).run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 1


def test_a_try_after_a_verdict_starts_a_new_run(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    store = Store()
    for _ in range(2):
        with pytest.raises(RunsNotAsWanted, match=rf"run {BROKEN}: its rerun .* is Failed"):
            rerun(store, run_ids=BROKEN).run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 2


@pytest.mark.parametrize("waits", [True, False], ids=["that has succeeded", "that goes on"])
def test_a_try_after_a_verdict_starts_nothing_beside_a_rerun(
    factory: Callable[..., AdfEmulator], waits: bool
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    for _ in range(3):
        task = rerun(store, run_ids=[FAILED, BROKEN, "nope"], wait_for_completion=waits)
        with pytest.raises(RunsNotAsWanted, match="run nope: "):
            task.run()
    sent = Counter(entry.query["referencePipelineRunId"] for entry in calls(emulator, "Pipelines_CreateRun"))
    assert sent == {FAILED: 1, BROKEN: 3 if waits else 1}
    assert FAILED in {each["run_id"] for each in task.ti.report["runs"] if each["new_run_id"]}


def test_a_clear_after_the_verdict_starts_each_run_anew(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    store = Store()
    rerun(store, run_ids=FAILED).run()
    cleared(store).run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 2


def test_a_clear_between_two_verdicts_starts_nothing_beside_a_rerun(
    factory: Callable[..., AdfEmulator],
) -> None:
    emulator = factory(FACTORY)
    store = Store()
    both = [FAILED, BROKEN]
    with pytest.raises(RunsNotAsWanted):
        rerun(store, run_ids=both).run()
    with pytest.raises(WaitTimedOut):
        rerun(store, run_ids=both, timeout=5).run()
    task = rerun(store, run_ids=both)
    task.ti.max_tries = 3  # type: ignore[attr-defined]
    with pytest.raises(RunsNotAsWanted):
        task.run()
    sent = Counter(entry.query["referencePipelineRunId"] for entry in calls(emulator, "Pipelines_CreateRun"))
    assert sent == {FAILED: 1, BROKEN: 2}


@pytest.mark.parametrize("kept", ["cut short", ["batch"], {"batch": "of another version"}], ids=str)
def test_what_an_earlier_try_kept_and_cannot_be_read_stops_the_task(
    factory: Callable[..., AdfEmulator], kept: Any
) -> None:
    emulator = factory(FACTORY)
    with pytest.raises(InvalidInput, match="delete the key to begin anew"):
        rerun(Store(adfruns_rerun_pipeline=kept), run_ids=FAILED).run()
    assert writes(emulator) == []


def test_without_a_store_no_try_starts_a_second_run(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    for _ in range(2):
        rerun(run_ids=FAILED).run()
    assert len(calls(emulator, "Pipelines_CreateRun")) == 1


def test_a_run_that_has_not_ended_and_an_unknown_one_are_named_and_stop_no_other(
    factory: Callable[..., AdfEmulator],
) -> None:
    emulator = factory(FACTORY)
    with pytest.raises(RunsNotAsWanted) as refused:
        rerun(run_ids=[RUNNING, "nope", FAILED]).run()
    assert f"run {RUNNING}: it is InProgress; only a run that has ended can be rerun" in str(refused.value)
    assert "run nope: " in str(refused.value)
    (entry,) = calls(emulator, "Pipelines_CreateRun")
    assert entry.query["referencePipelineRunId"] == FAILED


def test_a_run_that_is_named_in_two_spellings_is_rerun_once(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    task = rerun(run_ids=[FAILED.upper(), FAILED])
    task.run()
    assert [each["run_id"] for each in task.ti.report["runs"]] == [FAILED]
    assert len(calls(emulator, "Pipelines_CreateRun")) == 1


def test_unknown_runs_alone_fail_before_anything_is_sent(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    with pytest.raises(PipelineRunNotFound, match="nope"):
        rerun(run_ids=["nope"]).run()
    assert writes(emulator) == []


def test_a_dry_run_says_what_would_be_rerun(factory: Callable[..., AdfEmulator]) -> None:
    emulator = factory(FACTORY)
    task = rerun(run_ids=[FAILED, RUNNING], dry_run=True)
    task.run()
    assert task.ti.xcoms["run_ids"] == [FAILED]
    assert {each["new_run_id"] for each in task.ti.report["runs"]} == {None}
    assert writes(emulator) == []


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"run_ids": []}, "the list is empty"),
        ({"run_ids": "a/b"}, "is not a run id"),
        ({"run_ids": "a", "rerun_from": "middle"}, "Expected one of start, failure, activity"),
        ({"run_ids": "a", "rerun_from": "activity"}, "belong together"),
        ({"run_ids": "a", "start_activity_name": "Copy"}, "belong together"),
    ],
)
def test_bad_parameters_fail_when_the_dag_is_parsed(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        rerun(**parameters).make()
