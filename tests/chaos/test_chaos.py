"""The chaos's short version, and that its judge finds what there is to be found."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.emulator import AdfEmulator
from tests.chaos.factory import Control, Served
from tests.chaos.judge import Evidence, Judgement, judge
from tests.chaos.night import COLLEAGUE, OURS, TRIGGER, Night, draw

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def test_ten_nights_of_faults_and_kills_rerun_each_window_once_and_tell_the_truth() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--seeds", "10", "--windows", "60"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    summary = re.search(r"ours: 10 nights, 600 windows, (\d+) reruns, (\d+) kills, (\d+) faults", ran.stdout)
    assert "ours: 0 nights with findings" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0
    assert summary is not None
    reruns, kills, faults = map(int, summary.groups())
    assert reruns > 400
    assert kills >= 5
    assert faults >= 200


def test_without_a_store_no_window_is_missed_and_none_rerun_but_after_a_rerun_that_failed() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--without-store"]
    command += ["--first-seed", "11", "--seeds", "2", "--windows", "60"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    summary = re.search(r"ours: 2 nights, 120 windows, \d+ reruns, (\d+) kills", ran.stdout)
    assert "ours: 0 nights with findings" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0
    assert summary is not None
    assert int(summary[1]) >= 3


class Quiet:
    """A night without faults, whose reruns are made by hand."""

    def __init__(self, emulator: AdfEmulator, night: Night) -> None:
        self._emulator = emulator
        self._night = night
        port = int(emulator.url.rpartition(":")[2])
        self._served = Served(port, emulator.connection(), patience_seconds=60)  # no answer hangs
        self._control = Control(self._served)

    def latest(self) -> dict[datetime, str]:
        """Return each window's latest run."""
        return {
            datetime.fromisoformat(each["start"]): each["runs"][-1]["triggerRunId"]
            for each in self._control.windows(20)
        }

    def succeeded(self) -> str:
        """Return the latest run of a window that has succeeded."""
        return next(
            str(each["runs"][-1]["triggerRunId"])
            for each in self._control.windows(20)
            if each["status"] == "Succeeded"
        )

    def query(self) -> None:
        """Let us be shown all that there is."""
        self._emulator.advance(60)
        span = {"lastUpdatedAfter": "2026-01-01T00:00:00Z", "lastUpdatedBefore": "2027-01-01T00:00:00Z"}
        assert self._served.call_as(OURS, "POST", "/queryTriggerRuns", span) == 200

    def rerun(self, run_id: str, by: str = OURS) -> None:
        path = f"/triggers/{TRIGGER}/triggerRuns/{run_id}/rerun"
        assert self._served.call_as(by, "POST", path) == 200

    def rerun_eligible(self, *, but: int = 0) -> list[str]:
        """Rerun what is to be rerun, but some. :return: their runs."""
        latest = self.latest()
        runs = [latest[window] for window in sorted(self._night.eligible)[but:]]
        for run_id in runs:
            self.rerun(run_id)
        return runs

    def evidence(self) -> Evidence:
        """Let all end; the report tells the truth of every window that we have rerun."""
        self._emulator.advance(3600)
        windows, journal = self._control.windows(20), self._control.journal()
        ours = {entry["subject"] for entry in journal if entry["principal"] == OURS}
        sent = {
            entry["effect"]["triggerRunId"]: "this batch" if entry["principal"] == OURS else "somebody else"
            for entry in journal
            if entry["effect"] and "triggerRunId" in entry["effect"]
        }
        told = [
            {
                "window_start": window["start"],
                "step": "submitted",
                "new_run_id": window["runs"][-1]["triggerRunId"],
                "status": window["runs"][-1]["status"],
                "rerun_by": sent.get(window["runs"][-1]["triggerRunId"]),
                "problem": "",
            }
            for window in windows
            if ours & {run["triggerRunId"] for run in window["runs"]}
        ]
        self._control.close()
        return Evidence(journal, windows, {"windows": told}, "success")


@pytest.fixture
def night() -> Night:
    return draw(seed=6, count=20)  # its reruns all succeed


@pytest.fixture
def quiet(night: Night) -> Iterator[Quiet]:
    with AdfEmulator(night.scenario, clock="manual") as emulator:
        yield Quiet(emulator, night)


def test_the_judge_finds_nothing_where_each_window_was_rerun_once(night: Night, quiet: Quiet) -> None:
    quiet.rerun_eligible()
    found = judge(night, quiet.evidence())
    assert found.findings == []
    assert found.reruns == len(night.eligible) > 0


def test_the_judge_finds_a_window_rerun_twice(night: Night, quiet: Quiet) -> None:
    quiet.rerun(quiet.rerun_eligible()[0])
    assert len(judge(night, quiet.evidence()).twice) == 1


@pytest.mark.parametrize("outcome", ["failed", "succeeded"])
@pytest.mark.parametrize("is_another_try", [True, False])
def test_without_a_store_the_judge_lets_another_try_rerun_a_window_whose_rerun_has_failed(
    outcome: str, is_another_try: bool
) -> None:
    night = draw(seed=6, count=20)
    night.scenario["triggers"][TRIGGER]["rerun_outcome"] = outcome
    with AdfEmulator(night.scenario, clock="manual") as emulator:
        quiet = Quiet(emulator, night)
        quiet.rerun_eligible()
        emulator.advance(3600)
        again = len(emulator.journal)
        quiet.rerun(quiet.latest()[min(night.eligible)])
        evidence = replace(quiet.evidence(), tries=(0, again) if is_another_try else (0,), has_store=False)
    is_well = outcome == "failed" and is_another_try
    assert judge(night, evidence).twice == [] if is_well else judge(night, evidence).twice != []


def test_the_judge_finds_a_missed_window(night: Night, quiet: Quiet) -> None:
    quiet.rerun_eligible(but=1)
    found = judge(night, quiet.evidence())
    assert len(found.missed) == 1
    assert "is not in the report" in found.report[0]


def test_the_judge_counts_no_window_as_missed_that_somebody_else_has_rerun(
    night: Night, quiet: Quiet
) -> None:
    first = quiet.latest()[min(night.eligible)]
    quiet.rerun(first, by=COLLEAGUE)
    quiet.rerun_eligible(but=1)
    assert judge(night, quiet.evidence()).findings == []


def test_the_judge_finds_a_touched_window_that_was_not_to_be_rerun(night: Night, quiet: Quiet) -> None:
    quiet.rerun(quiet.succeeded())
    quiet.rerun_eligible()
    assert len(judge(night, quiet.evidence()).touched) == 1


def misreported(night: Night, evidence: Evidence, **changes: Any) -> Judgement:
    """Judge evidence whose first window is reported otherwise."""
    assert evidence.report is not None
    first, *others = evidence.report["windows"]
    return judge(night, replace(evidence, report={"windows": [{**first, **changes}, *others]}))


@pytest.mark.parametrize(
    "change", [{"status": "Failed"}, {"new_run_id": "another"}, {"rerun_by": "somebody else"}]
)
def test_the_judge_finds_a_report_that_is_not_the_truth(
    night: Night, quiet: Quiet, change: dict[str, str]
) -> None:
    quiet.rerun_eligible()
    assert misreported(night, quiet.evidence(), **change).report


def test_the_judge_finds_a_rerun_on_top_of_a_run_that_a_query_had_shown(night: Night, quiet: Quiet) -> None:
    run_id = quiet.latest()[min(night.eligible)]
    quiet.rerun(run_id, by=COLLEAGUE)
    quiet.query()
    quiet.rerun(run_id)
    quiet.rerun_eligible(but=1)
    assert len(judge(night, quiet.evidence()).on_top) == 1
