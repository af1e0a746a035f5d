"""Parameters -> a selection: every slip is refused before anything is asked of the factory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.model import TriggerRunStatus, Window
from airflow_provider_adfruns.batch.selection import rerunnable_statuses, select_windows
from tests.batch.histories import NOW, hour, run

START, END = "2026-02-28T00:00:00Z", "2026-03-01T00:00:00+00:00"


def refusal(*parameters: Any, **named: Any) -> str:
    with pytest.raises(InvalidInput) as refused:
        select_windows(*parameters, **named)
    return str(refused.value)


@pytest.mark.parametrize(
    ("parameters", "parts"),
    [
        (
            {"run_ids": ["a"], "window_start": START, "window_end": END},
            ["run_ids", "both given", "Expected one"],
        ),
        ({"run_ids": ["a"], "window_end": END}, ["run_ids", "both given", "Expected one"]),
        ({}, ["neither run_ids nor window_start and window_end", "Expected one"]),
        ({"window_start": START}, ["window_end is not given", "Expected both"]),
        ({"window_end": END}, ["window_start is not given", "Expected both"]),
        ({"window_start": END, "window_end": START}, ["window_end", "not after window_start", "swap"]),
        ({"window_start": START, "window_end": START}, ["window_end", "not after window_start"]),
        ({"window_start": "2026-02-28T00:00:00", "window_end": END}, ["window_start", "no time zone", "'Z'"]),
        (
            {"window_start": START, "window_end": datetime(2026, 3, 1)},  # noqa: DTZ001 - that is the slip
            ["window_end", "no time zone", "tzinfo"],
        ),
        ({"window_start": "2026-02-28", "window_end": END}, ["window_start", "no time zone"]),
        ({"window_start": "last night", "window_end": END}, ["window_start: 'last night'", "ISO 8601"]),
        ({"window_start": "", "window_end": END}, ["window_start: ''", "ISO 8601"]),
        ({"window_start": START, "window_end": 20260301}, ["window_end: 20260301", "ISO 8601"]),
        ({"run_ids": []}, ["run_ids", "list is empty", "ShortCircuitOperator"]),
        ({"run_ids": ""}, ["run_ids", "list is empty"]),
        ({"run_ids": "[]"}, ["run_ids", "list is empty"]),
        ({"run_ids": ["a", "b/c"]}, ["run_ids: 'b/c'", "not a run id"]),
        ({"run_ids": [None]}, ["run_ids: None", "not a run id"]),
        ({"run_ids": "None"}, ["run_ids", "template", "not there"]),
        ({"run_ids": 7}, ["run_ids: 7", "neither a run id nor a list of run ids"]),
        ({"run_ids": "['a', "}, ["run_ids", "is not a list", "Expected a list"]),
        ({"run_ids": "[a, b]"}, ["run_ids", "is not a list"]),
        ({"run_ids": {"run_ids": ["a"]}}, ["run_ids", "mapping", "its entry 'run_ids'"]),
        ({"run_ids": "{'run_ids': ['a']}"}, ["run_ids", "mapping", "its entry 'run_ids'"]),
    ],
    ids=str,
)
def test_a_slip_in_the_parameters_is_named_with_what_was_expected(parameters: Any, parts: list[str]) -> None:
    message = refusal("hourly", **parameters)
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["", "a/b", None, 3, "a.b"])
def test_a_trigger_name_that_cannot_be_is_refused(name: object) -> None:
    assert "trigger_name" in refusal(name, run_ids=["a"])


@pytest.mark.parametrize(
    "given",
    ["a", ["a"], ("a", "a"), " a ", "a,", "['a']", '["a"]', "('a',)", " ['a', 'a'] "],
)
def test_run_ids_are_read_from_one_id_a_list_or_what_a_template_made_of_it(given: object) -> None:
    assert select_windows("hourly", run_ids=given).run_ids == ("a",)


@pytest.mark.parametrize(
    "given", ["a,b", "a, b", "['a', 'b']", '["a", "b"]', ["a", "b", "a"], iter(["a", "b"])]
)
def test_several_run_ids_keep_their_order(given: object) -> None:
    assert select_windows("hourly", run_ids=given).run_ids == ("a", "b")


@pytest.mark.parametrize(
    "start",
    [
        "2026-02-28T00:00:00Z",
        " 2026-02-28T00:00:00Z ",
        "2026-02-28T01:00:00+01:00",
        "2026-02-27 19:00:00-05:00",
        datetime(2026, 2, 28, tzinfo=UTC),
        datetime(2026, 2, 28, 1, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_a_range_is_read_from_texts_and_datetimes_in_any_zone(start: object) -> None:
    selection = select_windows("hourly", window_start=start, window_end=END)
    assert selection.window_range == Window(
        datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    )


def of_range(start: datetime, end: datetime) -> Any:
    return select_windows("hourly", window_start=start, window_end=end)


def test_a_range_means_whole_windows_and_says_which_it_cuts() -> None:
    selection = of_range(hour(1).start, hour(3).end + timedelta(minutes=1))
    runs = [run(n, "Failed") for n in range(6)]
    assert [each.window for each in runs if selection.includes(each)] == [hour(1), hour(2), hour(3)]
    assert [each.window for each in runs if selection.cuts(each)] == [hour(4)]


def test_run_ids_mean_just_those_runs_and_cut_none() -> None:
    selection = select_windows("hourly", run_ids=["r0"])
    runs = [run(n, "Failed", run_id=f"r{n}") for n in range(2)]
    assert [selection.includes(each) for each in runs] == [True, False]
    assert [selection.cuts(each) for each in runs] == [False, False]


def test_a_run_without_a_window_is_in_no_range() -> None:
    selection = of_range(hour(0).start, hour(9).end)
    scheduled = run(1, "Failed", windowless=True)
    assert not selection.includes(scheduled)
    assert not selection.cuts(scheduled)


def test_a_range_that_begins_beyond_the_history_is_refused_with_what_is_possible() -> None:
    selection = of_range(NOW - timedelta(days=45, seconds=1), NOW)
    with pytest.raises(InvalidInput) as refused:
        selection.check_history(NOW)
    for part in ("window_start", "45 days", (NOW - timedelta(days=45)).isoformat(), "run_ids"):
        assert part in str(refused.value)


def test_a_range_that_begins_just_within_the_history_is_accepted() -> None:
    selection = of_range(NOW - timedelta(days=45), NOW)
    selection.check_history(NOW)
    assert selection.history_start(NOW) == NOW - timedelta(days=45)


def test_history_is_read_from_the_start_of_the_range_or_for_run_ids_from_its_beginning() -> None:
    assert of_range(hour(0).start, hour(3).end).history_start(NOW) == hour(0).start
    assert select_windows("hourly", run_ids=["a"]).history_start(NOW) == NOW - timedelta(days=45)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("Failed", {TriggerRunStatus.FAILED}),
        (["failed", "Cancelled"], {TriggerRunStatus.FAILED, TriggerRunStatus.CANCELLED}),
        ("['Succeeded', 'Failed']", {TriggerRunStatus.SUCCEEDED, TriggerRunStatus.FAILED}),
        ([TriggerRunStatus.FAILED], {TriggerRunStatus.FAILED}),
    ],
)
def test_final_statuses_can_be_chosen(given: object, expected: object) -> None:
    assert rerunnable_statuses(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "Running",
        ["Failed", "WaitingOnDependency"],
        "Waiting",
        "Nonsense",
        ["Canceled"],
        [None],
        [3],
        3,
        [],
        "",
        "[]",
    ],
    ids=str,
)
def test_a_status_that_cannot_be_rerun_is_refused(given: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        rerunnable_statuses(given)
    message = str(refused.value)
    assert message.startswith("statuses: ")
    assert "Expected" in message or "neither a status nor a list of statuses" in message


@pytest.mark.parametrize("given", ["Running", ["Failed", "Nonsense"], []], ids=str)
def test_the_refusal_of_a_status_names_those_that_can_be_rerun(given: object) -> None:
    with pytest.raises(InvalidInput, match="Cancelled, Failed, Succeeded"):
        rerunnable_statuses(given)
