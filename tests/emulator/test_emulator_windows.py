"""The window arithmetic, by properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.emulator.windows import Frequency, Grid, needed_windows

YEARS = timedelta(days=3650)
instants = st.timedeltas(timedelta(0), YEARS).map(lambda since: datetime(2020, 1, 1, tzinfo=UTC) + since)
grids = st.builds(Grid, st.sampled_from(get_args(Frequency)), st.integers(1, 90), instants)


@given(grids, instants)
def test_the_window_at_an_instant_contains_it(grid: Grid, instant: datetime) -> None:
    window = grid.window(grid.index_at(instant))
    assert window.start <= instant < window.end


@given(grids, st.integers(-50, 50))
def test_windows_follow_each_other_without_gaps(grid: Grid, index: int) -> None:
    assert grid.window(index).end == grid.window(index + 1).start


@given(grids, instants, st.timedeltas(timedelta(seconds=1), timedelta(hours=2)))
def test_overlapping_windows_are_those_that_share_time(grid: Grid, start: datetime, size: timedelta) -> None:
    found = grid.overlapping(start, start + size)
    for index in range(found[0] - 1, found[-1] + 2):
        window = grid.window(index)
        assert (index in found) == (window.start < start + size and start < window.end)


@given(grids, st.integers(0, 50))
def test_a_window_needs_its_equal_where_nothing_is_said(grid: Grid, index: int) -> None:
    assert list(needed_windows(grid.window(index), grid, timedelta(0), None)) == [index]
