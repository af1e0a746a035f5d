"""What the factory's journal and its runs say about a story; pure, and raises where they say otherwise."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

FINAL = frozenset({"Succeeded", "Failed", "Cancelled"})
_CANCELLED = frozenset({"Cancelled", "Canceling"})
_TRIGGER = re.compile(r"/triggers/([^/]+)/triggerruns/", re.IGNORECASE)


Window: TypeAlias = tuple[str, datetime]  # the trigger and the start


class WrongError(AssertionError):
    """The factory says something else than it should."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a factory tells at one instant.

    :param journal: its calls, as the control API writes them.
    :param state: its triggers and runs, likewise.
    """

    journal: Sequence[Mapping[str, Any]]
    state: Mapping[str, Any]

    def carried_out(self, operation: str) -> list[Mapping[str, Any]]:
        """Return the calls of an operation that changed something."""
        return [each for each in self.journal if each["operation"] == operation and each["effect"]]

    def reruns(self) -> Counter[Window]:
        """Count the reruns of each window, by trigger and start."""
        return Counter(
            (_trigger_of(each), datetime.fromisoformat(each["effect"]["window"]["start"]))
            for each in self.carried_out("TriggerRuns_Rerun")
        )

    def cancelling(self) -> set[str]:
        """Return the runs that calls have cancelled."""
        calls = self.carried_out("PipelineRuns_Cancel") + self.carried_out("TriggerRuns_Cancel")
        return {run_id for each in calls for run_id in each["effect"]["cancelling"]}

    def pipeline_runs(self) -> dict[str, str]:
        """Return the status of each pipeline run."""
        return {run["runId"]: run["status"] for run in self.state["pipelineRuns"]}

    def windows(self) -> dict[Window, str]:
        """Return the status of each window's latest run."""
        return {
            (trigger["name"], datetime.fromisoformat(window["start"])): str(window["status"])
            for trigger in self.state["triggers"]
            for window in trigger["windows"]
        }

    def waiting(self, trigger: str) -> dict[Window, str]:
        """Return the run of each window of a trigger that waits on its dependencies."""
        return {
            (trigger, datetime.fromisoformat(window["start"])): window["runs"][-1]["triggerRunId"]
            for each in self.state["triggers"]
            if each["name"] == trigger
            for window in each["windows"]
            if window["status"] == "WaitingOnDependency"
        }

    def status(self, window: Window) -> str:
        """Return the status of a window's latest run."""
        return self.windows()[window]

    def rerun_runs(self, *triggers: str) -> set[str]:
        """Return the pipeline runs that the reruns of some triggers' windows have started."""
        return {
            run_id
            for trigger in self.state["triggers"]
            if trigger["name"] in triggers
            for window in trigger["windows"]
            for run in window["runs"][1:]
            for run_id in run["pipelineRuns"]
        }

    def rerun_trigger_runs(self, *triggers: str) -> set[str]:
        """Return the trigger runs that the reruns of some triggers' windows are."""
        return {
            run["triggerRunId"]
            for trigger in self.state["triggers"]
            if trigger["name"] in triggers
            for window in trigger["windows"]
            for run in window["runs"][1:]
        }

    def alive(self) -> set[str]:
        """Return the pipeline runs that have not ended."""
        return {run_id for run_id, status in self.pipeline_runs().items() if status not in FINAL}


def each_rerun(evidence: Evidence, due: Iterable[Window]) -> str:
    """See that each window was rerun as often as it was due, and no other window.

    :param due: windows by trigger and start; what stands twice was due twice.
    """
    wanted, found = Counter(due), evidence.reruns()
    if found != wanted:
        missed, beyond = dict(wanted - found), dict(found - wanted)
        raise WrongError(f"windows missed: {missed or 'none'}; rerun beyond: {beyond or 'none'}")
    twice = sum(times > 1 for times in wanted.values())
    again = f" ({twice} once more, as asked)" if twice else ""
    return f"{len(wanted)} windows rerun once{again}"


def each_cancelled(evidence: Evidence, waiting: Iterable[str]) -> str:
    """See that the cancel of each trigger run was sent once, and of no other one.

    :param waiting: the trigger runs' ids.
    """
    wanted = Counter(waiting)
    sent = Counter(
        str(each["subject"]) for each in evidence.journal if each["operation"] == "TriggerRuns_Cancel"
    )
    if sent != wanted:
        missed, beyond = dict(wanted - sent), dict(sent - wanted)
        raise WrongError(f"cancels missed: {missed or 'none'}; sent beyond: {beyond or 'none'}")
    return f"{len(wanted)} trigger runs cancelled once"


def left_waiting(evidence: Evidence, trigger: str, rightly: Mapping[Window, str]) -> str:
    """See that of a trigger's windows these wait on their dependencies, in the very same runs, and no others.

    :param rightly: the runs' ids.
    """
    found = evidence.waiting(trigger)
    if found != dict(rightly):
        raise WrongError(f"the windows that wait on dependencies are {found}, not {dict(rightly)}")
    return f"{len(found)} that wait as they should wait on"


def whole(evidence: Evidence, due: Iterable[Window]) -> str:
    """See that windows have succeeded."""
    wrong = {window: evidence.status(window) for window in due if evidence.status(window) != "Succeeded"}
    if wrong:
        raise WrongError(f"windows that are not Succeeded: {wrong}")
    return "all Succeeded"


def next_try(evidence: Evidence, report: Mapping[str, Any], due: Sequence[Window], *, takes_up: bool) -> str:
    """See that a try that is not the first accounts for each window of its trigger once.

    :param report: what it has left in XCom.
    :param due: the windows that were due to its task, of one trigger.
    :param takes_up: whether it can know of the batch of the try before; else it has to leave alone what that
        one has sent.
    """
    known = evidence.rerun_trigger_runs(*{trigger for trigger, _ in due})
    own = [_start_of(each) for each in report["windows"]]
    alone = [_start_of(each) for each in report["skipped"] if each["run_id"] in known]
    if Counter(own + alone) != Counter(start for _, start in due) or (takes_up and alone):
        raise WrongError(f"the next try reports the windows {own}, and leaves the reruns of {alone} alone")
    if takes_up:
        return f"the next try reports all {len(own)} windows"
    return f"the next try leaves {len(alone)} windows alone that were sent before, and reports {len(own)}"


def named(report: Mapping[str, Any], due: Iterable[Window]) -> str:
    """See that a task that has failed names each window as a problem, and no other one.

    :param report: what it has left in XCom.
    """
    problems = Counter(_start_of(each) for each in report["windows"] if each["problem"])
    if problems != Counter(start for _, start in due):
        raise WrongError(f"the windows that the task names are {sorted(problems)}")
    return f"the next try names {len(problems)} windows that were cancelled"


def _start_of(reported: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(reported["window_start"])


def nothing_cancelled(evidence: Evidence) -> str:
    """See that no run was cancelled, and that no cancel was even asked for."""
    asked = [each for each in evidence.journal if each["operation"].endswith("_Cancel")]
    statuses = evidence.pipeline_runs()
    wrong = {run_id: status for run_id, status in statuses.items() if status in _CANCELLED}
    if asked or wrong:
        raise WrongError(f"cancels asked for: {[each['subject'] for each in asked]}; cancelled: {wrong}")
    return "nothing cancelled"


def untouched(evidence: Evidence, others: Collection[str]) -> str:
    """See that the runs of others go on."""
    statuses = evidence.pipeline_runs()
    wrong = {run_id: statuses[run_id] for run_id in others if statuses[run_id] != "InProgress"}
    if wrong:
        raise WrongError(f"runs of others that no longer run: {wrong}")
    return f"{len(others)} runs of others go on"


def not_yet_cancelled(evidence: Evidence, runs: Collection[str]) -> dict[str, str]:
    """Return those of some pipeline runs that are neither Cancelled nor being cancelled."""
    statuses = evidence.pipeline_runs()
    return {run_id: statuses[run_id] for run_id in runs if statuses[run_id] not in _CANCELLED}


def _trigger_of(entry: Mapping[str, Any]) -> str:
    found = _TRIGGER.search(entry["path"])
    return found[1] if found else ""
