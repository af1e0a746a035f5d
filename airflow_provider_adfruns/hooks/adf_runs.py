"""AdfRunsHook: an Airflow connection -> the factory's run API; no decisions live here."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from airflow.sdk import BaseHook

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import AdfRunsError, InvalidInput
from airflow_provider_adfruns.adf.identity import FactoryConnection, read_connection
from airflow_provider_adfruns.adf.pacing import Cap
from airflow_provider_adfruns.metrics import tell_requests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from airflow.sdk import Connection

    from airflow_provider_adfruns.adf.gate import WriteGate
    from airflow_provider_adfruns.adf.model import ActivityRun, PipelineRun, Trigger, TriggerRun
    from airflow_provider_adfruns.adf.queries import RunFilter

_Result = TypeVar("_Result")

_TEST_BUDGET_SECONDS = 5.0


class AdfRunsHook(BaseHook):
    """The run API of one factory.

    Async: ``async with hook.client() as client`` gives a ``FactoryClient`` with every call. Sync: the methods
    of this class, each a thin cover of the same call; inside ``with hook:`` they share one client and one
    token, outside each opens and closes its own. A ``with`` inside a ``with`` of the same hook shares, too.

    :param azure_data_factory_conn_id: a connection of type ``adf_runs``, or ``azure_data_factory`` of the
        official provider.
    :param resource_group_name: instead of the connection's.
    :param factory_name: instead of the connection's.
    :param max_requests_per_second: send at most this many, to leave room for others; instead of the
        connection's, which all its clients in this process share. All clients of this hook share this one,
        with or without ``with``, and nobody else does; a ``Cap`` of ``adf.pacing`` is shared by all hooks
        that are given it.
    :param gate: may be closed to stop all writes, as a killed task does.
    """

    conn_name_attr = "azure_data_factory_conn_id"
    default_conn_name = "azure_data_factory_default"
    conn_type = "adf_runs"
    hook_name = "Azure Data Factory Runs"

    def __init__(
        self,
        azure_data_factory_conn_id: str = default_conn_name,
        *,
        resource_group_name: str | None = None,
        factory_name: str | None = None,
        max_requests_per_second: float | Cap | None = None,
        gate: WriteGate | None = None,
    ) -> None:
        super().__init__()
        self._gate = gate
        self.azure_data_factory_conn_id = azure_data_factory_conn_id
        self.resource_group_name = resource_group_name
        self.factory_name = factory_name
        self._cap = Cap.of(max_requests_per_second)
        self._runner: asyncio.Runner | None = None
        self._shared: FactoryClient | None = None
        self._entered = 0

    def factory_connection(self) -> FactoryConnection:
        """Read the connection.

        :raises InvalidInput: names the field that is missing or wrong.
        """
        return self._read(self.get_connection(self.azure_data_factory_conn_id))

    def _read(self, connection: Connection) -> FactoryConnection:
        wrong = ""
        try:
            extra = json.loads(connection.extra) if connection.extra else {}
        except ValueError as error:
            wrong = str(error)
        if wrong:  # alone: the parser's error holds all that the field says
            raise InvalidInput(
                f"the extra field of connection {self.azure_data_factory_conn_id!r} is not JSON ({wrong}). "
                'Expected an object such as {"tenantId": "...", "subscriptionId": "..."}.'
            )
        if not isinstance(extra, dict):
            raise InvalidInput(
                f"the extra field of connection {self.azure_data_factory_conn_id!r} is not a JSON object."
            )
        return read_connection(
            conn_id=self.azure_data_factory_conn_id,
            login=connection.login,
            password=connection.password,
            extra=extra,
            resource_group_name=self.resource_group_name,
            factory_name=self.factory_name,
        )

    def _client(
        self, connection: FactoryConnection, trouble_budget_seconds: float | None = None
    ) -> FactoryClient:
        return FactoryClient(
            connection, trouble_budget_seconds=trouble_budget_seconds, cap=self._cap, gate=self._gate
        )

    @asynccontextmanager
    async def client(self, *, trouble_budget_seconds: float | None = None) -> AsyncIterator[FactoryClient]:
        """Open a client; it closes everything that it opened.

        :param trouble_budget_seconds: how long a request may be repeated through trouble; by default
            as the connection says.
        """
        connection = self._read(await self.aget_connection(self.azure_data_factory_conn_id))
        async with self._client(connection, trouble_budget_seconds) as client:
            try:
                yield client
            finally:
                self._tell(client)

    def run(
        self,
        work: Callable[[FactoryClient], Awaitable[_Result]],
        *,
        trouble_budget_seconds: float | None = None,
    ) -> _Result:
        """Run async work with a client from sync code, and return its result.

        :param work: called with the client.
        :param trouble_budget_seconds: how long a request may be repeated through trouble; by default
            as the connection says.
        :raises RuntimeError: inside a running loop; use ``async with hook.client()`` there.
        """
        _check_no_loop()
        if self._runner is not None and self._shared is not None:
            return self._runner.run(_awaited(work, self._shared))

        connection = self.factory_connection()

        async def with_client() -> _Result:
            async with self._client(connection, trouble_budget_seconds) as client:
                try:
                    return await work(client)
                finally:
                    self._tell(client)

        with asyncio.Runner() as runner:
            return runner.run(with_client())

    def __enter__(self) -> Self:
        _check_no_loop()
        if self._entered == 0:
            self._open()
        self._entered += 1
        return self

    def _open(self) -> None:
        connection = self.factory_connection()
        with ExitStack() as opened:
            runner = opened.enter_context(asyncio.Runner())
            shared = runner.run(self._client(connection).__aenter__())
            opened.pop_all()  # from here on it is __exit__ that closes them
        self._runner, self._shared = runner, shared

    def __exit__(self, *_: object) -> None:
        self._entered -= 1
        if self._entered == 0:
            self._close()

    def _close(self) -> None:
        if self._runner is not None and self._shared is not None:
            self._tell(self._shared)
            try:
                self._runner.run(self._shared.__aexit__())
            finally:
                self._runner.close()
                self._runner = self._shared = None

    def _tell(self, client: FactoryClient) -> None:
        tell_requests(client.tally, self.azure_data_factory_conn_id)

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the factory, and say what is wrong: secret, permission, names or network."""
        try:
            address = self.factory_connection().address
            self.run(lambda client: client.check_factory(), trouble_budget_seconds=_TEST_BUDGET_SECONDS)
        except AdfRunsError as error:
            return False, str(error)
        return True, f"{address} answers."

    def get_pipeline_run(self, run_id: str) -> PipelineRun:
        """See ``FactoryClient.get_pipeline_run``."""
        return self.run(lambda client: client.get_pipeline_run(run_id))

    def query_pipeline_runs(
        self,
        *,
        last_updated_after: datetime,
        last_updated_before: datetime,
        filters: Sequence[RunFilter] = (),
    ) -> list[PipelineRun]:
        """See ``FactoryClient.query_pipeline_runs``."""
        return self.run(
            lambda client: client.query_pipeline_runs(
                last_updated_after=last_updated_after,
                last_updated_before=last_updated_before,
                filters=filters,
            )
        )

    def query_trigger_runs(
        self,
        *,
        last_updated_after: datetime,
        last_updated_before: datetime,
        filters: Sequence[RunFilter] = (),
    ) -> list[TriggerRun]:
        """See ``FactoryClient.query_trigger_runs``."""
        return self.run(
            lambda client: client.query_trigger_runs(
                last_updated_after=last_updated_after,
                last_updated_before=last_updated_before,
                filters=filters,
            )
        )

    def query_activity_runs(
        self,
        run_id: str,
        *,
        last_updated_after: datetime,
        last_updated_before: datetime,
        filters: Sequence[RunFilter] = (),
    ) -> list[ActivityRun]:
        """See ``FactoryClient.query_activity_runs``."""
        return self.run(
            lambda client: client.query_activity_runs(
                run_id,
                last_updated_after=last_updated_after,
                last_updated_before=last_updated_before,
                filters=filters,
            )
        )

    def cancel_pipeline_run(self, run_id: str, *, is_recursive: bool) -> None:
        """See ``FactoryClient.cancel_pipeline_run``."""
        self.run(lambda client: client.cancel_pipeline_run(run_id, is_recursive=is_recursive))

    def cancel_trigger_run(self, trigger_name: str, run_id: str) -> None:
        """See ``FactoryClient.cancel_trigger_run``."""
        self.run(lambda client: client.cancel_trigger_run(trigger_name, run_id))

    def rerun_trigger_run(self, trigger_name: str, run_id: str) -> None:
        """See ``FactoryClient.rerun_trigger_run``."""
        self.run(lambda client: client.rerun_trigger_run(trigger_name, run_id))

    def create_recovery_run(
        self,
        pipeline_name: str,
        reference_pipeline_run_id: str,
        *,
        start_from_failure: bool = False,
        start_activity_name: str | None = None,
        run_id: str | None = None,
    ) -> str:
        """See ``FactoryClient.create_recovery_run``."""
        return self.run(
            lambda client: client.create_recovery_run(
                pipeline_name,
                reference_pipeline_run_id,
                start_from_failure=start_from_failure,
                start_activity_name=start_activity_name,
                run_id=run_id,
            )
        )

    def get_pipeline_name(self, pipeline_name: str) -> str:
        """See ``FactoryClient.get_pipeline_name``."""
        return self.run(lambda client: client.get_pipeline_name(pipeline_name))

    def get_trigger(self, trigger_name: str) -> Trigger:
        """See ``FactoryClient.get_trigger``."""
        return self.run(lambda client: client.get_trigger(trigger_name))

    def list_triggers(self) -> list[Trigger]:
        """See ``FactoryClient.list_triggers``."""
        return self.run(lambda client: client.list_triggers())


def _check_no_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "AdfRunsHook's methods and `with hook:` are sync and were used inside a running event loop. Use"
        " `async with hook.client() as client:` there, and await the client's methods of the same names."
    )


async def _awaited(work: Callable[[FactoryClient], Awaitable[_Result]], client: FactoryClient) -> _Result:
    return await work(client)
