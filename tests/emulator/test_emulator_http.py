"""The emulator as a web service: ARM's refusals, headers, both wire generations, faults, journal, life."""

from __future__ import annotations

import json
import logging
import re
import threading
import warnings
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from airflow_provider_adfruns.emulator import AdfEmulator

if TYPE_CHECKING:
    from tests.emulator.conftest import Serve

EVER = {"lastUpdatedAfter": "2020-01-01T00:00:00Z", "lastUpdatedBefore": "2030-01-01T00:00:00Z"}
TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{5,7}Z")


def night(**options: Any) -> dict[str, Any]:
    trigger = {
        "pipeline": "load",
        "frequency": "Hour",
        "state": "stopped",
        "windows": {"count": 2, "status": "Failed"},
    }
    return {"pipelines": {"load": {"seconds": 60}}, "triggers": {"hourly": trigger}, **options}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_paths_know_no_case(serve: Serve) -> None:
    door = serve(night())
    assert (
        door.client.post(
            door.base.upper() + "/QUERYTRIGGERRUNS?api-version=2018-06-01", json=EVER
        ).status_code
        == 200
    )


def test_the_factory_itself_can_be_got(serve: Serve) -> None:
    door = serve(night())
    assert door.get().json()["name"] == door.emulator.connection()["extra"]["factory_name"]


def test_a_call_needs_the_api_version(serve: Serve) -> None:
    door = serve(night())
    assert code(door.client.get(door.base)) == (400, "MissingApiVersionParameter")
    assert code(door.get(params={"api-version": "2019-01-01"})) == (400, "NoRegisteredProviderFound")


@pytest.mark.parametrize(
    ("place", "expected"),
    [(2, "SubscriptionNotFound"), (4, "ResourceGroupNotFound"), (8, "ResourceNotFound")],
)
def test_another_factory_is_not_found_in_arms_words(serve: Serve, place: int, expected: str) -> None:
    door = serve(night())
    segments = door.base.split("/")
    segments[place] = "other"
    answer = door.client.get("/".join(segments), params={"api-version": "2018-06-01"})
    assert code(answer) == (404, expected)


@pytest.mark.parametrize("path", ["/triggers/nope", "/pipelines/nope"])
def test_an_unknown_trigger_or_pipeline_is_not_found(serve: Serve, path: str) -> None:
    answer = serve(night()).get(path)
    assert code(answer) in {(404, "TriggerNotFound"), (404, "PipelineNotFound")}
    assert answer.json()["error"]["target"] == "nope"


@pytest.mark.parametrize(("method", "path"), [("GET", "/datasets"), ("PATCH", "/triggers/hourly")])
def test_what_is_not_served_says_so_loudly(serve: Serve, method: str, path: str) -> None:
    answer = serve(night()).call(method, path)
    assert answer.status_code == 501
    assert "docs/emulator.md" in answer.json()["error"]["message"]


def test_a_body_that_is_no_json_is_a_bad_request(serve: Serve) -> None:
    door = serve(night())
    assert code(door.call("POST", "/queryTriggerRuns", content=b"{")) == (400, "BadRequest")


def test_answers_carry_the_factorys_date_and_the_headers_of_arm(serve: Serve) -> None:
    door = serve(night())
    door.emulator.advance(90)
    read, write = door.get().headers, door.post("/triggers/hourly/start").headers
    assert read["date"] == "Sun, 01 Mar 2026 06:41:30 GMT"
    assert read["x-ms-request-id"] != write["x-ms-request-id"]
    assert "x-ms-ratelimit-remaining-subscription-reads" in read
    assert "x-ms-ratelimit-remaining-subscription-writes" in write


def test_a_trigger_run_has_the_keys_of_the_recordings_in_their_order(serve: Serve) -> None:
    run = serve(night()).trigger_runs()[0]
    assert list(run) == [
        "triggerName",
        "triggerRunId",
        "triggerType",
        "triggerRunTimestamp",
        "status",
        "message",
        "properties",
        "triggeredPipelines",
        "groupId",
        "dependencyStatus",
    ]
    assert re.fullmatch(r"\d{29}CU\d{2,3}", run["triggerRunId"])
    assert TIMES.fullmatch(run["triggerRunTimestamp"])


@pytest.mark.parametrize(
    ("generation", "window", "indented"),
    [("2022", "03/01/2026 05:00:00", True), ("2021", "3/1/2026 5:00:00 AM", False)],
)
def test_each_generation_writes_in_its_own_way(
    serve: Serve, generation: str, window: str, indented: bool
) -> None:
    door = serve(night(), wire_generation=generation)
    answer = door.post("/queryTriggerRuns", EVER)
    assert window in {run["properties"]["windowStartTime"] for run in answer.json()["value"]}
    assert (b"\n" in answer.content) is indented


@pytest.mark.parametrize(("generation", "action", "start"), [("2022", b'""', b"{}"), ("2021", b"", b"")])
def test_actions_answer_as_their_generation_does(
    serve: Serve, generation: str, action: bytes, start: bytes
) -> None:
    door = serve(night(), wire_generation=generation)
    assert door.rerun(door.only("hourly")[0]).content == action
    assert door.post("/triggers/hourly/start").content == start


@pytest.mark.parametrize(("generation", "present"), [("2022", True), ("2021", False)])
def test_a_pipeline_run_has_a_return_value_since_2022(serve: Serve, generation: str, present: bool) -> None:
    run = serve(night(), wire_generation=generation).query("/queryPipelineRuns")[0]
    assert ("pipelineReturnValue" in run) is present
    assert run["id"].startswith("/SUBSCRIPTIONS/")
    assert run["id"].endswith(f"/pipelineruns/{run['runId']}")


def test_a_trigger_says_whether_it_is_started(serve: Serve) -> None:
    door = serve(night())
    states = [door.get("/triggers/hourly").json()["properties"]["runtimeState"]]
    door.post("/triggers/hourly/start")
    states.append(door.get("/triggers").json()["value"][0]["properties"]["runtimeState"])
    door.post("/triggers/hourly/stop")
    states.append(door.post("/querytriggers", {}).json()["value"][0]["properties"]["runtimeState"])
    assert states == ["Stopped", "Started", "Stopped"]


def test_the_journal_keeps_what_was_asked_and_answered(serve: Serve) -> None:
    door = serve(night())
    answer = door.post("/queryTriggerRuns", EVER)
    entry = door.emulator.journal[0]
    assert (entry.sequence, entry.operation, entry.method) == (0, "TriggerRuns_QueryByFactory", "POST")
    assert (entry.body, entry.status, entry.answer) == (EVER, 200, answer.json())
    assert (entry.principal, entry.query) == ("anonymous", {"api-version": "2018-06-01"})


def test_equal_scenarios_and_calls_give_equal_ids_and_journals(serve: Serve) -> None:
    doors = [serve(night(seed=3)) for _ in range(2)]
    for door in doors:
        door.rerun(door.only("hourly")[0])
        door.emulator.advance(100)
    assert doors[0].emulator.trigger_runs() == doors[1].emulator.trigger_runs()
    assert doors[0].emulator.pipeline_runs() == doors[1].emulator.pipeline_runs()
    assert doors[0].emulator.journal[0].effect == doors[1].emulator.journal[0].effect


def test_another_seed_gives_other_ids(serve: Serve) -> None:
    one, other = (serve(night(seed=seed)).only("hourly")[0]["triggerRunId"] for seed in (1, 2))
    assert one != other


def test_two_emulators_in_one_process_know_nothing_of_each_other(serve: Serve) -> None:
    one, other = serve(night()), serve(night())
    one.rerun(one.only("hourly")[0])
    assert (len(one.only("hourly")), len(other.only("hourly"))) == (3, 2)
    assert one.emulator.url != other.emulator.url


def test_nothing_is_left_of_an_emulator_when_it_is_gone() -> None:
    before = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with AdfEmulator(night()) as emulator, httpx.Client() as client:
            client.get(emulator.url)
            url = emulator.url
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_connection_names_the_factory_and_how_to_sign_in(serve: Serve) -> None:
    emulator = serve(night()).emulator
    connection = json.loads(emulator.connection_json(factory_name="other", login="me"))
    assert connection["conn_type"] == "adf_runs"
    assert connection["login"] == "me"
    assert connection["extra"]["factory_name"] == "other"
    assert connection["extra"]["arm_endpoint"] == emulator.url


def test_time_moves_forward_only(serve: Serve) -> None:
    door = serve(night())
    with pytest.raises(ValueError, match="forward"):
        door.emulator.advance(-1)


def test_a_scaled_clock_runs_as_fast_as_it_says(serve: Serve) -> None:
    door = serve(night(), clock=1_000_000.0)
    run_id = door.post("/pipelines/load/createRun", {}).json()["runId"]
    while door.status(run_id) == "InProgress":
        pass
    assert door.status(run_id) == "Succeeded"


def test_coming_and_going_says_nothing_in_anybodys_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO), AdfEmulator(night()) as emulator:
        httpx.get(emulator.url)
    assert [record.name for record in caplog.records if record.name != "httpx"] == []
