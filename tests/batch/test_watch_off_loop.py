"""A watch of tens of thousands of windows leaves the event loop of the triggerer to the others."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.batch import rerun as reruns
from airflow_provider_adfruns.batch.planning import plan_rerun
from airflow_provider_adfruns.batch.progress import Progress
from airflow_provider_adfruns.batch.report import RerunReport
from airflow_provider_adfruns.batch.rerun import RerunWatch
from airflow_provider_adfruns.batch.selection import select_windows
from airflow_provider_adfruns.batch.submit import Rules, Submission
from tests.adf.talking import talk

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
SCENARIO: dict[str, Any] = {
    "now": NOW.isoformat(),
    "pipelines": {"load": {"seconds": 60}},
    "triggers": {
        "hourly": {"pipeline": "load", "state": "stopped", "windows": {"count": 3, "status": "Failed"}}
    },
}


def test_what_goes_through_all_windows_is_not_done_on_the_event_loop(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory_with_windows = factory(SCENARIO)
    threads: dict[str, set[int]] = {}

    def told(where: Any, name: str) -> None:
        original = getattr(where, name)

        def tell(*arguments: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return original(*arguments)

        monkeypatch.setattr(where, name, tell)

    async def watch(client: FactoryClient) -> int:
        selection = select_windows("hourly", window_start=NOW - timedelta(days=1), window_end=NOW)
        report = await plan_rerun(client, selection, None, max_windows=10, dry_run=False)
        watch = RerunWatch(client, await Submission(client, report, Rules()).run())
        told(reruns, "with_history")
        told(Progress, "line")
        told(RerunReport, "with_windows")
        told(RerunWatch, "_is_done")
        await watch.look()
        return threading.get_ident()

    loop = talk(factory_with_windows, watch)
    assert threads.keys() == {"with_history", "line", "with_windows", "_is_done"}
    assert not any(loop in each for each in threads.values())
