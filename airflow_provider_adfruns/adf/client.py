"""FactoryClient: the run API of one factory, async and typed, over Microsoft's SDK."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.answers import members, parsed, unreadable
from airflow_provider_adfruns.adf.calls import FactoryCalls
from airflow_provider_adfruns.adf.errors import (
    PipelineNotFound,
    PipelineRunNotFound,
    TriggerNotFound,
    TriggerRunNotFound,
)
from airflow_provider_adfruns.adf.model import ActivityRun, PipelineRun, Trigger, TriggerRun
from airflow_provider_adfruns.adf.names import check_pipeline_name, check_run_id, check_trigger_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.queries import RunFilter


class FactoryClient(FactoryCalls):
    """Talk to one factory; an async context manager.

    Clients that are open on one event loop and sign in alike share the SDK's client, and so its credential,
    token and connections; the last one closes them. Cap, time budget and the service's time are each
    client's own matter.

    Every method raises ``ConnectionProblem`` when the factory cannot be talked to, ``FactoryNotFound`` when
    there is none, and ``UnexpectedAnswer`` for what it does not understand.

    :param connection: which factory, and how to sign in.
    :param trouble_budget_seconds: how long one read is repeated through errors and throttling, and how long a
        write may wait for a connection or for throttling to end. A write whose outcome is unclear is never
        repeated: it raises ``OutcomeUnknown``. Default the connection's.
    :param pacer: for a principal whose limits are not the documented ones, to be shared by all its clients;
        default this process's own for the principal in its subscription.
    :param cap: at most so many requests a second, of all clients that are given it; each attempt counts, and
        each page. Default, and not beside it: the connection's ``max_requests_per_second``, which all clients
        of the connection in this process share.
    :param gate: may be closed to stop all writes, which then raise ``WritesStopped``.

    ``tally`` counts what became of its requests. ``answers`` are the latest 500 answers, oldest first, with
    the ids by which Microsoft finds a request.
    """

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
        return parsed(self.connection.address, PipelineRun, wire)

    async def query_pipeline_runs(
        self,
        *,
        last_updated_after: datetime,
        last_updated_before: datetime,
        filters: Sequence[RunFilter] = (),
        most_pages: int | None = None,
    ) -> list[PipelineRun]:
        """Query the factory's pipeline runs, all pages, in no order; may lag some seconds behind.

        :param last_updated_after: only runs updated at this time or later.
        :param last_updated_before: only runs updated at this time or earlier; may lie ahead.
        :param filters: operands PipelineName, RunStart, RunEnd, Status, RunGroupId, LatestOnly.
        :param most_pages: read at most so many, for whoever can do with some of the runs; default all.
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
            most_pages,
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
        return parsed(self.connection.address, Trigger, wire)

    async def list_triggers(self) -> list[Trigger]:
        """List the factory's triggers, all pages."""
        answers: list[Any] = []

        async def walk(*arguments: str, raw_response_hook: Callable[[Any], None], **options: Any) -> None:
            def keep(response: Any) -> None:
                raw_response_hook(response)
                answers.append(response.http_response.json())

            options.pop("cls")  # a list's callback gets parsed models; the hook sees the answers themselves
            async for _ in self._client.triggers.list_by_factory(
                *arguments, raw_response_hook=keep, **options
            ):
                pass

        await self._call(walk, action="listing triggers")
        return [
            parsed(self.connection.address, Trigger, wire)
            for page in answers
            for wire in members(self.connection.address, page)
        ]

    async def get_pipeline_name(self, pipeline_name: str) -> str:
        """Ask for a pipeline, and return its name as it was published: the API's paths do not mind the case.

        :raises PipelineNotFound: for an unknown name.
        """
        wire = await self._call(
            self._client.pipelines.get,
            check_pipeline_name(pipeline_name),
            action=f"reading pipeline {pipeline_name!r}",
            not_found=PipelineNotFound,
        )
        if not isinstance(wire, dict) or "name" not in wire:
            raise unreadable(self.connection.address, "with a pipeline", wire, "it has no name")
        return str(wire["name"])
