"""What throttling costs: how long many reruns take against a service's limits, and how many it refuses.

Run as ``python -m benchmarks.throttling``, which is ``make throttling``; it takes about two minutes and ends
non-zero if a demanded figure is broken. First one process reruns 5,000 windows on a clock that only its waits
move; then four processes of one principal share its bucket in real time.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.identity import FactoryConnection, read_connection
from airflow_provider_adfruns.adf.pacing import READS, WRITES, Limit, Pacer
from airflow_provider_adfruns.adf.pause import moving
from airflow_provider_adfruns.batch.planning import plan_rerun
from airflow_provider_adfruns.batch.selection import select_windows
from airflow_provider_adfruns.batch.submit import Rules, Submission
from airflow_provider_adfruns.emulator import AdfEmulator
from benchmarks.demands import Demand, exit_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_provider_adfruns.emulator import JournalEntry

WINDOWS = 5000
BURST = 200
_SHARED_SECONDS = 45.0
_PROCESSES = 4
_WORKER = "--worker"
_OFF_BEST_AS_TOLD, _REFUSED_AS_TOLD = 0.03, 0.005
_OFF_BEST_HALF, _REFUSED_HALF = 0.15, 0.03
_LEAST_OF_LIMIT, _LEAST_SHARE, _REFUSED_SHARED = 0.90, 0.15, 0.05


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
    """Plan and submit the reruns of these runs' windows, as the operator does.

    :param seconds: begin no more after so many; default when all are sent.
    :param ready: called when all is planned, before the first rerun.
    """
    async with FactoryClient(connection, pacer=pacer) as client:
        selection = select_windows("minutely", run_ids=run_ids)
        report = await plan_rerun(client, selection, None, max_windows=len(run_ids), dry_run=False)
        ready()
        deadline = None if seconds is None else await client.now() + timedelta(seconds=seconds)
        await Submission(client, report, Rules(deadline=deadline)).run()


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
    :raises ChildProcessError: one of them has failed, so that the figures say nothing.
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
        if any(worker.wait() for worker in workers):
            raise ChildProcessError("a process has failed; what it said stands above")
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


def one_process() -> Iterator[Demand]:
    """Rerun many windows at two rates, with a client that was told the limits, and one told twice as much."""
    for rate in (50, 200):
        for share, name, off, refused in (
            (1.0, "as the client was told", _OFF_BEST_AS_TOLD, _REFUSED_AS_TOLD),
            (0.5, "half of what it was told", _OFF_BEST_HALF, _REFUSED_HALF),
        ):
            allowed = Limit(BURST, rate * share)
            found = paced(WINDOWS, Limit(BURST, rate), allowed)
            best = (WINDOWS - BURST) / allowed.per_second
            case = f"{WINDOWS} reruns at {rate}/s, the service allows {name}"
            print(
                f"{case}: {found.seconds:.1f} s, {found.seconds / best - 1:+.1%} of {best:.1f} s;"
                f" {found.refused_share:.2%} answered 429",
                flush=True,
            )
            yield Demand(f"{case}: carried out", found.done, least=WINDOWS, most=WINDOWS, form=".0f")
            yield Demand(f"{case}: off the best time", found.seconds / best - 1, least=-off, most=off)
            yield Demand(f"{case}: answered 429", found.refused_share, most=refused)


def four_processes() -> Iterator[Demand]:
    """Let processes that cannot talk to each other share a principal's limit."""
    yield from shared_demands(*shared())


def shared_demands(found: Figures, parts: Sequence[int]) -> Sequence[Demand]:
    """Tell what processes of one principal have done, and what is demanded of it.

    :param parts: how many reruns of each process were carried out.
    """
    case = f"{len(parts)} processes of one principal"
    most = WRITES.burst + WRITES.per_second * found.seconds
    print(
        f"{case}, {found.seconds:.0f} s: {found.done} reruns, {found.done / most:.0%} of the limit; shares"
        f" {', '.join(f'{part / found.done:.0%}' for part in parts)};"
        f" {found.refused_share:.2%} answered 429",
        flush=True,
    )
    return [
        Demand(f"{case}: of the limit", found.done / most, least=_LEAST_OF_LIMIT),
        Demand(f"{case}: the smallest share", min(parts) / found.done, least=_LEAST_SHARE),
        Demand(f"{case}: answered 429", found.refused_share, most=_REFUSED_SHARED),
    ]


CASES: tuple[Callable[[], Iterator[Demand]], ...] = (one_process, four_processes)


def main() -> int:
    """Print the figures beside the best that the limits allow. :return: 0 if all are as demanded."""
    return exit_status([demand for case in CASES for demand in case()])


if __name__ == "__main__":
    if _WORKER in sys.argv:
        _work()
    else:
        sys.exit(main())
