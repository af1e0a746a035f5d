"""AdfCancelCompleteSensor: wait until runs are final; the watching lives in batch/watch.py."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_adfruns._airflow import AirflowSensorTimeout, default_deferrable
from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import InvalidInput, WaitTimedOut
from airflow_provider_adfruns.adf.gate import WriteGate
from airflow_provider_adfruns.adf.names import check_run_ids, check_trigger_name
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.selection import listed
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.links import AdfStudioLink, leave_link
from airflow_provider_adfruns.parameters import as_bool, is_templated

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from airflow.sdk import Context
    from airflow.sdk.bases.operatorlink import BaseOperatorLink

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch import report as reports
    from airflow_provider_adfruns.batch import watch as watches
    from airflow_provider_adfruns.triggers import runs as triggers
else:
    reports = Lazily("airflow_provider_adfruns.batch.report")
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    triggers = Lazily("airflow_provider_adfruns.triggers.runs")

_LAG_POLL_SECONDS = 2.0


class _Look(NamedTuple):
    """What one look has seen: all runs, the names of those that are not final, and the service's time."""

    runs: list[dict[str, Any]]
    unfinished: list[str]
    now: datetime


class AdfCancelCompleteSensor(BaseSensorOperator):
    """Wait until runs are final: cancelled, or ended by themselves before the cancel reached them.

    :param pipeline_run_ids: pipeline runs to wait for, one or many. (templated)
    :param include_children: also wait for the runs that ExecutePipeline activities of those started, at any
        depth. (templated)
    :param trigger_name: the trigger of ``trigger_run_ids``. (templated)
    :param trigger_run_ids: trigger runs to wait for, one or many. (templated)
    :param azure_data_factory_conn_id: a connection of type ``adf_runs`` or ``azure_data_factory``.
        (templated)
    :param resource_group_name: instead of the connection's. (templated)
    :param factory_name: instead of the connection's. (templated)
    :param deferrable: wait in the triggerer; default ``[operators] default_deferrable``.
    :param poke_interval: seconds between looks; also when deferred.
    :param timeout: seconds to wait at most, Airflow's ``[sensors] default_timeout`` by default; nothing is
        cancelled when it is over.

    Leaves in XCom ``run_ids``, ``counts`` (by status) and ``runs``, each with ``kind`` (``pipeline`` or
    ``trigger``), ``run_id``, ``name``, ``status``, ``is_final`` and ``parent_run_id``.

    :raises InvalidInput: for parameters that do not fit.
    :raises PipelineRunNotFound: for an unknown pipeline run.
    :raises TriggerRunNotFound: for an unknown trigger run.
    :raises AirflowSensorTimeout: when ``timeout`` is over; names what is not final.
    """

    operator_extra_links: Collection[BaseOperatorLink] = (AdfStudioLink(),)
    template_fields: Sequence[str] = (
        "azure_data_factory_conn_id",
        "resource_group_name",
        "factory_name",
        "pipeline_run_ids",
        "include_children",
        "trigger_name",
        "trigger_run_ids",
    )
    ui_color = "#e3effa"

    def __init__(
        self,
        *,
        pipeline_run_ids: str | Sequence[str] | None = None,
        include_children: bool | str = False,
        trigger_name: str | None = None,
        trigger_run_ids: str | Sequence[str] | None = None,
        azure_data_factory_conn_id: str = AdfRunsHook.default_conn_name,
        resource_group_name: str | None = None,
        factory_name: str | None = None,
        deferrable: bool = default_deferrable(),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.studio_url = ""
        self._gate = WriteGate()
        self._unfinished: list[str] = []
        self.pipeline_run_ids = pipeline_run_ids
        self.include_children = include_children
        self.trigger_name = trigger_name
        self.trigger_run_ids = trigger_run_ids
        self.azure_data_factory_conn_id = azure_data_factory_conn_id
        self.resource_group_name = resource_group_name
        self.factory_name = factory_name
        self.deferrable = deferrable
        if pipeline_run_ids is None and trigger_run_ids is None:
            raise InvalidInput(
                "neither pipeline_run_ids nor trigger_run_ids are given. Expected the runs to wait for."
            )
        if (trigger_name is None) != (trigger_run_ids is None):
            raise InvalidInput("trigger_name and trigger_run_ids belong together. Expected both or neither.")
        if not is_templated(pipeline_run_ids, include_children, trigger_name, trigger_run_ids):
            self._watched()

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once. :return: whether all runs are final, and then the result."""
        del context
        look = self._look()
        self._unfinished = look.unfinished
        return PokeReturnValue(is_done=not look.unfinished, xcom_value=_result(look.runs))

    def execute(self, context: Context) -> Any:
        """Wait here, or look once and defer."""
        self.studio_url = leave_link(context, self._hook, self._view())
        if not self.deferrable:
            try:
                result = super().execute(context)
            except AirflowSensorTimeout as error:
                raise AirflowSensorTimeout(
                    f"{error} {len(self._unfinished)} not final: {reports.some(self._unfinished)}. They were"
                    " left as they are; wait longer with a larger timeout, or look at them in ADF Studio."
                ) from error
            return self._finish(context, result)
        look = self._look()
        if look.unfinished:
            self.defer(
                trigger=triggers.AdfRunsFinalTrigger(
                    **self._watched(),
                    azure_data_factory_conn_id=self.azure_data_factory_conn_id,
                    resource_group_name=self.resource_group_name,
                    factory_name=self.factory_name,
                    poll_interval=max(self.poke_interval, 1.0),
                    deadline=(look.now + timedelta(seconds=self.timeout)).isoformat(),
                ),
                method_name="execute_complete",
            )
        return self._finish(context, _result(look.runs))

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take up the work again when the trigger has fired."""
        self.studio_url = leave_link(context, self._hook, self._view())
        error = triggers.error_of(event)
        if isinstance(error, WaitTimedOut):
            raise AirflowSensorTimeout(str(error)) from error
        if error is not None:
            raise error
        return self._finish(context, _result(event["runs"]))

    @property
    def _hook(self) -> AdfRunsHook:
        return AdfRunsHook(
            self.azure_data_factory_conn_id,
            resource_group_name=self.resource_group_name,
            factory_name=self.factory_name,
            gate=self._gate,
        )

    def on_kill(self) -> None:
        """Send nothing more; what has been asked for is not undone."""
        self._gate.close()
        self.log.warning("Killed; nothing more is sent to the factory.")

    def _view(self) -> str:
        """Return the page of the one pipeline run, or of all runs of a kind."""
        watched = self._watched()
        run_ids = watched["pipeline_run_ids"]
        if not run_ids:
            return "triggerruns"
        return f"pipelineruns/{run_ids[0]}" if len(run_ids) == 1 else "pipelineruns"

    def _watched(self) -> dict[str, Any]:
        """Check the parameters. :return: the arguments of a watch or trigger."""
        pipeline, trigger = self.pipeline_run_ids, self.trigger_run_ids
        return {
            "pipeline_run_ids": (
                []
                if pipeline is None
                else list(check_run_ids(listed(pipeline, "pipeline_run_ids"), "pipeline_run_ids"))
            ),
            "include_children": as_bool(self.include_children, "include_children"),
            "trigger_name": None if self.trigger_name is None else check_trigger_name(self.trigger_name),
            "trigger_run_ids": (
                []
                if trigger is None
                else list(check_run_ids(listed(trigger, "trigger_run_ids"), "trigger_run_ids"))
            ),
        }

    def _look(self) -> _Look:
        """Look at all runs once.

        Queries lag, and what a look knows ends with it: so one that misses a trigger run looks again until
        the run is there, or the watch says that there is none.
        """
        wanted = self._watched()

        async def look(client: FactoryClient) -> _Look:
            watch = watches.RunsFinalWatch(client, **wanted)
            await watch.look()
            while not {run.run_id for run in watch.runs}.issuperset(wanted["trigger_run_ids"]):
                await pause(_LAG_POLL_SECONDS)
                await watch.look()
            self.log.info("%s", watch.progress())
            return _Look([run.to_json() for run in watch.runs], watch.unfinished(), await client.now())

        return self._hook.run(look)

    def _finish(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        self.log.info("All runs are final:\n%s", watches.runs_table(result["runs"]))
        if self.do_xcom_push:
            context["ti"].xcom_push(key="run_ids", value=result["run_ids"])
        return result


def _result(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "run_ids": [run["run_id"] for run in runs],
        "counts": dict(Counter(run["status"] for run in runs)),
        "runs": runs,
    }
