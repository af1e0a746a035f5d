"""The link from a task to its runs in ADF Studio; the API server shows what the task has left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook


class AdfStudioLink(BaseOperatorLink):
    """Where to look in ADF Studio, in the cloud of the task's connection."""

    name = "ADF Studio"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address that the task has worked out, "" if it did not come so far.

        Airflow calls this on the worker when a task ends and keeps the address in the XCom
        ``_link_AdfStudioLink``, which is all that the API server reads.

        :param operator: the task.
        :param ti_key: its task instance.
        """
        del ti_key
        return str(getattr(operator, "studio_url", ""))


def view_of(pipeline_run_ids: Sequence[str]) -> str:
    """Return the page of ADF Studio's monitoring that shows pipeline runs: of the one, or of all."""
    return f"pipelineruns/{pipeline_run_ids[0]}" if len(pipeline_run_ids) == 1 else "pipelineruns"


def leave_link(context: Context, hook: AdfRunsHook, view: str) -> str:
    """Work out the address, and leave it where the API server looks, now: a task may wait for hours.

    :param context: the task's.
    :param hook: for the connection's cloud and factory.
    :param view: the page of ADF Studio's monitoring, such as ``pipelineruns/ID`` or ``triggerruns``.
    :return: the address, for the task's attribute ``studio_url``.
    """
    url = hook.factory_connection().studio_url(view)
    context["ti"].xcom_push(key=AdfStudioLink().xcom_key, value=url)
    return url
