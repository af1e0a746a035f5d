"""The link from a task to its runs in ADF Studio; read from XCom, since the API server has no connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook

STUDIO_URL_KEY = "adf_studio_url"
"""The XCom in which a task leaves the address."""


class AdfStudioLink(BaseOperatorLink):
    """Where to look in ADF Studio, in the cloud of the task's connection."""

    name = "ADF Studio"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address that the task left, "" if it left none.

        :param operator: the task.
        :param ti_key: its task instance.
        """
        from airflow.sdk.execution_time.xcom import XCom  # noqa: PLC0415 - parsing does not need it

        return XCom.get_value(ti_key=ti_key, key=STUDIO_URL_KEY) or ""


def leave_link(context: Context, hook: AdfRunsHook, view: str) -> None:
    """Leave the address of a page of ADF Studio's monitoring, if the cloud has a Studio that is known."""
    url = hook.factory_connection().studio_url(view)
    if url:
        context["ti"].xcom_push(key=STUDIO_URL_KEY, value=url)
