"""What a DAG run has started is cancelled by a teardown or by a callback, whichever task started it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import GetXComSequenceSlice, XComSequenceSliceResult

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.callbacks import cancel_runs_of_dag_run
from airflow_provider_adfruns.operators.cleanup import AdfCleanUpOperator
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.conftest import calls
from tests.provider.scenarios import FAMILY, NIGHT_RANGE, NOW
from tests.provider.tasks import TaskInstance, statuses, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

START = datetime(2026, 1, 1, tzinfo=UTC)


@task
def start(pipeline_run: str, *, ti: Any = None) -> None:
    """Stand for the official provider's operator, which leaves the run's id so."""
    ti.xcom_push(key="run_id", value=pipeline_run)


@task
def break_down() -> None:
    raise ValueError("the source is closed")


@pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
def test_a_teardown_cancels_what_upstream_tasks_have_started_and_the_dag_run_stays_failed(
    factory: Start, run_dag: RunDag, deferrable: bool
) -> None:
    emulator = factory(FAMILY)
    with DAG("clean", schedule=None, start_date=START) as dag:
        started = start.override(task_id="start").expand(pipeline_run=["day", "lone", "done", "unknown"])
        clean_up = AdfCleanUpOperator(task_id="clean_up", deferrable=deferrable).as_teardown()
        started >> break_down() >> clean_up
    ran = run_dag(dag)
    report = ran.xcom("clean_up")
    assert ran.states["clean_up"] == "success"
    assert ran.states["break_down"] == "failed"
    assert {
        each["run_id"]: each["status"] for each in report["runs"] if each["run_id"] in {"day", "lone"}
    } == {
        "day": "Cancelled",
        "lone": "Cancelled",
    }
    assert sorted(call.subject for call in calls(emulator, "PipelineRuns_Cancel")) == ["day", "lone"]
    assert {statuses(emulator)[each["run_id"]] for each in report["runs"]} == {"Cancelled", "Succeeded"}


def test_a_clean_up_cancels_the_windows_that_a_task_has_rerun(factory: Start, run_dag: RunDag) -> None:
    running = {"from": "-PT12H", "count": 3, "status": "Failed"}
    emulator = factory(
        {
            "now": NOW,
            "pipelines": {"load": {"seconds": 3600}},
            "triggers": {"hourly": {"pipeline": "load", "state": "stopped", "windows": [running]}},
        }
    )
    with DAG("clean_windows", schedule=None, start_date=START) as dag:
        rerun = AdfRerunTumblingWindowRunsOperator(
            task_id="rerun", trigger_name="hourly", **NIGHT_RANGE, wait_for_completion=False
        )
        rerun >> AdfCleanUpOperator(task_id="clean_up")
    ran = run_dag(dag)
    reruns = ran.xcom("rerun", "run_ids")
    assert ran.states == {"rerun": "success", "clean_up": "success"}
    assert {statuses(emulator)[run_id] for run_id in reruns} == {"Cancelled"}
    assert len(calls(emulator, "PipelineRuns_Cancel")) == len(reruns) == 3


def test_a_clean_up_that_finds_nothing_succeeds(factory: Start, run_dag: RunDag) -> None:
    emulator = factory(FAMILY)
    with DAG("clean_nothing", schedule=None, start_date=START) as dag:
        AdfCleanUpOperator(task_id="clean_up")
    assert run_dag(dag).states == {"clean_up": "success"}
    assert writes(emulator) == []


def test_a_task_that_the_dag_does_not_have_is_named_and_not_taken_for_one_that_started_nothing() -> None:
    with DAG("clean_misspelt", schedule=None, start_date=START):
        clean_up = AdfCleanUpOperator(task_id="clean_up", task_ids=["load.start", "clean_up", "strat"])
    with pytest.raises(InvalidInput, match=r"task_ids: the DAG has no task load\.start, strat\. Expected"):
        clean_up.execute(TaskInstance().context)


def test_a_failed_tasks_callback_cancels_what_the_dag_run_has_started(
    factory: Start, run_dag: RunDag
) -> None:
    emulator = factory(FAMILY)
    with DAG("clean_by_callback", schedule=None, start_date=START) as dag:
        start("lone") >> break_down.override(on_failure_callback=cancel_runs_of_dag_run())()
    assert run_dag(dag).states["break_down"] == "failed"
    assert [call.subject for call in calls(emulator, "PipelineRuns_Cancel")] == ["lone"]


def test_a_callback_names_tasks_that_the_dag_does_not_have_and_cancels_for_the_others(
    factory: Start, run_dag: RunDag, caplog: pytest.LogCaptureFixture
) -> None:
    emulator = factory(FAMILY)
    callback = cancel_runs_of_dag_run(task_ids=["start", "load.strat"])
    with DAG("clean_misspelt_callback", schedule=None, start_date=START) as dag:
        start("lone") >> break_down.override(on_failure_callback=callback)()
    assert run_dag(dag).states["break_down"] == "failed"
    assert [call.subject for call in calls(emulator, "PipelineRuns_Cancel")] == ["lone"]
    assert "the DAG has no task load.strat" in caplog.text


class DagProcessor:
    """Stands for the process above a DAG's callback, which has the XComs from the database."""

    def __init__(self, ran: Ran) -> None:
        self._ran = ran

    def send(self, msg: Any) -> XComSequenceSliceResult:
        assert isinstance(msg, GetXComSequenceSlice)
        return XComSequenceSliceResult(root=self._ran.xcoms(msg.task_id, msg.key))


def test_a_failed_dag_runs_callback_cancels_what_its_tasks_have_started(
    factory: Start, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FAMILY)
    with DAG("clean_by_dag", schedule=None, start_date=START) as dag:
        start("lone") >> break_down()
    ran = run_dag(dag)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", DagProcessor(ran), raising=False)
    ti = task_runner.RuntimeTaskInstance.model_construct(
        dag_id="clean_by_dag",
        task_id="break_down",
        run_id=ran.run_id,
        map_index=-1,
        task=dag.get_task("break_down"),
    )
    cancel_runs_of_dag_run()({"ti": ti, "dag": dag})
    assert [call.subject for call in calls(emulator, "PipelineRuns_Cancel")] == ["lone"]


def test_a_callback_without_a_task_instance_says_so_and_raises_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cancel_runs_of_dag_run(task_ids="start")({"run_id": "manual__1"})
    assert "no task instance" in caplog.text


def test_an_empty_list_of_tasks_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(InvalidInput, match=r"task_ids: \[\] is not possible"):
        AdfCleanUpOperator(task_id="clean_up", task_ids=[])
