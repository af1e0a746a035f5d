"""Throttling: ARM's token buckets on the factory's clock, Data Factory's query limit, and who is spared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.emulator import ScenarioError

if TYPE_CHECKING:
    import httpx

    from tests.emulator.conftest import Door, Serve

EVER = {"lastUpdatedAfter": "2020-01-01T00:00:00Z", "lastUpdatedBefore": "2030-01-01T00:00:00Z"}
READS = "x-ms-ratelimit-remaining-subscription-reads"
WRITES = "x-ms-ratelimit-remaining-subscription-writes"
TIGHT = {"reads": {"bucket": 3, "per_second": 1}, "writes": {"bucket": 1, "per_second": 0.25}}


def factory(throttling: Any = None) -> dict[str, Any]:
    made = {
        "principals": [{"name": "one", "client_id": "one-id"}, {"name": "other", "client_id": "other-id"}],
        "pipelines": {"load": {}},
    }
    return made if throttling is None else {**made, "throttling": throttling}


def create_run(door: Door, **options: Any) -> httpx.Response:
    return door.post("/pipelines/load/createRun", {}, **options)


def as_principal(client_id: str) -> dict[str, Any]:
    return {"headers": {"authorization": f"Bearer loopback:{client_id}"}}


def test_answers_count_down_what_is_left_until_calls_are_refused(serve: Serve) -> None:
    door = serve(factory(TIGHT))
    answers = [door.get() for _ in range(4)]
    assert [(each.status_code, each.headers[READS]) for each in answers] == [
        (200, "2"),
        (200, "1"),
        (200, "0"),
        (429, "0"),
    ]


def test_a_throttled_call_is_refused_in_arms_words(serve: Serve) -> None:
    door = serve(factory(TIGHT))
    for _ in range(3):
        door.get(**as_principal("one-id"))
    refused = door.get(**as_principal("one-id"))
    subscription = door.emulator.connection()["extra"]["subscriptionId"]
    actor = refused.json()["error"]["message"].split("'")[5]
    assert refused.json() == {
        "error": {
            "code": "SubscriptionRequestsThrottled",
            "message": f"Number of 'read' requests for subscription '{subscription}' actor '{actor}'"
            " exceeded. Please try again after '1' seconds.",
        }
    }
    assert refused.headers["retry-after"] == "1"


def test_a_throttled_write_changes_nothing_and_says_when_to_come_back(serve: Serve) -> None:
    door = serve(factory(TIGHT))
    assert create_run(door).headers[WRITES] == "0"
    refused = create_run(door)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "4")
    assert len(door.emulator.pipeline_runs()) == 1
    door.emulator.advance(3)
    assert create_run(door).headers["retry-after"] == "1"
    door.emulator.advance(1)
    assert create_run(door).status_code == 200


def test_a_bucket_fills_up_to_its_size_and_no_further(serve: Serve) -> None:
    door = serve(factory(TIGHT))
    door.get()
    door.emulator.advance(3600)
    assert door.get().headers[READS] == "2"


def test_query_posts_are_reads(serve: Serve) -> None:
    door = serve(factory(TIGHT))
    assert door.post("/queryTriggerRuns", EVER).headers[READS] == "2"


def test_each_principal_has_buckets_of_its_own(serve: Serve) -> None:
    door = serve(factory(TIGHT))
    assert create_run(door, **as_principal("one-id")).status_code == 200
    assert create_run(door, **as_principal("one-id")).status_code == 429
    assert create_run(door, **as_principal("other-id")).status_code == 200


@pytest.mark.parametrize(
    ("generation", "reads", "writes"), [("2022", "249", "199"), ("2021", "11999", "1199")]
)
def test_the_usual_buckets_are_those_of_the_generation(
    serve: Serve, generation: str, reads: str, writes: str
) -> None:
    door = serve(factory("on"), wire_generation=generation)
    assert (door.get().headers[READS], create_run(door).headers[WRITES]) == (reads, writes)


def test_the_usual_bucket_of_writes_holds_200_and_gets_10_a_second(serve: Serve) -> None:
    door = serve(factory("on"))
    assert {create_run(door).status_code for _ in range(200)} == {200}
    assert create_run(door).status_code == 429
    door.emulator.advance(1)
    assert [create_run(door).status_code for _ in range(11)] == [200] * 10 + [429]


@pytest.mark.parametrize(
    ("throttling", "clock", "left"),
    [
        (None, "manual", ["249", "249"]),
        ("on", "manual", ["249", "248"]),
        # So slow a clock that nothing is refilled.
        (None, 1e-9, ["249", "248"]),
        ("off", 1e-9, ["249", "249"]),
    ],
)
def test_calls_are_counted_where_time_passes_by_itself_unless_the_scenario_says_otherwise(
    serve: Serve, throttling: Any, clock: Any, left: list[str]
) -> None:
    door = serve(factory(throttling), clock=clock)
    assert [door.get().headers[READS] for _ in range(2)] == left


def test_run_queries_of_a_factory_are_limited_by_the_minute(serve: Serve) -> None:
    door = serve(factory({"queries_per_minute": 2}))
    door.emulator.advance(15)
    paths = ["/queryTriggerRuns", "/queryPipelineRuns", "/queryTriggerRuns"]
    answers = [door.post(path, EVER, **as_principal(f"{path}-id")) for path in paths]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["code"] == "TooManyPipelineRunQueryRequests"
    assert answers[2].headers["retry-after"] == "45"
    assert door.get("/triggers").status_code == 200
    door.emulator.advance(45)
    assert door.post("/queryTriggerRuns", EVER).status_code == 200


def test_what_is_refused_before_it_counts_costs_nothing(serve: Serve) -> None:
    door = serve(factory(TIGHT))
    assert READS not in door.get(params={"api-version": "2019-01-01"}).headers
    assert READS not in door.get("/nothing").headers
    assert door.get().headers[READS] == "2"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("perhaps", "throttling must be true or false, not 'perhaps'"),
        ("{reads: {bucket: 3}}", "throttling.reads must be a mapping with 'per_second'"),
        ("{reads: {bucket: 0, per_second: 1}}", "throttling.reads.bucket must be a whole number from 1"),
        ("{read: {bucket: 3, per_second: 1}}", "throttling.read is unknown"),
    ],
)
def test_bad_limits_are_refused_with_their_line(serve: Serve, line: str, expected: str) -> None:
    with pytest.raises(ScenarioError, match=f"line 2: {expected}"):
        serve(f"pipelines: {{load: {{}}}}\nthrottling: {line}\n")
