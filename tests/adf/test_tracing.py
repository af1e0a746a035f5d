"""Spans: where azure-core's tracing is switched on, each request has one, which tells where and no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import airflow_provider_adfruns
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

SECRET = "tRaCeD~8Q.of-the-connection"
SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "principals": [{"name": "operator", "client_secret": SECRET}],
    "pipelines": {"load": {}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "state": "stopped",
            "windows": [{"count": 1, "runs": [{"status": "Failed", "id": "failed-window"}]}],
        }
    },
}
# OpenTelemetry has one provider in a process, for good: so the client gets a process of its own.
RERUN = """
import asyncio, json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import AdfRunsError
from airflow_provider_adfruns.adf.identity import read_connection

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

async def rerun():
    data = json.load(sys.stdin)
    fields = {key: data[key] for key in ("login", "password", "extra")}
    async with FactoryClient(read_connection(conn_id="adf", **fields)) as client:
        with trace.get_tracer("airflow").start_as_current_span("the task"):
            try:
                await client.rerun_trigger_run("hourly", "failed-window")
            except AdfRunsError:
                pass

asyncio.run(rerun())
print(json.dumps([json.loads(span.to_json()) for span in exporter.get_finished_spans()]))
"""
# As docs/metrics.md says.
WAYS = [
    pytest.param(
        {"AZURE_TRACING_ENABLED": "true"},
        id="azure-core's own",
        marks=pytest.mark.skipif(
            not find_spec("azure.core.instrumentation"),
            reason="the oldest azure-core has no tracing of its own",
        ),
    ),
    pytest.param({"AZURE_SDK_TRACING_IMPLEMENTATION": "opentelemetry"}, id="the plugin"),
]


def spans_of_a_rerun(emulator: AdfEmulator, setting: dict[str, str]) -> list[dict[str, Any]]:
    """Rerun a window in a process that traces, and return the finished spans as they are exported.

    :param setting: what its environment says of tracing.
    """
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-c", RERUN],
        input=emulator.connection_json(),
        env=os.environ | setting | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert SECRET not in answer.stdout + answer.stderr
    found: list[dict[str, Any]] = json.loads(answer.stdout.splitlines()[-1])
    return found


ROOT = Path(airflow_provider_adfruns.__file__).parents[1]


@pytest.mark.parametrize("setting", WAYS)
def test_each_request_has_a_span_of_the_task_with_its_address_and_no_secret(
    factory: Factory, setting: dict[str, str]
) -> None:
    emulator = factory(SCENARIO, tls=True)
    emulator.fail_next("TriggerRuns_Rerun", status=429, retry_after=0)
    spans = spans_of_a_rerun(emulator, setting)
    address = emulator.url + calls(emulator, "TriggerRuns_Rerun")[0].path
    requests = [
        span["attributes"]
        for span in spans
        if (span["attributes"].get("url.full") or span["attributes"].get("http.url", "")).startswith(address)
    ]
    statuses = [span.get("http.response.status_code") or span.get("http.status_code") for span in requests]
    assert statuses == [429, 200]
    assert [entry.status for entry in calls(emulator, "TriggerRuns_Rerun")] == [429, 200]
    assert {span["context"]["trace_id"] for span in spans} == {spans[-1]["context"]["trace_id"]}
    assert "Bearer" not in json.dumps(spans)


@pytest.mark.parametrize("setting", WAYS)
def test_a_request_without_an_answer_has_a_span_that_is_ended_and_says_so(
    factory: Factory, setting: dict[str, str]
) -> None:
    emulator = factory(SCENARIO, tls=True)
    emulator.fail_next("TriggerRuns_Rerun", drop_connection=True)
    failed = [
        span for span in spans_of_a_rerun(emulator, setting) if span["status"]["status_code"] == "ERROR"
    ]
    assert [each for each in failed if "triggerRuns" in json.dumps(each["attributes"])]
