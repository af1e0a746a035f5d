"""Says what a night's recovery did wrong, from the factory's journal and truth alone; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.chaos.attempt import SUCCESS, VERDICT
from tests.chaos.night import COLLEAGUE, OURS
from tests.recovery.night import PERSON, STUCK_AFTER, TRIGGER, UNKNOWN_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.recovery.night import Night

    Entry = Mapping[str, Any]

_RERUN, _CANCEL = "TriggerRuns_Rerun", "TriggerRuns_Cancel"
_BEHIND = timedelta(seconds=30)
_ENDED = frozenset({"Succeeded", "Failed", "Cancelled"})
_FAILED = frozenset({"Failed", "Cancelled"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left of a night.

    :param journal: the factory's, as its control API writes it.
    :param windows: the dependent trigger's windows with their runs, as they truly are in the end.
    :param upstream: the other trigger's.
    :param ended: when each pipeline run ended, None if it did not.
    :param report: what the last try left in XCom, if anything.
    :param ends: how each try has ended.
    :param tries: the length of the journal when each try began.
    :param clears: the tries that a person's clear has begun.
    :param ledgers: all that was written to the ledger.
    :param message: the last error.
    :param has_store: whether tries knew of each other.
    """

    journal: Sequence[Entry]
    windows: Sequence[Mapping[str, Any]]
    upstream: Sequence[Mapping[str, Any]]
    ended: Mapping[str, str | None]
    report: Mapping[str, Any] | None
    ends: Sequence[str]
    tries: Sequence[int]
    clears: Sequence[int] = ()
    ledgers: Sequence[Mapping[str, Any]] = ()
    message: str = ""
    has_store: bool = True


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
    return _Judge(night, evidence).judge()


class _Judge:
    def __init__(self, night: Night, evidence: Evidence) -> None:
        self._night, self._evidence = night, evidence
        self._families = {_time(each["start"]): each["runs"] for each in evidence.windows}
        self._upstream = sorted((_time(each["start"]), each) for each in evidence.upstream)
        self._window_of = {
            run["triggerRunId"]: start for start, runs in self._families.items() for run in runs
        }
        self._run_of_pipeline = {
            pipeline: run["triggerRunId"]
            for runs in self._families.values()
            for run in runs
            for pipeline in run["pipelineRuns"]
        }
        self._reruns: dict[datetime, list[Entry]] = {start: [] for start in self._families}
        self._cancels: dict[datetime, list[Entry]] = {start: [] for start in self._families}
        self._theirs: dict[datetime, list[Entry]] = {start: [] for start in self._families}
        self._cancelled_by: dict[str, str] = {}
        for entry in evidence.journal:
            self._file(entry)
        self._plans = [self._looks_of(number) for number in range(1, len(evidence.tries) + 1)]
        begun = next(each["at"] for each in evidence.journal if each["principal"] == OURS)
        self._begun = _time(begun)
        self._stuck = {
            start for start in night.waiting & night.selected if self._is_stuck_at(start, self._begun)
        }

    def _file(self, entry: Entry) -> None:
        """Sort a call that has changed something to who has made it."""
        effect, is_ours = entry["effect"], entry["principal"] == OURS
        if not effect:
            return
        if entry["operation"] == _RERUN and effect["triggerRunId"] in self._window_of:
            (self._reruns if is_ours else self._theirs)[_time(effect["window"]["start"])].append(entry)
        for run_id in effect.get("cancelling", ()):
            trigger_run = self._run_of_pipeline.get(run_id, run_id)
            if trigger_run in self._window_of:
                self._cancelled_by.setdefault(trigger_run, entry["principal"])
                (self._cancels if is_ours else self._theirs)[self._window_of[trigger_run]].append(entry)

    def judge(self) -> Judgement:
        evidence = self._evidence
        found = Judgement(
            stuck=len(self._stuck),
            cancels=sum(map(len, self._cancels.values())),
            reruns=sum(map(len, self._reruns.values())),
            foreign=sum(map(bool, self._theirs.values())),
            faults=sum(entry["fault"] is not None for entry in evidence.journal),
        )
        found.twice += self._rerun_twice()
        found.missed += self._missed()
        found.touched += self._wrongly_cancelled()
        found.touched += self._wrongly_rerun()
        found.refused += [
            f"call {entry['sequence']}, a rerun of {entry['subject']}, was refused: {entry['answer']}"
            for entry in evidence.journal
            if entry["operation"] == _RERUN
            and entry["principal"] == OURS
            and entry["fault"] is None
            and entry["status"] == 400  # noqa: PLR2004
        ]
        found.report += self._misreported()
        return found

    # What was true when

    def _try_of(self, entry: Entry) -> int:
        return sum(begin <= entry["sequence"] for begin in self._evidence.tries)

    def _looks_of(self, number: int) -> list[datetime]:
        """Return when a try may have seen what it decided by: from its beginning to its first write."""
        begins = [*self._evidence.tries, len(self._evidence.journal)]
        entries = [
            entry for entry in self._evidence.journal[begins[number - 1] : begins[number]] if entry["principal"] == OURS
        ]
        if not entries:
            return []
        first = next((each for each in entries if each["operation"] in {_CANCEL, _RERUN}), entries[-1])
        begun, sent = _time(entries[0]["at"]), _time(first["at"])
        return [begun - _BEHIND, begun, begun + (sent - begun) / 2, sent]

    def _latest_at(self, runs: Sequence[Mapping[str, Any]], at: datetime) -> Mapping[str, Any] | None:
        return next((run for run in reversed(runs) if _time(run["timestamp"]) <= at), None)

    def _is_stuck_at(self, start: datetime, at: datetime) -> bool:
        """Whether a window's latest run waited for long by then, and all that it waits for was whole."""
        run = self._latest_at(self._families[start], at)
        if run is None or _time(run["timestamp"]) > at - STUCK_AFTER:
            return False
        was_cancelled = [
            entry
            for entry in (*self._cancels[start], *self._theirs[start])
            if run["triggerRunId"] in (entry["effect"].get("cancelling") or ()) and _time(entry["at"]) < at
        ]
        if was_cancelled or not self._waited(start, run):
            return False
        return all(self._is_whole(start, needed, at) for needed in self._night.needs)

    def _waited(self, start: datetime, run: Mapping[str, Any]) -> bool:
        """Whether a run is one that waited: of those of before the first try, and those of reruns."""
        runs = self._families[start]
        return start in self._night.waiting or run is not runs[0]

    def _is_whole(self, start: datetime, needed: tuple[str, timedelta, timedelta], at: datetime) -> bool:
        trigger, offset, size = needed
        begin, end = start + offset, start + offset + size
        if trigger == TRIGGER:
            rows = sorted((each, {"end": None, "runs": runs}) for each, runs in self._families.items())
            begin = max(begin, self._night.begin)
        else:
            rows = self._upstream
        covered = begin
        for first, window in rows:
            last = _time(window["end"]) if window["end"] else first + timedelta(hours=1)
            if last <= begin or first >= end:
                continue
            run = self._latest_at(window["runs"], at)
            if first > covered or run is None or not self._had_succeeded(run, at - STUCK_AFTER):
                return False
            covered = last
        return covered >= end

    def _had_succeeded(self, run: Mapping[str, Any], by: datetime) -> bool:
        ends = [self._evidence.ended.get(each) for each in run["pipelineRuns"]]
        return run["status"] == "Succeeded" and all(end and _time(end) <= by for end in ends)

    # What was done

    def _batch_of(self, entry: Entry) -> object:
        """Return the batch that a call of ours belongs to: each try works at one."""
        number = self._try_of(entry)
        if not self._evidence.has_store:
            return number
        owned = [each for each in self._evidence.ledgers if each["owner"].endswith(f"#{number}")]
        return owned[-1]["batch_id"] if owned else number

    def _rerun_twice(self) -> Iterator[str]:
        for start, entries in sorted(self._reruns.items()):
            for first, second in pairwise(entries):
                if not self._may_follow(start, first, second):
                    yield (
                        f"window {start} was rerun by call {first['sequence']} in try {self._try_of(first)},"
                        f" and by {second['sequence']} in try {self._try_of(second)}"
                    )

    def _may_follow(self, start: datetime, first: Entry, second: Entry) -> bool:
        """Whether a window may be rerun again: a later run of it, that has ended without success.

        By another batch; or by the same, if a kill has cancelled it and a person has cleared the task.
        """
        run_ids = [run["triggerRunId"] for run in self._families[start]]
        place = run_ids.index(second["subject"])
        if place < run_ids.index(first["effect"]["triggerRunId"]):
            return False
        if self._families[start][place]["status"] not in _FAILED:
            return False
        if self._batch_of(first) != self._batch_of(second):
            return True
        is_cleared = any(self._try_of(first) < each <= self._try_of(second) for each in self._evidence.clears)
        return is_cleared and self._families[start][place]["status"] == "Cancelled"

    def _may_be_chosen(self, start: datetime, until: int) -> bool:
        """Whether a window was stuck when a try of these looked."""
        if start not in self._night.selected:
            return False
        return start in self._stuck or any(
            self._is_stuck_at(start, look) for looks in self._plans[:until] for look in looks
        )

    def _wrongly_cancelled(self) -> Iterator[str]:
        for start, entries in sorted(self._cancels.items()):
            for entry in entries:
                number = self._try_of(entry)
                call = f"call {entry['sequence']} in try {number} has cancelled {entry['subject']}"
                if entry["operation"] != _CANCEL:
                    yield f"window {start}: {call}, a pipeline run"
                    continue
                looks = [look for looks in self._plans[:number] for look in looks]
                runs = self._families[start]
                was_stuck = [
                    look
                    for look in looks
                    if self._is_stuck_at(start, look)
                    and (self._latest_at(runs, look) or {}).get("triggerRunId") == entry["subject"]
                ]
                if start not in self._night.selected or not was_stuck:
                    yield f"window {start}: {call}, which was not stuck"

    def _wrongly_rerun(self) -> Iterator[str]:
        for start, entries in sorted(self._reruns.items()):
            first = self._families[start][0]
            for entry in entries:
                is_named = entry["subject"] in self._night.named
                if not is_named and not self._may_be_chosen(start, self._try_of(entry)):
                    yield f"window {start} was rerun by call {entry['sequence']}, and was never stuck: {first}"

    def _missed(self) -> Iterator[str]:
        evidence, end = self._evidence, self._evidence.ends[-1]
        if end not in {SUCCESS, VERDICT} and not self._still_waits():
            yield f"the last try ended with {end}: {evidence.message[:200]}"
        told = {
            _time(each["window_start"]): each
            for each in (*((evidence.report or {}).get("windows") or ()), *((evidence.report or {}).get("skipped") or ()))
            if "window_start" in each
        }
        for start in sorted(self._stuck):
            base = self._latest_at(self._families[start], self._begun)
            latest = self._families[start][-1]
            if base is None or latest is not base or base["status"] in {"Succeeded", "Running"}:
                continue
            if base["status"] == "Failed" or self._theirs[start]:
                continue
            is_named = start in told and bool(told[start].get("problem"))
            if end == SUCCESS or (end == VERDICT and not is_named):
                yield f"window {start} was stuck, and is {latest['status']} in the end; told: {told.get(start)}"

    def _still_waits(self) -> bool:
        """Whether the wait for a rerun has ended since that waits itself, on something that is not whole."""
        return self._evidence.message.startswith("WaitTimedOut") and any(
            entries and self._families[start][-1]["status"] not in _ENDED
            for start, entries in self._reruns.items()
        )

    def _misreported(self) -> Iterator[str]:
        evidence, end = self._evidence, self._evidence.ends[-1]
        if end not in {SUCCESS, VERDICT}:
            return
        if evidence.report is None:
            yield "there is no report"
            return
        windows = evidence.report["windows"]
        for told in windows:
            yield from self._mistold(told)
        for each in evidence.report["skipped"]:
            if "gone on by itself" in each["reason"]:
                status = next(run["status"] for run in self._families[_time(each["window_start"])] if run["triggerRunId"] == each["run_id"])
                if status == "Cancelled" and self._cancelled_by.get(each["run_id"]) == OURS:
                    yield f"window {each['window_start']} is said to have gone on by itself, and we have cancelled it"
        if evidence.has_store:
            everything = {_time(each["window_start"]) for each in (*windows, *evidence.report["skipped"]) if "window_start" in each}
            sent = {start for start, entries in self._reruns.items() if entries and self._batch_of(entries[-1]) == self._last_batch()}
            for start in sorted(sent - everything):
                yield f"window {start} was rerun, and is not in the report"
        names_unknown = UNKNOWN_ID in self._night.named
        if names_unknown and UNKNOWN_ID not in {each["run_id"] for each in evidence.report["skipped"]}:
            yield "the unknown run id is not in the report"
        waits = self._night.parameters["wait_for_completion"]
        whole = all(each["status"] == "Succeeded" for each in windows) and not names_unknown
        if waits and whole != (end == SUCCESS):
            yield f"the task ended with {end}, and its windows are {[(each['window_start'], each['status'], each['problem']) for each in windows if each['status'] != 'Succeeded']}: {evidence.message[:300]}"

    def _last_batch(self) -> object:
        return self._evidence.ledgers[-1]["batch_id"] if self._evidence.ledgers else None

    def _mistold(self, told: Mapping[str, Any]) -> Iterator[str]:
        start = _time(told["window_start"])
        runs = {run["triggerRunId"]: run for run in self._families[start]}
        new = runs.get(told["new_run_id"])
        if new is None:
            if not told["problem"] and self._night.parameters["wait_for_completion"]:
                yield f"window {start} has neither a new run nor a problem: {told}"
            if "was not cancelled" in told["problem"] and self._cancelled_by.get(told["run_id"]) == OURS:
                yield f"window {start} is said not to be cancelled, and we have cancelled it: {told['problem']}"
            return
        if told["status"] in _ENDED and told["status"] != new["status"]:
            yield f"window {start} is reported {told['status']}, and its run is {new['status']}"
        if told["status"] not in _ENDED and self._night.parameters["wait_for_completion"]:
            yield f"window {start} is reported {told['status']}"
        if self._families[start][-1] is not new and not self._theirs[start]:
            yield f"window {start} is reported with a run that is not its latest"
        yield from self._misattributed(start, told)

    def _misattributed(self, start: datetime, told: Mapping[str, Any]) -> Iterator[str]:
        """Find runs that the report gives to another than who sent them, where the task can have known."""
        entries = [*self._reruns[start], *self._theirs[start]]
        sent = next((each for each in entries if each["effect"].get("triggerRunId") == told["new_run_id"]), None)
        if sent is None:
            return
        whose = "this batch" if sent["principal"] == OURS else "somebody else"
        colleagues = [each for each in self._theirs[start] if each["operation"] == _RERUN]
        if told["rerun_by"] == whose or (sent["principal"] == OURS and colleagues):
            return
        if sent["principal"] in {COLLEAGUE, PERSON} and len(self._evidence.tries) > 1:
            return
        yield f"window {start} is reported as rerun by {told['rerun_by']}, and call {sent['sequence']} was by {whose}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
