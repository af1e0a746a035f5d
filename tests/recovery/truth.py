"""What is left of a night, and what was true when: who has sent, cancelled and rerun what; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.chaos.night import OURS
from tests.recovery.night import STUCK_AFTER, TRIGGER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.recovery.night import Night

    Entry = Mapping[str, Any]
    Run = Mapping[str, Any]

RERUN, CANCEL = "TriggerRuns_Rerun", "TriggerRuns_Cancel"
_BEHIND = timedelta(seconds=30)


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


class Truth:
    """A night's evidence in order.

    ``families`` are the dependent trigger's windows with their runs, by their start. ``reruns`` and
    ``cancels`` are the calls of ours that changed something, ``theirs`` those of all others, by window.

    :param night: what was drawn.
    :param evidence: what is left of it.
    """

    def __init__(self, night: Night, evidence: Evidence) -> None:
        self._night, self._evidence = night, evidence
        self.families: dict[datetime, Sequence[Run]] = {
            time(each["start"]): each["runs"] for each in evidence.windows
        }
        hour = timedelta(hours=1)
        self._stretches = {
            TRIGGER: sorted((start, start + hour, runs) for start, runs in self.families.items()),
            "": sorted((time(each["start"]), time(each["end"]), each["runs"]) for each in evidence.upstream),
        }
        self.reruns: dict[datetime, list[Entry]] = {start: [] for start in self.families}
        self.cancels: dict[datetime, list[Entry]] = {start: [] for start in self.families}
        self.theirs: dict[datetime, list[Entry]] = {start: [] for start in self.families}
        self.cancelled_by: dict[str, str] = {}
        self._file_all()
        begun = next(each["at"] for each in evidence.journal if each["principal"] == OURS)
        self.begun = time(begun)
        self.stuck = {
            start for start in night.waiting & night.selected if self._is_stuck_at(start, self.begun)
        }
        self._looks = [self._looks_of(number) for number in range(1, len(evidence.tries) + 1)]

    def _file_all(self) -> None:
        """Sort the calls that have changed something by who has made them, and where."""
        window_of = {run["triggerRunId"]: start for start, runs in self.families.items() for run in runs}
        run_of = {
            pipeline: run["triggerRunId"]
            for runs in self.families.values()
            for run in runs
            for pipeline in run["pipelineRuns"]
        }
        for entry in self._evidence.journal:
            effect, is_ours = entry["effect"] or {}, entry["principal"] == OURS
            if entry["operation"] == RERUN and effect.get("triggerRunId") in window_of:
                (self.reruns if is_ours else self.theirs)[time(effect["window"]["start"])].append(entry)
            for run_id in effect.get("cancelling", ()):
                trigger_run = run_of.get(run_id, run_id)
                if trigger_run in window_of:
                    self.cancelled_by.setdefault(trigger_run, entry["principal"])
                    (self.cancels if is_ours else self.theirs)[window_of[trigger_run]].append(entry)

    def try_of(self, entry: Entry) -> int:
        """Return the number of the try that has made a call."""
        return sum(begin <= entry["sequence"] for begin in self._evidence.tries)

    def batch_of(self, entry: Entry) -> object:
        """Return the batch that a call of ours belongs to: each try works at one."""
        number = self.try_of(entry)
        owned = [each for each in self._evidence.ledgers if each["owner"].endswith(f"#{number}")]
        return owned[-1]["batch_id"] if owned else number

    def was_stuck(self, start: datetime, until: int, run_id: str | None = None) -> bool:
        """Say whether a window was stuck when one of the tries up to this number looked.

        :param run_id: and this was its latest run then.
        """
        if start not in self._night.selected:
            return False
        return any(
            self._is_stuck_at(start, look)
            and run_id in {None, latest_at(self.families[start], look)["triggerRunId"]}
            for looks in self._looks[:until]
            for look in looks
        )

    def has_new_upstream(self, start: datetime) -> bool:
        """Say whether what a window waits for has run again since the first try began."""
        return any(
            time(run["timestamp"]) > self.begun
            for trigger, offset, size in self._night.needs
            for first, last, runs in self._stretches.get(trigger, self._stretches[""])
            if last > start + offset and first < start + offset + size
            for run in runs
        )

    def _looks_of(self, number: int) -> list[datetime]:
        """Return when a try may have seen what it decided by: from its beginning to its first write."""
        begins = [*self._evidence.tries, len(self._evidence.journal)]
        calls = self._evidence.journal[begins[number - 1] : begins[number]]
        ours = [entry for entry in calls if entry["principal"] == OURS]
        if not ours:
            return []
        first = next((each for each in ours if each["operation"] in {CANCEL, RERUN}), ours[-1])
        begun, sent = time(ours[0]["at"]), time(first["at"])
        return [begun - _BEHIND, begun, begun + (sent - begun) / 2, sent]

    def _is_stuck_at(self, start: datetime, at: datetime) -> bool:
        """Say whether a window's latest run had waited for long, and all that it waits for was whole."""
        runs = self.families[start]
        run = latest_at(runs, at)
        if not run or time(run["timestamp"]) > at - STUCK_AFTER:
            return False
        is_over = any(
            run["triggerRunId"] in entry["effect"].get("cancelling", ()) and time(entry["at"]) < at
            for entry in (*self.cancels[start], *self.theirs[start])
        )
        if is_over or (run is runs[0] and start not in self._night.waiting):
            return False
        return all(self._is_whole(start, *needed, at) for needed in self._night.needs)

    def _is_whole(
        self, start: datetime, trigger: str, offset: timedelta, size: timedelta, at: datetime
    ) -> bool:
        begin, end = start + offset, start + offset + size
        if trigger == TRIGGER:
            begin = max(begin, self._night.begin)
        for first, last, runs in self._stretches.get(trigger, self._stretches[""]):
            if last <= begin or first >= end:
                continue
            if first > begin or not self._had_succeeded(latest_at(runs, at), at - STUCK_AFTER):
                return False
            begin = last
        return begin >= end

    def _had_succeeded(self, run: Run, by: datetime) -> bool:
        ends = [self._evidence.ended.get(each) for each in run.get("pipelineRuns", ())]
        return run.get("status") == "Succeeded" and all(end and time(end) <= by for end in ends)


def time(text: str) -> datetime:
    """Return a time of the evidence."""
    return datetime.fromisoformat(text)


def latest_at(runs: Sequence[Run], at: datetime) -> Run:
    """Return a window's latest run by then, nothing of one if there was none."""
    return next((run for run in reversed(runs) if time(run["timestamp"]) <= at), {})
