"""What a window waits for: examples of the arithmetic, and for all grids the emulator's own as the judge."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.model import (
    TUMBLING_WINDOW,
    Dependency,
    Trigger,
    TriggerRun,
    TriggerRunStatus,
    Window,
)
from airflow_provider_adfruns.batch.dependencies import Needed, Upstream, needs
from airflow_provider_adfruns.emulator.windows import Frequency, Grid, needed_windows
from tests.batch.histories import MIDNIGHT, hour, run

if TYPE_CHECKING:
    from collections.abc import Iterable


def trigger(start: datetime | None = None, end: datetime | None = None) -> Trigger:
    """Return the definition of the trigger of ``histories``."""
    lifetime = {
        key: time.isoformat() for key, time in (("startTime", start), ("endTime", end)) if time is not None
    }
    return Trigger("hourly", TUMBLING_WINDOW, "Started", {"typeProperties": lifetime})


def upstream(runs: Iterable[TriggerRun], recent: Iterable[str] = (), **lifetime: Any) -> Upstream:
    return Upstream(trigger(**lifetime), runs, frozenset(recent))


def of_hours(first: int, last: int) -> Needed:
    return Needed("hourly", hour(first).start, hour(last).end)


def depends(name: str | None = "hourly", offset: int = 0, size: int | None = None) -> Dependency:
    """Return a dependency whose offset and size are minutes."""
    return Dependency(name, timedelta(minutes=offset), None if size is None else timedelta(minutes=size))


@pytest.mark.parametrize(
    ("dependency", "needed"),
    [
        (depends(), Needed("hourly", hour(3).start, hour(3).end)),
        (depends(offset=-60), Needed("hourly", hour(2).start, hour(2).end)),
        (depends(size=180), Needed("hourly", hour(3).start, hour(5).end)),
        (depends(offset=-1440, size=1440), Needed("hourly", hour(-21).start, hour(3).start)),
        (depends(None, offset=-60), Needed("report", hour(2).start, hour(2).end)),
    ],
    ids=["the same time", "the hour before", "three hours", "the day before", "its own hour before"],
)
def test_a_window_needs_the_stretch_that_its_dependency_names(dependency: Dependency, needed: Needed) -> None:
    assert needs(hour(3), "report", [dependency]) == [needed]


def test_nothing_is_lacking_where_each_window_has_succeeded_by_its_latest_run() -> None:
    runs = [run(1, "Succeeded"), run(2, "Failed"), run(2, "Succeeded", attempt=1)]
    assert upstream(runs).lacks(of_hours(1, 2)) is None


@pytest.mark.parametrize("status", [each for each in TriggerRunStatus if each != "Succeeded"])
def test_a_window_is_lacking_whose_latest_run_has_not_succeeded(status: TriggerRunStatus) -> None:
    runs = [run(1, "Succeeded"), run(2, "Succeeded"), run(2, status, attempt=1)]
    assert upstream(runs).lacks(of_hours(1, 2)) == f"window {hour(2)} of trigger 'hourly' is {status}"


def test_a_window_that_has_succeeded_only_just_now_is_lacking_still() -> None:
    runs = [run(1, "Succeeded"), run(2, "Succeeded")]
    lack = upstream(runs, recent=["w2"]).lacks(of_hours(1, 2))
    assert lack == f"window {hour(2)} of trigger 'hourly' has succeeded only just now"


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_window_without_any_run_is_lacking(missing: int) -> None:
    runs = [run(number, "Succeeded") for number in (1, 2, 3) if number != missing]
    lack = upstream(runs).lacks(of_hours(1, 3))
    assert lack == f"trigger 'hourly' has no run of its window at 2026-03-01 0{missing}:00"


def test_before_its_first_window_and_after_its_last_a_trigger_is_not_waited_for() -> None:
    runs = [run(2, "Succeeded")]
    assert upstream(runs, start=hour(2).start, end=hour(2).end).lacks(of_hours(0, 6)) is None


def test_a_window_that_lies_in_the_stretch_only_in_part_is_waited_for() -> None:
    half_past = Needed("hourly", MIDNIGHT + timedelta(minutes=30), MIDNIGHT + timedelta(minutes=90))
    assert upstream([run(0, "Failed"), run(1, "Succeeded")]).lacks(half_past) is not None
    assert upstream([run(0, "Succeeded"), run(1, "Failed")]).lacks(half_past) is not None
    assert upstream([run(0, "Succeeded"), run(1, "Succeeded")]).lacks(half_past) is None


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    frequency: Frequency = draw(st.sampled_from(["Minute", "Hour", "Month"]))
    interval = draw(st.integers(1, 3) if frequency == "Month" else st.integers(20, 90))
    start = MIDNIGHT + timedelta(minutes=draw(st.integers(-3, 3)) * 20)
    length = draw(st.none() | st.integers(1, 6))
    grid = Grid(frequency, interval, start)
    return grid if length is None else Grid(frequency, interval, start, grid.instant(length))


@given(st.data())
def test_for_all_grids_a_window_lacks_something_just_if_a_window_that_the_factory_waits_for_has_not_succeeded(
    data: st.DataObject,
) -> None:
    mine, other = data.draw(grids()), data.draw(grids())
    window = mine.window(data.draw(st.integers(0, 5)))
    offset = timedelta(minutes=data.draw(st.integers(-600, 600)))
    size = data.draw(st.none() | st.integers(1, 600).map(lambda minutes: timedelta(minutes=minutes)))
    needed = [index for index in needed_windows(window, other, offset, size) if other.exists(index)]
    failed = data.draw(st.none() | st.sampled_from(needed)) if needed else None
    statuses = {index: "Failed" if index == failed else "Succeeded" for index in needed}
    runs = [
        TriggerRun(
            f"run {index}",
            "hourly",
            TUMBLING_WINDOW,
            other.window(index).end,
            TriggerRunStatus(status),
            "",
            Window(other.window(index).start, other.window(index).end),
            None,
            {},
        )
        for index, status in statuses.items()
    ]
    [stretch] = needs(Window(window.start, window.end), "report", [Dependency("hourly", offset, size)])
    lack = upstream(runs, start=other.start, end=other.end).lacks(stretch)
    assert (lack is None) == (failed is None)
