"""`python -m tests.live.soak`, which is `make soak`: many deferred tasks in one triggerer, for minutes.

It holds that the triggerer's event loop is never blocked for more than 0.2 s, beyond what the machine itself
let an idle thread wait meanwhile; that the triggerer's memory is at most 20 MB more in the last quarter of
the time than in the first; and that all its connections to the factory are closed at the end. If the machine
stalls for more than 0.3 s the run is void: it ends with 2, and says nothing of the loop.
"""

from __future__ import annotations

import argparse
import re
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import psutil

from stack.airflow import ROOT
from stack.processes import StackError, until
from stack.together import airflow_and_factory
from tests.live.night import FACTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stack.airflow import RealAirflow
    from stack.factory import LocalFactory
    from stack.rest import DagRun

HOME = ROOT / ".stack" / "soak"
_BLOCKED = re.compile(r"async thread was blocked for ([\d.]+) seconds")
_FOR_HOURS = 1_000_000  # seconds: no run ends by itself
_START_SECONDS = 1800.0
_SAMPLE_SECONDS = 5.0
_GROWTH_MB = 20.0
_IDLE_SECONDS = 0.1
_BLOCKED_SECONDS = 0.2
_STALLED_SECONDS = 0.3
_WATCHDOG_SECONDS = 0.1  # Airflow's watchdog sleeps so long, and tells its sleep and what came on top as one
_MEGA = 1024 * 1024


class VoidRunError(Exception):
    """The machine stalled for so long that nothing can be said of the triggerer's loop."""


class IdleThread:
    """Finds out how long the machine lets somebody wait who only wants to look at the clock.

    A triggerer's loop that was blocked for no longer may have been idle: the machine was busy.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="idle", daemon=True)
        self.longest_seconds = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._ended.wait(_IDLE_SECONDS):
            now = time.monotonic()
            self.longest_seconds = max(self.longest_seconds, now - begun - _IDLE_SECONDS)
            begun = now


@dataclass(frozen=True, slots=True)
class Sample:
    """The triggerer at one instant.

    :param megabytes: the memory of its processes.
    :param connections: those that it has to the factory.
    """

    megabytes: float
    connections: int


def main() -> int:
    """Soak, and judge.

    :return: 0 if loop, memory and connections are as they should be, 1 if not, 2 if the run is void.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.live.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=int, default=200, help="deferred tasks; default 200")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long they are watched; default 10")
    options = parser.parse_args()
    factory_at_first = ROOT / "demo" / "scenario.yaml"
    folders = {"live": Path(__file__).parent / "dags"}
    try:
        with airflow_and_factory(HOME, factory_at_first, folders, clock="real") as (airflow, factory):
            airflow.wait_for_dags({"live_soak"})
            wrong = soak(airflow, factory, options.tasks, options.minutes)
    except VoidRunError as void:
        say(f"VOID {void}")
        return 2
    except StackError as error:
        wrong = [str(error)]
    for each in wrong:
        say(f"NOT {each}")
    return 1 if wrong else 0


def soak(airflow: RealAirflow, factory: LocalFactory, tasks: int, minutes: float) -> list[str]:
    """Let tasks wait.

    :return: what is not as it should be.
    :raises VoidRunError: the machine stalled.
    """
    parts = [factory.service, *airflow.services.values()]
    run = _start(airflow, factory, tasks)
    begun = time.monotonic()
    with IdleThread() as idle:
        until(
            f"{tasks} tasks are deferred",
            lambda: run.count("deferred") == tasks,
            seconds=_START_SECONDS,
            services=parts,
        )
        say(f"{tasks} tasks of ours are deferred after {time.monotonic() - begun:.0f} s.")
        wrong = judge_loop("while they started", blocked(airflow), idle.longest_seconds)
    before = len(blocked(airflow))
    with IdleThread() as idle:
        samples = _watch(airflow, factory, minutes)
        wrong += judge_loop("while they waited", blocked(airflow)[before:], idle.longest_seconds)
    still = run.count("deferred")
    if still < tasks:
        wrong.append(f"{tasks - still} tasks ended while they were to wait")
    wrong += _judge_memory(samples)
    factory.call("POST", "/clock", {"advance": _FOR_HOURS})
    until("no task is deferred any more", lambda: run.count("deferred") == 0, seconds=300, services=parts)
    until(
        "all connections to the factory are closed",
        lambda: sample(airflow, factory).connections == 0,
        seconds=60,
        services=parts,
    )
    say("No task waits any more, and the triggerer has no connection to the factory left.")
    return wrong


def judge_loop(when: str, seconds: Sequence[float], machine: float) -> list[str]:
    """Tell how long the loop was blocked, and an idle thread kept waiting by a busy machine.

    :param seconds: of each time that the loop was blocked.
    :param machine: the longest time in seconds that the idle thread waited for the machine.
    :return: what is not as it should be. Beyond bound and machine together it is the loop's own doing.
    :raises VoidRunError: the machine stalled so long that the loop may have been blocked unseen.
    """
    worst = max(seconds, default=0.0)
    say(
        f"Loop {when}: blocked {len(seconds)} times for more than {_WATCHDOG_SECONDS:g} s,"
        f" {worst:.2f} s at most; an idle thread beside it waited for the machine {machine:.2f} s at most."
    )
    if worst > _BLOCKED_SECONDS + machine:
        return [f"the loop was blocked for {worst:.2f} s {when}"]
    if machine > _STALLED_SECONDS:
        raise VoidRunError(
            f"the machine itself stalled for {machine:.2f} s {when}, more than {_STALLED_SECONDS:g} s, and a"
            " blocked loop cannot be told from that. Run it again on a machine that has nothing else to do."
        )
    return []


def _judge_memory(samples: Sequence[Sample]) -> list[str]:
    quarter = max(len(samples) // 4, 1)
    first = median(each.megabytes for each in samples[:quarter])
    last = median(each.megabytes for each in samples[-quarter:])
    say(f"Memory: {first:.0f} MB in the first quarter, {last:.0f} MB in the last.")
    return [f"memory grew by {last - first:.0f} MB"] if last - first > _GROWTH_MB else []


def _start(airflow: RealAirflow, factory: LocalFactory, tasks: int) -> DagRun:
    """Begin a factory of long runs; half of the tasks wait for pipeline runs, half for windows they rerun."""
    windows = tasks // 2
    trigger: dict[str, Any] = {"pipeline": "load", "windows": {"count": windows, "status": "Failed"}}
    factory.load(
        {
            "factory": FACTORY,
            "pipelines": {"load": {"seconds": _FOR_HOURS}},
            "triggers": {"hourly": trigger},
            "runs": [
                {"pipeline": "load", "status": "InProgress", "remaining_seconds": _FOR_HOURS}
                for _ in range(tasks - windows)
            ],
        }
    )
    state = factory.state()
    conf = {
        "pipeline_run_ids": [run["runId"] for run in state["pipelineRuns"] if run["status"] == "InProgress"],
        "trigger_run_ids": [
            window["runs"][-1]["triggerRunId"]
            for window in state["triggers"][0]["windows"]
            if window["status"] == "Failed"
        ],
    }
    return airflow.rest.trigger("live_soak", conf)


def _watch(airflow: RealAirflow, factory: LocalFactory, minutes: float) -> Sequence[Sample]:
    """Take samples for some minutes, and tell of them once a minute."""
    samples: list[Sample] = []
    begun = time.monotonic()

    def is_over() -> bool:
        passed = time.monotonic() - begun
        if passed < len(samples) * _SAMPLE_SECONDS:
            return False
        samples.append(sample(airflow, factory))
        if (len(samples) - 1) % int(60 / _SAMPLE_SECONDS) == 0:
            now = samples[-1]
            calls = factory.call("GET", "/journal?after=1000000000&limit=1")["total"]
            say(
                f"  {passed / 60:4.1f} min: {now.megabytes:.0f} MB, {now.connections} connections,"
                f" {calls} calls so far, loop blocked {len(blocked(airflow))} times"
            )
        return passed >= minutes * 60

    until("the time is over", is_over, seconds=minutes * 60 + 60, services=airflow.services.values())
    return samples


def sample(airflow: RealAirflow, factory: LocalFactory) -> Sample:
    """Look at the triggerer."""
    memory, connections = 0, 0
    for process in airflow.services["triggerer"].members():
        with suppress(psutil.NoSuchProcess):
            memory += process.memory_info().rss
            connections += sum(
                bool(each.raddr) and each.raddr.port == factory.port
                for each in process.net_connections("tcp")
            )
    return Sample(memory / _MEGA, connections)


def blocked(airflow: RealAirflow) -> list[float]:
    """Return for how many seconds the triggerer's loop was blocked, each time that Airflow told of it.

    It tells of whatever is longer than 0.1 s (``blocked_main_thread_warning_threshold`` is 0.2 s, of which
    its watchdog sleeps 0.1).
    """
    log = airflow.services["triggerer"].log.read_text(encoding="utf-8", errors="replace")
    return [float(found) - _WATCHDOG_SECONDS for found in _BLOCKED.findall(log)]


def say(line: str) -> None:
    """Print a line to the person at the terminal."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
