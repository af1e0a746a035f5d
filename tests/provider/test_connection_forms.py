"""One connection in each form that Airflow knows, the UI's, JSON, a URI; and the official provider's own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from airflow.models.connection import Connection

from airflow_provider_adfruns.adf.clouds import CLOUDS
from airflow_provider_adfruns.adf.identity import Authentication, FactoryConnection, open_credential
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.provider_info import get_provider_info
from tests.adf.fields import SECRET, SUBSCRIPTION, TENANT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENV = "AIRFLOW_CONN_ADF"
LEGACY = "extra__azure_data_factory__"
CLIENT = "00000000-0000-4000-8000-0000000000cc"
PLACE = {"subscriptionId": SUBSCRIPTION, "resource_group_name": "night-rg", "factory_name": "night-adf"}
(FORM,) = (each["conn-fields"] for each in get_provider_info()["connection-types"])

# How each way to sign in is written: login, password, extra.
SIGN_INS: dict[str, tuple[str | None, str | None, dict[str, str]]] = {
    "client secret": (CLIENT, SECRET + "+/?&#%@:é", {"tenantId": TENANT}),
    "system-assigned identity": (None, None, {"authentication": "ManagedIdentity"}),
    "user-assigned identity": (None, None, {"managed_identity_client_id": CLIENT}),
    "workload identity": (
        None,
        None,
        {
            "authentication": "WorkloadIdentity",
            "managed_identity_client_id": CLIENT,
            "workload_identity_tenant_id": TENANT,
        },
    ),
    "default chain": (None, None, {}),
}


def as_json(conn_type: str, login: str | None, password: str | None, extra: dict[str, Any]) -> str:
    """Write a connection as people do: the extra an object."""
    return json.dumps({"conn_type": conn_type, "login": login, "password": password, "extra": extra})


def as_form(conn_type: str, login: str | None, password: str | None, extra: dict[str, Any]) -> str:
    """Write a connection as the UI's form leaves it: every field there, the extra as text."""
    filled = dict.fromkeys(FORM, None) | extra
    return json.dumps(
        {"conn_type": conn_type, "login": login or "", "password": password, "extra": json.dumps(filled)}
    )


def as_uri(conn_type: str, login: str | None, password: str | None, extra: dict[str, Any]) -> str:
    """Write a connection as people do: fields as the query."""
    who = f"{quote(login, safe='')}:{quote(password or '', safe='')}@" if login else ""
    return f"{conn_type.replace('_', '-')}://{who}/?{urlencode(extra)}"


def as_airflows_uri(conn_type: str, login: str | None, password: str | None, extra: dict[str, Any]) -> str:
    """Write a connection as ``airflow connections export`` does."""
    return Connection(
        conn_id="adf", conn_type=conn_type, login=login, password=password, extra=json.dumps(extra)
    ).get_uri()


FORMS: dict[str, Callable[..., str]] = {
    "json": as_json,
    "form": as_form,
    "uri": as_uri,
    "airflow's uri": as_airflows_uri,
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], FactoryConnection]:
    """Read a connection from an environment variable, through Airflow and the hook."""

    def reader(written: str) -> FactoryConnection:
        monkeypatch.setenv(ENV, written)
        return AdfRunsHook("adf").factory_connection()

    return reader


@pytest.mark.parametrize("conn_type", ["adf_runs", "azure_data_factory"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sign_in", SIGN_INS)
def test_every_form_of_a_connection_says_the_same(
    read: Callable[[str], FactoryConnection], sign_in: str, form: str, conn_type: str
) -> None:
    login, password, extra = SIGN_INS[sign_in]
    extra = {**PLACE, **extra, "cloud": "AzureChinaCloud", "max_requests_per_second": "2.5"}
    expected = read(as_json("adf_runs", login, password, extra))
    assert read(FORMS[form](conn_type, login, password, extra)) == expected
    assert expected.client_secret == password
    assert expected.max_requests_per_second == 2.5


@pytest.mark.parametrize("form", [as_json, as_uri], ids=["json", "uri"])
@pytest.mark.parametrize("prefix", ["", LEGACY])
@pytest.mark.parametrize(
    ("login", "password", "extra", "method"),
    [
        (CLIENT, SECRET, {"tenantId": TENANT}, Authentication.CLIENT_SECRET),
        (None, None, {"managed_identity_client_id": CLIENT}, Authentication.MANAGED_IDENTITY),
        (
            None,
            None,
            {"managed_identity_client_id": CLIENT, "workload_identity_tenant_id": TENANT},
            Authentication.DEFAULT,
        ),
        (None, None, {}, Authentication.DEFAULT),
    ],
)
def test_a_connection_of_the_official_provider_is_taken_as_it_is(
    read: Callable[[str], FactoryConnection],
    login: str | None,
    password: str | None,
    extra: dict[str, str],
    method: Authentication,
    prefix: str,
    form: Callable[..., str],
) -> None:
    fields = {prefix + name: value for name, value in {**PLACE, **extra}.items()}
    connection = read(form("azure_data_factory", login, password, fields))
    assert connection.address.resource_id.endswith(
        "/resourceGroups/night-rg/providers/Microsoft.DataFactory/factories/night-adf"
    )
    assert connection.authentication is method
    assert connection.client_id == (CLIENT if login or "managed_identity_client_id" in extra else None)
    assert connection.tenant_id == (
        TENANT if extra.keys() & {"tenantId", "workload_identity_tenant_id"} else None
    )


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("sign_in", SIGN_INS)
def test_each_cloud_has_its_own_addresses_whoever_signs_in(
    read: Callable[[str], FactoryConnection],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sign_in: str,
    cloud: str,
) -> None:
    token = tmp_path / "token"
    token.write_text("federated", encoding="utf-8")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(token))
    for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):  # what the default chain finds
        monkeypatch.setenv(f"AZURE_{name}", TENANT)
    login, password, extra = SIGN_INS[sign_in]
    connection = read(as_json("adf_runs", login, password, {**PLACE, **extra, "cloud": cloud}))
    known = CLOUDS[cloud]
    assert (connection.arm_endpoint, connection.authority) == (known.arm, known.authority)
    assert connection.cloud.scope == f"{known.audience}/.default"
    assert connection.studio_url("triggerruns").startswith(known.studio or known.portal)
    expected = set() if connection.authentication is Authentication.MANAGED_IDENTITY else {known.authority}
    assert asked_authorities(connection) == expected


def asked_authorities(connection: FactoryConnection) -> set[str]:
    """Return the authorities that a connection's credential would ask; managed identities ask none."""

    async def opened() -> set[str]:
        credential: Any = open_credential(connection)
        async with credential:
            members = getattr(credential, "credentials", (credential,))
            within = [getattr(each, "_credential", None) or each for each in members]
            clients: list[Any] = [getattr(each, "_client", None) for each in within]
            return {str(client._authority) for client in clients if hasattr(client, "_authority")}

    return asyncio.run(opened())
