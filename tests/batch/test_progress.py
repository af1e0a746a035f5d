"""The line that says how far a rerun has come: counts that add up, a speed, an end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.batch.progress import Progress, Standing, speed
from airflow_provider_adfruns.batch.report import RerunReport, Step, WindowOutcome
from tests.batch.histories import NOW, hour

OUTCOMES = st.builds(
    WindowOutcome,
    st.integers(0, 40).map(hour),
    st.just("run"),
    st.just("Failed"),
    st.just(NOW),
    st.sampled_from(Step),
    st.just("new"),
    st.sampled_from([None, "Waiting", "Running", "Succeeded", "Failed", "Cancelled", "SomethingNew"]),
)


def report(*outcomes: WindowOutcome) -> RerunReport:
    return RerunReport("hourly", NOW, False, outcomes, ())


def windows(step: Step, count: int, status: str | None = None) -> list[WindowOutcome]:
    return [WindowOutcome(hour(place), "run", "Failed", NOW, step, "new", status) for place in range(count)]


@given(st.lists(OUTCOMES, max_size=12))
def test_every_window_is_counted_once(outcomes: list[WindowOutcome]) -> None:
    standing = Standing.of(report(*outcomes))
    begun = standing.running + standing.done + standing.failed
    assert standing.planned + standing.unclear + begun == len(outcomes)
    assert standing.submitted <= begun


def test_while_windows_are_sent_the_line_says_how_many_a_minute_and_when_the_last_goes() -> None:
    progress = Progress()
    first = progress.line(report(*windows(Step.PLANNED, 10)), NOW)
    assert first == (
        "Rerun of trigger 'hourly': 10 windows:"
        " 10 planned, 0 submitted, 0 unclear, 0 running, 0 done, 0 failed"
    )
    sent = [*windows(Step.PLANNED, 5), *windows(Step.SUBMITTED, 4, "Running"), *windows(Step.UNCLEAR, 1)]
    at = NOW + timedelta(minutes=2)
    assert progress.line(report(*sent), at).endswith(
        "5 planned, 4 submitted, 1 unclear, 4 running, 0 done, 0 failed;"
        f" 2.0 sent a minute, the last about {at + timedelta(minutes=3):%Y-%m-%d %H:%M} UTC"
    )


def test_when_all_are_sent_it_says_how_many_end_a_minute_and_when_the_last_does() -> None:
    progress = Progress()
    progress.line(report(*windows(Step.SUBMITTED, 6, "Running")), NOW)
    ended = [*windows(Step.SUBMITTED, 2, "Succeeded"), *windows(Step.SUBMITTED, 1, "Failed")]
    at = NOW + timedelta(minutes=6)
    assert progress.line(report(*ended, *windows(Step.SUBMITTED, 3, "Running")), at).endswith(
        "0 planned, 6 submitted, 0 unclear, 3 running, 2 done, 1 failed;"
        f" 0.5 ended a minute, the last about {at + timedelta(minutes=6):%Y-%m-%d %H:%M} UTC"
    )


def test_the_line_stays_the_same_as_long_as_no_window_has_come_further() -> None:
    progress = Progress()
    running = report(*windows(Step.SUBMITTED, 1, "Succeeded"), *windows(Step.SUBMITTED, 2, "Running"))
    progress.line(report(*windows(Step.SUBMITTED, 3, "Running")), NOW)
    said = progress.line(running, NOW + timedelta(minutes=1))
    assert progress.line(running, NOW + timedelta(minutes=9)) == said


@pytest.mark.parametrize("passed", [timedelta(0), timedelta(minutes=1)])
def test_where_nothing_has_moved_nothing_is_said_of_speed(passed: timedelta) -> None:
    standing = Standing(planned=3, submitted=0, unclear=0, running=0, done=0, failed=0)
    assert speed(standing, standing, passed, NOW) == ""


@given(st.builds(Standing, *[st.integers(0, 10_000)] * 6), st.timedeltas(timedelta(0), timedelta(days=9)))
def test_a_speed_can_be_said_of_any_standing(now: Standing, passed: timedelta) -> None:
    assert "a minute" in (speed(Standing(0, 0, 0, 0, 0, 0), now, passed, NOW) or "a minute")
