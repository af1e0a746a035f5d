"""Stories of the example DAGs, as they are, on the factory of the demonstration as it would stand today."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import yaml

from stack.airflow import ROOT
from tests.live import judge
from tests.live.abilities import WAITS_FOR_A_PERSON
from tests.live.judge import FINAL, WrongError

if TYPE_CHECKING:
    from tests.live.judge import Evidence, Window
    from tests.live.stage import Stage

FAST_CLOCK = 300.0  # what the examples' runs do takes an hour
_SLOW_CLOCK = 10.0  # until what is to be cancelled is, and tasks wait: nothing ends before its time
_BOOKS = "5f0c1a52-8d0e-4a53-9d0b-6c1b8d5f7a01"
_RERUN_SECONDS = 4500  # minutes of the slow clock, and seconds of the fast one
_PATIENCE_SECONDS = 300.0
_TASKS = {
    "cancel_and_rerun_from_failure": "rerun",
    "rerun_last_night": "rerun",
    "recover_stuck_window": "recover",
}


def demonstration() -> dict[str, Any]:
    """Return the demonstration's factory, whose night is the one before now."""
    scenario = yaml.safe_load((ROOT / "demo" / "scenario.yaml").read_text(encoding="utf-8"))
    del scenario["now"]
    for trigger in scenario["triggers"].values():
        trigger["rerun_seconds"] = _RERUN_SECONDS
    return dict(scenario)


def all_at_once(stage: Stage) -> list[str]:
    """Four of the example DAGs at the same time."""
    stage.begin(demonstration(), clock=_SLOW_CLOCK)
    began = stage.evidence()
    due, waiting = _due(began), began.waiting("report_hourly")
    stuck = {window: run_id for window, run_id in waiting.items() if _has_orders(began, window)}
    succeeding = {dag_id: stage.start(dag_id, {}) for dag_id in _TASKS}
    failing = stage.start("clean_up_after_failure", {})
    stage.wait("what is to be cancelled is", lambda: _are_cancelled(stage.evidence()), _PATIENCE_SECONDS)
    stage.wait("what is stuck is rerun", lambda: stage.evidence().reruns().keys() >= {*stuck})
    for dag_id, run in succeeding.items():
        stage.wait_until_deferred(run, _TASKS[dag_id], seconds=_PATIENCE_SECONDS)
    for dag_id, run in succeeding.items():
        stage.wait_until_let_go(run, task_id=_TASKS[dag_id])
    stage.set_clock(FAST_CLOCK)
    for run in succeeding.values():
        stage.wait_for_end(run, seconds=_PATIENCE_SECONDS)
    stage.wait_for_end(failing, "failed", seconds=_PATIENCE_SECONDS)
    evidence = stage.evidence()
    return [
        judge.each_rerun(evidence, [*due, *stuck]),
        judge.whole(evidence, [*due, *stuck]),
        judge.each_cancelled(evidence, stuck.values()),
        f"{len(waiting) - len(stuck)} that waits for failed orders left alone",
        _books(evidence),
        _stock(evidence),
    ]


def with_approval(stage: Stage) -> list[str]:
    """A person approves what a dry run has planned."""
    stage.begin(demonstration(), clock=_SLOW_CLOCK)
    due = _due(stage.evidence())
    run = stage.start("rerun_last_night_with_approval", {})
    stage.wait("it waits for a person", lambda: run.task("approve")["state"] == WAITS_FOR_A_PERSON)
    planned = stage.evidence().reruns()
    if planned:
        raise WrongError(f"windows rerun before a person has approved: {planned}")
    stage.wait_until_let_go(run, task_id="approve")
    run.approve("approve")
    stage.wait_until_deferred(run)
    stage.wait_until_let_go(run)
    stage.set_clock(FAST_CLOCK)
    stage.wait_for_end(run)
    evidence = stage.evidence()
    return [
        "nothing sent before the approval",
        judge.each_rerun(evidence, due),
        judge.whole(evidence, due),
        judge.nothing_cancelled(evidence),
    ]


def _due(evidence: Evidence) -> list[Window]:
    windows = evidence.windows()
    return [window for window, status in windows.items() if (window[0], status) == ("orders_15min", "Failed")]


def _has_orders(evidence: Evidence, window: Window) -> bool:
    """Say whether all orders of a window's hour have succeeded."""
    _, start = window
    quarters = (("orders_15min", start + timedelta(minutes=minutes)) for minutes in (0, 15, 30, 45))
    return all(evidence.status(quarter) == "Succeeded" for quarter in quarters)


def _are_cancelled(evidence: Evidence) -> bool:
    """Say whether the tree, and what the DAG run that fails has started, are being cancelled."""
    stock = {run["runId"] for run in evidence.state["pipelineRuns"] if run["pipelineName"] == "load_stock"}
    return _BOOKS in evidence.cancelling() and not stock.isdisjoint(evidence.cancelling())


def _books(evidence: Evidence) -> str:
    """See that the run and its children were cancelled, and one run more was made in its group."""
    runs = {run["runId"]: run for run in evidence.state["pipelineRuns"]}
    family = {_BOOKS}
    while more := {run_id for run_id, run in runs.items() if run["parentRunId"] in family} - family:
        family |= more
    wrong = {run_id: runs[run_id]["status"] for run_id in family if runs[run_id]["status"] != "Cancelled"}
    if wrong:
        raise WrongError(f"of close_books and its children these are not Cancelled: {wrong}")
    again = [run for run in runs.values() if run["groupId"] == _BOOKS and run["runId"] != _BOOKS]
    if [run["status"] for run in again] != ["Succeeded"]:
        raise WrongError(f"the reruns of close_books: {again}")
    return f"{len(family)} runs of a tree Cancelled, and one rerun of it Succeeded"


def _stock(evidence: Evidence) -> str:
    """See that what the DAG run that fails has started is cancelled."""
    runs = [run for run in evidence.state["pipelineRuns"] if run["pipelineName"] == "load_stock"]
    alive = [run["runId"] for run in runs if run["status"] not in FINAL]
    cancelled = [run["runId"] for run in runs if run["status"] == "Cancelled"]
    if alive or len(cancelled) != 1:
        raise WrongError(f"of load_stock these go on: {alive}, and these are Cancelled: {cancelled}")
    return "what the failed DAG run had started is Cancelled"
