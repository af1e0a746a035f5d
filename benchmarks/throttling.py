"""What throttling costs: how long many reruns take against a service's limits, and how many it refuses.

Run as ``python -m benchmarks.throttling``; it takes about two minutes. First one process reruns 5,000 windows
on a clock that only its waits move; then four processes of one principal share its bucket in real time.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.identity import FactoryConnection, read_connection
from airflow_provider_adfruns.adf.pacing import READS, WRITES, Limit, Pacer
from airflow_provider_adfruns.adf.pause import elapsed, moving
from airflow_provider_adfruns.emulator import AdfEmulator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_adfruns.emulator import JournalEntry

WINDOWS = 5000
BURST = 200
_AT_ONCE = 8
_SHARED_SECONDS = 45.0
_PROCESSES = 4
_WORKER = "--worker"


@dataclass(frozen=True, slots=True)
class Figures:
    """What the service's journal says of many writes.

    :param seconds: between the first and the last, on the service's clock.
    :param done: how many were carried out.
    :param refused: how many were answered 429.
    """

    seconds: float
    done: int
    refused: int

    @property
    def refused_share(self) -> float:
        """The share of all writes that were answered 429."""
        return self.refused / (self.done + self.refused)


def scenario(windows: int, limit: Limit) -> dict[str, Any]:
    """Return a factory with so many failed windows, that allows so many writes.

    :param windows: minutes, up to six o'clock.
    :param limit: of writes.
    """
    return {
        "now": "2026-03-01T06:40:00Z",
        "pipelines": {"load": {"seconds": 60}},
        "throttling": {
            "reads": {"bucket": 250, "per_second": 25},
            "writes": {"bucket": int(limit.burst), "per_second": limit.per_second},
        },
        "triggers": {
            "minutely": {
                "pipeline": "load",
                "state": "stopped",
                "frequency": "Minute",
                "interval": 5,
                "windows": {"count": windows, "status": "Failed"},
            }
        },
    }


def connection_to(data: Mapping[str, Any]) -> FactoryConnection:
    """Return the client's connection to a local factory, from that of Airflow."""
    return read_connection(
        conn_id="benchmark", login=data["login"], password=data["password"], extra=data["extra"]
    )


async def rerun_all(
    connection: FactoryConnection,
    run_ids: Sequence[str],
    pacer: Pacer,
    *,
    seconds: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Send a rerun for each run, a few at a time.

    :param seconds: begin no more after so many; default when all are sent.
    :param ready: called when the client is open, before the first rerun.
    """
    todo = iter(run_ids)
    async with FactoryClient(connection, pacer=pacer) as client:
        ready()
        end = None if seconds is None else elapsed() + seconds

        async def work() -> None:
            for run_id in todo:
                if end is not None and elapsed() > end:
                    return
                await client.rerun_trigger_run("minutely", run_id)

        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


def paced(windows: int, believed: Limit, allowed: Limit) -> Figures:
    """Rerun windows on a clock that only the client's waits move.

    :param believed: the limit that the client is told.
    :param allowed: the limit that the service has.
    """
    with AdfEmulator(scenario(windows, allowed), clock="manual") as emulator, moving(emulator.advance):
        run_ids = [run["triggerRunId"] for run in emulator.trigger_runs("minutely")]
        asyncio.run(rerun_all(connection_to(emulator.connection()), run_ids, Pacer(READS, believed)))
        return figures(emulator.journal)


def figures(journal: Sequence[JournalEntry]) -> Figures:
    """Count the reruns of a journal."""
    writes = [entry for entry in journal if entry.operation == "TriggerRuns_Rerun"]
    statuses = Counter(entry.status for entry in writes)
    return Figures((writes[-1].at - writes[0].at).total_seconds(), statuses[200], statuses[429])


def shared() -> tuple[Figures, list[int]]:
    """Let several processes of one principal rerun windows at once, in real time.

    :return: the figures of all together, and how many reruns of each process were carried out.
    """
    with AdfEmulator(scenario(WINDOWS, WRITES)) as emulator, ExitStack() as stack:
        run_ids = [run["triggerRunId"] for run in emulator.trigger_runs("minutely")]
        parts = [run_ids[number::_PROCESSES] for number in range(_PROCESSES)]
        workers = []
        for part in parts:
            worker = subprocess.Popen(  # noqa: S603 - this very file
                [sys.executable, "-m", "benchmarks.throttling", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            workers.append(stack.enter_context(worker))
            _tell(worker, json.dumps({"connection": emulator.connection(), "run_ids": part}))
        for worker in workers:
            assert worker.stdout is not None  # noqa: S101 - it is a pipe
            worker.stdout.readline()
        for worker in workers:
            _tell(worker, "go")
        for worker in workers:
            worker.wait()
        done = {entry.subject for entry in emulator.journal if entry.effect is not None}
        return figures(emulator.journal), [len(done.intersection(part)) for part in parts]


def _tell(worker: subprocess.Popen[str], line: str) -> None:
    assert worker.stdin is not None  # noqa: S101 - it is a pipe
    worker.stdin.write(f"{line}\n")
    worker.stdin.flush()


def _work() -> None:
    """Be one of the processes: take the runs, say when ready, begin when told."""
    task = json.loads(sys.stdin.readline())

    def ready() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    connection = connection_to(task["connection"])
    asyncio.run(rerun_all(connection, task["run_ids"], Pacer(), seconds=_SHARED_SECONDS, ready=ready))


def main() -> None:
    """Print the figures beside the best that the limits allow."""
    if _WORKER in sys.argv:
        _work()
        return
    for rate in (50, 200):
        for share, name in ((1.0, "as the client was told"), (0.5, "half of what it was told")):
            allowed = Limit(BURST, rate * share)
            found = paced(WINDOWS, Limit(BURST, rate), allowed)
            best = (WINDOWS - BURST) / allowed.per_second
            print(
                f"{WINDOWS} reruns at {rate}/s, the service allows {name}: {found.seconds:.1f} s,"
                f" {found.seconds / best - 1:+.1%} of {best:.1f} s; {found.refused_share:.2%} answered 429",
                flush=True,
            )
    found, parts = shared()
    most = WRITES.burst + WRITES.per_second * found.seconds
    print(
        f"{_PROCESSES} processes of one principal, {found.seconds:.0f} s: {found.done} reruns,"
        f" {found.done / most:.0%} of the limit; shares"
        f" {', '.join(f'{part / found.done:.0%}' for part in parts)};"
        f" {found.refused_share:.2%} answered 429"
    )


if __name__ == "__main__":
    main()
