"""The recovery's storms in short, and that their judge finds what there is to be found."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_adfruns.emulator import AdfEmulator
from tests.chaos.factory import Control, Served
from tests.chaos.night import COLLEAGUE, OURS
from tests.recovery.judge import judge
from tests.recovery.night import TRIGGER, UPSTREAM, Night, draw
from tests.recovery.truth import Evidence, Truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

ROOT = Path(__file__).parents[2]


def storm(*options: str) -> tuple[int, ...]:
    """Run nights without a finding. :return: how many cancels, reruns, kills and faults there were."""
    command = [sys.executable, "-m", "tests.recovery", *options]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    summary = re.search(r"(\d+) cancels, (\d+) reruns, (\d+) kills, (\d+) faults, in", ran.stdout)
    assert "recovery: 0 nights with findings" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0
    assert summary is not None
    return tuple(map(int, summary.groups()))


def test_in_six_nights_of_faults_and_deaths_each_stuck_window_is_recovered_once() -> None:
    cancels, reruns, kills, faults = storm("--first-seed", "1", "--seeds", "6")
    assert min(cancels, reruns) > 20
    assert kills >= 5
    assert faults >= 50


def test_without_a_store_no_window_is_rerun_twice_and_what_is_left_is_named() -> None:
    cancels, _, kills, _ = storm("--first-seed", "3", "--seeds", "3", "--without-store")
    assert cancels > 5
    assert kills >= 2


class Quiet:
    """A night without faults, whose cancels and reruns are made by hand."""

    def __init__(self, emulator: AdfEmulator, night: Night) -> None:
        self._emulator, self._night = emulator, night
        port = int(emulator.url.rpartition(":")[2])
        self._served = Served(port, emulator.connection(), patience_seconds=60)  # no answer hangs
        self._control = Control(self._served)
        self._call(OURS, "GET", f"/triggers/{TRIGGER}", 200)

    def _call(self, by: str, method: str, path: str, status: int) -> None:
        assert self._served.call_as(by, method, path) == status

    def latest(self, start: datetime) -> str:
        """Return the id of a window's latest run."""
        runs = Truth(self._night, self.evidence()).families[start]
        return str(runs[-1]["triggerRunId"])

    def cancel(self, *starts: datetime) -> None:
        for start in starts:
            self._call(OURS, "POST", f"/triggers/{TRIGGER}/triggerRuns/{self.latest(start)}/cancel", 200)
        self._emulator.advance(600)

    def rerun(self, *starts: datetime, by: str = OURS, status: int = 200) -> None:
        for start in starts:
            self._call(by, "POST", f"/triggers/{TRIGGER}/triggerRuns/{self.latest(start)}/rerun", status)
        self._emulator.advance(900)

    def stuck(self) -> list[datetime]:
        """Return the windows that are stuck."""
        return sorted(Truth(self._night, self.evidence()).stuck)

    def waiting_rightly(self) -> datetime:
        """Return a window that waits as it should."""
        return min((self._night.waiting & self._night.selected) - set(self.stuck()))

    def evidence(self) -> Evidence:
        """Return what is left of the night; the report tells the truth of every window that we have rerun."""
        windows = self._control.windows(200, TRIGGER)
        journal = self._control.journal()
        sent = {
            entry["effect"]["triggerRunId"]: entry
            for entry in journal
            if entry["effect"] and entry["operation"] == "TriggerRuns_Rerun"
        }
        told = [
            {
                "window_start": window["start"],
                "run_id": window["runs"][-2]["triggerRunId"],
                "new_run_id": window["runs"][-1]["triggerRunId"],
                "status": window["runs"][-1]["status"],
                "rerun_by": "this batch"
                if sent[window["runs"][-1]["triggerRunId"]]["principal"] == OURS
                else "-",
                "problem": "",
            }
            for window in windows
            if window["runs"][-1]["triggerRunId"] in sent
        ]
        return Evidence(
            journal,
            windows,
            self._control.windows(400, UPSTREAM),
            {run["runId"]: run["end"] for run in self._control.pipeline_runs()},
            {"windows": told, "skipped": []},
            ("success",),
            (0,),
            ledgers=({"batch_id": "batch", "owner": "chaos#1"},),
        )

    def close(self) -> None:
        self._control.close()


@pytest.fixture
def night() -> Night:
    found = next(each for each in (draw(seed, 30) for seed in range(1, 99)) if _is_plain(each))
    for trigger in found.scenario["triggers"].values():
        for window in trigger["windows"][0]["except"]:
            window.pop("rerun_outcome", None)
    return found


def _is_plain(night: Night) -> bool:
    return not night.named and len(night.needs) == 1 and night.parameters["wait_for_completion"]


@pytest.fixture
def quiet(night: Night) -> Iterator[Quiet]:
    with AdfEmulator(night.scenario, clock="manual") as emulator:
        made = Quiet(emulator, night)
        yield made
        made.close()


def test_the_judge_finds_nothing_where_each_stuck_window_was_recovered_once(
    night: Night, quiet: Quiet
) -> None:
    stuck = quiet.stuck()
    assert len(stuck) > 2
    quiet.cancel(*stuck)
    quiet.rerun(*stuck)
    assert judge(night, quiet.evidence()).findings == []


def test_the_judge_finds_a_window_rerun_twice(night: Night, quiet: Quiet) -> None:
    stuck = quiet.stuck()
    quiet.cancel(*stuck)
    quiet.rerun(*stuck)
    quiet.rerun(stuck[0])
    assert len(judge(night, quiet.evidence()).twice) == 1


@pytest.mark.parametrize("cancels", [True, False])
def test_the_judge_finds_a_window_that_is_still_stuck_or_cancelled_only(
    night: Night, quiet: Quiet, cancels: bool
) -> None:
    first, *others = quiet.stuck()
    quiet.cancel(*others, *([first] if cancels else []))
    quiet.rerun(*others)
    (missed,) = judge(night, quiet.evidence()).missed
    assert str(first) in missed


def test_the_judge_misses_no_window_that_somebody_else_has_rerun(night: Night, quiet: Quiet) -> None:
    first, *others = stuck = quiet.stuck()
    quiet.cancel(*stuck)
    quiet.rerun(first, by=COLLEAGUE)
    quiet.rerun(*others)
    found = judge(night, quiet.evidence())
    assert found.missed == []


def test_the_judge_finds_a_window_that_was_cancelled_and_rerun_though_it_waited_rightly(
    night: Night, quiet: Quiet
) -> None:
    rightly = quiet.waiting_rightly()
    quiet.cancel(rightly)
    quiet.rerun(rightly)
    assert len(judge(night, quiet.evidence()).touched) == 2


def test_the_judge_finds_a_rerun_that_was_refused(night: Night, quiet: Quiet) -> None:
    quiet.rerun(quiet.stuck()[0], status=400)
    assert len(judge(night, quiet.evidence()).refused) == 1


@pytest.mark.parametrize(
    "change", [{"status": "Failed"}, {"new_run_id": "another"}, {"rerun_by": "somebody else"}]
)
def test_the_judge_finds_a_report_that_is_not_the_truth(
    night: Night, quiet: Quiet, change: dict[str, str]
) -> None:
    stuck = quiet.stuck()
    quiet.cancel(*stuck)
    quiet.rerun(*stuck)
    evidence = quiet.evidence()
    assert evidence.report is not None
    first, *others = evidence.report["windows"]
    report = {**evidence.report, "windows": [{**first, **change}, *others]}
    assert judge(night, replace(evidence, report=report)).report
