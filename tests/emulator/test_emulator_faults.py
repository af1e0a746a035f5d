"""Faults: which calls they meet, and what reaches the client then."""

from __future__ import annotations

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from airflow_provider_adfruns.emulator import ScenarioError

if TYPE_CHECKING:
    from tests.emulator.conftest import Door, Serve

EVER = {"lastUpdatedAfter": "2020-01-01T00:00:00Z", "lastUpdatedBefore": "2030-01-01T00:00:00Z"}


def night(count: int = 2, **options: Any) -> dict[str, Any]:
    trigger = {
        "pipeline": "load",
        "frequency": "Hour",
        "state": "stopped",
        "windows": {"count": count, "status": "Failed"},
    }
    return {"pipelines": {"load": {"seconds": 60}}, "triggers": {"hourly": trigger}, **options}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def wait_until_hanging(door: Door, calls: int) -> None:
    while door.control("GET", "/faults")["hanging"] != calls:
        pass


def test_a_fault_answers_without_doing_the_work(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("TriggerRuns_Rerun", status=429, retry_after=7)
    answer = door.rerun(door.only("hourly")[0])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert len(door.only("hourly")) == 2
    assert door.emulator.journal[-1].effect is None


def test_a_processed_fault_answers_after_doing_the_work(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("TriggerRuns_Rerun", status=504, processed=True)
    assert code(door.rerun(door.only("hourly")[0])) == (504, "GatewayTimeout")
    assert len(door.only("hourly")) == 3
    entry = door.emulator.journal[-1]
    assert entry.effect is not None
    assert entry.effect["triggerRunId"] == door.only("hourly")[-1]["triggerRunId"]


@pytest.mark.parametrize(("processed", "runs"), [(False, 2), (True, 3)])
def test_a_dropped_connection_gives_no_answer(serve: Serve, processed: bool, runs: int) -> None:
    door = serve(night())
    door.emulator.fail_next("TriggerRuns_Rerun", drop_connection=True, processed=processed)
    with pytest.raises(httpx.RemoteProtocolError if processed else httpx.ReadError):
        door.rerun(door.only("hourly")[0])
    assert len(door.only("hourly")) == runs
    assert door.emulator.journal[-1].status is None
    assert door.get().status_code == 200


def test_a_fault_meets_as_many_calls_as_it_says_of_its_operation_only(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("Factories_Get", status=500, count=2)
    assert door.get("/triggers").status_code == 200
    assert [door.get().status_code for _ in range(3)] == [500, 500, 200]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"operation": "TriggerRuns_Reran"}, "unknown operation 'TriggerRuns_Reran'; known are"),
        ({"operation": "*", "count": 0}, "count must be 1 or more"),
        ({"operation": "*", "status": 99}, "status must be an HTTP status"),
        ({"operation": "*", "status": 500, "drop_connection": True}, "status and drop_connection"),
        ({"operation": "*", "truncate": True, "processed": True}, "processed goes with"),
        ({"operation": "*", "hang": True, "retry_after": 1}, "retry_after goes with status"),
        ({"operation": "*", "hang": True, "delay_seconds": 1}, "hang or delay_seconds"),
        ({"operation": "*", "for_seconds": -1}, "for_seconds must be a number of seconds above 0"),
        ({"operation": "TriggerRuns_Rerun", "lose": "page"}, "TriggerRuns_Rerun is never met by lose"),
        ({"operation": "Token", "refuse_token": True}, "Token is never met by refuse_token"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(serve: Serve, words: dict[str, Any], expected: str) -> None:
    door = serve(night())
    with pytest.raises(ValueError, match=re.escape(expected)):
        door.emulator.fail_next(**words)


def test_a_fault_lasts_for_as_long_as_it_says(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("*", status=503, for_seconds=60)
    answers = []
    for seconds in (0, 59, 1):
        door.emulator.advance(seconds)
        answers.append(door.get().status_code)
    assert answers == [503, 503, 200]


def test_a_call_hangs_until_its_client_gives_up(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("TriggerRuns_Rerun", hang=True)
    with pytest.raises(httpx.ReadTimeout):
        door.post(
            f"/triggers/hourly/triggerRuns/{door.only('hourly')[0]['triggerRunId']}/rerun", timeout=0.05
        )
    while not door.emulator.journal:  # which may take longer than the client had patience
        pass
    wait_until_hanging(door, 0)
    assert len(door.only("hourly")) == 2
    assert (door.emulator.journal[-1].status, door.emulator.journal[-1].fault) == (
        None,
        "hang, not processed",
    )


def test_a_call_that_was_processed_hangs_until_it_is_released_and_is_answered(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("TriggerRuns_Rerun", hang=True, processed=True)
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(door.rerun, door.only("hourly")[0])
        wait_until_hanging(door, 1)
        assert len(door.only("hourly")) == 3
        assert not calling.done()
        door.emulator.release()
        assert calling.result().status_code == 200


def test_a_call_that_was_not_processed_is_hung_up_on_when_it_is_released(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("Factories_Get", hang=True)
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(door.get)
        wait_until_hanging(door, 1)
        door.control("POST", "/release")
        with pytest.raises(httpx.RemoteProtocolError):
            calling.result()


def test_an_emulator_ends_though_a_call_hangs(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("Factories_Get", hang=True)
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(door.get)
        wait_until_hanging(door, 1)
        door.emulator.__exit__(None, None, None)
        with pytest.raises(httpx.TransportError):
            calling.result()


def test_a_delayed_answer_comes_once_the_clock_was_moved(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("TriggerRuns_Rerun", delay_seconds=5)
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(door.rerun, door.only("hourly")[0])
        while not door.emulator.journal:
            pass
        door.emulator.advance(4)
        assert not calling.done()
        door.emulator.advance(1)
        assert calling.result().status_code == 200
    assert door.emulator.journal[0].fault == "delay_seconds 5"


def test_a_delayed_answer_comes_when_it_is_released(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("Factories_Get", delay_seconds=5)
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(door.get)
        while not calling.done():
            door.emulator.release()
        assert calling.result().status_code == 200


def test_a_delay_passes_by_itself_on_a_clock_that_runs(serve: Serve) -> None:
    door = serve(night(), clock=100_000.0)
    door.emulator.fail_next("Factories_Get", status=504, delay_seconds=60)
    assert door.get().status_code == 504


def test_a_truncated_answer_breaks_off_after_the_work_was_done(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("Pipelines_CreateRun", truncate=True)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        door.post("/pipelines/load/createRun", {})
    assert {run["status"] for run in door.emulator.pipeline_runs()} == {"Failed", "InProgress"}
    assert door.get().status_code == 200


def test_nothing_is_left_of_an_empty_answer_that_is_truncated(serve: Serve) -> None:
    door = serve(night(), wire_generation="2021")
    door.emulator.fail_next("TriggerRuns_Rerun", truncate=True)
    with pytest.raises(httpx.RemoteProtocolError):
        door.rerun(door.only("hourly")[0])
    assert len(door.only("hourly")) == 3


@pytest.mark.parametrize(
    "fault", [{"drop_connection": True}, {"drop_connection": True, "processed": True}, {"truncate": True}]
)
def test_connections_break_over_https_as_well(serve: Serve, fault: dict[str, Any]) -> None:
    door = serve(night(), tls=True)
    connection = door.emulator.connection()
    form = {"client_id": connection["login"], "client_secret": connection["password"]}
    path = f"/{connection['extra']['tenantId']}/oauth2/v2.0/token"
    door.emulator.fail_next("Token", **fault)
    with pytest.raises(httpx.RemoteProtocolError):
        door.client.post(path, data=form)
    assert door.client.post(path, data=form).status_code == 200


def test_a_stale_query_shows_what_was_a_while_ago(serve: Serve) -> None:
    door = serve(night())
    door.post("/pipelines/load/createRun", {})
    door.emulator.advance(90)
    door.emulator.fail_next("PipelineRuns_QueryByFactory", stale_seconds=60)
    seen = [max(run["status"] for run in door.query("/queryPipelineRuns")) for _ in range(2)]
    assert seen == ["InProgress", "Succeeded"]
    assert door.emulator.journal[-2].fault == "stale_seconds 60"


def test_a_query_that_is_refused_leaves_staleness_and_loss_to_the_next(serve: Serve) -> None:
    door = serve(night(150))
    door.emulator.fail_next("*", lose="rest")
    assert door.post("/queryTriggerRuns", {}).status_code == 400
    assert door.emulator.journal[-1].fault is None
    assert len(door.trigger_runs()) == 100


@pytest.mark.parametrize(("lost", "rows"), [("page", 150), ("rest", 100)])
def test_a_query_loses_a_page_or_the_rest(serve: Serve, lost: Any, rows: int) -> None:
    door = serve(night(250))
    door.emulator.fail_next("TriggerRuns_QueryByFactory", lose=lost)
    assert len({run["triggerRunId"] for run in door.trigger_runs()}) == rows
    assert len(door.trigger_runs()) == 250


def test_a_page_is_not_lost_where_there_is_only_one(serve: Serve) -> None:
    door = serve(night(150))
    door.emulator.fail_next("*", lose="rest")
    door.query("/queryTriggerRuns", ("Status", "Equals", ["Running"]))
    assert door.emulator.journal[-1].fault is None
    assert len(door.trigger_runs()) == 100


def test_a_refused_token_is_challenged_with_claims_that_ask_for_a_fresh_one(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("*", refuse_token=True)
    answer = door.rerun(door.only("hourly")[0])
    assert code(answer) == (401, "InvalidAuthenticationToken")
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_claims"' in challenge
    claims = json.loads(base64.b64decode(challenge.partition('claims="')[2].rstrip('"')))
    assert claims == {"access_token": {"nbf": {"essential": True, "value": "1772347200"}}}
    assert len(door.only("hourly")) == 2


def test_faults_meet_calls_in_the_order_in_which_they_were_added(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("*", status=500)
    door.emulator.fail_next("Factories_Get", status=502)
    assert [door.get().status_code for _ in range(3)] == [500, 502, 200]


def test_faults_that_are_to_come_can_be_listed_and_taken_back(serve: Serve) -> None:
    door = serve(night())
    first = door.emulator.fail_next("*", status=500, count=2)
    second = door.emulator.fail_sometimes("*", rate=0.5, hang=True)
    door.get()
    assert [(each["number"], each["left"]) for each in door.emulator.faults] == [(first, 1), (second, None)]
    door.emulator.clear_faults(first)
    assert [each["number"] for each in door.emulator.faults] == [second]
    door.emulator.clear_faults()
    assert door.get().status_code == 200


def test_a_scenario_can_begin_with_faults(serve: Serve) -> None:
    door = serve(night(faults=[{"operation": "Factories_Get", "status": 500}]))
    assert [door.get().status_code for _ in range(2)] == [500, 200]


def test_a_bad_fault_of_a_scenario_is_refused_with_its_line(serve: Serve) -> None:
    with pytest.raises(ScenarioError, match=r"line 4: faults\[1\] must be a fault: .* no 'statsu'"):
        serve(
            "pipelines: {load: {}}\n"
            "faults:\n"
            "  - {operation: '*', status: 500}\n"
            "  - {operation: '*', statsu: 500}\n"
        )
