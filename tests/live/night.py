"""The factory that a story begins with: windows of a night, some of them due, and runs of others; pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
END = NOW.replace(minute=0)
FACTORY = {"resource_group": "shopfront-rg", "name": "shopfront-adf"}  # as in the demonstration's scenario
UNTIL_TOLD = 20_000  # seconds: reruns that take so long end when `Stage.let_reruns_end` lets them pass:
# A trigger that fires while the process that has deferred still ends makes Airflow 3.3.2 fail the task.
_FOR_HOURS = 100_000  # seconds: longer than any story, and than what is let pass in it


def night(
    *triggers: str,
    due: int = 6,
    rerun_seconds: int = UNTIL_TOLD,
    failing_again: int = 0,
) -> dict[str, Any]:
    """Return a scenario.

    Before and after the windows that are due lie one that has succeeded and one that runs, and there is a
    pipeline run of somebody else: nobody has to touch these.

    :param triggers: the names of its triggers, all alike; default ``hourly`` alone.
    :param due: how many windows of each have failed.
    :param rerun_seconds: how long a rerun of one takes; default until the story tells them to end.
    :param failing_again: so many of them fail in their first rerun, too.
    """
    failing = [
        {"windows": 1 + place, "status": "Failed", "rerun_outcome": ["failed", "succeeded"]}
        for place in range(failing_again)
    ]
    windows = {
        "from": _start(due).isoformat(),
        "count": due + 2,
        "status": "Failed",
        "rerun_seconds": rerun_seconds,
        "except": [
            {"windows": 0, "status": "Succeeded"},
            {"windows": due + 1, "status": "Running"},
            *failing,
        ],
    }
    return {
        "now": NOW.isoformat(),
        "query_lag_seconds": 3,
        "factory": FACTORY,
        "pipelines": {"load": {"seconds": _FOR_HOURS, "cancel_seconds": 60}},
        "triggers": {
            name: {"pipeline": "load", "endTime": END.isoformat(), "windows": [windows]}
            for name in triggers or ("hourly",)
        },
        "runs": [
            {"pipeline": "load", "status": "InProgress", "started": "-PT20M", "remaining_seconds": _FOR_HOURS}
        ],
    }


def stuck_night(stuck: int = 4) -> dict[str, Any]:
    """Return a scenario in which windows of the trigger ``report`` wait on those of ``hourly``.

    After the stuck ones lies one that waits as it should: its window of ``hourly`` has failed. Cancels and
    reruns take until the story tells them to end.

    :param stuck: how many windows wait although what they wait for has succeeded.
    """
    waits = {"status": "WaitingOnDependency"}
    windows = {"from": _start(stuck).isoformat(), "count": stuck + 2}
    upstream = {"windows": stuck + 1, "status": "Failed"}
    waiting = [{"windows": f"1..{stuck}", **waits, "stuck": True}, {"windows": stuck + 1, **waits}]
    scenario = night()
    trigger = {"pipeline": "report", "endTime": END.isoformat()}
    scenario["pipelines"]["report"] = {"seconds": 60}
    scenario["triggers"] = {
        "hourly": {**trigger, "windows": [{**windows, "except": [upstream]}]},
        "report": {
            **trigger,
            "dependsOn": [{"trigger": "hourly"}],
            "cancel_seconds": UNTIL_TOLD,
            "windows": [{**windows, "rerun_seconds": UNTIL_TOLD, "except": waiting}],
        },
    }
    return scenario


def due_windows(*triggers: str, due: int = 6) -> list[tuple[str, datetime]]:
    """Return the windows that are due in `night`, by trigger and start."""
    return [
        (trigger, _start(due) + timedelta(hours=place))
        for trigger in triggers or ("hourly",)
        for place in range(1, due + 1)
    ]


def window_range(due: int = 6) -> dict[str, str]:
    """Return the range of all windows in `night`, as a DAG's params."""
    return {"window_start": _start(due).isoformat(), "window_end": END.isoformat()}


def _start(due: int) -> datetime:
    return END - timedelta(hours=due + 2)
