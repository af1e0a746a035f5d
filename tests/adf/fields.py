"""Connection fields for tests, complete unless a test says otherwise."""

from __future__ import annotations

from typing import Any

from airflow_provider_adfruns.adf.identity import FactoryConnection, read_connection

SUBSCRIPTION = "00000000-0000-4000-8000-00000000000a"
TENANT = "00000000-0000-4000-8000-00000000000b"
SECRET = "tHe~sEcReT.vAlUe"
EXTRA = {
    "subscriptionId": SUBSCRIPTION,
    "resource_group_name": "night-rg",
    "factory_name": "night-adf",
    "tenantId": TENANT,
}


def read(
    login: str | None = None,
    password: str | None = None,
    *,
    without: str | None = None,
    task: Any = None,
    **extra: Any,
) -> FactoryConnection:
    """Read a connection with these fields besides the usual ones, of which one may be left out."""
    fields = {name: value for name, value in EXTRA.items() if name != without} | extra
    return read_connection(conn_id="adf", login=login, password=password, extra=fields, **(task or {}))


def sign_in(**extra: Any) -> FactoryConnection:
    """Read a connection that signs in with a client secret."""
    return read("the-client", SECRET, **extra)
