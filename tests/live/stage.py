"""Where a story plays: one Airflow and one factory for all, and what stories wait for and ask."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from stack.processes import StackError, until
from tests.live import judge
from tests.live.judge import Evidence, WrongError
from tests.live.night import UNTIL_TOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from stack.airflow import RealAirflow
    from stack.factory import LocalFactory
    from stack.rest import DagRun
    from tests.live.statsd import Statsd

_Found = TypeVar("_Found")
CLOCK = 30.0  # seconds of the factory in a second
_FINAL = ("success", "failed")
_TASK_AND_SUPERVISOR = 2
PATIENCE_SECONDS = 180.0  # for whatever comes to be in some 20 s; the machine may be busy
_TURNS_SECONDS = 3.0


@dataclass
class Stage:
    """The stage of one story.

    :param statsd: hears the metrics of all processes of Airflow.
    :param others: the pipeline runs of others, which run when the story begins.
    :param runs: the DAG runs that the story has started.
    """

    airflow: RealAirflow
    factory: LocalFactory
    statsd: Statsd
    others: frozenset[str] = frozenset()
    runs: list[DagRun] = field(default_factory=list)

    def begin(self, scenario: Mapping[str, Any], *faults: Mapping[str, Any], clock: float = CLOCK) -> None:
        """Begin with a fresh factory.

        :param faults: what its calls will meet.
        :param clock: how many of its seconds pass in a second.
        """
        self.set_clock(clock)
        self.factory.load(scenario)
        self.others = frozenset(self.evidence().alive())
        if faults:
            self.factory.call("POST", "/faults", list(faults))

    def set_clock(self, clock: float) -> None:
        """Let so many of the factory's seconds pass in a second from now on."""
        self.factory.call("POST", "/clock", {"set": clock})

    def let_pass(self, seconds: float) -> None:
        """Let so many of the factory's seconds pass at once."""
        self.factory.call("POST", "/clock", {"advance": seconds})

    def let_reruns_end(self, *runs: DagRun) -> None:
        """Let pass the time that reruns of `UNTIL_TOLD` seconds take.

        :param runs: whose deferred tasks wait for them.
        """
        if runs:
            self.wait_until_let_go(*runs)
        self.let_pass(UNTIL_TOLD)

    def start(self, dag_id: str, conf: Mapping[str, Any], run_after: datetime | None = None) -> DagRun:
        """Start a DAG run."""
        run = self.airflow.rest.trigger(dag_id, conf, run_after)
        self.runs.append(run)
        return run

    def evidence(self) -> Evidence:
        """Return what the factory tells now."""
        return Evidence(self.factory.journal(), self.factory.state())

    def wait(self, what: str, look: Callable[[], _Found], seconds: float = PATIENCE_SECONDS) -> _Found:
        """Wait for something; see `until`."""
        services = [self.factory.service, *self.airflow.services.values()]
        return until(what, look, seconds=seconds, services=services)

    def wait_until_deferred(
        self,
        run: DagRun,
        task_id: str = "rerun",
        tasks: int = 1,
        tries: int = 1,
        seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Wait until a task, or each of a mapped one, waits in the triggerer.

        :param tries: in this try.
        """
        self.wait(
            f"{task_id} of {run.dag_id} is deferred in try {tries}",
            lambda: self._in_state(run, task_id, "deferred", tries) == tasks,
            seconds,
        )

    def wait_for_next_try(self, run: DagRun, task_id: str = "rerun", map_index: int = -1) -> None:
        """Wait until a try that is not the first waits in the triggerer, or has ended well."""

        def look() -> bool:
            task = run.task(task_id, map_index)
            return task["try_number"] > 1 and task["state"] in {"deferred", "success"}

        self.wait(f"a next try of {task_id} of {run.dag_id} has done what it can", look)

    def wait_for_its_trigger(self, run: DagRun, task_id: str = "rerun") -> None:
        """Wait until the trigger of a deferred task runs: before, Airflow 3.3.2 tells nobody of a mark."""
        self.wait(
            f"the trigger of {task_id} of {run.dag_id} runs",
            lambda: any(line.endswith(" starting") for line in run.log(task_id, 1).splitlines()),
        )

    def wait_until_let_go(self, *runs: DagRun, task_id: str = "rerun") -> None:
        """Wait until the workers have let go of a task, and the scheduler has had some turns to learn of it.

        Airflow 3.3.2 fails a task that is to be resumed before; a person is never as fast.
        """
        self.wait(
            f"the workers let go of {task_id} of {', '.join(run.dag_id for run in runs)}",
            lambda: not any(self._processes_of(run, task_id) for run in runs),
        )
        gone = time.monotonic()
        self.wait("the scheduler has had its turns", lambda: time.monotonic() > gone + _TURNS_SECONDS)

    def wait_for_end(self, run: DagRun, state: str = "success", seconds: float = 180) -> None:
        """Wait until a DAG run has ended, and see how."""
        found = self.wait(f"{run.dag_id} has ended", lambda: _ended(run), seconds)
        if found != state:
            raise WrongError(f"{run.dag_id} ended with {found}, not {state}: {run.states()}")

    def wait_until_cancelled(self, runs: Collection[str], within_seconds: float) -> None:
        """Wait until pipeline runs are Cancelled, or being cancelled."""
        self.wait(
            f"all {len(runs)} runs are being cancelled",
            lambda: not judge.not_yet_cancelled(self.evidence(), runs),
            within_seconds,
        )

    def wait_until_still(self, seconds: float = 120) -> Evidence:
        """Wait until nothing runs but what others started. :return: what the factory tells then."""
        self.wait("nothing of ours runs", lambda: self.evidence().alive() <= self.others, seconds)
        return self.evidence()

    def kill_worker(self, run: DagRun, task_id: str = "rerun") -> None:
        """Kill a task's process and the one that supervises it, as a machine that fails does.

        :raises StackError: the task does not run.
        """
        killed = 0
        for process in self._processes_of(run, task_id):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                killed += 1
        if killed < _TASK_AND_SUPERVISOR:
            raise StackError(f"{task_id} of {run.dag_id} does not run: {killed} processes of it were found")

    def _processes_of(self, run: DagRun, task_id: str) -> list[psutil.Process]:
        """Return a task's processes: the title that they gave themselves has the task instance's id."""
        ids = [str(task["id"]) for (name, _), task in run.tasks().items() if name == task_id]
        found = []
        for process in self.airflow.services["scheduler"].members():
            with suppress(psutil.NoSuchProcess):
                title = " ".join(process.cmdline())
                if any(each in title for each in ids):
                    found.append(process)
        return found

    def logs(self) -> str:
        """Return the ends of the logs of the story's tasks."""
        found = []
        for run in self.runs:
            for (task_id, map_index), task in run.tasks().items():
                for number in range(1, int(task["try_number"]) + 1):
                    heading = f"{run.dag_id} {task_id}[{map_index}] try {number}, {task['state']}"
                    lines = run.log(task_id, number, map_index).splitlines()[-20:]
                    found += [heading, *(f"  {line}" for line in lines)]
        return "\n".join(found)

    def abandon(self) -> None:
        """End what a story that went wrong has left, so that the next ones do not meet it."""
        for run in self.runs:
            if not run.has_ended:
                run.mark_run("failed")

    @staticmethod
    def _in_state(run: DagRun, task_id: str, state: str, tries: int) -> int:
        found = [task for (name, _), task in run.tasks().items() if name == task_id]
        if any(task["state"] in _FINAL for task in found):
            raise WrongError(f"{task_id} of {run.dag_id} has ended already: {run.states()}")
        return sum(task["state"] == state and task["try_number"] >= tries for task in found)


def _ended(run: DagRun) -> str:
    state = run.state
    return state if state in _FINAL else ""
