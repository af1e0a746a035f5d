"""Run history + selection + one instant -> what to rerun, what to cancel and what not, with reasons; pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.model import TriggerRun, TriggerRunStatus, Window
from airflow_provider_adfruns.batch.selection import DEFAULT_RERUN_STATUSES, FINAL_STATUSES, WindowSelection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A window or run that the selection names and the plan leaves alone, with the reason for people."""

    window: Window | None
    run_id: str | None
    status: TriggerRunStatus | None
    reason: str


@dataclass(frozen=True, slots=True)
class Member:
    """A window to rerun: ``run`` is its latest run before the plan's instant, ``newer`` one since."""

    window: Window
    run: TriggerRun
    newer: TriggerRun | None


@dataclass(frozen=True, slots=True)
class RerunPlan:
    """What a rerun will do; ``members`` are ordered from the oldest window to the newest."""

    trigger_name: str
    planned_at: datetime
    members: tuple[Member, ...]
    exclusions: tuple[Exclusion, ...]


@dataclass(frozen=True, slots=True)
class CancelPlan:
    """What a cancel of waiting trigger runs will do; ``running`` is left to the caller's choice."""

    trigger_name: str
    cancellable: tuple[TriggerRun, ...]
    running: tuple[TriggerRun, ...]
    exclusions: tuple[Exclusion, ...]


def plan_reruns(
    history: Iterable[TriggerRun],
    selection: WindowSelection,
    statuses: frozenset[TriggerRunStatus] | None,
    planned_at: datetime,
) -> RerunPlan:
    """Decide which windows to rerun.

    A window is judged by its latest run before ``planned_at``, whatever that run's older siblings were: a
    query for failed runs also returns windows that have been rerun and succeeded since.

    :param history: the trigger's runs; at least all those of the selected windows.
    :param selection: run ids name windows, too: it is the window's latest run that counts.
    :param statuses: of the latest run; None for Failed and Cancelled and, by run ids, for the very run named.
    :param planned_at: the service's time; runs that started at this time or later are reruns of the plan.
    """
    runs = list(history)
    named = {run.trigger_run_id for run in runs if selection.includes(run)}
    members: list[Member] = []
    exclusions = unknown_ids(selection, runs)
    for window, family in sorted(by_window(runs).items()):
        if not any(run.trigger_run_id in named for run in family):
            if selection.cuts(family[0]):
                exclusions.append(exclude(family[-1], "its window lies only partly inside the range"))
            continue
        earlier = [run for run in family if run.timestamp < planned_at]
        newer = [run for run in family if run.timestamp >= planned_at]
        if not earlier:
            exclusions.append(exclude(newer[-1], "it first ran after this rerun was planned"))
            continue
        latest = earlier[-1]
        reason = _why_not(latest, family, selection, statuses)
        if reason:
            exclusions.append(exclude(latest, reason))
        else:
            members.append(Member(window, latest, newer[-1] if newer else None))
    return RerunPlan(selection.trigger_name, planned_at, tuple(members), tuple(exclusions))


def plan_cancels(history: Iterable[TriggerRun], selection: WindowSelection) -> CancelPlan:
    """Decide which trigger runs to cancel: those that are not final; who waits can be cancelled directly.

    The docs disagree on whether a run in Waiting can be cancelled, so such a run is tried.

    :param history: the trigger's runs; at least all those of the selection.
    """
    runs = list(history)
    chosen = [run for run in runs if selection.includes(run)]
    exclusions = unknown_ids(selection, runs)
    alive = [run for run in chosen if not run.status.is_final]
    alive_windows = {run.window for run in alive}
    for run in _latest_of_each(chosen) if selection.window_range else chosen:
        if run.status.is_final and (selection.window_range is None or run.window not in alive_windows):
            exclusions.append(exclude(run, f"it has ended already, {run.status}"))
    exclusions.extend(
        exclude(run, "its window lies only partly inside the range")
        for run in runs
        if selection.cuts(run) and not run.status.is_final
    )
    return CancelPlan(
        selection.trigger_name,
        tuple(run for run in alive if run.status is not TriggerRunStatus.RUNNING),
        tuple(run for run in alive if run.status is TriggerRunStatus.RUNNING),
        tuple(exclusions),
    )


def _age(run: TriggerRun) -> tuple[datetime, str]:
    return run.timestamp, run.trigger_run_id


def by_window(runs: Iterable[TriggerRun]) -> dict[Window, list[TriggerRun]]:
    """Return each window's runs, from the oldest to the newest."""
    families: dict[Window, list[TriggerRun]] = defaultdict(list)
    for run in sorted(runs, key=_age):
        if run.window is not None:
            families[run.window].append(run)
    return families


def _latest_of_each(runs: Iterable[TriggerRun]) -> list[TriggerRun]:
    return [family[-1] for family in by_window(runs).values()]


def _why_not(
    latest: TriggerRun,
    family: Sequence[TriggerRun],
    selection: WindowSelection,
    statuses: frozenset[TriggerRunStatus] | None,
) -> str | None:
    """Say why a window is not rerun, or None."""
    if not latest.status.is_final:
        return f"its latest run is not final but {latest.status}"
    allowed = statuses
    if allowed is None:
        allowed = FINAL_STATUSES if selection.names(latest) else DEFAULT_RERUN_STATUSES
    if latest.status in allowed:
        return None
    if any(run.status in allowed for run in family if run is not latest):
        return f"it has been rerun since, and its latest run is {latest.status}"
    return f"its latest run is {latest.status}"


def unknown_ids(selection: WindowSelection, runs: Sequence[TriggerRun]) -> list[Exclusion]:
    """Return the run ids asked for that the history does not have, each with no status."""
    known = {run.trigger_run_id for run in runs}
    reason = f"trigger {selection.trigger_name!r} has no run of this id within the last 45 days"
    return [Exclusion(None, run_id, None, reason) for run_id in selection.run_ids if run_id not in known]


def exclude(run: TriggerRun, reason: str) -> Exclusion:
    """Return that a run, and so its window, is left alone for a reason."""
    return Exclusion(run.window, run.trigger_run_id, run.status, reason)
