"""Whose failure fails the task: any window or run, all of them, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    AuthenticationFailed,
    InvalidInput,
    PermissionDenied,
    RunsNotAsWanted,
    Unreachable,
    WaitTimedOut,
)
from airflow_provider_adfruns.batch.judgement import FailIf, judge
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from tests.provider.scenarios import NIGHT_RANGE, NOW
from tests.provider.tasks import Task, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]

RUNS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(2)]
GOOD, BAD = "succeeded", "failed"
BOTH = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
CASES = pytest.mark.parametrize(
    ("fail_if", "outcomes", "fails"),
    [
        ("any", [GOOD, GOOD], False),
        ("any", [GOOD, BAD], True),
        ("all", [GOOD, BAD], False),
        ("all", [BAD, BAD], True),
        ("never", [BAD, BAD], False),
    ],
)


def night(*outcomes: str) -> dict[str, Any]:
    """Return failed windows, and failed pipeline runs, whose reruns end as told, in order."""
    return {
        "now": NOW,
        "pipelines": {
            "load": {"seconds": 60},
            **{f"load_{outcome}": {"seconds": 60, "outcome": outcome} for outcome in (GOOD, BAD)},
        },
        "triggers": {
            "hourly": {
                "pipeline": "load",
                "windows": [
                    {"from": f"-PT{3 - place}H", "count": 1, "status": "Failed", "rerun_outcome": outcome}
                    for place, outcome in enumerate(outcomes)
                ],
            }
        },
        "runs": [
            {"pipeline": f"load_{outcome}", "id": RUNS[place], "status": "Failed"}
            for place, outcome in enumerate(outcomes)
        ],
    }


def rerun(**parameters: Any) -> Task:
    return Task(AdfRerunTumblingWindowRunsOperator, **{"trigger_name": "hourly", **NIGHT_RANGE, **parameters})


def outcome_of(task: Task) -> bool:
    """Return whether the task fails on what became of the runs."""
    try:
        task.run()
    except RunsNotAsWanted:
        return True
    return False


@BOTH
@CASES
def test_windows_that_are_not_whole_again_fail_the_task_as_it_says(
    factory: Start, deferrable: bool, fail_if: str, outcomes: list[str], fails: bool
) -> None:
    factory(night(*outcomes))
    task = rerun(fail_if=fail_if, deferrable=deferrable)
    assert outcome_of(task) is fails
    statuses = [each["status"].lower() for each in task.ti.report["windows"]]
    assert statuses == outcomes


@BOTH
@CASES
def test_reruns_of_pipeline_runs_that_fail_again_fail_the_task_as_it_says(
    factory: Start, deferrable: bool, fail_if: str, outcomes: list[str], fails: bool
) -> None:
    factory(night(*outcomes))
    task = Task(AdfRerunPipelineRunOperator, run_ids=RUNS, fail_if=fail_if, deferrable=deferrable)
    assert outcome_of(task) is fails
    assert [each["status"].lower() for each in task.ti.report["runs"]] == outcomes


def test_what_does_not_fail_the_task_is_a_warning(factory: Start, caplog: pytest.LogCaptureFixture) -> None:
    factory(night(BAD))
    rerun(fail_if="never").run()
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "1 of 1 windows of trigger 'hourly' are not whole again" in said[-1]


@pytest.mark.parametrize("fail_if", FailIf)
def test_windows_left_alone_never_fail_the_task(factory: Start, fail_if: str) -> None:
    emulator = factory(night(GOOD))
    assert rerun(fail_if=fail_if, statuses="Cancelled").run()["windows"] == []
    assert writes(emulator) == []


@pytest.mark.parametrize("fail_if", FailIf)
def test_one_unknown_run_id_among_good_ones_fails_only_with_any(factory: Start, fail_if: str) -> None:
    emulator = factory(night(GOOD))
    run_ids = [emulator.trigger_runs("hourly")[0]["triggerRunId"], "unknown"]
    task = rerun(fail_if=fail_if, run_ids=run_ids, window_start=None, window_end=None)
    assert outcome_of(task) is (fail_if == "any")


def test_without_waiting_what_was_sent_counts_as_good(factory: Start) -> None:
    emulator = factory(night(BAD, BAD))
    emulator.fail_next("TriggerRuns_Rerun", status=400)
    assert outcome_of(rerun(fail_if="all", wait_for_completion=False)) is False


@BOTH
def test_a_wait_that_timed_out_fails_the_task_whatever_it_says(factory: Start, deferrable: bool) -> None:
    factory(night(GOOD))
    with pytest.raises(WaitTimedOut):
        rerun(fail_if="never", timeout=10, deferrable=deferrable).run()


def test_a_factory_that_cannot_be_read_fails_the_task_whatever_it_says(factory: Start) -> None:
    emulator = factory(night(GOOD))
    emulator.fail_next("TriggerRuns_QueryByFactory", status=503, count=1000)
    with pytest.raises(Unreachable):
        rerun(fail_if="never").run()


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationFailed), (403, PermissionDenied)])
@pytest.mark.parametrize("what", ["windows", "pipeline runs"])
def test_a_refusal_of_the_sign_in_or_a_permission_fails_the_task_with_a_report_whatever_it_says(
    factory: Start, what: str, status: int, error: type[Exception]
) -> None:
    emulator = factory(night(GOOD, GOOD))
    operation = "TriggerRuns_Rerun" if what == "windows" else "Pipelines_CreateRun"
    emulator.fail_next(operation, status=status, count=1000)
    task = rerun(fail_if="never")
    if what == "pipeline runs":
        task = Task(AdfRerunPipelineRunOperator, run_ids=RUNS, fail_if="never")
    with pytest.raises(error):
        task.run()
    left = task.ti.report["windows" if what == "windows" else "runs"]
    assert [bool(each["problem"]) for each in left] == [True, True]
    assert [entry.effect for entry in writes(emulator) if entry.effect is not None] == []


@pytest.mark.parametrize("word", ["some", "", None, True, "ANY"])
def test_another_word_does_not_parse(word: Any) -> None:
    with pytest.raises(InvalidInput, match=r"fail_if: .* is not known. Expected one of any, all, never"):
        rerun(fail_if=word).make()


@pytest.mark.parametrize("fail_if", FailIf)
def test_nothing_wrong_never_fails(fail_if: FailIf) -> None:
    judge("", problems=0, good=0, fail_if=fail_if)
