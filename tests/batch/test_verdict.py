"""When a cancel counts as complete, stuck or violated, and what is new about it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.model import ActivityRun, ActivityRunStatus
from airflow_provider_adfruns.batch.cancel_rules import (
    CancelRules,
    OnStuck,
    check_accept_outcomes,
    check_on_stuck,
)
from airflow_provider_adfruns.batch.verdict import (
    Finding,
    Memory,
    due,
    is_stuck,
    late_activities,
    may_be_violated,
    not_accepted,
)
from airflow_provider_adfruns.batch.watch import WatchedRun

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
RULES = CancelRules(stuck_after=HOUR, violation_tolerance=MINUTE)
CANCELING = WatchedRun("pipeline", "p", "load", "Canceling", is_final=False, canceling_since=NOW)
CANCELLED = replace(CANCELING, status="Cancelled", is_final=True, ended_at=NOW + 10 * MINUTE)


def activity(start: datetime | None, number: int = 1) -> ActivityRun:
    return ActivityRun(f"a{number}", "Copy", "Copy", "p", ActivityRunStatus.IN_PROGRESS, start, None, None)


@pytest.mark.parametrize(
    ("run", "rules", "after", "expected"),
    [
        (CANCELING, RULES, HOUR, False),
        (CANCELING, RULES, HOUR + MINUTE, True),
        (CANCELING, replace(RULES, stuck_after=None), 24 * HOUR, False),
        (CANCELLED, RULES, 24 * HOUR, False),
        (replace(CANCELING, status="InProgress"), RULES, 24 * HOUR, False),
    ],
)
def test_a_run_is_stuck_when_it_is_canceling_for_longer_than_allowed(
    run: WatchedRun, rules: CancelRules, after: timedelta, expected: bool
) -> None:
    assert is_stuck(run, rules, NOW + after) is expected


@pytest.mark.parametrize(
    ("run", "rules", "after", "late"),
    [
        (CANCELING, RULES, MINUTE, False),
        (CANCELING, RULES, MINUTE + timedelta(seconds=1), True),
        (CANCELLED, RULES, 2 * MINUTE, True),
        (CANCELING, replace(RULES, violation_tolerance=None), HOUR, False),
        (CANCELING, replace(RULES, requested_at=NOW + 10 * MINUTE), 2 * MINUTE, False),
        (CANCELING, replace(RULES, requested_at=NOW - 10 * MINUTE), timedelta(), True),
        (replace(CANCELLED, canceling_since=None), RULES, HOUR, False),
        (replace(CANCELLED, canceling_since=None), replace(RULES, requested_at=NOW), HOUR, True),
        (replace(CANCELLED, status="Succeeded", canceling_since=None), RULES, HOUR, False),
    ],
)
def test_an_activity_is_late_when_it_starts_later_than_the_cancel_and_the_tolerance(
    run: WatchedRun, rules: CancelRules, after: timedelta, late: bool
) -> None:
    assert [each.activity_run_id for each in late_activities(run, [activity(NOW + after)], rules)] == (
        ["a1"] if late else []
    )


def test_an_activity_that_has_not_started_is_not_late() -> None:
    assert late_activities(CANCELING, [activity(None)], RULES) == []


@given(st.integers(0, 600), st.integers(0, 600))
def test_a_run_that_has_a_late_activity_is_one_that_may_be_violated(started: int, ended: int) -> None:
    run = replace(CANCELLED, ended_at=NOW + timedelta(seconds=max(started, ended)))
    late = late_activities(run, [activity(NOW + timedelta(seconds=started))], RULES)
    assert not late or may_be_violated(run, RULES, NOW + HOUR)


def test_what_somebody_was_told_of_is_not_due_again() -> None:
    memory = Memory(runs={"p": CANCELING})
    later = NOW + 2 * HOUR
    found = due(memory, RULES, later)
    assert found == [Finding(CANCELING, is_stuck=True, late=())]
    memory.note(found, later)
    assert due(memory, RULES, later + 24 * HOUR) == []


def test_an_activity_that_starts_late_is_due_although_its_run_was_found_stuck() -> None:
    memory = Memory(runs={"p": CANCELING})
    memory.note(due(memory, RULES, NOW + 2 * HOUR), NOW + 2 * HOUR)
    memory.late["p"] = ("a1",)
    assert [each.late for each in due(memory, RULES, NOW + 2 * HOUR)] == [("a1",)]


def test_to_cancel_again_is_due_after_each_further_hour_while_the_run_is_canceling() -> None:
    rules = replace(RULES, on_stuck=OnStuck.CANCEL_AGAIN)
    memory = Memory(runs={"p": CANCELING})
    memory.note(due(memory, rules, NOW + 2 * HOUR), NOW + 2 * HOUR)
    assert due(memory, rules, NOW + 3 * HOUR) == []
    assert len(due(memory, rules, NOW + 3 * HOUR + MINUTE)) == 1
    memory.runs["p"] = CANCELLED
    assert due(memory, rules, NOW + 9 * HOUR) == []


def test_only_final_runs_are_judged_by_their_outcome() -> None:
    failed = replace(CANCELLED, run_id="f", status="Failed")
    assert not_accepted([CANCELING, CANCELLED, failed], ["Cancelled"]) == [failed]


def test_memory_and_rules_survive_the_way_through_json() -> None:
    memory = Memory(
        {"p": CANCELING, "q": replace(CANCELLED, run_id="q")}, {"p": NOW}, {"p": ("a1",)}, {"p": ("stuck",)}
    )
    memory.acted_at["p"], memory.looked_at, memory.looks = NOW, NOW, 3
    assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory
    rules = replace(RULES, on_stuck=OnStuck.FAIL, requested_at=NOW)
    assert CancelRules.from_json(json.loads(json.dumps(rules.to_json()))) == rules


@pytest.mark.parametrize("value", [[], ["Canceled"], ["InProgress"], "done", {"Failed": 1}, None])
def test_outcomes_that_are_none_are_refused_naming_those_that_are(value: Any) -> None:
    with pytest.raises(InvalidInput, match="accept_outcomes"):
        check_accept_outcomes(value)


@pytest.mark.parametrize("value", ["again", "", None, 1])
def test_a_word_that_on_stuck_does_not_know_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"on_stuck: .* Expected one of wait, cancel_again, fail"):
        check_on_stuck(value)
