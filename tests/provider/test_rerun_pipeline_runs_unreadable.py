"""A factory that cannot be read while pipeline runs are rerun: what was started is told, and started once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import Unreachable
from tests.conftest import calls
from tests.provider.test_rerun_pipeline_run_operator import Store, rerun

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

IDS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(30)]
FACTORY: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {"load": {"seconds": 60}},
    "runs": [{"pipeline": "load", "id": run_id, "status": "Failed", "started": "-PT3H"} for run_id in IDS],
}


@pytest.fixture
def unreadable(factory: Start, monkeypatch: pytest.MonkeyPatch) -> AdfEmulator:
    """Start a factory that cannot be read any more once it has created ten runs."""
    emulator = factory(FACTORY)
    create, created = FactoryClient.create_recovery_run, 0

    async def counting(self: FactoryClient, *arguments: Any, **options: Any) -> str:
        nonlocal created
        run_id = await create(self, *arguments, **options)
        created += 1
        if created == 10:
            emulator.fail_next("PipelineRuns_Get", for_seconds=3600, status=503)
        return run_id

    monkeypatch.setattr(FactoryClient, "create_recovery_run", counting)
    return emulator


def test_the_report_names_what_was_started_and_what_was_not_looked_at(unreadable: AdfEmulator) -> None:
    task = rerun(Store(), run_ids=IDS)
    with pytest.raises(Unreachable):
        task.run()
    created = [entry.answer["runId"] for entry in calls(unreadable, "Pipelines_CreateRun")]
    assert 10 <= len(created) < 30
    assert sorted(task.ti.xcoms["run_ids"]) == sorted(created)
    assert all(each["status"] or each["problem"] for each in task.ti.report["runs"])


def test_runs_are_not_given_up_one_by_one(unreadable: AdfEmulator) -> None:
    task = rerun(Store(), run_ids=IDS)
    with pytest.raises(Unreachable):
        task.run()
    asked = [entry for entry in calls(unreadable, "PipelineRuns_Get") if entry.status == 503]
    assert (asked[-1].at - asked[0].at).total_seconds() < 180


def test_the_next_try_starts_the_others(unreadable: AdfEmulator) -> None:
    store = Store()
    with pytest.raises(Unreachable):
        rerun(store, run_ids=IDS).run()
    unreadable.clear_faults()
    assert rerun(store, run_ids=IDS).run()["counts"] == {"Succeeded": 30}
    sent = [entry.query["referencePipelineRunId"] for entry in calls(unreadable, "Pipelines_CreateRun")]
    assert sorted(sent) == IDS
