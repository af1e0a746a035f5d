"""The factories that these tests begin with."""

from __future__ import annotations

from typing import Any

NOW = "2026-03-01T06:40:00Z"

# Twelve hours of failures up to 06:00; the first three have been rerun by hand since.
NIGHT: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 60}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "windows": [
                {
                    "from": "-PT12H",
                    "count": 12,
                    "status": "Failed",
                    "except": [{"windows": "0..2", "runs": ["Failed", "Succeeded"]}],
                }
            ],
        },
        "nightly": {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Day"},
    },
}
NIGHT_RANGE: dict[str, Any] = {"window_start": "2026-02-28T12:00:00Z", "window_end": "2026-03-01T06:00:00Z"}

# Run "day" has started a child, which has started one of its own; "lone" goes on by itself; "done" has ended.
FAMILY: dict[str, Any] = {
    "now": NOW,
    "pipelines": {
        "close_day": {"activities": [{"name": "Close regions", "pipeline": "close_region"}]},
        "close_region": {"activities": [{"name": "Close shops", "pipeline": "close_shop"}]},
        "close_shop": {"seconds": 3600},
        "load": {"seconds": 3600},
    },
    "runs": [
        {"pipeline": "close_day", "status": "InProgress", "started": "-PT20M", "id": "day"},
        {"pipeline": "load", "status": "InProgress", "started": "-PT10M", "id": "lone"},
        {"pipeline": "load", "started": "-PT9H", "ended": "-PT8H", "id": "done"},
    ],
}

# Windows of "report" wait for failed windows of "hourly"; one has succeeded before and one is running.
WAITING: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 60}, "report": {"seconds": 3600}},
    "triggers": {
        "hourly": {"pipeline": "load", "windows": [{"from": "-PT6H", "count": 6, "status": "Failed"}]},
        "report": {
            "pipeline": "report",
            "dependsOn": [{"trigger": "hourly"}],
            "windows": [
                {
                    "from": "-PT6H",
                    "count": 6,
                    "status": "WaitingOnDependency",
                    "except": [
                        {"windows": 0, "runs": [{"status": "Succeeded", "id": "succeeded"}]},
                        {"windows": 1, "runs": [{"status": "Running", "id": "running"}]},
                        {"windows": 2, "runs": [{"status": "WaitingOnDependency", "id": "waiting"}]},
                    ],
                }
            ],
        },
        "nightly": {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Day"},
    },
}
WAITING_RANGE: dict[str, Any] = {"window_start": "2026-03-01T00:00:00Z", "window_end": "2026-03-01T06:00:00Z"}
ONLY_WAITING_RANGE: dict[str, Any] = {
    "window_start": "2026-03-01T02:00:00Z",
    "window_end": "2026-03-01T06:00:00Z",
}
