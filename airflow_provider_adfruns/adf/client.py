"""FactoryClient: the run API of one factory, async and typed, over Microsoft's SDK."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from airflow_provider_adfruns.adf.errors import (
    AuthenticationFailed,
    FactoryNotFound,
    NotFound,
    PipelineNotFound,
    PipelineRunNotFound,
    TriggerNotFound,
    TriggerRunNotFound,
    UnexpectedAnswer,
)
from airflow_provider_adfruns.adf.model import ActivityRun, PipelineRun, Trigger, TriggerRun
from airflow_provider_adfruns.adf.names import check_pipeline_name, check_run_id, check_trigger_name
from airflow_provider_adfruns.adf.pacing import Bucket, Limit, Pacer, shared_pacer
from airflow_provider_adfruns.adf.pause import elapsed, pause
from airflow_provider_adfruns.adf.queries import query_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from types import ModuleType

    from airflow_provider_adfruns.adf.identity import FactoryConnection
    from airflow_provider_adfruns.adf.queries import RunFilter

TROUBLE_BUDGET_SECONDS = 120.0
"""How long one request is repeated through trouble by default, in seconds."""

_MOST_PAGES = 10_000


class _FromWire(Protocol):
    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self: ...


_Parsed = TypeVar("_Parsed", bound=_FromWire)


class FactoryClient:
    """Talk to one factory; an async context manager that closes client, connections and credential.

    Every method raises ``ConnectionProblem`` when the factory cannot be talked to, ``FactoryNotFound`` when
    there is none, and ``UnexpectedAnswer`` for what it does not understand.

    :param connection: which factory, and how to sign in.
    :param trouble_budget_seconds: how long one read is repeated through errors and throttling, and how long a
        write may wait for a connection or for throttling to end. A write whose outcome is unclear is never
        repeated: it raises ``OutcomeUnknown``.
    :param pacer: for a principal whose limits are not the documented ones, to be shared by all its clients;
        default this process's own for the principal in its subscription.
    """

    def __init__(
        self,
        connection: FactoryConnection,
        *,
        trouble_budget_seconds: float = TROUBLE_BUDGET_SECONDS,
        pacer: Pacer | None = None,
    ) -> None:
        self.connection = connection
        self._trouble_budget_seconds = trouble_budget_seconds
        cap = connection.max_requests_per_second
        self._cap = None if cap is None else Bucket(Limit(1, cap))
        self._pacer = pacer or shared_pacer(
            connection.arm_endpoint,
            connection.address.subscription_id,
            connection.client_id or connection.conn_id,
        )
        self._exit = AsyncExitStack()
        self._sdk: Any = None  # azure's types would be imported with it
        self._client: Any = None
        self._clock: Any = None

    async def __aenter__(self) -> Self:
        self._sdk = await asyncio.to_thread(_import_sdk)
        self._clock = self._sdk.ServiceTime()
        try:
            client, credential = await asyncio.to_thread(
                self._sdk.build, self.connection, self._clock, self._pacer, self._trouble_budget_seconds
            )
        except ValueError as error:
            raise AuthenticationFailed(
                f"{self.connection.describe()} cannot sign in: {error} Complete the connection's fields."
            ) from error
        await self._exit.enter_async_context(credential)
        self._client = await self._exit.enter_async_context(client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def now(self) -> datetime:
        """Return the time that the service's latest answer said, to the second; asks it if there was none.

        Every comparison with a run's times uses this, never the worker's clock.
        """
        if self._clock.latest is None:
            await self.check_factory()
        latest: datetime | None = self._clock.latest
        if latest is None:
            raise UnexpectedAnswer(f"{self.connection.arm_endpoint} answers without a Date header.")
        return latest

    async def check_factory(self) -> None:
        """Ask for the factory itself, to see that connection, permission and names are right."""
        await self._call(self._client.factories.get, action="reading the factory", not_found=FactoryNotFound)

    async def get_pipeline_run(self, run_id: str) -> PipelineRun:
        """Get one pipeline run; strongly consistent, unlike queries (recorded).

        :raises PipelineRunNotFound: for an unknown id, and for one older than 45 days.
        """
        wire = await self._call(
            self._client.pipeline_runs.get,
            check_run_id(run_id),
            action=f"reading pipeline run {run_id}",
            not_found=PipelineRunNotFound,
        )
        return self._parse(PipelineRun, wire)

    async def query_pipeline_runs(
        self,
        *,
        last_updated_after: datetime,
        last_updated_before: datetime,
        filters: Sequence[RunFilter] = (),
    ) -> list[PipelineRun]:
        """Query the factory's pipeline runs, all pages, in no order; may lag some seconds behind.

        :param last_updated_after: only runs updated at this time or later.
        :param last_updated_before: only runs updated at this time or earlier; may lie ahead.
        :param filters: operands PipelineName, RunStart, RunEnd, Status, RunGroupId, LatestOnly.
        """
        return await self._query(
            PipelineRun,
            lambda parameters: self._call(
                self._client.pipeline_runs.query_by_factory, parameters, action="querying pipeline runs"
            ),
            lambda run: run.run_id,
            last_updated_after,
            last_updated_before,
            filters,
        )

    async def query_trigger_runs(
        self,
        *,
        last_updated_after: datetime,
        last_updated_before: datetime,
        filters: Sequence[RunFilter] = (),
    ) -> list[TriggerRun]:
        """Query the factory's trigger runs, all pages, in no order; may lag some seconds behind (recorded).

        :param last_updated_after: only runs updated at this time or later.
        :param last_updated_before: only runs updated at this time or earlier; may lie ahead.
        :param filters: operands TriggerName, TriggerRunTimestamp, Status.
        """
        return await self._query(
            TriggerRun,
            lambda parameters: self._call(
                self._client.trigger_runs.query_by_factory, parameters, action="querying trigger runs"
            ),
            lambda run: run.trigger_run_id,
            last_updated_after,
            last_updated_before,
            filters,
        )

    async def query_activity_runs(
        self,
        run_id: str,
        *,
        last_updated_after: datetime,
        last_updated_before: datetime,
        filters: Sequence[RunFilter] = (),
    ) -> list[ActivityRun]:
        """Query the activity runs of one pipeline run, all pages; an unknown run has none (recorded).

        :param run_id: the pipeline run.
        :param last_updated_after: only activity runs updated at this time or later.
        :param last_updated_before: only activity runs updated at this time or earlier; may lie ahead.
        :param filters: operands ActivityName, ActivityRunStart, ActivityRunEnd, ActivityType, Status.
        """
        check_run_id(run_id)
        return await self._query(
            ActivityRun,
            lambda parameters: self._call(
                self._client.activity_runs.query_by_pipeline_run,
                run_id,
                parameters,
                action=f"querying activity runs of pipeline run {run_id}",
            ),
            lambda run: run.activity_run_id,
            last_updated_after,
            last_updated_before,
            filters,
        )

    async def cancel_pipeline_run(self, run_id: str, *, is_recursive: bool) -> None:
        """Ask for a cancel; it is complete only later, when the run's status is final.

        :param run_id: the pipeline run.
        :param is_recursive: also cancel the child runs that its ExecutePipeline activities started; without
            it they run to completion.
        :raises PipelineRunNotFound: for an unknown id.
        :raises PipelineRunEnded: for a run that is final already.
        :raises OutcomeUnknown: if the answer was lost; it is not sent again.
        """
        await self._call(
            self._client.pipeline_runs.cancel,
            check_run_id(run_id),
            is_recursive=is_recursive,
            action=f"cancelling pipeline run {run_id}",
            not_found=PipelineRunNotFound,
            write=True,
        )

    async def cancel_trigger_run(self, trigger_name: str, run_id: str) -> None:
        """Cancel a trigger run that waits on its dependencies.

        :raises NotWaitingOnDependency: for a run in any other state.
        :raises TriggerRunNotFound: for an unknown trigger or id.
        :raises OutcomeUnknown: if the answer was lost; it is not sent again.
        """
        await self._call(
            self._client.trigger_runs.cancel,
            check_trigger_name(trigger_name),
            check_run_id(run_id),
            action=f"cancelling trigger run {run_id} of trigger {trigger_name!r}",
            not_found=TriggerRunNotFound,
            write=True,
        )

    async def rerun_trigger_run(self, trigger_name: str, run_id: str) -> None:
        """Rerun the window of a final run of a tumbling window trigger.

        A new trigger run appears in queries some seconds later, in the same group and with the original's
        parameters; the answer carries no id (recorded).

        :raises WrongTriggerType: for a run of another kind of trigger.
        :raises TriggerRunNotFound: for an unknown trigger or id.
        :raises OutcomeUnknown: if the answer was lost; it is not sent again.
        """
        await self._call(
            self._client.trigger_runs.rerun,
            check_trigger_name(trigger_name),
            check_run_id(run_id),
            action=f"rerunning trigger run {run_id} of trigger {trigger_name!r}",
            not_found=TriggerRunNotFound,
            write=True,
        )

    async def create_recovery_run(
        self,
        pipeline_name: str,
        reference_pipeline_run_id: str,
        *,
        start_from_failure: bool = False,
        start_activity_name: str | None = None,
        run_id: str | None = None,
    ) -> str:
        """Rerun a pipeline run in its own run group, with its parameters.

        :param pipeline_name: the run's pipeline.
        :param reference_pipeline_run_id: the run to rerun.
        :param start_from_failure: start from the failed activities; else from the beginning.
        :param start_activity_name: start from this activity instead.
        :param run_id: the id that the new run shall have, a GUID; made up if not given. The service takes it
            from the request's ``x-ms-client-request-id`` (recorded).
        :return: the new run's id.
        :raises PipelineNotFound: for an unknown pipeline.
        :raises PipelineRunNotFound: for an unknown reference run.
        :raises OutcomeUnknown: if the answer was lost; it is not sent again. A GET of ``run_id`` tells.
        """
        chosen = run_id or str(uuid.uuid4())
        wire = await self._call(
            self._client.pipelines.create_run,
            check_pipeline_name(pipeline_name),
            reference_pipeline_run_id=check_run_id(reference_pipeline_run_id, "reference_pipeline_run_id"),
            is_recovery=True,
            start_activity_name=start_activity_name,
            start_from_failure=start_from_failure or None,
            request_id=check_run_id(chosen),
            action=(
                f"rerunning pipeline run {reference_pipeline_run_id} of pipeline {pipeline_name!r} as"
                f" {chosen}"
            ),
            not_found=PipelineNotFound,
            write=True,
        )
        if not isinstance(wire, dict) or "runId" not in wire:
            raise self._sdk.unknown(f"starting recovery run {chosen}", f"it names no run: {str(wire)[:500]}")
        return str(wire["runId"])

    async def get_trigger(self, trigger_name: str) -> Trigger:
        """Get a trigger's published definition and state.

        :raises TriggerNotFound: for an unknown name.
        """
        wire = await self._call(
            self._client.triggers.get,
            check_trigger_name(trigger_name),
            action=f"reading trigger {trigger_name!r}",
            not_found=TriggerNotFound,
        )
        return self._parse(Trigger, wire)

    async def list_triggers(self) -> list[Trigger]:
        """List the factory's triggers, all pages."""
        pages: list[Any] = []

        async def walk(*arguments: str, raw_response_hook: Callable[[Any], None], **options: Any) -> None:
            def keep(response: Any) -> None:
                raw_response_hook(response)
                pages.append(response.http_response.json())

            options.pop("cls")  # a list's callback gets parsed models; the hook sees the answers themselves
            async for _ in self._client.triggers.list_by_factory(
                *arguments, raw_response_hook=keep, **options
            ):
                pass

        await self._call(walk, action="listing triggers")
        return [self._parse(Trigger, wire) for page in pages for wire in self._members(page)]

    async def _query(
        self,
        kind: type[_Parsed],
        send: Callable[[Any], Any],
        key: Callable[[_Parsed], str],
        after: datetime,
        before: datetime,
        filters: Sequence[RunFilter],
    ) -> list[_Parsed]:
        """Collect all pages, each run once: runs may move between pages while they are read."""
        found: dict[str, _Parsed] = {}
        token: str | None = None
        for _ in range(_MOST_PAGES):
            wire = await send(query_body(after, before, tuple(filters), token))
            for member in self._members(wire):
                parsed = self._parse(kind, member)
                found[key(parsed)] = parsed
            following = wire.get("continuationToken")
            if not following:
                return list(found.values())
            if following == token:
                break
            token = following
        raise UnexpectedAnswer(
            f"a query of {self.connection.address} does not end: its continuation token repeats. "
            "Nothing was changed; try again later."
        )

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
        answers: list[Any] = []
        options |= {"cls": _body_of, "raw_response_hook": answers.append}
        while self._cap is not None and (wait := self._cap.take(elapsed())) > 0:
            await pause(wait)
        try:
            return await operation(address.resource_group_name, address.factory_name, *arguments, **options)
        except self._sdk.AzureError as error:
            raise self._sdk.translate(
                error, action=action, connection=self.connection, write=write, not_found=not_found
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # the SDK, or the JSON parser, tripped over the answer
            if write:
                raise self._sdk.unknown(action, f"it cannot be read: {error}") from error
            text = answers[-1].http_response.text() if answers else ""
            raise self._unreadable(f"{action} with something", text, error) from error

    def _members(self, page: Any) -> list[Any]:
        """Return the members of one page of a list or query."""
        if isinstance(page, dict) and isinstance(page.get("value"), list):
            return list(page["value"])
        raise self._unreadable("a query with a page", page, "it has no list 'value'")

    def _parse(self, kind: type[_Parsed], wire: Any) -> _Parsed:
        try:
            return kind.from_wire(wire)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._unreadable(f"with a {kind.__name__}", wire, error) from error

    def _unreadable(self, what: str, wire: Any, why: Exception | str) -> UnexpectedAnswer:
        reason = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
        return UnexpectedAnswer(
            f"{self.connection.address} answered {what} that this package cannot read ({reason}):"
            f" {str(wire)[:500]}"
        )


def _import_sdk() -> ModuleType:
    from airflow_provider_adfruns.adf import sdk  # noqa: PLC0415 - parsing a DAG must not import azure

    return sdk


def _body_of(response: Any, _: object, __: object) -> Any:
    """Return an answer's JSON as it was on the wire; None for the empty bodies of the older generation."""
    answer = response.http_response
    return answer.json() if answer.text() else None
