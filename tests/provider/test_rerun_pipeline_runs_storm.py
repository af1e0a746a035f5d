"""Reruns of pipeline runs through faults and crashes: each once, and after a verdict only what has failed."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import AdfRunsError, RunsNotAsWanted
from tests.conftest import calls
from tests.provider.test_rerun_pipeline_run_operator import Store, rerun
from tests.provider.test_rerun_resume import WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

WELL = [f"00000000-0000-4000-8000-{number:012d}" for number in range(14)]
BROKEN = [f"00000000-0000-4000-9000-{number:012d}" for number in range(2)]
SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {"load": {"seconds": 60}, "broken": {"seconds": 20, "outcome": "failed"}},
    "runs": [
        {"pipeline": pipeline, "id": run_id, "status": "Failed", "started": "-PT3H"}
        for pipeline, run_ids in (("load", WELL), ("broken", BROKEN))
        for run_id in run_ids
    ],
}
LOST: list[dict[str, Any]] = [
    {"status": 503},
    {"drop_connection": True},
    {"truncate": True},
    {"status": 429, "retry_after": 3},
]
DONE: list[dict[str, Any]] = [
    {"status": 503, "processed": True},
    {"status": 202, "processed": True},
    {"drop_connection": True, "processed": True},
]


class Life:
    """Lets a worker die after so many calls of its client, before or after the call itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> None:
        self.left = 0
        for name in ("create_recovery_run", "get_pipeline_run"):
            monkeypatch.setattr(FactoryClient, name, self._dying(getattr(FactoryClient, name), chance))

    def _dying(self, call: Callable[..., Any], chance: random.Random) -> Callable[..., Any]:
        async def dying(client: FactoryClient, *arguments: Any, **options: Any) -> Any:
            dies_before = chance.random() < 0.5
            if dies_before:
                self._spend()
            answer = await call(client, *arguments, **options)
            if not dies_before:
                self._spend()
            return answer

        return dying

    def _spend(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise WorkerDiedError


@pytest.mark.parametrize("seed", range(3))
def test_each_is_rerun_once_and_after_a_verdict_only_what_has_failed(
    factory: Start, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    emulator = factory(SCENARIO)
    for fault in LOST + DONE:
        emulator.fail_sometimes("Pipelines_CreateRun", rate=0.05, seed=seed, **fault)
    for fault in LOST:
        emulator.fail_sometimes("PipelineRuns_Get", rate=0.05, seed=seed, **fault)
    life, store, verdicts = Life(monkeypatch, chance), Store(), 0
    for number in range(12):
        life.left = chance.randrange(1, 120) if number < 4 else 0
        task = rerun(store, run_ids=WELL + BROKEN, poll_interval=10.0, deferrable=chance.random() < 0.5)
        with pytest.raises((WorkerDiedError, AdfRunsError)) as ended:
            task.run()
        verdicts += ended.type is RunsNotAsWanted
        if verdicts == 2:
            break
    made = Counter(
        entry.query["referencePipelineRunId"]
        for entry in calls(emulator, "Pipelines_CreateRun")
        if entry.effect
    )
    assert verdicts == 2
    assert {run_id: made[run_id] for run_id in WELL} == dict.fromkeys(WELL, 1)
    assert {run_id: made[run_id] for run_id in BROKEN} == dict.fromkeys(BROKEN, 2)
