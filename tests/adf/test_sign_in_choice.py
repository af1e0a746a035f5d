"""Which way a connection signs in, and the azure-identity credential that it becomes; nothing is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.clouds import CLOUDS
from airflow_provider_adfruns.adf.errors import AuthenticationFailed, InvalidInput
from airflow_provider_adfruns.adf.identity import Authentication, FactoryConnection, open_credential
from tests.adf.fields import SECRET, TENANT, read, sign_in

if TYPE_CHECKING:
    from pathlib import Path

OTHER_TENANT = "00000000-0000-4000-8000-0000000000ff"


@pytest.mark.parametrize(
    ("connection", "method", "client_id", "tenant_id"),
    [
        (sign_in(), Authentication.CLIENT_SECRET, "the-client", TENANT),
        (read(), Authentication.DEFAULT, None, TENANT),
        (read(without="tenantId"), Authentication.DEFAULT, None, None),
        (read(managed_identity_client_id="mi"), Authentication.MANAGED_IDENTITY, "mi", TENANT),
        (read(authentication="managedidentity"), Authentication.MANAGED_IDENTITY, None, TENANT),
        (read("mi", authentication="ManagedIdentity"), Authentication.MANAGED_IDENTITY, "mi", TENANT),
        (
            read("wi", authentication="WorkloadIdentity", workload_identity_tenant_id=OTHER_TENANT),
            Authentication.WORKLOAD_IDENTITY,
            "wi",
            OTHER_TENANT,
        ),
        (
            read(managed_identity_client_id="mi", workload_identity_tenant_id=OTHER_TENANT),
            Authentication.DEFAULT,
            "mi",
            OTHER_TENANT,
        ),
        (read(authentication="Default"), Authentication.DEFAULT, None, TENANT),
        (
            sign_in(managed_identity_client_id="mi", workload_identity_tenant_id=OTHER_TENANT),
            Authentication.CLIENT_SECRET,
            "the-client",
            TENANT,
        ),
    ],
    ids=[
        "client id and secret",
        "nothing",
        "not even a tenant",
        "user-assigned by its client id alone",
        "system-assigned by name",
        "user-assigned by name and login",
        "workload identity",
        "as the official provider's users write a managed identity",
        "default by name",
        "a secret counts first",
    ],
)
def test_the_fields_imply_how_to_sign_in(
    connection: FactoryConnection, method: Authentication, client_id: str | None, tenant_id: str | None
) -> None:
    assert connection.authentication is method
    assert (connection.client_id, connection.tenant_id) == (client_id, tenant_id)
    assert connection.client_secret == (SECRET if method is Authentication.CLIENT_SECRET else None)


@pytest.mark.parametrize(
    ("login", "password", "fields", "missing"),
    [
        ("the-client", None, {}, ["password (client secret)"]),
        (None, SECRET, {}, ["login (client id)"]),
        ("the-client", SECRET, {"tenantId": None}, ["tenantId"]),
        (
            None,
            None,
            {"authentication": "ClientSecret", "tenantId": ""},
            ["login (client id)", "password (client secret)", "tenantId"],
        ),
    ],
)
def test_an_incomplete_client_secret_names_what_is_missing(
    login: str | None, password: str | None, fields: dict[str, Any], missing: list[str]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(login, password, **fields)
    assert str(refused.value).startswith(f"{' and '.join(missing)} not given in connection 'adf'")
    assert "for a managed identity leave login and password empty" in str(refused.value)
    assert SECRET not in str(refused.value)


def credential_of(connection: FactoryConnection) -> str:
    """Open a credential, close it, and return its class's name."""

    async def go() -> str:
        credential = open_credential(connection)
        await credential.close()
        return type(credential).__name__

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (sign_in(), "ClientSecretCredential"),
        (read(authentication="ManagedIdentity"), "ManagedIdentityCredential"),
        (read(managed_identity_client_id="mi"), "ManagedIdentityCredential"),
        (read(), "DefaultAzureCredential"),
        (read(managed_identity_client_id="mi", workload_identity_tenant_id=TENANT), "DefaultAzureCredential"),
    ],
)
def test_each_way_has_its_credential(connection: FactoryConnection, expected: str) -> None:
    assert credential_of(connection) == expected


def test_a_workload_identity_takes_its_token_file_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("federated", encoding="utf-8")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(token))
    connection = read("wi", authentication="WorkloadIdentity")
    assert credential_of(connection) == "WorkloadIdentityCredential"


def test_a_workload_identity_outside_of_a_cluster_says_what_is_missing() -> None:
    async def enter() -> None:
        async with FactoryClient(read("wi", authentication="WorkloadIdentity")):
            raise AssertionError("it must not open")

    with pytest.raises(AuthenticationFailed) as failed:
        asyncio.run(enter())
    for part in ("connection 'adf'", "WorkloadIdentity", "AzureCloud", TENANT, "token_file_path"):
        assert part in str(failed.value)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_client_secret_signs_in_at_its_clouds_authority(cloud: str) -> None:
    async def go() -> str:
        credential: Any = open_credential(sign_in(cloud=cloud))
        await credential.close()
        return str(credential._client._authority)

    assert asyncio.run(go()) == CLOUDS[cloud].authority
