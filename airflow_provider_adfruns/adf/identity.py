"""Connection fields -> which factory, which cloud and endpoint, which credential; no request is sent here."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, urlsplit

from airflow_provider_adfruns.adf.clouds import Cloud, cloud_named
from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.names import (
    check_factory_name,
    check_resource_group_name,
    check_subscription_id,
)
from airflow_provider_adfruns.adf.pacing import check_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from azure.core.credentials_async import AsyncTokenCredential

_LEGACY_PREFIX = "extra__azure_data_factory__"

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0
TROUBLE_BUDGET_SECONDS = 120.0


class Authentication(StrEnum):
    """How the connection signs in."""

    CLIENT_SECRET = "ClientSecret"  # noqa: S105 - the name of a method, not a secret
    MANAGED_IDENTITY = "ManagedIdentity"
    WORKLOAD_IDENTITY = "WorkloadIdentity"
    DEFAULT = "Default"


@dataclass(frozen=True, slots=True)
class FactoryAddress:
    """Where a factory is."""

    subscription_id: str
    resource_group_name: str
    factory_name: str

    @property
    def resource_id(self) -> str:
        """The factory's ARM id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group_name}"
            f"/providers/Microsoft.DataFactory/factories/{self.factory_name}"
        )

    def __str__(self) -> str:
        return f"factory {self.factory_name!r} (resource group {self.resource_group_name!r})"


@dataclass(frozen=True, slots=True)
class FactoryConnection:
    """Everything needed to reach one factory; its ``repr`` holds no secret.

    :param max_requests_per_second: what a client holds to that is given no cap of its own; None for ARM's
        limits alone.
    :param connect_timeout_seconds: how long one attempt may take to connect.
    :param read_timeout_seconds: how long one attempt may wait for more of the answer.
    :param trouble_budget_seconds: how long one request may be repeated through trouble.
    """

    conn_id: str
    address: FactoryAddress
    cloud: Cloud
    arm_endpoint: str
    authority: str
    authentication: Authentication
    tenant_id: str | None
    client_id: str | None
    client_secret: str | None = field(repr=False)
    ca_bundle: str | None
    is_private_authority: bool
    max_requests_per_second: float | None = None
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    trouble_budget_seconds: float = TROUBLE_BUDGET_SECONDS

    @property
    def is_loopback_http(self) -> bool:
        """Whether the endpoint is a local factory without TLS, which gets no token of anybody's."""
        return self.arm_endpoint.startswith("http://")

    def describe(self) -> str:
        """Say for messages how this connection signs in and where, without a secret."""
        return (
            f"connection {self.conn_id!r} ({self.authentication}, cloud {self.cloud.name}, "
            f"tenant {self.tenant_id or 'not given'}, client {self.client_id or 'not given'})"
        )

    def studio_url(self, view: str) -> str:
        """Return the address of a page of ADF Studio's monitoring.

        :param view: the page, such as ``pipelineruns/ID`` or ``triggerruns``.
        :return: for clouds whose Studio address is not known, the factory in the cloud's portal; for a local
            factory its own page.
        """
        if self.is_loopback_http:
            return self.arm_endpoint
        if self.cloud.studio is None:
            return f"{self.cloud.portal}/#resource{self.address.resource_id}"
        factory = quote(self.address.resource_id, safe="")
        return f"{self.cloud.studio}/en/monitoring/{view}?factory={factory}"


def read_connection(
    *,
    conn_id: str,
    login: str | None,
    password: str | None,
    extra: Mapping[str, Any],
    resource_group_name: str | None = None,
    factory_name: str | None = None,
) -> FactoryConnection:
    """Read the fields of an Airflow connection of type ``adf_runs`` or ``azure_data_factory``.

    :param conn_id: the connection's id, for messages.
    :param login: client id.
    :param password: client secret.
    :param extra: the connection's extra fields, with or without the official provider's legacy prefix.
    :param resource_group_name: instead of the connection's own.
    :param factory_name: instead of the connection's own.
    :raises InvalidInput: names the field, what was expected and what to do.
    """

    def value(name: str) -> str | None:
        given = (extra.get(name), extra.get(_LEGACY_PREFIX + name))
        return next((str(each).strip() for each in given if each not in (None, "")), "") or None

    def seconds(name: str, default: float) -> float:
        return _check_seconds(conn_id, name, value(name), default)

    def required(name: str, given: str | None, what_else: str = "") -> str:
        if given is None:
            raise InvalidInput(
                f"{name} is not given. Add the field {name!r} to connection {conn_id!r}{what_else}."
            )
        return given

    address = FactoryAddress(
        check_subscription_id(required("subscriptionId", value("subscriptionId"))),
        check_resource_group_name(
            required(
                "resource_group_name",
                resource_group_name or value("resource_group_name"),
                " or set the task's parameter resource_group_name",
            )
        ),
        check_factory_name(
            required(
                "factory_name",
                factory_name or value("factory_name"),
                " or set the task's parameter factory_name",
            )
        ),
    )
    cloud = cloud_named(value("cloud"))
    private_authority = value("authority_host")
    client_id = login or value("managed_identity_client_id")
    authentication = _choose_authentication(conn_id, value, login, password)
    tenant_id = value("tenantId")
    if authentication is not Authentication.CLIENT_SECRET:
        tenant_id = value("workload_identity_tenant_id") or tenant_id
    return FactoryConnection(
        conn_id=conn_id,
        address=address,
        cloud=cloud,
        arm_endpoint=_check_endpoint(value("arm_endpoint")) or cloud.arm,
        authority=_check_authority(private_authority) or cloud.authority,
        authentication=authentication,
        tenant_id=tenant_id,
        client_id=client_id,
        client_secret=password if authentication is Authentication.CLIENT_SECRET else None,
        ca_bundle=_check_ca_bundle(value("ca_bundle")),
        is_private_authority=private_authority is not None,
        max_requests_per_second=_check_rate(value("max_requests_per_second")),
        connect_timeout_seconds=seconds("connect_timeout", CONNECT_TIMEOUT_SECONDS),
        read_timeout_seconds=seconds("read_timeout", READ_TIMEOUT_SECONDS),
        trouble_budget_seconds=seconds("trouble_budget", TROUBLE_BUDGET_SECONDS),
    )


def _choose_authentication(
    conn_id: str,
    value: Callable[[str], str | None],
    login: str | None,
    password: str | None,
) -> Authentication:
    """Take the method named in the connection, else the one that its fields imply.

    A workload identity's tenant alone implies the default credential, as it does in the official provider:
    its users give that tenant to make a managed identity work.
    """
    named = value("authentication")
    if named is not None:
        for method in Authentication:
            if method.lower() == named.lower():
                break
        else:
            raise InvalidInput(
                f"authentication: {named!r} is not known. Expected one of {', '.join(Authentication)}."
            )
    elif login or password:
        method = Authentication.CLIENT_SECRET
    elif value("managed_identity_client_id") and not value("workload_identity_tenant_id"):
        method = Authentication.MANAGED_IDENTITY
    else:
        method = Authentication.DEFAULT
    if method is Authentication.CLIENT_SECRET:
        given = {
            "login (client id)": login,
            "password (client secret)": password,
            "tenantId": value("tenantId"),
        }
        if missing := [name for name, content in given.items() if not content]:
            raise InvalidInput(
                f"{' and '.join(missing)} not given in connection {conn_id!r}. A client secret needs login, "
                "password and tenantId; for a managed identity leave login and password empty."
            )
    return method


def _check_endpoint(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    expected = (
        "Expected https://HOST, or http://127.0.0.1:PORT for a local factory: over http a token could be read"
        " by others"
    )
    parts = _split("arm_endpoint", endpoint, expected)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise InvalidInput(f"arm_endpoint: {endpoint!r} is neither https nor loopback. {expected}.")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _split(field_name: str, address: str, expected: str) -> SplitResult:
    """Split an address that must be no more than scheme, host and port; a refusal repeats no password."""
    if "@" in address:
        raise InvalidInput(
            f"{field_name}: the address holds a name or password (so it is not repeated here). {expected}."
        )
    try:
        parts = urlsplit(address)
        is_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise InvalidInput(f"{field_name}: {address!r} is not an address ({error}). {expected}.") from error
    if not is_host or parts.query or parts.fragment or parts.path not in ("", "/"):
        raise InvalidInput(f"{field_name}: {address!r} has more or less than a host. {expected}.")
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_authority(authority: str | None) -> str | None:
    if authority is None:
        return None
    expected = "Expected https://HOST; the client secret is sent there"
    parts = _split("authority_host", authority if "://" in authority else f"https://{authority}", expected)
    if parts.scheme != "https":
        raise InvalidInput(f"authority_host: {authority!r} is not https. {expected}.")
    return f"https://{parts.netloc}"


def _check_rate(rate: str | None) -> float | None:
    if rate is None:
        return None
    try:
        found: object = float(rate)
    except ValueError:
        found = rate
    return check_rate(found)


def _check_seconds(conn_id: str, name: str, given: str | None, default: float) -> float:
    try:
        found = default if given is None else float(given)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise InvalidInput(
            f"{name}: {given!r} in connection {conn_id!r} is not possible. Expected a number of seconds above"
            f" zero, or nothing for {default:g}."
        )
    return found


def _check_ca_bundle(path: str | None) -> str | None:
    if path is not None and not Path(path).is_file():
        raise InvalidInput(
            f"ca_bundle: {path!r} is not a file. Expected a PEM file with the certificates to trust, readable"
            " by the worker and the triggerer; leave it empty for the system's own."
        )
    return path


def open_credential(connection: FactoryConnection) -> AsyncTokenCredential:
    """Make the azure-identity credential; whoever calls this closes it.

    Importing azure.identity takes about half a second: call this from a thread where a loop must not block.

    :param connection: of another kind than ``is_loopback_http``.
    """
    from azure.identity import aio  # noqa: PLC0415 - heavy; only tasks that talk pay for it

    options: dict[str, Any] = {"authority": connection.authority}
    if connection.is_private_authority:
        # Entra's list of authorities cannot know a private one, and would be asked for it over the internet.
        options["disable_instance_discovery"] = True
    if connection.ca_bundle:
        options["connection_verify"] = connection.ca_bundle
    tenant_id, client_id = connection.tenant_id, connection.client_id
    match connection.authentication:
        case Authentication.CLIENT_SECRET:
            # read_connection has refused a client secret without these
            assert tenant_id and client_id and connection.client_secret  # noqa: S101, PT018
            return aio.ClientSecretCredential(tenant_id, client_id, connection.client_secret, **options)
        case Authentication.MANAGED_IDENTITY:
            return aio.ManagedIdentityCredential(client_id=client_id)
        case Authentication.WORKLOAD_IDENTITY:
            return aio.WorkloadIdentityCredential(tenant_id=tenant_id, client_id=client_id, **options)
        case Authentication.DEFAULT:
            chain = aio.DefaultAzureCredential(
                managed_identity_client_id=client_id, workload_identity_tenant_id=tenant_id, **options
            )
            # It gives its authority to every member but the workload identity (tried with 1.27), which would
            # ask the public cloud's, and show it the federated token.
            chain.credentials = tuple(
                aio.WorkloadIdentityCredential(tenant_id=tenant_id, client_id=client_id, **options)
                if isinstance(each, aio.WorkloadIdentityCredential)
                else each
                for each in chain.credentials
            )
            return chain
