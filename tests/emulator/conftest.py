"""A door to emulators: serves scenarios on manual clocks and calls them over HTTP as a client would."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest

from airflow_provider_adfruns.emulator import AdfEmulator
from tests.contract.spec import assert_in_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.spec import Spec

EVER = {"lastUpdatedAfter": "2020-01-01T00:00:00Z", "lastUpdatedBefore": "2030-01-01T00:00:00Z"}


class Door:
    """Calls one emulator."""

    def __init__(self, emulator: AdfEmulator, client: httpx.Client) -> None:
        self.emulator = emulator
        self.client = client
        extra = emulator.connection()["extra"]
        self.base = (
            f"/subscriptions/{extra['subscriptionId']}/resourceGroups/{extra['resource_group_name']}"
            f"/providers/Microsoft.DataFactory/factories/{extra['factory_name']}"
        )

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return (
            self.call("POST", path, json=body, **options)
            if body is not None
            else self.call("POST", path, **options)
        )

    def call(
        self, method: str, path: str, *, params: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        return self.client.request(
            method, self.base + path, params={"api-version": "2018-06-01", **(params or {})}, **options
        )

    def query(self, path: str, *filters: tuple[str, str, list[str]], **body: Any) -> list[dict[str, Any]]:
        """Return every page of a query."""
        asked = {
            **EVER,
            "filters": [{"operand": a, "operator": o, "values": v} for a, o, v in filters],
            **body,
        }
        rows: list[dict[str, Any]] = []
        while True:
            answer = self.post(path, asked).raise_for_status().json()
            rows += answer["value"]
            if "continuationToken" not in answer:
                return rows
            asked["continuationToken"] = answer["continuationToken"]

    def control(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Call the control API, and return its JSON; `httpx.HTTPStatusError` where it refuses."""
        sent = {} if body is None else {"json": body}
        return self.client.request(method, f"/_adf{path}", **sent, **options).raise_for_status().json()

    def trigger_runs(self, *filters: tuple[str, str, list[str]]) -> list[dict[str, Any]]:
        return self.query("/queryTriggerRuns", *filters)

    def status(self, run_id: str) -> str:
        return str(self.get(f"/pipelineruns/{run_id}").json()["status"])

    def rerun(self, run: dict[str, Any]) -> httpx.Response:
        return self.post(f"/triggers/{run['triggerName']}/triggerRuns/{run['triggerRunId']}/rerun")

    def cancel_waiting(self, run: dict[str, Any]) -> httpx.Response:
        return self.post(f"/triggers/{run['triggerName']}/triggerRuns/{run['triggerRunId']}/cancel")

    def only(self, trigger: str, window_start: str | None = None) -> list[dict[str, Any]]:
        """Return the true trigger runs of a trigger, of one window where its start is given, oldest first."""
        runs = self.emulator.trigger_runs(trigger)
        if window_start is not None:
            runs = [run for run in runs if run["properties"]["windowStartTime"] == window_start]
        return sorted(runs, key=lambda run: str(run["triggerRunTimestamp"]))


class Serve(Protocol):
    def __call__(self, scenario: Any, **options: Any) -> Door: ...


@pytest.fixture
def serve(spec: Spec | None) -> Iterator[Serve]:
    """Serve scenarios; in the end all that was asked and answered is held against the published spec."""
    with contextlib.ExitStack() as stack:

        def open_door(scenario: Any, **options: Any) -> Door:
            if isinstance(scenario, dict):
                scenario = {"now": "2026-03-01T06:40:00Z", **scenario}
            emulator = stack.enter_context(AdfEmulator(scenario, **{"clock": "manual", **options}))
            stack.callback(lambda: assert_in_spec(spec, emulator.journal))
            # Loading the usual certificates takes longer than most tests do.
            verify = ssl.create_default_context(cafile=emulator.ca_file) if emulator.ca_file else False
            client = stack.enter_context(httpx.Client(base_url=emulator.url, timeout=10, verify=verify))
            return Door(emulator, client)

        yield open_door
