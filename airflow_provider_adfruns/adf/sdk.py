"""Microsoft's client, put together with this package's own policies; nothing here knows an operation.

Importing this module imports azure.mgmt.datafactory, which takes about a second: only FactoryClient does,
when it is opened, in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from azure.core.exceptions import AzureError
from azure.core.pipeline import policies
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy
from azure.mgmt.datafactory.aio import DataFactoryManagementClient

from airflow_provider_adfruns import __version__
from airflow_provider_adfruns.adf.identity import FactoryConnection, open_credential
from airflow_provider_adfruns.adf.refusals import translate, unknown
from airflow_provider_adfruns.adf.transport import (
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    LoopbackPrincipalPolicy,
    RepeatPolicy,
    ServiceTime,
    WirePolicy,
)

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

    from airflow_provider_adfruns.adf.gate import WriteGate
    from airflow_provider_adfruns.adf.pacing import Pacer

__all__ = [
    "AzureError",
    "ServiceTime",
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


def build(
    connection: FactoryConnection,
    clock: ServiceTime,
    pacer: Pacer,
    trouble_budget_seconds: float,
    gate: WriteGate | None,
) -> tuple[DataFactoryManagementClient, AsyncTokenCredential]:
    """Make the SDK's client and its credential; whoever calls this closes both.

    The SDK's own retry and redirect policies are left out: the first repeats writes, the second could carry a
    token to another host. So is its registration policy, which changes the subscription, and its logging
    policy, which would bury the task's own log.

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
        RepeatPolicy(pacer, trouble_budget_seconds, gate),
        policies.CustomHookPolicy(),
        authentication,
        policies.ContentDecodePolicy(),
        policies.DistributedTracingPolicy(),
        WirePolicy(clock),
    ]
    client = DataFactoryManagementClient(
        credential,
        connection.address.subscription_id,
        base_url=connection.arm_endpoint,
        credential_scopes=[connection.cloud.scope],
        policies=chain,
        connection_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        connection_verify=connection.ca_bundle or True,
    )
    return client, credential
