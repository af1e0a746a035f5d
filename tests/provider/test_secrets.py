"""A connection's secret stays where it is: in no log, XCom, rendered field, exception, event or ``repr``."""

from __future__ import annotations

import http.server
import json
import logging
import ssl
import threading
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from airflow.sdk._shared.secrets_masker import redact

from airflow_provider_adfruns.adf.errors import AdfRunsError, AuthenticationFailed, InvalidInput
from airflow_provider_adfruns.emulator.routes import OPERATIONS
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cancel import (
    AdfCancelPipelineRunOperator,
    AdfCancelWaitingTriggerRunOperator,
)
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.conftest import connection_to
from tests.provider.scenarios import NOW, WAITING, WAITING_RANGE
from tests.provider.tasks import Task, event_of, through_json
from tests.provider.versions import TaskDeferred, needs_airflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

ENV = "AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"
FAILED = "00000000-0000-4000-8000-00000000000a"
CANARY = "cAnArY~8Q.of-the-connection"
FACTORY: dict[str, Any] = {
    **WAITING,
    "now": NOW,
    "principals": [
        {"name": "operator", "client_secret": CANARY},
        {"name": "stranger", "client_id": "the-stranger", "client_secret": CANARY, "permission": "none"},
    ],
    "runs": [
        {"pipeline": "report", "status": "InProgress", "id": "going"},
        {"pipeline": "report", "status": "Failed", "id": FAILED},
    ],
}
TASKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "cancel pipeline run": (AdfCancelPipelineRunOperator, {"run_ids": "going"}),
    "cancel trigger run": (
        AdfCancelWaitingTriggerRunOperator,
        {"trigger_name": "report", "run_ids": "waiting"},
    ),
    "rerun windows": (AdfRerunTumblingWindowRunsOperator, {"trigger_name": "hourly", **WAITING_RANGE}),
    "rerun pipeline run": (AdfRerunPipelineRunOperator, {"run_ids": FAILED}),
    "wait": (AdfCancelCompleteSensor, {"pipeline_run_ids": "going", "timeout": 60, "poke_interval": 20}),
}
TROUBLES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "the sign-in fails": ({"tenantId": "00000000-0000-4000-8000-0000000000ff"}, None),
    "the token is refused": ({}, {"refuse_token": True}),
    "a permission lacks": ({"login": "the-stranger"}, None),
    "the service answers 500": ({}, {"status": 500}),
    "the answer breaks off": ({}, {"truncate": True}),
    "the connection drops": ({}, {"drop_connection": True}),
}


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and all that led to it, whether it is shown or not."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def told_by(error: BaseException) -> str:
    """Return all that an exception can tell: tracebacks, attributes, answers that it holds."""
    parts = ["".join(traceback.format_exception(error))]
    for each in chain(error):
        parts += [repr(each), str(each), repr(vars(each)), *map(repr, each.args)]
    return "\n".join(parts)


def spoil(emulator: AdfEmulator, **fault: Any) -> None:
    """Spoil every call but those for a token, which azure-identity repeats in real time."""
    for operation in OPERATIONS:
        emulator.fail_sometimes(operation.name, rate=1.0, **fault)


@pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("name", TASKS)
def test_no_trouble_of_a_task_makes_it_tell_the_secret(
    factory: Factory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    trouble: str,
    deferrable: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    emulator = factory(FACTORY, tls=True)
    fields, fault = TROUBLES[trouble]
    monkeypatch.setenv(ENV, emulator.connection_json(**fields))
    if fault is not None:
        spoil(emulator, **fault)
    operator, parameters = TASKS[name]
    task = Task(operator, **parameters, deferrable=deferrable)
    with pytest.raises(AdfRunsError) as failed:
        task.run()
    made = task.make()
    rendered = {field: getattr(made, field) for field in made.template_fields}
    told = [told_by(failed.value), caplog.text, json.dumps(task.ti.xcoms), repr(rendered), repr(vars(made))]
    assert [text for text in told if CANARY in text] == []
    assert [text for text in told if "Bearer ey" in text] == []


@pytest.mark.parametrize("name", TASKS)
def test_a_deferred_task_gives_the_secret_to_no_database(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    emulator = factory(FACTORY, tls=True)
    monkeypatch.setenv(ENV, emulator.connection_json())
    operator, parameters = TASKS[name]
    with pytest.raises(TaskDeferred) as deferred:
        Task(operator, **parameters, deferrable=True).begin()
    trigger = through_json(deferred.value.trigger)
    spoil(emulator, refuse_token=True)
    event = event_of(trigger)
    assert event["error"] == "AuthenticationFailed"
    told = [repr(trigger), repr(vars(trigger)), json.dumps(trigger.serialize()), json.dumps(event)]
    assert [text for text in told if CANARY in text] == []


def test_neither_hook_nor_client_nor_connection_shows_the_secret(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(FACTORY, tls=True)
    monkeypatch.setenv(ENV, emulator.connection_json())
    with AdfRunsHook() as hook:
        told = hook.run(_shown)
        told += [repr(hook), repr(vars(hook)), repr(hook.factory_connection()), repr(connection_to(emulator))]
    assert [text for text in told if CANARY in text] == []


async def _shown(client: Any) -> list[str]:
    return [repr(client), str(client), repr(vars(client)), repr(client.connection)]


@contextmanager
def echoing_authority(folder: Path) -> Iterator[dict[str, str]]:
    """Serve an authority, or a proxy before one, that repeats in its refusal what it was sent."""

    class Echo(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer = json.dumps({"error": "invalid_client", "error_description": f"AADSTS7000215: {sent}"})
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: Any) -> None:
            """Be silent."""

    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            host = f"https://127.0.0.1:{server.server_port}"
            yield {"authority_host": host, "ca_bundle": str(folder / "ca.pem")}
        finally:
            server.shutdown()
            thread.join()


def test_an_authority_that_repeats_the_secret_does_not_make_the_error_tell_it(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    emulator = factory(FACTORY, tls=True)
    with echoing_authority(tmp_path) as fields:
        monkeypatch.setenv(ENV, emulator.connection_json(**fields))
        with pytest.raises(AuthenticationFailed, match="client secret is wrong") as failed:
            Task(AdfCancelPipelineRunOperator, run_ids="going").run()
    assert CANARY not in told_by(failed.value)
    # azure-identity logs the refusal as it is; it is Airflow that masks the password of a connection read
    assert CANARY in caplog.text
    assert CANARY not in str(redact(caplog.text))


@needs_airflow(3, 2, "such a connection is refused before the hook sees it")
def test_an_extra_field_that_is_no_json_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {"conn_type": "adf_runs", "extra": f'{{"password": "{CANARY}"'}
    monkeypatch.setenv(ENV, json.dumps(written))
    with pytest.raises(InvalidInput, match="is not JSON") as refused:
        AdfRunsHook().factory_connection()
    assert CANARY not in told_by(refused.value)
