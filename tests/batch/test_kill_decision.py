"""Whether a kill cancels what a task has started: only if the task instance has really ended."""

from __future__ import annotations

import pytest

from airflow_provider_adfruns.batch.kill import ENDED_STATES, UNKNOWN_STATE, decide

STATES = (
    "success",
    "failed",
    "skipped",
    "removed",
    "upstream_failed",
    "running",
    "deferred",
    "restarting",
    "queued",
    "scheduled",
    "up_for_retry",
    "up_for_reschedule",
    "a state of tomorrow",
    UNKNOWN_STATE,
    None,
)


@pytest.mark.parametrize("state", STATES)
def test_only_a_task_that_has_ended_cancels(state: str | None) -> None:
    assert decide(cancel_on_kill=True, state=state).cancels is (state in ENDED_STATES)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("is_timeout", [False, True])
def test_without_cancel_on_kill_nothing_is_cancelled(state: str | None, is_timeout: bool) -> None:
    assert not decide(cancel_on_kill=False, state=state, is_timeout=is_timeout).cancels


@pytest.mark.parametrize("has_retry_left", [False, True])
def test_execution_timeout_cancels_only_if_no_try_follows(has_retry_left: bool) -> None:
    decision = decide(
        cancel_on_kill=True, state=UNKNOWN_STATE, is_timeout=True, has_retry_left=has_retry_left
    )
    assert decision.cancels is not has_retry_left


@pytest.mark.parametrize(
    ("state", "why"),
    [("deferred", "has not ended but is deferred"), (None, "to be scheduled"), (UNKNOWN_STATE, "be asked")],
)
def test_the_reason_for_leaving_runs_is_told(state: str | None, why: str) -> None:
    assert why in decide(cancel_on_kill=True, state=state).why
