"""A scenario's YAML made into definitions: top and triggers; pipelines, past and limits are elsewhere."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_adfruns.emulator.definitions import (
    FactoryIdentity,
    Outcome,
    Permission,
    PipelineDefinition,
    PipelineReference,
    Principal,
    RetryPolicy,
    Scenario,
    TriggerDefinition,
    TriggerType,
    WindowDependency,
)
from airflow_provider_adfruns.emulator.reading import Table, Value, read_yaml
from airflow_provider_adfruns.emulator.scenario_limits import read_faults, read_throttling
from airflow_provider_adfruns.emulator.scenario_past import read_runs, read_script, read_windows
from airflow_provider_adfruns.emulator.scenario_pipelines import read_parameters, read_pipelines
from airflow_provider_adfruns.emulator.windows import Frequency, Grid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_provider_adfruns.emulator.definitions import PastWindows

DEFAULT_SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
DEFAULT_TENANT = "00000000-0000-4000-8000-000000000002"
_DEPENDENCIES = ("TumblingWindowTriggerDependencyReference", "SelfDependencyTumblingWindowTriggerReference")
_TUMBLING = ("Minute", "Hour", "Month")
_SCHEDULE = ("Minute", "Hour", "Day", "Week", "Month")
_GRID_DAYS = 60
MOST_DEPENDENCIES = 5


def load_scenario(scenario: str | Path | Mapping[str, Any], now: datetime | None = None) -> Scenario:
    """Read a scenario and check that it fits together.

    :param scenario: see `read_yaml`.
    :param now: the start of the clock where the scenario names none; default the real now, to the second.
    :raises ScenarioError: naming the file, the line and what was expected.
    """
    top = read_yaml(scenario).table()
    real_now = (now or datetime.now(UTC)).replace(microsecond=0)
    start = top.take("now")
    begin = start.instant(real_now) if start else real_now
    seed, lag, waiting = top.take("seed"), top.take("query_lag_seconds"), top.take("rerun_waiting_seconds")
    factory = _factory(top.take("factory"))
    principals = _principals(top.take("principals"))
    pipelines = read_pipelines(top.need("pipelines"))
    triggers: dict[str, TriggerDefinition] = {}
    windows: list[PastWindows] = []
    described = top.take("triggers")
    places = described.table().rest() if described else {}
    for name, value in places.items():
        table = value.table()
        triggers[name] = _trigger(name, table, begin, pipelines)
        windows += read_windows(table.take("windows"), triggers[name], begin)
        table.done()
    _check_triggers(places, triggers)
    runs = read_runs(top.take("runs"), pipelines, begin)
    throttling, faults = read_throttling(top.take("throttling")), read_faults(top.take("faults"))
    token_seconds = top.take("token_seconds")
    top.done()
    return Scenario(
        factory=factory,
        now=begin,
        seed=seed.integer() if seed else 0,
        query_lag_seconds=lag.number() if lag else 2.0,
        rerun_waiting_seconds=waiting.number() if waiting else 2.0,
        principals=principals,
        pipelines=pipelines,
        triggers=triggers,
        windows=tuple(windows),
        runs=runs,
        throttling=throttling,
        token_seconds=token_seconds.integer() if token_seconds else 3599,
        faults=faults,
    )


def _text(table: Table, key: str, default: str) -> str:
    value = table.take(key)
    return value.text() if value else default


def _factory(value: Value | None) -> FactoryIdentity:
    if value is None:
        return FactoryIdentity(DEFAULT_SUBSCRIPTION, "night-rg", "night-adf", DEFAULT_TENANT)
    table = value.table()
    factory = FactoryIdentity(
        subscription_id=_text(table, "subscription", DEFAULT_SUBSCRIPTION),
        resource_group=_text(table, "resource_group", "night-rg"),
        name=_text(table, "name", "night-adf"),
        tenant_id=_text(table, "tenant", DEFAULT_TENANT),
        location=_text(table, "location", "westeurope"),
    )
    table.done()
    return factory


def _principals(value: Value | None) -> tuple[Principal, ...]:
    principals: list[Principal] = []
    for each in value.items() if value else []:
        principal = _principal(each.table())
        if principal.client_id in {other.client_id for other in principals}:
            each.fail(
                f"a principal with a name, or a client_id, of its own; another one is '{principal.name}'"
            )
        principals.append(principal)
    return tuple(principals) or (_make_principal("operator", None, None, "write"),)


def _principal(table: Table) -> Principal:
    name = table.need("name").text()
    client_id, secret, permission = (
        table.take("client_id"),
        table.take("client_secret"),
        table.take("permission"),
    )
    table.done()
    return _make_principal(
        name,
        client_id.text() if client_id else None,
        secret.text() if secret else None,
        cast("Permission", permission.choice("write", "read", "none")) if permission else "write",
    )


def _make_principal(
    name: str, client_id: str | None, secret: str | None, permission: Permission
) -> Principal:
    """Make up what a scenario does not say, from the name alone, so that it is the same in every run."""
    made_up = str(uuid.uuid5(uuid.NAMESPACE_OID, f"adf-emulator principal {name}"))
    object_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"adf-emulator object {name}"))
    return Principal(name, client_id or made_up, secret or f"secret-of-{name}", object_id, permission)


def _trigger(
    name: str, table: Table, now: datetime, pipelines: Mapping[str, PipelineDefinition]
) -> TriggerDefinition:
    kind, delay, concurrency = table.take("type"), table.take("delay"), table.take("maxConcurrency")
    trigger_type = (
        kind.choice("TumblingWindowTrigger", "ScheduleTrigger") if kind else "TumblingWindowTrigger"
    )
    state, backfill, description = table.take("state"), table.take("backfill"), table.take("description")
    outcome, rerun_outcome = table.take("outcome"), table.take("rerun_outcome")
    rerun_seconds, cancel, depends_on = (
        table.take("rerun_seconds"),
        table.take("cancel_seconds"),
        table.take("dependsOn"),
    )
    operation = table.take("operation_seconds")
    if depends_on is not None and len(depends_on.items()) > MOST_DEPENDENCIES:
        depends_on.fail(f"at most {MOST_DEPENDENCIES} dependencies")
    pipeline, parameters = table.need("pipeline"), read_parameters(table.take("parameters"))
    for each in pipeline.items():
        if each.text() not in pipelines:
            each.fail("the name of a pipeline: " + ", ".join(pipelines))
    if trigger_type == "TumblingWindowTrigger" and len(pipeline.items()) != 1:
        pipeline.fail("one pipeline; only a schedule trigger starts several")
    return TriggerDefinition(
        name=name,
        type=cast("TriggerType", trigger_type),
        grid=_grid(table, trigger_type, now),
        pipelines=tuple(PipelineReference(each.text(), parameters) for each in pipeline.items()),
        delay=delay.duration() if delay else timedelta(0),
        max_concurrency=concurrency.integer(1, 50) if concurrency else 50,
        retry=_retry(table.take("retryPolicy")),
        depends_on=tuple(_dependency(name, each) for each in depends_on.items()) if depends_on else (),
        started=state is None or state.choice("started", "stopped") == "started",
        backfill=backfill is not None and backfill.flag(),
        outcome=Outcome(outcome.choice(*Outcome)) if outcome else None,
        rerun_outcome=read_script(rerun_outcome) if rerun_outcome else None,
        rerun_seconds=rerun_seconds.number() if rerun_seconds else None,
        cancel_seconds=cancel.number() if cancel else 2.0,
        operation_seconds=operation.number() if operation else 0.0,
        description=description.text() if description else None,
    )


def _grid(table: Table, trigger_type: str, now: datetime) -> Grid:
    frequency, interval = table.take("frequency"), table.take("interval")
    start, end = table.take("startTime"), table.take("endTime")
    words = _TUMBLING if trigger_type == "TumblingWindowTrigger" else _SCHEDULE
    unit = cast("Frequency", frequency.choice(*words) if frequency else "Hour")
    usual_start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=_GRID_DAYS)
    if unit == "Month":
        usual_start = usual_start.replace(year=usual_start.year - 1, month=1, day=1)
    return Grid(
        frequency=unit,
        interval=interval.integer(1) if interval else 1,
        start=start.instant(now) if start else usual_start,
        end=end.instant(now) if end else None,
    )


def _retry(value: Value | None) -> RetryPolicy:
    if value is None:
        return RetryPolicy()
    table = value.table()
    count, interval = table.take("count"), table.take("intervalInSeconds")
    table.done()
    return RetryPolicy(count.integer() if count else 0, interval.number() if interval else 30.0)


def _dependency(trigger: str, value: Value) -> WindowDependency:
    """Read a dependency: on another trigger, or with ``self: true`` (or the self type's name) on itself."""
    table = value.table()
    kind, upstream, own = table.take("type"), table.take("trigger"), table.take("self")
    offset, size = table.take("offset"), table.take("size")
    table.done()
    is_own = (own is not None and own.flag()) or (
        kind is not None and kind.choice(*_DEPENDENCIES) == _DEPENDENCIES[1]
    )
    if is_own == (upstream is not None):
        value.fail("a dependency on another 'trigger', or on the trigger's own windows with 'self: true'")
    shift = offset.duration() if offset else timedelta(0)
    if is_own and shift >= timedelta(0):
        (offset or value).fail("a negative offset, as a trigger depends on its own earlier windows only")
    return WindowDependency(
        upstream.text() if upstream else trigger, shift, size.duration() if size else None
    )


def _check_triggers(places: Mapping[str, Value], triggers: Mapping[str, TriggerDefinition]) -> None:
    for trigger in triggers.values():
        for dependency in trigger.depends_on:
            upstream = triggers.get(dependency.trigger)
            if upstream is None or upstream.type != "TumblingWindowTrigger":
                places[trigger.name].fail(
                    f"a trigger that depends on a tumbling window trigger; '{dependency.trigger}' is none"
                )
