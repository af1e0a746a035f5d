"""The bytes of answers in both generations: layout, keys, null and absent, digits, ids, times."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.emulator.ids import IdSource
from airflow_provider_adfruns.emulator.wire import time_span, timestamp, us_time

if TYPE_CHECKING:
    from tests.emulator.conftest import Door, Serve

GENERATIONS = ("2021", "2022")
EVER = {"lastUpdatedAfter": "2020-01-01T00:00:00Z", "lastUpdatedBefore": "2030-01-01T00:00:00Z"}
SCENARIO: dict[str, Any] = {
    "query_lag_seconds": 0,
    "pipelines": {
        "load": {"seconds": 600},
        "top": {"activities": [{"name": "Run load", "pipeline": "load"}]},
    },
    "triggers": {
        "hourly": {"pipeline": "load", "frequency": "Hour", "state": "stopped", "windows": {"count": 2}}
    },
    "runs": [{"pipeline": "top"}, {"pipeline": "load", "status": "InProgress", "started": "-PT1M"}],
}
PIPELINE_RUN = [
    "id",
    "runId",
    "debugRunId",
    "runGroupId",
    "pipelineName",
    "parameters",
    "invokedBy",
    "runStart",
    "runEnd",
    "durationInMs",
    "status",
    "message",
    "pipelineReturnValue",
    "lastUpdated",
    "annotations",
    "runDimension",
    "isLatest",
]
ACTIVITY_RUN = [
    "activityRunEnd",
    "activityName",
    "activityRunStart",
    "activityType",
    "durationInMs",
    "retryAttempt",
    "error",
    "activityRunId",
    "input",
    "linkedServiceName",
    "output",
    "userProperties",
    "pipelineName",
    "pipelineRunId",
    "status",
]


def run_in_progress(door: Door) -> dict[str, Any]:
    status = ("Status", "Equals", ["InProgress"])
    return door.query("/queryPipelineRuns", status)[0]


@pytest.mark.parametrize(
    ("generation", "style"), [("2021", {"separators": (",", ":")}), ("2022", {"indent": 2})]
)
@pytest.mark.parametrize(
    "path", ["", "/triggers", "/triggers/hourly", "/pipelines/load", "/pipelines/nowhere"]
)
def test_json_is_compact_until_2021_and_indented_since(
    serve: Serve, generation: str, style: dict[str, Any], path: str
) -> None:
    answer = serve(SCENARIO, wire_generation=generation).get(path)
    assert answer.content.decode() == json.dumps(answer.json(), **style)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize(
    ("generation", "written"), [("2021", b'{"value":[]}'), ("2022", b'{\n  "value": []\n}')]
)
@pytest.mark.parametrize("path", ["/queryTriggerRuns", "/queryPipelineRuns"])
def test_no_runs_are_an_empty_list_without_a_token(
    serve: Serve, generation: str, written: bytes, path: str
) -> None:
    door = serve({"pipelines": {"load": {}}}, wire_generation=generation)
    assert door.post(path, EVER).content == written


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_pipeline_run_has_the_recorded_keys_in_their_order(serve: Serve, generation: str) -> None:
    run = run_in_progress(serve(SCENARIO, wire_generation=generation))
    assert list(run) == [key for key in PIPELINE_RUN if generation == "2022" or key != "pipelineReturnValue"]


def test_what_a_run_does_not_have_yet_is_null_and_what_is_empty_is_empty(serve: Serve) -> None:
    run = run_in_progress(serve(SCENARIO))
    assert [run[key] for key in ("debugRunId", "runEnd", "durationInMs")] == [None] * 3
    assert [run[key] for key in ("message", "parameters", "annotations", "runDimension")] == ["", {}, [], {}]
    assert list(run["invokedBy"]) == ["id", "name", "invokedByType"]
    assert re.fullmatch(r"[0-9a-f]{32}", run["invokedBy"]["id"])


def test_the_arm_part_of_a_runs_id_is_in_upper_case_and_the_rest_is_not(serve: Serve) -> None:
    door = serve(SCENARIO)
    run = run_in_progress(door)
    assert run["id"] == f"{door.base.upper()}/pipelineruns/{run['runId']}"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_an_activity_run_has_the_keys_of_the_specs_example(serve: Serve, generation: str) -> None:
    door = serve(SCENARIO, wire_generation=generation)
    [parent] = [run for run in door.emulator.pipeline_runs() if run["pipelineName"] == "top"]
    [activity] = door.query(f"/pipelineruns/{parent['runId']}/queryActivityruns")
    assert list(activity) == ACTIVITY_RUN
    assert list(activity["error"]) == ["errorCode", "message", "failureType", "target"]
    assert list(activity["output"]) == ["pipelineName", "pipelineRunId"]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_page_says_that_there_is_more_after_its_rows(serve: Serve, generation: str) -> None:
    trigger = SCENARIO["triggers"]["hourly"] | {"windows": {"count": 101}}
    door = serve(SCENARIO | {"triggers": {"hourly": trigger}}, wire_generation=generation)
    first = door.post("/queryTriggerRuns", EVER).json()
    last = door.post("/queryTriggerRuns", EVER | {"continuationToken": first["continuationToken"]}).json()
    assert (list(first), len(first["value"])) == (["value", "continuationToken"], 100)
    assert (list(last), len(last["value"])) == (["value"], 1)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/queryTriggerRuns", EVER, "reads"),
        ("/queryPipelineRuns", EVER, "reads"),
        ("/querytriggers", {}, "reads"),
        ("/pipelines/load/createRun", {}, "writes"),
        ("/triggers/hourly/stop", None, "writes"),
    ],
)
def test_queries_count_as_reads_and_actions_as_writes(
    serve: Serve, generation: str, path: str, body: Any, kind: str
) -> None:
    headers = serve(SCENARIO, wire_generation=generation).post(path, body).headers
    left = [name for name in headers if name.startswith("x-ms-ratelimit-remaining-subscription-")]
    assert left == [f"x-ms-ratelimit-remaining-subscription-{kind}"]


INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(INSTANTS, st.text(max_size=5))
def test_a_timestamp_has_five_to_seven_digits_without_trailing_zeros_and_is_true(
    instant: datetime, salt: str
) -> None:
    written = timestamp(instant, salt)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{4,6}[1-9]Z", written)
    assert abs(datetime.fromisoformat(written) - instant) < timedelta(milliseconds=0.01)


@given(INSTANTS)
def test_a_windows_time_reads_back_in_both_generations(instant: datetime) -> None:
    whole = instant.replace(microsecond=0)
    forms = {"2021": "%m/%d/%Y %I:%M:%S %p", "2022": "%m/%d/%Y %H:%M:%S"}
    read = [datetime.strptime(us_time(whole, "2021"), forms["2021"]).replace(tzinfo=UTC)]
    read.append(datetime.strptime(us_time(whole, "2022"), forms["2022"]).replace(tzinfo=UTC))
    assert read == [whole, whole]


@pytest.mark.parametrize(
    ("hour", "older", "newer"),
    [
        (0, "1/2/2026 12:03:04 AM", "01/02/2026 00:03:04"),
        (9, "1/2/2026 9:03:04 AM", "01/02/2026 09:03:04"),
        (12, "1/2/2026 12:03:04 PM", "01/02/2026 12:03:04"),
        (23, "1/2/2026 11:03:04 PM", "01/02/2026 23:03:04"),
    ],
)
def test_a_windows_time_is_written_the_american_way(hour: int, older: str, newer: str) -> None:
    instant = datetime(2026, 1, 2, hour, 3, 4, tzinfo=UTC)
    assert [us_time(instant, "2021"), us_time(instant, "2022")] == [older, newer]


@given(st.integers(0, 2**32), INSTANTS, INSTANTS)
def test_a_trigger_run_id_has_its_recorded_shape_and_newer_ones_sort_first(
    seed: int, one: datetime, other: datetime
) -> None:
    ids = IdSource(seed)
    earlier, later = ids.trigger_run_id(min(one, other)), ids.trigger_run_id(max(one, other))
    assert all(re.fullmatch(r"0\d{19}\d{9}CU\d{2,3}", each) for each in (earlier, later))
    assert earlier[:20] > later[:20] or abs(one - other) < timedelta(microseconds=2)


@pytest.mark.parametrize(
    ("duration", "written"),
    [
        (timedelta(0), "00:00:00"),
        (timedelta(hours=-1), "-01:00:00"),
        (timedelta(days=1, hours=2), "1.02:00:00"),
        (timedelta(days=-1, seconds=-5), "-1.00:00:05"),
    ],
)
def test_a_duration_is_written_as_the_specs_pattern_wants(duration: timedelta, written: str) -> None:
    assert time_span(duration) == written
    assert re.fullmatch(r"-?((\d+)\.)?(\d\d):(60|([0-5][0-9])):(60|([0-5][0-9]))", written)
