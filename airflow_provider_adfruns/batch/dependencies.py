"""What a window waits for, by its trigger's dependsOn, and whether the run history shows it; pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.model import Dependency, TriggerRunStatus, Window
from airflow_provider_adfruns.batch.plan import by_window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_adfruns.adf.model import Trigger, TriggerRun

_NEVER = datetime.max.replace(tzinfo=UTC)
_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Needed:
    """A stretch of an upstream trigger's time that has to be whole before a window runs.

    :param trigger_name: the upstream trigger's.
    """

    trigger_name: str
    start: datetime
    end: datetime


def needs(window: Window, trigger_name: str, dependencies: Iterable[Dependency]) -> list[Needed]:
    """Return what a window of a trigger waits for.

    :param trigger_name: whose window it is.
    """
    found = []
    for each in dependencies:
        start = window.start + each.offset
        size = window.end - window.start if each.size is None else each.size
        found.append(Needed(each.trigger_name or trigger_name, start, start + size))
    return found


class Upstream:
    """A trigger that others wait for, with its runs.

    :param trigger: its definition.
    :param runs: all its runs, as far back as windows are needed.
    :param recent: the ids of runs that have changed so shortly ago that whoever waits for them may not have
        seen it yet.
    """

    def __init__(self, trigger: Trigger, runs: Iterable[TriggerRun], recent: frozenset[str]) -> None:
        start, end = trigger.lifetime
        self._name = trigger.name
        self._start, self._end = start or _EVER, end or _NEVER
        self._recent = recent
        families = sorted(by_window(runs).items())
        self._latest = [family[-1] for _, family in families]
        self._windows = [window for window, _ in families]
        self._starts = [window.start for window in self._windows]

    def lacks(self, needed: Needed) -> str | None:
        """Say what of a stretch of time has not succeeded, or only just now; None if nothing.

        A window is judged by its latest run. One that lies in the stretch only in part counts as a whole
        one: the docs do not say. Before the trigger's first window and after its last there is nothing to
        wait for.
        """
        covered, end = max(needed.start, self._start), min(needed.end, self._end)
        place = max(0, bisect_right(self._starts, covered) - 1)
        while covered < end:
            while place < len(self._windows) and self._windows[place].end <= covered:
                place += 1
            if place == len(self._windows) or self._windows[place].start > covered:
                return f"trigger {self._name!r} has no run of its window at {covered:%Y-%m-%d %H:%M}"
            run, window = self._latest[place], self._windows[place]
            if run.status is not TriggerRunStatus.SUCCEEDED:
                return f"window {window} of trigger {self._name!r} is {run.status}"
            if run.trigger_run_id in self._recent:
                return f"window {window} of trigger {self._name!r} has succeeded only just now"
            covered = window.end
        return None
