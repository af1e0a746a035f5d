"""What the operators share: where the factory is, how to wait, and what a task leaves behind in XCom."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_adfruns._airflow import default_deferrable
from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import AdfRunsError, InvalidInput
from airflow_provider_adfruns.adf.gate import WriteGate
from airflow_provider_adfruns.adf.pacing import Cap
from airflow_provider_adfruns.batch.selection import aware_time
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.killing import Killing, cancel_started, say_killed
from airflow_provider_adfruns.links import AdfStudioLink, leave_link
from airflow_provider_adfruns.metrics import tell_outcome
from airflow_provider_adfruns.parameters import check_given, given, is_templated, positive
from airflow_provider_adfruns.results import (
    check_result_path,
    reserve,
    result_file,
    summary,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from airflow.sdk import Context
    from airflow.sdk.bases.operatorlink import BaseOperatorLink

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch import deadline as deadlines
    from airflow_provider_adfruns.batch import watch as watches
    from airflow_provider_adfruns.batch.kill import Kill
else:
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    deadlines = Lazily("airflow_provider_adfruns.batch.deadline")

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 24 * 60 * 60.0


class AdfRunsOperator(BaseOperator):
    """An operator that acts on a factory's runs and may wait for their end.

    :param azure_data_factory_conn_id: a connection of type ``adf_runs`` or ``azure_data_factory``.
    :param resource_group_name: instead of the connection's.
    :param factory_name: instead of the connection's.
    :param wait_for_completion: wait until the runs are final; without it the task ends when all is requested.
    :param deferrable: wait in the triggerer instead of on a worker; default ``[operators]
        default_deferrable``.
    :param poll_interval: seconds between looks at the runs while waiting.
    :param max_requests_per_second: send at most this many requests a second, to leave room for others: the
        task for itself, on the worker, deferred and when it is killed; each mapped task has its own. Default,
        and not beside it: the connection's, which all work of a process on it shares; else ARM's limits.
    :param timeout: seconds that sending and waiting may take, default a day. Then nothing more is sent, the
        task fails, and the runs are left alone.
    :param deadline: the same as an absolute time, in the service's clock: an aware datetime or ISO 8601 with
        an offset; the earlier of the two counts. Refused if it is over before anything is sent. (templated)
    :param result_path: a file for the whole report as JSON, or with ``/`` at its end a folder in which each
        try writes a file of its own: a local path, or an address of Airflow's object storage. XCom then
        carries a summary: the report without its lists ``windows``, ``runs`` and ``skipped``, and with
        ``problem_count``, ``problems`` (a line each, the first 20) and ``result_path``. That the file can be
        written is seen before anything is sent; until the end it holds ``{"complete": false}``. Should it be
        refused at the end nevertheless, the task warns, and XCom carries the whole. Default: all in XCom.
        (templated)
    """

    operator_extra_links: Collection[BaseOperatorLink] = (AdfStudioLink(),)
    template_fields: Sequence[str] = (
        "azure_data_factory_conn_id",
        "resource_group_name",
        "factory_name",
        "deadline",
        "result_path",
    )
    ui_color = "#e3effa"
    cancel_on_kill = True

    def __init__(
        self,
        *,
        azure_data_factory_conn_id: str = AdfRunsHook.default_conn_name,
        resource_group_name: str | None = None,
        factory_name: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = default_deferrable(),
        poll_interval: float = 30.0,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        deadline: datetime | str | None = None,
        result_path: str | None = None,
        max_requests_per_second: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.studio_url = ""
        self.killing = Killing()
        self._gate = WriteGate()
        self.azure_data_factory_conn_id = azure_data_factory_conn_id
        self.resource_group_name = resource_group_name
        self.factory_name = factory_name
        self._given = given(self, "resource_group_name", "factory_name")
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = positive(poll_interval, "poll_interval")
        self.timeout = positive(timeout, "timeout")
        self.deadline = deadline
        self.result_path = result_path
        if deadline is not None and not is_templated(deadline):
            aware_time(deadline, "deadline")
        if result_path is not None and not is_templated(result_path):
            check_result_path(result_path, "result_path")
        self.max_requests_per_second = max_requests_per_second
        self._cap = Cap.of(max_requests_per_second)

    @property
    def hook(self) -> AdfRunsHook:
        """The hook for the task's connection; when the task is killed it writes no more."""
        return self._hook_behind(self._gate)

    def _hook_behind(self, gate: WriteGate | None) -> AdfRunsHook:
        return AdfRunsHook(
            self.azure_data_factory_conn_id,
            resource_group_name=self.resource_group_name,
            factory_name=self.factory_name,
            max_requests_per_second=self._cap,
            gate=gate,
        )

    def started(self) -> Kill | None:
        """Return what a kill has to cancel: what this task has started so far; None if that is nothing."""
        return None

    def on_kill(self) -> None:
        """Send nothing more, and cancel what the task has started if it has really ended.

        Airflow calls this when a person ends a running task, when the worker shuts down, and when
        ``execution_timeout`` is over.
        """
        self._gate.close()
        kill = self.started()
        if kill is None:
            say_killed(self.killing, self.log)
        else:
            cancel_started(
                self.killing,
                kill,
                self._hook_behind(None),
                cancel_on_kill=self.cancel_on_kill,
                log=self.log,
            )

    def place(self, deadline: datetime) -> dict[str, Any]:
        """Return the arguments that every trigger takes."""
        return {
            "azure_data_factory_conn_id": self.azure_data_factory_conn_id,
            "resource_group_name": self.resource_group_name,
            "factory_name": self.factory_name,
            "poll_interval": self.poll_interval,
            "deadline": deadline.isoformat(),
            "max_requests_per_second": self.max_requests_per_second,
        }

    def link_to(self, context: Context, view: str) -> None:
        """Leave the address in ADF Studio for the extra link.

        :param view: the page of ADF Studio's monitoring.
        """
        self.studio_url = leave_link(context, self.hook, view)

    def prepare(self, context: Context) -> None:
        """Check what is known only now, and see that the result can be written, before anything is sent.

        :raises InvalidInput: for a parameter that a template has rendered to nothing, a deadline that is no
            time, and a result that cannot be written.
        """
        check_given(self, self._given)
        if self.deadline is not None:
            aware_time(self.deadline, "deadline")
        if self.result_path is not None:
            reserve(result_file(self.result_path, "result_path", context), "result_path")

    async def check_deadline(self, client: FactoryClient) -> None:
        """See that there is time left, by the service's clock.

        :raises InvalidInput: for a deadline that is over.
        """
        if self.deadline is not None:
            await deadlines.refuse_past(client, aware_time(self.deadline, "deadline"))

    async def end_of_wait(self, client: FactoryClient) -> datetime:
        """Return when sending and waiting end, if they begin now: after ``timeout``, or at ``deadline``."""
        end = await client.now() + timedelta(seconds=self.timeout)
        return end if self.deadline is None else min(end, aware_time(self.deadline, "deadline"))

    async def wait_for(
        self, watch: watches.Watch, client: FactoryClient, deadline: datetime
    ) -> AdfRunsError | None:
        """Look at what is watched, on the worker, until it is done.

        :return: what has ended the wait before, so that what was seen can be told; None if nothing has.
        """
        try:
            await watches.wait_until_done(watch, client, poll_interval=self.poll_interval, deadline=deadline)
        except AdfRunsError as error:
            return error
        return None

    def leave_begun(self, context: Context, key: str, value: object) -> None:
        """Leave what was started in XCom before the task defers, which a kill may make its end.

        :param key: the XCom's.
        :param value: what a clean-up finds the runs by.
        """
        if self.do_xcom_push:
            context["ti"].xcom_push(key=key, value=value)

    def leave(
        self, context: Context, result: Mapping[str, Any], problems: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Leave the result in XCom now, for it to be there also if the task fails on it.

        :param result: a report's JSON; its ``run_ids`` are also left under their own key, for
            ``task.output["run_ids"]``.
        :param problems: a line for each thing that is not as it should be.
        :return: what is in XCom: the result, or its summary where the whole is in a file.
        """
        left = dict(result)
        tell_outcome(self, result)
        try:
            if self.result_path is not None:
                left = self._leave_in_file(context, result, problems)
        finally:  # a storage can fail in ways of its own, and what was done must be known
            if self.do_xcom_push:
                context["ti"].xcom_push(key="return_value", value=left)
                context["ti"].xcom_push(key="run_ids", value=result["run_ids"])
        return left

    def _leave_in_file(
        self, context: Context, result: Mapping[str, Any], problems: Sequence[str]
    ) -> dict[str, Any]:
        """Write the whole, and return its summary; the whole where it cannot be written any more."""
        try:
            file = result_file(self.result_path, "result_path", context)
            return summary(result, problems, write_json(file, result, "result_path"))
        except InvalidInput as error:
            log.warning("The whole result goes to XCom instead of a file: %s", error)
            return dict(result)
