"""Says what a night's recovery did wrong, from the factory's journal and truth alone; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.chaos.attempt import SUCCESS, VERDICT
from tests.chaos.night import OURS
from tests.recovery.night import UNKNOWN_ID
from tests.recovery.truth import CANCEL, RERUN, Evidence, Truth, latest_at, time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from tests.recovery.night import Night
    from tests.recovery.truth import Entry

_ENDED = frozenset({"Succeeded", "Failed", "Cancelled"})
_FAILED = frozenset({"Failed", "Cancelled"})
_REFUSED = 400


@dataclass(slots=True)
class Judgement:
    """What was found: sentences, by kind, empty where all is well."""

    twice: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    report: list[str] = field(default_factory=list)
    stuck: int = 0
    cancels: int = 0
    reruns: int = 0
    foreign: int = 0
    faults: int = 0

    @property
    def findings(self) -> list[str]:
        """Everything that is wrong."""
        return [*self.twice, *self.missed, *self.touched, *self.refused, *self.report]


def judge(night: Night, evidence: Evidence) -> Judgement:
    """Judge a night."""
    truth = Truth(night, evidence)
    found = Judgement(
        stuck=len(truth.stuck),
        cancels=sum(map(len, truth.cancels.values())),
        reruns=sum(map(len, truth.reruns.values())),
        foreign=sum(map(bool, truth.theirs.values())),
        faults=sum(entry["fault"] is not None for entry in evidence.journal),
    )
    found.twice += _rerun_twice(evidence, truth)
    found.missed += _missed(evidence, truth)
    found.touched += [*_wrongly_cancelled(truth), *_wrongly_rerun(night, truth)]
    found.refused += _refused(evidence)
    if evidence.ends[-1] in {SUCCESS, VERDICT}:
        found.report += _misreported(night, evidence, truth)
    return found


def _rerun_twice(evidence: Evidence, truth: Truth) -> Iterator[str]:
    for start, entries in sorted(truth.reruns.items()):
        for first, second in pairwise(entries):
            if not _may_follow(evidence, truth, start, first, second):
                yield (
                    f"window {start} was rerun by call {first['sequence']} in try {truth.try_of(first)},"
                    f" and by {second['sequence']} in try {truth.try_of(second)}"
                )


def _may_follow(evidence: Evidence, truth: Truth, start: datetime, first: Entry, second: Entry) -> bool:
    """Say whether a window may be rerun again: of a later run of it, that has ended without success.

    By another batch; or by the same, if a kill has cancelled that run and a person has cleared the task.
    """
    runs = truth.families[start]
    run_ids = [run["triggerRunId"] for run in runs]
    place = run_ids.index(second["subject"])
    if place < run_ids.index(first["effect"]["triggerRunId"]) or runs[place]["status"] not in _FAILED:
        return False
    if truth.batch_of(first) != truth.batch_of(second):
        return True
    is_cleared = any(truth.try_of(first) < each <= truth.try_of(second) for each in evidence.clears)
    return is_cleared and runs[place]["status"] == "Cancelled"


def _missed(evidence: Evidence, truth: Truth) -> Iterator[str]:
    """Find windows that are left stuck, or cancelled, without a word."""
    end = evidence.ends[-1]
    if end not in {SUCCESS, VERDICT} and not _still_waits(evidence, truth):
        yield f"the last try ended with {end}: {evidence.message[:200]}"
    told = _told(evidence)
    for start in sorted(truth.stuck):
        base, latest = latest_at(truth.families[start], truth.begun), truth.families[start][-1]
        has_gone_on = latest is not base or base["status"] in {"Succeeded", "Running", "Failed"}
        waits_anew = latest["status"] not in _ENDED and truth.has_new_upstream(start)
        if has_gone_on or waits_anew or truth.theirs[start]:
            continue
        is_named = bool(told.get(start, {}).get("problem"))
        if end == SUCCESS or (end == VERDICT and not is_named):
            yield f"window {start} was stuck, and is {latest['status']}; told: {told.get(start)}"


def _still_waits(evidence: Evidence, truth: Truth) -> bool:
    """Say whether the wait for a rerun has ended since that waits itself, on something that is not whole."""
    return evidence.message.startswith("WaitTimedOut") and any(
        calls and truth.families[start][-1]["status"] not in _ENDED
        for start, calls in (*truth.reruns.items(), *truth.theirs.items())
    )


def _told(evidence: Evidence) -> dict[datetime, Mapping[str, Any]]:
    """Return what the report says of windows, of each also if it was left alone."""
    report = evidence.report or {"windows": (), "skipped": ()}
    every = (*report["skipped"], *report["windows"])
    return {time(each["window_start"]): each for each in every if "window_start" in each}


def _wrongly_cancelled(truth: Truth) -> Iterator[str]:
    for start, entries in sorted(truth.cancels.items()):
        for entry in entries:
            number = truth.try_of(entry)
            call = f"call {entry['sequence']} in try {number} has cancelled {entry['subject']}"
            if entry["operation"] != CANCEL:
                yield f"window {start}: {call}, a pipeline run"
            elif not truth.was_stuck(start, number, entry["subject"]):
                yield f"window {start}: {call}, which was not stuck"


def _wrongly_rerun(night: Night, truth: Truth) -> Iterator[str]:
    for start, entries in sorted(truth.reruns.items()):
        for entry in entries:
            may_be = start in truth.stuck or truth.was_stuck(start, truth.try_of(entry))
            if entries[0]["subject"] not in night.named and not may_be:
                yield f"window {start} was rerun by call {entry['sequence']}, and was never stuck"


def _refused(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.journal:
        is_rerun = entry["operation"] == RERUN and entry["principal"] == OURS
        if is_rerun and entry["fault"] is None and entry["status"] == _REFUSED:
            yield f"call {entry['sequence']}, a rerun of {entry['path']}, was refused: {entry['answer']}"


def _misreported(night: Night, evidence: Evidence, truth: Truth) -> Iterator[str]:
    if evidence.report is None:
        yield "there is no report"
        return
    waits = night.parameters["wait_for_completion"]
    windows, skipped = evidence.report["windows"], evidence.report["skipped"]
    for told in windows:
        yield from _mistold(truth, told, waits=waits)
        yield from _misattributed(evidence, truth, told)
    yield from _wrongly_skipped(truth, skipped)
    if evidence.has_store:
        last = evidence.ledgers[-1]["batch_id"]
        sent = {start for start, calls in truth.reruns.items() if calls and truth.batch_of(calls[-1]) == last}
        for start in sorted(sent - set(_told(evidence))):
            yield f"window {start} was rerun, and is not in the report"
    knows_all = UNKNOWN_ID not in night.named
    if not knows_all and UNKNOWN_ID not in {each["run_id"] for each in skipped}:
        yield "the unknown run id is not in the report"
    bad = [each for each in windows if each["status"] != "Succeeded"]
    if waits and (knows_all and not bad) != (evidence.ends[-1] == SUCCESS):
        shown = [(each["window_start"], each["status"], each["problem"]) for each in bad]
        yield f"the task ended with {evidence.ends[-1]}, though {shown} are bad: {evidence.message[:300]}"


def _mistold(truth: Truth, told: Mapping[str, Any], *, waits: bool) -> Iterator[str]:
    start = time(told["window_start"])
    runs = {run["triggerRunId"]: run for run in truth.families[start]}
    new = runs.get(told["new_run_id"])
    if new is None:
        if not told["problem"] and waits:
            yield f"window {start} has neither a new run nor a problem: {told}"
        is_cancelled = truth.cancelled_by.get(told["run_id"]) == OURS
        is_unclear = "may have been carried out" in told["problem"]
        if is_cancelled and "was not cancelled" in told["problem"] and not is_unclear:
            yield f"window {start} is said not to be cancelled, and was: {told['problem']}"
        return
    if told["status"] in _ENDED and told["status"] != new["status"]:
        yield f"window {start} is reported {told['status']}, and its run is {new['status']}"
    if told["status"] not in _ENDED and waits:
        yield f"window {start} is reported {told['status']}"
    if truth.families[start][-1] is not new and not truth.theirs[start]:
        yield f"window {start} is reported with a run that is not its latest"


def _misattributed(evidence: Evidence, truth: Truth, told: Mapping[str, Any]) -> Iterator[str]:
    """Find runs that the report gives to another than who sent them, where the task can have known.

    It cannot where somebody else has rerun the window as well, or a try has died that may have sent it.
    """
    start = time(told["window_start"])
    calls = [*truth.reruns[start], *truth.theirs[start]]
    sent = next((each for each in calls if each["effect"].get("triggerRunId") == told["new_run_id"]), None)
    if sent is None:
        return
    is_ours = sent["principal"] == OURS
    whose = "this batch" if is_ours else "somebody else"
    is_excused = (
        any(each["operation"] == RERUN for each in truth.theirs[start])
        if is_ours
        else len(evidence.tries) > 1
    )
    if told["rerun_by"] != whose and not is_excused:
        call = f"call {sent['sequence']} was by {whose}"
        yield f"window {start} is said to be rerun by {told['rerun_by']}, and {call}"


def _wrongly_skipped(truth: Truth, skipped: list[Mapping[str, Any]]) -> Iterator[str]:
    for each in skipped:
        if "gone on by itself" in each["reason"]:
            start = time(each["window_start"])
            run = next(run for run in truth.families[start] if run["triggerRunId"] == each["run_id"])
            if run["status"] == "Cancelled" or truth.reruns[start]:
                yield f"window {start} is said to have gone on by itself, and is {run['status']}"
