"""A recovery that a next try takes up: what of it was stuck, and what has become of it since."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from airflow_provider_adfruns.batch.ledger import Ledger, Phase
from airflow_provider_adfruns.batch.planning import resumed_report
from airflow_provider_adfruns.batch.report import RerunBy, RerunReport, Step
from airflow_provider_adfruns.batch.selection import DEFAULT_RERUN_STATUSES, select_windows
from airflow_provider_adfruns.batch.stuck_windows import awaited_cancels, still_to_do
from tests.batch.histories import NOW, hour, run

if TYPE_CHECKING:
    from airflow_provider_adfruns.adf.model import TriggerRun

ALL = select_windows("hourly", window_start=hour(0).start, window_end=hour(11).end)
PASTS = pytest.mark.parametrize(
    "past", [[], ["Succeeded"], ["Failed"]], ids=["first run", "rerun", "rerun of a failure"]
)


def taken_up(history: list[TriggerRun]) -> RerunReport:
    """Take up a batch of the first hour, which was chosen since its run waited."""
    ledger = Ledger("batch", "asked", NOW, (hour(0),), Phase.SUBMITTING, "ti#1", handed=1)
    return resumed_report(history, ALL, DEFAULT_RERUN_STATUSES, ledger, had_waited=True)


def family(*statuses: str) -> list[TriggerRun]:
    return [run(0, status, attempt=attempt) for attempt, status in enumerate(statuses)]


@PASTS
def test_a_window_whose_run_could_not_be_cancelled_is_told_as_stuck_still(past: list[str]) -> None:
    report = taken_up(family(*past, "WaitingOnDependency"))
    (outcome,) = report.windows
    assert (outcome.step, outcome.status_before) == (Step.REFUSED, "WaitingOnDependency")
    assert outcome.problem == "its run was not cancelled, and is WaitingOnDependency"


@PASTS
@pytest.mark.parametrize("status", ["Running", "Waiting"])
def test_a_window_that_has_gone_on_by_itself_is_left_alone(past: list[str], status: str) -> None:
    report = taken_up(family(*past, status))
    assert report.windows == ()
    assert [each["reason"] for each in report.skipped] == ["it has gone on by itself"]


@PASTS
def test_a_window_that_somebody_else_has_rerun_after_all_is_told_as_theirs(past: list[str]) -> None:
    theirs = run(0, "Running", attempt=9, at=NOW + timedelta(minutes=5))
    report = taken_up([*family(*past, "Cancelled"), theirs])
    (outcome,) = report.windows
    assert (outcome.step, outcome.new_run_id) == (Step.SUBMITTED, theirs.trigger_run_id)


def before_any_rerun(history: list[TriggerRun]) -> RerunReport:
    """Take up a batch of the first hour that a try has left while it cancelled."""
    return still_to_do(history, [hour(0)], RerunReport("hourly", NOW, False, (), ()))


@PASTS
@pytest.mark.parametrize("status", ["WaitingOnDependency", "Waiting", "Running", "Failed", "Cancelled"])
def test_a_run_that_somebody_else_has_sent_since_is_neither_cancelled_nor_rerun(
    past: list[str], status: str
) -> None:
    theirs = run(0, status, attempt=9, at=NOW + timedelta(minutes=5))
    report = before_any_rerun([*family(*past, "Cancelled"), theirs])
    (outcome,) = report.windows
    assert awaited_cancels(report) == []
    assert (outcome.step, outcome.new_run_id) == (Step.SUBMITTED, theirs.trigger_run_id)
    assert outcome.rerun_by is RerunBy.SOMEBODY_ELSE


def test_a_run_that_began_just_before_the_plan_and_waits_is_not_the_one_that_was_stuck() -> None:
    theirs = run(0, "WaitingOnDependency", attempt=9, at=NOW - timedelta(seconds=10))
    report = before_any_rerun([*family("Cancelled"), theirs])
    assert awaited_cancels(report) == []
    assert [each.rerun_by for each in report.windows] == [RerunBy.SOMEBODY_ELSE]
