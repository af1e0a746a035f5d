"""AdfStudioLink: where the runs are in ADF Studio, of the right cloud, as soon as the task has begun."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from airflow.sdk import DAG

from airflow_provider_adfruns.adf.errors import AuthenticationFailed, PipelineRunNotFound
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.links import AdfStudioLink, leave_link
from airflow_provider_adfruns.operators.cancel import (
    AdfCancelPipelineRunOperator,
    AdfCancelWaitingTriggerRunOperator,
)
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.provider.scenarios import FAMILY, WAITING, WAITING_RANGE
from tests.provider.tasks import Task, TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

ENV = "AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"
BOTH = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
KEY = "_link_AdfStudioLink"
RESOURCE = (
    "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/night-rg"
    "/providers/Microsoft.DataFactory/factories/night-adf"
)
QUERY = "?factory=" + RESOURCE.replace("/", "%2F")


def link_after(run: Callable[..., Ran], run_id: str) -> tuple[dict[str, str], Any]:
    with DAG("linked", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfCancelPipelineRunOperator(task_id="cancel", run_ids=run_id, deferrable=True)
    ran = run(dag)
    return ran.states, ran.xcom("cancel", KEY)


def test_the_link_is_kept_under_airflows_key() -> None:
    assert AdfStudioLink().xcom_key == KEY


@pytest.mark.parametrize(("run_id", "state"), [("lone", "success"), ("unknown", "failed")])
def test_in_a_dag_run_the_link_is_there_after_success_and_after_failure(
    factory: Start, run_dag: RunDag, run_id: str, state: str
) -> None:
    emulator = factory(FAMILY)
    assert link_after(run_dag, run_id) == ({"cancel": state}, emulator.url)


@pytest.mark.parametrize(
    "task",
    [
        Task(AdfCancelPipelineRunOperator, run_ids="lone", deferrable=True),
        Task(AdfCancelWaitingTriggerRunOperator, trigger_name="report", run_ids="waiting", deferrable=True),
        Task(AdfRerunTumblingWindowRunsOperator, trigger_name="hourly", **WAITING_RANGE, deferrable=True),
        Task(AdfCancelCompleteSensor, pipeline_run_ids="lone", deferrable=True),
    ],
    ids=["cancel", "cancel waiting", "rerun", "sensor"],
)
def test_the_link_is_there_while_the_task_is_deferred(factory: Start, task: Task) -> None:
    emulator = factory({**WAITING, **FAMILY, "pipelines": {**WAITING["pipelines"], **FAMILY["pipelines"]}})
    task.defer()
    assert task.ti.xcoms[KEY] == emulator.url


def test_each_mapped_task_has_the_link_to_its_own_run(
    factory: Start, monkeypatch: pytest.MonkeyPatch, run_dag: RunDag
) -> None:
    emulator = factory(FAMILY, tls=True)
    monkeypatch.setenv(ENV, emulator.connection_json())
    with DAG("mapped_links", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfCancelPipelineRunOperator.partial(task_id="cancel", deferrable=True).expand(
            run_ids=["lone", "day"]
        )
    ran = run_dag(dag)
    monkeypatch.delenv(ENV)  # the API server reads no more than this
    assert sorted(ran.xcoms("cancel", KEY)) == [
        f"https://adf.azure.com/en/monitoring/pipelineruns/{run_id}{QUERY}" for run_id in ("day", "lone")
    ]


@BOTH
def test_a_rerun_leads_to_the_new_run(
    factory: Start, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    done = "00000000-0000-4000-8000-00000000000d"
    runs = [{"pipeline": "load", "status": "Failed", "started": "-PT3H", "id": done}]
    emulator = factory({**FAMILY, "runs": runs}, tls=True)
    monkeypatch.setenv(ENV, emulator.connection_json())
    task = Task(AdfRerunPipelineRunOperator, run_ids=done, deferrable=deferrable)
    report = task.run()
    (new,) = report["run_ids"]
    assert task.ti.xcoms[KEY] == f"https://adf.azure.com/en/monitoring/pipelineruns/{new}{QUERY}"


def test_the_link_is_there_when_the_task_fails(factory: Start) -> None:
    emulator = factory(FAMILY)
    task = Task(AdfCancelPipelineRunOperator, run_ids="unknown")
    with pytest.raises(PipelineRunNotFound):
        task.run()
    assert task.ti.xcoms[KEY] == emulator.url


def test_get_link_gives_what_the_task_has_worked_out_and_needs_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(ENV, raising=False)
    operator = AdfCancelPipelineRunOperator(task_id="cancel", run_ids="lone")
    key = cast("TaskInstanceKey", object())
    assert AdfStudioLink().get_link(operator, ti_key=key) == ""
    operator.studio_url = "https://adf.azure.com/en/monitoring/pipelineruns/lone"
    assert AdfStudioLink().get_link(operator, ti_key=key) == operator.studio_url


@pytest.mark.parametrize(
    ("cloud", "expected"),
    [
        ("", "https://adf.azure.com/en/monitoring/triggerruns" + QUERY),
        ("AzureCloud", "https://adf.azure.com/en/monitoring/triggerruns" + QUERY),
        ("AzureUSGovernment", "https://adf.azure.us/en/monitoring/triggerruns" + QUERY),
        ("AzureChinaCloud", "https://adf.azure.cn/en/monitoring/triggerruns" + QUERY),
        ("AzureGermanCloud", "https://portal.microsoftazure.de/#resource" + RESOURCE),
        ("USSec", "https://portal.azure.microsoft.scloud/#resource" + RESOURCE),
        ("USNat", "https://portal.azure.eaglex.ic.gov/#resource" + RESOURCE),
    ],
)
def test_the_link_leads_to_the_cloud_of_the_connection(
    factory: Start, monkeypatch: pytest.MonkeyPatch, cloud: str, expected: str
) -> None:
    emulator = factory(FAMILY)
    monkeypatch.setenv(ENV, emulator.connection_json(cloud=cloud, arm_endpoint=""))
    ti = TaskInstance()
    assert leave_link(ti.context, AdfRunsHook(), "triggerruns") == expected
    assert ti.xcoms == {KEY: expected}


@pytest.mark.parametrize(
    ("task", "view"),
    [
        (Task(AdfCancelPipelineRunOperator, run_ids="lone"), "pipelineruns/lone"),
        (Task(AdfCancelPipelineRunOperator, run_ids=["day", "lone"]), "pipelineruns"),
        (Task(AdfCancelWaitingTriggerRunOperator, trigger_name="t", run_ids="a"), "triggerruns"),
        (Task(AdfRerunTumblingWindowRunsOperator, trigger_name="t", **WAITING_RANGE), "triggerruns"),
        (Task(AdfRerunPipelineRunOperator, run_ids="done"), "pipelineruns/done"),
        (Task(AdfRerunPipelineRunOperator, run_ids=["done", "lone"]), "pipelineruns"),
        (Task(AdfCancelCompleteSensor, pipeline_run_ids="lone"), "pipelineruns/lone"),
        (Task(AdfCancelCompleteSensor, pipeline_run_ids=["day", "lone"]), "pipelineruns"),
        (Task(AdfCancelCompleteSensor, trigger_name="t", trigger_run_ids="a"), "triggerruns"),
    ],
)
def test_the_link_leads_to_the_one_run_or_to_all_of_the_kind(
    factory: Start, monkeypatch: pytest.MonkeyPatch, task: Task, view: str
) -> None:
    emulator = factory(FAMILY, tls=True)
    monkeypatch.setenv(ENV, emulator.connection_json(password="wrong"))  # the link comes before the sign-in
    with pytest.raises(AuthenticationFailed):
        task.begin()
    assert task.ti.xcoms == {KEY: f"https://adf.azure.com/en/monitoring/{view}{QUERY}"}
