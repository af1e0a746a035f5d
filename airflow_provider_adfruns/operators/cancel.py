"""Operators that cancel pipeline runs and waiting trigger runs; the doing lives in batch/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._airflow import AirflowSkipException
from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import RunsNotAsWanted
from airflow_provider_adfruns.adf.names import check_run_ids
from airflow_provider_adfruns.batch.run_selection import (
    SELECTION_PARAMETERS,
    CancelOrder,
    IfNone,
    check_run_choice,
    select_runs,
)
from airflow_provider_adfruns.batch.selection import OnRunning, check_choice, listed, select_windows
from airflow_provider_adfruns.links import view_of
from airflow_provider_adfruns.operators.cancelling import CancelOperator
from airflow_provider_adfruns.parameters import as_bool, count, given, is_templated, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_adfruns.batch import cancel as cancels
    from airflow_provider_adfruns.batch import cancel_report as reports
    from airflow_provider_adfruns.batch import cancel_selection as selection_cancels
    from airflow_provider_adfruns.batch import cancel_waiting as waiting_cancels
    from airflow_provider_adfruns.operators.cancelling import Request
else:
    cancels = Lazily("airflow_provider_adfruns.batch.cancel")
    selection_cancels = Lazily("airflow_provider_adfruns.batch.cancel_selection")
    waiting_cancels = Lazily("airflow_provider_adfruns.batch.cancel_waiting")


class AdfCancelPipelineRunOperator(CancelOperator):
    """Cancel pipeline runs, chosen by ids or by conditions, and wait until they have really ended.

    The service answers a cancel at once and carries it out later: until then the run is Canceling, its
    activities go on and are billed. A run that has ended already is no error; its final status is in the
    result. One unknown run among others does not stop the others; it fails the task at its end. A cancel
    whose answer was lost is settled by the run's status, and sent again only if it was not carried out.

    :param run_ids: pipeline run ids, one or many. (templated)
    :param pipeline_names: instead of ids: runs of these pipelines, one or many. Of conditions each one given
        has to be fulfilled. (templated)
    :param statuses: runs of these statuses, of Queued, InProgress and Canceling; default Queued and
        InProgress. A run that is Canceling already is waited for in any case, and cancelled again only if
        it is named here. Not alone: it would select the whole factory. (templated)
    :param started_after: runs that started at this time or later; an aware datetime or ISO 8601 with an
        offset. A run that has not begun counts as starting now. (templated)
    :param started_before: runs that started before this time. Without it runs that appear while this task
        looks are cancelled, too. (templated)
    :param trigger_name: runs that this trigger started, of any kind. (templated)
    :param trigger_run_id: runs that this trigger run started. (templated)
    :param run_group_id: runs of this group, which a run and its reruns share. (templated)
    :param max_runs: refuse, before anything is cancelled, a selection of more runs than this. Default 1000.
    :param order: of a selection: ``newest_first`` (default), or ``children_first``: each run before the one
        that started it. (templated)
    :param queued_first: of a selection: Queued runs before all others, so that none starts as others end.
        Default True. (templated)
    :param if_none: what the task does whose selection matches nothing: ``skip`` (default), ``fail`` or
        ``succeed``. A retry that finds all ended counts as such. (templated)
    :param is_recursive: also cancel the runs that their ExecutePipeline activities have started, at any
        depth, and wait for those, too. If False, children that have started run to completion and are
        billed: a warning names them. Default True; the API's own default is False. (templated)

    A selection is looked at again until a look, half a minute after the one before, shows nothing new, for
    queries lag: it takes at least that long, on the worker.

    Leaves in XCom the report as ``return_value``: ``run_ids``, ``counts``, ``runs`` (each with ``kind``,
    ``run_id``, ``name``, ``status_before``, ``requested``, ``status``, ``left_running``, ``problem``,
    ``parent_run_id`` and ``cancel_request``, the answer's ids for a support case; children come after the
    runs asked for), ``skipped``, ``problem``, ``dry_run``; and ``run_ids`` under its own key.

    Whether a cancel is stuck or violated is not judged here, but by ``AdfCancelCompleteSensor``: give it
    ``run_ids`` and, as ``cancel_report``, the output of this task with ``wait_for_completion=False``.

    :raises InvalidInput: for ids beside conditions, an empty list, ids that are none, more than ``max_runs``
        runs: when the DAG is parsed or before anything is changed.
    :raises PipelineNotFound: for a pipeline that the factory does not have.
    :raises TriggerNotFound: for a trigger that it does not have.
    :raises PipelineRunNotFound: if none of the runs exists.
    :raises RunsNotAsWanted: names the runs that could not be cancelled, or nothing matches and ``if_none`` is
        ``fail``.
    :raises AirflowSkipException: if nothing matches and ``if_none`` is ``skip``.
    :raises WaitTimedOut: when ``timeout`` is over; the cancels go on.
    """

    template_fields: Sequence[str] = (
        *CancelOperator.template_fields,
        "run_ids",
        *SELECTION_PARAMETERS,
        "order",
        "queued_first",
        "if_none",
        "is_recursive",
        "dry_run",
    )

    def __init__(
        self,
        *,
        run_ids: str | Sequence[str] | None = None,
        pipeline_names: str | Sequence[str] | None = None,
        statuses: str | Sequence[str] | None = None,
        started_after: datetime | str | None = None,
        started_before: datetime | str | None = None,
        trigger_name: str | None = None,
        trigger_run_id: str | None = None,
        run_group_id: str | None = None,
        max_runs: int = 1000,
        order: str = CancelOrder.NEWEST_FIRST.value,
        queued_first: bool | str = True,
        if_none: str = IfNone.SKIP.value,
        is_recursive: bool | str = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_ids = run_ids
        self.pipeline_names = pipeline_names
        self.statuses = statuses
        self.started_after = started_after
        self.started_before = started_before
        self.trigger_name = trigger_name
        self.trigger_run_id = trigger_run_id
        self.run_group_id = run_group_id
        self.max_runs = count(max_runs, "max_runs")
        self.order = order
        self.queued_first = queued_first
        self.if_none = if_none
        self.is_recursive = is_recursive
        self._given |= given(self, "run_ids", *SELECTION_PARAMETERS)
        check_run_choice(run_ids, self._conditions)
        if run_ids is not None and not is_templated(run_ids):
            check_run_ids(listed(run_ids))
        if not is_templated(*self._conditions.values()):
            select_runs(self._conditions)
        if not is_templated(order):
            one_of(CancelOrder, order, "order")
        if not is_templated(if_none):
            one_of(IfNone, if_none, "if_none")
        if not is_templated(queued_first):
            as_bool(queued_first, "queued_first")
        if not is_templated(is_recursive):
            as_bool(is_recursive, "is_recursive")

    @property
    def _conditions(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in SELECTION_PARAMETERS}

    def view(self) -> str:
        """Return the page of the one run, or of all."""
        return view_of(() if self.run_ids is None else check_run_ids(listed(self.run_ids)))

    def request(self, *, dry_run: bool) -> Request:
        """Check what has been rendered. :return: what asks for the cancels, until a deadline."""
        is_recursive = as_bool(self.is_recursive, "is_recursive")
        check_run_choice(self.run_ids, self._conditions)
        one_of(IfNone, self.if_none, "if_none")  # now, not when something has been cancelled
        if self.run_ids is not None:
            run_ids = check_run_ids(listed(self.run_ids))
            return lambda client, deadline: cancels.cancel_pipeline_runs(
                client, run_ids, is_recursive=is_recursive, deadline=deadline, dry_run=dry_run
            )
        selection, order = select_runs(self._conditions), one_of(CancelOrder, self.order, "order")
        queued_first = as_bool(self.queued_first, "queued_first")
        return lambda client, deadline: selection_cancels.cancel_selected_runs(
            client,
            selection,
            is_recursive=is_recursive,
            max_runs=self.max_runs,
            order=order,
            queued_first=queued_first,
            deadline=deadline,
            dry_run=dry_run,
        )

    def judge(self, report: reports.CancelReport) -> None:
        """Fail on runs that could not be cancelled; without any do what ``if_none`` says."""
        super().judge(report)
        if report.runs:
            return
        said = f"no pipeline run that is not final matches: {select_runs(self._conditions)}."
        match one_of(IfNone, self.if_none, "if_none"):
            case IfNone.FAIL:
                raise RunsNotAsWanted(f"{said} Check the selection, or set if_none to 'skip' or 'succeed'.")
            case IfNone.SKIP:
                raise AirflowSkipException(said)
            case IfNone.SUCCEED:
                self.log.info("%s", said)

    def watched(self, report: reports.CancelReport) -> dict[str, Any]:
        """Say what has to be final; of a recursive cancel the children, too."""
        return {**super().watched(report), "include_children": as_bool(self.is_recursive, "is_recursive")}


class AdfCancelWaitingTriggerRunOperator(CancelOperator):
    """Cancel trigger runs that wait on their dependencies, and wait until they are Cancelled.

    The service cancels a trigger run only in WaitingOnDependency. Runs that have ended are listed as left
    alone; what to do about those that are Running is ``on_running``.

    :param trigger_name: the trigger, as ADF Studio shows it. (templated)
    :param run_ids: trigger run ids, one or many. (templated)
    :param window_start: instead of ids: start of a range; an aware datetime or ISO 8601 with an offset. A
        window is meant if it lies wholly inside; at most 45 days back. (templated)
    :param window_end: end of the range; a window that ends at this time is inside. (templated)
    :param on_running: about runs that are Running: ``fail`` (default) before anything is cancelled, ``skip``
        them, or ``cancel_pipeline_runs``: cancel the pipeline runs they started, with their children, which
        cancels the trigger run, too. (templated)

    Leaves in XCom the report as ``return_value``: ``run_ids``, ``counts``, ``runs`` (each with ``kind``,
    ``run_id``, ``name``, ``window_start``, ``window_end``, ``status_before``, ``requested``, ``status``,
    ``problem``), ``skipped`` (each with ``run_id``, ``status`` and ``reason``), ``dry_run``; and ``run_ids``
    under its own key.

    :raises InvalidInput: for parameters that do not fit, when the DAG is parsed or before anything is sent.
    :raises WrongState: for running runs with ``on_running='fail'``.
    :raises WrongTriggerType: for a trigger without windows.
    :raises TriggerNotFound: for an unknown trigger.
    :raises TriggerRunNotFound: if the trigger knows none of the run ids; one unknown id among others is
        listed, and fails the task at its end.
    :raises RunsNotAsWanted: names the runs that could not be cancelled.
    :raises WaitTimedOut: when ``timeout`` is over.
    """

    template_fields: Sequence[str] = (
        *CancelOperator.template_fields,
        "trigger_name",
        "run_ids",
        "window_start",
        "window_end",
        "on_running",
        "dry_run",
    )

    def __init__(
        self,
        *,
        trigger_name: str,
        run_ids: str | Sequence[str] | None = None,
        window_start: datetime | str | None = None,
        window_end: datetime | str | None = None,
        on_running: str = OnRunning.FAIL.value,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.trigger_name = trigger_name
        self.run_ids = run_ids
        self.window_start = window_start
        self.window_end = window_end
        self.on_running = on_running
        check_choice(run_ids, window_start, window_end)
        if not is_templated(trigger_name, run_ids, window_start, window_end):
            select_windows(trigger_name, run_ids, window_start, window_end)
        if not is_templated(on_running):
            one_of(OnRunning, on_running, "on_running")

    def view(self) -> str:
        """Return the page of the trigger runs."""
        return "triggerruns"

    def request(self, *, dry_run: bool) -> Request:
        """Check what has been rendered. :return: what asks for the cancels, until a deadline."""
        selection = select_windows(self.trigger_name, self.run_ids, self.window_start, self.window_end)
        on_running = one_of(OnRunning, self.on_running, "on_running")
        return lambda client, deadline: waiting_cancels.cancel_waiting_trigger_runs(
            client, selection, on_running, deadline=deadline, dry_run=dry_run
        )

    def watched(self, report: reports.CancelReport) -> dict[str, Any]:
        """Say what has to be final."""
        names = [each.name for each in report.runs]  # as the service writes it
        return {**super().watched(report), "trigger_name": names[0] if names else self.trigger_name}
