"""AdfRunsHook: every call of the run API, sync and async, from Airflow connections of every form."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.models.connection import Connection as ServerConnection
from airflow.sdk import Connection

from airflow_provider_adfruns.adf.errors import InvalidInput, PipelineRunNotFound
from airflow_provider_adfruns.adf.identity import Authentication
from airflow_provider_adfruns.adf.queries import RunFilter
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from tests.conftest import CONN_ID, calls
from tests.provider.scenarios import FAMILY, NOW, WAITING
from tests.provider.tasks import statuses
from tests.provider.versions import needs_airflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

EVER: dict[str, Any] = {
    "last_updated_after": datetime.fromisoformat(NOW) - timedelta(days=30),
    "last_updated_before": datetime.fromisoformat(NOW) + timedelta(days=1),
}
ENV = "AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"
FIELDS = ("tenantId", "subscriptionId", "resource_group_name", "factory_name")


def test_get_pipeline_run_returns_the_run(factory: Start) -> None:
    factory(FAMILY)
    run = AdfRunsHook().get_pipeline_run("lone")
    assert (run.run_id, run.pipeline_name, run.status) == ("lone", "load", "InProgress")


def test_query_pipeline_runs_filters(factory: Start) -> None:
    factory(FAMILY)
    found = AdfRunsHook().query_pipeline_runs(
        **EVER, filters=[RunFilter("PipelineName", "Equals", ("load",))]
    )
    assert {run.run_id for run in found} == {"lone", "done"}


def test_query_pipeline_runs_reads_all_pages(factory: Start) -> None:
    factory({**FAMILY, "runs": [{"pipeline": "load", "started": "-PT9H", "ended": "-PT8H", "count": 250}]})
    assert len(AdfRunsHook().query_pipeline_runs(**EVER)) == 250


def test_query_trigger_runs_filters(factory: Start) -> None:
    factory(WAITING)
    found = AdfRunsHook().query_trigger_runs(
        **EVER, filters=[RunFilter("TriggerName", "Equals", ("report",))]
    )
    assert len(found) == 6
    assert {run.trigger_name for run in found} == {"report"}


def test_query_activity_runs_gives_the_child_of_an_activity(factory: Start) -> None:
    emulator = factory(FAMILY)
    (activity,) = AdfRunsHook().query_activity_runs("day", **EVER)
    child = next(run["runId"] for run in emulator.pipeline_runs() if run["pipelineName"] == "close_region")
    assert (activity.activity_name, activity.child_run_id) == ("Close regions", child)


@pytest.mark.parametrize("is_recursive", [True, False])
def test_cancel_pipeline_run_asks_for_the_cancel(factory: Start, is_recursive: bool) -> None:
    emulator = factory(FAMILY)
    AdfRunsHook().cancel_pipeline_run("lone", is_recursive=is_recursive)
    (call,) = calls(emulator, "PipelineRuns_Cancel")
    assert call.query["isRecursive"].lower() == str(is_recursive).lower()
    assert statuses(emulator)["lone"] == "Canceling"


def test_cancel_trigger_run_cancels_it(factory: Start) -> None:
    emulator = factory(WAITING)
    AdfRunsHook().cancel_trigger_run("report", "waiting")
    emulator.advance(60)
    assert statuses(emulator)["waiting"] == "Cancelled"


def test_rerun_trigger_run_makes_a_new_run_in_the_group(factory: Start) -> None:
    emulator = factory(WAITING)
    first = emulator.trigger_runs("hourly")[0]["triggerRunId"]
    AdfRunsHook().rerun_trigger_run("hourly", first)
    assert [run["triggerRunId"] == first for run in emulator.trigger_runs() if run["groupId"] == first] == [
        True,
        False,
    ]


def test_create_recovery_run_reruns_in_the_same_group_under_the_id_chosen(factory: Start) -> None:
    failed, chosen = "2f7fdb90-5df1-4b8e-ac2f-064cfa58202b", "75b3fbcb-8e83-4d1f-9a6c-0d8b6c1d9e11"
    runs = [{"pipeline": "load", "status": "Failed", "started": "-PT9H", "ended": "-PT8H", "id": failed}]
    emulator = factory({**FAMILY, "runs": runs})
    made = AdfRunsHook().create_recovery_run("load", failed, start_from_failure=True, run_id=chosen)
    (call,) = calls(emulator, "Pipelines_CreateRun")
    assert made == chosen
    assert AdfRunsHook().get_pipeline_run(chosen).run_group_id == failed
    assert call.query["startFromFailure"].lower() == "true"


def test_get_trigger_says_what_it_is(factory: Start) -> None:
    factory(WAITING)
    trigger = AdfRunsHook().get_trigger("report")
    assert (trigger.name, trigger.is_tumbling_window, trigger.runtime_state) == ("report", True, "Started")


def test_list_triggers_lists_all(factory: Start) -> None:
    factory(WAITING)
    assert {trigger.name for trigger in AdfRunsHook().list_triggers()} == {"hourly", "report", "nightly"}


def tokens(emulator: AdfEmulator) -> int:
    return len(calls(emulator, "Token"))


def test_inside_with_several_calls_share_one_client_and_so_one_token(factory: Start) -> None:
    emulator = factory(FAMILY, tls=True)
    with AdfRunsHook() as hook:
        hook.get_pipeline_run("lone")
        hook.cancel_pipeline_run("lone", is_recursive=True)
        hook.get_pipeline_run("lone")
    assert tokens(emulator) == 1


def test_outside_with_each_call_has_a_client_of_its_own(factory: Start) -> None:
    emulator = factory(FAMILY, tls=True)
    hook = AdfRunsHook()
    hook.get_pipeline_run("lone")
    hook.get_pipeline_run("done")
    assert tokens(emulator) == 2


def test_a_hook_can_be_used_again_after_with(factory: Start) -> None:
    factory(FAMILY)
    hook = AdfRunsHook()
    with hook:
        hook.get_pipeline_run("lone")
    with hook:
        assert hook.get_pipeline_run("lone").run_id == "lone"
    assert hook.get_pipeline_run("done").run_id == "done"


def test_an_error_inside_with_comes_out_and_closes_the_client(factory: Start) -> None:
    factory(FAMILY)
    hook = AdfRunsHook()
    with pytest.raises(PipelineRunNotFound), hook:
        hook.get_pipeline_run("unknown")
    assert hook.get_pipeline_run("done").run_id == "done"


def test_the_async_client_has_the_same_calls(factory: Start) -> None:
    factory(FAMILY)

    async def ask() -> str:
        async with AdfRunsHook().client() as client:
            return (await client.get_pipeline_run("lone")).pipeline_name

    assert asyncio.run(ask()) == "load"


def call_directly() -> None:
    AdfRunsHook().get_pipeline_run("lone")


def enter() -> None:
    with AdfRunsHook():
        pass


@pytest.mark.parametrize("use", [call_directly, enter])
def test_inside_a_running_loop_the_error_says_what_to_use(factory: Start, use: Callable[[], None]) -> None:
    factory(FAMILY)

    async def in_a_loop() -> None:
        use()

    with pytest.raises(RuntimeError, match=r"running event loop.*async with hook\.client\(\)"):
        asyncio.run(in_a_loop())


def test_parameters_go_before_the_connections_fields(factory: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = factory(FAMILY)
    elsewhere = emulator.connection_json(resource_group_name="other-rg", factory_name="other-adf")
    monkeypatch.setenv(ENV, elsewhere)
    hook = AdfRunsHook(CONN_ID, resource_group_name="night-rg", factory_name="night-adf")
    assert hook.get_pipeline_run("done").run_id == "done"


def test_a_connection_given_as_a_uri_works(factory: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = factory(FAMILY)
    fields = emulator.connection()
    fields["extra"] = json.dumps(fields["extra"])
    monkeypatch.setenv(ENV, Connection(conn_id=CONN_ID, **fields).get_uri())
    assert AdfRunsHook().get_pipeline_run("done").run_id == "done"


@pytest.mark.parametrize("prefix", ["", "extra__azure_data_factory__"])
def test_a_connection_of_the_official_provider_works(
    factory: Start, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    emulator = factory(FAMILY)
    connection = emulator.connection(conn_type="azure_data_factory")
    for name in FIELDS:
        connection["extra"][prefix + name] = connection["extra"].pop(name)
    monkeypatch.setenv(ENV, json.dumps(connection))
    assert AdfRunsHook().get_pipeline_run("done").run_id == "done"


def test_a_connection_of_the_official_provider_signs_in_with_its_secret(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FAMILY, tls=True)
    monkeypatch.setenv(ENV, emulator.connection_json(conn_type="azure_data_factory"))
    AdfRunsHook().get_pipeline_run("done")
    assert AdfRunsHook().factory_connection().authentication is Authentication.CLIENT_SECRET
    assert tokens(emulator) == 1


@needs_airflow(3, 2, "such a connection is refused before the hook sees it")
@pytest.mark.parametrize(
    ("extra", "said"),
    [("{'tenantId': 1}", "is not JSON"), ("[]", "is not a JSON object"), ('"text"', "is not a JSON object")],
)
def test_an_extra_that_is_no_object_is_named(monkeypatch: pytest.MonkeyPatch, extra: str, said: str) -> None:
    monkeypatch.setenv(ENV, json.dumps({"conn_type": "adf_runs", "extra": extra}))
    with pytest.raises(InvalidInput, match=f"extra field of connection '{CONN_ID}' {said}"):
        AdfRunsHook().get_pipeline_run("done")


@pytest.mark.parametrize("field", ["subscriptionId", "resource_group_name", "factory_name"])
def test_a_missing_field_is_named_with_where_to_put_it(
    factory: Start, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    emulator = factory(FAMILY)
    monkeypatch.setenv(ENV, emulator.connection_json(**{field: ""}))
    with pytest.raises(InvalidInput, match=f"{field} is not given.*connection '{CONN_ID}'"):
        AdfRunsHook().get_pipeline_run("done")


def test_test_connection_names_the_factory_that_answers(factory: Start) -> None:
    emulator = factory(FAMILY, tls=True)
    assert AdfRunsHook().test_connection() == (
        True,
        "factory 'night-adf' (resource group 'night-rg') answers.",
    )
    assert [entry.status for entry in calls(emulator, "Factories_Get")] == [200]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"password": "wrong-secret"}, "The client secret is wrong: put the secret's value"),
        ({"login": "nobody"}, "The client id is unknown in this tenant: check the connection's login"),
        ({"tenantId": "00000000-0000-4000-8000-00000000dead"}, "The tenant does not exist in this cloud"),
        ({"factory_name": "other-adf"}, "Check resource_group_name, factory_name and subscriptionId"),
        ({"resource_group_name": "other-rg"}, "Check resource_group_name, factory_name and subscriptionId"),
        (
            {"subscriptionId": "00000000-0000-4000-8000-00000000dead"},
            "Check resource_group_name, factory_name and subscriptionId",
        ),
        ({"password": None}, "password (client secret) not given"),
    ],
)
def test_test_connection_says_what_is_wrong(
    factory: Start, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], said: str
) -> None:
    emulator = factory(FAMILY, tls=True)
    monkeypatch.setenv(ENV, emulator.connection_json(**fields))
    works, message = AdfRunsHook().test_connection()
    assert not works
    assert said in message
    assert CONN_ID in message


def test_test_connection_never_shows_the_secret(factory: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = factory(FAMILY, tls=True)
    monkeypatch.setenv(ENV, emulator.connection_json(password="wrong-secret"))
    assert "wrong-secret" not in AdfRunsHook().test_connection()[1]


def test_test_connection_names_the_permission_that_is_missing(factory: Start) -> None:
    factory({**FAMILY, "principals": [{"name": "stranger", "permission": "none"}]}, tls=True)
    works, message = AdfRunsHook().test_connection()
    assert not works
    assert "has no permission" in message
    assert "Microsoft.DataFactory/factories/read" in message
    assert "Grant it a role" in message


def test_test_connection_says_that_nothing_answers(factory: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = factory(FAMILY)
    with socket.socket() as bound:  # nobody listens, and nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv(ENV, emulator.connection_json(arm_endpoint=nowhere))
        works, message = AdfRunsHook().test_connection()
    assert not works
    assert f"{nowhere} gave no answer" in message
    assert "Check the network, the proxy and the cloud" in message


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")  # the server's way
def test_test_connection_is_what_airflows_connection_form_calls(factory: Start) -> None:
    emulator = factory(FAMILY)
    connection = ServerConnection(conn_id=CONN_ID, **emulator.connection())
    works, message = connection.test_connection()  # type: ignore[no-untyped-call]
    assert (works, message) == (True, "factory 'night-adf' (resource group 'night-rg') answers.")


def test_the_hook_reads_the_factory_of_a_time_far_away(factory: Start) -> None:
    factory({**FAMILY, "now": "2019-09-10T13:00:00Z"})

    async def ask() -> datetime:
        async with AdfRunsHook().client() as client:
            return await client.now()

    assert asyncio.run(ask()) == datetime(2019, 9, 10, 13, tzinfo=UTC)


def test_with_inside_with_shares_the_client_and_leaves_it_to_the_outer_one(factory: Start) -> None:
    emulator = factory(FAMILY, tls=True)
    hook = AdfRunsHook()
    with hook:
        with hook:
            hook.get_pipeline_run("lone")
        assert hook.get_pipeline_run("lone").run_id == "lone"
    assert tokens(emulator) == 1
