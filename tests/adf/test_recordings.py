"""Recorded traffic of the live service, played back word for word to the client, which has to read it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    NotWaitingOnDependency,
    PipelineRunNotFound,
    TriggerNotFound,
)
from tests.adf.fields import read
from tests.adf.playback import Played, playing
from tests.adf.talking import talk

if TYPE_CHECKING:
    from airflow_provider_adfruns.adf.model import ActivityRun, PipelineRun, Trigger, TriggerRun

RECORDINGS = Path(__file__).parents[3] / "shared" / "adf-api" / "recordings"
_SPAN: Any = {
    "last_updated_after": datetime(2017, 1, 1, tzinfo=UTC),
    "last_updated_before": datetime(2030, 1, 1, tzinfo=UTC),
}
# Set by the server that plays back, or wrong once the body is compact again.
_NOT_PLAYED = {"content-length", "content-encoding", "transfer-encoding", "connection", "content-type"}

Work = Callable[[FactoryClient], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded call of an operation that the client has."""

    name: str
    operation: str
    method: str
    path: str
    status: int
    body: str
    headers: Mapping[str, str]

    def __str__(self) -> str:
        return self.name

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def answer(self) -> Played:
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_PLAYED}
        return Played(self.body, self.status, headers)


_OPERATIONS: dict[str, tuple[str, Callable[..., Work]]] = {
    "get pipeline run": (
        r"GET pipelineruns/([^/]+)",
        lambda run: lambda client: client.get_pipeline_run(run),
    ),
    "query pipeline runs": (
        r"POST queryPipelineRuns",
        lambda: lambda client: client.query_pipeline_runs(**_SPAN),
    ),
    "query activity runs": (
        r"POST pipelineruns/([^/]+)/queryActivityruns",
        lambda run: lambda client: client.query_activity_runs(run, **_SPAN),
    ),
    "query trigger runs": (
        r"POST queryTriggerRuns",
        lambda: lambda client: client.query_trigger_runs(**_SPAN),
    ),
    "cancel pipeline run": (
        r"POST pipelineruns/([^/]+)/cancel",
        lambda run: lambda client: client.cancel_pipeline_run(run, is_recursive=False),
    ),
    "rerun": (
        r"POST triggers/([^/]+)/triggerRuns/([^/]+)/rerun",
        lambda trigger, run: lambda client: client.rerun_trigger_run(trigger, run),
    ),
    "cancel trigger run": (
        r"POST triggers/([^/]+)/triggerRuns/([^/]+)/cancel",
        lambda trigger, run: lambda client: client.cancel_trigger_run(trigger, run),
    ),
    "create run": (
        r"POST pipelines/([^/]+)/createRun",
        lambda pipeline: lambda client: client.create_recovery_run(pipeline, "reference"),
    ),
    "get trigger": (r"GET triggers/([^/]+)", lambda trigger: lambda client: client.get_trigger(trigger)),
    "list triggers": (r"GET triggers", lambda: lambda client: client.list_triggers()),
}


def recorded() -> list[Recorded]:
    """Read the recordings of operations that the client has."""
    found = []
    for file in sorted(RECORDINGS.glob("*.json")):
        for number, each in enumerate(json.loads(file.read_text(encoding="utf-8"))["interactions"]):
            path = re.split(r"/factories/[^/]+/", each["uri"].partition("?")[0], maxsplit=1)[-1]
            call = f"{each['method']} {path}"
            name = next((name for name, (form, _) in _OPERATIONS.items() if re.fullmatch(form, call)), None)
            if name is None:
                continue
            # two of the files hold the parsed body alone; its whitespace on the wire is not known
            body = each.get("response_body_text")
            if body is None:
                parsed = each.get("response_body")
                body = "" if parsed is None else json.dumps(parsed, separators=(",", ":"))
            headers = each.get("response_headers") or {}
            found.append(
                Recorded(f"{file.stem}-{number}", name, each["method"], path, each["status"], body, headers)
            )
    return found


ALL = recorded()
pytestmark = pytest.mark.skipif(not ALL, reason=f"{RECORDINGS} is not here to read")


def of(*operations: str, status: int = 200) -> pytest.MarkDecorator:
    """Parametrise by the recordings of some operations."""
    chosen = [each for each in ALL if each.operation in operations and each.status == status]
    return pytest.mark.parametrize("recording", chosen, ids=str)


def read_back(recording: Recorded) -> Any:
    """Let the client make the recorded call, and see that it sends the recorded request."""
    form, make = _OPERATIONS[recording.operation]
    match = re.fullmatch(form, f"{recording.method} {recording.path}")
    assert match is not None
    with playing(recording.answer) as server:
        result = talk(read(arm_endpoint=server.url), make(*match.groups()))
    [asked] = server.asked
    sent = asked.path.partition("?")[0].partition("/factories/night-adf/")[2]
    assert (asked.method, sent.lower()) == (recording.method, recording.path.lower())
    return result


def us_time(text: str) -> datetime:
    """Read a window time, independently of the client."""
    form = "%m/%d/%Y %I:%M:%S %p" if text.endswith("M") else "%m/%d/%Y %H:%M:%S"
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def iso_time(text: str) -> datetime:
    """Read a time of up to seven fractional digits, independently of the client."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    whole = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return whole.replace(microsecond=int(fraction.ljust(6, "0")[:6]))


@of("query trigger runs")
def test_recorded_trigger_runs_are_read(recording: Recorded) -> None:
    runs: list[TriggerRun] = read_back(recording)
    wire = recording.json["value"]
    assert [(run.trigger_run_id, run.trigger_name, run.trigger_type, str(run.status)) for run in runs] == [
        (each["triggerRunId"], each["triggerName"], each["triggerType"], each["status"]) for each in wire
    ]
    assert [run.timestamp for run in runs] == [iso_time(each["triggerRunTimestamp"]) for each in wire]
    assert [run.group_id for run in runs] == [each.get("groupId") for each in wire]
    assert [dict(run.triggered_pipelines) for run in runs] == [each["triggeredPipelines"] for each in wire]


@of("query trigger runs")
def test_recorded_windows_are_read_as_times(recording: Recorded) -> None:
    runs: list[TriggerRun] = read_back(recording)
    windows = [each["properties"] for each in recording.json["value"]]
    assert [run.window and (run.window.start, run.window.end) for run in runs] == [
        (us_time(each["windowStartTime"]), us_time(each["windowEndTime"]))
        if "windowStartTime" in each
        else None
        for each in windows
    ]


@of("get pipeline run")
def test_recorded_pipeline_runs_are_read(recording: Recorded) -> None:
    run: PipelineRun = read_back(recording)
    wire = recording.json
    assert (run.run_id, run.pipeline_name, str(run.status)) == (
        wire["runId"],
        wire["pipelineName"],
        wire["status"],
    )
    assert (run.run_group_id, run.parameters) == (wire["runGroupId"], wire["parameters"])
    assert run.run_start == iso_time(wire["runStart"])
    assert run.run_end == (iso_time(wire["runEnd"]) if wire["runEnd"] else None)
    assert run.is_latest is wire["isLatest"]
    assert run.invoked_by is not None
    assert run.invoked_by.name == wire["invokedBy"]["name"]


@of("query activity runs")
def test_recorded_activity_runs_are_read(recording: Recorded) -> None:
    runs: list[ActivityRun] = read_back(recording)
    assert [run.activity_run_id for run in runs] == [
        each["activityRunId"] for each in recording.json["value"]
    ]


@of("get trigger", "list triggers")
def test_recorded_triggers_are_read(recording: Recorded) -> None:
    result: Trigger | list[Trigger] = read_back(recording)
    wire = recording.json
    triggers = result if isinstance(result, list) else [result]
    assert [(each.name, each.type, each.runtime_state, each.definition) for each in triggers] == [
        (each["name"], each["properties"]["type"], each["properties"]["runtimeState"], each["properties"])
        for each in wire.get("value", [wire])
    ]


@of("create run")
def test_the_id_of_a_recorded_create_run_is_read(recording: Recorded) -> None:
    assert read_back(recording) == recording.json["runId"]


@of("cancel pipeline run", "rerun", "cancel trigger run")
def test_a_recorded_action_that_was_accepted_is_no_error(recording: Recorded) -> None:
    assert read_back(recording) is None


REFUSALS: dict[tuple[str, int], type[AdfRunsError]] = {
    ("cancel pipeline run", 400): PipelineRunNotFound,
    ("get pipeline run", 404): PipelineRunNotFound,
    ("cancel trigger run", 400): NotWaitingOnDependency,
    ("get trigger", 404): TriggerNotFound,
}


@pytest.mark.parametrize("recording", [each for each in ALL if each.status != 200], ids=str)
def test_a_recorded_refusal_is_recognised_and_quoted(recording: Recorded) -> None:
    with pytest.raises(AdfRunsError) as refused:
        read_back(recording)
    assert type(refused.value) is REFUSALS[recording.operation, recording.status]
    if recording.body:
        assert recording.json["error"]["message"] in str(refused.value)


def test_the_recordings_have_enough_of_each_operation_to_mean_something() -> None:
    counts = Counter((each.operation, each.status) for each in ALL)
    least = {
        ("query trigger runs", 200): 9,
        ("create run", 200): 6,
        ("rerun", 200): 3,
        ("get trigger", 200): 7,
        ("list triggers", 200): 2,
        ("query activity runs", 200): 2,
        ("get pipeline run", 200): 1,
        ("get pipeline run", 404): 1,
        ("cancel pipeline run", 200): 1,
        ("cancel pipeline run", 400): 2,
        ("cancel trigger run", 400): 1,
    }
    assert {key: counts[key] for key in least if counts[key] < least[key]} == {}
