"""The replayer itself: it passes what is right, and finds each kind of difference."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.recording import read_recording
from tests.contract.replay import main, replay

if TYPE_CHECKING:
    from collections.abc import Callable

BY_HAND = Path(__file__).with_name("written_by_hand.json")
RECORDED: dict[str, Any] = json.loads(BY_HAND.read_text(encoding="utf-8"))
GET_PIPELINE, PUT_TRIGGER, QUERY, RERUN, QUERY_AGAIN, REFUSED, GET_RUN, MISSING = 1, 2, 5, 6, 7, 8, 10, 12


def replayed(recorded: dict[str, Any], path: Path) -> list[str]:
    """Return what differs as ``interaction: path``."""
    path.write_text(json.dumps(recorded), encoding="utf-8")
    report, _ = replay(read_recording(path))
    return [f"{each.interaction.split()[0]}: {each.path}" for each in report.differences]


def body_changed(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    """Return a change of an interaction's JSON that keeps its layout."""

    def apply(entry: dict[str, Any]) -> None:
        body = json.loads(entry["response_body_text"])
        body = change(body) or body
        entry["response_body_text"] = json.dumps(body, indent=2)

    return apply


def without(key: str) -> Callable[[dict[str, Any]], None]:
    return body_changed(lambda body: body.pop(key) and None)


def with_value(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return body_changed(lambda body: body.update({key: value}))


def row_with(key: str, value: Any, place: int = 0) -> Callable[[dict[str, Any]], None]:
    return body_changed(lambda body: body["value"][place].update({key: value}))


def header(name: str, value: str | None) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry["response_headers"].update({name: value})


def test_a_recording_that_is_answered_alike_has_no_differences(tmp_path: Path) -> None:
    assert replayed(RECORDED, tmp_path / "same.json") == []


def test_nothing_is_left_out_without_being_counted() -> None:
    report, emulator = replay(read_recording(BY_HAND))
    assert (report.compared, sum(report.skipped.values())) == (15, 1)
    assert len(emulator.journal) == 15


@pytest.mark.parametrize(
    ("number", "change", "found"),
    [
        pytest.param(MISSING, lambda entry: entry.update(status=400), "status", id="status"),
        pytest.param(GET_RUN, with_value("costCenter", None), "body.costCenter", id="null but absent here"),
        pytest.param(GET_RUN, without("runEnd"), "body.runEnd", id="absent but null here"),
        pytest.param(GET_RUN, with_value("runEnd", ""), "body.runEnd", id="empty text but null here"),
        pytest.param(GET_RUN, with_value("isLatest", "true"), "body.isLatest", id="another type"),
        pytest.param(GET_RUN, with_value("isLatest", False), "body.isLatest", id="another value"),
        pytest.param(GET_RUN, with_value("pipelineName", "weigh"), "body.pipelineName", id="another name"),
        pytest.param(
            GET_RUN,
            body_changed(lambda body: dict(reversed(body.items()))),
            "body (order of keys)",
            id="order of keys",
        ),
        pytest.param(
            GET_RUN, with_value("runStart", "2026-02-01T08:02:00Z"), "body.runStart", id="form of a timestamp"
        ),
        pytest.param(
            GET_RUN,
            with_value("runStart", "2026-02-01T08:02:00.1234560Z"),
            "body.runStart",
            id="trailing zero",
        ),
        pytest.param(
            GET_RUN,
            body_changed(lambda body: body.update(id=body["id"].lower())),
            "body.id",
            id="case of the ARM id",
        ),
        pytest.param(
            GET_RUN,
            body_changed(lambda body: body["invokedBy"].update(id="somebody")),
            "body.invokedBy.id",
            id="id",
        ),
        pytest.param(GET_PIPELINE, with_value("etag", "W/1"), "body.etag", id="form of an etag"),
        pytest.param(
            PUT_TRIGGER,
            body_changed(lambda body: body["properties"]["typeProperties"].update(delay=None)),
            "body.properties.typeProperties.delay",
            id="deep value",
        ),
        pytest.param(
            QUERY, row_with("dependencyStatus", None), "dependencyStatus", id="null but a table here"
        ),
        pytest.param(QUERY, row_with("triggerRunId", "17"), "triggerRunId", id="form of a trigger run id"),
        pytest.param(QUERY, row_with("status", "Failed"), "status", id="another status"),
        pytest.param(
            QUERY,
            body_changed(lambda body: body.update(value=body["value"][:1])),
            "body.value[",
            id="a row less",
        ),
        pytest.param(
            QUERY,
            body_changed(
                lambda body: body["value"][0]["properties"].update(TriggerTime="2/1/2026 8:00:05 AM")
            ),
            "TriggerTime",
            id="form of a window's time",
        ),
        pytest.param(
            QUERY_AGAIN,
            body_changed(lambda body: body["value"][2].update(groupId=body["value"][1]["groupId"])),
            "groupId",
            id="a run of another group",
        ),
        pytest.param(
            REFUSED,
            body_changed(lambda body: body["error"].update(message="No.")),
            "body.error.message",
            id="words of an error",
        ),
        pytest.param(
            REFUSED,
            body_changed(lambda body: body["error"].pop("details")),
            "body.error.details",
            id="null details",
        ),
        pytest.param(
            QUERY,
            lambda entry: entry.update(
                response_body_text=json.dumps(json.loads(entry["response_body_text"]), separators=(",", ":"))
            ),
            "layout",
            id="layout",
        ),
        pytest.param(
            RERUN, lambda entry: entry.update(response_body_text=""), "body", id='nothing but "" here'
        ),
        pytest.param(RERUN, lambda entry: entry.update(response_body_text="{}"), "body", id='{} but "" here'),
        pytest.param(
            MISSING, lambda entry: entry.update(response_body_text='""'), "body", id='"" but nothing here'
        ),
        pytest.param(RERUN, header("content-length", "0"), "header content-length", id="length"),
        pytest.param(QUERY, header("content-type", "text/plain"), "header content-type", id="content type"),
        pytest.param(
            QUERY,
            header("x-ms-ratelimit-remaining-subscription-writes", "7"),
            "header x-ms-ratelimit",
            id="limit",
        ),
        pytest.param(QUERY, header("x-ms-request-id", "seven"), "header x-ms-request-id", id="request id"),
    ],
)
def test_a_difference_of_each_kind_is_found(
    tmp_path: Path, number: int, change: Callable[[dict[str, Any]], Any], found: str
) -> None:
    changed = copy.deepcopy(RECORDED)
    change(changed["interactions"][number])
    differences = replayed(changed, tmp_path / "changed.json")
    assert any(each.startswith(f"#{number}: ") and found in each for each in differences), differences


def test_a_recording_of_runs_that_were_there_before_is_seeded_with_them(tmp_path: Path) -> None:
    entries = copy.deepcopy(RECORDED["interactions"])[QUERY:REFUSED]
    assert replayed({"interactions": entries}, tmp_path / "later.json") == []


def test_an_operation_that_is_not_served_is_a_difference(tmp_path: Path) -> None:
    changed = copy.deepcopy(RECORDED)
    entry = changed["interactions"][MISSING]
    entry.update(uri=entry["uri"].replace("/pipelineruns/", "/sandboxes/"))
    assert f"#{MISSING}: status" in replayed(changed, tmp_path / "changed.json")


def test_the_command_ends_with_1_where_something_differs_and_says_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = copy.deepcopy(RECORDED)
    changed["interactions"][MISSING].update(status=400)
    other = tmp_path / "changed.json"
    other.write_text(json.dumps(changed), encoding="utf-8")
    assert (main([str(BY_HAND)]), main([str(BY_HAND), str(other)])) == (0, 1)
    said = capsys.readouterr().out
    for part in (f"#{MISSING} GET pipelineruns/", "status", "recorded 400", "emulated 404"):
        assert part in said


@pytest.mark.parametrize("text", ["", "[]", '{"interactions": []}', '{"interactions": [{"method": "GET"}]}'])
def test_a_file_that_is_no_recording_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text, encoding="utf-8")
    assert main([str(path)]) == 2
    assert str(path) in capsys.readouterr().err
