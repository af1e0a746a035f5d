"""Beside Airflow's own Azure provider: both are found, in silence, and both read one connection."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook

if TYPE_CHECKING:
    from airflow_provider_adfruns.adf.identity import FactoryConnection

OFFICIAL = pytest.importorskip(
    "airflow.providers.microsoft.azure.hooks.data_factory",
    reason="the official provider is not installed; `make test-beside` has it",
)
CONN_ID = "azure_data_factory_default"
EXTRA = {
    "tenantId": "00000000-0000-0000-0000-000000000001",
    "subscriptionId": "00000000-0000-0000-0000-000000000002",
    "resource_group_name": "night-rg",
    "factory_name": "night-adf",
}


def airflow(*arguments: str) -> Any:
    """Run one of Airflow's commands with warnings as errors, and return its JSON."""
    command = [str(Path(sys.executable).with_name("airflow")), *arguments, "--output", "json"]
    answer = subprocess.run(  # noqa: S603 - this environment's own command
        command, capture_output=True, text=True, check=True
    )
    assert "warn" not in answer.stderr.lower(), answer.stderr
    assert "warn" not in answer.stdout.lower(), answer.stdout
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.fixture(params=["adf_runs", "azure_data_factory"])
def connection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FactoryConnection:
    """One connection of the environment, of either provider's type, as this package reads it."""
    fields = {"conn_type": request.param, "login": "the-app", "password": "s3cret", "extra": EXTRA}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))
    return AdfRunsHook().factory_connection()


def test_airflow_lists_both_without_a_warning() -> None:
    names = {provider["package_name"] for provider in airflow("providers", "list")}
    assert names >= {"airflow-provider-adfruns", "apache-airflow-providers-microsoft-azure"}


def test_the_form_offers_the_connection_types_of_both_each_with_its_own_hook() -> None:
    hooks = {each["connection_type"]: each["class"] for each in airflow("providers", "hooks")}
    assert {name: hooks[name] for name in ("adf_runs", "azure_data_factory")} == {
        "adf_runs": "airflow_provider_adfruns.hooks.adf_runs.AdfRunsHook",
        "azure_data_factory": "airflow.providers.microsoft.azure.hooks.data_factory.AzureDataFactoryHook",
    }


def test_both_hooks_sign_in_from_one_connection(connection: FactoryConnection) -> None:
    client = OFFICIAL.AzureDataFactoryHook(CONN_ID).get_conn()
    try:
        assert client._config.subscription_id == connection.address.subscription_id
        assert client._config.credential._client_id == connection.client_id
    finally:
        client.close()


def test_both_hooks_read_the_same_factory_from_one_connection(connection: FactoryConnection) -> None:
    official = OFFICIAL.AzureDataFactoryHook(CONN_ID).get_connection(CONN_ID).extra_dejson
    address = connection.address
    assert (address.resource_group_name, address.factory_name, address.subscription_id) == (
        official["resource_group_name"],
        official["factory_name"],
        official["subscriptionId"],
    )
