"""Takes a recovery through a night: its tries, its deaths, what persons do meanwhile, and the evidence."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.attempt import ERROR, SUCCESS, VERDICT, read
from tests.chaos.factory import Control
from tests.chaos.night import COLLEAGUE, OURS
from tests.chaos.tries import HUNG, Tries
from tests.recovery.attempt import read_ledgers
from tests.recovery.night import OUTAGE, PERSON, TRIGGER, UPSTREAM, WAITS
from tests.recovery.truth import Evidence

if TYPE_CHECKING:
    from tests.recovery.night import Night

_MOST_TRIES = 24
_MOST_ERRORS = 5
_QUIET_SECONDS = 1200.0
_CANCELLED_SECONDS = 400.0
_OUTAGE = {"operation": "TriggerRuns_QueryByFactory", "status": 503, "for_seconds": 200}
_RERUN, _CANCEL = (
    "/triggers/{trigger}/triggerRuns/{run}/rerun",
    "/triggers/{trigger}/triggerRuns/{run}/cancel",
)


@dataclass(slots=True, kw_only=True)
class RecoveryStorm(Tries):
    """One night of one recovery.

    :param has_store: whether Airflow keeps the ledger between tries.
    """

    night: Night
    has_store: bool = True
    max_tries: int = 0
    _left: list[tuple[int, str]] = field(default_factory=list)
    _clears: list[int] = field(default_factory=list)

    def run(self) -> Evidence:
        """Go through the night. :return: what is left of it."""
        night = self.night
        self.home.mkdir(parents=True, exist_ok=True)
        control = Control(self.served)
        control.call("PUT", "/scenario", night.scenario)
        self._cancel_before(control)
        control.call("POST", "/faults", list(night.faults))
        self._left = list(night.meddling)
        ends = self._all_tries(control)
        control.call("DELETE", "/faults")
        control.advance(_QUIET_SECONDS)
        xcom = read(self.home / "xcom.json") or {}
        evidence = Evidence(
            control.journal(),
            control.windows(2 * night.count, TRIGGER),
            control.windows(10 * night.count, UPSTREAM),
            {run["runId"]: run["end"] for run in control.pipeline_runs()},
            xcom.get("return_value"),
            tuple(ends),
            tuple(self.tries),
            tuple(self._clears),
            read_ledgers(self.home),
            str((read(self.home / "outcome.json") or {}).get("message", "")),
            self.has_store,
        )
        control.close()
        return evidence

    def _all_tries(self, control: Control) -> list[str]:
        """Go on as Airflow does, until it has no retry left. :return: how each try has ended."""
        night = self.night
        ends: list[str] = []
        verdicts, errors, is_cleared = 0, 0, not night.is_cleared_in_the_end
        while len(ends) < _MOST_TRIES:
            end = self.go(control)
            ends.append(end)
            death = self.death(len(ends))
            verdicts, errors = verdicts + (end == VERDICT), errors + (end == ERROR)
            if (
                end == HUNG
                or errors > _MOST_ERRORS
                or verdicts > night.retries
                or (end == SUCCESS and is_cleared)
            ):
                break
            if end == SUCCESS:
                is_cleared = True
                self._clear()
            elif death is not None and death.then and end not in {VERDICT, ERROR}:
                if death.then == "end":
                    self._end_reruns(control)
                self._clear()
            control.advance(night.pauses[len(ends)])
            self._act_between(control, len(ends))
        return ends

    def _act_between(self, control: Control, number: int) -> None:
        """Let somebody else act after a try, once what it has begun to cancel is cancelled."""
        chance = random.Random(f"{self.night.seed} between {number}")  # noqa: S311
        if self.night.between[number]:
            control.advance(_CANCELLED_SECONDS)
        for what in self.night.between[number]:
            self._meddle(control, chance, what)

    def death(self, number: int) -> Any:
        """Return how a try ends before its time, None if it does not."""
        return self.night.deaths[number - 1] if number <= len(self.night.deaths) else None

    def _clear(self) -> None:
        self.max_tries += 1
        self._clears.append(len(self.tries) + 1)

    def _cancel_before(self, control: Control) -> None:
        """Let a person cancel some windows that wait, before there is any trouble."""
        chance = random.Random(f"before {self.night.seed}")  # noqa: S311
        for _ in range(self.night.cancelled_before):
            self._meddle(control, chance, "cancel waiting")
        control.advance(_CANCELLED_SECONDS)

    def _end_reruns(self, control: Control) -> None:
        """Do as a kill does that cancels what the task has rerun."""
        sent = [
            entry["effect"]["triggerRunId"]
            for entry in control.journal()
            if entry["operation"] == "TriggerRuns_Rerun" and entry["principal"] == OURS and entry["effect"]
        ]
        for window in control.windows(2 * self.night.count, TRIGGER):
            run = window["runs"][-1]
            if run["triggerRunId"] not in sent:
                continue
            if run["status"] == "Running":
                for each in run["pipelineRuns"]:
                    self.served.call_as(PERSON, "POST", f"/pipelineruns/{each}/cancel")
            elif run["status"] == WAITS:
                path = _CANCEL.format(trigger=TRIGGER, run=run["triggerRunId"])
                self.served.call_as(PERSON, "POST", path)

    def meanwhile(self, control: Control, calls: int) -> None:
        """Do what somebody else does when it is time."""
        while self._left and self._left[0][0] <= calls:
            what = self._left.pop(0)[1]
            chance = random.Random(f"{self.night.seed} {calls} {what}")  # noqa: S311
            self._meddle(control, chance, what)

    def _meddle(self, control: Control, chance: random.Random, what: str) -> None:
        if what == OUTAGE:
            control.call("POST", "/faults", [_OUTAGE])
            return
        trigger = UPSTREAM if "upstream" in what else TRIGGER
        path = target(chance, what, control.windows(10 * self.night.count, trigger))
        if path is not None:
            self.served.call_as(COLLEAGUE, "POST", path.replace("{trigger}", trigger))


def target(chance: random.Random, what: str, windows: list[dict[str, Any]]) -> str | None:
    """Choose what somebody else acts on. :return: the call's path, None if there is nothing of the kind."""
    wanted, path = _MEDDLING[what]
    chosen = [window["runs"][-1] for window in windows if window["status"] in wanted]
    if what == "rerun what it has cancelled":
        chosen = [run for run in chosen if not run["pipelineRuns"]]
    if what == "cancel":
        chosen = [run for run in chosen if run["pipelineRuns"]]
    if not chosen:
        return None
    run = chance.choice(chosen)
    return path.replace("{run}", run["triggerRunId"]).replace(
        "{pipeline}", next(iter(run["pipelineRuns"]), "")
    )


_MEDDLING = {
    "rerun": ({"Failed", "Cancelled"}, _RERUN),
    "rerun what it has cancelled": ({"Cancelled"}, _RERUN),
    "cancel": ({"Running"}, "/pipelineruns/{pipeline}/cancel"),
    "cancel waiting": ({WAITS}, _CANCEL),
    "rerun upstream": ({"Failed", "Cancelled"}, _RERUN),
    "rerun upstream that has succeeded": ({"Succeeded"}, _RERUN),
}
