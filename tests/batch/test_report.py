"""What became of a batch: JSON there and back for every report, tables word by word for small ones."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.model import Window
from airflow_provider_adfruns.batch.cancel_report import CancelOutcome, CancelReport
from airflow_provider_adfruns.batch.report import (
    RerunBy,
    RerunReport,
    Step,
    WindowOutcome,
    skipped_json,
    some,
)
from tests.batch.histories import NOW, hour

TEXTS = st.text(max_size=8)
TIMES = st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
WINDOWS = st.tuples(TIMES, TIMES).map(lambda ends: Window(min(ends), max(ends)))
STATUSES = st.sampled_from(["Failed", "Succeeded", "Cancelled", "Running", "SomethingNew"])
SKIPPED = st.builds(skipped_json, st.none() | WINDOWS, st.none() | TEXTS, st.none() | STATUSES, TEXTS)
OUTCOMES = st.builds(
    WindowOutcome,
    WINDOWS,
    TEXTS,
    STATUSES,
    TIMES,
    st.sampled_from(Step),
    st.none() | TEXTS,
    st.none() | STATUSES,
    TEXTS,
    TEXTS,
    st.none() | st.sampled_from(RerunBy),
    st.none() | TIMES,
)
RERUNS = st.builds(
    RerunReport,
    TEXTS,
    TIMES,
    st.booleans(),
    st.lists(OUTCOMES, max_size=4).map(tuple),
    st.lists(SKIPPED, max_size=3).map(tuple),
)
CANCEL_OUTCOMES = st.builds(
    CancelOutcome,
    st.sampled_from(["pipeline", "trigger"]),
    TEXTS,
    TEXTS,
    st.none() | WINDOWS,
    st.none() | STATUSES,
    st.booleans(),
    st.none() | STATUSES,
    st.lists(TEXTS, max_size=2).map(tuple),
    TEXTS,
    st.none() | TEXTS,
)
CANCELS = st.builds(
    CancelReport,
    st.booleans(),
    st.lists(CANCEL_OUTCOMES, max_size=4).map(tuple),
    st.lists(SKIPPED, max_size=3).map(tuple),
    TEXTS,
)


@given(RERUNS)
def test_a_rerun_report_comes_back_from_its_json(report: RerunReport) -> None:
    assert RerunReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@given(RERUNS)
def test_a_rerun_report_comes_back_from_its_packed_form(report: RerunReport) -> None:
    assert RerunReport.unpacked(json.loads(json.dumps(report.packed()))) == report


def test_the_packed_form_of_5000_windows_is_small() -> None:
    chance = random.Random(5)  # noqa: S311 - no secret
    report = replace(REPORT, windows=tuple(ended(number, chance) for number in range(5000)))
    assert len(report.packed()) < 60 * 5000


def ended(number: int, chance: random.Random) -> WindowOutcome:
    """Return a window with ids and times as the service gives them."""
    old, new = (
        f"0858429{chance.randrange(10**22):022d}CU{chance.randrange(20, 140)}" for _ in ("run", "rerun")
    )
    ran_at = hour(number).end + timedelta(seconds=chance.random())
    return WindowOutcome(
        hour(number), old, "Failed", ran_at, Step.SUBMITTED, new, "Succeeded", "", "", RerunBy.THIS_BATCH
    )


@given(CANCELS)
def test_a_cancel_report_comes_back_from_its_json(report: CancelReport) -> None:
    assert CancelReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@given(RERUNS)
def test_each_window_that_was_begun_is_awaited_whole_or_a_failure(report: RerunReport) -> None:
    for each in report.windows:
        verdicts = [each.is_awaited, each.succeeded, each in report.failures]
        assert verdicts.count(True) == (0 if each.step is Step.PLANNED else 1)


def window(number: int, **fields: Any) -> WindowOutcome:
    return WindowOutcome(hour(number), f"old-{number}", "Failed", hour(number).end, **fields)


REPORT = RerunReport(
    "hourly",
    NOW,
    False,
    (
        window(0, step=Step.SUBMITTED, new_run_id="new-0", status="Succeeded", rerun_by=RerunBy.THIS_BATCH),
        window(1, step=Step.SUBMITTED, new_run_id="new-1", status="Failed", rerun_by=RerunBy.SOMEBODY_ELSE),
        window(2, step=Step.SUBMITTED),
        window(3, step=Step.REFUSED, problem="the service said no"),
        window(4, step=Step.UNCLEAR, problem="nobody knows"),
    ),
    (
        skipped_json(hour(5), "old-5", "Succeeded", "its latest run is Succeeded"),
        skipped_json(hour(6), "old-6", "Succeeded", "its latest run is Succeeded"),
        skipped_json(None, "nope", None, "unknown"),
    ),
)


def test_a_rerun_table_has_a_line_a_window_then_the_problems_then_what_was_left_alone() -> None:
    assert REPORT.table() == (
        "window (UTC)                                was     rerun      "
        "by             now        trigger run\n"
        "2026-03-01 00:00:00 to 2026-03-01 01:00:00  Failed  submitted  this batch     Succeeded  new-0\n"
        "2026-03-01 01:00:00 to 2026-03-01 02:00:00  Failed  submitted  somebody else  Failed     new-1\n"
        "2026-03-01 02:00:00 to 2026-03-01 03:00:00  Failed  submitted  -              -          old-2\n"
        "2026-03-01 03:00:00 to 2026-03-01 04:00:00  Failed  refused    -              -          old-3\n"
        "2026-03-01 04:00:00 to 2026-03-01 05:00:00  Failed  unclear    -              -          old-4\n"
        "  2026-03-01 03:00:00 to 2026-03-01 04:00:00: the service said no\n"
        "  2026-03-01 04:00:00 to 2026-03-01 05:00:00: nobody knows\n"
        "left alone, 2: its latest run is Succeeded: window 2026-03-01 05:00, window 2026-03-01 06:00\n"
        "left alone, 1: unknown: run nope"
    )


def test_a_rerun_counts_its_windows_and_names_the_new_runs() -> None:
    assert REPORT.counts() == {"Succeeded": 1, "Failed": 1, "not visible yet": 1, "refused": 1, "unclear": 1}
    assert REPORT.run_ids == ["new-0", "new-1"]
    assert REPORT.unknown == ["run nope is unknown"]
    assert [each.run_id for each in REPORT.failures] == ["old-1", "old-3", "old-4"]


def test_a_dry_run_names_the_runs_that_would_be_rerun() -> None:
    dry = RerunReport("hourly", NOW, True, (window(0), window(1)), ())
    assert dry.run_ids == ["old-0", "old-1"]
    assert dry.counts() == {"planned": 2}
    assert dry.failures == []


CANCELLED = CancelReport(
    False,
    (
        CancelOutcome("pipeline", "p1", "load", None, "InProgress", True, "Cancelled", ("c1",)),
        CancelOutcome("pipeline", "p2", problem="no such run"),
        CancelOutcome("trigger", "t1", "hourly", hour(0), "Waiting", True, "Waiting"),
    ),
    (skipped_json(hour(1), "t2", "Succeeded", "it has ended already, Succeeded"),),
)


def test_a_cancel_table_has_a_line_a_run_then_the_problems_then_what_was_left_alone() -> None:
    assert CANCELLED.table() == (
        "kind      run  name                                               was         cancel     now\n"
        "pipeline  p1   load                                               InProgress  requested  Cancelled\n"
        "pipeline  p2                                                      unknown     not sent   -\n"
        "trigger   t1   hourly 2026-03-01 00:00:00 to 2026-03-01 01:00:00  Waiting     requested  Waiting\n"
        "  p2: no such run\n"
        "left alone, 1: it has ended already, Succeeded: window 2026-03-01 01:00\n"
        "Left running and billed, 1: c1"
    )


def test_a_cancel_table_shows_the_tree_and_says_what_is_still_billed() -> None:
    report = CancelReport(
        dry_run=False,
        runs=(
            CancelOutcome(
                "pipeline", "p1", "day", status_before="InProgress", requested=True, status="Canceling"
            ),
            CancelOutcome(
                "pipeline", "p2", "load", status_before="Queued", requested=True, status="Cancelled"
            ),
            CancelOutcome("pipeline", "c1", "region", status="Canceling", parent_run_id="p1"),
            CancelOutcome("pipeline", "c2", "shop", status="InProgress", parent_run_id="c1"),
        ),
        problem="whether more runs match could not be seen",
    )
    assert [line.split()[1] for line in report.table().splitlines()[1:5]] == ["p1", "c1", "c2", "p2"]
    assert report.table().splitlines()[5:] == [
        "whether more runs match could not be seen",
        "Not final yet, 3 pipeline runs: their activities go on, and are billed.",
    ]


def test_a_cancel_knows_what_is_awaited_and_what_could_not_be_had() -> None:
    assert [each.run_id for each in CANCELLED.awaited] == ["p1", "t1"]
    assert (CANCELLED.ids("pipeline"), CANCELLED.ids("trigger")) == (["p1"], ["t1"])
    assert [each.run_id for each in CANCELLED.problems] == ["p2"]
    assert CANCELLED.to_json()["counts"] == {"Cancelled": 1, "unknown": 1, "Waiting": 1}


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, "n0"),
        (20, "; ".join(f"n{n}" for n in range(20))),
        (23, "; ".join(f"n{n}" for n in range(20)) + "; and 3 more"),
    ],
)
def test_a_message_names_the_first_twenty_and_counts_the_others(count: int, expected: str) -> None:
    assert some([f"n{n}" for n in range(count)]) == expected


def test_many_windows_left_alone_for_one_reason_are_shown_by_the_first_and_the_last() -> None:
    skipped = tuple(skipped_json(hour(n), f"r{n}", "Running", "it is running") for n in range(6))
    assert RerunReport("hourly", NOW, False, (), skipped).table().splitlines()[1:] == [
        "left alone, 6: it is running: window 2026-03-01 00:00 ... window 2026-03-01 05:00"
    ]
