"""FactoryCalls: a client of one factory opened and closed, and any one call to it; it knows no operation."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_adfruns.adf.answers import Answer, Parsed, parsed, unreadable
from airflow_provider_adfruns.adf.errors import (
    AuthenticationFailed,
    FactoryNotFound,
    NotFound,
    OutcomeUnknown,
    UnexpectedAnswer,
)
from airflow_provider_adfruns.adf.pacing import shared_cap, shared_pacer
from airflow_provider_adfruns.adf.queries import pages
from airflow_provider_adfruns.adf.sharing import shared_client
from airflow_provider_adfruns.adf.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from types import ModuleType

    from airflow_provider_adfruns.adf.gate import WriteGate
    from airflow_provider_adfruns.adf.identity import FactoryConnection
    from airflow_provider_adfruns.adf.pacing import Cap, Pacer
    from airflow_provider_adfruns.adf.queries import RunFilter

_ANSWERS_KEPT = 500


class FactoryCalls:
    """What every call to a factory needs: sign-in, pace, budget, the service's time, errors in our words.

    See ``FactoryClient`` for the parameters.
    """

    def __init__(
        self,
        connection: FactoryConnection,
        *,
        trouble_budget_seconds: float | None = None,
        pacer: Pacer | None = None,
        cap: Cap | None = None,
        gate: WriteGate | None = None,
    ) -> None:
        self.connection = connection
        self.answers: deque[Answer] = deque(maxlen=_ANSWERS_KEPT)
        principal = (
            connection.arm_endpoint,
            connection.address.subscription_id,
            connection.client_id or connection.conn_id,
        )
        if cap is None and connection.max_requests_per_second is not None:
            cap = shared_cap(connection.max_requests_per_second, *principal, connection.conn_id)
        if trouble_budget_seconds is None:
            trouble_budget_seconds = connection.trouble_budget_seconds
        self.tally = Tally()
        self._sending = (pacer or shared_pacer(*principal), cap, trouble_budget_seconds, gate, self.tally)
        self._exit = AsyncExitStack()
        self._sdk: Any = None  # azure's types would be imported with it
        self._client: Any = None
        self._caller: Any = None

    async def __aenter__(self) -> Self:
        self._sdk = await asyncio.to_thread(_import_sdk)
        self._caller = self._sdk.Caller(*self._sending)
        try:
            self._client = await self._exit.enter_async_context(
                shared_client(self.connection, self._sdk.build)
            )
        except ValueError as error:
            raise AuthenticationFailed(
                f"{self.connection.describe()} cannot sign in: {error} Complete the connection's fields."
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    def answers_about(self, run_id: str) -> list[Answer]:
        """Return what the service has answered about a run lately, oldest first.

        :param run_id: a pipeline run's or trigger run's id.
        """
        return [each for each in self.answers if run_id in each.action.split()]

    async def now(self) -> datetime:
        """Return the time that the service's latest answer said, to the second; asks it if there was none.

        Every comparison with a run's times uses this, never the worker's clock.
        """
        if self._caller.clock.latest is None:
            await self.check_factory()
        latest: datetime | None = self._caller.clock.latest
        if latest is None:
            raise UnexpectedAnswer(f"{self.connection.arm_endpoint} answers without a Date header.")
        return latest

    async def check_factory(self) -> None:
        """Ask for the factory itself, to see that connection, permission and names are right."""
        await self._call(self._client.factories.get, action="reading the factory", not_found=FactoryNotFound)

    async def _query(
        self,
        kind: type[Parsed],
        send: Callable[[Any], Any],
        key: Callable[[Parsed], str],
        after: datetime,
        before: datetime,
        filters: Sequence[RunFilter],
        most_pages: int | None = None,
    ) -> list[Parsed]:
        """Collect pages, each run once: runs may move between pages while they are read."""
        address = self.connection.address
        found: dict[str, Parsed] = {}
        async for page in pages(send, address, after, before, tuple(filters), most_pages):
            for member in page:
                run = parsed(address, kind, member)
                found[key(run)] = run
        return list(found.values())

    async def _call(
        self,
        operation: Callable[..., Any],
        *arguments: Any,
        action: str,
        not_found: type[NotFound] = FactoryNotFound,
        write: bool = False,
        **options: Any,
    ) -> Any:
        """Run one operation of the SDK. :return: the answer's JSON. :raises AdfRunsError: for any failure."""
        address = self.connection.address
        text = ""

        def keep(response: Any) -> None:
            nonlocal text
            text = response.http_response.text()
            self.answers.append(Answer.of(action, response.http_response))

        options = {"cls": _body_of, "caller": self._caller, "raw_response_hook": keep, **options}
        try:
            answer = await operation(address.resource_group_name, address.factory_name, *arguments, **options)
        except self._sdk.AzureError as error:
            failure = self._sdk.translate(
                error, action=action, connection=self.connection, write=write, not_found=not_found
            )
            if not isinstance(failure, AuthenticationFailed):
                self.tally.ambiguous += isinstance(failure, OutcomeUnknown)
                raise failure from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # the SDK, or the JSON parser, tripped over the answer
            if write:
                self.tally.ambiguous += 1
                raise self._sdk.unknown(action, f"it cannot be read: {error}") from error
            raise unreadable(address, f"{action} with something", text, error) from error
        else:
            self.tally.submitted += write
            return answer
        raise failure  # alone: azure-identity's error holds the authority's answer, perhaps with the secret


def _import_sdk() -> ModuleType:
    from airflow_provider_adfruns.adf import sdk  # noqa: PLC0415 - parsing a DAG must not import azure

    return sdk


def _body_of(response: Any, _: object, __: object) -> Any:
    """Return an answer's JSON as it was on the wire; None for the empty bodies of the older generation."""
    answer = response.http_response
    return answer.json() if answer.text() else None
