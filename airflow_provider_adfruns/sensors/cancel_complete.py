"""AdfCancelCompleteSensor: wait until runs are final; watching and judging live in batch/."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_adfruns._airflow import AirflowSensorTimeout, default_deferrable
from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import AdfRunsError, InvalidInput, RunsNotAsWanted, WaitTimedOut
from airflow_provider_adfruns.adf.gate import WriteGate
from airflow_provider_adfruns.adf.names import check_run_ids, check_trigger_name
from airflow_provider_adfruns.batch.cancel_rules import (
    OUTCOMES,
    CancelRules,
    OnStuck,
    check_accept_outcomes,
    check_on_stuck,
    check_requested_at,
)
from airflow_provider_adfruns.batch.selection import listed
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.killing import Killing, killable, say_killed
from airflow_provider_adfruns.links import AdfStudioLink, leave_link, view_of
from airflow_provider_adfruns.metrics import tell_outcome
from airflow_provider_adfruns.parameters import as_bool, check_given, given, is_templated, positive
from airflow_provider_adfruns.results import check_result_path, whole_of
from airflow_provider_adfruns.sensors.leaving import leave_evidence, leave_result, result_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow.sdk import Context
    from airflow.sdk.bases.operatorlink import BaseOperatorLink

    from airflow_provider_adfruns.adf.answers import Answer
    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch import cancel_look as looks
    from airflow_provider_adfruns.batch import cancel_report as cancel_reports
    from airflow_provider_adfruns.batch import final_watch as final_watches
    from airflow_provider_adfruns.batch import report as reports
    from airflow_provider_adfruns.batch import verdict as verdicts
    from airflow_provider_adfruns.batch import watch as watches
    from airflow_provider_adfruns.triggers import runs as triggers
else:
    looks = Lazily("airflow_provider_adfruns.batch.cancel_look")
    cancel_reports = Lazily("airflow_provider_adfruns.batch.cancel_report")
    final_watches = Lazily("airflow_provider_adfruns.batch.final_watch")
    reports = Lazily("airflow_provider_adfruns.batch.report")
    verdicts = Lazily("airflow_provider_adfruns.batch.verdict")
    watches = Lazily("airflow_provider_adfruns.batch.watch")
    triggers = Lazily("airflow_provider_adfruns.triggers.runs")

DEFAULT_STUCK_AFTER_SECONDS = 3600.0
_NEEDED = ("pipeline_run_ids", "trigger_name", "trigger_run_ids", "resource_group_name", "factory_name")


class AdfCancelCompleteSensor(BaseSensorOperator):
    """Wait until runs are final: cancelled, or ended by themselves before the cancel reached them.

    A cancel can go wrong in two ways. It is *stuck* when a run stays Canceling for longer than
    ``stuck_after``; it is *violated* when an activity of a run starts later than ``violation_tolerance``
    after the cancel, which must not happen and which Microsoft asks to be reported. On either the task writes
    the evidence to its log, as a table, and to XCom under ``evidence`` as JSON: factory, runs, activities,
    times, the request ids by which Microsoft finds what happened, and a text for the support case. Then it
    does what ``on_stuck`` says. Runs that are not final go on and are billed, whether it waits or not.

    :param pipeline_run_ids: pipeline runs to wait for, one or many. (templated)
    :param include_children: also wait for the runs that ExecutePipeline activities of those started, at any
        depth, also those that start while the cancel is on its way. (templated)
    :param trigger_name: the trigger of ``trigger_run_ids``. (templated)
    :param trigger_run_ids: trigger runs to wait for, one or many. (templated)
    :param accept_outcomes: the statuses that runs may end in: some of ``Cancelled``, ``Succeeded`` and
        ``Failed``, by default all. When all runs are final, another one fails the task. (templated)
    :param stuck_after: seconds a run may stay Canceling; None for as long as it likes. Default ``"auto"``: an
        hour, or None where ``timeout`` is no longer than that.
    :param violation_tolerance: seconds after the cancel in which activities may still start, since the cancel
        takes a moment to spread; default 60; None to look at no activities. Only runs that stayed Canceling
        for longer are looked at, which costs a query each; those that go on, once more before the task fails.
    :param cancel_requested_at: when the cancel was asked for: an aware datetime or ISO 8601 with an offset.
        Default: when each run became Canceling, which a look has to see. (templated)
    :param on_stuck: about stuck and violated runs: ``wait`` on (default), after one warning a run, with
        ``mode="reschedule"`` at each look; ``cancel_again``, each run by itself, and again after each further
        ``stuck_after``; or ``fail``. (templated)
    :param cancel_report: what the task that has cancelled the runs left in XCom, such as ``cancel.output``:
        the ids of its requests go with the evidence. (templated)
    :param evidence_path: write the evidence here instead of to XCom, which then has the path: a file, or a
        folder with ``/`` at its end, local or in object storage. (templated)
    :param azure_data_factory_conn_id: a connection of type ``adf_runs`` or ``azure_data_factory``.
        (templated)
    :param resource_group_name: instead of the connection's. (templated)
    :param factory_name: instead of the connection's. (templated)
    :param deferrable: wait in the triggerer; default ``[operators] default_deferrable``. What is to be done
        about stuck runs is done on a worker.
    :param poke_interval: seconds between looks; also when deferred.
    :param timeout: seconds to wait at most, Airflow's ``[sensors] default_timeout`` by default; nothing is
        cancelled when it is over.

    Leaves in XCom ``run_ids``, ``counts`` (by status), ``stuck`` and ``violated`` (ids of the runs that were
    found so) and ``runs``, each with ``kind`` (``pipeline`` or ``trigger``), ``run_id``, ``name``,
    ``status_before`` (when the task first saw it), ``status``, ``is_final``, ``parent_run_id``,
    ``started_at``, ``ended_at`` and ``canceling_since``.

    :raises InvalidInput: for parameters that do not fit.
    :raises PipelineRunNotFound: for an unknown pipeline run.
    :raises TriggerRunNotFound: for an unknown trigger run.
    :raises RunsNotAsWanted: names the runs that have ended otherwise than ``accept_outcomes`` says, and with
        ``on_stuck='fail'`` those that are stuck or violated.
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
        "accept_outcomes",
        "cancel_requested_at",
        "on_stuck",
        "cancel_report",
        "evidence_path",
    )
    ui_color = "#e3effa"

    def __init__(
        self,
        *,
        pipeline_run_ids: str | Sequence[str] | None = None,
        include_children: bool | str = False,
        trigger_name: str | None = None,
        trigger_run_ids: str | Sequence[str] | None = None,
        accept_outcomes: str | Sequence[str] = OUTCOMES,
        stuck_after: float | Literal["auto"] | None = "auto",
        violation_tolerance: float | None = 60.0,
        cancel_requested_at: datetime | str | None = None,
        on_stuck: str = OnStuck.WAIT.value,
        cancel_report: Any = None,
        evidence_path: str | None = None,
        azure_data_factory_conn_id: str = AdfRunsHook.default_conn_name,
        resource_group_name: str | None = None,
        factory_name: str | None = None,
        deferrable: bool = default_deferrable(),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.studio_url = ""
        self.killing = Killing()
        self._gate = WriteGate()
        self._unfinished: list[str] = []
        self._memory: verdicts.Memory | None = None
        self.pipeline_run_ids = pipeline_run_ids
        self.include_children = include_children
        self.trigger_name = trigger_name
        self.trigger_run_ids = trigger_run_ids
        self.accept_outcomes = accept_outcomes
        self.stuck_after = stuck_after
        self.violation_tolerance = violation_tolerance
        self.cancel_requested_at = cancel_requested_at
        self.on_stuck = on_stuck
        self.cancel_report = cancel_report
        self.evidence_path = evidence_path
        self.azure_data_factory_conn_id = azure_data_factory_conn_id
        self.resource_group_name = resource_group_name
        self.factory_name = factory_name
        self.deferrable = deferrable
        self._given = given(self, *_NEEDED)
        if pipeline_run_ids is None and trigger_run_ids is None:
            raise InvalidInput(
                "neither pipeline_run_ids nor trigger_run_ids are given. Expected the runs to wait for."
            )
        if (trigger_name is None) != (trigger_run_ids is None):
            raise InvalidInput("trigger_name and trigger_run_ids belong together. Expected both or neither.")
        if not is_templated(pipeline_run_ids, include_children, trigger_name, trigger_run_ids):
            self._watched()
        self._check_times()
        if not is_templated(cancel_requested_at, on_stuck):
            self._rules()
        if not is_templated(accept_outcomes):
            check_accept_outcomes(accept_outcomes)
        if cancel_report is not None and not is_templated(cancel_report):
            self._cancel_requests()
        if evidence_path is not None and not is_templated(evidence_path):
            check_result_path(evidence_path, "evidence_path")

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, and do what is to be done about stuck runs.

        :return: whether all runs are final, and then the result.
        """
        look = self._look(context, self._memory)
        self._unfinished, self._memory = look.unfinished, look.memory
        return PokeReturnValue(is_done=not look.unfinished, xcom_value=result_of(look.memory))

    @killable
    def execute(self, context: Context) -> Any:
        """Wait here, or look once and defer."""
        self.studio_url = leave_link(context, self._hook, self._view())
        if self.deferrable:
            look = self._look(context, None)
            return self._go_on(context, look, look.now + timedelta(seconds=self.timeout))
        try:
            super().execute(context)
        except AirflowSensorTimeout as error:
            self._prove_timeout(context, self._memory)
            raise AirflowSensorTimeout(
                f"{error} {len(self._unfinished)} not final: {reports.some(self._unfinished)}. They were"
                " left as they are; wait longer with a larger timeout, or look at them in ADF Studio."
            ) from error
        assert self._memory is not None  # noqa: S101 - there was a look
        return self._finish(context, self._memory)

    @killable
    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take up the work again when the trigger has fired."""
        self.studio_url = leave_link(context, self._hook, self._view())
        error = triggers.error_of(event)
        memory = verdicts.Memory.from_json({**event["memory"], "runs": event["runs"]})
        if isinstance(error, WaitTimedOut):
            self._prove_timeout(context, memory)
            raise AirflowSensorTimeout(str(error)) from error
        if error is not None:
            raise error
        if event["status"] == "success":
            return self._finish(context, memory)
        look = self._look(context, memory)
        return self._go_on(context, look, datetime.fromisoformat(event["deadline"]))

    def _go_on(self, context: Context, look: looks.Look, deadline: datetime) -> dict[str, Any]:
        """Defer until the deadline, or finish where there is nothing to wait for any more."""
        if look.unfinished:
            self.defer(
                trigger=triggers.AdfRunsFinalTrigger(
                    **self._watched(),
                    rules=self._rules().to_json(),
                    memory=look.memory.to_json(),
                    azure_data_factory_conn_id=self.azure_data_factory_conn_id,
                    resource_group_name=self.resource_group_name,
                    factory_name=self.factory_name,
                    poll_interval=max(self.poke_interval, 1.0),
                    deadline=deadline.isoformat(),
                ),
                method_name="execute_complete",
            )
        return self._finish(context, look.memory)

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
        say_killed(self.killing, self.log)

    def _view(self) -> str:
        """Return the page of the one pipeline run, or of all runs of a kind."""
        run_ids = self._watched()["pipeline_run_ids"]
        return view_of(run_ids) if run_ids else "triggerruns"

    def _watched(self) -> dict[str, Any]:
        """Check what to wait for. :return: arguments of a watch or trigger."""
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

    def _check_times(self) -> None:
        if self.violation_tolerance is not None:
            positive(self.violation_tolerance, "violation_tolerance")
        if self.stuck_after is None or self.stuck_after == "auto":
            return
        if positive(self.stuck_after, "stuck_after") > self.timeout:
            raise InvalidInput(
                f"stuck_after: {self.stuck_after} seconds are longer than the timeout of {self.timeout}, so"
                " no run could ever be stuck. Expected at most the timeout, or None not to look for them."
            )

    def _rules(self) -> CancelRules:
        """Check by what the cancel is judged. :return: the rules."""
        on_stuck = check_on_stuck(self.on_stuck)
        if on_stuck is OnStuck.CANCEL_AGAIN and self.mode == "reschedule" and not self.deferrable:
            raise InvalidInput(
                "on_stuck: 'cancel_again' has to remember what was cancelled when, which mode='reschedule'"
                " does not. Expected deferrable=True, which takes no worker slot either, or mode='poke'."
            )
        seconds = self.stuck_after
        if seconds == "auto":
            is_long = self.timeout > DEFAULT_STUCK_AFTER_SECONDS
            seconds = DEFAULT_STUCK_AFTER_SECONDS if is_long else None
        tolerance = self.violation_tolerance
        return CancelRules(
            on_stuck=on_stuck,
            stuck_after=None if seconds is None else timedelta(seconds=seconds),
            violation_tolerance=None if tolerance is None else timedelta(seconds=tolerance),
            requested_at=check_requested_at(self.cancel_requested_at),
        )

    def _look(self, context: Context, memory: verdicts.Memory | None) -> looks.Look:
        """Look at all runs once, and do what is to be done about stuck ones.

        :param memory: what is known from looks before.
        :raises RunsNotAsWanted: for runs that are stuck or violated, with ``on_stuck='fail'``.
        """
        check_given(self, self._given)
        wanted, rules, requests = self._watched(), self._rules(), self._cancel_requests()

        async def look(client: FactoryClient) -> looks.Look:
            watch = final_watches.RunsFinalWatch(client, **wanted, rules=rules, memory=memory)
            return await looks.look_once(client, watch, rules, requests)

        seen = self._hook.run(look)
        if seen.evidence is not None:
            leave_evidence(context, seen.evidence, self.evidence_path)
            if rules.on_stuck is OnStuck.FAIL:
                leave_result(context, self, result_of(seen.memory))
                raise RunsNotAsWanted(
                    f"{seen.evidence.reason}: {reports.some(seen.evidence.problems)}. {seen.evidence.billing}"
                    " The evidence is in the log and in XCom under 'evidence'. Nothing was cancelled again:"
                    " on_stuck='cancel_again' does that, or cancel the runs in ADF Studio."
                )
        return seen

    def _prove(self, context: Context, memory: verdicts.Memory, run_ids: Sequence[str], reason: str) -> None:
        """Leave the evidence about runs of a wait that has ended badly; trouble here must not hide that."""
        try:
            rules, requests = self._rules(), self._cancel_requests()
            evidence = self._hook.run(
                lambda client: looks.prove(client, memory, rules, run_ids, reason, requests)
            )
            leave_evidence(context, evidence, self.evidence_path)
        except AdfRunsError as error:
            self.log.warning("There is no evidence, for it could not be read: %s", error)

    def _prove_timeout(self, context: Context, memory: verdicts.Memory | None) -> None:
        if memory is None:
            return
        not_final = [run.run_id for run in memory.runs.values() if not run.is_final]
        try:
            if not_final:
                reason = f"{len(not_final)} runs were not final when the wait for them was over"
                self._prove(context, memory, not_final, reason)
        finally:  # the evidence tells more, and its storage can fail in ways of its own
            leave_result(context, self, result_of(memory))

    def _cancel_requests(self) -> dict[str, Answer]:
        """Return the answers to the cancels, by run id, as far as ``cancel_report`` tells them."""
        return cancel_reports.cancel_requests(whole_of(self.cancel_report))

    def _finish(self, context: Context, memory: verdicts.Memory) -> dict[str, Any]:
        """Show and leave the result, then judge it."""
        result = result_of(memory)
        tell_outcome(self, result)
        self.log.info("All runs are final:\n%s", watches.runs_table(list(memory.runs.values())))
        leave_result(context, self, result)
        accepted = check_accept_outcomes(self.accept_outcomes)
        others = verdicts.not_accepted(memory.runs.values(), accepted)
        if others:
            reason = f"{len(others)} of {len(memory.runs)} runs have not ended in {' or '.join(accepted)}"
            self._prove(context, memory, [run.run_id for run in others], reason)
            names = [f"{run.kind} run {run.run_id} ({run.name}, {run.status})" for run in others]
            raise RunsNotAsWanted(f"{reason}: {reports.some(names)}. accept_outcomes says what is accepted.")
        return result
