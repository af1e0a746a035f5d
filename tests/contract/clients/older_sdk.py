"""Drives the emulator with an older azure-mgmt-datafactory, in an environment of its own, and checks it.

It knows nothing of this package. Where the emulator is, it reads as JSON from its standard input.
"""

# mypy: ignore-errors
# Its SDK is another one than the one that is type-checked here.
from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.mgmt.datafactory.models import RunFilterParameters, RunQueryFilter, RunQueryOrderBy

if TYPE_CHECKING:
    from collections.abc import Callable


class Credential:
    """Signs in as any client does, at the emulator's token endpoint."""

    def __init__(self, place: dict[str, str]) -> None:
        self._place = place

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._place["client_id"],
            "client_secret": self._place["client_secret"],
            "scope": scopes[0],
        }
        url = f"{self._place['url']}/{self._place['tenant']}/oauth2/v2.0/token"
        answer = requests.post(url, data=form, verify=self._place["ca_file"], timeout=30)
        answer.raise_for_status()
        token = answer.json()
        return AccessToken(token["access_token"], int(time.time()) + int(token["expires_in"]))


def check(what: str, found: Any, expected: Any) -> None:
    """Fail unless what was found is what was expected."""
    if found != expected:
        sys.exit(f"  FAILED {what}: found {found!r}, expected {expected!r}")
    print(f"  ok {what}")


def every_page(
    query: Callable[[Any], Any], *filters: tuple[str, str, list[str]], **asked: Any
) -> tuple[list[Any], int]:
    """Return every row of a query, and how many pages held them."""
    now = datetime.now(UTC)
    body = RunFilterParameters(
        last_updated_after=now - timedelta(days=40),
        last_updated_before=now + timedelta(days=1),
        filters=[RunQueryFilter(operand=a, operator=o, values=v) for a, o, v in filters],
        **asked,
    )
    rows, pages = [], 0
    while True:
        answer = query(body)
        rows, pages = rows + answer.value, pages + 1
        body.continuation_token = answer.continuation_token
        if not body.continuation_token:
            return rows, pages


def main() -> None:
    """Use every operation that a client of runs needs."""
    place = json.load(sys.stdin)
    client = DataFactoryManagementClient(
        Credential(place),
        place["subscription"],
        base_url=place["url"],
        credential_scopes=["https://management.azure.com/.default"],
        connection_verify=place["ca_file"],
    )
    at = (place["resource_group"], place["factory"])

    failed = ("Status", "Equals", ["Failed"])
    order = [RunQueryOrderBy(order_by="TriggerRunTimestamp", order="DESC")]
    runs, pages = every_page(
        lambda body: client.trigger_runs.query_by_factory(*at, body), failed, order_by=order
    )
    check("query trigger runs: every page", (len(runs), pages), (250, 3))
    check("query trigger runs: each run once", len({run.trigger_run_id for run in runs}), 250)
    times = [run.trigger_run_timestamp for run in runs]
    check("query trigger runs: times are read, in the order asked for", times, sorted(times, reverse=True))
    newest = runs[0]
    check(
        "query trigger runs: fields",
        (newest.trigger_name, newest.trigger_type, newest.status, sorted(newest.properties), newest.message),
        (
            "hourly",
            "TumblingWindowTrigger",
            "Failed",
            ["TriggerTime", "windowEndTime", "windowStartTime"],
            None,
        ),
    )

    run_id = newest.triggered_pipelines["load"]
    run = client.pipeline_runs.get(*at, run_id)
    check(
        "get: fields",
        (run.run_id, run.status, run.pipeline_name, run.is_latest),
        (run_id, "Failed", "load", True),
    )
    check("get: who started it", run.invoked_by.name, "hourly")
    check("get: times are read", run.run_end > run.run_start and run.duration_in_ms > 0, True)
    runs, pages = every_page(lambda body: client.pipeline_runs.query_by_factory(*at, body), failed)
    check("query pipeline runs: every page", (len(runs), pages), (250, 3))
    activities, _ = every_page(lambda body: client.activity_runs.query_by_pipeline_run(*at, run_id, body))
    check("query activity runs", {each.activity_name for each in activities}, {"Copy", "Tell"})

    created = client.pipelines.create_run(*at, "load", parameters={"region": "south"}).run_id
    run = client.pipeline_runs.get(*at, created)
    check("createRun", (run.status, run.parameters, run.run_end), ("InProgress", {"region": "south"}, None))
    recovered = client.pipelines.create_run(
        *at, "load", reference_pipeline_run_id=run_id, is_recovery=True, start_from_failure=True
    ).run_id
    group, _ = every_page(
        lambda body: client.pipeline_runs.query_by_factory(*at, body), ("RunGroupId", "Equals", [run_id])
    )
    check("createRun: a recovery joins the group", {each.run_id for each in group}, {run_id, recovered})

    check("cancel", client.pipeline_runs.cancel(*at, created, is_recursive=True), None)
    check("cancel: takes its time", client.pipeline_runs.get(*at, created).status, "Canceling")
    try:
        client.pipeline_runs.cancel(*at, run_id)
    except HttpResponseError as error:
        check(
            "cancel of a finished run", (error.status_code, error.error.code), (400, "PipelineRunNotRunning")
        )
    else:
        sys.exit("  FAILED cancel of a finished run: no error")

    check("rerun", client.trigger_runs.rerun(*at, "hourly", newest.trigger_run_id), None)
    again, _ = every_page(
        lambda body: client.trigger_runs.query_by_factory(*at, body), ("Status", "Equals", ["Running"])
    )
    check(
        "rerun: a new run of the window",
        [each.properties["windowStartTime"] for each in again],
        [newest.properties["windowStartTime"]],
    )
    check("rerun: in the same group", again[0].additional_properties["groupId"], newest.trigger_run_id)

    waiting, _ = every_page(
        lambda body: client.trigger_runs.query_by_factory(*at, body),
        ("Status", "Equals", ["WaitingOnDependency"]),
    )
    cancelled = client.trigger_runs.cancel(*at, "report", waiting[0].trigger_run_id)
    check("cancel of a waiting trigger run", cancelled, None)
    check(
        "trigger",
        client.triggers.get(*at, "report").properties.depends_on[0].reference_trigger.reference_name,
        "hourly",
    )
    check(
        "start and stop",
        [
            client.triggers.begin_start(*at, "hourly").result(),
            client.triggers.begin_stop(*at, "hourly").result(),
        ],
        [None, None],
    )


if __name__ == "__main__":
    print(f"azure-mgmt-datafactory {importlib.metadata.version('azure-mgmt-datafactory')}")
    main()
