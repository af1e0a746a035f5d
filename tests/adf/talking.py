"""Talking to a factory from a test: open the client, do one thing, close everything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.emulator import AdfEmulator
from tests.conftest import connection_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_adfruns.adf.identity import FactoryConnection

_Result = TypeVar("_Result")


def talk(
    factory: AdfEmulator | FactoryConnection,
    work: Callable[[FactoryClient], Awaitable[_Result]],
    *,
    trouble_budget_seconds: float = 120.0,
    **fields: Any,
) -> _Result:
    """Do some work with a client of this factory; ``fields`` replace those of the Airflow connection."""

    async def go() -> _Result:
        connection = connection_to(factory, **fields) if isinstance(factory, AdfEmulator) else factory
        async with FactoryClient(connection, trouble_budget_seconds=trouble_budget_seconds) as client:
            return await work(client)

    return asyncio.run(go())
