"""Where each trigger stands, and whether a window's dependencies are met; nothing is moved here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator.records import TriggerRun, TriggerStatus
from airflow_provider_adfruns.emulator.windows import needed_windows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_adfruns.emulator.definitions import TriggerDefinition, WindowPast


@dataclass(slots=True)
class TriggerPlace:
    """Where one trigger stands.

    :param cursor: the next window, or schedule time, to make a run for.
    :param first: the first window that is simulated; older ones without runs count as long succeeded.
    :param session: counts starts and stops, so that what was due before a stop is void.
    :param deleted: nobody can ask for it any more; runs it has made go on.
    :param busy_until: until when another start or stop is refused.
    """

    definition: TriggerDefinition
    started: bool
    cursor: int
    first: int
    session: int = 0
    deleted: bool = False
    busy_until: datetime | None = None
    wake: datetime | None = None
    by_window: dict[int, tuple[TriggerRun, ...]] = field(default_factory=dict)
    rerun_scripts: dict[int, WindowPast] = field(default_factory=dict)
    holding: set[str] = field(default_factory=set)
    waiting: list[TriggerRun] = field(default_factory=list)


def make_place(definition: TriggerDefinition, now: datetime) -> TriggerPlace:
    """Return where a trigger stands at ``now``, before it has any runs."""
    grid = definition.grid
    if definition.type == "ScheduleTrigger":
        cursor = max(0, grid.index_at(now) + 1)
    else:
        cursor = 0 if definition.backfill else max(0, grid.index_at(now))
    return TriggerPlace(definition, definition.started, cursor, cursor)


def dependencies_met(run: TriggerRun, places: Mapping[str, TriggerPlace]) -> bool:
    """Say whether every window a run depends on has succeeded, by its latest run."""
    window = run.window
    if window is None:
        return True
    for dependency in run.definition.depends_on:
        upstream = places[dependency.trigger]
        needed = needed_windows(window, upstream.definition.grid, dependency.offset, dependency.size)
        if not all(_succeeded(upstream, index) for index in needed):
            return False
    return True


def _succeeded(place: TriggerPlace, index: int) -> bool:
    runs = place.by_window.get(index)
    if not runs:
        # Outside the grid nothing is waited for; before the simulated time all went well.
        return index < place.first or not place.definition.grid.exists(index)
    return runs[-1].current.status == TriggerStatus.SUCCEEDED
