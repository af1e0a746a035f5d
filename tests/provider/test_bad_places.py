"""Unknown runs, triggers and factories, wrong types and sign-ins: an error says so, and nothing is sent."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    AuthenticationFailed,
    FactoryNotFound,
    InvalidInput,
    PermissionDenied,
    TriggerNotFound,
    TriggerRunNotFound,
    Unreachable,
    WrongTriggerType,
)
from airflow_provider_adfruns.operators.cancel import (
    AdfCancelPipelineRunOperator,
    AdfCancelWaitingTriggerRunOperator,
)
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.provider.scenarios import WAITING, WAITING_RANGE
from tests.provider.tasks import Task, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

ENV = "AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"
FACTORY = {**WAITING, "runs": [{"pipeline": "load", "started": "-PT9H", "ended": "-PT8H", "id": "done"}]}


def cancel(**parameters: Any) -> Task:
    return Task(AdfCancelPipelineRunOperator, **{"run_ids": "done", **parameters})


def cancel_waiting(**parameters: Any) -> Task:
    return Task(
        AdfCancelWaitingTriggerRunOperator, **{"trigger_name": "report", **WAITING_RANGE, **parameters}
    )


def rerun(**parameters: Any) -> Task:
    return Task(
        AdfRerunTumblingWindowRunsOperator, **{"trigger_name": "hourly", **WAITING_RANGE, **parameters}
    )


def sensor(**parameters: Any) -> Task:
    return Task(AdfCancelCompleteSensor, **{"pipeline_run_ids": "done", **parameters})


ALL = pytest.mark.parametrize("task", [cancel, cancel_waiting, rerun, sensor])
ON_WINDOWS = pytest.mark.parametrize("task", [cancel_waiting, rerun])


@ON_WINDOWS
def test_unknown_trigger_run_ids_are_named(factory: Start, task: Callable[..., Task]) -> None:
    emulator = factory(FACTORY)
    with pytest.raises(
        TriggerRunNotFound, match=r"run_ids: one; two: trigger '\w+' of factory 'night-adf' .* Check the ids"
    ):
        task(run_ids=["one", "two"], window_start=None, window_end=None).run()
    assert writes(emulator) == []


@ON_WINDOWS
def test_an_unknown_trigger_is_named(factory: Start, task: Callable[..., Task]) -> None:
    emulator = factory(FACTORY)
    with pytest.raises(TriggerNotFound, match=r"trigger 'daily': factory 'night-adf'.* Check the name"):
        task(trigger_name="daily").run()
    assert writes(emulator) == []


@ON_WINDOWS
def test_a_trigger_without_windows_is_refused_with_what_to_do_instead(
    factory: Start, task: Callable[..., Task]
) -> None:
    emulator = factory(FACTORY)
    with pytest.raises(
        WrongTriggerType,
        match=r"trigger_name: 'nightly' is a ScheduleTrigger. Expected a TumblingWindow.*act on the pipeline",
    ):
        task(trigger_name="nightly").run()
    assert writes(emulator) == []


@ON_WINDOWS
def test_a_range_beyond_the_history_is_refused_with_the_earliest_start(
    factory: Start, task: Callable[..., Task]
) -> None:
    emulator = factory(FACTORY)
    with pytest.raises(
        InvalidInput,
        match=r"window_start: 2026-01-15T06:00:00.* more than 45 days ago.*Expected 2026-01-15T06:40:00",
    ):
        task(window_start="2026-01-15T06:00:00Z").run()
    assert writes(emulator) == []


@ON_WINDOWS
def test_a_range_of_the_whole_history_is_accepted(factory: Start, task: Callable[..., Task]) -> None:
    factory(FACTORY)
    assert task(window_start="2026-01-15T06:41:00Z", dry_run=True, **skip_running(task)).run()["dry_run"]


def skip_running(task: Callable[..., Task]) -> dict[str, str]:
    return {"on_running": "skip"} if task is cancel_waiting else {}


@ALL
@pytest.mark.parametrize(
    "fields", [{"factory_name": "other-adf"}, {"resource_group_name": "other-rg"}], ids=["factory", "group"]
)
def test_an_unknown_factory_is_named(
    factory: Start, task: Callable[..., Task], fields: dict[str, str]
) -> None:
    emulator = factory(FACTORY)
    (name,) = fields.values()
    with pytest.raises(FactoryNotFound, match=rf"{name}.*Check resource_group_name, factory_name and subscr"):
        task(**fields).run()
    assert writes(emulator) == []


@ALL
def test_a_wrong_secret_is_named_and_never_shown(
    factory: Start, monkeypatch: pytest.MonkeyPatch, task: Callable[..., Task]
) -> None:
    emulator = factory(FACTORY, tls=True)
    monkeypatch.setenv(ENV, emulator.connection_json(password="not-the-secret"))
    with pytest.raises(
        AuthenticationFailed,
        match=r"connection 'azure_data_factory_default' \(ClientSecret, cloud AzureCloud, .*secret is wrong",
    ) as caught:
        task().run()
    assert "not-the-secret" not in str(caught.value)
    assert writes(emulator) == []


@ALL
def test_a_missing_permission_is_named_with_what_to_grant(factory: Start, task: Callable[..., Task]) -> None:
    emulator = factory({**FACTORY, "principals": [{"name": "stranger", "permission": "none"}]})
    with pytest.raises(PermissionDenied, match=r"has no permission.*Grant it a role on factory 'night-adf'"):
        task().run()
    assert writes(emulator) == []


@ALL
@pytest.mark.parametrize(
    "endpoint",
    [
        "http://management.azure.com",
        "http://10.0.0.1:8080",
        "http://127.0.0.1.evil.example",
        "ftp://127.0.0.1",
    ],
)
def test_an_http_endpoint_that_is_not_loopback_is_refused(
    factory: Start, monkeypatch: pytest.MonkeyPatch, task: Callable[..., Task], endpoint: str
) -> None:
    emulator = factory(FACTORY)
    monkeypatch.setenv(ENV, emulator.connection_json(arm_endpoint=endpoint))
    with pytest.raises(
        InvalidInput, match=f"arm_endpoint: '{endpoint}' is neither https nor loopback. Expected"
    ):
        task().run()
    assert list(emulator.journal) == []


@ALL
def test_a_factory_that_does_not_answer_is_named_as_unreachable(
    factory: Start, monkeypatch: pytest.MonkeyPatch, task: Callable[..., Task]
) -> None:
    emulator = factory(FACTORY)
    with socket.socket() as bound:  # nobody listens, and nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv(ENV, emulator.connection_json(arm_endpoint=nowhere))
        with pytest.raises(
            Unreachable, match=f"{nowhere} gave no answer.*Nothing was changed. Check the network"
        ):
            task().run()
