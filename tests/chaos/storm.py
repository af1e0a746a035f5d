"""Takes a task through a night: starts its tries, kills them, meddles, and gathers the evidence."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.batch.ledger import Phase
from tests.chaos.attempt import ERROR, VERDICT, read
from tests.chaos.factory import Control
from tests.chaos.judge import Evidence
from tests.chaos.night import COLLEAGUE, TRIGGER
from tests.chaos.tries import KILLED, Tries

if TYPE_CHECKING:
    from tests.chaos.night import Night

MOST_TRIES = 14  # four kills, and ten that end by themselves without a verdict
_QUIET = timedelta(minutes=2)


@dataclass(slots=True, kw_only=True)
class Storm(Tries):
    """One night of one task.

    :param has_store: whether Airflow keeps the ledger between tries.
    """

    night: Night
    has_store: bool = True
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
            end = self.go(control, kills.pop(0) if kills else None)
            for loss in self._losses:
                with suppress(RuntimeError):
                    control.call("DELETE", f"/faults/{loss}")
            self._losses.clear()
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

    def _ledger(self) -> dict[str, Any]:
        return dict((read(self.home / "state.json") or {}).get("adfruns_rerun") or {})

    def meanwhile(self, control: Control, calls: int) -> None:
        """Let somebody else act, and answers lose pages."""
        self._meddle(control, calls)
        self._lose(control)

    def after_kill(self) -> str:
        """Return the verdict of a task that was killed before it could say that it has failed.

        A next try of it would rerun what has failed again, as after a verdict that was said.
        """
        return VERDICT if self._ledger().get("phase") == Phase.FAILED else KILLED

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
