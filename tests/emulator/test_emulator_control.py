"""The control API: state, journal, faults, clock, snapshots and scenarios, over HTTP and in Python alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from airflow_provider_adfruns.emulator import ScenarioError

if TYPE_CHECKING:
    from tests.emulator.conftest import Door, Serve


def night(**options: Any) -> dict[str, Any]:
    trigger = {
        "pipeline": "load",
        "frequency": "Hour",
        "state": "stopped",
        "windows": {"count": 3, "status": "Failed"},
    }
    return {"pipelines": {"load": {"seconds": 60}}, "triggers": {"hourly": trigger}, **options}


def refusal(door: Door, method: str, path: str, **options: Any) -> tuple[int, str]:
    answer = door.client.request(method, f"/_adf{path}", **options)
    return answer.status_code, answer.json()["error"]["message"]


def seen(door: Door) -> tuple[Any, ...]:
    """Return all there is to see of an emulator."""
    emulator = door.emulator
    return emulator.now, emulator.journal, emulator.trigger_runs(), emulator.pipeline_runs(), emulator.faults


# What it is


def test_it_lists_what_can_be_called(serve: Serve) -> None:
    calls = serve(night()).control("GET", "")["calls"]
    assert {"method": "POST", "path": "/_adf/reset"}.items() <= calls[-3].items()
    assert all(each["does"].endswith((".", "`")) for each in calls)


def test_it_is_neither_throttled_nor_at_fault_nor_in_the_journal(serve: Serve) -> None:
    door = serve(night(throttling={"reads": {"bucket": 1, "per_second": 0.001}}))
    door.emulator.fail_next("*", status=503, count=100)
    for _ in range(3):
        door.control("GET", "/clock")
    assert door.emulator.journal == ()
    assert door.emulator.faults[0]["left"] == 100


def test_pages_of_other_sites_cannot_use_it(serve: Serve) -> None:
    door = serve(night())
    own = door.emulator.url
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        door.control("POST", "/reset", headers={"Origin": "https://elsewhere.example"})
    assert door.control("POST", "/reset", headers={"Origin": own})["now"]


def test_it_needs_no_token_where_the_factory_does(serve: Serve) -> None:
    door = serve(night(), tls=True)
    assert door.control("GET", "/clock")["set"] == "manual"


@pytest.mark.parametrize(
    ("method", "path", "options", "expected"),
    [
        ("GET", "/nothing", {}, (404, "there is no /_adf/nothing; GET /_adf lists what there is")),
        ("GET", "/reset", {}, (405, "/_adf/reset takes POST, not GET")),
        ("POST", "/faults", {"content": b"{"}, (400, "the body is not JSON")),
        ("POST", "/faults", {"json": {"status": 503}}, (400, "a fault is a mapping with 'operation'")),
        ("POST", "/faults", {"json": {"operation": ["*"]}}, (400, "unknown operation ['*']")),
        ("POST", "/faults", {"json": {"operation": "*", "hang": 1}}, (400, "hang must be true or false")),
        ("DELETE", "/faults/3", {}, (404, "there is no fault 3")),
        ("POST", "/clock", {"json": {"advance": -1}}, (400, "time only moves forward")),
        ("POST", "/clock", {"json": {"advance": 1e300}}, (400, "there is no time")),
        ("POST", "/clock", {"json": {"advance": True}}, (400, "one of advance (seconds)")),
        ("POST", "/clock", {"json": {"to": "yesterday"}}, (400, "Invalid isoformat string: 'yesterday'")),
        ("POST", "/clock", {"json": {"set": 0}}, (400, "clock must be 'real', 'manual' or a scale")),
        (
            "POST",
            "/clock",
            {"json": {"back": 1}},
            (400, "the body must be a JSON object of advance, to, set"),
        ),
        ("POST", "/snapshots/dusk/restore", {}, (404, "there is no snapshot 'dusk'; taken are: none")),
        ("GET", "/journal", {"params": {"after": "x"}}, (400, "after must be a whole number, not 'x'")),
        ("GET", "/state", {"params": {"windows": "-1"}}, (400, "windows must be 0 or more, not -1")),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    serve: Serve, method: str, path: str, options: dict[str, Any], expected: tuple[int, str]
) -> None:
    door = serve(night())
    before = seen(door)
    status, message = refusal(door, method, path, **options)
    assert (status, message[: len(expected[1])]) == expected
    assert seen(door) == before


# State and journal


def test_the_state_shows_windows_with_their_runs_and_the_status_of_the_latest(serve: Serve) -> None:
    door = serve(night())
    door.rerun(door.only("hourly", "03/01/2026 05:00:00")[0])
    door.emulator.advance(10)
    (trigger,) = door.control("GET", "/state")["triggers"]
    window = trigger["windows"][-1]
    assert (trigger["name"], trigger["started"], trigger["counts"]) == (
        "hourly",
        False,
        {"Failed": 3, "Running": 1},
    )
    assert (window["start"], window["end"]) == ("2026-03-01T05:00:00Z", "2026-03-01T06:00:00Z")
    assert (window["status"], [run["status"] for run in window["runs"]]) == ("Running", ["Failed", "Running"])


def test_the_state_shows_pipeline_runs_and_whose_children_they_are(serve: Serve) -> None:
    door = serve({"pipelines": {"day": {"activities": [{"name": "Do", "pipeline": "load"}]}, "load": {}}})
    parent = door.post("/pipelines/day/createRun", {}).json()["runId"]
    shown = {run["pipelineName"]: run for run in door.control("GET", "/state")["pipelineRuns"]}
    assert (shown["day"]["runId"], shown["day"]["status"]) == (parent, "InProgress")
    assert shown["load"]["parentRunId"] == parent


def test_the_state_shows_as_many_as_are_asked_for_and_counts_all(serve: Serve) -> None:
    state = serve(night()).control("GET", "/state", params={"windows": "2", "runs": "1"})
    assert (len(state["triggers"][0]["windows"]), len(state["pipelineRuns"])) == (2, 1)
    assert state["counts"] == {"triggerRuns": {"Failed": 3}, "pipelineRuns": {"Failed": 3}}


def test_the_journal_comes_in_pages(serve: Serve) -> None:
    door = serve(night())
    for _ in range(5):
        door.get()
    page = door.control("GET", "/journal", params={"after": "1", "limit": "2"})
    assert ([entry["sequence"] for entry in page["entries"]], page["total"]) == ([2, 3], 5)


def test_the_journal_tells_request_answer_fault_and_effect(serve: Serve) -> None:
    door = serve(night())
    door.emulator.fail_next("Pipelines_CreateRun", status=504, processed=True)
    answer = door.post("/pipelines/load/createRun", {"day": "1"})
    (entry,) = door.control("GET", "/journal")["entries"]
    assert (entry["operation"], entry["body"], entry["status"]) == ("Pipelines_CreateRun", {"day": "1"}, 504)
    assert (entry["answer"], entry["fault"]) == (answer.json(), "status 504, processed")
    assert entry["effect"]["pipelineRunId"] == entry["subject"]
    assert "answer" not in door.control("GET", "/journal", params={"answers": "false"})["entries"][0]


# Faults


def test_faults_are_added_listed_and_taken_back(serve: Serve) -> None:
    door = serve(night())
    fault = {"operation": "Factories_Get", "status": 503, "retry_after": 0, "count": 2}
    assert door.control("POST", "/faults", [fault, {"operation": "*", "rate": 0.5, "hang": True}]) == {
        "added": [1, 2]
    }
    assert door.get().headers["retry-after"] == "0"
    first, second = door.control("GET", "/faults")["faults"]
    assert first == {"number": 1, **fault, "left": 1, "until": None}
    assert (second["rate"], second["seed"], second["left"]) == (0.5, 0, None)
    door.control("DELETE", "/faults/1")
    assert [each["number"] for each in door.control("GET", "/faults")["faults"]] == [2]
    door.control("DELETE", "/faults")
    assert door.control("GET", "/faults")["faults"] == []


def test_of_a_list_with_a_bad_fault_none_is_added(serve: Serve) -> None:
    door = serve(night())
    refusal(door, "POST", "/faults", json=[{"operation": "*"}, {"operation": "nothing"}])
    assert door.emulator.faults == []


# The clock


def test_the_clock_is_moved_by_seconds_and_to_an_instant(serve: Serve) -> None:
    door = serve(night())
    run_id = door.post("/pipelines/load/createRun", {}).json()["runId"]
    assert door.control("POST", "/clock", {"advance": 30.5})["now"] == "2026-03-01T06:40:30.500000+00:00"
    assert door.status(run_id) == "InProgress"
    door.control("POST", "/clock", {"to": "2026-03-01T08:00:00Z"})
    assert door.emulator.now == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert door.status(run_id) == "Succeeded"


def test_the_clock_can_be_made_to_run_and_to_stand_still(serve: Serve) -> None:
    door = serve(night())
    door.control("POST", "/clock", {"set": 1_000_000})
    while door.emulator.now < datetime(2026, 3, 2, tzinfo=UTC):
        pass
    assert door.control("POST", "/clock", {"set": "manual"})["set"] == "manual"
    assert door.emulator.now == door.emulator.now
    assert door.control("POST", "/clock", {"set": "real"}) | {"now": ""} == {
        "now": "",
        "set": "real",
        "scale": 1.0,
    }


def test_looking_at_a_clock_that_runs_shows_the_present(serve: Serve) -> None:
    door = serve(night(), clock=1_000_000.0)
    first, second = (door.control("GET", "/clock")["now"] for _ in range(2))
    assert first < second


def test_a_clock_that_runs_by_itself_can_be_moved_as_well(serve: Serve) -> None:
    emulator = serve(night(), clock="real").emulator
    before = emulator.now
    emulator.advance(3600)
    assert emulator.now >= before + timedelta(hours=1)


def test_python_moves_the_clock_to_an_instant_too(serve: Serve) -> None:
    emulator = serve(night()).emulator
    emulator.advance_to(datetime(2026, 3, 1, 7, tzinfo=UTC))
    assert emulator.now == datetime(2026, 3, 1, 7, tzinfo=UTC)
    with pytest.raises(ValueError, match="forward"):
        emulator.advance_to(datetime(2026, 3, 1, 6, tzinfo=UTC))


# Snapshots, reset, scenarios


def spoil(door: Door) -> None:
    """Change everything there is."""
    door.rerun(door.only("hourly")[0])
    door.post("/pipelines/load/createRun", {})
    door.emulator.fail_next("*", hang=True)
    door.emulator.advance(1000)


def test_a_snapshot_brings_back_runs_clock_journal_and_faults(serve: Serve) -> None:
    door = serve(night())
    spoil(door)
    door.control("PUT", "/snapshots/dusk")
    before = seen(door)
    door.emulator.clear_faults()
    spoil(door)
    assert door.control("POST", "/snapshots/dusk/restore")["now"] == before[0].isoformat()
    assert seen(door) == before


def test_what_happens_after_a_snapshot_happens_again_after_its_return(serve: Serve) -> None:
    door = serve(night())
    door.post("/pipelines/load/createRun", {})
    door.emulator.snapshot("dusk")
    spoil(door)
    before = seen(door)
    door.emulator.restore("dusk")
    spoil(door)
    assert seen(door) == before


def test_a_snapshot_keeps_what_callers_have_left(serve: Serve) -> None:
    door = serve(night(throttling={"reads": {"bucket": 3, "per_second": 0.001}}))
    door.get()
    door.emulator.snapshot("dusk")
    left = []
    for _ in range(2):
        left.append(door.get().headers["x-ms-ratelimit-remaining-subscription-reads"])
        door.emulator.restore("dusk")
    assert left == ["1", "1"]


def test_snapshots_are_listed_replaced_and_dropped(serve: Serve) -> None:
    door = serve(night())
    door.control("PUT", "/snapshots/dusk")
    door.emulator.advance(60)
    door.control("PUT", "/snapshots/dawn")
    door.control("PUT", "/snapshots/dusk")
    listed = door.control("GET", "/snapshots")["snapshots"]
    assert [(each["name"], each["now"][11:16]) for each in listed] == [("dawn", "06:41"), ("dusk", "06:41")]
    door.control("DELETE", "/snapshots/dawn")
    with pytest.raises(KeyError):
        door.emulator.restore("dawn")


def test_a_reset_brings_back_the_scenarios_start(serve: Serve) -> None:
    door = serve(night())
    before = seen(door)
    spoil(door)
    door.control("POST", "/reset")
    assert seen(door) == before
    assert door.control("GET", "/state")["beginnings"] == 1


def test_another_scenario_can_be_loaded(serve: Serve) -> None:
    door = serve(night())
    text = "now: 2026-05-01T00:00:00Z\nfactory: {name: day-adf}\npipelines: {sum: {}}\n"
    door.control("PUT", "/scenario", content=text)
    extra = door.emulator.connection()["extra"]
    assert (extra["factory_name"], door.emulator.now) == ("day-adf", datetime(2026, 5, 1, tzinfo=UTC))
    assert door.get("/pipelines/sum").status_code == 404
    door.base = door.base.replace("night-adf", "day-adf")
    assert door.get("/pipelines/sum").status_code == 200


def test_a_bad_scenario_is_refused_in_the_same_words_and_changes_nothing(serve: Serve) -> None:
    door = serve(night())
    text = "pipelines: {load: {}}\ncolour: red\n"
    before = seen(door)
    status, message = refusal(door, "PUT", "/scenario", content=text)
    with pytest.raises(ScenarioError) as raised:
        door.emulator.load(text)
    assert (status, message) == (400, str(raised.value))
    assert "line 2: colour is unknown" in message
    assert seen(door) == before
