"""Microsoft's client, put together with this package's own policies; nothing here knows an operation.

Importing this module imports azure.mgmt.datafactory, which takes about a second: only FactoryClient does,
when it is opened, in a thread.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from azure.core.exceptions import AzureError
from azure.core.pipeline import policies
from azure.core.pipeline.transport import AioHttpTransport
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy
from azure.mgmt.datafactory.aio import DataFactoryManagementClient

from airflow_provider_adfruns import __version__
from airflow_provider_adfruns.adf.identity import FactoryConnection, open_credential
from airflow_provider_adfruns.adf.refusals import translate, unknown
from airflow_provider_adfruns.adf.transport import (
    Caller,
    EndpointPolicy,
    LoopbackPrincipalPolicy,
    RepeatPolicy,
    WirePolicy,
)

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

__all__ = [
    "AzureError",
    "Caller",
    "build",
    "translate",
    "unknown",
]


class _NoCredential:
    """Stands where the SDK insists on a credential; over loopback http nothing ever asks it."""

    async def get_token(self, *_: str, **__: Any) -> Any:
        raise AssertionError("a local factory without TLS is sent no token")

    async def close(self) -> None:
        """Have nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return


MOST_CONNECTIONS = 32
"""How many connections to the service one client keeps at most; further requests wait for one."""


class PooledTransport(AioHttpTransport):  # type: ignore[misc] # loaded lazily, untyped
    """The SDK's transport with a pool of a known size, and connections that are used again.

    azure-core's own makes a new TLS context for each request that trusts a private ``ca_bundle``, and with it
    a new connection (tried with azure-core 1.41).

    :param ca_bundle: the certificates to trust; None for the system's own.
    :param timeouts: of azure-core's transport, in seconds.
    """

    def __init__(self, ca_bundle: str | None, **timeouts: float) -> None:
        super().__init__(**timeouts)
        self._tls = ssl.create_default_context(cafile=ca_bundle) if ca_bundle else True
        self._was_opened = False

    async def open(self) -> None:
        """Make the pool, the first time."""
        if not self._was_opened:
            self._was_opened = True
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS, ssl=self._tls),
                trust_env=True,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        await super().open()


def build(connection: FactoryConnection) -> tuple[DataFactoryManagementClient, AsyncTokenCredential]:
    """Make the SDK's client and its credential; whoever calls this closes both.

    The SDK's own retry and redirect policies are left out: the first repeats writes, the second could carry a
    token to another host. So is its registration policy, which changes the subscription, and its logging
    policy, which would bury the task's own log. What the SDK follows by itself, a list's ``nextLink``, stays
    at the endpoint. Each call takes an option ``caller``, on whose behalf it
    travels.

    :raises ValueError: from azure-identity, when the credential's fields do not fit together.
    """
    authentication: Any
    credential: Any
    if connection.is_loopback_http:
        credential = _NoCredential()
        authentication = LoopbackPrincipalPolicy(connection.client_id)
    else:
        credential = open_credential(connection)
        authentication = AsyncARMChallengeAuthenticationPolicy(credential, connection.cloud.scope)
    chain = [
        policies.RequestIdPolicy(),
        policies.HeadersPolicy(),
        policies.UserAgentPolicy(sdk_moniker=f"airflow-provider-adfruns/{__version__}"),
        policies.ProxyPolicy(),
        RepeatPolicy(),
        policies.CustomHookPolicy(),
        EndpointPolicy(connection.arm_endpoint, connection.conn_id),
        authentication,
        policies.ContentDecodePolicy(),
        policies.DistributedTracingPolicy(),
        WirePolicy(),
    ]
    client = DataFactoryManagementClient(
        credential,
        connection.address.subscription_id,
        base_url=connection.arm_endpoint,
        credential_scopes=[connection.cloud.scope],
        policies=chain,
        transport=PooledTransport(
            connection.ca_bundle,
            connection_timeout=connection.connect_timeout_seconds,
            read_timeout=connection.read_timeout_seconds,
        ),
    )
    return client, credential
