"""Signing in for real over TLS: what fails is named with what to do about it, and the secret never is."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    AuthenticationFailed,
    OutcomeUnknown,
    PermissionDenied,
)
from tests.adf.talking import talk
from tests.conftest import CONN_ID, calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]
    Work = Callable[[FactoryClient], Awaitable[Any]]

TENANT = "00000000-0000-4000-8000-000000000002"
OTHER = "00000000-0000-4000-8000-0000000000ff"
WRONG_SECRET = "wr0ng~SeCrEt.vAlUe"
SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "principals": [
        {"name": "operator"},
        {"name": "reader", "client_id": "the-reader", "client_secret": "r", "permission": "read"},
        {"name": "stranger", "client_id": "the-stranger", "client_secret": "s", "permission": "none"},
    ],
    "pipelines": {"load": {"seconds": 60}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "state": "stopped",
            "windows": [{"from": "-PT2H", "count": 1, "runs": [{"status": "Failed", "id": "failed-window"}]}],
        }
    },
}


def check(client: FactoryClient) -> Awaitable[None]:
    return client.check_factory()


def rerun(client: FactoryClient) -> Awaitable[None]:
    return client.rerun_trigger_run("hourly", "failed-window")


def failure(emulator: AdfEmulator, work: Work, **fields: Any) -> AdfRunsError:
    with pytest.raises(AdfRunsError) as failed:
        talk(emulator, work, trouble_budget_seconds=5, **fields)
    return failed.value


@pytest.mark.parametrize("work", [check, rerun])
def test_a_client_secret_signs_in_and_one_token_serves_all_calls(factory: Factory, work: Work) -> None:
    emulator = factory(SCENARIO, tls=True)

    async def twice(client: FactoryClient) -> None:
        await client.check_factory()
        await work(client)

    talk(emulator, twice)
    tokens = [entry for entry in calls(emulator, "Token") if entry.method == "POST"]
    assert len(tokens) == 1
    assert {entry.status for entry in emulator.journal} == {200}


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"password": WRONG_SECRET}, "put the secret's value (not its id) into the connection's password"),
        ({"login": "unknown-client", "password": WRONG_SECRET}, "check the connection's login and tenantId"),
        ({"tenantId": OTHER, "password": WRONG_SECRET}, "check the connection's tenantId and cloud"),
    ],
    ids=["wrong secret", "unknown client", "unknown tenant"],
)
@pytest.mark.parametrize("work", [check, rerun])
def test_a_failed_sign_in_says_who_where_and_what_to_do_but_never_the_secret(
    factory: Factory, caplog: pytest.LogCaptureFixture, work: Work, fields: dict[str, str], advice: str
) -> None:
    caplog.set_level(logging.DEBUG)
    emulator = factory(SCENARIO, tls=True)
    error = failure(emulator, work, **fields)
    assert isinstance(error, AuthenticationFailed)
    for part in (repr(CONN_ID), "AzureCloud", fields.get("tenantId", TENANT), advice):
        assert part in str(error)
    assert WRONG_SECRET not in "".join(traceback.format_exception(error)) + caplog.text
    assert WRONG_SECRET not in repr(vars(error))
    assert calls(emulator, "Factories_Get") == calls(emulator, "TriggerRuns_Rerun") == []


def test_a_principal_without_a_role_is_told_which_action_to_grant_where(factory: Factory) -> None:
    error = failure(factory(SCENARIO, tls=True), check, login="the-stranger", password="s")
    assert isinstance(error, PermissionDenied)
    for part in (
        repr(CONN_ID),
        "the-stranger",
        "Microsoft.DataFactory/factories/read",
        "'night-adf'",
        "Grant",
        "Data Factory Contributor",
    ):
        assert part in str(error)


def test_a_reader_is_told_which_action_it_lacks_and_nothing_is_rerun(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)
    error = failure(emulator, rerun, login="the-reader", password="r")
    assert isinstance(error, PermissionDenied)
    assert "triggers/triggerruns/rerun/action" in str(error)
    assert [entry.effect for entry in calls(emulator, "TriggerRuns_Rerun")] == [None]


def test_a_write_whose_token_was_refused_is_not_said_to_be_unclear(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)
    emulator.fail_next("TriggerRuns_Rerun", status=401, count=2)
    error = failure(emulator, rerun)
    assert isinstance(error, AuthenticationFailed)
    assert [entry.effect for entry in calls(emulator, "TriggerRuns_Rerun")] == [None, None]


def test_a_write_whose_token_was_refused_is_sent_once_more_with_a_new_one(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)
    emulator.fail_next("TriggerRuns_Rerun", refuse_token=True)
    talk(emulator, rerun)
    refused, done = calls(emulator, "TriggerRuns_Rerun")
    assert (refused.status, refused.effect, done.status) == (401, None, 200)
    assert len(calls(emulator, "Token")) == 2


def test_a_write_over_tls_whose_connection_drops_is_sent_once(factory: Factory) -> None:
    emulator = factory(SCENARIO, tls=True)
    emulator.fail_next("TriggerRuns_Rerun", drop_connection=True, processed=True)
    assert isinstance(failure(emulator, rerun), OutcomeUnknown)
    assert len(calls(emulator, "TriggerRuns_Rerun")) == 1


def test_no_token_travels_to_a_factory_without_tls(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    talk(emulator, check, login="the-reader", password="r")
    assert calls(emulator, "Token") == []
    assert [entry.principal for entry in emulator.journal] == ["the-reader"]
