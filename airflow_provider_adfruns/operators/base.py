"""What the operators share: where the factory is, how to wait, and what a task leaves behind in XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_adfruns._airflow import default_deferrable
from airflow_provider_adfruns.adf.gate import WriteGate
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.links import AdfStudioLink, leave_link
from airflow_provider_adfruns.operators.kill import cancel_started
from airflow_provider_adfruns.parameters import positive

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from airflow.sdk import Context
    from airflow.sdk.bases.operatorlink import BaseOperatorLink

    from airflow_provider_adfruns.batch.kill import Kill

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
    :param max_requests_per_second: send at most this many requests a second, to leave room for others;
        default the connection's, else ARM's limits.
    :param timeout: seconds to wait at most, default a day; the task then fails and the runs are left alone.
    """

    operator_extra_links: Collection[BaseOperatorLink] = (AdfStudioLink(),)
    template_fields: Sequence[str] = ("azure_data_factory_conn_id", "resource_group_name", "factory_name")
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
        max_requests_per_second: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.studio_url = ""
        self._gate = WriteGate()
        self.azure_data_factory_conn_id = azure_data_factory_conn_id
        self.resource_group_name = resource_group_name
        self.factory_name = factory_name
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = positive(poll_interval, "poll_interval")
        self.timeout = positive(timeout, "timeout")
        self.max_requests_per_second = max_requests_per_second
        if max_requests_per_second is not None:
            positive(max_requests_per_second, "max_requests_per_second")

    @property
    def hook(self) -> AdfRunsHook:
        """The hook for the task's connection; when the task is killed it writes no more."""
        return self._hook_behind(self._gate)

    def _hook_behind(self, gate: WriteGate | None) -> AdfRunsHook:
        return AdfRunsHook(
            self.azure_data_factory_conn_id,
            resource_group_name=self.resource_group_name,
            factory_name=self.factory_name,
            max_requests_per_second=self.max_requests_per_second,
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
            self.log.warning("Killed; nothing more is sent to the factory.")
        else:
            cancel_started(
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
        }

    def link_to(self, context: Context, view: str) -> None:
        """Leave the address in ADF Studio for the extra link.

        :param view: the page of ADF Studio's monitoring.
        """
        self.studio_url = leave_link(context, self.hook, view)

    def leave(self, context: Context, result: Mapping[str, Any]) -> None:
        """Leave the result in XCom now, for it to be there also if the task fails on it.

        :param result: a report's JSON; its ``run_ids`` are also left under their own key, for
            ``task.output["run_ids"]``.
        """
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=dict(result))
            context["ti"].xcom_push(key="run_ids", value=result["run_ids"])
