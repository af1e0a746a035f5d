"""Each operation of the API carried out on a factory: names, query, body in, JSON out; HTTP is elsewhere."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.emulator import wire
from airflow_provider_adfruns.emulator.engine import RunRequest
from airflow_provider_adfruns.emulator.finding import Finder
from airflow_provider_adfruns.emulator.parameters import as_text
from airflow_provider_adfruns.emulator.publishing import Publisher
from airflow_provider_adfruns.emulator.query import (
    ACTIVITY_RUNS,
    PAGE_SIZE,
    PIPELINE_RUNS,
    TRIGGER_RUNS,
    Position,
    read_query,
)
from airflow_provider_adfruns.emulator.records import Effect
from airflow_provider_adfruns.emulator.refusals import bad_request, no_such_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_adfruns.emulator.engine import Factory
    from airflow_provider_adfruns.emulator.query import RunQuery
    from airflow_provider_adfruns.emulator.records import PipelineRun, PipelineState
    from airflow_provider_adfruns.emulator.wire import Generation

_EMPTY = object()


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation is called with.

    :param names: the names and ids of the path, in its order.
    :param query: the query string's parameters, their names in lower case.
    :param body: the JSON sent, or None.
    :param request_id: the caller's ``x-ms-client-request-id``.
    :param staleness: how much more than usual a query of runs lags behind.
    """

    names: tuple[str, ...]
    query: Mapping[str, str]
    body: Any
    request_id: str | None
    staleness: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Done:
    """What an operation answers, and what it changed."""

    answer: Any
    effect: Effect
    status: HTTPStatus = HTTPStatus.OK


class Operations:
    """The operations on one factory.

    :param generation: which generation of the service's answers to give.
    """

    def __init__(self, factory: Factory, generation: Generation) -> None:
        self._factory = factory
        self._generation: Generation = generation
        self._finder = Finder(factory.is_latest)
        self._publisher = Publisher(factory)
        self._lag = timedelta(seconds=factory.scenario.query_lag_seconds)
        self._table = {
            "Factories_Get": self._get_factory,
            "PipelineRuns_QueryByFactory": self._query_pipeline_runs,
            "PipelineRuns_Get": self._get_pipeline_run,
            "PipelineRuns_Cancel": self._cancel_pipeline_run,
            "ActivityRuns_QueryByPipelineRun": self._query_activity_runs,
            "TriggerRuns_QueryByFactory": self._query_trigger_runs,
            "TriggerRuns_Rerun": self._rerun,
            "TriggerRuns_Cancel": self._cancel_trigger_run,
            "Pipelines_CreateRun": self._create_run,
            "Pipelines_Get": self._get_pipeline,
            "Pipelines_CreateOrUpdate": self._put_pipeline,
            "Pipelines_Delete": self._delete_pipeline,
            "Triggers_Get": self._get_trigger,
            "Triggers_CreateOrUpdate": self._put_trigger,
            "Triggers_Delete": self._delete_trigger,
            "Triggers_Start": self._start_trigger,
            "Triggers_Stop": self._stop_trigger,
            "Triggers_ListByFactory": self._list_triggers,
            "Triggers_QueryByFactory": self._query_triggers,
        }

    def carry_out(self, operation: str, call: Call) -> Done:
        """Carry out an operation; `Refusal` where the service would refuse it."""
        return self._table[operation](call)

    def written(self, answer: Any) -> bytes:
        """Return the body of an answer: actions answer nothing before 2022."""
        return b"" if answer is _EMPTY else wire.encode(answer, self._generation)

    def _action(self, effect: Effect, answer: Any) -> Done:
        return Done(answer if self._generation == "2022" else _EMPTY, effect)

    def _seen_at(self, query: RunQuery, call: Call) -> datetime:
        """Return the instant a query shows: further pages show that of the first."""
        return query.position.seen_at if query.position else self._factory.now - self._lag - call.staleness

    # Pipeline runs

    def pipeline_run(self, run: PipelineRun, state: PipelineState, seen_at: datetime) -> dict[str, Any]:
        """Write a pipeline run as it was at ``seen_at``."""
        return wire.pipeline_run(
            run,
            state,
            factory=self._factory.scenario.factory,
            generation=self._generation,
            is_latest=self._factory.is_latest(run, seen_at),
        )

    def _get_pipeline_run(self, call: Call) -> Done:
        run = self._factory.pipeline_run(call.names[0])
        if run is None:
            raise no_such_run()
        return Done(self.pipeline_run(run, run.current, self._factory.now), Effect(run.run_id))

    def _query_pipeline_runs(self, call: Call) -> Done:
        query = read_query(call.body, PIPELINE_RUNS)
        seen_at = self._seen_at(query, call)
        rows, following = self._finder.page(self._factory.pipelines.runs, query, seen_at)
        return _page([self.pipeline_run(run, state, seen_at) for run, state in rows], query, following)

    def _cancel_pipeline_run(self, call: Call) -> Done:
        recursive = _flag(call.query, "isrecursive")
        return self._action(self._factory.cancel_pipeline_run(call.names[0], recursive=recursive), "")

    def _create_run(self, call: Call) -> Done:
        body = call.body if call.body is not None else {}
        if not isinstance(body, dict):
            raise bad_request("The request body must be a JSON object of parameters.")
        request = RunRequest(
            run_id=_uuid_or_none(call.request_id),
            parameters={name: as_text(value) for name, value in body.items()},
            reference_run_id=call.query.get("referencepipelinerunid"),
            is_recovery=_flag(call.query, "isrecovery"),
            start_activity=call.query.get("startactivityname"),
            start_from_failure=_flag(call.query, "startfromfailure"),
        )
        effect = self._factory.create_run(call.names[0], request)
        return Done({"runId": effect.subject}, effect)

    def _query_activity_runs(self, call: Call) -> Done:
        query = read_query(call.body, ACTIVITY_RUNS)
        seen_at = self._seen_at(query, call)
        run = self._factory.pipeline_run(call.names[0])
        rows = []
        for activity in self._factory.activities(run) if run is not None else []:
            state = activity.as_of(seen_at)
            if state is not None and query.after <= state.at <= query.before and query.takes(activity, state):
                rows.append((activity, state))
        rows = query.ordered(rows) if query.order_by else rows[::-1]
        offset = query.position.offset if query.position else 0
        end = offset + PAGE_SIZE
        following = Position(seen_at, end) if end < len(rows) else None
        value = [wire.activity_run(activity, state, run) for activity, state in rows[offset:end] if run]
        return _page(value, query, following)

    # Trigger runs

    def _query_trigger_runs(self, call: Call) -> Done:
        query = read_query(call.body, TRIGGER_RUNS)
        seen_at = self._seen_at(query, call)
        rows, following = self._finder.page(self._factory.triggers.runs, query, seen_at)
        value = [wire.trigger_run(run, state, generation=self._generation) for run, state in rows]
        return _page(value, query, following)

    def _rerun(self, call: Call) -> Done:
        return self._action(self._factory.rerun_trigger_run(*call.names), "")

    def _cancel_trigger_run(self, call: Call) -> Done:
        return self._action(self._factory.cancel_trigger_run(*call.names), "")

    # The factory and what it is made of

    def _get_factory(self, call: Call) -> Done:
        del call
        scenario = self._factory.scenario
        return Done(wire.factory_resource(scenario.factory, scenario.now), Effect(scenario.factory.name))

    def _get_pipeline(self, call: Call) -> Done:
        pipeline, scenario = self._factory.pipeline(call.names[0]), self._factory.scenario
        published = pipeline.published or scenario.now
        return Done(
            wire.pipeline_resource(pipeline, scenario.factory, published=published), Effect(pipeline.name)
        )

    def _put_pipeline(self, call: Call) -> Done:
        pipeline = self._publisher.put_pipeline(call.names[0], call.body)
        written = wire.pipeline_resource(pipeline, self._factory.scenario.factory)
        return Done(written, Effect(pipeline.name, {"published": pipeline.name}))

    def _delete_pipeline(self, call: Call) -> Done:
        return self._deleted(call.names[0], existed=self._publisher.delete_pipeline(call.names[0]))

    def _get_trigger(self, call: Call) -> Done:
        place = self._factory.trigger(call.names[0])
        written = wire.trigger_resource(place, self._factory.scenario.factory)
        return Done(written, Effect(place.definition.name))

    def _put_trigger(self, call: Call) -> Done:
        place = self._publisher.put_trigger(call.names[0], call.body)
        name = place.definition.name
        written = wire.trigger_resource(place, self._factory.scenario.factory)
        return Done(written, Effect(name, {"published": name}))

    def _delete_trigger(self, call: Call) -> Done:
        return self._deleted(call.names[0], existed=self._publisher.delete_trigger(call.names[0]))

    @staticmethod
    def _deleted(name: str, *, existed: bool) -> Done:
        """Answer a DELETE: never a body; 204 where there was nothing to delete."""
        changes, status = ({"deleted": name}, HTTPStatus.OK) if existed else (None, HTTPStatus.NO_CONTENT)
        return Done(_EMPTY, Effect(name, changes), status)

    def _start_trigger(self, call: Call) -> Done:
        return self._action(self._factory.set_started(call.names[0], started=True), {})

    def _stop_trigger(self, call: Call) -> Done:
        return self._action(self._factory.set_started(call.names[0], started=False), {})

    def _list_triggers(self, call: Call) -> Done:
        del call
        factory = self._factory
        written = [
            wire.trigger_resource(place, factory.scenario.factory) for place in self._publisher.triggers()
        ]
        return Done({"value": written}, Effect())

    def _query_triggers(self, call: Call) -> Done:
        """List triggers; with a parentTriggerName the old rerun triggers, of which there are none."""
        asks_for_children = isinstance(call.body, dict) and call.body.get("parentTriggerName")
        return Done({"value": []}, Effect()) if asks_for_children else self._list_triggers(call)


def _page(value: list[dict[str, Any]], query: RunQuery, following: Position | None) -> Done:
    answer: dict[str, Any] = {"value": value}
    if following is not None:
        answer["continuationToken"] = query.token(following)
    return Done(answer, Effect())


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() == "true"


def _uuid_or_none(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        return None
