"""Run histories for tests: hourly windows that end at six in the morning, and runs of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_provider_adfruns.adf.model import TUMBLING_WINDOW, TriggerRun, TriggerRunStatus, Window

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=20)


def hour(number: int) -> Window:
    """Return the window that begins at this hour."""
    start = MIDNIGHT + timedelta(hours=number)
    return Window(start, start + timedelta(hours=1))


def run(
    number: int,
    status: str,
    *,
    attempt: int = 0,
    run_id: str | None = None,
    at: datetime | None = None,
    windowless: bool = False,
) -> TriggerRun:
    """Return a run of the window of this hour; each attempt is a minute later than the one before."""
    first = f"w{number}"
    return TriggerRun(
        trigger_run_id=run_id or (f"{first}-{attempt}" if attempt else first),
        trigger_name="hourly",
        trigger_type=TUMBLING_WINDOW,
        timestamp=at or hour(number).end + timedelta(minutes=attempt),
        status=TriggerRunStatus(status),
        message="",
        window=None if windowless else hour(number),
        group_id=first,
        triggered_pipelines={},
    )
