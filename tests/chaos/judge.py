"""Says what a night's reruns did wrong, from the factory's journal and truth alone; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.chaos.night import COLLEAGUE, OURS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.chaos.night import Night

_RERUN, _QUERY = "TriggerRuns_Rerun", "TriggerRuns_QueryByFactory"
_WHO = {OURS: "this batch", COLLEAGUE: "somebody else"}
_CANCELS = frozenset({"TriggerRuns_Cancel", "PipelineRuns_Cancel"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left of a night.

    :param journal: the factory's, as its control API writes it.
    :param windows: the trigger's windows with their runs, as they truly are in the end.
    :param report: what the task left in XCom, if anything.
    :param end: how its last try ended.
    :param tries: the length of the journal when each try began.
    :param has_store: whether tries knew of each other; else each plans anew, and reports only its own.
    """

    journal: Sequence[Mapping[str, Any]]
    windows: Sequence[Mapping[str, Any]]
    report: Mapping[str, Any] | None
    end: str
    tries: Sequence[int] = (0,)
    has_store: bool = True


@dataclass(slots=True)
class Judgement:
    """What was found: sentences, by kind, empty where all is well."""

    twice: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    on_top: list[str] = field(default_factory=list)
    report: list[str] = field(default_factory=list)
    reruns: int = 0
    foreign: int = 0
    faults: int = 0

    @property
    def findings(self) -> list[str]:
        """Everything that is wrong."""
        return [*self.twice, *self.missed, *self.touched, *self.on_top, *self.report]


def judge(night: Night, evidence: Evidence) -> Judgement:
    """Judge a night."""
    found = Judgement(faults=sum(entry["fault"] is not None for entry in evidence.journal))
    ours: dict[datetime, list[Mapping[str, Any]]] = defaultdict(list)
    theirs: dict[datetime, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in evidence.journal:
        if entry["operation"] == _RERUN and entry["effect"]:
            whose = theirs if entry["principal"] == COLLEAGUE else ours
            whose[_time(entry["effect"]["window"]["start"])].append(entry)
    meddled = set(theirs) | _cancelled_windows(evidence)
    found.reruns, found.foreign = sum(map(len, ours.values())), len(meddled)
    for window, entries in sorted(ours.items()):
        calls = [int(entry["sequence"]) for entry in entries]
        if not all(_may_follow(evidence, *pair) for pair in pairwise(entries)):
            found.twice.append(f"window {window} was rerun {len(calls)} times, by calls {calls}")
        if window not in night.eligible | meddled:
            found.touched.append(f"window {window} was rerun by call {calls[0]}, and was not to be")
    found.missed += [
        f"window {window} was to be rerun, and was not"
        for window in sorted(night.eligible - set(ours) - set(theirs))
    ]
    found.on_top += _reruns_on_top(evidence)
    found.report += _misreported(night, evidence, set(ours), set(theirs), meddled)
    return found


def _may_follow(evidence: Evidence, first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Say whether a window may be rerun by a second call of ours.

    Only by another try that knows nothing of the first, and of a run that has ended without success by then:
    the first call's, or a later one of somebody else. The service reruns only what has ended.
    """
    if evidence.has_store or not any(
        first["sequence"] < each <= second["sequence"] for each in evidence.tries
    ):
        return False
    start = _time(second["effect"]["window"]["start"])
    runs = next(window["runs"] for window in evidence.windows if _time(window["start"]) == start)
    run_ids = [run["triggerRunId"] for run in runs]
    place = run_ids.index(second["subject"])
    is_later = place >= run_ids.index(first["effect"]["triggerRunId"])
    return is_later and runs[place]["status"] in {"Failed", "Cancelled"}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _cancelled_windows(evidence: Evidence) -> set[datetime]:
    cancelled = {
        run_id
        for entry in evidence.journal
        if entry["operation"] in _CANCELS and entry["effect"]
        for run_id in entry["effect"]["cancelling"]
    }
    return {
        _time(window["start"])
        for window in evidence.windows
        for run in window["runs"]
        if cancelled & {run["triggerRunId"], *run["pipelineRuns"]}
    }


def _reruns_on_top(evidence: Evidence) -> Iterator[str]:
    """Find reruns of a run although the same try had been shown a newer one of its window."""
    order = {
        run["triggerRunId"]: (_time(window["start"]), place)
        for window in evidence.windows
        for place, run in enumerate(window["runs"])
    }
    begins = set(evidence.tries)
    shown: dict[datetime, int] = {}
    for entry in evidence.journal:
        if entry["sequence"] in begins:
            shown = {}
        if entry["principal"] != OURS:
            continue
        if entry["operation"] == _QUERY and entry["status"] == 200 and not _is_lost(entry["fault"]):
            for run in entry["answer"]["value"]:
                window, place = order.get(run["triggerRunId"], (None, 0))
                if window is not None:
                    shown[window] = max(place, shown.get(window, 0))
        if entry["operation"] == _RERUN and entry["effect"]:
            rerun_window, rerun_place = order[entry["subject"]]
            if shown.get(rerun_window, 0) > rerun_place:
                call = entry["sequence"]
                yield f"window {rerun_window} was rerun by call {call} though a newer run had been shown"


def _is_lost(fault: str | None) -> bool:
    """Say whether the answer did not arrive: then nothing was shown."""
    return fault is not None and not fault.startswith(("stale", "delay", "lose"))


def _misreported(
    night: Night, evidence: Evidence, ours: set[datetime], theirs: set[datetime], meddled: set[datetime]
) -> Iterator[str]:
    if evidence.report is None:
        yield f"there is no report; the last try ended with {evidence.end}"
        return
    truth = {_time(window["start"]): window["runs"] for window in evidence.windows}
    reported = {_time(each["window_start"]): each for each in evidence.report["windows"]}
    for window in sorted((night.eligible - theirs | ours) - set(reported)) if evidence.has_store else ():
        yield f"window {window} is not in the report"
    for window in sorted(set(reported) - night.eligible - meddled):
        yield f"window {window} is in the report, and was not to be rerun"
    for window, told in sorted(reported.items()):
        runs = {run["triggerRunId"]: run for run in truth[window]}
        new = runs.get(told["new_run_id"])
        if new is None:
            words = f"{told['step']} with run {told['new_run_id']}: {told['problem']}"
            yield f"window {window} is reported as {words}"
        elif new["status"] != told["status"]:
            yield f"window {window} is reported {told['status']}, and its run is {new['status']}"
        elif window not in meddled and truth[window][-1] is not new:
            yield f"window {window} is reported with a run that is not its latest"
    yield from _misattributed(evidence, reported)
    whole = all(each["status"] == "Succeeded" for each in reported.values())
    if whole != (evidence.end == "success"):
        counts = dict(Counter(each["status"] for each in reported.values()))
        yield f"the task ended with {evidence.end}, and its windows are {counts}"


def _misattributed(evidence: Evidence, reported: Mapping[datetime, Mapping[str, Any]]) -> Iterator[str]:
    """Find runs that the report gives to another than who sent them, where the task can have known.

    It cannot where somebody else has rerun the window as well: then the latest run is given to them. Nor
    where an answer to us was lost, or a try was killed that may have sent the window: then a single new run
    is given to us.
    """
    reruns = [entry for entry in evidence.journal if entry["operation"] == _RERUN]
    sent = {entry["effect"]["triggerRunId"]: entry for entry in reruns if entry["effect"]}
    colleagues = {
        _time(entry["effect"]["window"]["start"])
        for entry in sent.values()
        if entry["principal"] == COLLEAGUE
    }
    lost = {entry["path"].split("/")[-2] for entry in reruns if entry["principal"] == OURS and entry["fault"]}
    for window, told in sorted(reported.items()):
        entry = sent.get(told["new_run_id"])
        if entry is None or told["rerun_by"] == _WHO[entry["principal"]]:
            continue
        is_excused = (
            window in colleagues
            if entry["principal"] == OURS
            else told["run_id"] in lost or len(evidence.tries) > 1
        )
        if not is_excused:
            call = f"call {entry['sequence']} was by {_WHO[entry['principal']]}"
            yield f"window {window} is reported as rerun by {told['rerun_by']}, and {call}"
