"""Takes a task through a night: starts its tries, kills them, meddles, and gathers the evidence."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.batch.ledger import Phase
from tests.chaos.attempt import ERROR, VERDICT, begin, read
from tests.chaos.factory import Control, Served
from tests.chaos.judge import Evidence
from tests.chaos.night import COLLEAGUE, TRIGGER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.night import Night

MOST_TRIES = 14  # four kills, and ten that end by themselves without a verdict
_LOOK_SECONDS = 0.005
_STILL_LOOKS = 5
_HANGING_LOOKS = 20
_LONGEST_TRY_SECONDS = 600.0
_QUIET = timedelta(minutes=2)
HUNG, KILLED = "hung", "killed"


@dataclass(slots=True)
class Storm:
    """One night of one task.

    :param home: a directory of its own.
    :param attempt: starts the work of a try, by its number, in the process that is to be killed.
    :param has_store: whether Airflow keeps the ledger between tries.
    """

    night: Night
    served: Served
    home: Path
    attempt: Callable[[int], Callable[[], None]]
    has_store: bool = True
    tries: list[int] = field(default_factory=list)
    kills: int = 0
    _left: list[tuple[int, str]] = field(default_factory=list)
    _losses: list[int] = field(default_factory=list)

    def run(self) -> Evidence:
        """Go through the night. :return: what is left of it."""
        self.home.mkdir(parents=True, exist_ok=True)
        control = Control(self.served)
        control.call("PUT", "/scenario", self.night.scenario)
        control.call("POST", "/faults", list(self.night.faults))
        self._left = list(self.night.meddling)
        kills = list(self.night.kills)
        end = ERROR
        for number in range(1, MOST_TRIES + 1):
            self.tries.append(control.calls_so_far())
            end = self._try(control, number, kills.pop(0) if kills else None)
            if end not in {ERROR, KILLED}:
                break
            control.advance(random.Random(f"{self.night.seed} {number}").uniform(0, 5))  # noqa: S311
        control.call("DELETE", "/faults")
        control.advance(_QUIET.total_seconds())
        xcom = read(self.home / "xcom.json") or {}
        evidence = Evidence(
            control.journal(),
            control.windows(2 * len(self.night.windows)),
            xcom.get("return_value"),
            end,
            tuple(self.tries),
            self.has_store,
        )
        control.close()
        return evidence

    def _try(self, control: Control, number: int, kill_after: int | None) -> str:
        """Go through one try. :return: how it ended."""
        process = begin(self.home, self.served, self.attempt(number))
        try:
            return self._watch(control, process, kill_after)
        finally:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            for loss in self._losses:
                with suppress(RuntimeError):
                    control.call("DELETE", f"/faults/{loss}")
            self._losses.clear()

    def _watch(self, control: Control, process: int, kill_after: int | None) -> str:
        ended = os.pidfd_open(process)
        try:
            return self._watch_until(ended, control, process, kill_after)
        finally:
            os.close(ended)

    def _watch_until(self, ended: int, control: Control, process: int, kill_after: int | None) -> str:
        until = time.monotonic() + _LONGEST_TRY_SECONDS
        began, before, still = self.tries[-1], -1, 0
        while time.monotonic() < until:
            waited, status = os.waitpid(process, os.WNOHANG)
            if waited and os.WIFSIGNALED(status):
                self.kills += 1
                return self._judged() or KILLED
            if waited:
                return str((read(self.home / "outcome.json") or {"end": ERROR})["end"])
            calls = control.calls_so_far()
            if kill_after is not None and calls - began >= kill_after:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                self.kills += 1
                return self._judged() or KILLED
            self._meddle(control, calls)
            self._lose(control)
            still = still + 1 if calls == before else 0
            before = calls
            if still and still % _STILL_LOOKS == 0:  # an answer is delayed: time passes for who waits for it
                control.advance(2)
            if still >= _HANGING_LOOKS:  # it hangs: the connection breaks in the end
                control.call("POST", "/release")
                still = 0
            select.select([ended], [], [], _LOOK_SECONDS)  # returns at once when the process ends
        return HUNG

    def _ledger(self) -> dict[str, Any]:
        return dict((read(self.home / "state.json") or {}).get("adfruns_rerun") or {})

    def _judged(self) -> str | None:
        """Return the verdict of a task that was killed before it could say that it has failed.

        A next try of it would rerun what has failed again, as after a verdict that was said.
        """
        return VERDICT if self._ledger().get("phase") == Phase.FAILED else None

    def _lose(self, control: Control) -> None:
        """Let answers lose pages once all is submitted; only a look that is repeated can make up for it."""
        ledger = self._ledger()
        is_ours = str(ledger.get("owner", "")).endswith(f"#{len(self.tries)}")
        if not self._losses and is_ours and ledger["phase"] == "watching":
            self._losses += control.call("POST", "/faults", list(self.night.losses))["added"]

    def _meddle(self, control: Control, calls: int) -> None:
        """Do what somebody else does when it is time."""
        while self._left and self._left[0][0] <= calls:
            what = self._left.pop(0)[1]
            chance = random.Random(f"{self.night.seed} {calls} {what}")  # noqa: S311
            path = _target(chance, what, control.windows(len(self.night.windows)))
            if path is not None:
                self.served.call_as(COLLEAGUE, "POST", path.format(trigger=TRIGGER))


def _target(chance: random.Random, what: str, windows: list[dict[str, Any]]) -> str | None:
    """Choose what somebody else acts on. :return: the call's path, None if there is nothing of the kind."""
    latest = [window["runs"][-1] for window in windows]
    if what == "rerun":
        chosen = [run for run in latest if run["status"] in {"Failed", "Cancelled"}]
        path = "/triggers/{{trigger}}/triggerRuns/{0}/rerun"
    elif what == "cancel":
        chosen = [run for run in latest if run["status"] == "Running" and run["pipelineRuns"]]
        path = "/pipelineruns/{1}/cancel"
    else:
        chosen = [run for run in latest if run["status"] == "WaitingOnDependency"]
        path = "/triggers/{{trigger}}/triggerRuns/{0}/cancel"
    if not chosen:
        return None
    run = chance.choice(chosen)
    return path.format(run["triggerRunId"], next(iter(run["pipelineRuns"]), ""))
