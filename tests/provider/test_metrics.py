"""Metrics: what Airflow's Stats are told of requests, windows and runs; the journal says what is true."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns import metrics
from airflow_provider_adfruns.adf.errors import Unreachable
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.conftest import CONN_ID, calls
from tests.provider.scenarios import FAMILY, NIGHT, NIGHT_RANGE
from tests.provider.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

BOTH = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
RERUN = Task(AdfRerunTumblingWindowRunsOperator, trigger_name="hourly", **NIGHT_RANGE)
FAILED = "00000000-0000-4000-8000-00000000000a"
OF_REQUESTS = ("submitted", "ambiguous", "settled", "throttled")


class Stats:
    """Stands for Airflow's Stats, and keeps what it is told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.timings: Counter[str] = Counter()
        self.tags: dict[str, Any] = {}

    def incr(self, name: str, count: int, *, tags: dict[str, str]) -> None:
        assert isinstance(count, int)
        self.counts[name] += count
        self.tags[name] = tags

    def timing(self, name: str, duration: timedelta, *, tags: dict[str, str]) -> None:
        self.timings[name] += int(duration.total_seconds())
        self.tags[name] = tags

    @property
    def of_requests(self) -> list[int]:
        return [self.counts[f"adfruns.{name}"] for name in OF_REQUESTS]

    def by_status(self, kind: str) -> dict[str, int]:
        """Return the counts of ``windows`` or ``runs``, by status."""
        prefix = f"adfruns.{kind}."
        return {
            name.removeprefix(prefix): count for name, count in self.counts.items() if name.startswith(prefix)
        }


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch) -> Stats:
    """Have the metrics told to a stand-in."""
    told = Stats()
    monkeypatch.setattr(metrics, "stats", told)
    return told


@BOTH
def test_a_rerun_tells_its_writes_and_its_windows(factory: Factory, stats: Stats, deferrable: bool) -> None:
    factory(NIGHT)
    Task(
        AdfRerunTumblingWindowRunsOperator, trigger_name="hourly", **NIGHT_RANGE, deferrable=deferrable
    ).run()
    assert stats.of_requests == [9, 0, 0, 0]
    assert stats.by_status("windows") == {"succeeded": 9}
    assert stats.tags["adfruns.submitted"] == {"conn_id": CONN_ID}
    assert stats.tags["adfruns.windows.succeeded"]["task_id"] == "task"


def test_lost_answers_are_ambiguous_until_they_are_settled(factory: Factory, stats: Stats) -> None:
    emulator = factory(NIGHT)
    emulator.fail_next("TriggerRuns_Rerun", count=2, drop_connection=True, processed=True)
    emulator.fail_next("TriggerRuns_Rerun", count=1, status=503)
    RERUN.run()
    done = [entry for entry in calls(emulator, "TriggerRuns_Rerun") if entry.effect]
    assert len(done) == 9
    # two of the nine were done without an answer, so that seven are known to have been accepted
    assert stats.of_requests == [7, 3, 3, 0]


def test_answers_429_are_throttled_and_what_waits_is_paused(factory: Factory, stats: Stats) -> None:
    emulator = factory(NIGHT)
    emulator.fail_next("TriggerRuns_Rerun", status=429, retry_after=30)
    RERUN.run()
    told = [entry for entry in calls(emulator, "TriggerRuns_Rerun") if entry.status == 429]
    assert stats.of_requests == [9, 0, 0, len(told)]
    assert stats.timings["adfruns.paused"] >= 30


def test_a_lost_answer_of_a_pipeline_runs_rerun_is_settled_by_its_chosen_id(
    factory: Factory, stats: Stats
) -> None:
    runs = [{"pipeline": "load", "status": "Failed", "started": "-PT3H", "id": FAILED}]
    emulator = factory({**FAMILY, "runs": runs})
    emulator.fail_next("Pipelines_CreateRun", drop_connection=True, processed=True)
    Task(AdfRerunPipelineRunOperator, run_ids=FAILED).run()
    assert stats.of_requests == [0, 1, 1, 0]
    assert stats.by_status("runs") == {"succeeded": 1}


@BOTH
def test_a_cancel_tells_the_runs_by_their_final_status(
    factory: Factory, stats: Stats, deferrable: bool
) -> None:
    factory(FAMILY)
    Task(AdfCancelPipelineRunOperator, run_ids=["lone", "done"], deferrable=deferrable).run()
    assert stats.of_requests[0] == 1
    assert stats.by_status("runs") == {"cancelled": 1, "succeeded": 1}


def test_a_sensor_tells_the_runs_that_it_has_waited_for(factory: Factory, stats: Stats) -> None:
    factory(FAMILY)
    Task(AdfCancelCompleteSensor, pipeline_run_ids=["lone", "done"], deferrable=True).run()
    assert stats.by_status("runs") == {"succeeded": 2}


def test_a_dry_run_tells_nothing(factory: Factory, stats: Stats) -> None:
    factory(NIGHT)
    Task(AdfRerunTumblingWindowRunsOperator, trigger_name="hourly", **NIGHT_RANGE, dry_run=True).run()
    assert stats.counts == {}


def test_a_rerun_of_nothing_tells_of_no_window(factory: Factory, stats: Stats) -> None:
    factory(NIGHT)
    nothing = {"window_start": "2026-02-28T18:40:00Z", "window_end": "2026-02-28T18:50:00Z"}
    Task(AdfRerunTumblingWindowRunsOperator, trigger_name="hourly", **nothing).run()
    assert stats.counts == {}


def test_what_was_done_before_an_error_is_told(factory: Factory, stats: Stats) -> None:
    emulator = factory(FAMILY)
    with AdfRunsHook() as hook:
        hook.cancel_pipeline_run("lone", is_recursive=False)
        emulator.fail_next("PipelineRuns_Get", count=100, status=503)
        with pytest.raises(Unreachable):
            hook.get_pipeline_run("lone")
    assert stats.of_requests == [1, 0, 0, 0]
