"""One SDK client for all who sign in alike on an event loop: one credential, one token, one connection pool.

A triggerer runs the waits of many tasks on one loop, each with a FactoryClient of its own; what those open
together lives here, from the first who comes to the last who leaves.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_provider_adfruns.adf.identity import Authentication, FactoryConnection


@dataclass(frozen=True, slots=True)
class SignIn:
    """What has to be the same for two connections to share a client; which factory is said call by call.

    Its ``repr`` holds no secret.
    """

    arm_endpoint: str
    subscription_id: str
    scope: str
    authority: str
    is_private_authority: bool
    authentication: Authentication
    tenant_id: str | None
    client_id: str | None
    client_secret: str | None = field(repr=False)
    ca_bundle: str | None
    connect_timeout_seconds: float
    read_timeout_seconds: float

    @classmethod
    def of(cls, connection: FactoryConnection) -> Self:
        """Return what a connection signs in with, and where."""
        return cls(
            arm_endpoint=connection.arm_endpoint,
            subscription_id=connection.address.subscription_id.lower(),
            scope=connection.cloud.scope,
            authority=connection.authority,
            is_private_authority=connection.is_private_authority,
            authentication=connection.authentication,
            tenant_id=connection.tenant_id,
            client_id=connection.client_id,
            client_secret=connection.client_secret,
            ca_bundle=connection.ca_bundle,
            connect_timeout_seconds=connection.connect_timeout_seconds,
            read_timeout_seconds=connection.read_timeout_seconds,
        )


class _SharedClient:
    """A client, opened by the first of its users who gets so far; closed by the last."""

    def __init__(self) -> None:
        self.users = 0
        self._opening = asyncio.Lock()
        self._client: Any = None  # azure's types would be imported with it
        self._exit = AsyncExitStack()

    async def opened(self, connection: FactoryConnection, build: Callable[..., Any]) -> Any:
        """Return the client; whoever fails or is cancelled while opening it leaves that to the next user."""
        async with self._opening:
            if self._client is None:
                # in a thread, for it reads certificates; nothing is connected before it is entered
                client, credential = await asyncio.to_thread(build, connection)
                async with AsyncExitStack() as entered:
                    await entered.enter_async_context(credential)
                    self._client = await entered.enter_async_context(client)
                    self._exit = entered.pop_all()
        return self._client

    async def close(self) -> None:
        await self._exit.aclose()


_open: dict[tuple[asyncio.AbstractEventLoop, SignIn], _SharedClient] = {}
_open_lock = threading.Lock()  # loops of several threads keep their clients in the one dictionary


@asynccontextmanager
async def shared_client(connection: FactoryConnection, build: Callable[..., Any]) -> AsyncIterator[Any]:
    """Give the SDK's client for this sign-in on this loop, opened if need be, for as long as the context is.

    :param connection: says where and as whom.
    :param build: makes the client and its credential of a connection; ``sdk.build``.
    :raises ValueError: from azure-identity, when the credential's fields do not fit together.
    """
    key = (asyncio.get_running_loop(), SignIn.of(connection))
    with _open_lock:
        shared = _open.setdefault(key, _SharedClient())
        shared.users += 1
    try:
        yield await shared.opened(connection, build)
    finally:
        with _open_lock:
            shared.users -= 1
            is_last = shared.users == 0
            if is_last:
                del _open[key]  # who comes while it closes opens another
        if is_last:
            await shared.close()
