"""What each example DAG is shown for: the factory before and after, and what its journal has to say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_adfruns.emulator import AdfEmulator

FINAL = {"Succeeded", "Failed", "Cancelled"}
BOOKS = "5f0c1a52-8d0e-4a53-9d0b-6c1b8d5f7a01"
RERUNNABLE = {"Failed", "Cancelled"}
SIGNS = {
    "Succeeded": ".",
    "Failed": "F",
    "Cancelled": "C",
    "Running": "r",
    "Waiting": "w",
    "WaitingOnDependency": "D",
}
SIGNS_EXPLAINED = "  ".join(f"{sign} {status}" for status, sign in SIGNS.items())


@dataclass(frozen=True)
class Check:
    """One thing that the journal or the factory has to show."""

    claim: str
    holds: bool
    seen: str = ""


@dataclass(frozen=True)
class Story:
    """An example DAG.

    :param look: lines about the factory, printed before and after.
    :param checks: given the factory as it was and as it is, what has to hold.
    :param states: the state that each task has to end in.
    :param detail: given the same, a line a window.
    """

    dag_id: str
    title: str
    look: Callable[[AdfEmulator], list[str]]
    before: Callable[[AdfEmulator], Any]
    checks: Callable[[AdfEmulator, Any], Iterator[Check]]
    states: dict[str, str]
    detail: Callable[[AdfEmulator, Any], list[str]] = lambda _, __: []


def start_of(run: dict[str, Any]) -> datetime:
    """Return the start of a trigger run's window, from the wire's month/day/year."""
    return datetime.strptime(run["properties"]["windowStartTime"], "%m/%d/%Y %H:%M:%S")  # noqa: DTZ007 - UTC


def latest_runs(emulator: AdfEmulator, trigger: str) -> dict[datetime, dict[str, Any]]:
    """Return each window's latest run, as the factory itself knows it."""
    found: dict[datetime, dict[str, Any]] = {}
    for run in sorted(emulator.trigger_runs(trigger), key=lambda run: run["triggerRunTimestamp"]):
        found[start_of(run)] = run
    return found


def strip(emulator: AdfEmulator, trigger: str) -> list[str]:
    """Draw a trigger's windows, oldest first, a sign each."""
    drawn = "".join(SIGNS[run["status"]] for _, run in sorted(latest_runs(emulator, trigger).items()))
    return [f"{trigger:13} {drawn}"]


def tree(emulator: AdfEmulator, root: str) -> list[str]:
    """Draw a pipeline run with its children."""
    runs = emulator.pipeline_runs()

    def draw(run: dict[str, Any], depth: int) -> Iterator[str]:
        yield f"{'  ' * depth}{run['pipelineName']} {run['runId'][:8]} {run['status']}"
        for child in runs:
            if (child["invokedBy"] or {}).get("pipelineRunId") == run["runId"]:
                yield from draw(child, depth + 1)

    return [line for run in runs if run["runId"] == root for line in draw(run, 0)]


def family(emulator: AdfEmulator, root: str) -> list[dict[str, Any]]:
    """Return a pipeline run and all runs below it."""
    runs = emulator.pipeline_runs()
    members = [run for run in runs if run["runId"] == root]
    for member in members:
        members.extend(
            run for run in runs if (run["invokedBy"] or {}).get("pipelineRunId") == member["runId"]
        )
    return members


def entries(emulator: AdfEmulator, operation: str) -> list[Any]:
    """Return the journal's entries of one operation that were carried out."""
    ok = 200
    return [entry for entry in emulator.journal if entry.operation == operation and entry.status == ok]


def window_lines(emulator: AdfEmulator, due: dict[datetime, str], trigger: str) -> list[str]:
    """Return a line for each window that was due: its run then and its latest run now."""
    now = latest_runs(emulator, trigger)
    statuses = {run["triggerRunId"]: run["status"] for run in emulator.trigger_runs(trigger)}
    return [
        f"{start:%d %b %H:%M}  {run_id} {statuses[run_id]:9}"
        f"  ->  {now[start]['triggerRunId']} {now[start]['status']}"
        for start, run_id in sorted(due.items())
    ]


def rerun_checks(emulator: AdfEmulator, due: dict[datetime, str], trigger: str) -> Iterator[Check]:
    """Hold the reruns in the journal against the windows that were due."""
    sent = Counter(entry.subject for entry in entries(emulator, "TriggerRuns_Rerun"))
    twice = {run_id for run_id, times in sent.items() if times > 1}
    yield Check("no window was rerun twice", not twice, f"{sum(sent.values())} reruns in the journal")
    yield Check("no window was missed", not set(due.values()) - set(sent), f"{len(due)} windows were due")
    yield Check("no other window was touched", not set(sent) - set(due.values()))
    now = latest_runs(emulator, trigger)
    whole = [start for start in due if now[start]["status"] == "Succeeded"]
    yield Check("each is whole again", len(whole) == len(due), f"{len(whole)} of {len(due)} Succeeded")
    grouped = all(now[start]["groupId"] != now[start]["triggerRunId"] for start in due)
    yield Check("each rerun is in its window's group", grouped)


def due_windows(emulator: AdfEmulator) -> dict[datetime, str]:
    """Return the windows to rerun, with their latest run: by the factory itself, not by the package."""
    oldest = emulator.now.replace(tzinfo=None) - timedelta(hours=24)
    latest = latest_runs(emulator, "orders_15min")
    return {
        start: run["triggerRunId"]
        for start, run in latest.items()
        if run["status"] in RERUNNABLE and start >= oldest
    }


@dataclass(frozen=True)
class Waiting:
    """The windows that wait on dependencies, with their latest run.

    :param stuck: those whose orders have all succeeded.
    :param rightly: the others.
    """

    stuck: dict[datetime, str]
    rightly: dict[datetime, str]


def waiting_windows(emulator: AdfEmulator) -> Waiting:
    """Return the windows that wait on dependencies: by the factory itself, not by the package."""
    orders = latest_runs(emulator, "orders_15min")
    waiting = {
        start: run["triggerRunId"]
        for start, run in latest_runs(emulator, "report_hourly").items()
        if run["status"] == "WaitingOnDependency"
    }
    quarters = [timedelta(minutes=minutes) for minutes in (0, 15, 30, 45)]
    stuck = {
        start: run_id
        for start, run_id in waiting.items()
        if all(orders[start + quarter]["status"] == "Succeeded" for quarter in quarters)
    }
    return Waiting(stuck, {start: run_id for start, run_id in waiting.items() if start not in stuck})


def recovery_checks(emulator: AdfEmulator, was: Waiting) -> Iterator[Check]:
    """See that each stuck run was cancelled first and its window rerun once, and that others wait on."""
    cancelled = [entry.subject for entry in entries(emulator, "TriggerRuns_Cancel")]
    yield Check("each stuck run was cancelled once", sorted(cancelled) == sorted(was.stuck.values()))
    statuses = {run["triggerRunId"]: run["status"] for run in emulator.trigger_runs("report_hourly")}
    yield Check("and is Cancelled now", all(statuses[run_id] == "Cancelled" for run_id in was.stuck.values()))
    yield from rerun_checks(emulator, was.stuck, "report_hourly")
    now = waiting_windows(emulator)
    seen = f"{len(was.rightly)}, for orders that failed"
    yield Check(
        "what waits as it should waits on", bool(was.rightly) and now == Waiting({}, was.rightly), seen
    )


def cancel_checks(emulator: AdfEmulator, before: list[dict[str, Any]]) -> Iterator[Check]:
    """See that the run and all its children ended before the rerun began, and that there was one of each."""
    (cancel,) = entries(emulator, "PipelineRuns_Cancel")
    created = entries(emulator, "Pipelines_CreateRun")
    yield Check(
        "one cancel was sent, recursive", cancel.subject == BOOKS and cancel.query["isRecursive"] == "true"
    )
    runs = family(emulator, BOOKS)
    yield Check(
        "the run and its children are Cancelled",
        {run["status"] for run in runs} == {"Cancelled"},
        f"{len(runs)} runs, {sum(run['status'] not in FINAL for run in before)} of them were running",
    )
    yield Check("one recovery run was created", len(created) == 1)
    last_end = max(datetime.fromisoformat(run["runEnd"]) for run in runs)
    yield Check(
        "and not before all of them had ended",
        all(entry.at >= last_end for entry in created),
        f"ended {last_end:%H:%M:%S}, rerun {created[0].at:%H:%M:%S}",
    )
    recovery = next(run for run in emulator.pipeline_runs() if run["runId"] == created[0].answer["runId"])
    yield Check("it is in the run's group", recovery["runGroupId"] == BOOKS)
    yield Check("and Succeeded", recovery["status"] == "Succeeded")


def clean_up_checks(emulator: AdfEmulator, _: None) -> Iterator[Check]:
    """See that what the DAG run started is cancelled."""
    (created,) = entries(emulator, "Pipelines_CreateRun")
    (cancel,) = entries(emulator, "PipelineRuns_Cancel")
    yield Check("the run that was started is the one cancelled", created.answer["runId"] == cancel.subject)
    status = next(run["status"] for run in emulator.pipeline_runs() if run["runId"] == cancel.subject)
    yield Check("and is Cancelled now", status == "Cancelled")
    alive = [run for run in emulator.pipeline_runs() if run["pipelineName"] == "load_stock"]
    yield Check("nothing of it runs", all(run["status"] in FINAL for run in alive))


STORIES = (
    Story(
        "cancel_and_rerun_from_failure",
        "Cancel a run with its children, wait until that is complete, rerun it from where it left off",
        lambda emulator: [
            line
            for run in emulator.pipeline_runs()
            if run["runGroupId"] == BOOKS
            for line in tree(emulator, run["runId"])
        ],
        lambda emulator: family(emulator, BOOKS),
        cancel_checks,
        dict.fromkeys(("cancel", "wait", "rerun"), "success"),
    ),
    Story(
        "rerun_last_night",
        "Rerun last night's failed windows",
        lambda emulator: strip(emulator, "orders_15min"),
        due_windows,
        lambda emulator, due: rerun_checks(emulator, due, "orders_15min"),
        {"rerun": "success"},
        lambda emulator, due: window_lines(emulator, due, "orders_15min"),
    ),
    Story(
        "rerun_last_night_with_approval",
        "The same, with a dry run and a person's approval in front",
        lambda emulator: strip(emulator, "orders_15min"),
        due_windows,
        lambda emulator, due: rerun_checks(emulator, due, "orders_15min"),
        dict.fromkeys(("plan", "is_there_anything", "approve", "rerun"), "success"),
        lambda emulator, due: window_lines(emulator, due, "orders_15min")[-3:],
    ),
    Story(
        "recover_stuck_window",
        "Recover a window that waits on dependencies which have long succeeded",
        lambda emulator: strip(emulator, "report_hourly"),
        waiting_windows,
        recovery_checks,
        {"recover": "success"},
        lambda emulator, was: window_lines(emulator, was.stuck | was.rightly, "report_hourly"),
    ),
    Story(
        "clean_up_after_failure",
        "Clean up after a failed DAG run, as a teardown task",
        lambda emulator: [
            f"{run['pipelineName']} {run['runId'][:8]} {run['status']}"
            for run in emulator.pipeline_runs()
            if run["pipelineName"] == "load_stock"
        ],
        lambda _: None,
        clean_up_checks,
        {"start_load": "success", "check_source": "failed", "clean_up": "success"},
    ),
)
